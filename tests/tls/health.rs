//! The listener for health alone.

use bytes::Bytes;
use tonic::transport::Endpoint;
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;

use crate::support::raw::{self, rpcs};
use crate::support::{channel, soon};
use crate::tls::{Pki, TlsServer, closed};

fn of(service: &str) -> HealthCheckRequest {
    HealthCheckRequest {
        service: service.to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_answered_in_plaintext_as_it_is_over_tls() {
    let pki = Pki::new();
    let server = TlsServer::start(pki.settings()).await;
    let mut plain = HealthClient::new(channel(server.health).await);
    let over_tls = pki.client().channel(server.address).await.unwrap();
    let mut over_tls = HealthClient::new(over_tls);
    for service in ["", "credd.v1.CredentialService"] {
        for health in [&mut plain, &mut over_tls] {
            let answer = health.check(of(service)).await.unwrap().into_inner();
            assert_eq!(answer.status(), ServingStatus::Serving, "{service}");
        }
    }
    for health in [&mut plain, &mut over_tls] {
        let error = health.check(of("none")).await.unwrap_err();
        assert_eq!(error.code(), Code::NotFound);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_watches_health_learns_that_the_server_stops() {
    let pki = Pki::new();
    let server = TlsServer::start(pki.settings()).await;
    let mut plain = HealthClient::new(channel(server.health).await);
    let mut statuses = plain.watch(of("")).await.unwrap().into_inner();
    let status = soon("a status", statuses.message()).await.unwrap().unwrap();
    assert_eq!(status.status(), ServingStatus::Serving);
    let ended = server.begin_stop();
    let status = soon("a status", statuses.message()).await.unwrap().unwrap();
    assert_eq!(status.status(), ServingStatus::NotServing);
    let end = soon("the end", statuses.message()).await.unwrap_err();
    assert_eq!(end.code(), Code::Unavailable);
    ended.await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_health_is_answered_in_plaintext() {
    let pki = Pki::new();
    let server = TlsServer::start(pki.settings()).await;
    let channel = channel(server.health).await;
    for rpc in rpcs() {
        for token in [None, Some(&server.token)] {
            let mut request = Request::new(Bytes::new());
            if let Some(token) = token {
                let value = format!("Bearer {token}").parse().unwrap();
                request.metadata_mut().insert("authorization", value);
            }
            let error = raw::call(channel.clone(), &rpc, request).await.unwrap_err();
            assert_eq!(error.code(), Code::Unimplemented, "{rpc}");
        }
    }
    let mut reflection = ServerReflectionClient::new(channel);
    let requests = tokio_stream::once(ServerReflectionRequest::default());
    let error = reflection.server_reflection_info(requests).await;
    assert_eq!(error.unwrap_err().code(), Code::Unimplemented);
    assert!(pki.client().connect(server.health).await.is_err());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_for_health_that_says_nothing_is_closed() {
    let pki = Pki::new();
    let server = TlsServer::start(pki.settings()).await;
    let address = server.health;
    let mut silent = Vec::new();
    for _ in 0..2 * credd::server::health::MAX_CONNECTIONS {
        silent.push(tokio::net::TcpStream::connect(address).await.unwrap());
    }
    // Those that are over the limit are taken when these are gone.
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    let mut health = HealthClient::new(endpoint.connect_lazy());
    let answer = soon("an answer", health.check(of(""))).await.unwrap();
    assert_eq!(answer.into_inner().status(), ServingStatus::Serving);
    for stream in silent {
        closed(stream).await;
    }
    server.stop().await;
}

/// Some ask nothing more, the others for an answer that does not end.
#[tokio::test(flavor = "multi_thread")]
async fn who_stays_connected_for_health_keeps_no_probe_out() {
    let pki = Pki::new();
    let server = TlsServer::start(pki.settings()).await;
    let mut staying = Vec::new();
    for number in 0..2 * credd::server::health::MAX_CONNECTIONS {
        let mut health = HealthClient::new(channel(server.health).await);
        let answer = soon("an answer", health.check(of(""))).await.unwrap();
        assert_eq!(answer.into_inner().status(), ServingStatus::Serving);
        let watch = if number % 2 == 0 {
            Some(health.watch(of("")).await.unwrap().into_inner())
        } else {
            None
        };
        staying.push((health, watch));
    }
    // Those who came first had to go, those who came last did not.
    let mut watches = staying.into_iter().filter_map(|(_, watch)| watch);
    let mut first = watches.next().unwrap();
    let until_the_end = async { while let Ok(Some(_)) = first.message().await {} };
    soon("the end of the first watch", until_the_end).await;
    let mut last = watches.last().unwrap();
    let status = soon("a status", last.message()).await.unwrap().unwrap();
    assert_eq!(status.status(), ServingStatus::Serving);
    server.stop().await;
}
