//! Stores of the embedded engine in directories, closed and open.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use credd::domain::revision::Revision;
use credd::store::Entry;
use credd::store::sled::{Options, SledStore};
use tempfile::TempDir;

use super::{
    assert_consistent, commit, commit_each, delete, head, key, options, scan_all, store_id,
};

pub(crate) fn create(directory: &Path, options: &Options) -> SledStore {
    SledStore::create(directory, options, store_id()).unwrap()
}

pub(crate) fn open(directory: &Path) -> SledStore {
    SledStore::open(directory, &options()).unwrap()
}

/// A closed store of 200 commits and 99 keys, some written twice, in several
/// openings.
pub(crate) fn filled() -> TempDir {
    let directory = TempDir::new().unwrap();
    drop(create(directory.path(), &options()));
    for (first, last) in [(0, 60), (60, 100), (0, 99)] {
        commit_each(&open(directory.path()), first..last);
    }
    commit(&open(directory.path()), [delete("key-99")]);
    directory
}

pub(crate) fn assert_holds_all(store: &SledStore) {
    assert_eq!(scan_all(store), expected());
    assert_eq!(head(store).revision, Revision::new(200));
    assert_consistent(store);
}

/// The entries of a [`filled`] store.
pub(crate) fn expected() -> Vec<Entry> {
    let mut entries: Vec<_> = (0..99_u32)
        .map(|n| Entry {
            key: key(&format!("key-{n}")),
            revision: Revision::new(u64::from(n) + 101),
            value: key(&format!("value-{n}")),
        })
        .collect();
    entries.sort_by(|a, b| a.key.cmp(&b.key));
    entries
}

pub(crate) fn live_database(directory: &Path) -> PathBuf {
    let current = fs::read_to_string(directory.join("CURRENT")).unwrap();
    directory.join(current.trim())
}

/// Works on the database beneath a closed store.
pub(crate) fn raw<T>(directory: &Path, work: impl FnOnce(&::sled::Db) -> T) -> T {
    let database = loop {
        // Whoever had it open may not have let go yet.
        match ::sled::open(live_database(directory)) {
            Ok(database) => break database,
            Err(_) => thread::yield_now(),
        }
    };
    let result = work(&database);
    database.flush().unwrap();
    result
}

pub(crate) fn copy(directory: &Path) -> TempDir {
    let copy = TempDir::new().unwrap();
    copy_into(directory, copy.path());
    copy
}

fn copy_into(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir(&target).unwrap();
            copy_into(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
