//! What credd asks of a database: a small, ordered key-value store with a log
//! of its commits.
//!
//! The documentation of [`Store`] is the contract. Every engine passes the
//! same contract suite (`tests/store_contract.rs`) and the same model test
//! (`tests/store_model.rs`), in which [`memory::MemoryStore`] is the oracle.
//!
//! A store knows nothing of credentials: keys and values are bytes, and what
//! they mean is written down in [`crate::authority::record`].

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::domain::revision::{Position, Revision, StoreId};
use crate::domain::time::Timestamp;

mod digest;
pub mod etcd;
pub mod memory;
pub mod sled;
mod vitals;

pub use self::digest::{Contents, chain};
pub use self::vitals::Vitals;

/// The most bytes that a value may have. (Values of about 8 kB become separate
/// files in sled 0.34, which it never syncs.)
pub const MAX_VALUE_BYTES: usize = 4096;

/// The most bytes that a key may have.
pub const MAX_KEY_BYTES: usize = 256;

/// An ordered key-value store with a log of its commits.
///
/// # Guarantees
///
/// * **Atomic.** All writes of a [`Batch`] take effect, or none does.
/// * **Guarded.** A batch takes effect only if all its guards hold at that
///   moment; otherwise the answer is [`StoreError::Conflict`] and nothing was
///   written.
/// * **Durable when answered.** When [`commit`](Store::commit) has returned
///   `Ok`, the batch outlives the process and the machine's power.
/// * **Ordered.** Each commit has a [`Revision`], greater than that of every
///   commit before it. A key's revision is that of the last commit that wrote it.
/// * **Nothing early.** [`changes`](Store::changes) and
///   [`snapshot`](Store::snapshot) never show a commit that is not durable.
///   [`scan`](Store::scan) may: see there.
///
/// # Errors
///
/// Every method may answer [`StoreError::Poisoned`], after which it always
/// will: the process must end. What else may come stands with each method;
/// what a caller may do about it stands with each [`StoreError`].
///
/// # Threads
///
/// Every method blocks; none may be called on a thread that runs async tasks.
/// Commits from several threads are put in some order.
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// The identity of this history.
    fn id(&self) -> StoreId;

    /// How large a batch may be.
    fn limits(&self) -> Limits {
        Limits::NONE
    }

    /// Whether other processes commit to it too: what was read last may be older than
    /// what there is.
    fn is_shared(&self) -> bool {
        false
    }

    /// Writes a batch and returns the revision of its commit, once it is
    /// durable.
    ///
    /// A batch without writes is refused with [`StoreError::Invalid`], as is
    /// one that writes a key twice, or is larger than [`limits`](Store::limits)
    /// allow. Guards may name keys that are not written.
    ///
    /// # Errors
    ///
    /// [`Conflict`](StoreError::Conflict), [`Invalid`](StoreError::Invalid) and
    /// [`Full`](StoreError::Full): nothing was written.
    /// [`Poisoned`](StoreError::Poisoned): the outcome is unknown until the
    /// store was opened again; then the batch is either wholly there or was
    /// never there, and nobody was shown it before.
    fn commit(&self, batch: Batch) -> Result<Revision, StoreError>;

    /// The commits after a revision, oldest first, whole and durable: as many
    /// as fit into `limit`, but at least one if there is any. If there is
    /// none it waits up to `wait` for one; none after that is an empty answer.
    /// A store that is poisoned meanwhile ends the wait.
    ///
    /// # Errors
    ///
    /// [`Compacted`](StoreError::Compacted) if commits after `after` are no
    /// longer kept; [`Ahead`](StoreError::Ahead) if `after` lies beyond the
    /// last durable commit.
    fn changes(
        &self,
        after: Revision,
        limit: PageLimit,
        wait: Duration,
    ) -> Result<Changes, StoreError>;

    /// Up to `limit` keys of a range in ascending order, with their values.
    ///
    /// A scan alone is *fuzzy*: it may show what a commit wrote that is not yet
    /// durable, and one page may be older than the next. It never misses what
    /// was durable when it began and was not changed since. To read a
    /// consistent state: take a [`snapshot`](Store::snapshot) position, scan
    /// everything, then apply [`changes`](Store::changes) from that position,
    /// ignoring a write whose revision is not greater than that of the key.
    ///
    /// # Errors
    ///
    /// [`Poisoned`](StoreError::Poisoned) alone.
    fn scan(&self, range: &KeyRange, limit: usize) -> Result<Vec<Entry>, StoreError>;

    /// The position of the last durable commit: where a consistent read of the
    /// whole store starts (see [`scan`](Store::scan)).
    ///
    /// # Errors
    ///
    /// [`Poisoned`](StoreError::Poisoned) alone.
    fn snapshot(&self) -> Result<Position, StoreError>;

    /// Forgets the commits up to and including `through`; keys and their values
    /// stay. Compacting what was compacted before does nothing. Durable when it
    /// returns; a crash on the way forgets all of them or none. Commits go on
    /// meanwhile.
    ///
    /// # Errors
    ///
    /// [`Ahead`](StoreError::Ahead) beyond the last durable commit;
    /// [`Full`](StoreError::Full) if there is not even room to forget: they may
    /// be forgotten already and still take room, until it is repeated.
    fn compact(&self, through: Revision) -> Result<(), StoreError>;

    /// What a consistent read of the whole store must have found at the given
    /// position, which is that of the last durable commit; `None` if the engine
    /// does not keep count.
    ///
    /// Whoever loads everything compares it with the [`Contents`] that it
    /// counted itself and so finds a loss that the engine did not notice.
    ///
    /// # Errors
    ///
    /// [`Poisoned`](StoreError::Poisoned) alone.
    fn contents(&self) -> Result<Option<(Position, Contents)>, StoreError> {
        Ok(None)
    }

    /// How it is doing, as far as the engine can tell, also when it is poisoned. Waits
    /// for no commit and for no other machine.
    fn vitals(&self) -> Vitals {
        Vitals::default()
    }
}

/// What is to be written in one commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// When the commit is made, for retention; the store does not compare it
    /// with its own clock and does not expect it to rise.
    pub at: Timestamp,
    /// What must hold for the batch to take effect.
    pub guards: Vec<Guard>,
    /// The keys to put or delete; each at most once.
    pub writes: Vec<Write>,
    /// Whether it is so small and so necessary that it may use what is kept free on
    /// the disk.
    pub vital: bool,
}

impl Batch {
    /// Whether the batch keeps to the contract, whatever the store holds.
    ///
    /// # Errors
    ///
    /// [`StoreError::Invalid`] if it has no writes, writes a key twice, or names
    /// a key or a value that is too long or a key that is empty.
    pub fn check(&self) -> Result<(), StoreError> {
        let invalid = |what: String| Err(StoreError::Invalid(what));
        if self.writes.is_empty() {
            return invalid("it writes nothing".to_owned());
        }
        let guarded = self.guards.iter().map(|guard| &guard.key);
        for key in guarded.chain(self.writes.iter().map(|write| &write.key)) {
            if key.is_empty() || key.len() > MAX_KEY_BYTES {
                return invalid(format!(
                    "a key has {} bytes, not 1 to {MAX_KEY_BYTES}",
                    key.len()
                ));
            }
        }
        for value in self.writes.iter().filter_map(|write| write.value.as_ref()) {
            if value.len() > MAX_VALUE_BYTES {
                return invalid(format!(
                    "a value has {} bytes, more than {MAX_VALUE_BYTES}",
                    value.len()
                ));
            }
        }
        let mut seen = HashSet::with_capacity(self.writes.len());
        if self.writes.iter().all(|write| seen.insert(&write.key)) {
            Ok(())
        } else {
            invalid("it writes a key twice".to_owned())
        }
    }

    /// Whether the batch is no larger than these limits.
    ///
    /// # Errors
    ///
    /// [`StoreError::Invalid`] if it is.
    pub fn check_limits(&self, limits: &Limits) -> Result<(), StoreError> {
        let value = |write: &Write| write.value.as_ref().map_or(0, Bytes::len);
        let writes = self.writes.iter();
        let bytes = writes
            .map(|write| write.key.len() + value(write))
            .sum::<usize>()
            + self
                .guards
                .iter()
                .map(|guard| guard.key.len())
                .sum::<usize>();
        for (what, size, limit) in [
            ("writes", self.writes.len(), limits.writes),
            ("guards", self.guards.len(), limits.guards),
            ("bytes", bytes, limits.bytes),
        ] {
            if size > limit {
                let text = format!("it has {size} {what}, more than {limit}");
                return Err(StoreError::Invalid(text));
            }
        }
        Ok(())
    }
}

/// How large a [`Batch`] may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most writes.
    pub writes: usize,
    /// The most guards.
    pub guards: usize,
    /// The most bytes of keys and values, those of guards among them.
    pub bytes: usize,
}

impl Limits {
    /// As large as the machine can bear.
    pub const NONE: Self = Self {
        writes: usize::MAX,
        guards: usize::MAX,
        bytes: usize::MAX,
    };
}

/// A condition on one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guard {
    /// The key.
    pub key: Bytes,
    /// What is expected of it.
    pub expect: Expect,
}

/// What a [`Guard`] expects of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// It does not exist.
    Absent,
    /// It exists and was last written by this commit.
    Revision(Revision),
}

/// A put, or a delete if there is no value. Deleting a key that does not exist
/// is allowed and is part of the commit like any other write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// The key: 1 to [`MAX_KEY_BYTES`] bytes.
    pub key: Bytes,
    /// The new value, at most [`MAX_VALUE_BYTES`] bytes; `None` deletes the key.
    pub value: Option<Bytes>,
}

/// One commit, as [`Store::changes`] gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Its revision and the log's hash up to here.
    pub position: Position,
    /// When it was made ([`Batch::at`]).
    pub at: Timestamp,
    /// Its writes, in the order of the batch.
    pub writes: Vec<Write>,
}

impl Commit {
    /// The bytes of its keys and values: what counts against
    /// [`PageLimit::bytes`].
    #[must_use]
    pub fn payload_bytes(&self) -> usize {
        let value = |write: &Write| write.value.as_ref().map_or(0, Bytes::len);
        self.writes
            .iter()
            .map(|write| write.key.len() + value(write))
            .sum()
    }
}

/// A page of commits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    /// The position of the revision that was asked for: a subscriber that has
    /// another hash for it has seen another history.
    pub from: Position,
    /// The commits after it.
    pub commits: Vec<Arc<Commit>>,
}

/// How much [`Store::changes`] may return at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageLimit {
    /// At most this many commits.
    pub commits: usize,
    /// At most this many bytes of keys and values, unless the first commit
    /// alone has more.
    pub bytes: usize,
}

impl PageLimit {
    /// The first of these commits that fit, and at least one if there is any.
    #[must_use]
    pub fn take(self, commits: impl IntoIterator<Item = Arc<Commit>>) -> Vec<Arc<Commit>> {
        let mut page = Vec::new();
        let mut bytes = 0_usize;
        for commit in commits {
            bytes = bytes.saturating_add(commit.payload_bytes());
            if !page.is_empty() && (page.len() >= self.commits || bytes > self.bytes) {
                break;
            }
            page.push(commit);
        }
        page
    }
}

/// Keys from `start` (inclusive) to `end` (exclusive; `None`: to the last).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRange {
    /// The first key.
    pub start: Bytes,
    /// The first key that is not part of it.
    pub end: Option<Bytes>,
}

impl KeyRange {
    /// Every key.
    #[must_use]
    pub const fn all() -> Self {
        Self {
            start: Bytes::new(),
            end: None,
        }
    }

    /// Every key that starts with `prefix`.
    #[must_use]
    pub fn prefix(prefix: &[u8]) -> Self {
        let end = prefix.iter().rposition(|&byte| byte < u8::MAX).map(|last| {
            let mut end = prefix[..=last].to_vec();
            end[last] += 1;
            Bytes::from(end)
        });
        Self {
            start: Bytes::copy_from_slice(prefix),
            end,
        }
    }

    /// The rest of this range after `key`.
    #[must_use]
    pub fn after(&self, key: &[u8]) -> Self {
        let mut start = key.to_vec();
        start.push(0);
        Self {
            start: start.into(),
            end: self.end.clone(),
        }
    }
}

/// A key, its value and the revision that wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: Bytes,
    /// The commit that wrote it last.
    pub revision: Revision,
    /// Its value.
    pub value: Bytes,
}

/// Why a store did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// A guard did not hold; nothing was written. Read again and decide anew.
    #[error("a guard on a key did not hold")]
    Conflict {
        /// The key whose guard failed.
        key: Bytes,
    },
    /// The batch breaks the contract; nothing was written. A defect of the
    /// caller: do not retry.
    #[error("the batch is not valid: {0}")]
    Invalid(String),
    /// The log no longer reaches back to the revision asked for. Start anew
    /// from a snapshot.
    #[error("the log starts after revision {}", floor.revision)]
    Compacted {
        /// The earliest position from which changes can still be read.
        floor: Position,
    },
    /// A revision beyond the last durable one was named: it is of another
    /// history. Do not retry.
    #[error("the last revision is {}", head.revision)]
    Ahead {
        /// The last durable commit.
        head: Position,
    },
    /// Too little room is left on the disk; nothing was written. It may be
    /// retried when there is room again; reads work.
    #[error("the disk has {free} bytes free, and {reserve} are kept in reserve")]
    Full {
        /// Bytes free on the file system.
        free: u64,
        /// Bytes that must stay free.
        reserve: u64,
    },
    /// A write or a sync failed, or what was read is damaged. Nothing further
    /// is acknowledged; the process must end.
    #[error("the store is poisoned: {0}")]
    Poisoned(Arc<str>),
}
