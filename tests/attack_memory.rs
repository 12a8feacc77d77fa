//! Attacks: memory and descriptors that strangers and low callers can hold.
#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub, dead_code, missing_docs, clippy::pedantic)]
mod support;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use support::program::{Program, serve_everything};
use support::*;
use tokio_stream::StreamExt as _;
use tonic::body::Body;
use tonic::transport::{Channel, Endpoint};
use tower::Service as _;
use tower::ServiceExt as _;

fn rss_mib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

/// Opens a call whose message says `whole` bytes and of which `part` are sent; then silence.
async fn stall(channel: Channel, path: &'static str, token: Option<String>, whole: usize, part: usize) {
    let mut first = BytesMut::new();
    first.put_u8(0);
    first.put_u32(whole as u32);
    let chunk = Bytes::from(vec![0x0a; 16 * 1024]);
    let frames = std::iter::once(first.freeze()).chain(std::iter::repeat_n(chunk, part / (16 * 1024)));
    let frames = tokio_stream::iter(frames.collect::<Vec<_>>()).map(|b| Ok::<_, tonic::Status>(Frame::data(b)));
    let body = Body::new(StreamBody::new(frames.chain(tokio_stream::pending())));
    let mut request = http::Request::post(format!("http://x{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let mut channel = channel;
    let ready = channel.ready().await.unwrap();
    let answer = ready.call(request.body(body).unwrap()).await;
    match answer {
        Ok(answer) => {
            let (parts, mut body) = answer.into_parts();
            if let Some(s) = parts.headers.get("grpc-status") { eprintln!("ended {s:?} {:?}", parts.headers.get("grpc-message")); }
            use http_body_util::BodyExt as _;
            while let Some(f) = body.frame().await { if let Ok(f) = f && let Some(t) = f.trailers_ref() { eprintln!("trailers {t:?}"); } }
        }
        Err(e) => eprintln!("error {e}"),
    }
}

async fn grows(path: &'static str, token: Option<fn(&std::path::Path) -> String>, whole: usize, streams: usize) -> (u64, u64, u64) {
    let directory = tempfile::tempdir().unwrap();
    let (program, address) = Program::serve(serve_everything(&[], directory.path()));
    let token = token.map(|t| t(directory.path()));
    let before = rss_mib(program.id());
    let mut held = tokio::task::JoinSet::new();
    for n in 0..streams {
        // 100 streams a connection
        let _ = n;
    }
    let mut channels = Vec::new();
    for _ in 0..streams.div_ceil(100) { channels.push(connect(address).await); }
    for n in 0..streams {
        held.spawn(stall(channels[n / 100].clone(), path, token.clone(), whole, whole - 32 * 1024));
    }
    tokio::time::sleep(Duration::from_secs(12)).await;
    let during = rss_mib(program.id());
    tokio::time::sleep(Duration::from_secs(30)).await;
    let later = rss_mib(program.id());
    eprintln!("{path}: {before} MiB, {during} MiB, after 42 s {later} MiB; calls ended: {}", { let mut k = 0; while held.try_join_next().is_some() { k += 1 } k });
    drop(program);
    (before, during, later)
}

async fn connect(address: SocketAddr) -> Channel {
    Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verifier_holds_no_memory_by_streams() {
    let (before, _, later) = grows("/credd.v1.VerificationService/VerifyStream", Some(read_token), 1 << 20, 400).await;
    assert!(later < before + 100, "{before} -> {later} MiB with 400 streams");
}

/// Who asks for pages and does not read them holds no memory.
#[tokio::test(flavor = "multi_thread")]
async fn who_reads_no_answers_holds_no_memory() {
    let directory = tempfile::tempdir().unwrap();
    let (program, address) = Program::serve(serve_everything(&[], directory.path()));
    let token = read_token(directory.path());
    let admin = Client::connect(address, &token).await;
    let mut set = tokio::task::JoinSet::new();
    for part in 0..50 {
        let admin = admin.clone();
        set.spawn(async move {
            for n in 0..20 {
                let request = credd::proto::v1::IssueRequest { description: "d".repeat(500), owner: format!("o{part}-{n}"), ..token_request("acme") };
                admin.issue(request).await.unwrap();
            }
        });
    }
    set.join_all().await;
    let before = rss_mib(program.id());
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap().initial_stream_window_size(1024);
    let mut held = tokio::task::JoinSet::new();
    let mut request = BytesMut::new();
    let message = prost::Message::encode_to_vec(&credd::proto::v1::ListRequest { page_size: 1000, ..Default::default() });
    request.put_u8(0);
    request.put_u32(message.len() as u32);
    request.put_slice(&message);
    let request = request.freeze();
    for _ in 0..3 {
        let channel = endpoint.connect().await.unwrap();
        for _ in 0..200 {
            let (mut channel, token, request) = (channel.clone(), token.clone(), request.clone());
            held.spawn(async move {
                let body = Body::new(http_body_util::Full::new(request).map_err(|n: std::convert::Infallible| match n {}));
                let asked = http::Request::post("http://x/credd.v1.CredentialService/List").header("content-type", "application/grpc").header("te", "trailers").header("authorization", format!("Bearer {token}")).body(body).unwrap();
                let answer = channel.ready().await.unwrap().call(asked).await;
                // And never reads it.
                std::future::pending::<()>().await;
                drop(answer);
            });
        }
    }
    tokio::time::sleep(Duration::from_secs(45)).await;
    let later = rss_mib(program.id());
    let mut ended = 0; while held.try_join_next().is_some() { ended += 1; }
    eprintln!("{before} -> {later} MiB, {ended} ended");
    assert!(later < before + 100, "{before} -> {later} MiB with 600 calls that nobody reads");
}
