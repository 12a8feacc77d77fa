//! Authorities and certificates, made when a test runs.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each suite uses a part of it, and may panic"
)]

use std::time::Duration;

use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, SanType, date_time_ymd,
};

/// The DNS name in every server's certificate.
pub const SERVER_NAME: &str = "credd.test";
/// When they cease to be valid, unless it is said otherwise: the first of
/// January 2100, in seconds since the epoch.
pub const NOT_AFTER: i64 = 4_102_444_800;

/// An authority.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate with its private key, in PEM and in DER.
#[derive(Clone)]
pub struct Pair {
    pub certificate: String,
    pub key: String,
    pub certificate_der: Vec<u8>,
    pub key_der: Vec<u8>,
}

/// What is wanted in a certificate.
pub struct Wanted {
    pub names: Vec<SanType>,
    pub purpose: ExtendedKeyUsagePurpose,
    /// The first year of its validity, and the first after it.
    pub years: (i32, i32),
    /// The last second of it, since the epoch, if it ends before those years do.
    pub last_second: Option<u64>,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    /// An authority that this one vouches for, until the end of a second.
    pub fn vouched_for(&self, name: &str, last_second: u64) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_after = date_time_ymd(1970, 1, 1) + Duration::from_secs(last_second);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::signed_by(params, key, &self.0).unwrap())
    }

    /// Its own certificate.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    pub fn der(&self) -> Vec<u8> {
        self.0.der().to_vec()
    }

    pub fn issue(&self, wanted: Wanted) -> Pair {
        let mut params = CertificateParams::default();
        params.subject_alt_names = wanted.names;
        params.extended_key_usages = vec![wanted.purpose];
        params.not_before = date_time_ymd(wanted.years.0, 1, 1);
        params.not_after = match wanted.last_second {
            Some(seconds) => date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds),
            None => date_time_ymd(wanted.years.1, 1, 1),
        };
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Pair {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
            certificate_der: certificate.der().to_vec(),
            key_der: key.serialize_der(),
        }
    }

    /// A server's, good for [`SERVER_NAME`].
    pub fn server(&self) -> Pair {
        self.issue(Wanted::server())
    }

    /// A client's with this SPIFFE ID.
    pub fn client(&self, id: &str) -> Pair {
        self.issue(Wanted::client([uri(id)]))
    }
}

impl Wanted {
    /// A server's, good for [`SERVER_NAME`].
    pub fn server() -> Self {
        Self {
            purpose: ExtendedKeyUsagePurpose::ServerAuth,
            ..Self::client([dns(SERVER_NAME)])
        }
    }

    /// A client's certificate with these names.
    pub fn client(names: impl Into<Vec<SanType>>) -> Self {
        Self {
            names: names.into(),
            purpose: ExtendedKeyUsagePurpose::ClientAuth,
            years: (2020, 2100),
            last_second: None,
        }
    }
}

pub fn dns(name: &str) -> SanType {
    SanType::DnsName(Ia5String::try_from(name).unwrap())
}

pub fn uri(uri: &str) -> SanType {
    SanType::URI(Ia5String::try_from(uri).unwrap())
}
