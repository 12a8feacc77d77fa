//! Filling a store by commits.
//!
//! Others could open it meanwhile. So the first commit closes it, and the last opens it
//! again: whoever finds it closed serves nobody, and whoever fills it anew takes it from
//! who was at it, by a guard that all commits have.

use std::collections::HashSet;

use bytes::Bytes;

use crate::authority::record::{Record, closed_key};
use crate::domain::closed::Closed;
use crate::domain::revision::Revision;
use crate::domain::time::Timestamp;
use crate::store::{Batch, Expect, Guard, KeyRange, Store, StoreError, Write};

/// The most writes of a commit, and the most bytes, where the store allows more.
const MOST: (usize, usize) = (1024, 512 << 10);
/// How many keys are read at once.
const PAGE: usize = 1024;

/// Why a store is not filled.
#[derive(Debug, thiserror::Error)]
pub enum FillError {
    /// There is something in it.
    #[error("there is something in the store already")]
    NotEmpty,
    /// The store can't be read or written; a conflict: somebody else fills it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A store that is being filled.
#[derive(Debug)]
pub struct Filling<'a> {
    store: &'a dyn Store,
    at: Timestamp,
    /// That nobody else fills it.
    guard: Guard,
    writes: Vec<Write>,
    /// The keys of these.
    keys: HashSet<Bytes>,
    bytes: usize,
}

impl<'a> Filling<'a> {
    /// Whether a store can be filled: nothing is in it, or what an earlier attempt left.
    ///
    /// # Errors
    ///
    /// [`FillError`].
    pub fn check(store: &dyn Store) -> Result<(), FillError> {
        closed(store).map(drop)
    }

    /// Closes a store, and removes what an earlier attempt left.
    ///
    /// # Errors
    ///
    /// [`FillError`].
    pub fn begin(store: &'a dyn Store, at: Timestamp) -> Result<Self, FillError> {
        let guard = Guard {
            key: closed_key(),
            expect: closed(store)?,
        };
        let mut filling = Self {
            store,
            at,
            guard,
            writes: Vec::new(),
            keys: HashSet::new(),
            bytes: 0,
        };
        let filled = Record::Closed(Some(Closed::Filling)).encode();
        let revision = filling.commit(vec![Write {
            key: closed_key(),
            value: filled,
        }])?;
        filling.guard.expect = Expect::Revision(revision);
        filling.clear()?;
        Ok(filling)
    }

    /// Puts or deletes a key. A later write of a key takes the place of an earlier.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn write(&mut self, write: Write) -> Result<(), StoreError> {
        if write.key == self.guard.key {
            return Ok(());
        }
        let limits = self.store.limits();
        let bytes = write.key.len() + write.value.as_ref().map_or(0, Bytes::len);
        let is_full = self.writes.len() >= limits.writes.min(MOST.0)
            || self.bytes + bytes + self.guard.key.len() > limits.bytes.min(MOST.1);
        if is_full || !self.keys.insert(write.key.clone()) {
            self.flush()?;
            self.keys.insert(write.key.clone());
        }
        self.bytes += bytes;
        self.writes.push(write);
        Ok(())
    }

    /// Opens the store, which is whole, if it passes a check.
    ///
    /// # Errors
    ///
    /// That of the check, or [`StoreError`]: then it stays closed.
    pub fn finish<E: From<StoreError>>(
        mut self,
        check: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), E> {
        self.flush()?;
        check()?;
        self.commit(vec![Write {
            key: closed_key(),
            value: None,
        }])?;
        Ok(())
    }

    fn clear(&mut self) -> Result<(), StoreError> {
        let mut range = KeyRange::all();
        loop {
            let page = self.store.scan(&range, PAGE)?;
            let Some(last) = page.last() else {
                return self.flush();
            };
            range = range.after(&last.key);
            for entry in page {
                self.write(Write {
                    key: entry.key,
                    value: None,
                })?;
            }
        }
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        if !self.writes.is_empty() {
            let writes = std::mem::take(&mut self.writes);
            self.commit(writes)?;
        }
        self.keys.clear();
        self.bytes = 0;
        Ok(())
    }

    fn commit(&self, writes: Vec<Write>) -> Result<Revision, StoreError> {
        self.store.commit(Batch {
            at: self.at,
            guards: vec![self.guard.clone()],
            writes,
            vital: false,
        })
    }
}

/// What is expected of the key that closes a store which can be filled.
fn closed(store: &dyn Store) -> Result<Expect, FillError> {
    let filling = Record::Closed(Some(Closed::Filling)).encode();
    let key = closed_key();
    let found = store.scan(&KeyRange::prefix(&key), 1)?;
    match found.first() {
        Some(entry) if entry.key == key && Some(&entry.value) == filling.as_ref() => {
            Ok(Expect::Revision(entry.revision))
        }
        None if store.scan(&KeyRange::all(), 1)?.is_empty() => Ok(Expect::Absent),
        _ => Err(FillError::NotEmpty),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::revision::StoreId;
    use crate::store::memory::MemoryStore;

    fn store() -> MemoryStore {
        MemoryStore::new(StoreId::from_random([1; 16]))
    }

    fn write(key: &str, value: Option<&str>) -> Write {
        let bytes = |text: &str| Bytes::copy_from_slice(text.as_bytes());
        Write {
            key: bytes(key),
            value: value.map(bytes),
        }
    }

    fn begin(store: &MemoryStore) -> Filling<'_> {
        Filling::begin(store, Timestamp::from_millis(1)).unwrap()
    }

    fn finish(filling: Filling<'_>) -> Result<(), StoreError> {
        filling.finish(|| Ok(()))
    }

    fn keys(store: &MemoryStore) -> Vec<(String, String)> {
        let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
        let entries = store.scan(&KeyRange::all(), usize::MAX).unwrap();
        let entries = entries.iter();
        entries
            .map(|entry| (text(&entry.key), text(&entry.value)))
            .collect()
    }

    #[test]
    fn what_is_put_in_is_there_and_the_last_write_of_a_key_counts() {
        let store = store();
        let mut filling = begin(&store);
        for n in 0..3000 {
            filling
                .write(write(&format!("n{n:04}"), Some("value")))
                .unwrap();
        }
        filling.write(write("a", Some("old"))).unwrap();
        filling.write(write("a", Some("new"))).unwrap();
        filling.write(write("b", Some("gone"))).unwrap();
        filling.write(write("b", None)).unwrap();
        finish(filling).unwrap();
        let keys = keys(&store);
        assert_eq!(keys.len(), 3001);
        assert_eq!(keys[0], ("a".to_owned(), "new".to_owned()));
        let refused = Filling::begin(&store, Timestamp::from_millis(1)).unwrap_err();
        assert!(matches!(refused, FillError::NotEmpty), "{refused}");
    }

    #[test]
    fn what_an_attempt_left_is_removed_and_who_was_at_it_can_go_on_no_more() {
        let store = store();
        let mut early = begin(&store);
        early.write(write("a", Some("early"))).unwrap();
        early.flush().unwrap();
        assert_eq!(keys(&store).len(), 2);

        let mut late = begin(&store);
        assert_eq!(keys(&store).len(), 1);
        early.write(write("b", Some("early"))).unwrap();
        let refused = finish(early).unwrap_err();
        assert!(matches!(refused, StoreError::Conflict { .. }), "{refused}");
        late.write(write("c", Some("late"))).unwrap();
        finish(late).unwrap();
        assert_eq!(keys(&store), [("c".to_owned(), "late".to_owned())]);
    }

    #[test]
    fn a_store_that_does_not_pass_the_check_stays_closed_and_can_be_filled_anew() {
        let store = store();
        let mut filling = begin(&store);
        filling.write(write("a", Some("bad"))).unwrap();
        let mut seen = Vec::new();
        let refused = filling.finish(|| {
            seen = keys(&store);
            Err(StoreError::Poisoned("by the test".into()))
        });
        assert!(
            matches!(refused, Err(StoreError::Poisoned(_))),
            "{refused:?}"
        );
        assert_eq!(seen.len(), 2, "what is checked is all there, and closed");
        assert_eq!(keys(&store), seen);
        finish(begin(&store)).unwrap();
        assert_eq!(keys(&store), []);
    }

    #[test]
    fn a_closed_store_of_another_kind_is_not_filled() {
        let store = store();
        let exported = Closed::Exported {
            at: Timestamp::from_millis(1),
        };
        let batch = Batch {
            writes: vec![Write {
                key: closed_key(),
                value: Record::Closed(Some(exported)).encode(),
            }],
            ..Batch::default()
        };
        assert_eq!(store.commit(batch).unwrap(), Revision::new(1));
        let refused = Filling::check(&store).unwrap_err();
        assert!(matches!(refused, FillError::NotEmpty), "{refused}");
    }
}
