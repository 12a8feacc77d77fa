//! sled as it is used here: one tree, whole batches, and a sync that syncs.
//!
//! Four habits of sled 0.34.7 are kept from the rest of the store:
//!
//! * **Its flush does not fsync.** It writes with `sync_file_range`, which leaves
//!   the disk's cache and the file's length alone. [`Database::sync`] flushes
//!   and then calls `fdatasync` on a descriptor of its own. Linux reports a
//!   failed write-back once to each descriptor that was open when it failed,
//!   so that one is opened and synced before sled opens the file, and kept for
//!   as long as sled has it open.
//! * **It panics over damage**, in places where it could answer an error.
//!   Every call is made under `catch_unwind`; a panic is a [`Fault`]. A panic
//!   hook that ends the process asks [`is_guarded`] first.
//! * **It reads a snapshot that it has not finished**, if it was cut short by the end of
//!   the process or of the room on the disk, and then takes the file for damaged. What
//!   it has not finished is removed before it looks: all is in the file itself.
//! * **It keeps its lock a moment longer** than its handle lives, since threads
//!   of its own hold the file. Opening waits for that.

use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use ::sled::{Batch, Db, IVec};

use super::error::{Fault, OpenError};
use super::{Disk, Options};
use crate::counts::{Counted, Histogram};
use crate::store::vitals::SYNC_BOUNDS;

/// How often, and how far apart, to try for sled's lock while we hold ours.
const LOCK_ATTEMPTS: u32 = 2000;
const LOCK_PAUSE: Duration = Duration::from_millis(1);

/// An open sled database.
pub(super) struct Database {
    /// `None` only while being dropped.
    sled: Option<Db>,
    /// The descriptor on sled's file that is synced.
    file: File,
    disk: Arc<dyn Disk>,
    path: PathBuf,
    syncs: Histogram,
}

impl Database {
    /// Makes an empty database; the directory must not exist.
    pub(super) fn create(path: &Path, options: &Options) -> Result<Self, OpenError> {
        let io = |source| OpenError::Io {
            path: path.to_owned(),
            source,
        };
        fs::create_dir(path).map_err(io)?;
        File::create_new(path.join("db")).map_err(io)?;
        Self::open(path, options)
    }

    /// Opens a database that exists.
    pub(super) fn open(path: &Path, options: &Options) -> Result<Self, OpenError> {
        let db = path.join("db");
        let file = File::options().read(true).write(true).open(&db);
        let file = file.map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => OpenError::damaged(&db, "it is missing"),
            _ => OpenError::io(&db)(source),
        })?;
        file.sync_all().map_err(OpenError::io(&db))?;
        remove_unfinished(path).map_err(OpenError::io(path))?;
        let config = ::sled::Config::new()
            .path(path)
            .cache_capacity(options.cache_bytes)
            .flush_every_ms(None);
        let sled = open_unlocked(&config, path)?;
        let database = Self {
            sled: Some(sled),
            file,
            disk: Arc::clone(&options.disk),
            path: path.to_owned(),
            syncs: Histogram::new(SYNC_BOUNDS),
        };
        // Opening writes: it cuts a torn tail and renames a new snapshot.
        sync_tree(path).map_err(OpenError::io(path))?;
        Ok(database)
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn get(&self, key: &[u8]) -> Result<Option<IVec>, Fault> {
        self.guarded(|sled| Ok(sled.get(key)?))
    }

    /// Gives the pairs from `from` (inclusive) to `to` (exclusive), in order,
    /// to `each` until it breaks.
    pub(super) fn range<E>(&self, from: &[u8], to: &[u8], mut each: E) -> Result<(), Fault>
    where
        E: FnMut(IVec, IVec) -> Result<ControlFlow<()>, Fault>,
    {
        if from >= to {
            return Ok(());
        }
        self.guarded(|sled| {
            for pair in sled.range(from..to) {
                let (key, value) = pair?;
                if each(key, value)?.is_break() {
                    break;
                }
            }
            Ok(())
        })
    }

    /// Applies a batch: visible at once, durable after [`sync`](Self::sync).
    pub(super) fn apply(&self, batch: Batch) -> Result<(), Fault> {
        self.guarded(|sled| Ok(sled.apply_batch(batch)?))
    }

    /// Makes everything that was applied durable.
    pub(super) fn sync(&self) -> Result<(), Fault> {
        let began = Instant::now();
        self.guarded(|sled| Ok(sled.flush()?))?;
        self.disk.sync(&self.file)?;
        self.syncs.count_time(began.elapsed());
        Ok(())
    }

    /// How long it took to sync, in nanoseconds.
    pub(super) fn syncs(&self) -> Counted {
        self.syncs.counted()
    }

    /// How much room the disk has.
    pub(super) fn free(&self) -> Result<u64, Fault> {
        Ok(self.disk.free(&self.path)?)
    }

    fn guarded<T>(&self, call: impl FnOnce(&Db) -> Result<T, Fault>) -> Result<T, Fault> {
        let Some(sled) = &self.sled else {
            return Err(Fault::Damaged("the database is closed".to_owned()));
        };
        catching(|| call(sled)).unwrap_or_else(|panic| Err(panicked(&*panic)))
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // sled syncs when it is dropped, and panics if that fails.
        let sled = self.sled.take();
        if let Err(panic) = catching(|| drop(sled)) {
            tracing::error!(path = %self.path.display(), error = %panicked(&*panic), "closing the database failed");
        }
    }
}

impl fmt::Debug for Database {
    /// Without sled's own, which prints every page.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// Syncs the files of a directory, those below it, and the directories.
pub(super) fn sync_tree(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_tree(&entry.path())?;
        } else {
            File::open(entry.path())?.sync_all()?;
        }
    }
    File::open(path)?.sync_all()
}

/// Removes snapshots of sled's that were begun and not finished.
fn remove_unfinished(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            tracing::warn!(file = %entry.path().display(), "removing a snapshot that was not finished");
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Opens a database that nobody but a handle that is just going may hold.
fn open_unlocked(config: &::sled::Config, path: &Path) -> Result<Db, OpenError> {
    for _ in 0..LOCK_ATTEMPTS {
        match catching(|| config.open()) {
            Ok(Ok(sled)) => return Ok(sled),
            Ok(Err(error)) if is_locked(&error) => thread::sleep(LOCK_PAUSE),
            Ok(Err(error)) => return Err(OpenError::fault(path)(error.into())),
            Err(panic) => return Err(OpenError::fault(path)(panicked(&*panic))),
        }
    }
    Err(OpenError::InUse {
        path: path.to_owned(),
    })
}

/// sled tells a held lock from other errors in words alone.
fn is_locked(error: &::sled::Error) -> bool {
    matches!(error, ::sled::Error::Io(source) if source.to_string().contains("could not acquire lock"))
}

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Whether a panic of this thread, now, would be caught and treated as a fault
/// of the disk.
#[must_use]
pub fn is_guarded() -> bool {
    GUARDED.get()
}

/// Calls sled, and returns its panic if it panics.
fn catching<T>(call: impl FnOnce() -> T) -> Result<T, Box<dyn Any + Send>> {
    let outer = GUARDED.replace(true);
    let outcome = catch_unwind(AssertUnwindSafe(call));
    GUARDED.set(outer);
    outcome
}

fn panicked(panic: &(dyn Any + Send)) -> Fault {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    Fault::Damaged(format!("sled panicked: {}", text.unwrap_or("no message")))
}
