//! Connections: over TCP, in TLS or not, and at Unix sockets.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tonic::transport::{Channel, Endpoint, Uri};
use tower::service_fn;
use zeroize::Zeroizing;

use super::address::Address;
use super::config::TlsFiles;
use super::first::{Beginning, First};
use super::machine::{Connecting, Connection, Network};

/// How long it may take to connect, the handshake among it.
const CONNECT_TIME: Duration = Duration::from_secs(2);
/// How often a silent connection is asked whether somebody is there, and how long that
/// may take to answer.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(5));

/// A connection that is made when it is first used, and made again when it is lost.
pub(super) fn channel(address: &Address, tls: &TlsFiles, network: &Arc<dyn Network>) -> Channel {
    let uri = match address {
        Address::Tcp { host, .. } if host.contains(':') => format!("http://[{host}]"),
        Address::Tcp { host, .. } => format!("http://{host}"),
        Address::Unix(_) => "http://localhost".to_owned(),
    };
    // A host that a URI was read from makes one again.
    let endpoint = Endpoint::from_shared(uri)
        .unwrap_or_else(|_| Endpoint::from_static("http://localhost"))
        .connect_timeout(CONNECT_TIME)
        .http2_keep_alive_interval(KEEPALIVE.0)
        .keep_alive_timeout(KEEPALIVE.1)
        .keep_alive_while_idle(true);
    let connector = Arc::new((address.clone(), tls.clone(), Arc::clone(network)));
    endpoint.connect_with_connector_lazy(service_fn(move |_: Uri| {
        let connector = Arc::clone(&connector);
        async move {
            let (address, tls, network) = &*connector;
            network.connect(address, tls).await.map(TokioIo::new)
        }
    }))
}

/// The same, over the sockets of the system.
pub(crate) fn lazy(address: &Address, tls: &TlsFiles) -> Channel {
    observed(address, tls, None).0
}

/// The same, with what [`check`] read, and how it begins, once it is made.
pub(crate) fn observed(
    address: &Address,
    tls: &TlsFiles,
    read: Option<Arc<ClientConfig>>,
) -> (Channel, Beginning) {
    let sockets = Sockets {
        beginning: Beginning::default(),
        read,
    };
    let beginning = sockets.beginning.clone();
    let network: Arc<dyn Network> = Arc::new(sockets);
    (channel(address, tls, &network), beginning)
}

/// The sockets of the system.
#[derive(Clone, Debug, Default)]
pub(super) struct Sockets {
    /// How the latest connection began.
    beginning: Beginning,
    /// What the files of TLS made, where they can't be read again.
    read: Option<Arc<ClientConfig>>,
}

impl Network for Sockets {
    fn connect<'a>(&'a self, address: &'a Address, tls: &'a TlsFiles) -> Connecting<'a> {
        Box::pin(self.connection(address, tls))
    }
}

impl Sockets {
    async fn connection(&self, address: &Address, tls: &TlsFiles) -> io::Result<Connection> {
        let Self { beginning, read } = self;
        match address {
            Address::Unix(path) => {
                let stream = UnixStream::connect(path).await?;
                Ok(Box::pin(First::new(stream, beginning)))
            }
            Address::Tcp {
                host,
                port,
                tls: is_secure,
            } => {
                let stream = TcpStream::connect((host.as_str(), *port)).await?;
                stream.set_nodelay(true)?;
                if !is_secure {
                    return Ok(Box::pin(First::new(stream, beginning)));
                }
                let name = ServerName::try_from(host.clone()).map_err(|_| {
                    io::Error::other("the host is none that a certificate can name")
                })?;
                let config = if let Some(read) = read {
                    Arc::clone(read)
                } else {
                    let files = tls.clone();
                    Arc::new(tokio::task::spawn_blocking(move || client_config(&files)).await??)
                };
                let stream = TlsConnector::from(config).connect(name, stream).await?;
                Ok(Box::pin(First::new(stream, beginning)))
            }
        }
    }
}

/// Whether the files are now what a connection in TLS needs; what they make, if one of them
/// is a pipe or the like, which can't be read again.
pub(crate) fn check(files: &TlsFiles) -> io::Result<Option<Arc<ClientConfig>>> {
    let config = client_config(files)?;
    let TlsFiles { ca, identity } = files;
    let pair = identity.iter().flat_map(|(first, second)| [first, second]);
    let can_be_read_again = ca.iter().chain(pair).all(|path| path.is_file());
    Ok((!can_be_read_again).then(|| Arc::new(config)))
}

/// What the files make now.
fn client_config(files: &TlsFiles) -> io::Result<ClientConfig> {
    let TlsFiles { ca, identity } = files;
    let roots = match ca {
        Some(path) => given_roots(path)?,
        None => system_roots(),
    };
    if roots.is_empty() {
        return Err(io::Error::other("no certificates are trusted"));
    }
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = certificates(certificate)?;
            let pem = Zeroizing::new(read(key)?);
            let read = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| unusable(key))?;
            let built = builder.with_client_auth_cert(chain, read);
            built.map_err(|error| {
                let path = key.display();
                io::Error::other(format!("{path} is not the key of the certificate: {error}"))
            })?
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

fn given_roots(path: &Path) -> io::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|_| unusable(path))?;
    }
    Ok(roots)
}

/// What the system trusts; certificates that can't be used are passed over.
fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let loaded = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(loaded.certs);
    roots
}

fn certificates(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let pem = read(path)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let certificates = certificates.ok().filter(|found| !found.is_empty());
    certificates.ok_or_else(|| unusable(path))
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let named = |error| io::Error::other(format!("{} can't be read: {error}", path.display()));
    std::fs::read(path).map_err(named)
}

fn unusable(path: &Path) -> io::Error {
    io::Error::other(format!("{} is not what it should be", path.display()))
}
