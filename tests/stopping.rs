//! What those are told who are in the middle of something when a server is told to stop.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/calls.rs"]
mod calls;
mod support;

use std::error::Error as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use calls::everything;
use credd::proto::v1;
use credd::proto::v1::Verdict;
use support::program::{Program, serve};
use support::{Client, read_token, soon, token_request, until, verify_token_request};
use tokio_stream::StreamExt as _;
use tonic::{Code, Status};

/// How many ask one after the other, each over a connection of its own.
const ASKING: usize = 8;

/// Verifies a token, or issues one, until a call fails, and returns why; counts the
/// answers.
async fn call(client: Client, token: Option<String>, answers: Arc<AtomicUsize>) -> Status {
    loop {
        let answered = match &token {
            Some(token) => client.verify_token(token).await.map(|answer| {
                assert_eq!(answer.verdict(), Verdict::Active);
            }),
            None => client.issue(token_request("acme")).await.map(drop),
        };
        match answered {
            Ok(()) => answers.fetch_add(1, Ordering::Relaxed),
            Err(status) => return status,
        };
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_are_under_way_are_answered_and_streams_are_told_where_to_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let (server, address) = Program::serve(serve(&[], directory.path()));
    let admin_token = read_token(directory.path());
    let admin = Client::connect(address, &admin_token).await;
    let (_, token) = admin.issue_token("acme").await;

    let verified = Arc::new(AtomicUsize::new(0));
    let issued = Arc::new(AtomicUsize::new(0));
    let mut calling = tokio::task::JoinSet::new();
    for n in 0..ASKING {
        let client = Client::connect(address, &admin_token).await;
        let (asks, answers) = match n % 2 {
            0 => (Some(token.clone()), &verified),
            _ => (None, &issued),
        };
        calling.spawn(call(client, asks, Arc::clone(answers)));
    }
    let watched = admin.watch(v1::WatchRequest::default()).await.unwrap();
    let watching = tokio::spawn(async move {
        let mut watched = watched;
        loop {
            match watched.message().await {
                Ok(Some(message)) => assert!(message.revision.is_some()),
                end => return end,
            }
        }
    });
    let questions = tokio_stream::iter(0..).map(move |correlation| v1::VerifyStreamRequest {
        correlation,
        request: Some(verify_token_request(&token)),
    });
    let mut answers = admin
        .verification
        .clone()
        .verify_stream(questions)
        .await
        .unwrap()
        .into_inner();
    let streaming = tokio::spawn(async move {
        let mut count = 0;
        loop {
            match answers.message().await {
                Ok(Some(_)) => count += 1,
                end => return (count, end),
            }
        }
    });
    until("calls to be answered", || async {
        [&verified, &issued]
            .iter()
            .all(|it| it.load(Ordering::Relaxed) > 100)
    })
    .await;

    let ended = tokio::task::spawn_blocking(|| server.terminate());
    let ended = soon("the server's end", ended).await.unwrap();
    assert!(ended.status.success(), "{}", ended.output);
    assert!(
        !ended.output.contains("did not end in time"),
        "{}",
        ended.output
    );

    // Whoever called was answered, or was not heard any more.
    while let Some(end) = soon("the end of the calls", calling.join_next()).await {
        let status = end.unwrap();
        let was_not_sent = status.code() == Code::Cancelled && status.source().is_some();
        assert!(
            was_not_sent || status.code() == Code::Unavailable,
            "{status:?}"
        );
    }
    for (name, end) in [
        ("Watch", watching.await.unwrap().map(drop)),
        ("VerifyStream", {
            let (count, end) = streaming.await.unwrap();
            assert!(count > 0);
            end.map(drop)
        }),
    ] {
        let status = end.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{name}: {status:?}");
        assert!(status.message().contains("stopping"), "{name}: {status:?}");
    }

    // What was carried out was acknowledged.
    let (server, address) = Program::serve(serve(&[], directory.path()));
    let admin = Client::connect(address, &admin_token).await;
    let all = everything(&admin, "acme").await;
    assert_eq!(all.len(), 1 + issued.load(Ordering::Relaxed));
    assert!(server.terminate().status.success());
}
