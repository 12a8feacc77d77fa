//! Where in a store's history something stands.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

/// The number of a commit in one store.
///
/// Revisions are a total order and are never reused. They may have gaps. A
/// revision means nothing without the [`StoreId`] of the store it counts in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(u64);

impl Revision {
    /// Before the first commit: the state of an empty store.
    pub const ZERO: Self = Self(0);

    /// The revision of this number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The revision after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The identity of one history of commits.
///
/// A store that was restored from a backup, or whose history was rewritten,
/// has a new one, because its revisions no longer count the same commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreId(Uuid);

impl StoreId {
    /// The identity made of these 16 random bytes (as a version 4 UUID,
    /// RFC 9562 section 5.4).
    #[must_use]
    pub fn from_random(bytes: [u8; 16]) -> Self {
        Self(uuid::Builder::from_random_bytes(bytes).into_uuid())
    }

    /// The identity stored as these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    /// The bytes to store.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// A text that is not a store id in the form that [`StoreId`] is shown in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a store id: expected a UUID of 36 lower-case characters")]
pub struct NotAStoreId;

impl FromStr for StoreId {
    type Err = NotAStoreId;

    fn from_str(text: &str) -> Result<Self, NotAStoreId> {
        let id = Self(Uuid::try_parse(text).map_err(|_| NotAStoreId)?);
        if id.to_string() == text {
            Ok(id)
        } else {
            Err(NotAStoreId)
        }
    }
}

/// The hash of a store's log up to and including one commit: each commit's
/// hash covers the hash before it, so two histories that agree on a chain hash
/// agree on every commit up to there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ChainHash(pub [u8; 32]);

/// A point in a store's history: a revision and the hash of the log there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The commit.
    pub revision: Revision,
    /// The log's hash up to and including that commit.
    pub chain: ChainHash,
}

impl Position {
    /// Before the first commit.
    pub const START: Self = Self {
        revision: Revision::ZERO,
        chain: ChainHash([0; 32]),
    };
}
