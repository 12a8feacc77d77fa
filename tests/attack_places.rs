//! Attacks on places, turns, and on the moment at which a caller is judged.
#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub, dead_code, missing_docs, clippy::pedantic)]
#[path = "support/calls.rs"]
mod calls;
mod support;

use std::time::{Duration, Instant};

use bytes::{BufMut as _, Bytes, BytesMut};
use calls::*;
use credd::proto::v1;
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use prost::Message as _;
use support::*;
use tokio_stream::StreamExt as _;
use tonic::body::Body;
use tonic::transport::Channel;
use tower::{Service as _, ServiceExt as _};

/// A call whose body comes from a channel; returns the grpc-status and the body's bytes.
async fn slow(mut channel: Channel, path: &str, token: &str, frames: tokio::sync::mpsc::Receiver<Bytes>) -> (String, Vec<u8>) {
    let frames = tokio_stream::wrappers::ReceiverStream::new(frames).map(|b| Ok::<_, tonic::Status>(Frame::data(b)));
    let request = http::Request::post(format!("http://x{path}"))
        .header("content-type", "application/grpc").header("te", "trailers")
        .header("authorization", format!("Bearer {token}"))
        .body(Body::new(StreamBody::new(frames))).unwrap();
    let answer = channel.ready().await.unwrap().call(request).await;
    let answer = match answer { Ok(a) => a, Err(e) => return (format!("transport {e:?}"), vec![]) };
    let mut status = answer.headers().get("grpc-status").map(|s| s.to_str().unwrap().to_owned());
    let collected = answer.into_body().collect().await;
    let Ok(collected) = collected else { return ("broken".into(), vec![]) };
    if let Some(t) = collected.trailers() { status = t.get("grpc-status").map(|s| s.to_str().unwrap().to_owned()).or(status); }
    (status.unwrap_or_default(), collected.to_bytes().to_vec())
}

fn framed(message: &impl prost::Message) -> Bytes {
    let bytes = message.encode_to_vec();
    let mut out = BytesMut::new();
    out.put_u8(0); out.put_u32(bytes.len() as u32); out.put_slice(&bytes);
    out.freeze()
}

async fn hold(server: &Server, path: &'static str, token: &str, calls: usize) -> (tokio::task::JoinSet<(String, Vec<u8>)>, Vec<tokio::sync::mpsc::Sender<Bytes>>) {
    let mut held = tokio::task::JoinSet::new();
    let mut senders = Vec::new();
    let mut ch = channel(server.address).await;
    for n in 0..calls {
        if n % 1000 == 999 { ch = channel(server.address).await; }
        let (s, r) = tokio::sync::mpsc::channel(1);
        senders.push(s);
        let (c, token) = (ch.clone(), token.to_owned());
        held.spawn(async move { slow(c, path, &token, r).await });
    }
    tokio::time::sleep(Duration::from_secs(6)).await;
    (held, senders)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_who_sends_slowly_keeps_nobody_from_managing() {
    let server = Server::start().await;
    put_owner(&server.admin, jo()).await;
    let (_, token) = server.admin.issue_caller_of("jo-login").await;
    let (victim, _) = server.admin.issue_token("globex").await;
    let (_held, _senders) = hold(&server, "/credd.v1.CredentialService/Get", &token, 2100).await;
    let locked = server.admin.lock(&victim).await;
    assert!(locked.is_ok(), "an incident can't be handled: {:?}", locked.err().map(|s| (s.code(), reason(&s))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verifier_who_sends_slowly_keeps_nobody_from_verifying() {
    let server = Server::start().await;
    server.admin.bind("credd:small", "verifier", "acme").await;
    let (_, token) = server.admin.issue_caller_of("small").await;
    let (_, other) = server.admin.issue_token("globex").await;
    let (_held, _senders) = hold(&server, "/credd.v1.VerificationService/Verify", &token, 4200).await;
    let verified = server.admin.verify_token(&other).await;
    assert!(verified.is_ok(), "Verify for another tenant: {:?}", verified.err().map(|s| (s.code(), reason(&s))));
}

/// Who was revoked before the question was asked gets no answer.
#[tokio::test(flavor = "multi_thread")]
async fn who_was_revoked_before_the_question_gets_no_answer() {
    let server = Server::start().await;
    let (id, token) = server.admin.issue_verifier("small").await;
    let reader = issue_caller(&server.admin, "boss", &["administrator"]).await;
    let list = server.admin.list(v1::ListRequest { include_unlisted: true, filter: Some(v1::CredentialFilter { owner: "boss".into(), tenant: "credd".into(), ..Default::default() }), ..Default::default() }).await.unwrap();
    let boss = list.credentials[0].id.clone();
    let (_, good) = server.admin.issue_token("acme").await;
    let ch = channel(server.address).await;
    let (s, r) = tokio::sync::mpsc::channel(4);
    let (s2, r2) = tokio::sync::mpsc::channel(4);
    let (c, t) = (ch.clone(), token.clone());
    let verify = tokio::spawn(async move { slow(c, "/credd.v1.VerificationService/Verify", &t, r).await });
    let (c, t) = (ch.clone(), reader.clone());
    let listed = tokio::spawn(async move { slow(c, "/credd.v1.CredentialService/List", &t, r2).await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    server.admin.revoke(&id).await.unwrap();
    server.admin.revoke(&boss).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    s.send(framed(&verify_token_request(&good))).await.unwrap();
    drop(s);
    s2.send(framed(&v1::ListRequest::default())).await.unwrap();
    drop(s2);
    let (status, body) = verify.await.unwrap();
    let (list_status, list_body) = listed.await.unwrap();
    eprintln!("verify {status} {} bytes; list {list_status} {} bytes", body.len(), list_body.len());
    assert!(status == "16" && list_status == "16", "answers to callers revoked 3 s before they asked: verify {status}, list {list_status} with {} bytes", list_body.len());
}

/// Lists of one caller that wait keep nobody else's Lock waiting.
#[tokio::test(flavor = "multi_thread")]
async fn lists_that_wait_hold_no_turn_of_what_changes() {
    let server = Server::start().await;
    // Some to list.
    let mut set = tokio::task::JoinSet::new();
    for part in 0..50 {
        let admin = server.admin.clone();
        set.spawn(async move { for n in 0..100 { admin.issue(issue_request("acme", &format!("o{part}-{n}"), "api-token")).await.unwrap(); } });
    }
    set.join_all().await;
    let (victim, _) = server.admin.issue_token("globex").await;
    let begin = Instant::now();
    server.admin.lock(&victim).await.unwrap();
    server.admin.unlock(&victim).await.unwrap();
    eprintln!("idle lock and unlock {:?}", begin.elapsed());
    // A tenant's reader lists, and lists.
    server.admin.bind("credd:tia", "administrator", "acme").await;
    let (_, token) = server.admin.issue_caller_of("tia").await;
    let mut storm = tokio::task::JoinSet::new();
    let mut clients = Vec::new();
    for _ in 0..2 { clients.push(server.client(&token).await); }
    for n in 0..1500 {
        let c = clients[n % 2].clone();
        storm.spawn(async move {
            let request = v1::ListRequest { page_size: 1000, include_total: true, include_unlisted: true, filter: Some(v1::CredentialFilter { tenant: "acme".into(), label_prefix: "zzz".into(), ..Default::default() }), ..Default::default() };
            for _ in 0..20 { let _ = c.list(request.clone()).await; }
        });
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let begin = Instant::now();
    let plain = tokio::time::timeout(Duration::from_secs(60), server.admin.lock(&victim)).await;
    eprintln!("lock under the storm of lists {:?} {:?}", begin.elapsed(), plain.map(|r| r.is_ok()));
    // And as many changes of the same tenant's directory as there are turns.
    for n in 0..8 {
        let c = clients[0].clone();
        storm.spawn(async move {
            let request = v1::DisableOwnerRequest { tenant: "acme".into(), name: format!("o{n}-1"), reason: "x".into(), dry_run: true, ..Default::default() };
            for _ in 0..1000 { let _ = c.directory.clone().disable_owner(request.clone()).await; }
        });
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let begin = Instant::now();
    let blocked = tokio::time::timeout(Duration::from_secs(60), server.admin.unlock(&victim)).await;
    let took = begin.elapsed();
    eprintln!("unlock of another tenant's credential with 8 dry runs waiting behind lists: {took:?} {:?}", blocked.map(|r| r.map(|_| ()).map_err(|s| s.code())));
    let begin = Instant::now();
    let blocked = tokio::time::timeout(Duration::from_secs(60), server.admin.lock(&victim)).await;
    let again = begin.elapsed();
    eprintln!("again: {again:?} {:?}", blocked.map(|r| r.map(|_| ()).map_err(|s| s.code())));
    storm.abort_all();
    assert!(took < Duration::from_secs(2), "{took:?}");
}

/// Who checks the chain keeps nobody from locking.
#[tokio::test(flavor = "multi_thread")]
async fn who_checks_the_chain_keeps_nobody_from_locking() {
    let server = Server::start().await;
    let mut set = tokio::task::JoinSet::new();
    for part in 0..64 {
        let admin = server.admin.clone();
        set.spawn(async move { for n in 0..150 { admin.issue(issue_request("acme", &format!("o{part}-{n}"), "api-token")).await.unwrap(); } });
    }
    set.join_all().await;
    let (victim, _) = server.admin.issue_token("globex").await;
    let begin = Instant::now();
    server.admin.lock(&victim).await.unwrap();
    let idle = begin.elapsed();
    let token = issue_caller(&server.admin, "auditor", &["auditor"]).await;
    let auditor = server.client(&token).await;
    let begin = Instant::now();
    auditor.audit.clone().verify_chain(v1::VerifyChainRequest::default()).await.unwrap();
    let one = begin.elapsed();
    let mut storm = tokio::task::JoinSet::new();
    for _ in 0..32 {
        let mut audit = auditor.audit.clone();
        storm.spawn(async move { loop { let _ = audit.verify_chain(v1::VerifyChainRequest::default()).await; } });
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let begin = Instant::now();
    let unlocked = tokio::time::timeout(Duration::from_secs(60), server.admin.unlock(&victim)).await;
    let took = begin.elapsed();
    storm.abort_all();
    eprintln!("lock {idle:?} idle, one check of 9,600 events {one:?}; unlock beside 32 checks {took:?} {:?}", unlocked.is_ok());
    assert!(took < idle * 10 + Duration::from_secs(1), "{took:?}");
}

/// Whose request never ends holds no turn: not even one that is longer than it may be.
#[tokio::test(flavor = "multi_thread")]
async fn whose_request_never_ends_holds_no_turn() {
    let server = Server::start().await;
    put_owner(&server.admin, jo()).await;
    let (_, token) = server.admin.issue_caller_of("jo-login").await;
    let (victim, _) = server.admin.issue_token("globex").await;
    let ch = channel(server.address).await;
    let mut held = tokio::task::JoinSet::new();
    let mut senders = Vec::new();
    for _ in 0..16 {
        let (s, r) = tokio::sync::mpsc::channel(4);
        let (c, t) = (ch.clone(), token.clone());
        held.spawn(async move { let a = slow(c, "/credd.v1.CredentialService/Get", &t, r).await; eprintln!("ended {a:?}"); });
        // More than a message may have, in messages of no bytes.
        for _ in 0..66 { s.send(Bytes::from(vec![0; 5 * 3277])).await.unwrap(); }
        senders.push(s);
    }
    // Longer than a request may take to arrive.
    tokio::time::sleep(Duration::from_secs(45)).await;
    let begin = Instant::now();
    let locked = tokio::time::timeout(Duration::from_secs(20), server.admin.lock(&victim)).await;
    eprintln!("lock after {:?}: {:?}", begin.elapsed(), locked.as_ref().map(|r| r.is_ok()));
    drop(held);
    assert!(locked.is_ok(), "nobody can lock, 45 s after the calls began");
}
