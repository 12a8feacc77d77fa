//! Sessions: who follows and answers from what it keeps, for how long it may, and the
//! wait until all of them have applied a change.
//!
//! The machine is [`crate::domain::lease::Grantor`]; here it gets its clock, its lock
//! and a bell. A session is a name that outlives its connections: it is forgotten when
//! it has neither a connection nor a lease.
//!
//! The process itself holds a lease, on the store: each of its heartbeats, a commit that
//! writes its record, renews it, from when the commit was begun. A process that can't
//! commit, because the volume was moved to another one, the disk hangs or etcd can't be
//! reached, says yes no longer, and no lease that it grants outlives its own.
//!
//! Other processes that answer from the same store, and one before this one, are seen by
//! their records: [`Peers`]. A fence waits for them too.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use foldhash::fast::RandomState;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::sleep;

use super::record::{Incarnation, NEWEST_FORMAT, Node};
use crate::domain::keyring::KeyChecks;
use crate::domain::lease::{
    BootClock, BootTime, Drift, Grantor, Peers, Sequence, SystemBootClock, Tenure,
};
use crate::domain::names::Principal;
use crate::domain::random::{self, Random, RandomUnavailable};
use crate::domain::revision::Revision;
use crate::domain::time::Timestamp;

mod fence;

pub use fence::{FenceAt, FenceEnds, FenceOpen};

/// What leases are measured by.
#[derive(Clone, Debug)]
pub struct LeaseSettings {
    /// The clock.
    pub clock: Arc<dyn BootClock>,
    /// How long a lease is.
    pub length: Duration,
}

/// How long a lease is where nothing else is said.
pub const LEASE: Duration = Duration::from_secs(10);

impl Default for LeaseSettings {
    /// By the machine's clock, [`LEASE`] long.
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemBootClock),
            length: LEASE,
        }
    }
}

/// The most sessions at once; a further one gets no lease while there are so many.
const MOST: usize = 65_536;
/// The most of one caller: nobody takes the leases of all others away.
const SHARE: usize = MOST / 2;
/// How often it is looked for sessions that are over, where there may be none: who
/// comes when there is no room is not to cost more than who finds some.
const CLEAN_EVERY: Duration = Duration::from_secs(1);
/// Below how many sessions it is not looked for those that are over.
const FEW: usize = 1024;

/// The name of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId([u8; 16]);

/// All sessions of one process.
#[derive(Debug)]
pub struct Sessions {
    incarnation: Incarnation,
    settings: LeaseSettings,
    /// When the lease of the process ends, in nanoseconds of its clock; 0: it has
    /// none. Where asking takes no lock.
    own_end: AtomicU64,
    state: Mutex<State>,
    /// Rung when the lease of the process begins, when what all sessions have
    /// acknowledged has risen, and when a peer was seen that has come further; where
    /// there are peers, also when they wait for more.
    bell: watch::Sender<()>,
    times: fence::Times,
    ends: FenceEnds,
}

#[derive(Debug)]
struct State {
    grantor: Grantor<SessionId>,
    known: HashMap<SessionId, Known, RandomState>,
    /// How many of them are whose.
    of_callers: HashMap<Principal, usize, RandomState>,
    cleaned_at: BootTime,
    /// At how many known sessions it is looked for those that are over.
    clean_at: usize,
    tenure: Tenure,
    peers: Peers<Incarnation>,
    /// Which fenced changes the store says are settled here.
    told: Revision,
}

#[derive(Debug)]
struct Known {
    caller: Principal,
    connections: u32,
}

/// How sessions stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// How long a lease is.
    pub length: Duration,
    /// How many sessions have leases.
    pub leases: usize,
    /// How many of them have not applied the latest fenced change.
    pub behind: usize,
    /// The callers of some of those.
    pub behind_callers: Vec<Principal>,
    /// How many other processes work on the store, or did within a lease.
    pub peers: usize,
}

/// What a renewal came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Renewed {
    /// The lease that the session gets.
    pub lease: Option<Duration>,
    /// Whether others have not applied the latest fenced change: a fence may wait for
    /// what they say.
    pub others_behind: bool,
}

/// A connection of a session.
#[derive(Debug)]
pub struct Session {
    sessions: Arc<Sessions>,
    id: SessionId,
}

impl Sessions {
    /// Those of a process that has loaded a revision.
    ///
    /// # Errors
    ///
    /// [`RandomUnavailable`]: there is no name for the process.
    pub fn new(
        settings: LeaseSettings,
        loaded: Revision,
        random: &dyn Random,
    ) -> Result<Self, RandomUnavailable> {
        Ok(Self {
            incarnation: Incarnation(random::bytes(random)?),
            state: Mutex::new(State {
                grantor: Grantor::new(settings.length, Drift::STATED, loaded),
                known: HashMap::default(),
                of_callers: HashMap::default(),
                cleaned_at: BootTime::default(),
                clean_at: FEW,
                tenure: Tenure::new(settings.length, Drift::STATED),
                peers: Peers::new(Drift::STATED),
                told: Revision::ZERO,
            }),
            settings,
            own_end: AtomicU64::new(0),
            bell: watch::Sender::new(()),
            times: fence::Times::default(),
            ends: FenceEnds::default(),
        })
    }

    /// The clock that leases are measured by.
    #[must_use]
    pub fn now(&self) -> BootTime {
        self.settings.clock.now()
    }

    /// How long a lease is.
    #[must_use]
    pub const fn length(&self) -> Duration {
        self.settings.length
    }

    /// The name of the process.
    #[must_use]
    pub const fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// What the process says of itself.
    #[must_use]
    pub(super) fn node(&self, started_at: Timestamp, keys: KeyChecks) -> Node {
        let mut state = self.state.lock();
        state.grantor.advance(self.now());
        Node {
            lease: self.settings.length,
            settled: state.settled(),
            started_at,
            format: NEWEST_FORMAT,
            keys,
        }
    }

    /// Notes what a process says of itself, as was just read in the store where a commit
    /// wrote it; `None`: its record was removed.
    pub(super) fn seen(&self, name: Incarnation, at: Revision, node: Option<&Node>) {
        let mut state = self.state.lock();
        // One that was brought from another store counts by that one's revisions: of
        // this one it has settled nothing that came later.
        let settled = node.map_or(Revision::ZERO, |node| node.settled.min(at));
        match node {
            _ if name == self.incarnation => state.told = settled,
            Some(node) => {
                let now = self.now();
                state.peers.seen(&name, at, node.lease, settled, now);
            }
            None => state.peers.gone(&name),
        }
        drop(state);
        self.bell.send_replace(());
    }

    /// The other processes that have not beaten for a lease, and the commits that wrote
    /// their records.
    pub(super) fn over(&self) -> Vec<(Incarnation, Revision)> {
        let state = self.state.lock();
        let over = state.peers.over(self.now());
        over.map(|(name, at)| (*name, at)).collect()
    }

    /// Waits until there are fenced changes that are settled here, and others wait to be
    /// told so.
    pub(super) async fn has_more_to_tell(&self) {
        let mut bell = self.bell.subscribe();
        loop {
            // Before it is looked, so that what happens after it wakes us.
            bell.mark_unchanged();
            let next = {
                let mut state = self.state.lock();
                let now = self.now();
                state.grantor.advance(now);
                if !state.peers.is_empty() && state.told < state.settled() {
                    return;
                }
                let next = state.grantor.next_end();
                next.map(|next| next.since(now))
            };
            tokio::select! {
                changed = bell.changed() => if changed.is_err() { return },
                () = sleep(next.unwrap_or(Duration::MAX)) => (),
            }
        }
    }

    /// Notes that a heartbeat is about to be committed.
    pub(super) fn begin(&self) -> Sequence {
        self.state.lock().tenure.begin(self.now())
    }

    /// Notes that it is durable and applied.
    pub(super) fn committed(&self, begun: Sequence) {
        let ends_at = {
            let tenure = &mut self.state.lock().tenure;
            tenure.synced(begun);
            tenure.within()
        };
        let nanos = u64::try_from(ends_at.since_start().as_nanos()).unwrap_or(u64::MAX);
        if self.own_end.fetch_max(nanos, Ordering::AcqRel) == 0 {
            self.bell.send_replace(());
        }
    }

    /// When the lease of the process ends, if it ever had one.
    #[must_use]
    pub fn own_end(&self) -> Option<BootTime> {
        match self.own_end.load(Ordering::Acquire) {
            0 => None,
            nanos => Some(BootTime::new(Duration::from_nanos(nanos))),
        }
    }

    /// Whether the process may say yes.
    #[must_use]
    pub fn may_say_yes(&self) -> bool {
        self.own_end().is_some_and(|end| self.now() < end)
    }

    /// Waits until the process has a lease.
    pub async fn started(&self) {
        let mut bell = self.bell.subscribe();
        while self.own_end().is_none() {
            if bell.changed().await.is_err() {
                return;
            }
        }
    }

    /// Raises the floor: a fenced commit was applied.
    pub(super) fn raise(&self, floor: Revision) {
        let mut state = self.state.lock();
        state.grantor.raise(floor);
        let is_awaited = !state.peers.is_empty();
        drop(state);
        if is_awaited {
            self.bell.send_replace(());
        }
    }

    /// Connects a session of a caller: that of this name, if it is the caller's, else a
    /// new one; `None`: there is no room for one now.
    ///
    /// # Errors
    ///
    /// [`RandomUnavailable`]: there is no name for it.
    pub fn connect(
        self: &Arc<Self>,
        caller: &Principal,
        wanted: Option<SessionId>,
        random: &dyn Random,
    ) -> Result<Option<Session>, RandomUnavailable> {
        let fresh = SessionId(random::bytes(random)?);
        let mut state = self.state.lock();
        let known = wanted.filter(|id| {
            let known = state.known.get(id);
            known.is_some_and(|known| known.caller == *caller)
        });
        let id = known.unwrap_or(fresh);
        if known.is_none() {
            state.clean(caller, self.now());
            if state.is_full(caller) {
                return Ok(None);
            }
        }
        let State {
            known, of_callers, ..
        } = &mut *state;
        let known = known.entry(id).or_insert_with(|| {
            *of_callers.entry(caller.clone()).or_default() += 1;
            Known {
                caller: caller.clone(),
                connections: 0,
            }
        });
        known.connections += 1;
        Ok(Some(Session {
            sessions: Arc::clone(self),
            id,
        }))
    }

    /// How sessions stand.
    #[must_use]
    pub fn standing(&self) -> Standing {
        const SOME: usize = 10;

        let mut state = self.state.lock();
        state.grantor.advance(self.settings.clock.now());
        let floor = state.grantor.floor();
        Standing {
            length: self.settings.length,
            leases: state.grantor.len(),
            behind: state.grantor.behind(floor).count(),
            behind_callers: state.callers_behind(floor, SOME),
            peers: state.peers.len(),
        }
    }
}

impl State {
    /// Up to where nobody answers as of before a fenced change.
    fn settled(&self) -> Revision {
        let floor = self.grantor.floor();
        self.grantor.settled().map_or(floor, |it| it.min(floor))
    }

    /// Whether there is no room for a further session of a caller.
    fn is_full(&self, caller: &Principal) -> bool {
        let of_caller = self.of_callers.get(caller).copied();
        self.known.len() >= MOST || of_caller.unwrap_or_default() >= SHARE
    }

    /// Forgets sessions that are over, from time to time, before one of a caller comes.
    fn clean(&mut self, caller: &Principal, now: BootTime) {
        let is_due = if self.is_full(caller) {
            now.since(self.cleaned_at) >= CLEAN_EVERY
        } else {
            self.known.len() >= self.clean_at
        };
        if !is_due {
            return;
        }
        self.cleaned_at = now;
        self.grantor.advance(now);
        let grantor = &self.grantor;
        self.known
            .retain(|id, known| known.connections > 0 || grantor.has_lease(id));
        self.clean_at = (self.known.len() * 2).clamp(FEW, MOST);
        self.of_callers.clear();
        for known in self.known.values() {
            *self.of_callers.entry(known.caller.clone()).or_default() += 1;
        }
    }

    /// Forgets a session.
    fn forget(&mut self, id: SessionId) {
        let Some(known) = self.known.remove(&id) else {
            return;
        };
        if let Some(count) = self.of_callers.get_mut(&known.caller) {
            *count -= 1;
            if *count == 0 {
                self.of_callers.remove(&known.caller);
            }
        }
    }

    fn callers_behind(&self, revision: Revision, most: usize) -> Vec<Principal> {
        let behind = self.grantor.behind(revision);
        let callers = behind.filter_map(|id| Some(self.known.get(id)?.caller.clone()));
        callers.take(most).collect()
    }
}

impl Session {
    /// Its name.
    #[must_use]
    pub const fn id(&self) -> SessionId {
        self.id
    }

    /// A message of the session that has just arrived: it has applied a revision, and
    /// acknowledges another for itself and all that follow it.
    #[must_use]
    pub fn renew(&self, applied: Revision, acknowledged: Revision) -> Renewed {
        let sessions = &*self.sessions;
        let mut state = sessions.state.lock();
        let (now, within) = (sessions.now(), state.tenure.within());
        state.grantor.advance(now);
        let before = state.grantor.settled();
        let lease = state
            .grantor
            .renew(&self.id, applied, acknowledged, now, Some(within));
        let (after, floor) = (state.grantor.settled(), state.grantor.floor());
        drop(state);
        if before != after {
            sessions.bell.send_replace(());
        }
        Renewed {
            lease,
            others_behind: acknowledged >= floor && after.is_some_and(|after| after < floor),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let mut state = self.sessions.state.lock();
        let State { grantor, known, .. } = &mut *state;
        if let Some(entry) = known.get_mut(&self.id) {
            entry.connections -= 1;
            if entry.connections == 0 && !grantor.has_lease(&self.id) {
                state.forget(self.id);
            }
        }
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl SessionId {
    /// The name that is shown so.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = data_encoding::HEXLOWER.decode(text.as_bytes()).ok()?;
        Some(Self(bytes.try_into().ok()?))
    }
}

#[cfg(test)]
mod tests;
