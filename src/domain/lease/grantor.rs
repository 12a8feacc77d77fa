//! Who grants leases, and waits for them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};
use std::time::Duration;

use super::{BootTime, Drift};
use crate::domain::revision::Revision;

/// The leases of all sessions of one incarnation, as the one that granted them
/// counts.
///
/// A session counts as long as its lease runs, whether it is connected or not: a
/// cache that was cut off goes on answering until then. One without a lease may
/// answer nothing from its cache, and nobody waits for it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Grantor<S> {
    length: Duration,
    drift: Drift,
    /// Who has not applied this gets no lease.
    floor: Revision,
    leases: BTreeMap<S, Lease>,
    /// Those with leases by what they have acknowledged.
    by_acknowledged: BTreeSet<(Revision, S)>,
    /// The same by when their leases end.
    by_end: BTreeSet<(BootTime, S)>,
    /// The fences that are waited for, with how many leases ran out meanwhile.
    fences: BTreeMap<FenceId, Waiting>,
    next_fence: FenceId,
    /// What was waited for and is not settled, and when it must be: two leases after
    /// the first wait began, however many more there were.
    bounds: BTreeMap<Revision, BootTime>,
    /// What had to be settled by now: who has not acknowledged it gets no lease.
    overdue: Revision,
}

/// A fence that is waited for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FenceId(u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Lease {
    acknowledged: Revision,
    ends_at: BootTime,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Waiting {
    revision: Revision,
    /// How many sessions had leases when the wait began.
    sessions: usize,
    ran_out: usize,
}

/// How far a fence is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fenced {
    /// How many of the sessions that had leases when the wait began have acknowledged
    /// it.
    pub acknowledged: usize,
    /// How many leases ran out before their sessions did.
    pub ran_out: usize,
    /// How many sessions are still waited for.
    pub awaited: usize,
}

impl<S: Clone + Ord> Grantor<S> {
    /// For an incarnation that has loaded this revision. Of leases that others have
    /// granted, an earlier incarnation among them, it knows nothing: those are
    /// [`Peers`](super::Peers).
    #[must_use]
    pub const fn new(length: Duration, drift: Drift, loaded: Revision) -> Self {
        Self {
            length,
            drift,
            floor: loaded,
            leases: BTreeMap::new(),
            by_acknowledged: BTreeSet::new(),
            by_end: BTreeSet::new(),
            fences: BTreeMap::new(),
            next_fence: FenceId(0),
            bounds: BTreeMap::new(),
            overdue: Revision::ZERO,
        }
    }

    /// Raises the floor: a fenced commit was applied. From then on nobody gets a
    /// lease who has not applied it, so that its fence ends within one lease, or within
    /// two where it waits for those who follow a relay.
    pub fn raise(&mut self, floor: Revision) {
        self.floor = self.floor.max(floor);
    }

    /// Below which nobody gets a lease.
    #[must_use]
    pub const fn floor(&self) -> Revision {
        self.floor
    }

    /// A message of a session that arrived at `received_at`: it has applied one
    /// revision, and acknowledges another for itself and for all that follow it.
    /// Returns the length of the lease that it gets, which ends before `within`, when
    /// the grantor's own one does.
    ///
    /// A relay may have applied what those that follow it have not. It gets a lease
    /// then, but none that keeps a fence open for longer than two leases since it was
    /// first waited for: its messages of before may come late, one after the other, and
    /// say nothing new, and one that means harm never says anything.
    pub fn renew(
        &mut self,
        session: &S,
        applied: Revision,
        acknowledged: Revision,
        received_at: BootTime,
        within: Option<BootTime>,
    ) -> Option<Duration> {
        let earlier = self.leases.get(session).copied();
        // It never takes back what it has acknowledged.
        let acknowledged = earlier.map_or(acknowledged, |earlier| {
            acknowledged.max(earlier.acknowledged)
        });
        let within = within.into_iter().chain(self.bound(acknowledged)).min();
        let lease = self.lease_within(received_at, within);
        let lease = lease.filter(|_| applied >= self.floor);
        let ends_at = lease.map(|lease| received_at + self.drift.at_least(lease));
        let ends_at = ends_at.max(earlier.map(|earlier| earlier.ends_at))?;
        self.remove(session);
        self.by_acknowledged.insert((acknowledged, session.clone()));
        self.by_end.insert((ends_at, session.clone()));
        let now = Lease {
            acknowledged,
            ends_at,
        };
        self.leases.insert(session.clone(), now);
        lease
    }

    /// When a session must have ended that has acknowledged so much, for the sake of
    /// the fences that wait for more.
    fn bound(&self, acknowledged: Revision) -> Option<BootTime> {
        if acknowledged >= self.floor {
            return None;
        }
        if acknowledged < self.overdue {
            return Some(BootTime::default());
        }
        // Later revisions have later bounds.
        let mut waiting = self.bounds.range((Excluded(acknowledged), Unbounded));
        waiting.next().map(|(_, bound)| *bound)
    }

    /// How long a lease may count here.
    fn longest(&self) -> Duration {
        self.drift.at_least(self.length)
    }

    fn lease_within(&self, now: BootTime, within: Option<BootTime>) -> Option<Duration> {
        let own = within.map_or(Duration::MAX, |end| self.drift.sure_within(end.since(now)));
        Some(self.length.min(own)).filter(|lease| !lease.is_zero())
    }

    /// Takes out the leases that have run out.
    pub fn advance(&mut self, now: BootTime) {
        let overdue = self.bounds.iter().filter(|(_, bound)| **bound <= now);
        if let Some(overdue) = overdue.map(|(revision, _)| *revision).max() {
            self.overdue = self.overdue.max(overdue);
            self.bounds.retain(|revision, _| *revision > overdue);
        }
        while let Some((ends_at, session)) = self.by_end.first().cloned()
            && ends_at <= now
        {
            let Some(lease) = self.remove(&session) else {
                break;
            };
            for waiting in self.fences.values_mut() {
                if lease.acknowledged < waiting.revision {
                    waiting.ran_out += 1;
                }
            }
        }
    }

    fn remove(&mut self, session: &S) -> Option<Lease> {
        let lease = self.leases.remove(session)?;
        self.by_acknowledged
            .remove(&(lease.acknowledged, session.clone()));
        self.by_end.remove(&(lease.ends_at, session.clone()));
        Some(lease)
    }

    /// What every session has acknowledged or outlived; `None`: everything, for no
    /// session has a lease. Of those whose leases have run out only once
    /// [`Grantor::advance`] was told the time.
    #[must_use]
    pub fn settled(&self) -> Option<Revision> {
        self.by_acknowledged.first().map(|(revision, _)| *revision)
    }

    /// The sessions that have leases and have not acknowledged a revision.
    pub fn behind(&self, revision: Revision) -> impl Iterator<Item = &S> {
        self.by_acknowledged
            .iter()
            .take_while(move |(acknowledged, _)| *acknowledged < revision)
            .map(|(_, session)| session)
    }

    /// Begins to wait for a revision.
    pub fn fence(&mut self, revision: Revision, now: BootTime) -> FenceId {
        self.advance(now);
        let id = self.next_fence;
        self.next_fence = FenceId(id.0 + 1);
        if revision > self.overdue {
            self.bind(revision, now + self.longest() * 2);
        }
        let waiting = Waiting {
            revision,
            sessions: self.len(),
            ran_out: 0,
        };
        self.fences.insert(id, waiting);
        id
    }

    /// Notes when a revision must be settled. What must be settled by then with a later
    /// one needs no note of its own.
    fn bind(&mut self, revision: Revision, bound: BootTime) {
        let mut later = self.bounds.range(revision..);
        if later.next().is_some_and(|(_, earlier)| *earlier <= bound) {
            return;
        }
        self.bounds
            .retain(|before, held| *before > revision || *held < bound);
        self.bounds.insert(revision, bound);
    }

    /// How far a fence is that was begun and not ended.
    #[must_use]
    pub fn fenced(&mut self, id: FenceId, now: BootTime) -> Option<Fenced> {
        self.advance(now);
        let Waiting {
            revision,
            sessions,
            ran_out,
        } = *self.fences.get(&id)?;
        let awaited = self.behind(revision).count();
        Some(Fenced {
            acknowledged: sessions.saturating_sub(ran_out + awaited),
            ran_out,
            awaited,
        })
    }

    /// Whether a fence at a revision is done, whoever waits for it.
    #[must_use]
    pub fn is_settled(&self, revision: Revision) -> bool {
        self.settled().is_none_or(|settled| settled >= revision)
    }

    /// Waits for a fence no longer. If it is not settled, its bound stays: whoever waits
    /// for it again begins in the middle.
    pub fn end(&mut self, id: FenceId) {
        let Some(Waiting { revision, .. }) = self.fences.remove(&id) else {
            return;
        };
        let is_awaited = self.fences.values().any(|it| it.revision == revision);
        if !is_awaited && self.is_settled(revision) {
            self.bounds.remove(&revision);
        }
    }

    /// When a lease runs out next.
    #[must_use]
    pub fn next_end(&self) -> Option<BootTime> {
        self.by_end.first().map(|(ends_at, _)| *ends_at)
    }

    /// Whether a session has a lease.
    #[must_use]
    pub fn has_lease(&self, session: &S) -> bool {
        self.leases.contains_key(session)
    }

    /// How many sessions have leases.
    #[must_use]
    pub fn len(&self) -> usize {
        self.leases.len()
    }

    /// Whether none has one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.leases.is_empty()
    }
}
