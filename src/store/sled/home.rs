//! The directory that a store lives in, and who may touch it.
//!
//! | file | holds |
//! | --- | --- |
//! | `LOCK` | nothing; whoever has the store open has it locked |
//! | `CURRENT` | the name of the live database's directory |
//! | `store-000001`, ... | a sled database |
//! | `HEAD` | the witness (see [`super::witness`]) |
//! | `POISONED` | why a write failed, until the next open has rewritten the store |
//!
//! `CURRENT` is replaced by renaming, so a store moves to another database in
//! one step. A database that it does not name is what an interrupted rewrite
//! left behind and is removed at the next open, which only the holder of the
//! lock does.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::error::OpenError;

const LOCK: &str = "LOCK";
const CURRENT: &str = "CURRENT";
const CURRENT_TEMPORARY: &str = "CURRENT.new";
const HEAD: &str = "HEAD";
const POISONED: &str = "POISONED";
const DATABASE: &str = "store-";

/// The directory of a store, locked until this is dropped.
#[derive(Debug)]
pub(super) struct Home {
    directory: PathBuf,
    lock: File,
}

/// The number in the name of a database's directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Generation(u64);

impl Generation {
    pub(super) const FIRST: Self = Self(1);

    pub(super) fn next(self) -> Self {
        Self(self.0 + 1)
    }

    fn name(self) -> String {
        format!("{DATABASE}{:06}", self.0)
    }

    fn parse(name: &str) -> Option<Self> {
        let generation = Self(name.strip_prefix(DATABASE)?.parse().ok()?);
        (generation.name() == name).then_some(generation)
    }
}

impl Home {
    /// Whether a store is, or ever was, in this directory. One whose `CURRENT`
    /// got lost is a damaged store, not an absent one.
    pub(super) fn exists(directory: &Path) -> Result<bool, OpenError> {
        for name in [CURRENT, HEAD] {
            let path = directory.join(name);
            if path.try_exists().map_err(OpenError::io(&path))? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Locks the directory of a store that exists.
    pub(super) fn open(directory: &Path) -> Result<Self, OpenError> {
        if Self::exists(directory)? {
            Self::lock(directory)
        } else {
            Err(OpenError::NotFound {
                path: directory.to_owned(),
            })
        }
    }

    /// Makes the directory if need be, and locks it for a store to be created
    /// in it.
    pub(super) fn create(directory: &Path) -> Result<Self, OpenError> {
        create_directory(directory).map_err(OpenError::io(directory))?;
        let home = Self::lock(directory)?;
        if Self::exists(directory)? {
            return Err(OpenError::Exists {
                path: directory.to_owned(),
            });
        }
        Ok(home)
    }

    fn lock(directory: &Path) -> Result<Self, OpenError> {
        let path = directory.join(LOCK);
        let mut options = File::options();
        let file = options.create(true).truncate(false).write(true).open(&path);
        let lock = file.map_err(OpenError::io(&path))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self {
                directory: directory.to_owned(),
                lock,
            }),
            Err(Errno::WOULDBLOCK) => Err(OpenError::InUse {
                path: directory.to_owned(),
            }),
            Err(error) => Err(OpenError::io(&path)(error.into())),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.directory
    }

    /// How many bytes all files have together.
    pub(super) fn size(&self) -> io::Result<u64> {
        size(&self.directory)
    }

    pub(super) fn database(&self, generation: Generation) -> PathBuf {
        self.directory.join(generation.name())
    }

    pub(super) fn witness(&self) -> PathBuf {
        self.directory.join(HEAD)
    }

    /// The live database.
    pub(super) fn current(&self) -> Result<Generation, OpenError> {
        let path = self.directory.join(CURRENT);
        let text = fs::read_to_string(&path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => OpenError::damaged(&path, "it is missing"),
            io::ErrorKind::InvalidData => OpenError::damaged(&path, "it is not text"),
            _ => OpenError::io(&path)(source),
        })?;
        let generation = text.strip_suffix('\n').and_then(Generation::parse);
        generation.ok_or_else(|| OpenError::damaged(&path, "it does not name a database"))
    }

    /// Makes a database, which is synced, the live one.
    pub(super) fn set_current(&self, generation: Generation) -> Result<(), OpenError> {
        let path = self.directory.join(CURRENT);
        let replace = || {
            let temporary = self.directory.join(CURRENT_TEMPORARY);
            write_synced(&temporary, &format!("{}\n", generation.name()))?;
            fs::rename(&temporary, &path)?;
            self.sync()
        };
        replace().map_err(OpenError::io(&path))
    }

    /// Removes every database but this one.
    pub(super) fn keep_only(&self, live: Option<Generation>) -> Result<(), OpenError> {
        let io = || OpenError::io(&self.directory);
        for entry in fs::read_dir(&self.directory).map_err(io())? {
            let entry = entry.map_err(io())?;
            let generation = entry.file_name().to_str().and_then(Generation::parse);
            if generation.is_some() && generation != live {
                let path = entry.path();
                tracing::info!(path = %path.display(), "removing a database that is not in use");
                fs::remove_dir_all(&path).map_err(OpenError::io(&path))?;
            }
        }
        self.sync().map_err(io())
    }

    /// When a write failed while the store was last open, if one did.
    pub(super) fn poisoned_at(&self) -> Result<Option<SystemTime>, OpenError> {
        let path = self.directory.join(POISONED);
        match fs::metadata(&path).and_then(|marker| marker.modified()) {
            Ok(at) => Ok(Some(at)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(OpenError::io(&path)(error)),
        }
    }

    /// Leaves the marker that makes the next open rewrite the store.
    pub(super) fn poison(&self, reason: &str) -> io::Result<()> {
        write_synced(&self.directory.join(POISONED), &format!("{reason}\n"))?;
        self.sync()
    }

    /// Takes the marker away, once the store was rewritten.
    pub(super) fn clear_poison(&self) -> Result<(), OpenError> {
        let path = self.directory.join(POISONED);
        let clear = || {
            fs::remove_file(&path)?;
            self.sync()
        };
        clear().map_err(OpenError::io(&path))
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        File::open(&self.directory)?.sync_all()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // Closing the file would do, but for a process that was forked meanwhile
        // and has not replaced its image yet: it holds the file as well.
        if let Err(error) = flock(&self.lock, FlockOperation::Unlock) {
            tracing::warn!(path = %self.directory.display(), %error, "a store could not be unlocked");
        }
    }
}

fn write_synced(path: &Path, text: &str) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// How many bytes the files of a directory and of those below it have. One that goes
/// away meanwhile has none.
fn size(directory: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let found = match entry.metadata() {
            Ok(found) if found.is_dir() => size(&entry.path()),
            found => found.map(|found| found.len()),
        };
        bytes += match found {
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            found => found?,
        };
    }
    Ok(bytes)
}

/// Makes a directory and those above it, so that they outlive a power cut.
fn create_directory(directory: &Path) -> io::Result<()> {
    let directory = std::path::absolute(directory)?;
    let missing = directory.ancestors().take_while(|path| !path.is_dir());
    let missing: Vec<_> = missing.map(Path::to_owned).collect();
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700).create(&directory)?;
    for parent in missing.iter().filter_map(|path| path.parent()) {
        File::open(parent)?.sync_all()?;
    }
    Ok(())
}
