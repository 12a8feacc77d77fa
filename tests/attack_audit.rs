//! Attacks on the audit log.
#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub, dead_code, missing_docs, clippy::pedantic)]
#[path = "support/calls.rs"]
mod calls;
mod support;

use std::time::Duration;

use calls::*;
use credd::proto::v1;
use support::*;

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
