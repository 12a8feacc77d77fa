//! Filling a fresh database with the keys of another store.

use std::io;
use std::ops::ControlFlow;

use super::Options;
use super::database::Database;
use super::error::OpenError;
use super::format::{Head, data_key, data_range, data_value, decode_revision};
use super::home::{Generation, Home};
use super::rewrite::{Pending, close, finish};
use crate::domain::revision::{Position, Revision, StoreId};
use crate::store::{Contents, KeyRange, Write};

/// A database that is being filled.
#[derive(Debug)]
pub struct Import<'a> {
    database: &'a Database,
    pending: Pending<'a>,
    reserve: u64,
}

impl Import<'_> {
    /// Puts or deletes a key, as the commit of this revision did. A later write of a key
    /// takes the place of an earlier.
    ///
    /// # Errors
    ///
    /// [`OpenError`] if it can't be written, or if too little room is left.
    pub fn write(&mut self, write: &Write, revision: Revision) -> Result<(), OpenError> {
        let key = data_key(&write.key);
        let mut bytes = key.len();
        match &write.value {
            Some(value) => {
                bytes += value.len();
                self.pending.batch.insert(key, data_value(revision, value));
            }
            None => self.pending.batch.remove(key),
        }
        let path = self.database.path();
        let was_written = self
            .pending
            .added(1, bytes)
            .map_err(OpenError::fault(path))?;
        if was_written {
            self.check_room()?;
        }
        Ok(())
    }

    fn check_room(&self) -> Result<(), OpenError> {
        let path = self.database.path();
        let free = self.database.free().map_err(OpenError::fault(path))?;
        if free < self.reserve {
            let full = io::Error::new(
                io::ErrorKind::StorageFull,
                format!(
                    "{free} bytes are free, and {} are kept in reserve",
                    self.reserve
                ),
            );
            return Err(OpenError::io(path)(full));
        }
        Ok(())
    }
}

/// Makes a database of what `fill` writes.
pub(super) fn run<E: From<OpenError>>(
    home: &Home,
    generation: Generation,
    options: &Options,
    (id, at): (StoreId, Position),
    fill: impl FnOnce(&mut Import<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let path = home.database(generation);
    let database = Database::create(&path, options)?;
    let mut import = Import {
        database: &database,
        pending: Pending::new(&database),
        reserve: options.reserve_bytes,
    };
    fill(&mut import)?;
    let fault = || OpenError::fault(&path);
    import.pending.finish().map_err(fault())?;
    let mut contents = Contents::default();
    let (from, to) = data_range(&KeyRange::all());
    let counted = database.range(&from, &to, |key, value| {
        contents.add(key.get(1..).unwrap_or_default(), decode_revision(&value)?);
        Ok(ControlFlow::Continue(()))
    });
    counted.map_err(fault())?;
    let head = Head {
        position: at,
        contents,
    };
    finish(&database, id, &head, at).map_err(fault())?;
    close(database, &path)?;
    Ok(())
}
