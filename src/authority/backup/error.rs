//! Why a file is no backup that can be restored.

use std::io;

use crate::domain::keyring::KeyProblem;

/// Why a backup was not read.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// It can't be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is not what was written.
    #[error(transparent)]
    Invalid(#[from] InvalidBackup),
}

/// What is wrong with a backup, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at byte {at}: {problem}")]
pub struct InvalidBackup {
    /// Where the frame begins that is not what it should be, in bytes from the start.
    pub at: u64,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What can be wrong with a backup.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// It does not begin as a backup does.
    #[error("this is no backup of credd")]
    NotABackup,
    /// A later version of credd wrote it.
    #[error("the backup has format {0}, and this version of credd reads format 1")]
    NewerFormat(u32),
    /// It ends too early.
    #[error("the backup was cut off")]
    Cut,
    /// It goes on after its end.
    #[error("something follows the end of the backup")]
    More,
    /// Bytes were changed.
    #[error("the backup was changed or damaged")]
    Changed,
    /// A frame stands where it can't be.
    #[error("a part of the backup stands in the wrong place")]
    Misplaced,
    /// The message of a frame is none.
    #[error("a part of the backup can't be read: {0}")]
    Garbled(&'static str),
    /// A key or its value is of no record that may stand there.
    #[error("{0}")]
    Record(String),
    /// The parts are whole, but not those that were written together.
    #[error("the parts of the backup are not those that were written together")]
    Sum,
    /// A key of the keyring is missing, or is another.
    #[error("the keyring is not that of the backup: {0}")]
    Keyring(KeyProblem),
    /// Somebody without the keyring made it.
    #[error("the backup was not made with this keyring")]
    Mac,
}

impl Problem {
    pub(super) const fn at(self, at: u64) -> InvalidBackup {
        InvalidBackup { at, problem: self }
    }
}
