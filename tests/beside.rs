//! What takes long is done beside the verdicts: these are given meanwhile, even
//! where one thread gives them all.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/calls.rs"]
mod calls;
mod support;

#[path = "support/in_process.rs"]
mod in_process;

use std::error::Error;
use std::sync::{Arc, mpsc};
use std::thread::{self, ThreadId};

use calls::{issue, reported, verdict};
use credd::authority::committer::How;
use credd::authority::hub::RingSize;
use credd::authority::keys::{AskedOfKeys, KeySource};
use credd::domain::keyring::{KeyKind, KeyVersion, Keyring};
use credd::domain::names::Reason;
use credd::domain::revision::StoreId;
use credd::domain::time::{Clock, SystemClock, Timestamp};
use credd::proto::v1::LeakOutcome::Locked;
use credd::proto::v1::Verdict::{self, Active};
use credd::store::memory::MemoryStore;
use in_process::InProcess;
use parking_lot::Mutex;
use support::soon;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A clock that can stop whoever asks it next for the time on a thread that is
/// neither the runtime's nor the committer's.
#[derive(Debug)]
struct Stopping {
    runtime: ThreadId,
    next: Mutex<Option<Stop>>,
}

/// A stop: that it is reached is said, and it ends with what the test holds.
type Stop = (oneshot::Sender<()>, mpsc::Receiver<()>);

impl Stopping {
    /// To be made on the one thread of the runtime.
    fn new() -> Arc<Self> {
        Arc::new(Self {
            runtime: thread::current().id(),
            next: Mutex::new(None),
        })
    }

    /// What is done when the next one is stopped, and what it is held by.
    fn stop_next(&self) -> (oneshot::Receiver<()>, mpsc::Sender<()>) {
        let (stopped, is_stopped) = oneshot::channel();
        let (holds, is_held) = mpsc::channel();
        *self.next.lock() = Some((stopped, is_held));
        (is_stopped, holds)
    }
}

impl Clock for Stopping {
    fn now(&self) -> Timestamp {
        let thread = thread::current();
        let is_beside = thread.id() != self.runtime && thread.name() != Some("committer");
        let stop = is_beside.then(|| self.next.lock().take()).flatten();
        if let Some((stopped, is_held)) = stop {
            let _ = stopped.send(());
            let _ = is_held.recv();
        }
        SystemClock.now()
    }
}

/// The key of [`InProcess`], and another.
#[derive(Debug)]
struct TwoKeys;

impl KeySource for TwoKeys {
    fn read(&self) -> Result<Option<Keyring>, Box<dyn Error + Send + Sync>> {
        let keys = [(1, 7), (2, 8)].map(|(version, byte)| (KeyVersion(version), [byte; 32].into()));
        Ok(Some(Keyring::new(&keys, &keys[..1])?))
    }
}

fn asked(version: u32) -> AskedOfKeys {
    AskedOfKeys {
        version: KeyVersion(version),
        how: How::BY_CREDD,
        reason: Reason::parse("").unwrap(),
        expected: None,
    }
}

async fn start(clock: &Arc<Stopping>) -> InProcess {
    let store = Arc::new(MemoryStore::new(StoreId::from_bytes([1; 16])));
    let clock = Arc::<Stopping>::clone(clock);
    InProcess::start_by(store, RingSize::default(), clock).await
}

/// What a task comes to, which is stopped beside the runtime, and the verdict that is
/// given meanwhile.
async fn beside<T>(
    clock: &Stopping,
    begin: impl FnOnce() -> JoinHandle<T>,
    verdict: impl Future<Output = Verdict>,
) -> (T, Verdict) {
    let (stopped, holds) = clock.stop_next();
    let mut task = begin();
    let is_stopped = async {
        tokio::select! {
            stopped = stopped => stopped.unwrap(),
            _ = &mut task => panic!("it was done on the thread of the runtime"),
        }
    };
    soon("the task to be stopped", is_stopped).await;
    let verdict = soon("a verdict", verdict).await;
    assert!(!task.is_finished());
    drop(holds);
    (soon("the task", task).await.unwrap(), verdict)
}

#[tokio::test]
async fn verdicts_are_given_while_secrets_that_leaked_are_looked_for() {
    let clock = Stopping::new();
    let server = start(&clock).await;
    let [leaked, other] = [
        issue(&server.admin, "acme", "jo", "api-token").await,
        issue(&server.admin, "acme", "jo", "api-token").await,
    ];
    let secrets = [leaked.secret()];
    let admin = server.admin.clone();
    let report = || tokio::spawn(async move { reported(&admin, &secrets).await });
    let (outcomes, meanwhile) = beside(&clock, report, verdict(&server.admin, &other)).await;
    assert_eq!(meanwhile, Active);
    assert_eq!(outcomes, [Locked]);
    assert_eq!(verdict(&server.admin, &leaked).await, Verdict::Locked);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn verdicts_are_given_while_secrets_under_a_pepper_are_looked_for() {
    let clock = Stopping::new();
    let server = start(&clock).await;
    let authority = Arc::clone(&server.authority);
    let [quiet, used] = [
        issue(&server.admin, "acme", "jo", "api-token").await,
        issue(&server.admin, "acme", "jo", "api-token").await,
    ];
    authority.note_keys().await.unwrap();
    authority.keys().set_source(TwoKeys);
    let rotated = authority.rotate_key(KeyKind::Pepper, asked(2)).await;
    rotated.unwrap();
    // The administrator's secret and this one need the old one no more.
    assert_eq!(verdict(&server.admin, &used).await, Active);
    let retire = || tokio::spawn(async move { authority.retire_pepper(asked(1), true).await });
    let (retired, meanwhile) = beside(&clock, retire, verdict(&server.admin, &used)).await;
    assert_eq!(meanwhile, Active);
    assert_eq!(retired.unwrap().impact.changed, 1);
    assert_eq!(verdict(&server.admin, &used).await, Active);
    assert_ne!(verdict(&server.admin, &quiet).await, Active);
    server.stop().await.unwrap();
}
