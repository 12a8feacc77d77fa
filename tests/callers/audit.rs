//! What callers who are bound to one tenant see of the audit log.

use credd::proto::v1;
use credd::proto::v1::audit_service_client::AuditServiceClient;
use prost::Message as _;
use tonic::{Code, Streaming};

use crate::caller::{Called, Caller};
use crate::calls::number;
use crate::questions::questions;
use crate::support::soon;
use crate::world::{World, callers};

fn find<'a>(callers: &'a [Caller], name: &str) -> &'a Caller {
    callers.iter().find(|caller| caller.name == name).unwrap()
}

async fn page(
    mut audit: AuditServiceClient<Called>,
    request: v1::ListEventsRequest,
) -> v1::ListEventsResponse {
    let answer = audit.list_events(request).await.unwrap();
    let mut pages = answer.into_inner();
    soon("a page", pages.message()).await.unwrap().unwrap()
}

/// All that a filter lets through.
async fn events(caller: &Caller, filter: v1::AuditFilter) -> Vec<v1::AuditEvent> {
    let mut all = Vec::new();
    let mut request = v1::ListEventsRequest {
        filter: Some(filter),
        page_size: 1000,
        ..Default::default()
    };
    loop {
        let page = page(caller.audit(), request.clone()).await;
        all.extend(page.events);
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            return all;
        }
    }
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|part| part == text.as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_log_tells_of_the_caller_s_own_tenant_alone() {
    let world = World::start().await;
    let callers = callers(&world).await;
    let (acme, globex) = (world.names("acme").await, world.names("globex").await);
    // Others change things there, and are refused there by those from here.
    for name in ["bearer", "owner", "portal", "other", "foreign"] {
        for question in questions() {
            let message = (question.message)(&question, &globex);
            find(&callers, name).code(&question.rpc, message).await;
        }
    }
    for name in ["auditor", "bearer", "jwt", "cert"] {
        let caller = find(&callers, name);
        let told = events(caller, v1::AuditFilter::default()).await;
        let about = |id: &String| told.iter().any(|event| event.credential_ids.contains(id));
        assert!(about(&acme.credential), "{name}");
        for event in &told {
            assert_eq!(event.tenant, "acme", "{name}: {event:?}");
            let bytes = event.encode_to_vec();
            for text in [
                "globex",
                &globex.credential,
                &globex.principal,
                &globex.role,
            ] {
                assert!(!contains(&bytes, text), "{name} sees {text}: {event:?}");
            }
        }
        for filter in [
            v1::AuditFilter {
                credential_id: globex.credential.clone(),
                ..Default::default()
            },
            v1::AuditFilter {
                principal: "credd:olga".to_owned(),
                ..Default::default()
            },
        ] {
            let told = events(caller, filter).await;
            assert!(told.iter().all(|event| event.tenant == "acme"), "{told:?}");
        }
    }
    drop(callers);
    world.stop().await;
}

/// The next events of a list that goes on.
async fn following(stream: &mut Streaming<v1::ListEventsResponse>) -> Vec<v1::AuditEvent> {
    let page = soon("a page", stream.message()).await.unwrap();
    page.unwrap().events
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_events_that_goes_on_ends_with_the_caller_s_rights() {
    let world = World::start().await;
    world.admin.bind("credd:reader", "auditor", "acme").await;
    let reader = world.bearer("reader", "reader").await;
    let request = v1::ListEventsRequest {
        follow: true,
        ..Default::default()
    };
    let mut stream = reader
        .audit()
        .list_events(request)
        .await
        .unwrap()
        .into_inner();
    following(&mut stream).await;
    world.issue("acme", "jo").await;
    following(&mut stream).await;
    let request = v1::DeleteBindingRequest {
        principal: "credd:reader".to_owned(),
        role: "auditor".to_owned(),
        tenant: "acme".to_owned(),
        ..Default::default()
    };
    let mut directory = world.admin.directory.clone();
    let unbound = directory.delete_binding(request).await.unwrap();
    let unbound = number(unbound.into_inner().revision);
    world.issue("acme", "jo").await;
    let status = loop {
        match soon("the end of the list", stream.message()).await {
            Ok(page) => {
                let events = page.unwrap().events;
                let mut revisions = events.into_iter().map(|event| number(event.revision));
                assert!(revisions.all(|revision| revision < unbound));
            }
            Err(status) => break status,
        }
    };
    assert_eq!(status.code(), Code::Unauthenticated);
    drop(reader);
    world.stop().await;
}
