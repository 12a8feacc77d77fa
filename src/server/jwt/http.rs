//! One GET over a connection of its own, with TLS 1.2 or 1.3 unless the server is on
//! this machine. Redirects and proxies are not followed, and nothing is kept.

use std::io;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, HOST, USER_AGENT};
use http::{HeaderValue, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Empty, LengthLimitError, Limited};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};
use zeroize::Zeroizing;

/// How long an address may take to be connected to before the next one of the same
/// name is tried.
const CONNECT_TIME: Duration = Duration::from_secs(2);

/// Where a key set is: an `https` URL, or an `http` one of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwksUrl {
    uri: Uri,
    host: String,
    port: u16,
    is_secure: bool,
}

/// Why a text is no URL of a key set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be a URL with `https` and a host, without a user; `http` is for `localhost` and loopback addresses only"
)]
pub struct InvalidUrl;

impl FromStr for JwksUrl {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        let uri: Uri = text.parse().map_err(|_| InvalidUrl)?;
        let authority = uri.authority().ok_or(InvalidUrl)?;
        // An IPv6 address stands in brackets in a URL (RFC 3986 section 3.2.2).
        let host = authority.host();
        let host = host.strip_prefix('[').map_or(host, |rest| {
            let end = rest.len() - usize::from(rest.ends_with(']'));
            &rest[..end]
        });
        let is_secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") if may_be_loopback(host) => false,
            _ => return Err(InvalidUrl),
        };
        if host.is_empty() || authority.as_str().contains('@') {
            return Err(InvalidUrl);
        }
        let port = uri.port_u16().unwrap_or(if is_secure { 443 } else { 80 });
        Ok(Self {
            host: host.to_owned(),
            port,
            is_secure,
            uri,
        })
    }
}

fn may_be_loopback(host: &str) -> bool {
    let address = host.parse::<std::net::IpAddr>();
    address.map_or(host == "localhost", |address| address.is_loopback())
}

/// Why a server did not answer as it should.
#[derive(Debug, thiserror::Error)]
pub(super) enum HttpError {
    /// The name has no address; for `http`, none that is a loopback address.
    #[error("the name of the server has no address that may be used")]
    NoAddress,
    /// Nobody there can be talked to.
    #[error("can't connect: {0}")]
    Connect(#[source] io::Error),
    /// The certificates of those who may vouch for it are none.
    #[error("there are no trusted certificates to be had: {0}")]
    Roots(String),
    /// The token is none that can be sent.
    #[error("the token for the server is not visible ASCII")]
    Token,
    /// It is no server for this.
    #[error("the exchange failed: {0}")]
    Exchange(#[from] hyper::Error),
    /// It answered something else.
    #[error("it answered with status {0}")]
    Status(StatusCode),
    /// The answer is too long.
    #[error("it answered with more than {0} bytes")]
    TooLong(usize),
    /// The answer broke off.
    #[error("the answer broke off: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
}

/// The answer of a server, of at most `most` bytes. Who vouches for it is in `ca`
/// (PEM), or known to the system.
pub(super) async fn get(
    url: &JwksUrl,
    ca: Option<&[u8]>,
    token: Option<Zeroizing<Vec<u8>>>,
    most: usize,
) -> Result<Vec<u8>, HttpError> {
    let request = request(url, token)?;
    let stream = connect(url).await?;
    if !url.is_secure {
        return exchange(stream, request, most).await;
    }
    let roots = match ca {
        Some(pem) => given_roots(pem)?,
        None => system_roots().await?,
    };
    let config = client_config(roots).map_err(|error| HttpError::Roots(error.to_string()))?;
    let name = ServerName::try_from(url.host.clone()).map_err(|_| HttpError::NoAddress)?;
    let stream = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .map_err(HttpError::Connect)?;
    exchange(stream, request, most).await
}

fn request(
    url: &JwksUrl,
    token: Option<Zeroizing<Vec<u8>>>,
) -> Result<Request<Empty<Bytes>>, HttpError> {
    let mut request = Request::new(Empty::new());
    // In origin form (RFC 9112 section 3.2.1).
    let target = url
        .uri
        .path_and_query()
        .map_or("/", |target| target.as_str());
    let invalid = |_| HttpError::NoAddress;
    *request.uri_mut() = target.parse().map_err(|_| HttpError::NoAddress)?;
    let authority = url.uri.authority().map_or("", |it| it.as_str());
    let headers = request.headers_mut();
    headers.insert(HOST, HeaderValue::from_str(authority).map_err(invalid)?);
    headers.insert(
        ACCEPT,
        HeaderValue::from_static("application/jwk-set+json, application/json"),
    );
    headers.insert(
        USER_AGENT,
        HeaderValue::from_static(concat!("credd/", env!("CARGO_PKG_VERSION"))),
    );
    if let Some(token) = token {
        let token = token.trim_ascii();
        if token.is_empty() || !token.iter().all(u8::is_ascii_graphic) {
            return Err(HttpError::Token);
        }
        let value = Zeroizing::new([b"Bearer ", token].concat());
        let mut value = HeaderValue::from_bytes(&value).map_err(|_| HttpError::Token)?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    Ok(request)
}

/// Connects to the first address that answers. Without TLS only to those of this
/// machine, whatever the name is said to mean.
async fn connect(url: &JwksUrl) -> Result<TcpStream, HttpError> {
    let found = tokio::net::lookup_host((url.host.as_str(), url.port)).await;
    let addresses: Vec<SocketAddr> = found
        .map_err(HttpError::Connect)?
        .filter(|address| url.is_secure || address.ip().is_loopback())
        .collect();
    let mut outcome = Err(HttpError::NoAddress);
    for address in addresses {
        outcome = match timeout(CONNECT_TIME, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => Err(HttpError::Connect(error)),
            Err(_) => Err(HttpError::Connect(io::ErrorKind::TimedOut.into())),
        };
    }
    outcome
}

fn given_roots(pem: &[u8]) -> Result<RootCertStore, HttpError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| HttpError::Roots(error.to_string()))?;
        roots
            .add(certificate)
            .map_err(|error| HttpError::Roots(error.to_string()))?;
    }
    some(roots)
}

/// What the system trusts; certificates that can't be used are passed over.
async fn system_roots() -> Result<RootCertStore, HttpError> {
    let loading = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs);
    let loaded = loading
        .await
        .map_err(|error| HttpError::Roots(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(loaded.certs);
    some(roots)
}

fn some(roots: RootCertStore) -> Result<RootCertStore, HttpError> {
    if roots.is_empty() {
        Err(HttpError::Roots("there is no certificate".to_owned()))
    } else {
        Ok(roots)
    }
}

fn client_config(roots: RootCertStore) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

async fn exchange<S>(
    stream: S,
    request: Request<Empty<Bytes>>,
    most: usize,
) -> Result<Vec<u8>, HttpError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let exchange = async {
        let response = sender.send_request(request).await?;
        if response.status() != StatusCode::OK {
            return Err(HttpError::Status(response.status()));
        }
        let body = Limited::new(response.into_body(), most).collect().await;
        let body = body.map_err(|error| {
            if error.is::<LengthLimitError>() {
                HttpError::TooLong(most)
            } else {
                HttpError::Body(error)
            }
        })?;
        Ok(body.to_bytes().to_vec())
    };
    // The connection ends by itself when the server closes it; what was read until
    // then is still to be had.
    let connection = async {
        let _ = connection.await;
        std::future::pending().await
    };
    tokio::select! {
        outcome = exchange => outcome,
        never = connection => never,
    }
}
