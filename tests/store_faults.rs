//! What the embedded engine does when the disk, the directory or the process
//! fails: it says so, and loses nothing that it acknowledged. (Damage to what
//! is stored is in `store_damage.rs`.)
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod store_support;

use std::env;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, SystemTime};

use credd::domain::revision::Revision;
use credd::store::sled::{Disk, OpenError, Options, SledStore, SystemDisk};
use credd::store::{KeyRange, MAX_VALUE_BYTES, Store, StoreError};
use parking_lot::{Condvar, Mutex};
use store_support::directory::{assert_holds_all, create, filled, live_database, open, raw};
use store_support::{
    AGES, Engine, Sled, UNLIMITED, assert_consistent, batch, changes, commit, commit_each, delete,
    head, key, options, put, scan_all, store_id, value,
};
use tempfile::TempDir;

#[test]
fn nothing_is_shown_before_it_is_durable() {
    let directory = TempDir::new().unwrap();
    let disk = Arc::new(TestDisk::default());
    let store = create(directory.path(), &with_disk(disk.clone()));
    commit_each(&store, 0..3);
    let before = (head(&store), store.contents());
    thread::scope(|scope| {
        let closed = disk.close();
        let writer = scope.spawn(|| commit(&store, [put("late", "1")]));
        while !disk.has_sync_waiting() {
            assert!(!writer.is_finished(), "the commit did not sync");
            thread::yield_now();
        }
        // sled has it already, and may show it; the log may not.
        assert_eq!(value(&store, "late"), Some(key("1")));
        assert_eq!((head(&store), store.contents()), before);
        let log = changes(&store, before.0.revision).unwrap();
        assert_eq!((log.from, log.commits.len()), (before.0, 0));
        let ahead = store.changes(before.0.revision.next(), UNLIMITED, AGES);
        assert_eq!(ahead, Err(StoreError::Ahead { head: before.0 }));
        assert!(!writer.is_finished());
        drop(closed);
        let revision = writer.join().unwrap();
        assert_eq!(head(&store).revision, revision);
        let log = changes(&store, before.0.revision).unwrap();
        assert_eq!(log.commits[0].position.revision, revision);
    });
}

#[test]
fn an_acknowledged_commit_outlives_kill_9() {
    let directory = TempDir::new().unwrap();
    drop(create(directory.path(), &options()));
    for _ in 0..3 {
        let mut other = OtherProcess::start(directory.path());
        let acknowledged = (0..50).map(|_| other.next_commit()).last().unwrap();
        other.kill();
        let store = open(directory.path());
        assert!(head(&store).revision.number() >= acknowledged);
        assert_eq!(
            u64::try_from(scan_all(&store).len()).unwrap(),
            head(&store).revision.number()
        );
        assert_consistent(&store);
    }
}

#[test]
fn no_value_becomes_a_file_of_its_own() {
    let engine = Sled::fresh();
    let large = "v".repeat(MAX_VALUE_BYTES);
    for n in 0..60 {
        let writes: Vec<_> = (0..8)
            .map(|m| put(&format!("{}-{}", "k".repeat(240), n * 8 + m), &large))
            .collect();
        commit(engine.store(), writes);
    }
    let blobs = live_database(engine.directory()).join("blobs");
    assert_eq!(fs::read_dir(blobs).unwrap().count(), 0);
}

#[test]
fn a_failed_sync_poisons_for_good() {
    let directory = TempDir::new().unwrap();
    let disk = Arc::new(TestDisk::default());
    let store = create(directory.path(), &with_disk(disk.clone()));
    commit_each(&store, 0..5);
    let after = head(&store).revision;
    assert_eq!(store.vitals().failed_at, None);
    let before = SystemTime::now();
    disk.fails(true);
    let failed = store.commit(batch([], [put("lost", "1")]));
    let Err(StoreError::Poisoned(reason)) = failed else {
        panic!("{failed:?}");
    };
    assert!(reason.contains("the test's disk"), "{reason}");
    disk.fails(false);
    let failed_at = store.vitals().failed_at.unwrap();
    assert!(failed_at >= before && failed_at <= SystemTime::now());

    let poisoned = StoreError::Poisoned(reason.clone());
    let again = store.commit(batch([], [put("lost", "2")]));
    assert_eq!(again, Err(poisoned.clone()));
    let scan = store.scan(&KeyRange::all(), 1);
    assert_eq!(scan, Err(poisoned.clone()));
    assert_eq!(store.snapshot(), Err(poisoned.clone()));
    assert_eq!(store.contents(), Err(poisoned.clone()));
    assert_eq!(store.compact(after), Err(poisoned.clone()));
    assert_eq!(changes(&store, Revision::ZERO), Err(poisoned.clone()));
    assert_eq!(store.verify(), Err(poisoned));
    let marker = fs::read_to_string(directory.path().join("POISONED")).unwrap();
    assert!(marker.contains(&*reason));
}

#[test]
fn poisoning_wakes_who_waits_for_changes() {
    // Several times, since nothing tells that the other thread waits by now.
    for _ in 0..10 {
        let directory = TempDir::new().unwrap();
        let disk = Arc::new(TestDisk::default());
        let store = Arc::new(create(directory.path(), &with_disk(disk.clone())));
        let (sender, receiver) = mpsc::channel();
        let waiting = Arc::clone(&store);
        thread::spawn(move || {
            sender.send(None).unwrap();
            let answer = waiting.changes(Revision::ZERO, UNLIMITED, Duration::MAX);
            sender.send(Some(answer)).unwrap();
        });
        assert_eq!(receiver.recv().unwrap(), None);
        disk.fails(true);
        let failed = store.commit(batch([], [put("lost", "1")]));
        let woken = receiver.recv_timeout(AGES).unwrap().unwrap();
        assert_eq!(woken.unwrap_err(), failed.unwrap_err());
    }
}

#[test]
fn a_poisoned_store_is_rewritten_and_has_every_acknowledged_commit() {
    let directory = TempDir::new().unwrap();
    let disk = Arc::new(TestDisk::default());
    let store = create(directory.path(), &with_disk(disk.clone()));
    commit_each(&store, 0..20);
    store.compact(Revision::new(5)).unwrap();
    let (keys, last) = (scan_all(&store), head(&store));
    let log = changes(&store, Revision::new(5)).unwrap();
    disk.fails(true);
    let failed = store.commit(batch([], [put("doubtful", "1"), delete("key-7")]));
    assert!(matches!(failed, Err(StoreError::Poisoned(_))));
    drop(store);

    let old = live_database(directory.path());
    let store = open(directory.path());
    assert_ne!(live_database(directory.path()), old);
    assert!(!old.exists());
    assert!(!directory.path().join("POISONED").exists());
    assert!(store.vitals().failed_at.is_some());
    assert_eq!(store.id(), store_id());
    assert_consistent(&store);
    let found = changes(&store, Revision::new(5)).unwrap();
    assert_eq!(found.from, log.from);
    assert_eq!(found.commits[..log.commits.len()], log.commits);
    // The doubtful commit is wholly there, or not at all.
    if head(&store) == last {
        assert_eq!(scan_all(&store), keys);
    } else {
        assert_eq!(found.commits.len(), log.commits.len() + 1);
        assert_eq!(value(&store, "doubtful"), Some(key("1")));
        assert_eq!(value(&store, "key-7"), None);
        assert_eq!(scan_all(&store).len(), keys.len());
    }
    assert!(commit(&store, [put("on", "1")]) > last.revision);
}

#[test]
fn a_failed_sync_while_compacting_poisons() {
    let directory = TempDir::new().unwrap();
    let disk = Arc::new(TestDisk::default());
    let store = create(directory.path(), &with_disk(disk.clone()));
    commit_each(&store, 0..5);
    disk.fails(true);
    let failed = store.compact(Revision::new(3));
    assert!(matches!(failed, Err(StoreError::Poisoned(_))));
    drop(store);
    let store = open(directory.path());
    assert_eq!(scan_all(&store).len(), 5);
    assert_consistent(&store);
}

#[test]
fn a_rewrite_that_fails_leaves_the_store_as_it_was() {
    let directory = filled();
    fs::write(directory.path().join("POISONED"), "a test\n").unwrap();
    let disk = Arc::new(TestDisk::default());
    disk.fails(true);
    for _ in 0..2 {
        let refused = SledStore::open(directory.path(), &with_disk(disk.clone()));
        assert!(matches!(refused, Err(OpenError::Io { .. })), "{refused:?}");
        assert!(directory.path().join("POISONED").exists());
    }
    assert_holds_all(&open(directory.path()));
    assert!(!directory.path().join("POISONED").exists());
}

#[test]
fn a_rewrite_keeps_the_reserve_unless_the_store_can_t_be_opened_without_it() {
    const RESERVE: u64 = 1 << 30;

    let directory = filled();
    // More than what is copied at once.
    let store = open(directory.path());
    for commit in 0..6 {
        let writes = (0..100).map(|key| put(&format!("more {commit} {key}"), "value"));
        store.commit(batch([], writes.collect::<Vec<_>>())).unwrap();
    }
    drop(store);
    let disk = Arc::new(TestDisk::default());
    disk.has_free(RESERVE - 1);
    let reserved = Options {
        reserve_bytes: RESERVE,
        ..with_disk(disk.clone())
    };
    let refused = SledStore::rewrite(directory.path(), &reserved);
    let Err(OpenError::NoRoom { bytes, source, .. }) = &refused else {
        panic!("{refused:?}");
    };
    assert!(*bytes > 0);
    assert!(source.to_string().contains("kept in reserve"), "{source}");
    // Nothing of it takes the room that is missing.
    let databases = fs::read_dir(directory.path()).unwrap().filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_str().unwrap().starts_with("store-")
    });
    assert_eq!(databases.count(), 1);

    fs::write(directory.path().join("POISONED"), "a test\n").unwrap();
    let store = SledStore::open(directory.path(), &reserved).unwrap();
    assert!(value(&store, "more 5 99").is_some());
    drop(store);
    disk.has_free(RESERVE);
    SledStore::rewrite(directory.path(), &reserved).unwrap();
}

#[test]
fn a_full_disk_refuses_writes_and_nothing_else_until_there_is_room() {
    const RESERVE: u64 = 1 << 30;

    let directory = filled();
    let disk = Arc::new(TestDisk::default());
    let reserved = Options {
        reserve_bytes: RESERVE,
        ..with_disk(disk.clone())
    };
    let store = SledStore::open(directory.path(), &reserved).unwrap();
    let last = head(&store);
    disk.has_free(RESERVE + 1000);
    let refused = store.commit(batch([], [put("new", &"v".repeat(1000))]));
    let full = StoreError::Full {
        free: RESERVE + 1000,
        reserve: RESERVE,
    };
    assert_eq!(refused, Err(full));
    assert_eq!(head(&store), last);
    assert_eq!(value(&store, "new"), None);
    assert_holds_all(&store);
    // What makes room may use half of the reserve.
    store.compact(Revision::new(1)).unwrap();
    disk.has_free(RESERVE / 2);
    let refused = store.compact(Revision::new(2));
    assert!(
        matches!(refused, Err(StoreError::Full { .. })),
        "{refused:?}"
    );
    disk.has_free(RESERVE * 2);
    store.compact(Revision::new(2)).unwrap();
    assert!(commit(&store, [put("new", "1")]) > last.revision);
    drop(store);
    assert!(!directory.path().join("POISONED").exists());
    assert_eq!(value(&open(directory.path()), "new"), Some(key("1")));
}

#[test]
fn the_room_on_a_real_disk_is_measured() {
    let directory = filled();
    let crowded = Options {
        reserve_bytes: u64::MAX,
        ..options()
    };
    let store = SledStore::open(directory.path(), &crowded).unwrap();
    let refused = store.commit(batch([], [put("new", "1")]));
    assert!(
        matches!(refused, Err(StoreError::Full { free, .. }) if free > 0),
        "{refused:?}"
    );
}

#[test]
fn a_store_is_open_once() {
    let directory = filled();
    let store = open(directory.path());
    for refused in [
        SledStore::open(directory.path(), &options()).map(drop),
        SledStore::create(directory.path(), &options(), store_id()).map(drop),
        SledStore::rewrite(directory.path(), &options()).map(drop),
    ] {
        assert!(
            matches!(refused, Err(OpenError::InUse { .. })),
            "{refused:?}"
        );
    }
    drop(store);
    assert_holds_all(&open(directory.path()));

    let mut other = OtherProcess::start(directory.path());
    other.next_commit();
    let refused = SledStore::open(directory.path(), &options());
    assert!(
        matches!(refused, Err(OpenError::InUse { .. })),
        "{refused:?}"
    );
    other.kill();
    assert_consistent(&open(directory.path()));
}

#[test]
fn a_store_is_created_where_there_is_none() {
    let parent = TempDir::new().unwrap();
    let directory = parent.path().join("a/b");
    assert!(!SledStore::exists(&directory).unwrap());
    let refused = SledStore::open(&directory, &options());
    assert!(matches!(refused, Err(OpenError::NotFound { .. })));
    assert!(!directory.exists());
    drop(create(&directory, &options()));
    assert!(SledStore::exists(&directory).unwrap());
    let refused = SledStore::create(&directory, &options(), store_id());
    assert!(matches!(refused, Err(OpenError::Exists { .. })));
    open(&directory);
}

#[test]
fn a_creation_that_was_cut_short_is_begun_again() {
    let directory = filled();
    // CURRENT comes last but for the witness.
    fs::remove_file(directory.path().join("CURRENT")).unwrap();
    fs::remove_file(directory.path().join("HEAD")).unwrap();
    let refused = SledStore::open(directory.path(), &options());
    assert!(matches!(refused, Err(OpenError::NotFound { .. })));
    let store = create(directory.path(), &options());
    assert_eq!(scan_all(&store), []);
}

#[test]
fn what_an_interrupted_rewrite_left_behind_is_removed() {
    let directory = filled();
    let leftover = directory.path().join("store-000002");
    fs::create_dir(&leftover).unwrap();
    fs::write(leftover.join("db"), "half").unwrap();
    fs::write(directory.path().join("CURRENT.new"), "store-0").unwrap();
    fs::write(directory.path().join("POISONED"), "a test\n").unwrap();
    assert_holds_all(&open(directory.path()));
    assert_eq!(live_database(directory.path()), leftover);
    assert!(!directory.path().join("store-000001").exists());
    assert!(!directory.path().join("CURRENT.new").exists());

    // After the switch, before the old one was removed.
    fs::create_dir(directory.path().join("store-000001")).unwrap();
    assert_holds_all(&open(directory.path()));
    assert!(!directory.path().join("store-000001").exists());
}

#[test]
fn a_compaction_that_was_cut_short_is_finished_at_the_next_open() {
    let directory = filled();
    let store = open(directory.path());
    let commits = changes(&store, Revision::ZERO).unwrap().commits;
    let floor = commits[149].position;
    drop(store);
    raw(directory.path(), |database| {
        let mut value = floor.revision.number().to_be_bytes().to_vec();
        value.extend(floor.chain.0);
        database.insert(b"\0floor", value).unwrap()
    });
    let store = open(directory.path());
    assert_eq!(
        changes(&store, Revision::ZERO),
        Err(StoreError::Compacted { floor })
    );
    assert_eq!(changes(&store, floor.revision).unwrap().from, floor);
    assert_holds_all(&store);
    drop(store);
    let left = raw(directory.path(), |database| {
        database.scan_prefix([2]).count()
    });
    assert_eq!(left, 50);
}

#[test]
fn compacted_commits_are_gone_from_the_disk() {
    let directory = filled();
    let store = open(directory.path());
    store.compact(Revision::new(190)).unwrap();
    drop(store);
    let left = raw(directory.path(), |database| {
        database.scan_prefix([2]).count()
    });
    assert_eq!(left, 10);
}

const DIRECTORY_OF_OTHER: &str = "CREDD_TEST_STORE_DIRECTORY";

/// Not a test: the other process of some. It commits one key after another and
/// prints each revision when it is acknowledged, until it is killed.
#[test]
#[ignore = "started by other tests"]
fn other_process() {
    let Some(directory) = env::var_os(DIRECTORY_OF_OTHER) else {
        return;
    };
    let store = open(Path::new(&directory));
    loop {
        let name = format!("key-{}", head(&store).revision);
        let revision = commit(&store, [put(&name, "1")]);
        let mut out = io::stdout().lock();
        if writeln!(out, "committed {revision}")
            .and_then(|()| out.flush())
            .is_err()
        {
            return;
        }
    }
}

struct OtherProcess {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
}

impl OtherProcess {
    fn start(directory: &Path) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "other_process", "--ignored", "--nocapture"])
            .env(DIRECTORY_OF_OTHER, directory)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, output }
    }

    /// Waits for a commit and returns its number.
    fn next_commit(&mut self) -> u64 {
        let mut line = String::new();
        loop {
            line.clear();
            let read = self.output.read_line(&mut line).unwrap();
            assert_ne!(read, 0, "the other process ended");
            // The test harness prints on the same line.
            if let Some((_, revision)) = line.split_once("committed ") {
                return revision.trim().parse().unwrap();
            }
        }
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// A disk whose syncs wait or fail, and that is as full as it is told to be.
#[derive(Debug, Default)]
struct TestDisk {
    state: Mutex<DiskState>,
    opened: Condvar,
}

#[derive(Debug, Default)]
struct DiskState {
    closed: bool,
    waiting: bool,
    fails: bool,
    free: Option<u64>,
}

/// Lets the syncs of a disk go on when dropped.
struct Closed<'a>(&'a TestDisk);

impl TestDisk {
    fn fails(&self, fails: bool) {
        self.state.lock().fails = fails;
    }

    fn has_free(&self, bytes: u64) {
        self.state.lock().free = Some(bytes);
    }

    fn close(&self) -> Closed<'_> {
        self.state.lock().closed = true;
        Closed(self)
    }

    fn has_sync_waiting(&self) -> bool {
        self.state.lock().waiting
    }
}

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        self.0.state.lock().closed = false;
        self.0.opened.notify_all();
    }
}

impl Disk for TestDisk {
    fn sync(&self, file: &File) -> io::Result<()> {
        let mut state = self.state.lock();
        state.waiting = state.closed;
        self.opened.wait_while(&mut state, |state| state.closed);
        if state.fails {
            return Err(io::Error::other("the test's disk failed"));
        }
        SystemDisk.sync(file)
    }

    fn free(&self, path: &Path) -> io::Result<u64> {
        let told = self.state.lock().free;
        told.map_or_else(|| SystemDisk.free(path), Ok)
    }
}

fn with_disk(disk: Arc<dyn Disk>) -> Options {
    Options { disk, ..options() }
}
