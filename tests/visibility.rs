//! What is not durable is not there: nobody is shown a change before the disk
//! has it, nor one that the disk has refused.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

#[path = "support/history.rs"]
mod history;

#[path = "support/in_process.rs"]
mod in_process;

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use credd::authority::Authority;
use credd::authority::command::NewId;
use credd::authority::committer::CommandError;
use credd::authority::committer::How;
use credd::authority::feed::FeedError;
use credd::authority::hub::RingSize;
use credd::authority::manage::{Asked, IssueError};
use credd::domain::credential::Set;
use credd::domain::id::CredentialId;
use credd::domain::revision::{Position, Revision, StoreId};
use credd::proto::v1;
use credd::proto::v1::{CredentialState, Verdict};
use credd::store::memory::MemoryStore;
use credd::store::sled::{Disk, OpenError, Options, SledStore, SystemDisk};
use credd::store::{Batch, Changes, Entry, KeyRange, PageLimit, Store, StoreError};
use history::{History, Recorder, Said, Stream};
use in_process::{InProcess, drawn, new_credential, set_state};
use parking_lot::{Condvar, Mutex};
use support::{Client, list_request_of_all_states, soon, until};
use tempfile::TempDir;
use tonic::Code;

/// A disk whose syncs wait while its gate is closed, and fail while it is
/// broken.
#[derive(Debug, Default)]
struct TestDisk {
    gate: Mutex<Gate>,
    changed: Condvar,
    is_broken: AtomicBool,
}

#[derive(Debug, Default)]
struct Gate {
    is_closed: bool,
    waiting: usize,
}

impl TestDisk {
    fn close(&self) {
        self.gate.lock().is_closed = true;
    }

    fn open(&self) {
        self.gate.lock().is_closed = false;
        self.changed.notify_all();
    }

    /// Waits until a sync waits.
    async fn arrival(&self) {
        until("a sync to wait", || async { self.gate.lock().waiting > 0 }).await;
    }
}

impl Disk for TestDisk {
    fn sync(&self, file: &File) -> io::Result<()> {
        let mut gate = self.gate.lock();
        gate.waiting += 1;
        self.changed.wait_while(&mut gate, |gate| gate.is_closed);
        gate.waiting -= 1;
        drop(gate);
        if self.is_broken.load(Ordering::SeqCst) {
            return Err(io::Error::other("the test's disk failed"));
        }
        SystemDisk.sync(file)
    }

    fn free(&self, path: &Path) -> io::Result<u64> {
        SystemDisk.free(path)
    }
}

/// Opens a disk's gate when a test fails: the committer must not hang.
struct OpensAtTheEnd(Arc<TestDisk>);

impl Drop for OpensAtTheEnd {
    fn drop(&mut self) {
        self.0.open();
    }
}

fn options(disk: &Arc<TestDisk>) -> Options {
    Options {
        reserve_bytes: 16 << 20,
        disk: Arc::clone(disk) as Arc<dyn Disk>,
        ..Options::default()
    }
}

async fn server_on(directory: &TempDir, disk: &Arc<TestDisk>) -> InProcess {
    let id = StoreId::from_random([5; 16]);
    let store = SledStore::create(directory.path(), &options(disk), id).unwrap();
    InProcess::start(Arc::new(store), RingSize::default()).await
}

/// A credential that the test drew itself.
struct Known {
    id: CredentialId,
    token: String,
}

async fn issue(authority: &Authority, n: u8) -> Result<Known, IssueError> {
    let (id, secret, token) = drawn(n);
    let new = new_credential("acme");
    let asked = Asked::by_credd();
    authority
        .issue_as(new, asked, NewId::Given(id), secret)
        .await?;
    Ok(Known { id, token })
}

fn watch_request() -> v1::WatchRequest {
    v1::WatchRequest {
        heartbeat: Some(prost_types::Duration {
            seconds: 0,
            nanos: 100_000_000,
        }),
        ..Default::default()
    }
}

/// All that can be seen of a credential: by Get, List, and both ways of Verify.
#[derive(Debug, PartialEq, Eq)]
struct View {
    get: Option<CredentialState>,
    list: Option<CredentialState>,
    verify: Verdict,
    revisions: [u64; 2],
}

async fn view(client: &Client, credential: &Known) -> View {
    let id = credential.id.to_string();
    let get = match client.get(&id).await {
        Ok(credential) => Some(credential.state()),
        Err(status) => {
            assert_eq!(status.code(), Code::NotFound);
            None
        }
    };
    let request = list_request_of_all_states("acme");
    let list = client.list(request).await.unwrap();
    let listed = list.credentials.iter().find(|listed| listed.id == id);
    let verify = client.verify_token(&credential.token).await.unwrap();
    View {
        get,
        list: listed.map(v1::Credential::state),
        verify: verify.verdict(),
        revisions: [
            list.revision.unwrap().number,
            verify.revision.unwrap().number,
        ],
    }
}

/// The next messages of a stream, among them a heartbeat that was due after
/// they were asked for.
async fn heartbeats(recorder: &mut Recorder) -> Stream {
    let from = recorder.stream.messages.len();
    while recorder.stream.messages.len() < from + 3 {
        recorder.next().await.unwrap();
    }
    Stream::of(&[], recorder.stream.messages[from..].to_vec())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_shown_before_it_is_durable() {
    let directory = TempDir::new().unwrap();
    let disk = Arc::new(TestDisk::default());
    let server = server_on(&directory, &disk).await;
    let locked = issue(&server.authority, 2).await.unwrap();
    let (id, _, token) = drawn(3);
    let issued = Known { id, token };
    let mut watch = Recorder::start(&server.admin, watch_request()).await;
    watch.next().await.unwrap();
    let before = [
        view(&server.admin, &locked).await,
        view(&server.admin, &issued).await,
    ];
    assert_eq!(
        (before[0].get, before[1].get),
        (Some(CredentialState::Active), None)
    );
    let revision = watch.stream.reached();

    disk.close();
    let _opens = OpensAtTheEnd(Arc::clone(&disk));
    let authority = Arc::clone(&server.authority);
    let lock = tokio::spawn(async move {
        authority
            .set_state(set_state(locked.id, Set::Lock), How::BY_CREDD)
            .await
    });
    let authority = Arc::clone(&server.authority);
    let issue = tokio::spawn(async move { issue(&authority, 3).await });
    disk.arrival().await;

    for _ in 0..2 {
        assert_eq!(view(&server.admin, &locked).await, before[0]);
        assert_eq!(view(&server.admin, &issued).await, before[1]);
        let told = heartbeats(&mut watch).await;
        assert!(
            told.messages
                .iter()
                .all(|m| m.said == Said::Bookmark && m.revision == revision)
        );
    }
    // Nor to those who come now, wherever they begin.
    let with_snapshot = v1::WatchRequest {
        snapshot: true,
        ..watch_request()
    };
    let resumed = v1::WatchRequest {
        resume_token: watch.token(),
        ..watch_request()
    };
    for request in [with_snapshot, resumed] {
        let mut watch = Recorder::start(&server.admin, request).await;
        let told = heartbeats(&mut watch).await;
        assert!(told.messages.iter().all(|message| match &message.said {
            Said::Part { denied, .. } => denied.is_empty() && message.revision == revision,
            said => *said == Said::Bookmark && message.revision == revision,
        }));
    }
    assert!(!lock.is_finished() && !issue.is_finished());

    disk.open();
    let locked_now = soon("the lock", lock).await.unwrap().unwrap();
    let issued = soon("the issue", issue).await.unwrap().unwrap();
    let after = [
        view(&server.admin, &locked).await,
        view(&server.admin, &issued).await,
    ];
    assert_eq!(after[0].get, Some(CredentialState::Locked));
    assert_eq!(after[0].list, Some(CredentialState::Locked));
    assert_eq!(after[0].verify, Verdict::Locked);
    assert_eq!(after[1].get, Some(CredentialState::Active));
    assert_eq!(after[1].list, Some(CredentialState::Active));
    assert_eq!(after[1].verify, Verdict::Active);
    watch.reach(after[0].revisions[0]).await;
    let history = History::of(&watch.stream);
    let locked_at = locked_now.shown.stored.revision.number();
    assert!(locked_at > revision);
    let told = history.state_at(&locked.id.to_string(), locked_at);
    assert_eq!(told, Some(CredentialState::Locked));
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_changes_nothing_waits_for_what_it_saw() {
    let directory = TempDir::new().unwrap();
    let disk = Arc::new(TestDisk::default());
    let server = server_on(&directory, &disk).await;
    let known = issue(&server.authority, 2).await.unwrap();
    disk.close();
    let _opens = OpensAtTheEnd(Arc::clone(&disk));
    let mut locks = Vec::new();
    for _ in 0..2 {
        let authority = Arc::clone(&server.authority);
        let lock = async move {
            authority
                .set_state(set_state(known.id, Set::Lock), How::BY_CREDD)
                .await
        };
        locks.push(tokio::spawn(lock));
        disk.arrival().await;
    }
    let seen = view(&server.admin, &known).await;
    assert_eq!(seen.verify, Verdict::Active);
    assert!(locks.iter().all(|lock| !lock.is_finished()));
    disk.open();
    let mut set_at = Vec::new();
    for lock in locks {
        let changed = soon("a lock", lock).await.unwrap().unwrap();
        set_at.push(changed.shown.stored.state_revision());
    }
    assert_eq!(set_at[0], set_at[1], "the second changed nothing");
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_the_disk_refused_is_never_shown_and_what_was_acknowledged_stays() {
    let directory = TempDir::new().unwrap();
    let disk = Arc::new(TestDisk::default());
    let server = server_on(&directory, &disk).await;
    let mut acknowledged = Vec::new();
    for n in 2..20 {
        acknowledged.push(issue(&server.authority, n).await.unwrap());
    }
    let revoked = acknowledged.pop().unwrap();
    let revoke = server
        .authority
        .set_state(set_state(revoked.id, Set::Revoke), How::BY_CREDD);
    revoke.await.unwrap();
    let mut watch = Recorder::start(&server.admin, watch_request()).await;
    watch.next().await.unwrap();
    let before = view(&server.admin, &acknowledged[0]).await;
    let revision = watch.stream.reached();

    disk.is_broken.store(true, Ordering::SeqCst);
    let lock = server
        .authority
        .set_state(set_state(acknowledged[0].id, Set::Lock), How::BY_CREDD);
    let failed = soon("the lock", lock).await.unwrap_err();
    assert!(matches!(failed, CommandError::StoreFailed), "{failed:?}");
    // The disk is well again, and the store must not be.
    disk.is_broken.store(false, Ordering::SeqCst);
    let refused = issue(&server.authority, 30).await.err().unwrap();
    assert!(
        matches!(
            refused,
            IssueError::Command(CommandError::StoreFailed | CommandError::Stopping)
        ),
        "{refused:?}"
    );
    assert_eq!(view(&server.admin, &acknowledged[0]).await, before);
    let told = heartbeats(&mut watch).await;
    assert!(
        told.messages
            .iter()
            .all(|m| m.said == Said::Bookmark && m.revision == revision)
    );
    drop(watch);
    let ended = server.stop().await;
    assert!(
        matches!(ended, Err(FeedError::Store(StoreError::Poisoned(_)))),
        "{ended:?}"
    );

    let server = InProcess::start(reopened(&directory).await, RingSize::default()).await;
    for known in &acknowledged[1..] {
        assert_eq!(view(&server.admin, known).await.verify, Verdict::Active);
    }
    assert_eq!(view(&server.admin, &revoked).await.verify, Verdict::Revoked);
    // What failed is wholly there, or was never there.
    let seen = view(&server.admin, &acknowledged[0]).await;
    assert!(
        matches!(
            (seen.verify, seen.get),
            (Verdict::Active, Some(CredentialState::Active))
                | (Verdict::Locked, Some(CredentialState::Locked))
        ),
        "{seen:?}"
    );
    let (id, _, token) = drawn(30);
    assert_eq!(view(&server.admin, &Known { id, token }).await.get, None);
    server.stop().await.unwrap();
}

/// The store of a server that has just ended: connections may still hold it.
async fn reopened(directory: &TempDir) -> Arc<dyn Store> {
    let disk = Arc::new(TestDisk::default());
    let store = Mutex::new(None);
    until("the store to be let go", || async {
        match SledStore::open(directory.path(), &options(&disk)) {
            Ok(opened) => {
                *store.lock() = Some(opened);
                true
            }
            Err(OpenError::InUse { .. }) => false,
            Err(error) => panic!("{error}"),
        }
    })
    .await;
    Arc::new(store.into_inner().unwrap())
}

/// A store whose feed waits while its gate is closed: commits are durable, and
/// not yet applied.
#[derive(Debug)]
struct SlowFeed {
    store: MemoryStore,
    disk: Arc<TestDisk>,
}

impl Store for SlowFeed {
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
        // The feed waits for the commit that it reads; others do not.
        if !wait.is_zero() {
            let mut gate = self.disk.gate.lock();
            gate.waiting += 1;
            self.disk
                .changed
                .wait_while(&mut gate, |gate| gate.is_closed);
            gate.waiting -= 1;
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

/// Otherwise a subscriber could drop what it cached, ask anew, and be told what
/// was true before.
#[tokio::test(flavor = "multi_thread")]
async fn no_watch_tells_of_a_change_before_verify_does() {
    let disk = Arc::new(TestDisk::default());
    let store = Arc::new(SlowFeed {
        store: MemoryStore::new(StoreId::from_random([6; 16])),
        disk: Arc::clone(&disk),
    });
    let server = InProcess::start(store, RingSize::default()).await;
    let known = issue(&server.authority, 2).await.unwrap();
    let mut watch = Recorder::start(&server.admin, watch_request()).await;
    watch.next().await.unwrap();
    let token = watch.token();

    disk.close();
    let _opens = OpensAtTheEnd(Arc::clone(&disk));
    let authority = Arc::clone(&server.authority);
    let lock = tokio::spawn(async move {
        authority
            .set_state(set_state(known.id, Set::Lock), How::BY_CREDD)
            .await
    });
    disk.arrival().await;
    let request = v1::WatchRequest {
        resume_token: token,
        ..watch_request()
    };
    let mut resumed = Recorder::start(&server.admin, request).await;
    let told = heartbeats(&mut resumed).await;
    let verdict = server.admin.verdict(&known.token).await;
    assert_eq!(verdict, Verdict::Active);
    let told = History::of(&told);
    assert_eq!(
        told,
        History::default(),
        "the Watch tells what Verify does not know"
    );
    disk.open();
    soon("the lock", lock).await.unwrap().unwrap();
    assert_eq!(server.admin.verdict(&known.token).await, Verdict::Locked);
    resumed.reach(watch.stream.reached() + 1).await;
    server.stop().await.unwrap();
}

/// The volume may have been moved to another process, which denies by now what this
/// one would let through.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_cannot_commit_says_yes_no_longer_than_its_lease() {
    let disk = Arc::new(TestDisk::default());
    let directory = tempfile::tempdir().unwrap();
    let id = StoreId::from_random([7; 16]);
    let store = SledStore::create(directory.path(), &options(&disk), id).unwrap();
    let server = InProcess::start_leasing(Arc::new(store), Duration::from_millis(500)).await;
    let good = issue(&server.authority, 2).await.unwrap();
    let locked = issue(&server.authority, 3).await.unwrap();
    server.admin.lock(&locked.id.to_string()).await.unwrap();
    assert_eq!(server.admin.verdict(&good.token).await, Verdict::Active);

    disk.close();
    let opens = OpensAtTheEnd(Arc::clone(&disk));
    let refusal = soon("the lease lapses", async {
        loop {
            match server.admin.verify_token(&good.token).await {
                Err(refusal) => return refusal,
                Ok(answer) => assert_eq!(answer.verdict(), Verdict::Active),
            }
        }
    })
    .await;
    assert_eq!(refusal.code(), Code::Unavailable);
    let details = tonic_types::StatusExt::get_error_details(&refusal);
    assert_eq!(details.error_info().unwrap().reason, "LEASE_LAPSED");
    assert!(details.retry_info().is_some());
    assert_eq!(
        server.admin.verdict(&locked.token).await,
        Verdict::Locked,
        "a no is told"
    );

    drop(opens);
    until("it goes on", || async {
        let asked = server.admin.verify_token(&good.token).await;
        asked.is_ok_and(|answer| answer.verdict() == Verdict::Active)
    })
    .await;
    server.stop().await.unwrap();
}
