//! What is fetched from a server, and what is not.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::{self, ServerConfig};

use super::super::fetch::{FetchError, fetch};
use super::super::http::{HttpError, JwksUrl};
use super::*;
use crate::domain::jwt::{InvalidKeySet, MAX_KEY_SET};

/// A server that answers each request with the same bytes, then closes.
struct Server {
    port: u16,
    requests: mpsc::UnboundedReceiver<String>,
}

impl Server {
    async fn start(answer: Vec<u8>, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (seen, requests) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (answer, seen) = (answer.clone(), seen.clone());
                let tls = tls.clone();
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, &answer, &seen).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, &answer, &seen).await;
                            }
                        }
                    }
                });
            }
        });
        Self { port, requests }
    }

    async fn plain(answer: impl Into<Vec<u8>>) -> Self {
        Self::start(answer.into(), None).await
    }

    /// What is fetched from it.
    async fn fetched(&self) -> Result<usize, FetchError> {
        let url = format!("http://127.0.0.1:{}/jwks?x=y", self.port);
        fetched(&url, None, None).await
    }

    fn seen(&mut self) -> Option<String> {
        self.requests.try_recv().ok()
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    answer: &[u8],
    seen: &mpsc::UnboundedSender<String>,
) {
    let mut request = Vec::new();
    // Until the end of the head, or the beginning of TLS.
    while !request.ends_with(b"\r\n\r\n") && !request.starts_with(&[0x16]) {
        match stream.read_u8().await {
            Ok(byte) => request.push(byte),
            Err(_) => return,
        }
    }
    let _ = seen.send(String::from_utf8(request).unwrap());
    // The client may have gone away in the middle of it.
    let _ = stream.write_all(answer).await;
    let _ = stream.shutdown().await;
}

/// How many keys there are at this URL.
async fn fetched(
    url: &str,
    ca_file: Option<&Path>,
    token_file: Option<&Path>,
) -> Result<usize, FetchError> {
    let source = JwksSource::Url {
        url: url.parse().unwrap(),
        ca_file: ca_file.map(Path::to_owned),
        token_file: token_file.map(Path::to_owned),
    };
    let time = Limits::default().fetch_time * 6;
    let keys = tokio::time::timeout(time, fetch(&source)).await;
    keys.expect("it is stuck").map(|keys| keys.keys().len())
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\n\r\n{body}")
}

fn good() -> String {
    answer("200 OK", "", &key_set(&[&signer("k1")]))
}

/// A certificate authority and a server that has a certificate of it for `name`.
fn tls(name: &str) -> (String, TlsAcceptor) {
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new([name.to_owned()]).unwrap();
    let certificate = certificate.signed_by(&key, &ca).unwrap();
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    (ca.pem(), TlsAcceptor::from(Arc::new(config)))
}

#[tokio::test]
async fn a_key_set_is_fetched_with_a_plain_get() {
    let mut server = Server::plain(good()).await;
    assert_eq!(server.fetched().await.unwrap(), 1);
    let request = server.seen().unwrap().to_ascii_lowercase();
    assert!(
        request.starts_with("get /jwks?x=y http/1.1\r\n"),
        "{request}"
    );
    let host = format!("\r\nhost: 127.0.0.1:{}\r\n", server.port);
    assert!(request.contains(&host), "{request}");
    assert!(!request.contains("authorization"), "{request}");
}

#[tokio::test]
async fn an_answer_may_be_chunked_or_end_with_the_connection() {
    let keys = key_set(&[&signer("k1")]);
    let chunked = format!(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{keys}\r\n0\r\n\r\n",
        keys.len()
    );
    assert_eq!(Server::plain(chunked).await.fetched().await.unwrap(), 1);
    let closed = format!("HTTP/1.1 200 OK\r\n\r\n{keys}");
    assert_eq!(Server::plain(closed).await.fetched().await.unwrap(), 1);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let mut elsewhere = Server::plain(good()).await;
    for status in ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"] {
        let location = format!("location: http://127.0.0.1:{}/\r\n", elsewhere.port);
        let server = Server::plain(answer(status, &location, "")).await;
        let outcome = server.fetched().await;
        let refused = matches!(outcome, Err(FetchError::Http(HttpError::Status(_))));
        assert!(refused, "{outcome:?}");
    }
    assert_eq!(elsewhere.seen(), None);
}

#[tokio::test]
async fn only_a_good_answer_counts() {
    let keys = key_set(&[&signer("k1")]);
    for status in [
        "204 No Content",
        "206 Partial",
        "401 No",
        "404 No",
        "500 No",
    ] {
        let outcome = Server::plain(answer(status, "", &keys))
            .await
            .fetched()
            .await;
        let refused = matches!(outcome, Err(FetchError::Http(HttpError::Status(_))));
        assert!(refused, "{status}: {outcome:?}");
    }
    let outcome = Server::plain("SSH-2.0-x\r\n").await.fetched().await;
    let refused = matches!(outcome, Err(FetchError::Http(HttpError::Exchange(_))));
    assert!(refused, "{outcome:?}");
    let cut = answer("200 OK", "", &keys);
    let cut = &cut[..cut.len() - 1];
    let outcome = Server::plain(cut).await.fetched().await;
    let refused = matches!(outcome, Err(FetchError::Http(HttpError::Body(_))));
    assert!(refused, "{outcome:?}");
    let outcome = Server::plain(answer("200 OK", "", "<html>"))
        .await
        .fetched()
        .await;
    let refused = matches!(outcome, Err(FetchError::Invalid(InvalidKeySet::Form)));
    assert!(refused, "{outcome:?}");
}

#[tokio::test]
async fn no_more_than_so_much_is_read() {
    let keys = key_set(&[&signer("k1")]);
    let padded = |length: usize| format!("{keys}{}", " ".repeat(length - keys.len()));
    let longest = answer("200 OK", "", &padded(MAX_KEY_SET));
    assert_eq!(Server::plain(longest).await.fetched().await.unwrap(), 1);
    let too_long = padded(MAX_KEY_SET + 1);
    let closed = format!("HTTP/1.1 200 OK\r\n\r\n{too_long}");
    for answer in [answer("200 OK", "", &too_long), closed] {
        let outcome = Server::plain(answer).await.fetched().await;
        let refused = matches!(outcome, Err(FetchError::Http(HttpError::TooLong(_))));
        assert!(refused, "{outcome:?}");
    }
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("jwks.json");
    write(&file, &too_long);
    let outcome = fetch(&JwksSource::File(file)).await;
    let refused = matches!(outcome, Err(FetchError::Invalid(InvalidKeySet::TooLong)));
    assert!(refused, "{outcome:?}");
}

#[tokio::test]
async fn a_server_needs_a_certificate_of_those_who_are_trusted() {
    let directory = tempfile::tempdir().unwrap();
    let (ca, acceptor) = tls("localhost");
    let (other_ca, _) = tls("localhost");
    let server = Server::start(good().into(), Some(acceptor)).await;
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        write(&path, text);
        path
    };
    let url = format!("https://localhost:{}/jwks", server.port);
    let both = file("both", &format!("{other_ca}{ca}"));
    let ca = file("ca", &ca);
    let other_ca = file("other", &other_ca);
    assert_eq!(fetched(&url, Some(&ca), None).await.unwrap(), 1);
    assert_eq!(fetched(&url, Some(&both), None).await.unwrap(), 1);
    let is_refused = |outcome: &Result<usize, FetchError>| match outcome {
        Err(FetchError::Http(error)) => {
            matches!(error, HttpError::Connect(_) | HttpError::Roots(_))
        }
        _ => false,
    };
    let outcome = fetched(&url, Some(&other_ca), None).await;
    assert!(is_refused(&outcome), "another authority: {outcome:?}");
    let outcome = fetched(&url, None, None).await;
    assert!(is_refused(&outcome), "those of the system: {outcome:?}");
    let by_address = format!("https://127.0.0.1:{}/jwks", server.port);
    let outcome = fetched(&by_address, Some(&ca), None).await;
    assert!(is_refused(&outcome), "another name: {outcome:?}");
    for (name, text) in [("empty", ""), ("text", "no certificate")] {
        let outcome = fetched(&url, Some(&file(name, text)), None).await;
        assert!(is_refused(&outcome), "{name}: {outcome:?}");
    }
    let plain = Server::plain(good()).await;
    let url = format!("https://localhost:{}/jwks", plain.port);
    let outcome = fetched(&url, Some(&ca), None).await;
    assert!(is_refused(&outcome), "no TLS: {outcome:?}");
    let missing = directory.path().join("missing");
    let outcome = fetched(&url, Some(&missing), None).await;
    assert!(matches!(outcome, Err(FetchError::File { .. })));
}

#[tokio::test]
async fn a_server_may_be_named_by_its_address() {
    let directory = tempfile::tempdir().unwrap();
    let (ca, acceptor) = tls("127.0.0.1");
    let server = Server::start(good().into(), Some(acceptor)).await;
    let file = directory.path().join("ca");
    write(&file, &ca);
    let url = format!("https://127.0.0.1:{}/jwks", server.port);
    assert_eq!(fetched(&url, Some(&file), None).await.unwrap(), 1);
}

#[tokio::test]
async fn the_token_is_read_anew_for_each_fetch() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    let mut server = Server::plain(good()).await;
    let url = format!("http://localhost:{}/jwks", server.port);
    for token in ["first", "second\n", "  third\r\n"] {
        write(&file, token);
        assert_eq!(fetched(&url, None, Some(&file)).await.unwrap(), 1);
        let request = server.seen().unwrap();
        let line = format!("\r\nauthorization: Bearer {}\r\n", token.trim());
        assert!(request.contains(&line), "{request}");
    }
    for token in ["", "\n", "two words", "x\r\nhost: y", "ä"] {
        write(&file, token);
        let outcome = fetched(&url, None, Some(&file)).await;
        let refused = matches!(outcome, Err(FetchError::Http(HttpError::Token)));
        assert!(refused, "{token:?}: {outcome:?}");
        let shown = format!("{0} {0:?}", outcome.unwrap_err());
        assert!(!shown.contains("words"), "{shown}");
    }
    assert_eq!(server.seen(), None, "nobody was asked without a token");
}

#[tokio::test]
async fn where_nobody_listens_nothing_is_fetched() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    assert!(TcpStream::connect(address).await.is_err());
    let outcome = fetched(&format!("http://{address}/"), None, None).await;
    let refused = matches!(outcome, Err(FetchError::Http(HttpError::Connect(_))));
    assert!(refused, "{outcome:?}");
}

#[test]
fn a_url_is_secure_or_of_this_machine() {
    for good in [
        "https://kubernetes.default.svc/openid/v1/jwks",
        "https://issuer.example",
        "https://issuer.example:8443/a?b=c",
        "https://10.0.0.1/jwks",
        "https://[2001:db8::1]:8443/jwks",
        "http://localhost:8080/jwks",
        "http://127.0.0.1/jwks",
        "http://127.1.2.3/jwks",
        "http://[::1]:8080/jwks",
    ] {
        assert!(good.parse::<JwksUrl>().is_ok(), "{good}");
    }
    for bad in [
        "",
        "/jwks",
        "issuer.example",
        "issuer.example/jwks",
        "https://",
        "https:///jwks",
        "ftp://issuer.example/jwks",
        "file:///etc/passwd",
        "http://issuer.example/jwks",
        "http://10.0.0.1/jwks",
        "http://0.0.0.0/jwks",
        "http://[2001:db8::1]/jwks",
        "http://localhost.example/jwks",
        "http://127.0.0.1.example/jwks",
        "http://localhost@issuer.example/jwks",
        "https://user:secret@issuer.example/jwks",
        "https://issuer.example/a b",
    ] {
        assert!(bad.parse::<JwksUrl>().is_err(), "{bad}");
    }
}
