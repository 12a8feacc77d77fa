//! What callers may ask for at once and one after the other, and how many
//! credentials they may have.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/calls.rs"]
mod calls;
mod support;

use std::convert::Infallible;

use bytes::Bytes;
use calls::{fields, issue_request, jo, put_owner, reason, refused};
use credd::proto::v1;
use credd::rpc::limits::STRANGERS;
use credd::server::config::Limits;
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use support::{Server, channel, config, soon, until};
use tokio_stream::StreamExt as _;
use tonic::body::Body;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt as _;
use tower::ServiceExt as _;

async fn start(change: impl FnOnce(&mut Limits)) -> Server {
    let directory = tempfile::tempdir().unwrap();
    let mut settings = config(directory.path());
    change(&mut settings.limits);
    Server::start_with(directory, settings).await
}

fn says_when_to_come_again(status: &tonic::Status) -> bool {
    let details = status.get_error_details();
    let retry = details.retry_info().and_then(|info| info.retry_delay);
    retry.is_some_and(|delay| !delay.is_zero())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_calls_too_often_is_told_when_to_come_again_and_others_go_on() {
    let server = start(|limits| {
        limits.requests_per_second_per_caller = 1;
        limits.burst_per_caller = 5;
    })
    .await;
    let mut answered = 0;
    let last = loop {
        match server.admin.list(v1::ListRequest::default()).await {
            Ok(_) => answered += 1,
            Err(status) => break status,
        }
        assert!(answered < 1_000, "nothing limits it");
    };
    assert!(answered >= 5, "the burst");
    assert_eq!(last.code(), Code::ResourceExhausted);
    assert_eq!(reason(&last), "RATE_LIMITED");
    assert!(says_when_to_come_again(&last));
    let again = async {
        while server.admin.list(v1::ListRequest::default()).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    soon("the next second", again).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_and_owners_have_no_more_credentials_than_they_may() {
    let server = start(|limits| {
        limits.credentials_per_owner = 2;
        limits.credentials_per_tenant = 3;
    })
    .await;
    let admin = &server.admin;
    put_owner(admin, jo()).await;
    let (first, _) = admin.issue_token("acme").await;
    admin.issue_token("acme").await;
    let of = |owner: &str| issue_request("acme", owner, "api-token");
    let owner = admin.list(v1::ListRequest::default()).await.unwrap();
    let owner = owner
        .credentials
        .iter()
        .find(|one| one.id == first)
        .unwrap()
        .owner
        .clone();
    let full = refused(admin.issue(of(&owner)).await);
    assert_eq!(full.code(), Code::ResourceExhausted);
    assert_eq!(reason(&full), "QUOTA_EXCEEDED");
    admin.issue(of("another")).await.unwrap();
    let full = refused(admin.issue(of("third")).await);
    assert_eq!(reason(&full), "QUOTA_EXCEEDED");
    admin.issue_token("globex").await;

    // A hundred at once are counted one by one.
    admin.revoke(&first).await.unwrap();
    let mut all = tokio::task::JoinSet::new();
    for n in 0..100 {
        let (admin, request) = (admin.clone(), of(&format!("owner-{n}")));
        all.spawn(async move { admin.issue(request).await.is_ok() });
    }
    let issued = all.join_all().await.into_iter().filter(|ok| *ok).count();
    assert_eq!(issued, 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_half_of_the_places_are_taken_verify_is_answered() {
    let server = start(|limits| limits.max_concurrent_requests = 2).await;
    let (_, token) = server.admin.issue_token("acme").await;
    let verifying = server.admin.clone();
    let mut storm = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let client = server
            .client(&support::read_token(server.directory.path()))
            .await;
        storm.spawn(async move {
            let mut refused = 0;
            for _ in 0..50 {
                if let Err(status) = client.issue(support::token_request("globex")).await {
                    assert_eq!(reason(&status), "OVERLOADED");
                    assert!(says_when_to_come_again(&status));
                    refused += 1;
                }
            }
            refused
        });
    }
    // One at a time: the other half is its own.
    for _ in 0..200 {
        assert_eq!(verifying.verdict(&token).await, v1::Verdict::Active);
    }
    let refused: usize = storm.join_all().await.into_iter().sum();
    assert!(refused > 0, "the storm was none");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_larger_than_configured_is_refused_by_name() {
    let server = start(|limits| limits.max_message_bytes = 2048).await;
    let request = v1::IssueRequest {
        description: "d".repeat(3000),
        ..support::token_request("acme")
    };
    let status = refused(server.admin.issue(request).await);
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(reason(&status), "MESSAGE_TOO_LARGE");
    assert_eq!(fields(&status), ["request"]);
    server.stop().await;
}

/// The status of a call by nobody in particular, that sends the head of a message
/// of so many bytes, and then nothing.
async fn begin_message(channel: &Channel, path: &str, bytes: u32) -> Status {
    let head = [&[0], &bytes.to_be_bytes()[..]].concat();
    let head = Ok::<_, Infallible>(Frame::data(Bytes::from(head)));
    let body = StreamBody::new(tokio_stream::once(head).chain(tokio_stream::pending()));
    let request = http::Request::post(format!("http://credd/{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Body::new(body))
        .unwrap();
    let answer = channel.clone().oneshot(request).await.unwrap();
    let (head, body) = answer.into_parts();
    let trailers = match Status::from_header_map(&head.headers) {
        Some(status) => return status,
        None => body.collect().await.unwrap().trailers().cloned(),
    };
    Status::from_header_map(&trailers.unwrap()).unwrap()
}

/// Whoever connects may ask for health and reflection, and what they begin to send
/// would be kept for as long as they like.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_message_of_a_stranger_is_refused_before_it_is_there() {
    let server = Server::start().await;
    let channel = support::channel(server.address).await;
    for method in ["Check", "Watch"] {
        let path = format!("grpc.health.v1.Health/{method}");
        let status = soon(&path, begin_message(&channel, &path, (1 << 10) + 1)).await;
        assert_eq!(status.code(), Code::ResourceExhausted, "{path}: {status}");
        assert_eq!(reason(&status), "MESSAGE_TOO_LARGE", "{path}");
    }
    for version in ["v1", "v1alpha"] {
        let path = format!("grpc.reflection.{version}.ServerReflection/ServerReflectionInfo");
        // It says nothing of a message that it does not take, and ends.
        soon(&path, begin_message(&channel, &path, (16 << 10) + 1)).await;
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_caller_keeps_others_out_by_its_connections_even_once_it_is_none() {
    let server = start(|limits| limits.max_connections = 5).await;
    let admin = &server.admin;
    let (id, token) = admin.issue_verifier("greedy").await;
    let (_, good) = admin.issue_token("acme").await;
    let mut held = Vec::new();
    for _ in 0..4 {
        let client = server.client(&token).await;
        client.verify_token(&good).await.unwrap();
        held.push(client);
    }
    admin.revoke(&id).await.unwrap();
    let other = soon("a connection", server.another_admin()).await;
    let verdict = soon("a verdict", other.verdict(&good)).await;
    assert_eq!(verdict, v1::Verdict::Active);
    assert_eq!(admin.verdict(&good).await, v1::Verdict::Active);
    drop((held, other));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_have_so_many_streams_and_callers_have_theirs_beside_them() {
    let server = start(|_| ()).await;
    let (mut held, mut channels) = (Vec::new(), Vec::new());
    let refused = loop {
        // A connection has so many streams.
        if held.len() % 100 == 0 {
            channels.push(channel(server.address).await);
        }
        let mut client = HealthClient::new(channels.last().unwrap().clone());
        let watch = client.watch(HealthCheckRequest::default());
        match soon("an answer", watch).await {
            Ok(answers) => held.push(answers.into_inner()),
            Err(status) => break status,
        }
    };
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert!(says_when_to_come_again(&refused));
    assert_eq!(held.len(), STRANGERS);
    // Neither a question about health nor a stream of a caller is one of them.
    let mut client = HealthClient::new(channels[0].clone());
    client.check(HealthCheckRequest::default()).await.unwrap();
    server
        .admin
        .watch(v1::WatchRequest::default())
        .await
        .unwrap();
    drop(held.pop());
    until("a place", async || {
        let mut client = HealthClient::new(channels[0].clone());
        client.watch(HealthCheckRequest::default()).await.is_ok()
    })
    .await;
    drop((held, channels, client));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_nobodys_once_who_has_it_is_refused() {
    let server = start(|limits| limits.max_connections = 4).await;
    let admin = &server.admin;
    let (_, good) = admin.issue_token("acme").await;
    let mut held = Vec::new();
    for name in ["one", "two", "three"] {
        let (id, token) = admin.issue_verifier(name).await;
        let client = server.client(&token).await;
        client.verify_token(&good).await.unwrap();
        admin.revoke(&id).await.unwrap();
        let refused = client.verify_token(&good).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated);
        held.push(client);
    }
    let other = soon("a connection", server.another_admin()).await;
    let verdict = soon("a verdict", other.verdict(&good)).await;
    assert_eq!(verdict, v1::Verdict::Active);
    drop((held, other));
    server.stop().await;
}
