//! A disk, or a database that several nodes share, that outlives processes, and on which a commit may be the last thing that a
//! process does: it is then kept or lost, and nobody was told which.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use credd::domain::revision::{Position, Revision, StoreId};
use credd::store::memory::MemoryStore;
use credd::store::{Batch, Changes, Entry, KeyRange, PageLimit, Store, StoreError};

/// What becomes of the next commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Next {
    /// It is made.
    Made,
    /// It is made, and the process is not told.
    Kept,
    /// It is not made, and the process is not told.
    Lost,
    /// The process has failed, and makes no more.
    Never,
}

/// The disk, as one process has it open.
#[derive(Debug)]
pub(crate) struct Disk {
    kept: Arc<MemoryStore>,
    next: AtomicU8,
}

impl Disk {
    pub(crate) fn open(kept: Arc<MemoryStore>) -> Self {
        let next = AtomicU8::new(Next::Made as u8);
        Self { kept, next }
    }

    /// Decides what becomes of the next commit.
    pub(crate) fn set_next(&self, next: Next) {
        self.next.store(next as u8, Ordering::Relaxed);
    }
}

impl Store for Disk {
    fn id(&self) -> StoreId {
        self.kept.id()
    }

    fn is_shared(&self) -> bool {
        self.kept.is_shared()
    }

    fn commit(&self, batch: Batch) -> Result<Revision, StoreError> {
        let next = self.next.load(Ordering::Relaxed);
        if next == Next::Made as u8 {
            return self.kept.commit(batch);
        }
        if next == Next::Kept as u8 {
            // Whether a guard held is not told either.
            let _ = self.kept.commit(batch);
        }
        self.set_next(Next::Never);
        Err(StoreError::Poisoned("the disk failed".into()))
    }

    fn changes(
        &self,
        after: Revision,
        limit: PageLimit,
        _: Duration,
    ) -> Result<Changes, StoreError> {
        // Nobody who writes does so while this waits: all happens in one order.
        self.kept.changes(after, limit, Duration::ZERO)
    }

    fn scan(&self, range: &KeyRange, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.kept.scan(range, limit)
    }

    fn snapshot(&self) -> Result<Position, StoreError> {
        self.kept.snapshot()
    }

    fn compact(&self, through: Revision) -> Result<(), StoreError> {
        self.kept.compact(through)
    }
}
