//! Who is let in, and as whom.

use std::sync::{Arc, Mutex};

use credd::domain::time::{Clock as _, SystemClock};
use credd::rpc::peer::Peer;
use credd::server::incoming::{self, Incoming};
use credd::server::tls::{Tls, TlsSettings};
use rcgen::{ExtendedKeyUsagePurpose, SanType};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::rustls::{AlertDescription, version};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::service::InterceptorLayer;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::pki::{Authority, NOT_AFTER, Wanted, dns, uri};
use crate::support::{STUCK, channel};
use crate::tls::{Pki, TlsServer, connect};

#[tokio::test]
async fn a_client_with_a_good_certificate_is_answered() {
    let pki = Pki::new();
    let server = TlsServer::start(pki.settings()).await;
    for version in [&version::TLS13, &version::TLS12] {
        let mut client = pki.client();
        client.versions = vec![version];
        client.connect(server.address).await.unwrap();
    }
    let admin = server.admin(&pki.client()).await;
    admin.issue_token("acme").await;
    server.stop().await;
}

#[tokio::test]
async fn a_client_without_a_good_certificate_is_refused_at_the_handshake() {
    let pki = Pki::new();
    let server = TlsServer::start(pki.settings()).await;
    let names = [uri("spiffe://credd.test/client")];
    let of_years = |years| {
        let wanted = Wanted::client(names.clone());
        pki.clients.issue(Wanted { years, ..wanted })
    };
    let for_servers = pki.clients.issue(Wanted {
        purpose: ExtendedKeyUsagePurpose::ServerAuth,
        ..Wanted::client(names.clone())
    });
    let of_authority = |name| Authority::new(name).client("spiffe://credd.test/client");
    let expired = AlertDescription::CertificateExpired;
    let cases = [
        (None, AlertDescription::CertificateRequired),
        (Some(of_authority("others")), AlertDescription::UnknownCA),
        // It calls itself as the right one does.
        (
            Some(of_authority("clients")),
            AlertDescription::DecryptError,
        ),
        (Some(of_years((2019, 2020))), expired),
        (Some(of_years((2099, 2100))), expired),
        (Some(for_servers), AlertDescription::UnsupportedCertificate),
    ];
    for (n, (pair, alert)) in cases.into_iter().enumerate() {
        let mut client = pki.knocker(pair);
        for version in [&version::TLS13, &version::TLS12] {
            client.versions = vec![version];
            assert_eq!(client.refusal(server.address).await, alert, "case {n}");
        }
        // With TLS 1.3 it may take a call to learn it.
        if let Ok(channel) = client.channel(server.address).await {
            let mut health = HealthClient::new(channel);
            let answer = health.check(HealthCheckRequest::default()).await;
            assert!(answer.is_err(), "case {n}: {answer:?}");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn plaintext_is_not_answered() {
    let pki = Pki::new();
    let server = TlsServer::start(pki.settings()).await;
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{}", server.address));
    if let Ok(channel) = endpoint.unwrap().connect().await {
        let mut health = HealthClient::new(channel);
        let answer = health.check(HealthCheckRequest::default()).await;
        assert!(answer.is_err(), "{answer:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn where_certificates_are_not_required_a_bad_one_is_still_refused() {
    let pki = Pki::new();
    let settings = TlsSettings {
        require_client_certificate: false,
        ..pki.settings()
    };
    let server = TlsServer::start(settings).await;
    pki.knocker(None).connect(server.address).await.unwrap();
    pki.client().connect(server.address).await.unwrap();
    let other = Authority::new("others").client("spiffe://credd.test/client");
    let refusal = pki.knocker(Some(other)).refusal(server.address).await;
    assert_eq!(refusal, AlertDescription::UnknownCA);
    server.stop().await;
}

#[tokio::test]
async fn a_session_is_never_resumed() {
    use tokio_rustls::rustls::HandshakeKind;

    let pki = Pki::new();
    let server = TlsServer::start(pki.settings()).await;
    for version in [&version::TLS13, &version::TLS12] {
        let mut client = pki.client();
        client.versions = vec![version];
        let config = client.config();
        for _ in 0..3 {
            let stream = connect(&config, server.address).await.unwrap();
            let kind = stream.get_ref().1.handshake_kind();
            assert_eq!(kind, Some(HandshakeKind::Full));
        }
    }
    server.stop().await;
}

/// Serves health as the server does with its connections; returns what its
/// requests knew of their peer when a client with these names calls.
async fn peer_of(pki: &Pki, settings: Option<TlsSettings>, names: Option<&[SanType]>) -> Peer {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let tls = settings.map(|settings| Tls::load(settings).unwrap().0);
    let is_plain = tls.is_none();
    let incoming = Incoming {
        listener,
        tls,
        preface: STUCK,
        most: 9,
    };
    let (accepted, connections) = mpsc::channel(1);
    let accept = incoming::accept(incoming, CancellationToken::new(), accepted);
    let accept = tokio::spawn(accept);
    let seen = Arc::new(Mutex::new(None));
    let see = {
        let seen = Arc::clone(&seen);
        move |request: tonic::Request<()>| {
            *seen.lock().unwrap() = request.extensions().get::<Peer>().cloned();
            Ok(request)
        }
    };
    let serve = tonic::transport::Server::builder()
        .layer(InterceptorLayer::new(see))
        .add_service(tonic_health::server::health_reporter().1)
        .serve_with_incoming(ReceiverStream::new(connections));
    let serve = tokio::spawn(serve);
    let channel = if is_plain {
        channel(address).await
    } else {
        let pair = names.map(|names| pki.clients.issue(Wanted::client(names)));
        pki.knocker(pair).channel(address).await.unwrap()
    };
    let mut health = HealthClient::new(channel);
    health.check(HealthCheckRequest::default()).await.unwrap();
    accept.abort();
    serve.abort();
    let peer = seen.lock().unwrap().take();
    peer.unwrap()
}

#[tokio::test]
async fn a_request_knows_its_peer_by_address_and_certificate() {
    let pki = Pki::new();
    let settings = TlsSettings {
        require_client_certificate: false,
        ..pki.settings()
    };
    let id = "spiffe://credd.test/ns/a/sa/b";
    let cases = [
        (vec![uri(id), dns("a.test")], Some(id)),
        (vec![dns("A.test"), dns("b.test")], Some("dns:a.test")),
        (vec![uri(id), uri(id)], None),
        (vec![dns("*.test"), dns("a.test")], None),
        (vec![SanType::IpAddress([10, 0, 0, 1].into())], None),
        (vec![], None),
    ];
    for (names, principal) in cases {
        let peer = peer_of(&pki, Some(settings.clone()), Some(&names)).await;
        assert!(peer.address.ip().is_loopback());
        let certificate = peer.certificate.unwrap();
        assert_eq!(certificate.principal.as_deref(), principal, "{names:?}");
        let until = (NOT_AFTER + 1) * 1000;
        assert_eq!(certificate.until.as_millis(), until);
        assert!(certificate.trust.holds(SystemClock.now()));
    }
    let without = peer_of(&pki, Some(settings), None).await;
    assert!(without.certificate.is_none());
    let in_plaintext = peer_of(&pki, None, None).await;
    assert!(in_plaintext.address.ip().is_loopback());
    assert!(in_plaintext.certificate.is_none());
}
