//! The service itself, without the wire: what [`Authority`] offers is what the
//! RPCs are made of.
//!
//! ```text
//! caller -> command (pure) -> committer (one writer, group commit) -> store
//!                                                                      | feed, durable commits only
//!                                         index <- apply <-------------+-> hub -> subscriptions
//! caller <- answer, once the feed has applied the revision
//! ```

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::{CancellationToken, DropGuard};

use crate::domain::keyring::Keyring;
use crate::domain::random::{Random, RandomUnavailable};
use crate::domain::revision::{Position, StoreId};
use crate::domain::time::{Clock, Timestamp};
use crate::store::{Store, Vitals};

pub mod audit;
pub mod background;
pub mod backup;
pub mod caller;
pub mod command;
pub mod committer;
pub mod directory;
pub mod entry;
pub mod feed;
pub mod follower;
pub mod freshness;
pub mod heart;
pub mod hub;
pub mod impact;
pub mod index;
pub mod key_use;
pub mod keys;
pub mod leak;
pub mod list;
pub mod listing;
pub mod manage;
pub mod names;
mod overlay;
pub mod record;
pub mod rekey;
pub mod reseal;
pub mod restoring;
pub mod retention;
pub mod sessions;
pub mod sweep;
pub mod table;
pub mod uses;
pub mod verify;
pub mod watch;

use audit::{Audit, AuditWriter};
use backup::Backups;
use command::Quotas;
use committer::{Commands, CommitCounts, Committer};
use feed::Feed;
use follower::Follower;
use freshness::Freshness;
use heart::Heart;
use hub::{Hub, LogError, LogReader};
use index::Index;
use keys::Keys;
use rekey::{RekeyWriter, Rekeys};
use sessions::{LeaseSettings, Sessions};
use uses::{Pace, UseWriter, Uses};
use watch::{Subscription, WatchRequest};

/// The longest time for which anybody may keep an answer.
pub const VALID_FOR: Duration = Duration::from_mins(1);

/// Issues, changes, shows and judges credentials.
#[derive(Debug)]
pub struct Authority {
    store: StoreId,
    engine: Arc<dyn Store>,
    index: Arc<Index>,
    hub: Arc<Hub>,
    log: Arc<LogReader>,
    backups: Backups,
    commands: Commands,
    uses: Uses,
    audit: Audit,
    rekeys: Rekeys,
    keys: Arc<Keys>,
    sessions: Arc<Sessions>,
    /// Whether other processes commit to the store too.
    is_shared: bool,
    freshness: Freshness,
    /// Ends the heart and the follower with the authority.
    _beating: DropGuard,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    started_at: Timestamp,
}

/// What must run for an [`Authority`] to do its work. Each ends when the
/// authority and the others are gone, or when it can't go on.
#[derive(Debug)]
pub struct Workers {
    /// To be run on a thread of its own.
    pub committer: Committer,
    /// To be run as a task.
    pub uses: UseWriter,
    /// To be run as a task.
    pub audit: AuditWriter,
    /// To be run as a task.
    pub rekeys: RekeyWriter,
    /// To be run as a task.
    pub heart: Heart,
    /// To be run on a thread of its own.
    pub follower: Follower,
}

/// What an authority works with.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The store.
    pub store: Arc<dyn Store>,
    /// The feed that has loaded it.
    pub feed: Arc<Feed>,
    /// The keys.
    pub keyring: Arc<Keyring>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The source of secrets.
    pub random: Arc<dyn Random>,
    /// How many credentials there may be.
    pub quotas: Quotas,
    /// What leases are measured by.
    pub leases: LeaseSettings,
}

impl Authority {
    /// An authority, and what must run for it.
    ///
    /// # Errors
    ///
    /// [`RandomUnavailable`]: there is no name for the process.
    pub fn new(parts: Parts) -> Result<(Self, Workers), RandomUnavailable> {
        let Parts {
            store,
            feed,
            keyring,
            clock,
            random,
            quotas,
            leases,
        } = parts;
        let (loaded, nodes) = feed.index().read(|index| index.nodes());
        let sessions = Arc::new(Sessions::new(leases, loaded, &*random)?);
        for (name, (node, at)) in nodes {
            sessions.seen(name, at, Some(&node));
        }
        feed.set_sessions(Arc::clone(&sessions));
        let keys = Arc::new(Keys::new(keyring, Arc::clone(feed.index())));
        feed.set_keys(Arc::clone(&keys));
        let (commands, committer) = Committer::new(
            Arc::clone(&store),
            Arc::clone(&feed),
            Arc::clone(&keys),
            Arc::clone(&sessions),
            Arc::clone(&clock),
            Arc::clone(&random),
            quotas,
        );
        let pace = store.is_shared().then_some(Pace::STATED);
        let (uses, use_writer) = Uses::new(commands.clone(), Arc::clone(feed.index()), pace);
        let (rekeys, rekey_writer) = Rekeys::new(commands.clone());
        let (audit, audit_writer) = Audit::new(
            Arc::clone(&store),
            feed.audit_head(),
            commands.clone(),
            Arc::clone(&keys),
            Arc::clone(&clock),
        );
        let beating = CancellationToken::new();
        let started_at = clock.now();
        let heart = Heart {
            commands: commands.clone(),
            sessions: Arc::clone(&sessions),
            keys: Arc::clone(&keys),
            started_at,
            ending: beating.clone(),
        };
        let follower = Follower {
            feed: Arc::clone(&feed),
            is_shared: store.is_shared(),
            ending: beating.clone(),
        };
        let authority = Self {
            store: store.id(),
            engine: Arc::clone(&store),
            is_shared: store.is_shared(),
            freshness: Freshness::new(Arc::clone(&feed), Arc::clone(&store)),
            index: Arc::clone(feed.index()),
            hub: Arc::clone(feed.hub()),
            log: Arc::new(LogReader::new(Arc::clone(&store), Arc::clone(feed.index()))),
            backups: Backups::new(store),
            commands,
            uses,
            audit,
            rekeys,
            keys,
            sessions,
            _beating: beating.drop_guard(),
            started_at,
            clock,
            random,
        };
        let workers = Workers {
            committer,
            uses: use_writer,
            audit: audit_writer,
            rekeys: rekey_writer,
            heart,
            follower,
        };
        Ok((authority, workers))
    }

    /// The identity of the store that it works on.
    #[must_use]
    pub const fn store(&self) -> StoreId {
        self.store
    }

    /// Every credential, and the directory.
    #[must_use]
    pub const fn index(&self) -> &Arc<Index> {
        &self.index
    }

    /// The audit log.
    #[must_use]
    pub const fn audit(&self) -> &Audit {
        &self.audit
    }

    /// The keys.
    #[must_use]
    pub const fn keys(&self) -> &Arc<Keys> {
        &self.keys
    }

    /// What was committed.
    #[must_use]
    pub fn commits(&self) -> &CommitCounts {
        self.commands.counts()
    }

    /// How the store is doing. Blocks for a moment.
    #[must_use]
    pub fn vitals(&self) -> Vitals {
        self.engine.vitals()
    }

    /// Who follows it.
    #[must_use]
    pub const fn sessions(&self) -> &Arc<Sessions> {
        &self.sessions
    }

    /// Whether what nobody asks for is done here: of the processes that work on the
    /// store, the one does it that has done so for the longest. Two may do it for a
    /// moment, which does no harm: whatever is done is decided when it is committed.
    #[must_use]
    pub fn leads(&self) -> bool {
        if !self.is_shared {
            return true;
        }
        let (_, nodes) = self.index.read(|index| index.nodes());
        let first = nodes
            .iter()
            .min_by_key(|(name, (node, _))| (node.started_at, **name));
        first.is_some_and(|(name, _)| *name == self.sessions.incarnation())
    }

    /// What tells whether all that was acknowledged anywhere is applied here.
    #[must_use]
    pub const fn freshness(&self) -> &Freshness {
        &self.freshness
    }

    /// When it began.
    #[must_use]
    pub const fn started_at(&self) -> Timestamp {
        self.started_at
    }

    /// The source of nonces and secrets.
    #[must_use]
    pub fn random(&self) -> &dyn Random {
        &*self.random
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The position of the latest commit, to read and to wait for.
    #[must_use]
    pub fn reached(&self) -> tokio::sync::watch::Receiver<Position> {
        self.hub.reached()
    }

    /// Starts to follow what changes.
    ///
    /// # Errors
    ///
    /// [`LogError`] if the log can't be read.
    pub async fn watch(&self, request: WatchRequest) -> Result<Subscription, LogError> {
        Subscription::start(
            Arc::clone(&self.index),
            Arc::clone(&self.hub),
            Arc::clone(&self.log),
            self.store,
            request,
        )
        .await
    }
}
