//! What is told of is durable before it is answered, and a commit that fails leaves
//! nothing behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use credd::authority::hub::RingSize;
use credd::domain::revision::{Position, Revision, StoreId};
use credd::proto::v1::{self, AuditFilter};
use credd::store::memory::MemoryStore;
use credd::store::{Batch, Changes, Entry, KeyRange, PageLimit, Store, StoreError};
use tonic::Code;

use crate::calls::{Held, issue_caller, issue_request, put_role};
use crate::clocked::in_process::InProcess;
use crate::support::{Client, until};
use crate::{events, events_once, number, of_rpc, sound};

/// A store whose disk is full, or whose commits wait, when a test says so.
#[derive(Debug)]
struct Troubled {
    store: MemoryStore,
    is_full: AtomicBool,
    is_slow: AtomicBool,
    /// Whether a commit waits.
    waits: AtomicBool,
}

impl Store for Troubled {
    fn id(&self) -> StoreId {
        self.store.id()
    }

    fn commit(&self, batch: Batch) -> Result<Revision, StoreError> {
        if self.is_full.load(Ordering::SeqCst) {
            let (free, reserve) = (1, 2);
            return Err(StoreError::Full { free, reserve });
        }
        while self.is_slow.load(Ordering::SeqCst) {
            self.waits.store(true, Ordering::SeqCst);
            thread::yield_now();
        }
        self.store.commit(batch)
    }

    fn changes(
        &self,
        after: Revision,
        limit: PageLimit,
        wait: Duration,
    ) -> Result<Changes, StoreError> {
        self.store.changes(after, limit, wait)
    }

    fn scan(&self, range: &KeyRange, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.store.scan(range, limit)
    }

    fn snapshot(&self) -> Result<Position, StoreError> {
        self.store.snapshot()
    }

    fn compact(&self, through: Revision) -> Result<(), StoreError> {
        self.store.compact(through)
    }
}

async fn start() -> (Arc<Troubled>, InProcess) {
    let store = Arc::new(Troubled {
        store: MemoryStore::new(StoreId::from_bytes([5; 16])),
        is_full: AtomicBool::new(false),
        is_slow: AtomicBool::new(false),
        waits: AtomicBool::new(false),
    });
    let server = InProcess::start(Arc::<Troubled>::clone(&store), RingSize::default()).await;
    (store, server)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_not_shown_before_the_log_tells_of_it() {
    let (store, server) = start().await;
    let admin = &server.admin;
    let issued = admin
        .issue(issue_request("acme", "jo", "misp"))
        .await
        .unwrap();
    let held = Held::of(issued.credential.as_ref(), issued.secret);
    let reveal = || {
        let request = v1::RevealRequest {
            credential_id: held.id.clone(),
            reason: "to see it".to_owned(),
        };
        let mut credentials = admin.credentials.clone();
        async move { credentials.reveal(request).await }
    };
    store.is_full.store(true, Ordering::SeqCst);
    let Err(status) = reveal().await else {
        panic!("it was shown");
    };
    assert_eq!(status.code(), Code::ResourceExhausted);
    store.is_full.store(false, Ordering::SeqCst);
    let shown = reveal().await.unwrap().into_inner();
    let revision = number(shown.revision);
    let again = Held::of(shown.credential.as_ref(), shown.secret);
    assert_eq!(again.secret(), held.secret());
    let told = AuditFilter {
        outcome: v1::AuditOutcome::Ok.into(),
        ..of_rpc("CredentialService/Reveal")
    };
    let told = events(admin, told).await;
    assert_eq!(told.len(), 1);
    assert_eq!(number(told[0].revision.clone()), revision);
    assert_eq!(told[0].reason, "to see it");
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_fails_leaves_no_event_and_the_chain_goes_on() {
    let (store, server) = start().await;
    let admin = &server.admin;
    admin.issue_token("acme").await;
    let before = sound(admin, &[]).await;
    store.is_full.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        let refused = admin.issue(issue_request("acme", "jo", "api-token")).await;
        let Err(status) = refused else {
            panic!("it was issued");
        };
        assert_eq!(status.code(), Code::ResourceExhausted);
    }
    assert_eq!(sound(admin, &[]).await, before);
    store.is_full.store(false, Ordering::SeqCst);
    admin.issue_token("acme").await;
    sound(admin, &[before]).await;
    // Two issues of a test's, that of the administrator, and the refusals, counted.
    let refused = AuditFilter {
        outcome: v1::AuditOutcome::Refused.into(),
        ..of_rpc("CredentialService/Issue")
    };
    let counted =
        |events: &[v1::AuditEvent]| events.iter().map(|event| event.count).sum::<u64>() == 3;
    let found = events_once(admin, refused, counted).await;
    assert!(found.iter().all(|event| event.outcome == "DISK_FULL"));
    let ok = AuditFilter {
        outcome: v1::AuditOutcome::Ok.into(),
        ..of_rpc("CredentialService/Issue")
    };
    assert_eq!(events(admin, ok).await.len(), 2);
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_told_of_though_the_caller_hung_up_before_the_answer() {
    const CALLS: u64 = 20;

    let (store, server) = start().await;
    let admin = &server.admin;
    put_role(admin, "credd", "clerk", &["credd.bindings.put"]).await;
    let token = issue_caller(admin, "clerk", &["clerk"]).await;
    let clerk = Client::connect(server.address, &token).await;
    store.is_slow.store(true, Ordering::SeqCst);
    let slow = tokio::spawn({
        let admin = admin.clone();
        async move { admin.issue_token("acme").await }
    });
    until("a commit that waits", async || {
        store.waits.load(Ordering::SeqCst)
    })
    .await;
    for _ in 0..CALLS {
        // More than a clerk may give.
        let request = v1::PutBindingRequest {
            principal: "credd:clerk".to_owned(),
            role: "administrator".to_owned(),
            tenant: "acme".to_owned(),
            ..Default::default()
        };
        let mut directory = clerk.directory.clone();
        tokio::select! {
            biased;
            answer = directory.put_binding(request) => panic!("it was not its turn: {answer:?}"),
            // What is answered on the same connection came after it.
            other = clerk.get("anything") => assert!(other.is_err()),
        }
    }
    store.is_slow.store(false, Ordering::SeqCst);
    slow.await.unwrap();
    let by_clerk = AuditFilter {
        principal: "credd:clerk".to_owned(),
        outcome: v1::AuditOutcome::Refused.into(),
        ..of_rpc("DirectoryService/PutBinding")
    };
    let total = |events: &[v1::AuditEvent]| events.iter().map(|event| event.count).sum::<u64>();
    let found = events_once(admin, by_clerk, |events| total(events) == CALLS).await;
    // Those of whom it was seen late that nobody waits for them were decided.
    let [cancelled, decided] = ["CANCELLED", "PERMISSION_EXCEEDED"].map(|outcome| {
        found
            .iter()
            .filter(|event| event.outcome == outcome)
            .count()
    });
    assert_eq!(cancelled + decided, found.len());
    assert!(cancelled > 0);
    server.stop().await.unwrap();
}
