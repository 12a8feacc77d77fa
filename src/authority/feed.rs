//! The only way into the index and the hub.
//!
//! The feed reads commits back from the store, in order and only durable ones,
//! and applies them. A local commit takes the same road as another node's: the
//! committer writes to the store and then lets the feed catch up.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::audit::head::LastSeen;
use super::hub::{Hub, Published, RingSize, records_of};
use super::index::{Index, Writer};
use super::keys::Keys;
use super::names::Interner;
use super::record::{NEWEST_FORMAT, Record, UnreadableRecord, format_key};
use super::sessions::Sessions;
use crate::domain::audit::Head;
use crate::domain::closed::Closed;
use crate::domain::keyring::KeyProblem;
use crate::domain::revision::{Position, Revision};
use crate::store::{Commit, Contents, Entry, KeyRange, PageLimit, Store, StoreError};

/// Applies the store's commits to the index and the hub.
#[derive(Debug)]
pub struct Feed {
    store: Arc<dyn Store>,
    index: Arc<Index>,
    hub: Arc<Hub>,
    /// Where the audit log ends.
    audit: watch::Sender<Head>,
    /// Told when the store says of other keys that they are active.
    keys: OnceLock<Arc<Keys>>,
    /// Told of fenced commits, and of who works on the store.
    sessions: OnceLock<Arc<Sessions>>,
    /// Whether the store may be closed while it is followed.
    may_close: AtomicBool,
    /// Held while commits are applied: whoever holds it is the one writer.
    turn: Mutex<()>,
}

/// Why the feed can't go on. The process must end: what it would answer is no
/// longer what the store says.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FeedError {
    /// The store can't be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A record can't be read.
    #[error(transparent)]
    Unreadable(#[from] UnreadableRecord),
    /// The store says of a key that it is active which this process has not loaded.
    #[error("the keyring lacks a key that another server has made the active one: {0}")]
    Keyring(#[from] KeyProblem),
    /// Somebody closed the store.
    #[error("the store was exported meanwhile, and is not to be served any more")]
    Closed,
    /// Records are written in a format that is not read here.
    #[error(
        "the store has records of format {found}, and this version of credd reads up to format {NEWEST_FORMAT}: run the version that upgraded it, or a later one"
    )]
    NewerFormat {
        /// The format.
        found: u8,
    },
    /// What fills it has not come to its end.
    #[error(
        "the store is being filled, or that was cut short: let it end, or do it again with the same `credd restore --from` or `credd import --from`"
    )]
    Filling,
    /// Keys are missing from the store, or are not as they were last written.
    #[error(
        "the store is damaged: it should hold {expected} keys, and holds {found}, or other values"
    )]
    Damaged {
        /// How many keys it says it holds.
        expected: u64,
        /// How many it holds.
        found: u64,
    },
    /// Credentials name a version of a profile that is not there.
    #[error("the store is damaged: version {version} of the profile {name} is missing")]
    NoProfile {
        /// The profile.
        name: String,
        /// The version.
        version: u32,
    },
}

/// What a store held when it was loaded.
#[derive(Debug)]
pub struct Loaded {
    /// The feed that goes on from there.
    pub feed: Feed,
    /// How many keys there were.
    pub keys: u64,
}

/// How many keys a loading scan asks for at once.
const SCAN_PAGE: usize = 4096;

/// How many pages are read ahead.
const SCAN_AHEAD: usize = 4;

/// How much of the log is applied at once.
const LOG_PAGE: PageLimit = PageLimit {
    commits: 1024,
    bytes: 4 << 20,
};

impl Feed {
    /// Reads everything in a store into a new index, and starts a hub there.
    ///
    /// # Errors
    ///
    /// [`FeedError`] if the store can't be read, or holds what this version of
    /// credd can't read.
    pub fn load(store: Arc<dyn Store>, ring: RingSize) -> Result<Loaded, FeedError> {
        refuse_half(&*store)?;
        Self::load_any(store, ring)
    }

    /// Whether a store can be loaded that may still be closed because it is being filled.
    ///
    /// # Errors
    ///
    /// Those of [`Self::load`].
    pub fn check_filled(store: Arc<dyn Store>) -> Result<(), FeedError> {
        Self::load_any(store, RingSize::default()).map(drop)
    }

    fn load_any(store: Arc<dyn Store>, ring: RingSize) -> Result<Loaded, FeedError> {
        refuse_newer(&*store)?;
        let index = Arc::new(Index::new());
        let start = store.snapshot()?;
        let mut found = Contents::default();
        let mut audited = LastSeen::default();
        scan(&*store, |entries| {
            audited.see(entries);
            index.apply(Position::START, |writer| {
                for entry in entries {
                    found.add(&entry.key, entry.revision);
                    if LastSeen::is_audit(entry) {
                        continue;
                    }
                    let record = Record::decode(&entry.key, Some(&entry.value), index.names())?;
                    write(writer, record, entry.revision);
                }
                Ok(())
            })
        })?;
        match store.contents()? {
            Some((position, expected)) if position == start && expected != found => {
                return Err(FeedError::Damaged {
                    expected: expected.keys,
                    found: found.keys,
                });
            }
            _ => (),
        }
        index.apply(start, |_| ());
        let (_, restored) = index.read(|index| index.restored());
        let origin = restored.map_or(store.id(), |restored| restored.origin);
        let feed = Self {
            hub: Arc::new(Hub::new(start, ring)),
            audit: watch::Sender::new(audited.head(origin)?),
            index,
            store,
            keys: OnceLock::new(),
            sessions: OnceLock::new(),
            may_close: AtomicBool::new(true),
            turn: Mutex::new(()),
        };
        // What was committed since: a scan alone is fuzzy.
        feed.catch_up(None)?;
        feed.check_format()?;
        let (directory, names) = (feed.index.directory(), feed.index.names());
        if let Some(missing) = directory.missing_profile(names) {
            return Err(FeedError::NoProfile {
                name: missing.family.name.to_string(),
                version: missing.version,
            });
        }
        let keys = found.keys;
        Ok(Loaded { feed, keys })
    }

    /// The index that this feed writes.
    #[must_use]
    pub const fn index(&self) -> &Arc<Index> {
        &self.index
    }

    /// The hub that this feed publishes to.
    #[must_use]
    pub const fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// Where the audit log ends, as of the last commit that was applied, to read and
    /// to wait for.
    #[must_use]
    pub fn audit_head(&self) -> watch::Receiver<Head> {
        self.audit.subscribe()
    }

    /// Says that the store is served from here: if it is closed, this can't go on.
    pub fn serve(&self) {
        self.may_close.store(false, Ordering::Relaxed);
    }

    /// Says whom to tell of active keys; the first who says so is heard.
    pub(super) fn set_keys(&self, keys: Arc<Keys>) {
        let _ = self.keys.set(keys);
    }

    /// Says whom to tell of fenced commits; the first who says so is heard.
    pub(super) fn set_sessions(&self, sessions: Arc<Sessions>) {
        let _ = self.sessions.set(sessions);
    }

    /// Applies commits until that of `revision` is applied, or, if it is `None`,
    /// all that are durable now.
    ///
    /// # Errors
    ///
    /// [`FeedError`] if the log can't be read.
    pub fn catch_up(&self, revision: Option<Revision>) -> Result<(), FeedError> {
        const WAIT: Duration = Duration::from_secs(1);

        let _turn = self.turn.lock();
        loop {
            let applied = self.index.applied().revision;
            if revision.is_some_and(|revision| revision <= applied) {
                return Ok(());
            }
            let wait = revision.map_or(Duration::ZERO, |_| WAIT);
            let changes = self.store.changes(applied, LOG_PAGE, wait)?;
            if changes.commits.is_empty() && revision.is_none() {
                return Ok(());
            }
            for commit in &changes.commits {
                self.apply(commit)?;
            }
        }
    }

    /// Keeps what is applied as it is until what is returned is dropped.
    pub(super) fn hold(&self) -> impl Drop + use<'_> {
        self.turn.lock()
    }

    /// Applies what others commit, for a moment: returns when there was nothing for
    /// `wait`, or when what there was is applied. Blocks.
    ///
    /// # Errors
    ///
    /// [`FeedError`] if the log can't be read.
    pub fn follow(&self, wait: Duration) -> Result<(), FeedError> {
        // Not in turn: whoever commits must not wait for nothing to happen.
        let applied = self.index.applied().revision;
        let changes = self.store.changes(applied, LOG_PAGE, wait)?;
        let Some(last) = changes.commits.last() else {
            return Ok(());
        };
        self.catch_up(Some(last.position.revision))
    }

    fn check_format(&self) -> Result<(), FeedError> {
        match self.index.format() {
            found if found > NEWEST_FORMAT => Err(FeedError::NewerFormat { found }),
            _ => Ok(()),
        }
    }

    fn apply(&self, commit: &Commit) -> Result<(), FeedError> {
        let records = records_of(commit, self.index.names())?;
        let published = Published::new(commit.position, &records);
        let audited = super::audit::head::after(&records)?;
        let has_keys = records
            .iter()
            .any(|record| matches!(record, Record::Keyring(_)));
        let nodes = records.iter().filter_map(|record| match record {
            Record::Node(name, node) => Some((*name, node.clone())),
            _ => None,
        });
        let nodes: Vec<_> = nodes.collect();
        self.index.apply(commit.position, |writer| {
            for record in records {
                write(writer, record, commit.position.revision);
            }
        });
        if let Some(head) = audited {
            let is_later = |before: &mut Head| {
                let later = head.sequence > before.sequence;
                if later {
                    *before = head;
                }
                later
            };
            self.audit.send_if_modified(is_later);
        }
        if let Some(keys) = self.keys.get().filter(|_| has_keys) {
            keys.follow()?;
        }
        if let Some(sessions) = self.sessions.get() {
            // Before anybody is told of it: who asks for a lease then has applied it,
            // or is waited for.
            if published.fenced {
                sessions.raise(commit.position.revision);
            }
            for (name, node) in nodes {
                sessions.seen(name, commit.position.revision, node.as_deref());
            }
        }
        self.hub.publish(published);
        self.check_format()?;
        if self.index.closed().is_some() && !self.may_close.load(Ordering::Relaxed) {
            return Err(FeedError::Closed);
        }
        Ok(())
    }
}

/// Refuses a store that is being filled: what is there may be of no use alone.
fn refuse_half(store: &dyn Store) -> Result<(), FeedError> {
    let filling = Record::Closed(Some(Closed::Filling));
    let (key, value) = (filling.key(), filling.encode());
    let found = store.scan(&KeyRange::prefix(&key), 1)?;
    match found.first() {
        Some(entry) if entry.key == key && Some(&entry.value) == value.as_ref() => {
            Err(FeedError::Filling)
        }
        _ => Ok(()),
    }
}

/// Refuses a store with records that can't be read, before they are.
fn refuse_newer(store: &dyn Store) -> Result<(), FeedError> {
    let key = format_key();
    let found = store.scan(&KeyRange::prefix(&key), 1)?;
    let Some(entry) = found.first().filter(|entry| entry.key == key) else {
        return Ok(());
    };
    match Record::decode(&key, Some(&entry.value), &Interner::new())? {
        Record::Format(found) if found > NEWEST_FORMAT => Err(FeedError::NewerFormat { found }),
        _ => Ok(()),
    }
}

/// Gives every key of a store to `each`, in pages. The next page is read while
/// one is being worked on.
fn scan(
    store: &dyn Store,
    mut each: impl FnMut(&[Entry]) -> Result<(), FeedError>,
) -> Result<(), FeedError> {
    thread::scope(|scope| {
        let (sender, pages) = mpsc::sync_channel(SCAN_AHEAD);
        let read = scope.spawn(move || {
            let mut range = KeyRange::all();
            loop {
                let entries = store.scan(&range, SCAN_PAGE)?;
                let Some(last) = entries.last() else {
                    return Ok(());
                };
                range = range.after(&last.key);
                if sender.send(entries).is_err() {
                    // Nobody wants more: a page could not be worked on.
                    return Ok(());
                }
            }
        });
        let worked = pages.into_iter().try_for_each(|entries| each(&entries));
        let read: Result<(), StoreError> = match read.join() {
            Ok(read) => read,
            Err(panic) => resume_unwind(panic),
        };
        worked.and(read.map_err(FeedError::Store))
    })
}

fn write(writer: &mut Writer<'_>, record: Record, revision: Revision) {
    let (directory, names) = (writer.directory(), writer.names());
    match record {
        Record::Credential(_, Some(credential)) => writer.put(&credential, revision),
        Record::Credential(id, None) => writer.forget(id),
        Record::Uses(id, uses) => writer.set_uses(id, uses),
        Record::Tenant(tenant, record) => directory.put_tenant(&tenant, record, revision, names),
        Record::Owner(owner, record) => directory.put_owner(&owner, record, revision, names),
        Record::Role(role, record) => directory.put_role(&role, record, revision, names),
        Record::Profile(reference, record) => {
            directory.put_profile(&reference, record, revision, names);
        }
        Record::Binding(binding, record) => {
            directory.put_binding(&binding, record, revision, names);
        }
        Record::Request(name, record) => writer.set_request(name, record, revision),
        Record::Keyring(state) => writer.set_keyring(state, revision),
        Record::Node(name, node) => writer.set_node(name, node, revision),
        Record::Restored(restored) => writer.set_restored(restored, revision),
        Record::Closed(closed) => writer.set_closed(closed, revision),
        Record::Format(format) => writer.set_format(format),
        Record::Rekeyed(id, Some(rekeyed)) => writer.set_rekeyed(id, &rekeyed, revision),
        // The first is deleted with the record that has it in itself, and the index has
        // no part in what is told of changes.
        Record::Rekeyed(_, None) | Record::Audit(..) | Record::Fence => (),
    }
}
