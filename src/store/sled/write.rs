//! What is done under the writer's lock: commits and compactions.
//!
//! Under the lock the data is that of the last durable commit, since a commit
//! that failed has poisoned the store; so a guard is a read.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::MutexGuard;

use super::SledStore;
use super::error::Fault;
use super::format::{
    FLOOR_KEY, HEAD_KEY, Head, data_key, data_value, decode_revision, encode_position,
};
use super::log;
use super::witness::Witness;
use crate::domain::revision::{Position, Revision};
use crate::store::{Batch, Commit, Expect, Guard, StoreError, chain};

/// What sled may write for each byte of a batch (the data, the log, and the
/// pages that it rewrites because of them), and for a batch at all.
const WRITE_AMPLIFICATION: u64 = 8;
const WRITE_OVERHEAD: u64 = 64 << 10;

/// What only the thread that writes has.
#[derive(Debug)]
pub(super) struct Writer {
    /// `None` after it could not be written.
    pub(super) witness: Option<Witness>,
}

impl SledStore {
    /// Commits a batch that keeps to the contract.
    pub(super) fn commit_valid(&self, batch: Batch) -> Result<Revision, StoreError> {
        let mut writer = self.writer.lock();
        let before = self.feed.head()?;
        if let Some(guard) = self.or_poison(self.failed_guard(&batch.guards))? {
            return Err(StoreError::Conflict {
                key: guard.key.clone(),
            });
        }
        let Batch {
            at,
            guards,
            writes,
            vital,
        } = batch;
        let revision = before.position.revision.next();
        let chain = chain(&before.position.chain, revision, at, &writes);
        let commit = Commit {
            position: Position { revision, chain },
            at,
            writes,
        };
        let payload = commit.payload_bytes() as u64;
        let bytes = payload.saturating_mul(WRITE_AMPLIFICATION);
        let reserve = if vital { 0 } else { self.reserve };
        self.check_room(bytes.saturating_add(WRITE_OVERHEAD), reserve)?;
        let head = self.or_poison(self.write(&commit, &guards, &before))?;
        writer.note(&head.position);
        self.feed.publish(Arc::new(commit), head)?;
        Ok(revision)
    }

    /// Moves the beginning of the log, durably, unless it is there already.
    pub(super) fn raise_floor(&self, through: Revision) -> Result<Position, StoreError> {
        let _writer = self.writer.lock();
        let (head, floor) = (self.feed.head()?.position, self.feed.floor()?);
        if through > head.revision {
            return Err(StoreError::Ahead { head });
        }
        if through <= floor.revision {
            return Ok(floor);
        }
        self.check_room(WRITE_OVERHEAD, self.reserve / 2)?;
        self.or_poison(self.write_floor(floor, through))
            .and_then(|floor| self.feed.raise_floor(floor).map(|()| floor))
    }

    /// Removes the commits up to the floor from the log, in batches that let
    /// commits in between them.
    pub(super) fn forget(&self, floor: Position) -> Result<(), StoreError> {
        loop {
            let writer = self.writer.lock();
            self.feed.head()?;
            self.check_room(WRITE_OVERHEAD, self.reserve / 2)?;
            let done = self.or_poison(log::forget(&self.database, floor.revision))?;
            if done {
                return self.or_poison(self.database.sync());
            }
            MutexGuard::unlock_fair(writer);
        }
    }

    /// The first guard that does not hold.
    fn failed_guard<'a>(&self, guards: &'a [Guard]) -> Result<Option<&'a Guard>, Fault> {
        for guard in guards {
            let found = self.revision_of(&guard.key)?;
            let holds = match guard.expect {
                Expect::Absent => found.is_none(),
                Expect::Revision(expected) => found == Some(expected),
            };
            if !holds {
                return Ok(Some(guard));
            }
        }
        Ok(None)
    }

    /// The commit that wrote a key last, if the key exists.
    fn revision_of(&self, key: &[u8]) -> Result<Option<Revision>, Fault> {
        let value = self.database.get(&data_key(key))?;
        value.map(|value| decode_revision(&value)).transpose()
    }

    /// Whether this many bytes can be written and the reserve is kept.
    fn check_room(&self, bytes: u64, reserve: u64) -> Result<(), StoreError> {
        let free = self.or_poison(self.database.free())?;
        if free.saturating_sub(bytes) < reserve {
            return Err(StoreError::Full { free, reserve });
        }
        Ok(())
    }

    /// Writes a commit whose guards hold, and returns the new head, once it is
    /// durable.
    fn write(&self, commit: &Commit, guards: &[Guard], before: &Head) -> Result<Head, Fault> {
        let mut head = Head {
            position: commit.position,
            contents: before.contents,
        };
        let revision = commit.position.revision;
        // A key whose guard holds need not be read a second time.
        let guarded: HashMap<&[u8], Option<Revision>> = guards
            .iter()
            .map(|guard| match guard.expect {
                Expect::Absent => (&*guard.key, None),
                Expect::Revision(revision) => (&*guard.key, Some(revision)),
            })
            .collect();
        let mut batch = ::sled::Batch::default();
        for write in &commit.writes {
            let old = match guarded.get(&*write.key) {
                Some(old) => *old,
                None => self.revision_of(&write.key)?,
            };
            if let Some(old) = old {
                head.contents.remove(&write.key, old);
            }
            match &write.value {
                Some(value) => {
                    head.contents.add(&write.key, revision);
                    batch.insert(data_key(&write.key), data_value(revision, value));
                }
                None => batch.remove(data_key(&write.key)),
            }
        }
        log::append(&mut batch, commit);
        batch.insert(HEAD_KEY, head.encode());
        self.database.apply(batch)?;
        self.database.sync()?;
        Ok(head)
    }

    fn write_floor(&self, floor: Position, through: Revision) -> Result<Position, Fault> {
        let floor = log::position(&self.database, floor, through)?;
        let mut batch = ::sled::Batch::default();
        batch.insert(FLOOR_KEY, encode_position(&floor));
        self.database.apply(batch)?;
        self.database.sync()?;
        Ok(floor)
    }
}

impl Writer {
    /// Tells the witness. That it can't be told is no reason to refuse a commit
    /// that is durable: what it said before stays true.
    fn note(&mut self, position: &Position) {
        let Some(witness) = &self.witness else { return };
        if let Err(error) = witness.note(position) {
            tracing::warn!(%error, "the witness could not be written; it is not until the next start");
            self.witness = None;
        }
    }
}
