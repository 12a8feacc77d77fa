//! What the tests of the store share.
#![allow(dead_code, reason = "each test uses a part of it")]

pub(crate) mod counted;
pub(crate) mod directory;
#[path = "../support/etcd.rs"]
mod etcd;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use credd::domain::random::SystemRandom;
use credd::domain::revision::{Position, Revision, StoreId};
use credd::domain::time::Timestamp;
use credd::store::etcd::{EtcdStore, Options as EtcdOptions};
use credd::store::memory::MemoryStore;
use credd::store::sled::{Options, SledStore};
use credd::store::{
    Batch, Changes, Contents, Entry, Expect, Guard, KeyRange, PageLimit, Store, StoreError, Write,
    chain,
};
use parking_lot::{Mutex, MutexGuard};
use tempfile::TempDir;

use etcd::Cluster;

/// Everything at once.
pub(crate) const UNLIMITED: PageLimit = PageLimit {
    commits: usize::MAX,
    bytes: usize::MAX,
};

/// A moment.
pub(crate) const SHORT: Duration = Duration::from_millis(20);

/// Longer than any test takes: a wait that ends only because of what is awaited.
pub(crate) const AGES: Duration = Duration::from_mins(1);

/// A kind of store, as the suites see it.
pub(crate) trait Engine: Sized + Sync {
    /// Where the program is named that it needs, if it needs one.
    const TOOL: Option<&str> = None;

    /// An empty store.
    fn fresh() -> Self;

    /// The store.
    fn store(&self) -> &dyn Store;

    /// The same store after its process ended and started again.
    fn restarted(self) -> Self;
}

/// The oracle. It has no restart.
pub(crate) struct Memory(MemoryStore);

impl Engine for Memory {
    fn fresh() -> Self {
        Self(MemoryStore::new(store_id()))
    }

    fn store(&self) -> &dyn Store {
        &self.0
    }

    fn restarted(self) -> Self {
        self
    }
}

/// The embedded engine, in a directory of its own.
pub(crate) struct Sled {
    store: SledStore,
    directory: TempDir,
}

impl Sled {
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Closes it, writes it anew, and opens it.
    pub(crate) fn rewritten(self) -> Self {
        let Self { store, directory } = self;
        drop(store);
        SledStore::rewrite(directory.path(), &options()).unwrap();
        let store = SledStore::open(directory.path(), &options()).unwrap();
        Self { store, directory }
    }
}

impl Engine for Sled {
    fn fresh() -> Self {
        let directory = TempDir::new().unwrap();
        let store = SledStore::create(directory.path(), &options(), store_id()).unwrap();
        Self { store, directory }
    }

    fn store(&self) -> &dyn Store {
        &self.store
    }

    fn restarted(self) -> Self {
        let Self { store, directory } = self;
        drop(store);
        let store = SledStore::open(directory.path(), &options()).unwrap();
        Self { store, directory }
    }
}

/// The real etcd. All stores are in one cluster, of which one is used at a time: what
/// one has etcd forget is forgotten for all.
pub(crate) struct Etcd {
    store: Arc<EtcdStore>,
    prefix: String,
    cluster: MutexGuard<'static, Option<Cluster>>,
}

impl Etcd {
    fn open(cluster: MutexGuard<'static, Option<Cluster>>, prefix: String) -> Self {
        let options = EtcdOptions {
            members: cluster.as_ref().unwrap().members(),
            credentials: None,
            prefix: prefix.clone(),
            forget_after: Duration::from_hours(1),
            may_compact: true,
        };
        let store = EtcdStore::open(options, &SystemRandom::new(), Some(store_id())).unwrap();
        Self {
            store: Arc::new(store),
            prefix,
            cluster,
        }
    }

    /// The store, to be shared until it is restarted.
    pub(crate) fn shared(&self) -> Arc<EtcdStore> {
        Arc::clone(&self.store)
    }
}

impl Engine for Etcd {
    const TOOL: Option<&str> = Some("CREDD_TEST_ETCD");

    fn fresh() -> Self {
        static CLUSTER: Mutex<Option<Cluster>> = Mutex::new(None);
        static STORES: AtomicUsize = AtomicUsize::new(0);

        let mut cluster = CLUSTER.lock();
        cluster.get_or_insert_with(|| {
            let program = std::env::var_os("CREDD_TEST_ETCD").unwrap();
            Cluster::start(Path::new(&program))
        });
        let number = STORES.fetch_add(1, Ordering::Relaxed);
        Self::open(cluster, format!("/credd-{number}/"))
    }

    fn store(&self) -> &dyn Store {
        &*self.store
    }

    fn restarted(self) -> Self {
        let Self {
            store,
            prefix,
            cluster,
        } = self;
        drop(store);
        Self::open(cluster, prefix)
    }
}

pub(crate) fn store_id() -> StoreId {
    StoreId::from_random([7; 16])
}

pub(crate) fn options() -> Options {
    Options {
        cache_bytes: 8 << 20,
        reserve_bytes: 0,
        // Few, so that the log on disk is read as well.
        recent_commits: 3,
        ..Options::default()
    }
}

pub(crate) fn key(key: &str) -> Bytes {
    Bytes::copy_from_slice(key.as_bytes())
}

pub(crate) fn put(name: &str, value: &str) -> Write {
    Write {
        key: key(name),
        value: Some(key(value)),
    }
}

pub(crate) fn delete(name: &str) -> Write {
    Write {
        key: key(name),
        value: None,
    }
}

pub(crate) fn absent(name: &str) -> Guard {
    Guard {
        key: key(name),
        expect: Expect::Absent,
    }
}

pub(crate) fn unchanged(name: &str, since: Revision) -> Guard {
    Guard {
        key: key(name),
        expect: Expect::Revision(since),
    }
}

pub(crate) fn batch(guards: impl Into<Vec<Guard>>, writes: impl Into<Vec<Write>>) -> Batch {
    Batch {
        at: Timestamp::from_millis(1_700_000_000_000),
        guards: guards.into(),
        writes: writes.into(),
        vital: false,
    }
}

pub(crate) fn commit(store: &dyn Store, writes: impl Into<Vec<Write>>) -> Revision {
    store.commit(batch([], writes)).unwrap()
}

/// Commits `key-<n>` = `value-<n>` for each number, one at a time.
pub(crate) fn commit_each(store: &dyn Store, numbers: impl IntoIterator<Item = u32>) {
    for n in numbers {
        commit(store, [put(&format!("key-{n}"), &format!("value-{n}"))]);
    }
}

pub(crate) fn changes(store: &dyn Store, after: Revision) -> Result<Changes, StoreError> {
    store.changes(after, UNLIMITED, Duration::ZERO)
}

pub(crate) fn scan_all(store: &dyn Store) -> Vec<Entry> {
    store.scan(&KeyRange::all(), usize::MAX).unwrap()
}

/// The value of a key.
pub(crate) fn value(store: &dyn Store, name: &str) -> Option<Bytes> {
    let found = store.scan(&KeyRange::prefix(name.as_bytes()), 1).unwrap();
    let exact = found.into_iter().find(|entry| entry.key == name);
    exact.map(|entry| entry.value)
}

pub(crate) fn head(store: &dyn Store) -> Position {
    store.snapshot().unwrap()
}

/// Panics unless the store holds what it says it does, and the log leads from
/// its floor to the head.
pub(crate) fn assert_consistent(store: &dyn Store) {
    let mut found = Contents::default();
    for entry in scan_all(store) {
        found.add(&entry.key, entry.revision);
    }
    let counts = store.contents().unwrap();
    if let Some(counted) = counts {
        assert_eq!(counted, (head(store), found));
    }
    let log = match changes(store, Revision::ZERO) {
        Err(StoreError::Compacted { floor }) => changes(store, floor.revision).unwrap(),
        log => log.unwrap(),
    };
    let mut reached = log.from;
    for commit in log.commits {
        let revision = commit.position.revision;
        assert!(revision > reached.revision);
        let chain = chain(&reached.chain, revision, commit.at, &commit.writes);
        reached = commit.position;
        // Who keeps no count keeps no hashes.
        if counts.is_some() {
            assert_eq!(reached, Position { revision, chain });
        }
    }
    assert_eq!(reached, head(store));
}
