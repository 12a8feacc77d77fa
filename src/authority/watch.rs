//! One subscriber's way through the history.
//!
//! A subscription is asked for its next message and works it out from its
//! position and what the hub and the log hold then. Between two messages it
//! holds at most a page of commits; it is never handed anything.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt as _;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::directory::{OwnerNumber, TenantNumber};
use super::entry::Entry;
use super::hub::{Event, Hub, LogError, LogReader, Next, Published};
use super::index::{Denied, Index};
use crate::domain::id::CredentialId;
use crate::domain::revision::{Position, StoreId};
use crate::domain::rights::Tenants;
use crate::store::StoreError;

/// What a subscriber asks for.
#[derive(Clone, Debug)]
pub struct WatchRequest {
    /// Where it stands; `None`: nowhere yet.
    pub resume: Option<ResumePoint>,
    /// Whether it wants all that is denied, where continuity does not begin or
    /// is lost.
    pub snapshot: bool,
    /// Whose changes it wants.
    pub tenants: Tenants,
    /// How long it may be told nothing.
    pub heartbeat: Duration,
}

/// A position in the history of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResumePoint {
    /// The store.
    pub store: StoreId,
    /// The position.
    pub position: Position,
}

/// A message to a subscriber.
#[derive(Clone, Debug)]
pub struct Message {
    /// What the subscriber has when it has this message.
    pub position: Position,
    /// Whether it may take up the stream here: not within a snapshot.
    pub resumable: bool,
    /// Whether somebody waits until it has applied this.
    pub fenced: bool,
    /// What it says.
    pub body: Body,
}

/// What a message says.
#[derive(Clone, Debug)]
pub enum Body {
    /// These changes, of one commit.
    Events(Vec<Event>),
    /// Nothing more up to here.
    Bookmark,
    /// Continuity is lost.
    Reset(ResetReason),
    /// A part of what is denied.
    Snapshot {
        /// Locked and revoked credentials.
        denied: Vec<Arc<Entry>>,
        /// Disabled owners.
        owners: Vec<OwnerNumber>,
        /// Disabled tenants.
        tenants: Vec<TenantNumber>,
        /// Whether this is the last part.
        complete: bool,
    },
}

/// Why continuity is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetReason {
    /// The position is in another store.
    OtherStore,
    /// The log no longer reaches back that far.
    Compacted,
    /// The store has another history there.
    OtherHistory,
}

/// How many commits a subscription takes from the ring at once.
const TAKE: usize = 64;

/// How many credentials a part of a snapshot has at most.
const SNAPSHOT_PART: usize = 500;

/// A subscriber's position, and what it has taken but not been told yet.
#[derive(Debug)]
pub struct Subscription {
    index: Arc<Index>,
    hub: Arc<Hub>,
    log: Arc<LogReader>,
    reached: watch::Receiver<Position>,
    tenants: Tenants,
    wants_snapshot: bool,
    heartbeat: Duration,
    next_heartbeat: Instant,
    /// Up to where commits were told or filtered out; `taken` comes after it.
    position: Position,
    /// Up to where the subscriber knows that it has everything.
    told: Position,
    taken: VecDeque<Arc<Published>>,
    /// What to say before anything else.
    opening: VecDeque<Body>,
    snapshot: Option<Snapshot>,
}

/// How long a subscriber waits that comes from a server that has come further.
const REACHED_WITHIN: Duration = Duration::from_secs(5);

/// What of a snapshot was not told yet.
#[derive(Debug)]
struct Snapshot {
    tenants: Vec<TenantNumber>,
    owners: Vec<OwnerNumber>,
    credentials: Denied,
    /// The credential that was looked at last.
    after: CredentialId,
    /// Those of the next part that were found so far.
    denied: Vec<Arc<Entry>>,
}

impl Subscription {
    /// Starts a subscription: at the position asked for, if the history leads
    /// there.
    ///
    /// # Errors
    ///
    /// [`LogError`] if the log can't be read.
    pub async fn start(
        index: Arc<Index>,
        hub: Arc<Hub>,
        log: Arc<LogReader>,
        store: StoreId,
        request: WatchRequest,
    ) -> Result<Self, LogError> {
        let mut subscription = Self {
            reached: hub.reached(),
            position: Position::START,
            told: Position::START,
            tenants: request.tenants,
            wants_snapshot: request.snapshot,
            heartbeat: request.heartbeat,
            next_heartbeat: Instant::now() + request.heartbeat,
            taken: VecDeque::new(),
            opening: VecDeque::new(),
            snapshot: None,
            index,
            hub,
            log,
        };
        match request.resume {
            None => subscription.begin_now(None),
            Some(point) if point.store != store => {
                subscription.begin_now(Some(ResetReason::OtherStore));
            }
            Some(point) => subscription.take_up(point.position).await?,
        }
        Ok(subscription)
    }

    /// The next message; waits until there is one, at most for a heartbeat.
    ///
    /// Dropping the future loses nothing: the same message comes the next time.
    ///
    /// # Errors
    ///
    /// [`LogError`] if the log can't be read.
    pub async fn next(&mut self) -> Result<Message, LogError> {
        let message = loop {
            if let Some(message) = self.ready() {
                break message;
            }
            if self.snapshot.is_some() {
                tokio::task::yield_now().await;
                continue;
            }
            // Among commits that the filter drops, however many.
            if Instant::now() >= self.next_heartbeat {
                break self.bookmark();
            }
            // Before the ring is read, so that a commit after it wakes us.
            self.reached.mark_unchanged();
            match self.hub.after(self.position.revision, TAKE) {
                Next::Commits(commits) => self.taken.extend(commits),
                Next::Behind => self.read_log().await?,
                Next::UpToDate if self.told.revision < self.position.revision => {
                    break self.bookmark();
                }
                Next::UpToDate => tokio::select! {
                    _ = self.reached.changed() => (),
                    () = sleep_until(self.next_heartbeat) => break self.bookmark(),
                },
            }
        };
        self.next_heartbeat = Instant::now() + jittered(self.heartbeat);
        Ok(message)
    }

    /// Up to where everything was told or filtered out.
    #[must_use]
    pub const fn position(&self) -> Position {
        self.position
    }

    /// Whose changes it tells of.
    #[must_use]
    pub const fn tenants(&self) -> &Tenants {
        &self.tenants
    }

    /// A message for which nothing has to be waited for.
    fn ready(&mut self) -> Option<Message> {
        if let Some(body) = self.opening.pop_front() {
            let resumable = self.snapshot.is_none();
            return Some(self.message(body, resumable));
        }
        if self.snapshot.is_some() {
            return self.snapshot_part();
        }
        while let Some(commit) = self.taken.pop_front() {
            self.position = commit.position;
            let events: Vec<_> = commit
                .events
                .iter()
                .filter(|event| {
                    // What concerns all tenants concerns these.
                    let tenant = event.tenant();
                    tenant.is_none_or(|tenant| self.tenants.has(tenant.as_str()))
                })
                .cloned()
                .collect();
            if !events.is_empty() || commit.fenced {
                self.told = self.position;
                let body = if events.is_empty() {
                    Body::Bookmark
                } else {
                    Body::Events(events)
                };
                return Some(Message {
                    fenced: commit.fenced,
                    ..self.message(body, true)
                });
            }
        }
        None
    }

    fn message(&self, body: Body, resumable: bool) -> Message {
        Message {
            position: self.position,
            resumable,
            fenced: false,
            body,
        }
    }

    fn bookmark(&mut self) -> Message {
        self.told = self.position;
        self.message(Body::Bookmark, true)
    }

    /// Begins with what is true now, without continuity.
    fn begin_now(&mut self, reset: Option<ResetReason>) {
        let index = Arc::clone(&self.index);
        let (_, (position, snapshot)) = index.read(|index| {
            let snapshot = self.wants_snapshot.then(|| Snapshot {
                tenants: index.directory().disabled_tenants(),
                owners: index.directory().disabled_owners(),
                credentials: index.denied(),
                after: CredentialId::MIN,
                denied: Vec::new(),
            });
            (index.position(), snapshot)
        });
        self.position = position;
        self.told = position;
        self.taken.clear();
        self.opening.extend(reset.map(Body::Reset));
        self.snapshot = snapshot;
        if let Some(snapshot) = &mut self.snapshot {
            let (directory, names) = (index.directory(), index.names());
            let includes = |tenant| self.tenants.has(directory.tenant_name(tenant, names));
            snapshot.tenants.retain(|tenant| includes(*tenant));
            let of = |owner: &OwnerNumber| directory.tenant_of(*owner);
            snapshot.owners.retain(|owner| includes(of(owner)));
        }
        if self.snapshot.is_none() && reset.is_none() {
            self.opening.push_back(Body::Bookmark);
        }
    }

    /// Takes up the stream at a position of this store, if its history leads
    /// there.
    async fn take_up(&mut self, position: Position) -> Result<(), LogError> {
        match self.log.page(position.revision).await {
            Ok(page) if page.from == position => {
                // What another server has told of may not have come here yet.
                let mut reached = self.hub.reached();
                let reached = reached.wait_for(|at| at.revision >= position.revision);
                let reached = tokio::time::timeout(REACHED_WITHIN, reached).await;
                if !matches!(reached, Ok(Ok(_))) {
                    return Err(LogError::Behind);
                }
                self.position = position;
                self.told = position;
                self.taken = self.applied(page.commits);
                self.opening.push_back(Body::Bookmark);
            }
            Ok(_) | Err(LogError::Store(StoreError::Ahead { .. })) => {
                self.begin_now(Some(ResetReason::OtherHistory));
            }
            Err(LogError::Store(StoreError::Compacted { .. })) => {
                self.begin_now(Some(ResetReason::Compacted));
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    async fn read_log(&mut self) -> Result<(), LogError> {
        match self.log.page(self.position.revision).await {
            Ok(page) => self.taken = self.applied(page.commits),
            Err(LogError::Store(StoreError::Compacted { .. })) => {
                self.begin_now(Some(ResetReason::Compacted));
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Those that the feed has applied: the log may be ahead of it, and nobody
    /// is told of a change that verdicts do not know yet.
    fn applied(&self, mut commits: VecDeque<Arc<Published>>) -> VecDeque<Arc<Published>> {
        let reached = self.hub.reached().borrow().revision;
        commits.retain(|commit| commit.position.revision <= reached);
        commits
    }

    /// The next part of a snapshot; `None`: it is not full, and there is more to look
    /// at. How many parts there are does not show what is denied of other tenants.
    fn snapshot_part(&mut self) -> Option<Message> {
        use std::ops::Bound::{Excluded, Unbounded};

        let (directory, names) = (self.index.directory(), self.index.names());
        let includes = |tenant| self.tenants.has(directory.tenant_name(tenant, names));
        let snapshot = self.snapshot.as_mut()?;
        let mut complete = true;
        let rest = (Excluded(snapshot.after), Unbounded);
        for (examined, (id, entry)) in snapshot.credentials.range(rest).enumerate() {
            if examined == SNAPSHOT_PART {
                return None;
            }
            if includes(entry.tenant()) {
                if snapshot.denied.len() == SNAPSHOT_PART {
                    complete = false;
                    break;
                }
                snapshot.denied.push(Arc::clone(entry));
            }
            snapshot.after = *id;
        }
        let denied = std::mem::take(&mut snapshot.denied);
        let tenants = std::mem::take(&mut snapshot.tenants);
        let many = snapshot.owners.len().saturating_sub(SNAPSHOT_PART);
        let owners = snapshot.owners.split_off(many);
        complete &= snapshot.owners.is_empty();
        if complete {
            self.snapshot = None;
        }
        let body = Body::Snapshot {
            denied,
            owners,
            tenants,
            complete,
        };
        Some(self.message(body, complete))
    }
}

/// Up to a tenth shorter, so that many subscribers do not beat in time.
fn jittered(period: Duration) -> Duration {
    period.mul_f64(1.0 - rand::rng().random_range(0.0..0.1))
}
