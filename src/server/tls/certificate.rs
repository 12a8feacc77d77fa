//! Reading certificates.

use data_encoding::HEXLOWER;
use x509_cert::certificate::{CertificateInner, Raw};
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use super::principal::principal;
use crate::authority::caller::Trust;
use crate::domain::time::Timestamp;
use crate::rpc::peer::PeerCertificate;

/// What can be said of the server's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    /// In hexadecimal.
    pub(super) serial: String,
    /// The last second of its validity, in seconds since the Unix epoch.
    pub(super) not_after: i64,
}

/// It is no X.509 certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it can't be read as an X.509 certificate")]
pub struct Unreadable(#[source] x509_cert::der::Error);

/// Reads the server's certificate, in DER.
pub(super) fn facts(der: &[u8]) -> Result<Facts, Unreadable> {
    let certificate = read(der)?;
    let serial = certificate.tbs_certificate().serial_number().as_bytes();
    Ok(Facts {
        serial: HEXLOWER.encode(serial),
        not_after: not_after(&certificate),
    })
}

/// Reads a client's certificate, in DER, that the handshake has found good.
/// `None`: it can't be read, so that nobody is known by it.
pub(super) fn peer(der: &[u8]) -> Option<PeerCertificate> {
    let certificate = read(der).ok()?;
    let names = certificate
        .tbs_certificate()
        .get_extension::<SubjectAltName>();
    // Names of which one can't be read name nobody.
    let names = names.ok().flatten().map(|(_, SubjectAltName(names))| names);
    let names = names.unwrap_or_default();
    let uris = names.iter().filter_map(|name| match name {
        GeneralName::UniformResourceIdentifier(uri) => Some(uri.as_str()),
        _ => None,
    });
    let dns_names = names.iter().filter_map(|name| match name {
        GeneralName::DnsName(name) => Some(name.as_str()),
        _ => None,
    });
    Some(PeerCertificate {
        principal: principal(uris, dns_names),
        until: until(&certificate),
        trust: Trust::default(),
    })
}

/// When a certificate, in DER, ceases to be valid; `None`: it can't be read.
pub(super) fn end(der: &[u8]) -> Option<Timestamp> {
    read(der).ok().map(|certificate| until(&certificate))
}

/// As leniently as the handshake reads it, of whose judgement no part is
/// repeated here.
type Certificate = CertificateInner<Raw>;

fn read(der: &[u8]) -> Result<Certificate, Unreadable> {
    Certificate::from_der(der).map_err(Unreadable)
}

/// The whole of the last second belongs to it.
fn until(certificate: &Certificate) -> Timestamp {
    let seconds = not_after(certificate).saturating_add(1);
    Timestamp::from_millis(seconds.saturating_mul(1000))
}

fn not_after(certificate: &Certificate) -> i64 {
    let not_after = certificate.tbs_certificate().validity().not_after;
    let seconds = not_after.to_unix_duration().as_secs();
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_names_nobody_and_has_no_facts() {
        for der in [&b""[..], b"\x30\x00", b"certificate"] {
            assert!(peer(der).is_none());
            assert!(facts(der).is_err());
        }
    }

    #[test]
    fn a_serial_number_is_in_hexadecimal() {
        let mut params = rcgen::CertificateParams::default();
        params.serial_number = Some(0x0102_ab00_u64.into());
        params.not_after = rcgen::date_time_ymd(2030, 1, 1);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let facts = facts(certificate.der()).unwrap();
        assert!(facts.serial.ends_with("0102ab00"), "{facts:?}");
        assert_eq!(facts.not_after, 1_893_456_000);
    }
}
