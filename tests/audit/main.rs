//! Who did what is in the log, once, with the change; and whatever is done to the log
//! is found.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

#[path = "../support/calls.rs"]
mod calls;
mod chain;
mod changes;
#[path = "../support/clocked.rs"]
mod clocked;
mod counted;
mod erasing;
mod export;
mod failing;
mod list;
#[path = "../support/mod.rs"]
mod support;
mod tampering;
mod uses;

use credd::proto::v1::{self, AuditEvent, AuditFilter};
use tonic::Status;

use support::{Client, soon, until};

/// A page of a list.
pub(crate) async fn page(
    client: &Client,
    request: v1::ListEventsRequest,
) -> Result<v1::ListEventsResponse, Status> {
    let mut stream = client
        .audit
        .clone()
        .list_events(request)
        .await?
        .into_inner();
    let page = soon("a page", stream.message()).await?.unwrap();
    assert!(stream.message().await?.is_none(), "one page");
    Ok(page)
}

/// All events that a filter lets through, the oldest first.
pub(crate) async fn events(client: &Client, filter: AuditFilter) -> Vec<AuditEvent> {
    let mut events = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = v1::ListEventsRequest {
            filter: Some(filter.clone()),
            page_size: 1000,
            page_token,
            ..Default::default()
        };
        let page = page(client, request).await.unwrap();
        events.extend(page.events);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return events;
        }
    }
}

/// The events of an RPC of this name, such as `CredentialService/Lock`.
pub(crate) fn of_rpc(rpc: &str) -> AuditFilter {
    AuditFilter {
        action: format!("credd.v1.{rpc}"),
        ..Default::default()
    }
}

/// Waits until there are events that a filter lets through and for which something
/// holds; returns them.
pub(crate) async fn events_once(
    client: &Client,
    filter: AuditFilter,
    holds: impl Fn(&[AuditEvent]) -> bool,
) -> Vec<AuditEvent> {
    let found = std::sync::Mutex::new(Vec::new());
    until("events", || async {
        let events = events(client, filter.clone()).await;
        let there = holds(&events);
        *found.lock().unwrap() = events;
        there
    })
    .await;
    found.into_inner().unwrap()
}

/// Checks the chain.
pub(crate) async fn verify(client: &Client, expected: &[v1::AuditHead]) -> v1::VerifyChainResponse {
    let request = v1::VerifyChainRequest {
        expected: expected.to_vec(),
    };
    let verified = client.audit.clone().verify_chain(request).await;
    verified.unwrap().into_inner()
}

/// Checks that the chain is what it was, and returns its head.
pub(crate) async fn sound(client: &Client, expected: &[v1::AuditHead]) -> v1::AuditHead {
    let verified = verify(client, expected).await;
    assert_eq!(verified.broken, None);
    let head = verified.head.unwrap();
    let start = verified.start.unwrap().sequence;
    assert_eq!(verified.records, head.sequence - start);
    head
}

/// The revision of an answer.
pub(crate) fn number(revision: Option<v1::Revision>) -> u64 {
    revision.unwrap().number
}
