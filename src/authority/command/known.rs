//! Things as a command sees them.

use std::sync::Arc;

use crate::domain::credential::{Credential, Stored};
use crate::domain::directory::OwnerRecord;
use crate::domain::revision::Revision;

/// A credential as a command sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(
    clippy::large_enum_variant,
    reason = "it is looked at and passed on, never kept"
)]
pub enum Known {
    /// As a commit left it.
    Committed(Stored),
    /// As a command before this one, in the same group, leaves it. Its commit
    /// has no revision yet.
    Pending(Arc<Credential>),
}

impl Known {
    /// The credential.
    #[must_use]
    pub fn credential(&self) -> &Credential {
        match self {
            Self::Committed(stored) => &stored.credential,
            Self::Pending(credential) => credential,
        }
    }

    /// The commit that wrote it, if that was.
    #[must_use]
    pub const fn revision(&self) -> Option<Revision> {
        match self {
            Self::Committed(stored) => Some(stored.revision),
            Self::Pending(_) => None,
        }
    }

    /// The commit that set its state, for a record that leaves the state as it is.
    /// A command about a credential that its group writes waits for the next
    /// group, so that it sees only committed ones.
    #[must_use]
    pub fn state_revision(&self) -> Revision {
        match self {
            Self::Committed(stored) => stored.state_revision(),
            Self::Pending(credential) => credential.state_set.unwrap_or(Revision::ZERO),
        }
    }

    /// The credential and its revision, once the group was committed.
    #[must_use]
    pub fn at(self, group: Revision) -> Stored {
        match self {
            Self::Committed(stored) => stored,
            Self::Pending(credential) => Stored {
                credential: Arc::unwrap_or_clone(credential),
                revision: group,
            },
        }
    }
}

/// A record of the directory as a command sees it.
#[derive(Debug)]
pub struct KnownRecord<T> {
    /// The record.
    pub record: Arc<T>,
    /// The commit that wrote it; `None`: one that is to come.
    pub revision: Option<Revision>,
}

/// An owner as a command sees it.
pub type KnownOwner = KnownRecord<OwnerRecord>;

impl<T> Clone for KnownRecord<T> {
    fn clone(&self) -> Self {
        Self {
            record: Arc::clone(&self.record),
            revision: self.revision,
        }
    }
}

impl<T> KnownRecord<T> {
    /// A record that is to be written.
    #[must_use]
    pub const fn pending(record: Arc<T>) -> Self {
        Self {
            record,
            revision: None,
        }
    }
}
