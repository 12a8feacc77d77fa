//! An authority in this process whose clock a test sets, on a store in memory,
//! behind the real services on a real connection.

#![allow(dead_code, reason = "each suite uses a part of it")]

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use credd::authority::hub::RingSize;
use credd::authority::sweep::{Keep, Swept};
use credd::domain::revision::StoreId;
use credd::domain::time::{Clock, Timestamp};
use credd::store::Store;
use credd::store::memory::MemoryStore;

use crate::support::Client;

#[path = "in_process.rs"]
pub(crate) mod in_process;

use in_process::InProcess;

/// A clock that stands still until it is set.
#[derive(Debug)]
pub(crate) struct TestClock(AtomicI64);

impl TestClock {
    pub(crate) fn at(millis: i64) -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(millis)))
    }

    /// Milliseconds since the epoch.
    pub(crate) fn millis(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }

    pub(crate) fn set(&self, millis: i64) {
        self.0.store(millis, Ordering::SeqCst);
    }

    pub(crate) fn advance(&self, by: Duration) {
        let millis = i64::try_from(by.as_millis()).unwrap();
        self.0.fetch_add(millis, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.millis())
    }
}

/// What outlives a restart.
#[derive(Clone)]
pub(crate) struct Disk {
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) clock: Arc<TestClock>,
}

impl Disk {
    /// An empty store, and a clock that shows this.
    pub(crate) fn at(millis: i64) -> Self {
        let store = MemoryStore::new(StoreId::from_bytes([9; 16]));
        Self {
            store: Arc::new(store),
            clock: TestClock::at(millis),
        }
    }
}

pub(crate) struct Clocked {
    pub(crate) clock: Arc<TestClock>,
    server: InProcess,
    disk: Disk,
}

impl Deref for Clocked {
    type Target = InProcess;

    fn deref(&self) -> &InProcess {
        &self.server
    }
}

impl Clocked {
    /// Serves a store. One without the administrator gets one.
    pub(crate) async fn start(disk: Disk) -> Self {
        let store: Arc<dyn Store> = Arc::<MemoryStore>::clone(&disk.store);
        let clock: Arc<dyn Clock> = Arc::<TestClock>::clone(&disk.clock);
        Self {
            server: InProcess::start_by(store, RingSize::default(), clock).await,
            clock: Arc::clone(&disk.clock),
            disk,
        }
    }

    /// Does what is due, as the server does from time to time.
    pub(crate) async fn sweep(&mut self) {
        self.sweep_keeping(Keep::default()).await;
    }

    /// The same, with another retention.
    pub(crate) async fn sweep_keeping(&mut self, keep: Keep) {
        let mut swept = Swept::default();
        self.authority.sweep(&mut swept, keep).await.unwrap();
    }

    /// Another caller, over a connection of its own.
    pub(crate) async fn client(&self, token: &str) -> Client {
        Client::connect(self.address, token).await
    }

    /// Ends it and serves the same store anew.
    pub(crate) async fn restart(self) -> Self {
        let disk = self.stop().await;
        Self::start(disk).await
    }

    /// Ends it; returns what is left.
    pub(crate) async fn stop(self) -> Disk {
        self.server.stop().await.unwrap();
        self.disk
    }
}
