//! Why a store can't be opened, and what can go wrong beneath one.

use std::io;
use std::path::{Path, PathBuf};

/// Why a store was not opened, created or rewritten. Nothing that it holds was
/// given up: what can be repaired from outside (room, permissions, a process
/// that still runs) can be, and then it opens.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is no store, and there never was one.
    #[error("there is no store in {path}")]
    NotFound {
        /// Where it was expected.
        path: PathBuf,
    },
    /// A store was to be created where one is.
    #[error("there is a store in {path} already")]
    Exists {
        /// Where it is.
        path: PathBuf,
    },
    /// Another process, or another part of this one, has the store open.
    #[error("the store in {path} is in use")]
    InUse {
        /// Where it is.
        path: PathBuf,
    },
    /// A later version of credd wrote the store.
    #[error("the store in {path} has format {found}, and this version reads up to {supported}")]
    NewerFormat {
        /// Where it is.
        path: PathBuf,
        /// The format it has.
        found: u32,
        /// The latest format that this version reads.
        supported: u32,
    },
    /// What is stored is not what was written, or not all of it. Restore a
    /// backup.
    #[error("{path} is damaged: {what}")]
    Damaged {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// There is too little room to write the store anew. Nothing of the attempt is left.
    #[error(
        "there is too little room in {path}: the store is written anew beside what it is now, and that has {bytes} bytes"
    )]
    NoRoom {
        /// The store.
        path: PathBuf,
        /// How large its database is.
        bytes: u64,
        /// What there is.
        source: io::Error,
    },
    /// The operating system refused something.
    #[error("{path}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl OpenError {
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }

    pub(super) fn damaged(path: &Path, what: impl Into<String>) -> Self {
        Self::Damaged {
            path: path.to_owned(),
            what: what.into(),
        }
    }

    pub(super) fn fault(path: &Path) -> impl FnOnce(Fault) -> Self {
        let path = path.to_owned();
        move |fault| match fault {
            Fault::Io(source) => Self::Io { path, source },
            Fault::Damaged(what) => Self::Damaged { path, what },
        }
    }
}

/// What went wrong in or beneath sled. Any fault poisons a store.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// Reading, writing or syncing failed.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// sled found damage, or panicked over it, or we found it.
    #[error("{0}")]
    Damaged(String),
}

impl From<::sled::Error> for Fault {
    fn from(error: ::sled::Error) -> Self {
        use io::ErrorKind::{InvalidData, InvalidInput, StorageFull, UnexpectedEof};

        match error {
            // What sled answers when a file ends too early or a length in it
            // makes no sense.
            ::sled::Error::Io(source)
                if matches!(source.kind(), UnexpectedEof | InvalidData | InvalidInput) =>
            {
                Self::Damaged(format!("sled: {source}"))
            }
            // sled gives the kind and, as a text, what it looks like in a debugger.
            ::sled::Error::Io(source) if source.kind() == StorageFull => {
                Self::Io(StorageFull.into())
            }
            ::sled::Error::Io(source) => Self::Io(source),
            other => Self::Damaged(format!("sled: {other}")),
        }
    }
}
