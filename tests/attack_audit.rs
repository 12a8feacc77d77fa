//! Attacks on the audit log.
#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub, dead_code, missing_docs, clippy::pedantic)]
#[path = "support/calls.rs"]
mod calls;
mod support;

use std::path::Path;
use std::thread;
use std::time::Duration;

use calls::*;
use credd::authority::record::audit::{AuditKey, read_entry, write_anchor};
use credd::domain::audit::ChainNumber;
use credd::domain::revision::Revision;
use credd::proto::v1;
use credd::store::Contents;
use support::*;

const DATA: u8 = 1;
const HEAD: &[u8] = b"\0head";

fn raw<T>(data_dir: &Path, work: impl FnOnce(&sled::Db) -> T) -> T {
    let store = data_dir.join("store");
    let current = std::fs::read_to_string(store.join("CURRENT")).unwrap();
    let path = store.join(current.trim());
    let database = loop {
        match sled::open(&path) { Ok(database) => break database, Err(_) => thread::yield_now() }
    };
    let result = work(&database);
    database.flush().unwrap();
    result
}

fn contents(db: &sled::Db, change: impl FnOnce(&mut Contents)) {
    let mut head = db.get(HEAD).unwrap().unwrap().to_vec();
    let at = head.len() - 24;
    let mut contents = Contents {
        keys: u64::from_be_bytes(head[at..at + 8].try_into().unwrap()),
        digest: u128::from_be_bytes(head[at + 8..].try_into().unwrap()),
    };
    change(&mut contents);
    head[at..at + 8].copy_from_slice(&contents.keys.to_be_bytes());
    head[at + 8..].copy_from_slice(&contents.digest.to_be_bytes());
    db.insert(HEAD, head).unwrap();
}

/// The oldest records are removed, and the beginning is set to after them, as
/// retention would, but nothing in the chain tells of it.
#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_records_removed_by_hand_are_found() {
    let server = Server::start().await;
    for _ in 0..3 {
        let (id, _) = server.admin.issue_token("acme").await;
        server.admin.lock(&id).await.unwrap();
    }
    let early = server.admin.audit.clone().verify_chain(v1::VerifyChainRequest::default()).await.unwrap().into_inner().head.unwrap();
    for _ in 0..6 {
        let (id, _) = server.admin.issue_token("acme").await;
        server.admin.lock(&id).await.unwrap();
    }
    let late = server.admin.audit.clone().verify_chain(v1::VerifyChainRequest::default()).await.unwrap().into_inner().head.unwrap();
    let directory = server.stop().await;
    raw(directory.path(), |db| {
        let through = early.sequence + 2;
        let mut anchor = None;
        for sequence in 1..=through {
            let key = AuditKey::Entry(ChainNumber::FIRST, sequence).to_bytes();
            let full = [&[DATA][..], &key].concat();
            let Some(value) = db.remove(&full).unwrap() else { continue };
            let revision = Revision::new(u64::from_be_bytes(value[..8].try_into().unwrap()));
            let record = read_entry(&value[8..].to_vec().into()).unwrap();
            anchor = Some((record.entry.head(), revision));
            contents(db, |c| c.remove(&key, revision));
        }
        let (anchor, revision) = anchor.unwrap();
        let key = AuditKey::Anchor(ChainNumber::FIRST).to_bytes();
        let value = [&revision.number().to_be_bytes()[..], &write_anchor(&anchor)].concat();
        db.insert([&[DATA][..], &key].concat(), value).unwrap();
        contents(db, |c| c.add(&key, revision));
    });
    let server = Server::start_in(directory).await;
    for (what, expected) in [("the head of before and the last", vec![early.clone(), late.clone()])] {
        let verified = server.admin.audit.clone().verify_chain(v1::VerifyChainRequest { expected }).await.unwrap().into_inner();
        eprintln!("expected {what}: broken {:?}, start {:?}, unchecked {}", verified.broken, verified.start.as_ref().map(|s| s.sequence), verified.unchecked);
        assert!(verified.broken.is_some(), "with {what}: {} records are gone and nothing is said", verified.start.unwrap().sequence);
    }
}

/// A refused change of a caller that hangs up is audited like another.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_audited_though_the_caller_hung_up() {
    let server = Server::start().await;
    put_role(&server.admin, "credd", "clerk", &["credd.bindings.put"]).await;
    server.admin.bind("credd:clerk", "clerk", "acme").await;
    let (_, token) = server.admin.issue_caller_of("clerk").await;
    let clerk = server.client(&token).await;
    // Refused by the committer: PERMISSION_EXCEEDED.
    let ask = || v1::PutBindingRequest { principal: "credd:clerk".into(), role: "administrator".into(), tenant: "acme".into(), ..Default::default() };
    let refused = clerk.directory.clone().put_binding(ask()).await;
    eprintln!("refused: {:?}", refused.err().map(|s| reason(&s)));
    let mut busy = tokio::task::JoinSet::new();
    for _ in 0..3 { let a = server.admin.clone(); busy.spawn(async move { loop { let _ = a.issue(token_request("globex")).await; } }); }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let (mut attempts, mut answered) = (0, 0);
    for _ in 0..100u64 {
        let mut d = clerk.directory.clone();
        let call = d.put_binding(ask());
        if tokio::time::timeout(Duration::from_millis(10), call).await.is_err() { attempts += 1; } else { answered += 1; }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    eprintln!("answered {answered}");
    busy.abort_all();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let mut count = 0;
    let mut request = v1::ListEventsRequest { page_size: 1000, filter: Some(v1::AuditFilter { principal: "credd:clerk".into(), ..Default::default() }), ..Default::default() };
    loop {
        let mut pages = server.admin.audit.clone().list_events(request.clone()).await.unwrap().into_inner();
        let page = pages.message().await.unwrap().unwrap();
        for e in &page.events { count += e.count; }
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() { break; }
    }
    eprintln!("sent 101 refused calls, {attempts} hung up, the log tells of {count}");
    // Those that never left the client can't be told: a fifth is generous.
    assert!(count >= 101 - 20, "the log tells of {count} of 101");
}

/// From where a credential was used is told, whoever else uses it.
#[tokio::test(flavor = "multi_thread")]
async fn the_address_of_a_thief_is_told() {
    let server = Server::start().await;
    server.admin.bind("credd:svc", "verifier", "acme").await;
    let (_, token) = server.admin.issue_caller_of("svc").await;
    let from = async |ip: [u8; 4]| {
        let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{}", server.address)).unwrap();
        Client::over(endpoint.local_address(Some(ip.into())).connect().await.unwrap(), &token)
    };
    let (owner, thief) = (from([127, 0, 0, 1]).await, from([127, 0, 0, 66]).await);
    tokio::time::sleep(Duration::from_secs(2)).await;
    // What the service does all day, and is refused; and the thief, trying the same.
    let _ = owner.issue(token_request("acme")).await;
    for _ in 0..50 { let _ = thief.issue(token_request("acme")).await; }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut pages = server.admin.audit.clone().list_events(v1::ListEventsRequest { page_size: 1000, ..Default::default() }).await.unwrap().into_inner();
    let events = pages.message().await.unwrap().unwrap().events;
    let told: Vec<_> = events.iter().filter(|e| e.principal == "credd:svc").map(|e| (e.action.clone(), e.address.clone(), e.count)).collect();
    eprintln!("{told:?}");
    assert!(told.iter().any(|(_, address, _)| address == "127.0.0.66"), "the thief's address is nowhere: {told:?}");
}
