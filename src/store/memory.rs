//! The store in memory: the oracle against which the engines are tested, and
//! what tests of other layers run on.
//!
//! It is one map, one list and one lock. A commit is durable, in the sense in
//! which anything here is, when the lock is let go.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};

use super::{
    Batch, Changes, Commit, Contents, Entry, Expect, Guard, KeyRange, PageLimit, Store, StoreError,
    chain,
};
use crate::domain::revision::{Position, Revision, StoreId};

/// A [`Store`] that lives as long as the value does.
#[derive(Debug)]
pub struct MemoryStore {
    id: StoreId,
    is_shared: bool,
    state: Mutex<State>,
    committed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    keys: BTreeMap<Bytes, (Revision, Bytes)>,
    /// The position before the first commit in `log`.
    floor: Position,
    log: Vec<Arc<Commit>>,
}

impl MemoryStore {
    /// An empty store of this identity.
    #[must_use]
    pub fn new(id: StoreId) -> Self {
        Self {
            id,
            is_shared: false,
            state: Mutex::default(),
            committed: Condvar::new(),
        }
    }

    /// The same, for several nodes.
    #[must_use]
    pub fn shared(id: StoreId) -> Self {
        Self {
            is_shared: true,
            ..Self::new(id)
        }
    }
}

impl Store for MemoryStore {
    fn id(&self) -> StoreId {
        self.id
    }

    fn is_shared(&self) -> bool {
        self.is_shared
    }

    fn commit(&self, batch: Batch) -> Result<Revision, StoreError> {
        batch.check()?;
        let mut state = self.state.lock();
        if let Some(guard) = batch.guards.iter().find(|guard| !state.holds(guard)) {
            return Err(StoreError::Conflict {
                key: guard.key.clone(),
            });
        }
        let revision = state.append(batch);
        self.committed.notify_all();
        Ok(revision)
    }

    fn changes(
        &self,
        after: Revision,
        limit: PageLimit,
        wait: Duration,
    ) -> Result<Changes, StoreError> {
        let mut state = self.state.lock();
        if after == state.head().revision {
            let nothing_new = |state: &mut State| after == state.head().revision;
            match Instant::now().checked_add(wait) {
                Some(until) => {
                    self.committed
                        .wait_while_until(&mut state, nothing_new, until);
                }
                None => self.committed.wait_while(&mut state, nothing_new),
            }
        }
        let from = state.position(after)?;
        let newer = state.log.iter().filter(|commit| is_after(commit, after));
        Ok(Changes {
            from,
            commits: limit.take(newer.cloned()),
        })
    }

    fn scan(&self, range: &KeyRange, limit: usize) -> Result<Vec<Entry>, StoreError> {
        if range.end.as_ref().is_some_and(|end| *end <= range.start) {
            return Ok(Vec::new());
        }
        let start = Bound::Included(range.start.clone());
        let end = range.end.clone().map_or(Bound::Unbounded, Bound::Excluded);
        let state = self.state.lock();
        let entries = state.keys.range((start, end));
        Ok(entries
            .take(limit)
            .map(|(key, (revision, value))| Entry {
                key: key.clone(),
                revision: *revision,
                value: value.clone(),
            })
            .collect())
    }

    fn snapshot(&self) -> Result<Position, StoreError> {
        Ok(self.state.lock().head())
    }

    fn compact(&self, through: Revision) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        if through > state.floor.revision {
            state.floor = state.position(through)?;
            state.log.retain(|commit| is_after(commit, through));
        }
        Ok(())
    }

    fn contents(&self) -> Result<Option<(Position, Contents)>, StoreError> {
        let state = self.state.lock();
        let mut contents = Contents::default();
        for (key, (revision, _)) in &state.keys {
            contents.add(key, *revision);
        }
        Ok(Some((state.head(), contents)))
    }
}

impl State {
    /// The position of the last commit.
    fn head(&self) -> Position {
        self.log.last().map_or(self.floor, |last| last.position)
    }

    /// The position of a revision from which changes can be read.
    fn position(&self, revision: Revision) -> Result<Position, StoreError> {
        let head = self.head();
        if revision > head.revision {
            return Err(StoreError::Ahead { head });
        }
        let commits = self.log.iter().map(|commit| commit.position);
        std::iter::once(self.floor)
            .chain(commits)
            .find(|position| position.revision == revision)
            .ok_or(StoreError::Compacted { floor: self.floor })
    }

    fn holds(&self, guard: &Guard) -> bool {
        let found = self.keys.get(&guard.key).map(|(revision, _)| *revision);
        match guard.expect {
            Expect::Absent => found.is_none(),
            Expect::Revision(expected) => found == Some(expected),
        }
    }

    fn append(&mut self, batch: Batch) -> Revision {
        let Batch {
            vital: _,
            at,
            guards: _,
            writes,
        } = batch;
        let before = self.head();
        let revision = before.revision.next();
        for write in &writes {
            match &write.value {
                Some(value) => {
                    let versioned = (revision, value.clone());
                    self.keys.insert(write.key.clone(), versioned);
                }
                None => {
                    self.keys.remove(&write.key);
                }
            }
        }
        let chain = chain(&before.chain, revision, at, &writes);
        self.log.push(Arc::new(Commit {
            position: Position { revision, chain },
            at,
            writes,
        }));
        revision
    }
}

fn is_after(commit: &Commit, revision: Revision) -> bool {
    commit.position.revision > revision
}
