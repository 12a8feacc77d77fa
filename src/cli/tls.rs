//! The files of TLS, looked at before anybody is asked: what is wrong with them is no fault
//! of the connection.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use zeroize::Zeroizing;

use super::failure::Failure;
use crate::client::{Address, TlsFiles};

/// Whether the files are what they should be, where they are used.
pub(super) fn check(server: &Address, files: &TlsFiles) -> Result<(), Failure> {
    if !matches!(server, Address::Tcp { tls: true, .. }) {
        return Ok(());
    }
    let TlsFiles { ca, identity } = files;
    if let Some(path) = ca {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(path, "--ca-file")? {
            let added = roots.add(certificate);
            added.map_err(|_| wrong("--ca-file", path, NO_CERTIFICATES))?;
        }
    }
    if let Some((certificate, key)) = identity {
        check_identity(certificate, key)?;
    }
    Ok(())
}

const NO_CERTIFICATES: &str = "has no certificates in PEM";

/// Whether a key is that of a certificate.
fn check_identity(certificate: &Path, key: &Path) -> Result<(), Failure> {
    let chain = certificates(certificate, "--certificate-file")?;
    let of_key = |what: &str| wrong("--key-file", key, what);
    let pem = Zeroizing::new(read(key, "--key-file")?);
    let read = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| of_key("has no key in PEM"))?;
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder
        .with_safe_default_protocol_versions()
        .map_err(|error| Failure::Other(error.to_string()))?
        .with_root_certificates(RootCertStore::empty());
    let built = builder.with_client_auth_cert(chain, read);
    let unfit = |error| of_key(&format!("is not the key of the certificate: {error}"));
    built.map(drop).map_err(unfit)
}

fn certificates(path: &Path, flag: &str) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let pem = read(path, flag)?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let read = read.ok().filter(|read| !read.is_empty());
    read.ok_or_else(|| wrong(flag, path, NO_CERTIFICATES))
}

fn read(path: &Path, flag: &str) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(|error| wrong(flag, path, &format!("can't be read: {error}")))
}

fn wrong(flag: &str, path: &Path, what: &str) -> Failure {
    Failure::Usage(format!("{flag}: {} {what}", path.display()))
}
