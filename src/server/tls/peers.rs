//! Clients that showed a certificate, for as long as their connections stand: whoever
//! is not trusted any more is known by it no more.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio_rustls::rustls::pki_types::{CertificateDer, UnixTime};
use tokio_rustls::rustls::server::danger::ClientCertVerifier;

use crate::authority::caller::Trust;

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

    /// Says of each whether it is trusted now. Takes time for each.
    pub(super) fn judge(&self, verifier: &dyn ClientCertVerifier) {
        // Nobody who shakes hands waits for this.
        let all = {
            let mut kept = self.0.lock();
            kept.all.retain(|shown| shown.trust.is_shared());
            kept.all.clone()
        };
        for Shown { chain, trust } in all {
            trust.set(is_trusted(verifier, &chain));
        }
    }
}

/// Whether a client would be let in that showed this.
pub(super) fn is_trusted(verifier: &dyn ClientCertVerifier, chain: &[CertificateDer<'_>]) -> bool {
    let now = UnixTime::now();
    let is_good = |(first, rest): (&_, &[_])| verifier.verify_client_cert(first, rest, now).is_ok();
    chain.split_first().is_some_and(is_good)
}
