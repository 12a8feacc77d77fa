//! Clients that send slowly: they keep nobody else waiting, and what they are is
//! judged when they have sent.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/calls.rs"]
mod calls;
mod support;

use bytes::Bytes;
use calls::{jo, put_owner};
use credd::proto::v1;
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use support::{Server, channel, config, soon, verify_token_request};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tower::{Service as _, ServiceExt as _};

const VERIFY: &str = "/credd.v1.VerificationService/Verify";
const GET: &str = "/credd.v1.CredentialService/Get";
const LIST: &str = "/credd.v1.CredentialService/List";

/// How a call ends whose body comes from a channel.
async fn call(
    mut channel: Channel,
    path: &str,
    token: &str,
    parts: mpsc::Receiver<Bytes>,
) -> Result<(), Status> {
    let parts = ReceiverStream::new(parts).map(|part| Ok::<_, Status>(Frame::data(part)));
    let request = http::Request::post(format!("http://credd.test{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("authorization", format!("Bearer {token}"))
        .body(Body::new(StreamBody::new(parts)))
        .unwrap();
    let answer = channel.ready().await.unwrap().call(request).await.unwrap();
    let (head, body) = answer.into_parts();
    let refused = Status::from_header_map(&head.headers);
    let body = body.collect().await.unwrap();
    let trailers = body.trailers().and_then(Status::from_header_map);
    match refused.or(trailers).unwrap() {
        status if status.code() == Code::Ok => Ok(()),
        status => Err(status),
    }
}

/// A message as it is sent.
fn framed(message: &impl prost::Message) -> Bytes {
    let bytes = message.encode_to_vec();
    let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
    [&[0], &length[..], &bytes].concat().into()
}

/// Calls that send nothing: as many as the caller may have at once.
struct Held {
    calls: JoinSet<Result<(), Status>>,
    sides: Vec<mpsc::Sender<Bytes>>,
}

async fn hold_all(server: &Server, path: &'static str, token: &str) -> Held {
    let mut held = Held {
        calls: JoinSet::new(),
        sides: Vec::new(),
    };
    let channel = channel(server.address).await;
    // The first that is refused says that all others are in.
    for _ in 0..PLACES {
        let (side, parts) = mpsc::channel(1);
        held.sides.push(side);
        let (channel, token) = (channel.clone(), token.to_owned());
        held.calls
            .spawn(async move { call(channel, path, &token, parts).await });
    }
    let refused = soon("a call too many", held.calls.join_next()).await;
    let refused = refused.unwrap().unwrap().unwrap_err();
    assert_eq!(calls::reason(&refused), "OVERLOADED");
    held
}

/// How many calls there may be at once.
const PLACES: usize = 16;

async fn start() -> Server {
    let directory = tempfile::tempdir().unwrap();
    let mut settings = config(directory.path());
    settings.limits.max_concurrent_requests = PLACES;
    Server::start_with(directory, settings).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_who_sends_slowly_keeps_nobody_from_managing() {
    let server = start().await;
    put_owner(&server.admin, jo()).await;
    let (_, token) = server.admin.issue_caller_of("jo-login").await;
    let (id, _) = server.admin.issue_token("globex").await;
    let held = hold_all(&server, GET, &token).await;
    server.admin.lock(&id).await.unwrap();
    drop(held);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verifier_who_sends_slowly_keeps_nobody_from_verifying() {
    let server = start().await;
    server.admin.bind("credd:small", "verifier", "acme").await;
    let (_, token) = server.admin.issue_caller_of("small").await;
    let (_, good) = server.admin.issue_token("globex").await;
    let held = hold_all(&server, VERIFY, &token).await;
    let answer = server.admin.verify_token(&good).await.unwrap();
    assert_eq!(answer.verdict(), v1::Verdict::Active);
    drop(held);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_revoked_before_the_request_arrived_gets_no_answer() {
    let server = start().await;
    let (_, good) = server.admin.issue_token("acme").await;
    let listing = framed(&v1::ListRequest::default());
    let question = framed(&verify_token_request(&good));
    for (path, request) in [(VERIFY, question), (LIST, listing)] {
        server.admin.bind("credd:boss", "administrator", "*").await;
        let (id, token) = server.admin.issue_caller_of("boss").await;
        let mut held = hold_all(&server, path, &token).await;
        server.admin.revoke(&id).await.unwrap();
        let sides = std::mem::take(&mut held.sides);
        for side in sides {
            // That of the calls that were refused is closed.
            let _ = side.send(request.clone()).await;
        }
        let mut judged = 0;
        while let Some(ended) = soon("the end", held.calls.join_next()).await {
            let status = ended.unwrap().unwrap_err();
            match status.code() {
                Code::ResourceExhausted => (),
                Code::Unauthenticated => judged += 1,
                _ => panic!("{path}: {status}"),
            }
        }
        assert!(judged > 0, "{path}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_too_large_is_refused_before_it_ends() {
    let server = start().await;
    server.admin.bind("credd:boss", "administrator", "*").await;
    let (_, token) = server.admin.issue_caller_of("boss").await;
    let (side, parts) = mpsc::channel(1);
    let channel = channel(server.address).await;
    let ended = tokio::spawn(async move { call(channel, GET, &token, parts).await });
    // Messages of no bytes.
    while side.send(Bytes::from_static(&[0; 5 * 1024])).await.is_ok() {}
    let status = soon("a refusal", ended).await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(calls::reason(&status), "MESSAGE_TOO_LARGE");
    server.stop().await;
}
