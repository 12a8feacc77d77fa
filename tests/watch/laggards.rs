//! Readers that stop reading, on a server whose ring holds 16 commits: HTTP/2
//! flow control blocks the stream, the ring moves on, and the log makes up for
//! it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use credd::domain::revision::{Position, Revision, StoreId};
use credd::proto::v1;
use credd::store::memory::MemoryStore;
use credd::store::sled::{Options, SledStore};
use credd::store::{Batch, Changes, Entry, KeyRange, PageLimit, Store, StoreError};
use tempfile::TempDir;

use crate::history::{
    History, Recorder, Said, atomic, bookmarked, ordered, reliable, snapshot, unique,
};
use crate::in_process::{InProcess, SMALL_RING};
use crate::support::{Client, token_request};
use crate::writers::write;

fn id() -> StoreId {
    StoreId::from_random([9; 16])
}

/// A store that counts how often its log is read for a subscriber. (The feed
/// waits for the commit that it reads, but for one look when it starts; a
/// subscriber's reader never waits.)
#[derive(Debug)]
struct Counting {
    store: Arc<dyn Store>,
    reads: AtomicUsize,
}

impl Store for Counting {
    fn id(&self) -> StoreId {
        self.store.id()
    }

    fn commit(&self, batch: Batch) -> Result<Revision, StoreError> {
        self.store.commit(batch)
    }

    fn changes(
        &self,
        after: Revision,
        limit: PageLimit,
        wait: Duration,
    ) -> Result<Changes, StoreError> {
        if wait.is_zero() {
            self.reads.fetch_add(1, Ordering::SeqCst);
        }
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

/// A server, and a reader that read the first message and no other.
async fn stalled(store: Arc<dyn Store>) -> (InProcess, Client, Recorder) {
    let server = InProcess::start(store, SMALL_RING).await;
    let client = server.slow_client().await;
    let request = v1::WatchRequest {
        snapshot: true,
        ..Default::default()
    };
    let mut recorder = Recorder::start(&client, request).await;
    recorder.next().await.unwrap();
    (server, client, recorder)
}

/// More than a stalled stream can hold: 16 KiB in flight, and what the server
/// has encoded ahead.
const COMMANDS: usize = 1500;

async fn overtake(client: &Client) -> History {
    let mut history = write(client, 7, 10, COMMANDS / 10).await;
    let issued = client.issue(token_request("acme")).await.unwrap();
    history.note(&issued.credential.unwrap());
    history
}

async fn assert_a_laggard_misses_nothing(store: Arc<dyn Store>) {
    let store = Arc::new(Counting {
        store,
        reads: AtomicUsize::new(0),
    });
    let (server, client, mut recorder) = stalled(Arc::clone(&store) as Arc<dyn Store>).await;
    let at_start = store.reads.load(Ordering::SeqCst);
    // That they are acknowledged shows that no writer waits for the reader.
    let history = overtake(&server.admin).await;
    assert_eq!(
        store.reads.load(Ordering::SeqCst),
        at_start,
        "the log was read early"
    );
    recorder.reach(history.last()).await;
    assert!(
        store.reads.load(Ordering::SeqCst) > at_start,
        "it did not fall behind"
    );
    for promise in [ordered, atomic, unique, reliable, bookmarked, snapshot] {
        assert_eq!(promise(&recorder.stream, &history), Ok(()));
    }
    assert!(!recorder.stream.has_reset());
    drop((client, recorder));
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_stops_for_a_while_misses_nothing() {
    assert_a_laggard_misses_nothing(Arc::new(MemoryStore::new(id()))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_stops_for_a_while_misses_nothing_on_disk() {
    let directory = TempDir::new().unwrap();
    let options = Options {
        reserve_bytes: 16 << 20,
        recent_commits: 16,
        ..Options::default()
    };
    let store = SledStore::create(directory.path(), &options, id()).unwrap();
    assert_a_laggard_misses_nothing(Arc::new(store)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn laggards_that_do_not_read_keep_nobody_else_from_the_log() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(id()));
    let server = InProcess::start(store, SMALL_RING).await;
    let mut first = Recorder::start(&server.admin, v1::WatchRequest::default()).await;
    first.next().await.unwrap();
    let request = v1::WatchRequest {
        resume_token: first.token(),
        ..Default::default()
    };
    let history = overtake(&server.admin).await;
    let mut stalled = Vec::new();
    for _ in 0..16 {
        let client = server.slow_client().await;
        stalled.push(Recorder::start(&client, request.clone()).await);
    }
    let mut reading = Recorder::start(&server.admin, request).await;
    reading.reach(history.last()).await;
    assert_eq!(reliable(&reading.stream, &history), Ok(()));
    drop((stalled, first));
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_laggard_whose_place_in_the_log_is_gone_is_reset_and_gets_a_snapshot() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(id()));
    let (server, client, mut recorder) = stalled(Arc::clone(&store)).await;
    let mut history = overtake(&server.admin).await;
    store.compact(Revision::new(history.last() - 1)).unwrap();
    while !recorder.stream.has_reset() {
        recorder.next().await.unwrap();
    }
    let reset = recorder.stream.last().unwrap();
    assert_eq!(reset.said, Said::Reset(v1::ResetReason::Compacted));
    history.extend(write(&server.admin, 8, 2, 20).await);
    let issued = server.admin.issue(token_request("acme")).await.unwrap();
    history.note(&issued.credential.unwrap());
    recorder.reach(history.last()).await;
    // Up to the Reset, and from it on, nothing is missing.
    for promise in [ordered, atomic, unique, reliable, bookmarked, snapshot] {
        assert_eq!(promise(&recorder.stream, &history), Ok(()));
    }
    drop((client, recorder));
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_of_thousands_comes_in_parts_of_one_revision_while_others_write() {
    const DENIED: usize = 2200;

    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(id()));
    let server = InProcess::start(store, SMALL_RING).await;
    let mut history = History::default();
    let mut denying = tokio::task::JoinSet::new();
    for _ in 0..DENIED {
        let admin = server.admin.clone();
        denying.spawn(async move {
            let (id, _) = admin.issue_token("acme").await;
            [
                admin.get(&id).await.unwrap(),
                admin.lock(&id).await.unwrap().credential.unwrap(),
            ]
        });
    }
    while let Some(done) = denying.join_next().await {
        done.unwrap()
            .iter()
            .for_each(|credential| history.note(credential));
    }
    let writer = server.admin.clone();
    let writing = tokio::spawn(async move { write(&writer, 11, 4, 100).await });
    let mut recorders = Vec::new();
    for tenants in [vec![], vec!["acme".to_owned()], vec!["globex".to_owned()]] {
        let request = v1::WatchRequest {
            snapshot: true,
            tenants,
            ..Default::default()
        };
        // Slow, so that commits come while the parts are sent.
        recorders.push(Recorder::start(&server.slow_client().await, request).await);
    }
    history.extend(writing.await.unwrap());
    for recorder in &mut recorders {
        recorder.reach(history.last()).await;
        for promise in [ordered, atomic, unique, reliable, bookmarked, snapshot] {
            assert_eq!(promise(&recorder.stream, &history), Ok(()));
        }
    }
    let is_part = |said: &Said| matches!(said, Said::Part { .. });
    let all = &recorders[0].stream.messages;
    let parts = all.iter().filter(|message| is_part(&message.said)).count();
    assert!(parts >= 3, "{parts} parts");
    drop(recorders);
    server.stop().await.unwrap();
}
