//! The data directory.
//!
//! | file | holds |
//! | --- | --- |
//! | `keyring.toml` | the server's keys; back it up apart from the store |
//! | `store/` | the store |
//! | `RESTORING` | nothing; while it is there, `store/` is none: a restore was cut short |
//! | `admin.token` | the first administrator's token; delete it when another administrator is issued |

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// What others may not do with a file of secrets: the group write it, and the
/// world anything.
const EXPOSED: u32 = 0o027;

/// A directory that only its owner can enter.
#[derive(Clone, Debug)]
pub struct DataDir(PathBuf);

/// A lock on a data directory (flock(2)).
#[derive(Debug)]
pub struct DirLock(#[allow(dead_code, reason = "closing it ends the lock")] File);

/// A file or directory could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{path}")]
pub struct FileError {
    /// Which.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

impl DataDir {
    /// The directory at this path, which need not exist.
    #[must_use]
    pub const fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Where the keyring is.
    #[must_use]
    pub fn keyring(&self) -> PathBuf {
        self.0.join("keyring.toml")
    }

    /// Where the store is.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.0.join("store")
    }

    /// Where the first administrator's token is.
    #[must_use]
    pub fn admin_token(&self) -> PathBuf {
        self.0.join("admin.token")
    }

    /// Where it is marked that a store is being restored.
    #[must_use]
    pub fn restoring(&self) -> PathBuf {
        self.0.join("RESTORING")
    }

    /// Something that stands in the directory, besides a keyring and what every file
    /// system has.
    ///
    /// # Errors
    ///
    /// [`FileError`].
    pub fn anything(&self) -> Result<Option<PathBuf>, FileError> {
        let harmless = ["keyring.toml", "lost+found", "RESTORING.new"];
        let find = || {
            for entry in fs::read_dir(&self.0)? {
                let entry = entry?;
                if !harmless.iter().any(|name| entry.file_name() == *name) {
                    return Ok(Some(entry.path()));
                }
            }
            Ok(None)
        };
        find().map_err(FileError::of(&self.0))
    }

    /// Removes the store, if there is something of one.
    ///
    /// # Errors
    ///
    /// [`FileError`].
    pub fn remove_store(&self) -> Result<(), FileError> {
        let store = self.store();
        match fs::remove_dir_all(&store) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(FileError::of(&store)(error))
            }
            _ => Ok(()),
        }
    }

    /// Removes a file of the directory, durably.
    ///
    /// # Errors
    ///
    /// [`FileError`].
    pub fn remove(&self, path: &Path) -> Result<(), FileError> {
        let remove = || {
            fs::remove_file(path)?;
            File::open(&self.0)?.sync_all()
        };
        remove().map_err(FileError::of(path))
    }

    /// Creates the directory with mode 0700, if it does not exist.
    ///
    /// # Errors
    ///
    /// [`FileError`].
    pub fn create(&self) -> Result<(), FileError> {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(&self.0).map_err(FileError::of(&self.0))
    }

    /// Takes the directory for this process alone, for as long as the answer
    /// lives; `None` if another has it. The directory must exist.
    ///
    /// # Errors
    ///
    /// [`FileError`].
    pub fn lock(&self) -> Result<Option<DirLock>, FileError> {
        let directory = File::open(&self.0).map_err(FileError::of(&self.0))?;
        match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(DirLock(directory))),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => Err(FileError::of(&self.0)(errno.into())),
        }
    }

    /// Reads a file of secrets; `None` if it does not exist.
    ///
    /// # Errors
    ///
    /// [`FileError`], also if others than its owner and its group may read it,
    /// or others than its owner may write it.
    pub fn read(&self, path: &Path) -> Result<Option<zeroize::Zeroizing<String>>, FileError> {
        let read = || {
            let mode = fs::metadata(path)?.permissions().mode();
            if mode & EXPOSED != 0 {
                return Err(io::Error::new(
                    io::ErrorKind::PermissionDenied,
                    format!(
                        "its mode {:04o} lets others read it: 0600 does not, nor does 0440",
                        mode & 0o7777
                    ),
                ));
            }
            fs::read_to_string(path)
        };
        match read() {
            Ok(text) => Ok(Some(zeroize::Zeroizing::new(text))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(FileError::of(path)(source)),
        }
    }

    /// Writes a file with mode 0600, in the directory or elsewhere: after it
    /// returned the whole of it is durable, and whoever reads it sees all of it
    /// or what was there before.
    ///
    /// # Errors
    ///
    /// [`FileError`].
    pub fn write(&self, path: &Path, text: &str) -> Result<(), FileError> {
        let new = path.with_extension("new");
        let write = || {
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&new)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&new, path)?;
            let parent = path.parent().filter(|parent| *parent != Path::new(""));
            File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
        };
        write().map_err(FileError::of(path))
    }
}

impl FileError {
    fn of(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self { path, source }
    }
}
