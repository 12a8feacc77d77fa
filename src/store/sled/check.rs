//! What is checked before a store is used.
//!
//! At each open: that the format is known, that the store did not lose what the
//! witness saw ([`super::witness`]), and that the last commits in the log follow
//! from one another and lead to the head. That takes time in proportion to
//! [`RECENT`], not to the store.
//!
//! The rest of a store is covered by the head's [`Contents`]: sled, on finding a
//! damaged record in the *middle* of its file, may go on behind it, and the
//! store then has an old value, or none, where a commit wrote a new one. A scan
//! of everything shows that. Whoever loads all keys anyway compares as it goes
//! ([`Store::contents`](crate::store::Store::contents)), so that a start reads
//! the store once, not twice; [`everything`] is for whoever does not.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use super::Options;
use super::database::Database;
use super::error::{Fault, OpenError};
use super::feed::Tail;
use super::format::{
    FLOOR_KEY, FORMAT, FORMAT_KEY, HEAD_KEY, Head, data_range, decode_format_number,
    decode_position, decode_revision, decode_store_id,
};
use super::home::{Generation, Home};
use super::log;
use super::witness::{self, Testimony};
use crate::domain::revision::{Position, Revision, StoreId};
use crate::store::{Contents, KeyRange};

/// How many of the last commits are checked at each open.
const RECENT: u64 = 1024;

/// A database that passed the checks.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) database: Database,
    pub(super) id: StoreId,
    pub(super) head: Head,
    pub(super) floor: Position,
    pub(super) tail: Tail,
}

/// What a check of everything found, all of it in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The last commit.
    pub head: Position,
    /// How many keys there are.
    pub keys: u64,
    /// How many commits the log holds.
    pub commits: u64,
}

/// Opens one of the databases of a store and checks it.
pub(super) fn open(
    home: &Home,
    generation: Generation,
    options: &Options,
) -> Result<Opened, OpenError> {
    let path = home.database(generation);
    let database = Database::open(&path, options)?;
    let id = read_format(&database)?;
    let fault = || OpenError::fault(&path);
    let head = Head::decode(&required(&database, HEAD_KEY)?).map_err(fault())?;
    let floor = decode_position(&required(&database, FLOOR_KEY)?).map_err(fault())?;
    if floor.revision > head.position.revision {
        return Err(OpenError::damaged(&path, "its log begins after its head"));
    }
    let place = Place {
        database: &database,
        head: head.position,
        floor,
    };
    place.hear_witness(&home.witness(), id)?;
    let tail = place.read_tail(options.recent_commits).map_err(fault())?;
    Ok(Opened {
        database,
        id,
        head,
        floor,
        tail,
    })
}

/// Reads all keys and the whole log. Nothing may be written meanwhile.
pub(super) fn everything(
    database: &Database,
    head: &Head,
    floor: Position,
) -> Result<Verified, Fault> {
    let mut found = Contents::default();
    let (from, to) = data_range(&KeyRange::all());
    database.range(&from, &to, |key, value| {
        found.add(key.get(1..).unwrap_or_default(), decode_revision(&value)?);
        Ok(ControlFlow::Continue(()))
    })?;
    compare_contents(&found, &head.contents)?;
    let mut commits = 0;
    let reached = log::read(database, floor, head.position.revision, |_| {
        commits += 1;
        Ok(ControlFlow::Continue(()))
    })?;
    compare_head(&reached, &head.position)?;
    Ok(Verified {
        head: head.position,
        keys: found.keys,
        commits,
    })
}

pub(super) fn compare_contents(found: &Contents, expected: &Contents) -> Result<(), Fault> {
    if found == expected {
        return Ok(());
    }
    Err(Fault::Damaged(if found.keys == expected.keys {
        format!("some of its {} keys are not as last written", found.keys)
    } else {
        format!("it has {} keys instead of {}", found.keys, expected.keys)
    }))
}

pub(super) fn compare_head(reached: &Position, head: &Position) -> Result<(), Fault> {
    if reached == head {
        Ok(())
    } else {
        let revision = head.revision;
        Err(Fault::Damaged(format!(
            "the log's hash at commit {revision} is not the head's"
        )))
    }
}

/// Where the log of a database begins and ends.
struct Place<'a> {
    database: &'a Database,
    head: Position,
    floor: Position,
}

impl Place<'_> {
    /// Compares the store with what the witness saw.
    fn hear_witness(&self, path: &Path, id: StoreId) -> Result<(), OpenError> {
        let damaged = |what| Err(OpenError::damaged(self.database.path(), what));
        let seen = match witness::hear(path).map_err(OpenError::io(path))? {
            Testimony::Saw(other, _) if other != id => {
                return damaged(format!(
                    "it is store {id}, but the last to be written here was {other}"
                ));
            }
            Testimony::Saw(_, seen) => seen,
            Testimony::Nothing => {
                tracing::warn!(path = %path.display(), "the witness is absent or torn; it is made anew");
                return Ok(());
            }
        };
        if seen.revision > self.head.revision {
            return damaged(format!(
                "it ends at commit {}, but commit {} was acknowledged",
                self.head.revision, seen.revision
            ));
        }
        let fault = OpenError::fault(self.database.path());
        if seen.revision < self.floor.revision {
            return Ok(());
        }
        let found = log::position(self.database, self.floor, seen.revision).map_err(fault)?;
        if found == seen {
            return Ok(());
        }
        damaged(format!(
            "the log's hash at commit {} is not the one that was acknowledged",
            seen.revision
        ))
    }

    /// The last commits, each known to follow from the one before it.
    fn read_tail(&self, limit: usize) -> Result<Tail, Fault> {
        let first = self.head.revision.number().saturating_sub(RECENT);
        let first = Revision::new(first).max(self.floor.revision);
        let base = log::position(self.database, self.floor, first)?;
        let mut tail = Tail::new(base, limit);
        let reached = log::read(self.database, base, self.head.revision, |commit| {
            tail.push(Arc::new(commit));
            Ok(ControlFlow::Continue(()))
        })?;
        compare_head(&reached, &self.head)?;
        Ok(tail)
    }
}

fn read_format(database: &Database) -> Result<StoreId, OpenError> {
    let path = database.path();
    let format = required(database, FORMAT_KEY)?;
    let found = decode_format_number(&format).map_err(OpenError::fault(path))?;
    if found > FORMAT {
        return Err(OpenError::NewerFormat {
            path: path.to_owned(),
            found,
            supported: FORMAT,
        });
    }
    decode_store_id(&format).map_err(OpenError::fault(path))
}

fn required(database: &Database, key: &[u8]) -> Result<::sled::IVec, OpenError> {
    let path = database.path();
    let value = database.get(key).map_err(OpenError::fault(path))?;
    value.ok_or_else(|| {
        let name = String::from_utf8_lossy(key.get(1..).unwrap_or_default());
        OpenError::damaged(path, format!("its {name} is missing"))
    })
}
