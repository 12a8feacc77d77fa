//! From the contents of files to what a handshake needs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::server::{
    NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier,
};
use tokio_rustls::rustls::{self, InconsistentKeys, RootCertStore, ServerConfig};

use super::TlsSettings;
use super::certificate::{Facts, Unreadable, facts};
use super::files::{Files, FilesError};
use crate::domain::time::Timestamp;

/// Why files make no TLS. No error quotes a file.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file can't be read.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// A file holds no certificate, or something broken.
    #[error("{0} is not a list of certificates in PEM")]
    NoCertificate(PathBuf),
    /// The key's file holds no key, or something broken.
    #[error("{0} holds no private key in PEM")]
    NoKey(PathBuf),
    /// The first certificate is none.
    #[error("the certificate of {path}")]
    Unreadable {
        /// Where it is.
        path: PathBuf,
        /// Why.
        source: Unreadable,
    },
    /// Nobody would accept the certificate any more.
    #[error("the certificate of {path} has expired, at {not_after} seconds of Unix time")]
    Expired {
        /// Where it is.
        path: PathBuf,
        /// The last second of its validity.
        not_after: i64,
    },
    /// The two files do not belong together.
    #[error("the key of {key} is not that of the certificate of {certificate}")]
    Mismatch {
        /// Where the certificate is.
        certificate: PathBuf,
        /// Where the key is.
        key: PathBuf,
    },
    /// They can't be used together.
    #[error("the certificate of {certificate} and the key of {key} can't be used")]
    Unusable {
        /// Where the certificate is.
        certificate: PathBuf,
        /// Where the key is.
        key: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// An authority's certificate can't be used.
    #[error("a certificate of {path} can't be that of an authority")]
    ClientCa {
        /// Where it is.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// The authorities can't be used.
    #[error("the authorities of clients' certificates can't be used")]
    Verifier(#[from] VerifierBuilderError),
    /// Nobody could connect.
    #[error("certificates are required of clients, but no authority for them is given")]
    NoClientCa,
}

/// What a handshake needs, and what can be said of it.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) config: Arc<ServerConfig>,
    pub(super) facts: Facts,
    /// What judges clients' certificates; `None`: nothing does.
    pub(super) verifier: Option<Arc<dyn ClientCertVerifier>>,
}

impl Loaded {
    /// What these files of these settings make, at this time.
    pub(super) fn from_files(
        files: &Files,
        settings: &TlsSettings,
        now: Timestamp,
    ) -> Result<Self, LoadError> {
        let (certificate, key) = (&settings.certificate, &settings.key);
        let chain = certificates(&files.certificate, certificate)?;
        let facts = server_facts(&chain, certificate, now)?;
        let private_key =
            PrivateKeyDer::from_pem_slice(&files.key).map_err(|_| LoadError::NoKey(key.clone()))?;

        let provider = Arc::new(ring::default_provider());
        let unusable = |source| LoadError::Unusable {
            certificate: certificate.clone(),
            key: key.clone(),
            source,
        };
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(unusable)?;
        let verifier = match (&files.client_ca, &settings.client_ca) {
            (Some(pem), Some(path)) => {
                let roots = Arc::new(authorities(pem, path)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
                let verifier = if settings.require_client_certificate {
                    verifier
                } else {
                    verifier.allow_unauthenticated()
                };
                Some(verifier.build()?)
            }
            _ if settings.require_client_certificate => return Err(LoadError::NoClientCa),
            _ => None,
        };
        let builder = match &verifier {
            Some(verifier) => builder.with_client_cert_verifier(Arc::clone(verifier)),
            None => builder.with_no_client_auth(),
        };
        let mut config =
            builder
                .with_single_cert(chain, private_key)
                .map_err(|error| match error {
                    rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                        LoadError::Mismatch {
                            certificate: certificate.clone(),
                            key: key.clone(),
                        }
                    }
                    source => unusable(source),
                })?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        // A resumed session would stand for a certificate that may have expired
        // since.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Self {
            config: Arc::new(config),
            facts,
            verifier,
        })
    }
}

/// The certificates of a file; there is at least one.
fn certificates(pem: &[u8], path: &Path) -> Result<Vec<CertificateDer<'static>>, LoadError> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(LoadError::NoCertificate(path.to_owned())),
    }
}

/// What the server's own certificate says. One that is not valid yet is taken:
/// it may be so by this machine's clock alone.
fn server_facts(
    chain: &[CertificateDer<'_>],
    path: &Path,
    now: Timestamp,
) -> Result<Facts, LoadError> {
    let first = chain.first().map_or(&[][..], |first| first);
    let facts = facts(first).map_err(|source| LoadError::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    if facts.not_after < now.as_millis().div_euclid(1000) {
        return Err(LoadError::Expired {
            path: path.to_owned(),
            not_after: facts.not_after,
        });
    }
    Ok(facts)
}

fn authorities(pem: &[u8], path: &Path) -> Result<RootCertStore, LoadError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem, path)? {
        roots
            .add(certificate)
            .map_err(|source| LoadError::ClientCa {
                path: path.to_owned(),
                source,
            })?;
    }
    Ok(roots)
}
