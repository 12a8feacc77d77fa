//! A store whose revisions are counted, so that two engines can be compared: 1, 2, 3.

use std::sync::Arc;
use std::time::Duration;

use credd::domain::revision::{ChainHash, Position, Revision, StoreId};
use credd::store::{
    Batch, Changes, Commit, Entry, Expect, KeyRange, Limits, PageLimit, Store, StoreError,
};
use parking_lot::Mutex;

/// The revisions of a store's commits, from [`Revision::ZERO`] on.
pub(crate) type Numbers = Arc<Mutex<Vec<Revision>>>;

/// Of a store without commits.
pub(crate) fn none_yet() -> Numbers {
    Arc::new(Mutex::new(vec![Revision::ZERO]))
}

/// Another store, which nobody else writes to. Positions have no hashes here.
#[derive(Debug)]
pub(crate) struct Counted {
    store: Arc<dyn Store>,
    numbers: Numbers,
}

impl Counted {
    /// Of a store whose commits so far are these.
    pub(crate) fn new(store: Arc<dyn Store>, numbers: &Numbers) -> Self {
        let numbers = Arc::clone(numbers);
        Self { store, numbers }
    }

    /// The store's own revision; beyond the last one, as far beyond.
    fn own(&self, counted: Revision) -> Revision {
        let numbers = self.numbers.lock();
        let at = usize::try_from(counted.number()).unwrap();
        numbers.get(at).copied().unwrap_or_else(|| {
            let beyond = at - (numbers.len() - 1);
            Revision::new(numbers.last().unwrap().number() + beyond as u64)
        })
    }

    fn counted(&self, own: Revision) -> Revision {
        let at = self.numbers.lock().binary_search(&own);
        Revision::new(at.unwrap() as u64)
    }

    fn position(&self, position: Position) -> Position {
        Position {
            revision: self.counted(position.revision),
            chain: ChainHash::default(),
        }
    }

    fn told<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        result.map_err(|error| match error {
            StoreError::Compacted { floor } => StoreError::Compacted {
                floor: self.position(floor),
            },
            StoreError::Ahead { head } => StoreError::Ahead {
                head: self.position(head),
            },
            other => other,
        })
    }
}

impl Store for Counted {
    fn id(&self) -> StoreId {
        self.store.id()
    }

    fn limits(&self) -> Limits {
        self.store.limits()
    }

    fn commit(&self, mut batch: Batch) -> Result<Revision, StoreError> {
        for guard in &mut batch.guards {
            if let Expect::Revision(revision) = &mut guard.expect {
                *revision = self.own(*revision);
            }
        }
        let revision = self.told(self.store.commit(batch))?;
        self.numbers.lock().push(revision);
        Ok(self.counted(revision))
    }

    fn changes(
        &self,
        after: Revision,
        limit: PageLimit,
        wait: Duration,
    ) -> Result<Changes, StoreError> {
        let Changes { from, commits } =
            self.told(self.store.changes(self.own(after), limit, wait))?;
        let counted = |commit: Arc<Commit>| {
            Arc::new(Commit {
                position: self.position(commit.position),
                ..Commit::clone(&commit)
            })
        };
        Ok(Changes {
            from: self.position(from),
            commits: commits.into_iter().map(counted).collect(),
        })
    }

    fn scan(&self, range: &KeyRange, limit: usize) -> Result<Vec<Entry>, StoreError> {
        let mut entries = self.told(self.store.scan(range, limit))?;
        for entry in &mut entries {
            entry.revision = self.counted(entry.revision);
        }
        Ok(entries)
    }

    fn snapshot(&self) -> Result<Position, StoreError> {
        Ok(self.position(self.told(self.store.snapshot())?))
    }

    fn compact(&self, through: Revision) -> Result<(), StoreError> {
        self.told(self.store.compact(self.own(through)))
    }
}
