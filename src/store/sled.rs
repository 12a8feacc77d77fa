//! The embedded engine, on sled 0.34.
//!
//! A commit is one batch of sled: the data, the commit's entry in the log and
//! the new head, so that a crash leaves all of them or none
//! (`format` lays them out). Writers take turns under one
//! lock: check the guards, write, sync, publish. Three things are not left to
//! sled:
//!
//! * **Durability.** Its flush does not fsync, so the file is synced here
//!   (`database`), and readers go by what was published after that (`feed`).
//! * **Noticing damage.** It drops what it can't read. A witness beside the
//!   database (`witness`), the chain of the log and a running count of the
//!   contents (`check`) tell a store that lost something from one that did not.
//! * **Going on after a failure.** The first error, or panic, of a write, a
//!   sync or a read poisons the store: nothing is acknowledged or shown after
//!   it, and a marker is left that makes the next open copy everything into a
//!   fresh database, where it is certain what is on the disk (`rewrite`).
//!
//! A disk that is nearly full is no failure: what would not fit is refused
//! before sled sees it, and a reserve is kept for what sled writes on its own.

mod check;
mod database;
mod error;
mod feed;
mod format;
mod home;
mod import;
mod log;
mod options;
mod rewrite;
mod witness;
mod write;

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

pub use self::check::Verified;
pub use self::database::is_guarded;
pub use self::error::OpenError;
pub use self::import::Import;
pub use self::options::{Disk, Options, SystemDisk};

use self::check::Opened;
use self::database::Database;
use self::error::Fault;
use self::feed::{Feed, Ready};
use self::format::{data_range, decode_entry};
use self::home::{Generation, Home};
use self::witness::Witness;
use self::write::Writer;
use super::{
    Batch, Changes, Commit, Contents, Entry, KeyRange, PageLimit, Store, StoreError, Vitals,
};
use crate::domain::revision::{Position, Revision, StoreId};

/// A [`Store`] in a directory, which one value has open at a time.
#[derive(Debug)]
pub struct SledStore {
    id: StoreId,
    feed: Feed,
    writer: Mutex<Writer>,
    database: Database,
    reserve: u64,
    /// When it failed, in this run or in the one before.
    failed_at: Mutex<Option<SystemTime>>,
    /// Declared last, and so unlocked when the database is closed.
    home: Home,
}

impl SledStore {
    /// Whether a store is in this directory, or was and is damaged.
    ///
    /// # Errors
    ///
    /// [`OpenError::Io`] if that can't be told.
    pub fn exists(directory: &Path) -> Result<bool, OpenError> {
        Home::exists(directory)
    }

    /// Creates an empty store, and the directory if need be. A crash on the way
    /// leaves no store, and it can be created again.
    ///
    /// # Errors
    ///
    /// [`OpenError::Exists`], [`OpenError::InUse`], [`OpenError::Io`].
    pub fn create(directory: &Path, options: &Options, id: StoreId) -> Result<Self, OpenError> {
        let home = Home::create(directory)?;
        home.keep_only(None)?;
        rewrite::create(&home, Generation::FIRST, id, options)?;
        home.set_current(Generation::FIRST)?;
        let witness = home.witness();
        Witness::open(&witness, id, &Position::START).map_err(OpenError::io(&witness))?;
        Self::start(home, Generation::FIRST, options)
    }

    /// Creates a store of what `fill` puts into it, as of a position: it has no log
    /// before that. It is there, durably, when this returns; before, or if it is cut
    /// short, there is none, and what is left is removed by the next to create one.
    ///
    /// # Errors
    ///
    /// Those of [`create`](Self::create), and that of `fill`.
    pub fn import<E: From<OpenError>>(
        directory: &Path,
        options: &Options,
        id: StoreId,
        at: Position,
        fill: impl FnOnce(&mut Import<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let home = Home::create(directory)?;
        home.keep_only(None)?;
        import::run(&home, Generation::FIRST, options, (id, at), fill)?;
        let witness = home.witness();
        // Not before it is wholly there.
        home.set_current(Generation::FIRST)?;
        Witness::open(&witness, id, &at).map_err(OpenError::io(&witness))?;
        home.sync().map_err(OpenError::io(home.path()))?;
        Ok(())
    }

    /// Opens a store, after rewriting it if a write had failed.
    ///
    /// It checks the format, the witness and the last commits of the log. That
    /// all keys are there is for the caller to compare with
    /// [`contents`](Store::contents) when it has read them.
    ///
    /// # Errors
    ///
    /// Any [`OpenError`] but [`OpenError::Exists`]. A store that is damaged stays
    /// as it is, and is refused the next time as well.
    pub fn open(directory: &Path, options: &Options) -> Result<Self, OpenError> {
        let home = Home::open(directory)?;
        let mut live = home.current()?;
        home.keep_only(Some(live))?;
        let failed_at = home.poisoned_at()?;
        if failed_at.is_some() {
            // Without it there is no store: the reserve is for that, too.
            rewrite::run(&home, live, options, 0)?;
            live = home.current()?;
            home.clear_poison()?;
        }
        let store = Self::start(home, live, options)?;
        *store.failed_at.lock() = failed_at;
        Ok(store)
    }

    /// Copies a store that is not open into a fresh database, which takes less
    /// room, and checks all of it on the way. It needs room for both at once, and the
    /// reserve beside that.
    ///
    /// # Errors
    ///
    /// As for [`open`](Self::open); the store is then as it was.
    pub fn rewrite(directory: &Path, options: &Options) -> Result<Verified, OpenError> {
        let home = Home::open(directory)?;
        let live = home.current()?;
        home.keep_only(Some(live))?;
        let verified = rewrite::run(&home, live, options, options.reserve_bytes)?;
        if home.poisoned_at()?.is_some() {
            home.clear_poison()?;
        }
        Ok(verified)
    }

    /// Reads all keys and the whole log, and checks that they are what the
    /// commits left behind. Commits wait meanwhile.
    ///
    /// # Errors
    ///
    /// [`StoreError::Poisoned`] if something is wrong, or was before.
    pub fn verify(&self) -> Result<Verified, StoreError> {
        let _writer = self.writer.lock();
        let (head, floor) = (self.feed.head()?, self.feed.floor()?);
        self.or_poison(check::everything(&self.database, &head, floor))
    }

    fn start(home: Home, live: Generation, options: &Options) -> Result<Self, OpenError> {
        let Opened {
            database,
            id,
            head,
            floor,
            tail,
        } = check::open(&home, live, options)?;
        remove_compacted(&database, floor).map_err(OpenError::fault(database.path()))?;
        let path = home.witness();
        let witness = Witness::open(&path, id, &head.position).map_err(OpenError::io(&path))?;
        home.sync().map_err(OpenError::io(home.path()))?;
        Ok(Self {
            id,
            feed: Feed::new(head, floor, tail),
            writer: Mutex::new(Writer {
                witness: Some(witness),
            }),
            database,
            reserve: options.reserve_bytes,
            failed_at: Mutex::default(),
            home,
        })
    }

    /// A page of commits from the log on disk.
    fn read_log(
        &self,
        after: Revision,
        through: Revision,
        limit: PageLimit,
    ) -> Result<Changes, StoreError> {
        let page = self.read_page(self.feed.floor()?, after, through, limit);
        // The log may have been compacted while it was read.
        let floor = self.feed.floor()?;
        if after < floor.revision {
            return Err(StoreError::Compacted { floor });
        }
        self.or_poison(page)
    }

    fn read_page(
        &self,
        floor: Position,
        after: Revision,
        through: Revision,
        limit: PageLimit,
    ) -> Result<Changes, Fault> {
        let from = log::position(&self.database, floor, after)?;
        let mut commits: Vec<Arc<Commit>> = Vec::new();
        let mut bytes = 0_usize;
        log::read(&self.database, from, through, |commit| {
            bytes = bytes.saturating_add(commit.payload_bytes());
            commits.push(Arc::new(commit));
            Ok(if commits.len() < limit.commits && bytes < limit.bytes {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            })
        })?;
        Ok(Changes {
            from,
            commits: limit.take(commits),
        })
    }

    /// Passes a result on, unless it is a fault: that ends the store.
    fn or_poison<T>(&self, result: Result<T, Fault>) -> Result<T, StoreError> {
        result.map_err(|fault| {
            let (reason, first) = self.feed.poison(&fault.to_string());
            if first {
                *self.failed_at.lock() = Some(SystemTime::now());
                tracing::error!(path = %self.home.path().display(), %reason, "the store is poisoned");
                if let Err(error) = self.home.poison(&reason) {
                    tracing::error!(path = %self.home.path().display(), %error, "the marker of a poisoned store could not be written");
                }
            }
            StoreError::Poisoned(reason)
        })
    }
}

impl Store for SledStore {
    fn id(&self) -> StoreId {
        self.id
    }

    fn commit(&self, batch: Batch) -> Result<Revision, StoreError> {
        batch.check()?;
        self.commit_valid(batch)
    }

    fn changes(
        &self,
        after: Revision,
        limit: PageLimit,
        wait: Duration,
    ) -> Result<Changes, StoreError> {
        match self.feed.after(after, limit, wait)? {
            Ready::Page(changes) => Ok(changes),
            Ready::InLog(through) => self.read_log(after, through, limit),
        }
    }

    fn scan(&self, range: &KeyRange, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.feed.head()?;
        let mut entries = Vec::new();
        if limit == 0 {
            return Ok(entries);
        }
        let (from, to) = data_range(range);
        self.or_poison(self.database.range(&from, &to, |key, value| {
            entries.push(decode_entry(key, value)?);
            Ok(if entries.len() < limit {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            })
        }))?;
        Ok(entries)
    }

    fn snapshot(&self) -> Result<Position, StoreError> {
        self.feed.head().map(|head| head.position)
    }

    fn compact(&self, through: Revision) -> Result<(), StoreError> {
        let floor = self.raise_floor(through)?;
        self.forget(floor)
    }

    fn contents(&self) -> Result<Option<(Position, Contents)>, StoreError> {
        let head = self.feed.head()?;
        Ok(Some((head.position, head.contents)))
    }

    fn vitals(&self) -> Vitals {
        Vitals {
            failed_at: *self.failed_at.lock(),
            silence: Duration::ZERO,
            size: self.home.size().ok(),
            free: self.database.free().ok(),
            syncs: self.database.syncs(),
        }
    }
}

/// Removes what a compaction that was cut short has left in the log.
fn remove_compacted(database: &Database, floor: Position) -> Result<(), Fault> {
    while !log::forget(database, floor.revision)? {}
    Ok(())
}
