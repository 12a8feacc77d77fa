//! What must not bring a server down, nor keep it from ending.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod support;

use credd::proto::v1::{Verdict, VerifyStreamRequest};
use support::{Server, channel, config, soon, verify_token_request};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// A server that would wait an hour for the last call.
async fn patient() -> Server {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path());
    config.server.shutdown_seconds = 3600;
    Server::start_with(directory, config).await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_watches_the_health_does_not_keep_a_server_from_stopping() {
    let server = patient().await;
    let mut health = HealthClient::new(channel(server.address).await);
    let watch = health.watch(HealthCheckRequest::default()).await.unwrap();
    let mut watch = watch.into_inner();
    let status = watch.message().await.unwrap().unwrap().status();
    assert_eq!(status, ServingStatus::Serving);
    server.stop().await;
    let status = watch.message().await.unwrap().unwrap().status();
    assert_eq!(status, ServingStatus::NotServing);
    let end = watch.message().await.unwrap_err();
    assert_eq!(end.code(), Code::Unavailable);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_says_nothing_does_not_keep_a_server_from_stopping() {
    let server = patient().await;
    let silent = TcpStream::connect(server.address).await.unwrap();
    server.admin.issue_token("acme").await;
    server.stop().await;
    drop(silent);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_asks_nothing_ends_when_its_caller_is_revoked() {
    let server = Server::start().await;
    let (id, token) = server.admin.issue_verifier("gateway").await;
    let mut verifier = server.client(&token).await.verification;
    let (questions, receiver) = mpsc::channel(1);
    let question = VerifyStreamRequest {
        correlation: 7,
        request: Some(verify_token_request("nonsense")),
    };
    questions.send(question).await.unwrap();
    let answers = verifier.verify_stream(ReceiverStream::new(receiver)).await;
    let mut answers = answers.unwrap().into_inner();
    assert_eq!(answers.message().await.unwrap().unwrap().correlation, 7);
    server.admin.revoke(&id).await.unwrap();
    let end = soon("the stream's end", answers.message()).await;
    assert_eq!(end.unwrap_err().code(), Code::Unauthenticated);
    drop(questions);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_changes_and_nothing_else() {
    let server = Server::start().await;
    let mut tokens = Vec::new();
    for _ in 0..5 {
        tokens.push(server.admin.issue_token("acme").await);
    }
    let directory = server.stop().await;
    // No disk has so much room. There is something to compact, which needs some.
    let mut config = config(directory.path());
    config.store.disk_reserve_mib = u64::MAX;
    config.retention.log_commits = 1;
    let server = Server::start_with(directory, config).await;
    for (id, token) in tokens {
        let refused = server.admin.revoke(&id).await.unwrap_err();
        assert_eq!(refused.code(), Code::ResourceExhausted);
        assert_eq!(server.admin.verdict(&token).await, Verdict::Active);
    }
    server.stop().await;
}
