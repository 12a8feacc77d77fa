//! Clients that showed a certificate, for as long as their connections stand: whoever
//! is not trusted any more is known by it no more.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio_rustls::rustls::pki_types::{CertificateDer, UnixTime};
use tokio_rustls::rustls::server::danger::ClientCertVerifier;

use super::certificate;
use crate::authority::caller::Trust;
use crate::domain::time::Timestamp;

/// How many may be kept before it is looked who is gone.
const FEW: usize = 64;

/// The clients, and what each showed.
#[derive(Debug, Default)]
pub(super) struct Peers(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    all: Vec<Shown>,
    /// With how many it is looked again who is gone.
    most: usize,
}

/// What one of them showed.
#[derive(Clone, Debug)]
struct Shown {
    chain: Arc<[CertificateDer<'static>]>,
    trust: Trust,
}

impl Peers {
    /// Keeps what a client showed, its own certificate first.
    pub(super) fn keep(&self, chain: &[CertificateDer<'_>], trust: &Trust) {
        let chain = chain.iter().map(|one| one.clone().into_owned());
        let shown = Shown {
            chain: chain.collect(),
            trust: trust.clone(),
        };
        let mut kept = self.0.lock();
        if kept.all.len() >= kept.most {
            kept.all.retain(|shown| shown.trust.is_shared());
            kept.most = (2 * kept.all.len()).max(FEW);
        }
        kept.all.push(shown);
    }

    /// Says of each until when it is trusted. Takes time for each.
    pub(super) fn judge(&self, verifier: &dyn ClientCertVerifier) {
        // Nobody who shakes hands waits for this.
        let all = {
            let mut kept = self.0.lock();
            kept.all.retain(|shown| shown.trust.is_shared());
            kept.all.clone()
        };
        for Shown { chain, trust } in all {
            trust.set(trusted_until(verifier, &chain));
        }
    }
}

/// How many certificates a client may show beside its own. A path has a few; to look for
/// one among many takes long.
const LONGEST_CHAIN: usize = 16;

/// Until when a client would be let in that showed this, but for the end of its own
/// certificate; `None`: it would not be now. Takes time.
pub(super) fn trusted_until(
    verifier: &dyn ClientCertVerifier,
    chain: &[CertificateDer<'_>],
) -> Option<Timestamp> {
    let (first, rest) = chain.split_first()?;
    if rest.len() > LONGEST_CHAIN {
        return None;
    }
    // One whose end nobody knows vouches for nobody.
    let readable = rest
        .iter()
        .filter_map(|one| Some((one.clone(), certificate::end(one)?)));
    let (rest, mut ends): (Vec<_>, Vec<_>) = readable.unzip();
    let is_good = |at| verifier.verify_client_cert(first, &rest, at).is_ok();
    let now = UnixTime::now();
    if !is_good(now) {
        return None;
    }
    // Clients may show what leads nowhere, too: only the verifier knows what counts. And
    // another may vouch for it after a time in which nobody does.
    ends.sort_unstable();
    let seconds = |end: &Timestamp| u64::try_from(end.as_millis() / 1000).unwrap_or_default();
    let at = |end| UnixTime::since_unix_epoch(Duration::from_secs(seconds(end)));
    let mut later = ends.iter().filter(|end| seconds(end) > now.as_secs());
    let end = later.find(|end| !is_good(at(end)));
    Some(end.copied().unwrap_or(Timestamp::MAX))
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use rcgen::{
        BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose,
        IsCa, KeyPair, SanType,
    };
    use tokio_rustls::rustls::RootCertStore;
    use tokio_rustls::rustls::crypto::ring;
    use tokio_rustls::rustls::server::WebPkiClientVerifier;

    use super::*;

    type Issuer = CertifiedIssuer<'static, KeyPair>;

    /// In so many hours, to the second.
    fn after(hours: u64) -> SystemTime {
        let now = UnixTime::now().as_secs();
        SystemTime::UNIX_EPOCH + Duration::from_secs(now + hours * 3600)
    }

    fn params(name: &str, hours: u64) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_after = after(hours).into();
        params
    }

    fn authority(name: &str, hours: u64, by: Option<&Issuer>) -> Issuer {
        let mut params = params(name, hours);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        match by {
            Some(by) => CertifiedIssuer::signed_by(params, key, by).unwrap(),
            None => CertifiedIssuer::self_signed(params, key).unwrap(),
        }
    }

    fn client(hours: u64, by: &Issuer) -> CertificateDer<'static> {
        let mut params = params("client", hours);
        params.subject_alt_names = vec![SanType::DnsName("client.test".try_into().unwrap())];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        params.signed_by(&key, by).unwrap().der().clone()
    }

    /// In how many hours a client ceases to be trusted where these authorities are.
    fn trusted_for(roots: &[&Issuer], chain: &[&CertificateDer<'static>]) -> Option<u64> {
        let mut store = RootCertStore::empty();
        for root in roots {
            store.add(root.der().clone()).unwrap();
        }
        let provider = Arc::new(ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(store), provider);
        let chain: Vec<_> = chain.iter().copied().cloned().collect();
        let until = trusted_until(&*verifier.build().unwrap(), &chain)?;
        let seconds = i64::try_from(UnixTime::now().as_secs()).unwrap();
        let left = until.as_millis().saturating_sub(seconds * 1000);
        // A second more or less is the test's own.
        Some(u64::try_from((left + 10_000) / 3_600_000).unwrap())
    }

    #[test]
    fn a_client_is_trusted_while_whoever_it_needs_is_and_no_longer() {
        let root = authority("root", 1, None);
        let near = authority("near", 5, Some(&root));
        let far = authority("far", 3, Some(&near));
        let stranger = authority("stranger", 2, None);
        let leaf = client(9, &far);
        let chain = [&leaf, far.der(), near.der()];
        assert_eq!(trusted_for(&[&root], &chain), Some(3));
        // What is not needed may expire, an authority that is trusted too.
        let with_more = [&leaf, stranger.der(), near.der(), far.der(), root.der()];
        assert_eq!(trusted_for(&[&root], &with_more), Some(3));
        assert_eq!(trusted_for(&[&near], &chain), Some(3));
        assert!(trusted_for(&[&far], &chain) > Some(9));
        assert!(trusted_for(&[&root, &far], &chain) > Some(9));
        assert!(trusted_for(&[&root], &[&client(9, &root)]) > Some(9));
    }

    #[test]
    fn a_client_is_not_trusted_in_a_time_in_which_nobody_vouches_for_it() {
        let root = authority("root", 9, None);
        let first = authority("near", 1, Some(&root));
        let mut later = params("near", 4);
        later.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        later.not_before = after(2).into();
        let key = KeyPair::from_pem(&first.key().serialize_pem()).unwrap();
        let later = CertifiedIssuer::signed_by(later, key, &root).unwrap();
        let stranger = authority("stranger", 3, None);
        let leaf = client(9, &first);
        let chain = [&leaf, first.der(), later.der(), stranger.der()];
        assert_eq!(trusted_for(&[&root], &chain), Some(1));
    }

    #[test]
    fn who_shows_a_great_many_is_not_looked_into() {
        let root = authority("root", 9, None);
        let leaf = client(9, &root);
        let of = |more: usize| {
            let mut chain = vec![&leaf];
            chain.extend(std::iter::repeat_n(root.der(), more));
            trusted_for(&[&root], &chain)
        };
        assert!(of(LONGEST_CHAIN).is_some());
        assert_eq!(of(LONGEST_CHAIN + 1), None);
    }

    #[test]
    fn nobody_is_trusted_by_an_authority_of_another_name_or_another_key() {
        let root = authority("root", 9, None);
        let leaf = client(9, &root);
        let mut renamed = params("another", 9);
        renamed.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::from_pem(&root.key().serialize_pem()).unwrap();
        let renamed = CertifiedIssuer::self_signed(renamed, key).unwrap();
        let namesake = authority("root", 9, None);
        assert!(trusted_for(&[&root], &[&leaf]).is_some());
        for other in [renamed, namesake] {
            assert_eq!(trusted_for(&[&other], &[&leaf]), None);
            assert!(trusted_for(&[&other, &root], &[&leaf]).is_some());
        }
        assert_eq!(trusted_for(&[&root], &[]), None);
    }
}
