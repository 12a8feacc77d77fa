//! Writing a store anew, into a fresh database.
//!
//! After a failed write or sync nobody knows which pages of the file reached
//! the disk: the kernel forgets that they did not once it has said so, and
//! reads show them as if they had. What is read back and checked, written to
//! new files and synced there, is beyond doubt. The same is also the way to
//! give back the room that sled does not.
//!
//! Nothing of what the store means changes: id, revisions, chain and floor stay.
//! A crash on the way leaves the old database the live one.

use std::error::Error;
use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;

use ::sled::Batch;

use super::Options;
use super::check::{self, Opened, Verified, compare_contents, compare_head};
use super::database::{Database, sync_tree};
use super::error::{Fault, OpenError};
use super::format::{
    FLOOR_KEY, FORMAT_KEY, HEAD_KEY, Head, data_range, decode_revision, encode_format,
    encode_position,
};
use super::home::{Generation, Home};
use super::log;
use crate::domain::revision::{Position, StoreId};
use crate::store::{Contents, KeyRange};

/// The most pairs, and the most bytes, that are copied in one batch.
const BATCH_PAIRS: usize = 512;
const BATCH_BYTES: usize = 1 << 20;

/// Creates the database of an empty store.
pub(super) fn create(
    home: &Home,
    generation: Generation,
    id: StoreId,
    options: &Options,
) -> Result<(), OpenError> {
    let path = home.database(generation);
    let database = Database::create(&path, options)?;
    finish(&database, id, &Head::default(), Position::START).map_err(OpenError::fault(&path))?;
    close(database, &path)
}

/// Copies the live database into a fresh one, checking everything on the way,
/// makes that the live one and removes the other. So much is left free on the disk.
pub(super) fn run(
    home: &Home,
    live: Generation,
    options: &Options,
    reserve: u64,
) -> Result<Verified, OpenError> {
    let opened = check::open(home, live, options)?;
    let next = live.next();
    let path = home.database(next);
    let bytes = size(opened.database.path());
    tracing::info!(path = %path.display(), bytes, "rewriting the store");
    let copied = Database::create(&path, options).and_then(|fresh| {
        let verified = copy(&opened, &fresh, reserve)?;
        close(fresh, &path)?;
        Ok(verified)
    });
    drop(opened);
    let verified = match copied {
        Ok(verified) => verified,
        Err(error) => {
            // What is left of it may be what the room is missing for.
            if let Err(error) = home.keep_only(Some(live)) {
                tracing::warn!(error = &error as &dyn Error, "what was written is left");
            }
            return Err(match error {
                OpenError::Io { path: at, source }
                    if at == path && source.kind() == io::ErrorKind::StorageFull =>
                {
                    OpenError::NoRoom {
                        path: home.path().to_owned(),
                        bytes,
                        source,
                    }
                }
                other => other,
            });
        }
    };
    tracing::info!(path = %path.display(), bytes = size(&path), "rewrote the store");
    home.set_current(next)?;
    home.keep_only(Some(next))?;
    Ok(verified)
}

/// How large a database's file is; 0 if that can't be told.
fn size(path: &Path) -> u64 {
    fs::metadata(path.join("db")).map_or(0, |file| file.len())
}

/// An error while reading names the old database, one while writing the new.
fn copy(old: &Opened, fresh: &Database, reserve: u64) -> Result<Verified, OpenError> {
    let mut pending = Pending::new(fresh, reserve);
    let copied =
        copy_data(old, &mut pending).and_then(|found| Ok((found, copy_log(old, &mut pending)?)));
    let (found, commits) = copied.map_err(|fault| {
        let is_of_fresh = pending.has_failed;
        let path = if is_of_fresh { fresh } else { &old.database }.path();
        OpenError::fault(path)(fault)
    })?;
    pending
        .finish()
        .and_then(|()| finish(fresh, old.id, &old.head, old.floor))
        .map_err(OpenError::fault(fresh.path()))?;
    Ok(Verified {
        head: old.head.position,
        keys: found.keys,
        commits,
    })
}

fn copy_data(old: &Opened, pending: &mut Pending<'_>) -> Result<Contents, Fault> {
    let mut found = Contents::default();
    let (from, to) = data_range(&KeyRange::all());
    old.database.range(&from, &to, |key, value| {
        found.add(key.get(1..).unwrap_or_default(), decode_revision(&value)?);
        let bytes = key.len() + value.len();
        pending.batch.insert(key, value);
        pending.added(1, bytes)?;
        Ok(ControlFlow::Continue(()))
    })?;
    compare_contents(&found, &old.head.contents)?;
    Ok(found)
}

fn copy_log(old: &Opened, pending: &mut Pending<'_>) -> Result<u64, Fault> {
    let head = old.head.position;
    let mut commits = 0;
    let reached = log::read(&old.database, old.floor, head.revision, |commit| {
        log::append(&mut pending.batch, &commit);
        commits += 1;
        pending.added(1, commit.payload_bytes())?;
        Ok(ControlFlow::Continue(()))
    })?;
    compare_head(&reached, &head)?;
    Ok(commits)
}

/// Writes what makes a database a store, and makes all of it durable.
pub(super) fn finish(
    database: &Database,
    id: StoreId,
    head: &Head,
    floor: Position,
) -> Result<(), Fault> {
    let mut batch = Batch::default();
    batch.insert(FORMAT_KEY, encode_format(id));
    batch.insert(HEAD_KEY, head.encode());
    batch.insert(FLOOR_KEY, encode_position(&floor));
    database.apply(batch)?;
    database.sync()
}

/// Closes a database that is complete, so that it outlives a power cut with all
/// its files.
pub(super) fn close(database: Database, path: &Path) -> Result<(), OpenError> {
    drop(database);
    sync_tree(path).map_err(OpenError::io(path))
}

/// What is to be written next.
#[derive(Debug)]
pub(super) struct Pending<'a> {
    database: &'a Database,
    pub(super) batch: Batch,
    pairs: usize,
    bytes: usize,
    /// What is left free on the disk.
    reserve: u64,
    /// Whether a batch could not be written.
    has_failed: bool,
}

impl<'a> Pending<'a> {
    pub(super) fn new(database: &'a Database, reserve: u64) -> Self {
        Self {
            database,
            batch: Batch::default(),
            pairs: 0,
            bytes: 0,
            reserve,
            has_failed: false,
        }
    }

    /// Counts what was added to the batch, and writes it if that is enough.
    pub(super) fn added(&mut self, pairs: usize, bytes: usize) -> Result<(), Fault> {
        self.pairs += pairs;
        self.bytes += bytes;
        if self.pairs < BATCH_PAIRS && self.bytes < BATCH_BYTES {
            return Ok(());
        }
        (self.pairs, self.bytes) = (0, 0);
        let batch = std::mem::take(&mut self.batch);
        let applied = self.database.apply(batch).and_then(|()| self.check_room());
        self.has_failed = applied.is_err();
        applied
    }

    fn check_room(&self) -> Result<(), Fault> {
        let free = self.database.free()?;
        if free < self.reserve {
            let full = format!(
                "{free} bytes are free, and {} are kept in reserve",
                self.reserve
            );
            return Err(io::Error::new(io::ErrorKind::StorageFull, full).into());
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Result<(), Fault> {
        self.database.apply(self.batch)
    }
}
