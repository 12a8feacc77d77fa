//! What was committed, for those who follow it.
//!
//! The hub keeps the latest commits in a ring that all subscriptions share, and
//! wakes them when there is another. It holds nothing for a subscriber: each
//! knows its own position and takes what comes after it at its own pace, so
//! that a writer never waits for a reader. A reader that has fallen behind the
//! ring reads the store's log instead, through a [`LogReader`] that lets only a
//! few do so at a time.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use tokio::sync::{Semaphore, watch};

use super::background;
use super::index::Index;
use super::names::Interner;
use super::record::{Record, UnreadableRecord};
use crate::domain::credential::{Action, Credential, State};
use crate::domain::directory::{
    OwnerRecord, OwnerRef, ProfileRecord, RoleRecord, RoleRef, TenantRecord,
};
use crate::domain::id::CredentialId;
use crate::domain::names::{Owner, Tenant};
use crate::domain::profile::{ProfileRef, Scope};
use crate::domain::revision::{Position, Revision};
use crate::domain::time::Timestamp;
use crate::domain::token::Generation;
use crate::store::{Commit, PageLimit, Store, StoreError};

/// A commit, as subscribers see it.
#[derive(Debug, PartialEq, Eq)]
pub struct Published {
    /// Where it stands.
    pub position: Position,
    /// What it changed that concerns subscribers; may be nothing.
    pub events: Box<[Event]>,
    /// Whether somebody waits until subscribers have applied it.
    pub fenced: bool,
}

/// A change, named by what it touches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A credential.
    Credential(CredentialEvent),
    /// A tenant.
    Tenant(Tenant, Arc<TenantRecord>),
    /// An owner.
    Owner(OwnerRef, Arc<OwnerRecord>),
    /// A role.
    Role(RoleRef, Arc<RoleRecord>),
    /// A version of a profile.
    Profile(ProfileRef, Arc<ProfileRecord>),
}

/// A change to a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialEvent {
    /// The credential.
    pub id: CredentialId,
    /// Its tenant.
    pub tenant: Tenant,
    /// Its owner.
    pub owner: Owner,
    /// What was done.
    pub action: Action,
    /// The state that it is in since.
    pub state: State,
    /// The number of its current secret.
    pub generation: Generation,
    /// Until when the secret before it is good too.
    pub overlap_ends_at: Option<Timestamp>,
    /// When it was done.
    pub at: Timestamp,
}

impl Event {
    /// The tenant of what it touches; `None`: it concerns all.
    #[must_use]
    pub const fn tenant(&self) -> Option<&Tenant> {
        match self {
            Self::Credential(event) => Some(&event.tenant),
            Self::Tenant(tenant, _) => Some(tenant),
            Self::Owner(owner, _) => Some(&owner.tenant),
            Self::Role(role, _) => Some(&role.tenant),
            Self::Profile(profile, _) => match &profile.family.scope {
                Scope::All => None,
                Scope::Tenant(tenant) => Some(tenant),
            },
        }
    }

    fn of(record: &Record) -> Option<Self> {
        match record {
            Record::Credential(_, Some(credential)) => {
                Some(Self::Credential(credential_event(credential)))
            }
            Record::Tenant(tenant, Some(record)) => {
                Some(Self::Tenant(tenant.clone(), Arc::clone(record)))
            }
            Record::Owner(owner, Some(record)) => {
                Some(Self::Owner(owner.clone(), Arc::clone(record)))
            }
            Record::Role(role, Some(record)) => Some(Self::Role(role.clone(), Arc::clone(record))),
            Record::Profile(profile, Some(record)) => {
                Some(Self::Profile(profile.clone(), Arc::clone(record)))
            }
            Record::Credential(_, None)
            | Record::Tenant(_, None)
            | Record::Owner(_, None)
            | Record::Role(_, None)
            | Record::Profile(_, None)
            | Record::Binding(..)
            | Record::Uses(..)
            | Record::Request(..)
            | Record::Keyring(_)
            | Record::Restored(_)
            | Record::Closed(_)
            | Record::Format(_)
            | Record::Rekeyed(..)
            | Record::Audit(..)
            | Record::Node(..)
            | Record::Fence => None,
        }
    }
}

impl Published {
    /// What subscribers see of a commit that wrote these records.
    #[must_use]
    pub fn new(position: Position, records: &[Record]) -> Self {
        let events = records.iter().filter_map(Event::of);
        Self {
            position,
            events: events.collect(),
            fenced: records.contains(&Record::Fence),
        }
    }
}

fn credential_event(credential: &Credential) -> CredentialEvent {
    CredentialEvent {
        id: credential.id,
        tenant: credential.tenant.clone(),
        owner: credential.owner.clone(),
        action: credential.last_change.action,
        state: credential.standing(),
        generation: credential.secret.generation,
        overlap_ends_at: credential.overlap.as_ref().map(|overlap| overlap.ends_at),
        at: credential.last_change.at,
    }
}

/// Reads the records that a commit wrote.
///
/// # Errors
///
/// [`UnreadableRecord`] for what this version of credd can't have written.
pub fn records_of(commit: &Commit, names: &Interner) -> Result<Vec<Record>, UnreadableRecord> {
    commit
        .writes
        .iter()
        .map(|write| Record::decode(&write.key, write.value.as_ref(), names))
        .collect()
}

/// How many commits and events the ring holds at most.
#[derive(Clone, Copy, Debug)]
pub struct RingSize {
    /// Commits.
    pub commits: usize,
    /// Events in all of them.
    pub events: usize,
}

impl Default for RingSize {
    /// 4,096 commits with 65,536 events: at about 150 bytes each, 10 MB.
    fn default() -> Self {
        Self {
            commits: 4096,
            events: 65_536,
        }
    }
}

/// The latest commits, and a bell.
#[derive(Debug)]
pub struct Hub {
    size: RingSize,
    ring: RwLock<Ring>,
    reached: watch::Sender<Position>,
}

#[derive(Debug)]
struct Ring {
    /// The revision before the first commit of the ring.
    floor: Revision,
    commits: VecDeque<Arc<Published>>,
    events: usize,
}

/// What the ring has for a reader at some position.
#[derive(Debug)]
pub enum Next {
    /// The commits that follow.
    Commits(Vec<Arc<Published>>),
    /// Nothing yet.
    UpToDate,
    /// The ring no longer reaches back that far: read the log.
    Behind,
}

impl Hub {
    /// A hub whose readers start at `position` or later.
    #[must_use]
    pub fn new(position: Position, size: RingSize) -> Self {
        Self {
            size,
            ring: RwLock::new(Ring {
                floor: position.revision,
                commits: VecDeque::new(),
                events: 0,
            }),
            reached: watch::Sender::new(position),
        }
    }

    /// Adds a commit and wakes whoever waits; only the feed does.
    pub(super) fn publish(&self, published: Published) {
        let position = published.position;
        {
            let mut ring = self.ring.write();
            ring.events += published.events.len();
            ring.commits.push_back(Arc::new(published));
            while ring.commits.len() > self.size.commits || ring.events > self.size.events {
                let Some(oldest) = ring.commits.pop_front() else {
                    break;
                };
                ring.events -= oldest.events.len();
                ring.floor = oldest.position.revision;
            }
        }
        self.reached.send_replace(position);
    }

    /// Up to `limit` commits after a revision, and no more once they have that
    /// many events: a reader holds them while its own reader is slow.
    #[must_use]
    pub fn after(&self, revision: Revision, limit: usize) -> Next {
        let ring = self.ring.read();
        if revision < ring.floor {
            return Next::Behind;
        }
        let from = ring
            .commits
            .partition_point(|commit| commit.position.revision <= revision);
        let mut events = 0;
        let commits: Vec<_> = ring
            .commits
            .range(from..)
            .take(limit)
            .take_while(|commit| {
                let has_room = events < limit;
                events += commit.events.len();
                has_room
            })
            .cloned()
            .collect();
        if commits.is_empty() {
            Next::UpToDate
        } else {
            Next::Commits(commits)
        }
    }

    /// The position of the latest commit, to read and to wait for.
    #[must_use]
    pub fn reached(&self) -> watch::Receiver<Position> {
        self.reached.subscribe()
    }
}

/// Reads the log for subscribers that have fallen behind: a few at a time, a
/// small page each.
#[derive(Debug)]
pub struct LogReader {
    store: Arc<dyn Store>,
    index: Arc<Index>,
    turns: Arc<Semaphore>,
}

/// How many may read the log at the same time.
const READERS: usize = 4;

/// What a laggard gets at once: what it holds while its own reader is slow.
const PAGE: PageLimit = PageLimit {
    commits: 64,
    bytes: 32 * 1024,
};

/// A page of the log.
#[derive(Debug)]
pub struct LogPage {
    /// The position of the revision that was asked for.
    pub from: Position,
    /// The commits after it; none if it is the last.
    pub commits: VecDeque<Arc<Published>>,
}

/// Why the log can't be read from some revision on.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LogError {
    /// The store's reason.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A record of the log can't be read.
    #[error(transparent)]
    Unreadable(#[from] UnreadableRecord),
    /// The process has not come so far yet.
    #[error("the process has not reached that revision")]
    Behind,
    /// The process is stopping.
    #[error("the process is stopping")]
    Stopping,
}

impl LogReader {
    /// A reader of this store's log, which shares the names of the index.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, index: Arc<Index>) -> Self {
        Self {
            store,
            index,
            turns: Arc::new(Semaphore::new(READERS)),
        }
    }

    /// The commits that follow a revision.
    ///
    /// # Errors
    ///
    /// [`LogError`]; of the store's, those of [`Store::changes`].
    pub async fn page(&self, after: Revision) -> Result<LogPage, LogError> {
        let (store, index) = (Arc::clone(&self.store), Arc::clone(&self.index));
        let turns = Arc::clone(&self.turns);
        let read = move || {
            let changes = store.changes(after, PAGE, Duration::ZERO)?;
            let commits = changes.commits.iter().map(|commit| {
                let records = records_of(commit, index.names())?;
                Ok(Arc::new(Published::new(commit.position, &records)))
            });
            Ok(LogPage {
                from: changes.from,
                commits: commits.collect::<Result<_, UnreadableRecord>>()?,
            })
        };
        // A task of its own: while a subscriber's connection is blocked, nobody
        // polls its subscription, which must not keep a turn meanwhile.
        let page = tokio::spawn(async move {
            let _turn = turns.acquire().await.map_err(|_| LogError::Stopping)?;
            let page = background::work(read).await;
            page.map_err(|_| LogError::Stopping)?
        });
        page.await.map_err(|_| LogError::Stopping)?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::revision::ChainHash;

    fn position(revision: u64) -> Position {
        Position {
            revision: Revision::new(revision),
            chain: ChainHash::default(),
        }
    }

    fn published(revision: u64) -> Published {
        Published::new(position(revision), &[])
    }

    fn revisions(next: Next) -> Vec<u64> {
        match next {
            Next::Commits(commits) => commits
                .iter()
                .map(|commit| commit.position.revision.number())
                .collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_ring_gives_what_follows_a_revision_or_says_that_it_cannot() {
        let size = RingSize {
            commits: 3,
            events: 100,
        };
        let hub = Hub::new(position(5), size);
        assert!(matches!(hub.after(Revision::new(5), 9), Next::UpToDate));
        assert!(matches!(hub.after(Revision::new(4), 9), Next::Behind));
        // Revisions may have gaps.
        for revision in [6, 8, 9] {
            hub.publish(published(revision));
        }
        assert_eq!(revisions(hub.after(Revision::new(5), 9)), [6, 8, 9]);
        assert_eq!(revisions(hub.after(Revision::new(7), 9)), [8, 9]);
        assert_eq!(revisions(hub.after(Revision::new(5), 2)), [6, 8]);
        hub.publish(published(12));
        assert!(matches!(hub.after(Revision::new(5), 9), Next::Behind));
        assert_eq!(revisions(hub.after(Revision::new(6), 9)), [8, 9, 12]);
        assert_eq!(hub.reached().borrow().revision, Revision::new(12));
    }
}
