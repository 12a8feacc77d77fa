//! What the embedded engine does when what it stored is not what it finds: it
//! refuses, or has every acknowledged commit; never anything between.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod store_support;

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use credd::domain::revision::{Revision, StoreId};
use credd::store::sled::{OpenError, SledStore};
use credd::store::{Contents, Entry, KeyRange, MAX_VALUE_BYTES, Store, StoreError};
use store_support::directory::{
    assert_holds_all, copy, create, expected, filled, live_database, open, raw,
};
use store_support::{
    UNLIMITED, assert_consistent, commit, commit_each, head, options, put, scan_all, store_id,
};
use tempfile::TempDir;

#[test]
fn flipped_bytes_are_noticed_or_harmless() {
    let original = filled();
    let file = fs::metadata(live_database(original.path()).join("db")).unwrap();
    // The part that is in use: sled's segments are mostly padding at this size.
    let used = used_bytes(&live_database(original.path()).join("db")).min(file.len());
    let mut noticed = 0;
    for step in 0..80 {
        let damaged = copy(original.path());
        let path = live_database(damaged.path()).join("db");
        flip(&path, used * step / 80 + step % 7);
        noticed += usize::from(!survives(damaged.path()));
    }
    assert!(noticed > 10, "only {noticed} of 80 were noticed");
}

#[test]
fn a_cut_file_is_noticed_or_harmless() {
    let original = filled();
    let used = used_bytes(&live_database(original.path()).join("db"));
    let mut noticed = 0;
    for step in 0..40 {
        let damaged = copy(original.path());
        let path = live_database(damaged.path()).join("db");
        let file = File::options().write(true).open(path).unwrap();
        file.set_len(used * step / 40).unwrap();
        noticed += usize::from(!survives(damaged.path()));
    }
    assert!(noticed >= 39, "only {noticed} of 40 were noticed");
}

#[test]
fn where_sled_panics_the_store_is_refused() {
    const SEGMENT: usize = 512 << 10;

    let directory = filled();
    let path = live_database(directory.path()).join("db");
    // sled asserts that no two of its segments have the same number.
    let mut segment = fs::read(&path).unwrap();
    segment.resize(SEGMENT, 0);
    let file = File::options().write(true).open(path).unwrap();
    file.write_all_at(&segment, u64::try_from(SEGMENT).unwrap())
        .unwrap();
    let refused = SledStore::open(directory.path(), &options());
    assert_damaged(&refused, "sled panicked: ");
}

#[test]
fn damaged_files_beside_the_data_are_noticed_or_harmless() {
    let original = filled();
    let database = live_database(original.path());
    let mut files: Vec<PathBuf> = fs::read_dir(&database)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file() && path.file_name().unwrap() != "db")
        .collect();
    files.extend(["CURRENT", "HEAD"].map(|name| original.path().join(name)));
    for file in files {
        let name = file.strip_prefix(original.path()).unwrap();
        let length = fs::metadata(&file).unwrap().len();
        for offset in (0..length).step_by(usize::try_from(length / 16 + 1).unwrap()) {
            let damaged = copy(original.path());
            flip(&damaged.path().join(name), offset);
            survives(damaged.path());

            let damaged = copy(original.path());
            let cut = File::options().write(true).open(damaged.path().join(name));
            cut.unwrap().set_len(offset).unwrap();
            survives(damaged.path());
        }
        let damaged = copy(original.path());
        fs::remove_file(damaged.path().join(name)).unwrap();
        survives(damaged.path());
    }
}

#[test]
fn a_store_without_its_data_is_refused() {
    for remove in [
        |directory: &Path| fs::remove_file(live_database(directory).join("db")),
        |directory: &Path| File::create(live_database(directory).join("db")).map(drop),
        |directory: &Path| fs::remove_dir_all(live_database(directory)),
        |directory: &Path| fs::remove_file(directory.join("CURRENT")),
        |directory: &Path| fs::write(directory.join("CURRENT"), "store-1\n"),
        |directory: &Path| fs::write(directory.join("CURRENT"), "../store-000001\n"),
        |directory: &Path| fs::write(directory.join("CURRENT"), b"\xff"),
    ] {
        let directory = filled();
        remove(directory.path()).unwrap();
        for _ in 0..2 {
            let refused = SledStore::open(directory.path(), &options());
            assert!(
                matches!(refused, Err(OpenError::Damaged { .. })),
                "{refused:?}"
            );
        }
        assert!(SledStore::exists(directory.path()).unwrap());
        let refused = SledStore::create(directory.path(), &options(), store_id());
        assert!(matches!(refused, Err(OpenError::Exists { .. })));
    }
}

#[test]
fn a_store_that_ends_before_its_witness_is_refused() {
    let directory = filled();
    let earlier = copy(directory.path());
    let store = open(directory.path());
    commit(&store, [put("new", "1")]);
    drop(store);
    // The database as it was, with the witness as it is.
    fs::copy(directory.path().join("HEAD"), earlier.path().join("HEAD")).unwrap();
    for _ in 0..2 {
        let refused = SledStore::open(earlier.path(), &options());
        assert_damaged(&refused, "was acknowledged");
    }
    fs::write(earlier.path().join("POISONED"), "a test\n").unwrap();
    assert_damaged(
        &SledStore::open(earlier.path(), &options()),
        "was acknowledged",
    );
}

#[test]
fn a_witness_that_is_behind_is_no_reason_to_refuse() {
    let directory = filled();
    let witness = fs::read(directory.path().join("HEAD")).unwrap();
    let store = open(directory.path());
    commit_each(&store, 100..110);
    store.compact(Revision::new(3)).unwrap();
    let last = head(&store);
    drop(store);
    fs::write(directory.path().join("HEAD"), &witness).unwrap();
    assert_eq!(head(&open(directory.path())), last);

    let store = open(directory.path());
    store.compact(last.revision).unwrap();
    drop(store);
    fs::write(directory.path().join("HEAD"), &witness).unwrap();
    assert_eq!(head(&open(directory.path())), last);
}

#[test]
fn a_torn_or_absent_witness_is_made_anew() {
    let directory = filled();
    let path = directory.path().join("HEAD");
    let witness = fs::read(&path).unwrap();
    for torn in [&[][..], &witness[..20], &witness[1..], &[0; 60]] {
        fs::write(&path, torn).unwrap();
        assert_holds_all(&open(directory.path()));
        assert_eq!(fs::read(&path).unwrap()[..witness.len()], witness);
    }
    fs::remove_file(&path).unwrap();
    assert_holds_all(&open(directory.path()));
    assert_eq!(fs::read(&path).unwrap(), witness);
}

#[test]
fn another_history_under_the_same_witness_is_refused() {
    let directory = filled();
    // As many commits, but not the same.
    let other = TempDir::new().unwrap();
    let store = create(other.path(), &options());
    commit_each(&store, 500..500 + 200);
    drop(store);
    fs::copy(directory.path().join("HEAD"), other.path().join("HEAD")).unwrap();
    assert_damaged(
        &SledStore::open(other.path(), &options()),
        "is not the one that was acknowledged",
    );

    let stranger = TempDir::new().unwrap();
    let id = StoreId::from_random([8; 16]);
    drop(SledStore::create(stranger.path(), &options(), id).unwrap());
    fs::copy(directory.path().join("HEAD"), stranger.path().join("HEAD")).unwrap();
    assert_damaged(
        &SledStore::open(stranger.path(), &options()),
        "the last to be written here was",
    );
}

#[test]
fn a_log_that_lacks_something_is_refused() {
    let directory = TempDir::new().unwrap();
    let store = create(directory.path(), &options());
    commit_each(&store, 0..10);
    let large = "v".repeat(MAX_VALUE_BYTES);
    commit(&store, ["a", "b", "c"].map(|name| put(name, &large)));
    commit_each(&store, 0..10);
    drop(store);
    let parts: Vec<_> = raw(directory.path(), |database| {
        let log = database.scan_prefix([2]).map(|pair| pair.unwrap());
        log.collect()
    });
    assert!(parts.len() > 21, "the large commit has several parts");
    for (key, value) in &parts {
        let damaged = copy(directory.path());
        raw(damaged.path(), |database| database.remove(key).unwrap());
        let refused = SledStore::open(damaged.path(), &options());
        assert!(
            matches!(refused, Err(OpenError::Damaged { .. })),
            "without {key:?}: {refused:?}"
        );

        let damaged = copy(directory.path());
        let mut changed = value.to_vec();
        *changed.last_mut().unwrap() ^= 1;
        raw(damaged.path(), |database| {
            database.insert(key, changed).unwrap()
        });
        let refused = SledStore::open(damaged.path(), &options());
        assert!(
            matches!(refused, Err(OpenError::Damaged { .. })),
            "with another {key:?}: {refused:?}"
        );
    }
}

#[test]
fn lost_and_stale_keys_show_in_the_contents() {
    let directory = filled();
    let data = [&[1_u8][..], b"key-7"].concat();
    for damage in [
        |database: &::sled::Db, key: &[u8]| drop(database.remove(key).unwrap()),
        |database: &::sled::Db, key: &[u8]| {
            let mut stale = database.get(key).unwrap().unwrap().to_vec();
            stale[..8].copy_from_slice(&1_u64.to_be_bytes());
            database.insert(key, stale).unwrap();
        },
        |database: &::sled::Db, key: &[u8]| {
            let value = database.get(key).unwrap().unwrap();
            database.insert([key, b"0"].concat(), value).unwrap();
        },
    ] {
        let damaged = copy(directory.path());
        raw(damaged.path(), |database| damage(database, &data));
        let rewritten = SledStore::rewrite(damaged.path(), &options());
        assert_damaged(&rewritten, "keys");
        let store = open(damaged.path());
        let (_, expected) = store.contents().unwrap().unwrap();
        assert_ne!(counted(&scan_all(&store)), expected);
        assert!(matches!(store.verify(), Err(StoreError::Poisoned(_))));
    }
}

#[test]
fn a_sound_store_is_verified() {
    let directory = filled();
    let store = open(directory.path());
    let verified = store.verify().unwrap();
    assert_eq!(verified.head, head(&store));
    assert_eq!((verified.keys, verified.commits), (99, 200));
    drop(store);
    let rewritten = SledStore::rewrite(directory.path(), &options()).unwrap();
    assert_eq!(rewritten, verified);
    assert_holds_all(&open(directory.path()));
}

#[test]
fn a_store_that_takes_more_room_than_it_needs_gives_it_back_when_it_is_rewritten() {
    let directory = TempDir::new().unwrap();
    let store = create(directory.path(), &options());
    let text = |round: u32, n: u32| format!("{round} {n} {}", "x".repeat(2000));
    for round in 0..40 {
        let puts = (0..200).map(|n| put(&format!("key-{n}"), &text(round, n)));
        commit(&store, puts.collect::<Vec<_>>());
    }
    store.compact(Revision::new(40)).unwrap();
    let before = scan_all(&store);
    drop(store);
    let size = || {
        let file = live_database(directory.path()).join("db");
        fs::metadata(file).unwrap().len()
    };
    let bloated = size();
    SledStore::rewrite(directory.path(), &options()).unwrap();
    let live: usize = before.iter().map(|it| it.key.len() + it.value.len()).sum();
    let live = u64::try_from(live).unwrap();
    assert!(bloated > 4 * live, "{bloated} bytes for {live}");
    assert!(size() < 4 * live, "{} bytes for {live}", size());
    assert_eq!(scan_all(&open(directory.path())), before);
}

#[test]
fn a_snapshot_that_was_cut_short_is_not_taken_for_damage() {
    let directory = filled();
    for (name, text) in [
        ("snap.0000000000000000.generating", &b""[..]),
        ("snap.FFFFFFFFFFFFFFF0.generating", b"half of it"),
    ] {
        fs::write(live_database(directory.path()).join(name), text).unwrap();
        assert_holds_all(&open(directory.path()));
        assert!(!live_database(directory.path()).join(name).exists());
    }
}

#[test]
fn a_newer_format_is_refused() {
    let directory = filled();
    raw(directory.path(), |database| {
        let mut format = database.get(b"\0format").unwrap().unwrap().to_vec();
        format[..4].copy_from_slice(&2_u32.to_be_bytes());
        format.push(0);
        database.insert(b"\0format", format).unwrap()
    });
    for refused in [
        SledStore::open(directory.path(), &options()).map(drop),
        SledStore::rewrite(directory.path(), &options()).map(drop),
    ] {
        assert!(
            matches!(
                refused,
                Err(OpenError::NewerFormat {
                    found: 2,
                    supported: 1,
                    ..
                })
            ),
            "{refused:?}"
        );
    }
}

/// Whether a damaged copy of a [`filled`] store opens, loads and has everything.
/// Anything between that and an error is a silent loss, and panics.
fn survives(directory: &Path) -> bool {
    let Ok(store) = SledStore::open(directory, &options()) else {
        return false;
    };
    let Ok(entries) = store.scan(&KeyRange::all(), usize::MAX) else {
        return false;
    };
    let Ok(Some((position, contents))) = store.contents() else {
        return false;
    };
    if counted(&entries) != contents {
        return false;
    }
    assert_eq!(position.revision, Revision::new(200));
    assert_eq!(entries, expected());
    if let Ok(log) = store.changes(Revision::ZERO, UNLIMITED, Duration::ZERO) {
        assert_eq!(log.commits.len(), 200);
        assert_consistent(&store);
    }
    true
}

fn counted(entries: &[Entry]) -> Contents {
    let mut contents = Contents::default();
    for entry in entries {
        contents.add(&entry.key, entry.revision);
    }
    contents
}

fn assert_damaged<T: std::fmt::Debug>(result: &Result<T, OpenError>, with: &str) {
    let Err(OpenError::Damaged { what, .. }) = result else {
        panic!("{result:?}");
    };
    assert!(what.contains(with), "{what}");
}

/// The length of a file up to its last byte that is not padding.
fn used_bytes(path: &Path) -> u64 {
    let bytes = fs::read(path).unwrap();
    let last = bytes.iter().rposition(|byte| ![0, 1].contains(byte));
    u64::try_from(last.unwrap_or_default()).unwrap() + 1
}

fn flip(path: &Path, offset: u64) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 0x55], offset).unwrap();
}
