//! How long streams end.

use credd::authority::watch::ResumePoint;
use credd::domain::revision::Position;
use credd::proto::v1;
use credd::proto::v1::verify_stream_response::Outcome;
use credd::rpc::resume_token;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt as _;

use crate::history::{History, Recorder, resumable};
use crate::support::{Client, Server, config, soon, verify_token_request};
use crate::writers::write;

fn reason(status: &Status) -> String {
    let details = status.get_error_details();
    let info = details.error_info();
    info.unwrap_or_else(|| panic!("without a reason: {status:?}"))
        .reason
        .clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_ends_with_the_token_reached_when_the_server_stops_and_resumes_exactly_there() {
    let mut server = Server::start().await;
    let start = server.admin.list(v1::ListRequest::default()).await.unwrap();
    let mut recorders = Vec::new();
    for _ in 0..4 {
        let client = server.another_admin().await;
        let mut recorder = Recorder::start(&client, v1::WatchRequest::default()).await;
        recorder.next().await.unwrap();
        recorders.push(recorder);
    }
    let writer = server.another_admin().await;
    let writing = tokio::spawn(async move { write(&writer, 5, 8, 1_000_000).await });
    for recorder in &mut recorders {
        for _ in 0..20 {
            recorder.next().await.unwrap();
        }
    }
    server.begin_stop();
    let mut cut = Vec::new();
    for mut recorder in recorders {
        let status = recorder.end().await;
        assert_eq!(
            (status.code(), &*reason(&status)),
            (Code::Unavailable, "STOPPING")
        );
        let details = status.get_error_details();
        let metadata = &details.error_info().unwrap().metadata;
        let last = recorder.stream.last().unwrap();
        assert_eq!(metadata["resume_token"], last.token);
        assert_eq!(metadata["revision"], last.revision.to_string());
        cut.push(recorder.stream);
    }
    let acknowledged = writing.await.unwrap();

    let server = Server::start_in(server.stop().await).await;
    // Some commands were carried out and not answered: the log knows.
    let from_start = v1::WatchRequest {
        resume_token: resume_token::encode(&ResumePoint {
            store: start.revision.unwrap().store_id.parse().unwrap(),
            position: Position::START,
        }),
        ..Default::default()
    };
    let mut log = Recorder::start(&server.admin, from_start).await;
    let (_, token) = server.admin.issue_token("acme").await;
    let end = server.admin.verify_token(&token).await.unwrap();
    let end = end.revision.unwrap().number;
    log.reach(end).await;
    let history = History::of(&log.stream);
    assert!(
        history.includes(&acknowledged),
        "something acknowledged is gone"
    );
    for cut in cut {
        let request = v1::WatchRequest {
            resume_token: cut.last().unwrap().token.clone(),
            ..Default::default()
        };
        let mut taken_up = Recorder::start(&server.admin, request).await;
        taken_up.reach(end).await;
        assert_eq!(resumable(&cut, &taken_up.stream, &history), Ok(()));
    }
    server.stop().await;
}

#[derive(Clone, Copy, Debug)]
enum Denial {
    Lock,
    Revoke,
}

async fn deny(server: &Server, id: &str, denial: Denial) {
    match denial {
        Denial::Lock => drop(server.admin.lock(id).await.unwrap()),
        Denial::Revoke => drop(server.admin.revoke(id).await.unwrap()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_ends_when_its_own_caller_is_denied_and_tells_nothing_more() {
    let server = Server::start().await;
    for denial in [Denial::Lock, Denial::Revoke] {
        // With a filter that the caller's own change does not pass, and without.
        for tenants in [vec![], vec!["acme".to_owned()]] {
            let (id, token) = server.admin.issue_verifier("checker").await;
            let verifier = server.client(&token).await;
            let request = v1::WatchRequest {
                tenants,
                ..Default::default()
            };
            let mut recorder = Recorder::start(&verifier, request).await;
            recorder.next().await.unwrap();
            deny(&server, &id, denial).await;
            server.admin.issue_token("acme").await;
            let status = recorder.end().await;
            assert_eq!(status.code(), Code::Unauthenticated, "{denial:?}");
            assert_eq!(reason(&status), "CALLER_UNKNOWN");
            assert_eq!(recorder.stream.commits().count(), 0, "{denial:?}");
            let again = verifier.watch(v1::WatchRequest::default()).await;
            assert_eq!(again.unwrap_err().code(), Code::Unauthenticated);
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_message_ends_a_watch() {
    let server = Server::start().await;
    let (requests, receiver) = mpsc::channel(2);
    requests.send(v1::WatchRequest::default()).await.unwrap();
    let mut client = server.admin.verification.clone();
    let response = client.watch(ReceiverStream::new(receiver)).await.unwrap();
    let mut messages = response.into_inner();
    assert!(
        soon("the first message", messages.message())
            .await
            .unwrap()
            .is_some()
    );
    requests.send(v1::WatchRequest::default()).await.unwrap();
    let status = soon("the end", messages.message()).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    server.stop().await;
}

/// A `VerifyStream` and where to put questions.
async fn verify_stream(
    client: &Client,
) -> (
    mpsc::Sender<v1::VerifyStreamRequest>,
    Streaming<v1::VerifyStreamResponse>,
) {
    let (questions, receiver) = mpsc::channel(16);
    let mut client = client.verification.clone();
    let response = client.verify_stream(ReceiverStream::new(receiver)).await;
    (questions, response.unwrap().into_inner())
}

fn question(correlation: u64, token: &str) -> v1::VerifyStreamRequest {
    v1::VerifyStreamRequest {
        correlation,
        request: Some(verify_token_request(token)),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verify_stream_ends_when_its_own_caller_is_denied() {
    let server = Server::start().await;
    let (_, presented) = server.admin.issue_token("acme").await;
    for denial in [Denial::Lock, Denial::Revoke] {
        let (id, token) = server.admin.issue_verifier("checker").await;
        let verifier = server.client(&token).await;
        let (questions, mut answers) = verify_stream(&verifier).await;
        questions.send(question(1, &presented)).await.unwrap();
        let answer = soon("an answer", answers.message()).await.unwrap().unwrap();
        let Some(Outcome::Response(answer)) = answer.outcome else {
            panic!("{answer:?}");
        };
        assert_eq!(answer.verdict(), v1::Verdict::Active);
        deny(&server, &id, denial).await;
        // The stream may have ended already.
        let _ = questions.send(question(2, &presented)).await;
        let status = soon("the end", answers.message()).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated, "{denial:?}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verify_stream_whose_client_never_pauses_ends_when_the_server_stops() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path());
    // It is the stream that has to end, and not the server's patience.
    config.server.shutdown_seconds = 3600;
    let mut server = Server::start_with(directory, config).await;
    let (_, presented) = server.admin.issue_token("acme").await;
    let (questions, mut answers) = verify_stream(&server.admin).await;
    let asking = tokio::spawn(async move {
        let mut correlation = 0;
        while questions
            .send(question(correlation, &presented))
            .await
            .is_ok()
        {
            correlation += 1;
        }
    });
    for _ in 0..100 {
        soon("an answer", answers.message()).await.unwrap().unwrap();
    }
    server.begin_stop();
    let end = async {
        loop {
            match answers.message().await {
                Ok(answer) => assert!(answer.is_some(), "it ended without a status"),
                Err(status) => return status,
            }
        }
    };
    let status = soon("the end", end).await;
    // Who goes on sending may find the connection closed before it has read why.
    let is_cut_off = std::error::Error::source(&status).is_some();
    assert!(is_cut_off || reason(&status) == "STOPPING", "{status:?}");
    asking.await.unwrap();
    server.stop().await;
}
