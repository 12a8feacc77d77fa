//! The other processes that answer from the same store.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{BootTime, Drift};
use crate::domain::revision::Revision;

/// What one process knows of the others that answer from the same store, and grant
/// leases of their own.
///
/// Each keeps a record of itself in the store, and overwrites it from time to time:
/// its heartbeat. That is what its own lease comes from ([`Tenure`](super::Tenure)),
/// which runs from when a heartbeat is *begun*, and counts only once the process has
/// *applied* what the store had up to it. So whoever has applied a change has read
/// every heartbeat from before it, and all leases that come from those are over a
/// lease after they were read. One that comes after the change gives a lease only to a
/// process that has applied the change.
///
/// A process also says in its record which changes nobody who has a lease from it
/// answers as of before, itself included. It need not be waited for any longer then.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Peers<N> {
    drift: Drift,
    known: BTreeMap<N, Peer>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Peer {
    /// The commit that wrote its record.
    at: Revision,
    /// When all leases are over that come from heartbeats that were read.
    ends_at: BootTime,
    settled: Revision,
}

/// Those that may have leases from before a change.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Awaited<N> {
    revision: Revision,
    ends_at: BTreeMap<N, BootTime>,
}

impl<N: Clone + Ord> Peers<N> {
    /// None is known.
    #[must_use]
    pub const fn new(drift: Drift) -> Self {
        Self {
            drift,
            known: BTreeMap::new(),
        }
    }

    /// Notes the record of a process, written by the commit `at`: how long its leases
    /// are, and which changes are settled with it. The clock is to be read after the
    /// record was.
    pub fn seen(
        &mut self,
        name: &N,
        at: Revision,
        lease: Duration,
        settled: Revision,
        now: BootTime,
    ) {
        let ends_at = now + self.drift.at_least(lease);
        let peer = Peer {
            at,
            ends_at,
            settled,
        };
        let known = self.known.entry(name.clone()).or_insert(peer);
        known.at = known.at.max(at);
        known.ends_at = known.ends_at.max(ends_at);
        known.settled = known.settled.max(settled);
    }

    /// Notes that a process has no record any more: all its leases are over.
    pub fn gone(&mut self, name: &N) {
        self.known.remove(name);
    }

    /// Begins to wait for a change, which was applied and so were all before it.
    #[must_use]
    pub fn fence(&self, revision: Revision) -> Awaited<N> {
        let known = self.known.iter();
        Awaited {
            revision,
            ends_at: known
                .map(|(name, peer)| (name.clone(), peer.ends_at))
                .collect(),
        }
    }

    /// Those that are waited for yet, and until when.
    pub fn behind<'a>(
        &'a self,
        awaited: &'a Awaited<N>,
        now: BootTime,
    ) -> impl Iterator<Item = (&'a N, BootTime)> {
        let ends = awaited.ends_at.iter();
        ends.filter_map(move |(name, ends_at)| {
            let peer = self.known.get(name)?;
            (peer.settled < awaited.revision && now < *ends_at).then_some((name, *ends_at))
        })
    }

    /// Those that have not beaten for a lease: it is over, and their records can go if
    /// they are still those of these commits.
    pub fn over(&self, now: BootTime) -> impl Iterator<Item = (&N, Revision)> {
        let known = self.known.iter();
        known.filter_map(move |(name, peer)| (peer.ends_at <= now).then_some((name, peer.at)))
    }

    /// How many are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether none is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(10);

    fn at(seconds: u64) -> BootTime {
        BootTime::new(Duration::from_secs(seconds))
    }

    fn names(peers: &Peers<char>, awaited: &Awaited<char>, now: BootTime) -> String {
        peers.behind(awaited, now).map(|(name, _)| *name).collect()
    }

    #[test]
    fn a_process_is_waited_for_until_it_says_so_or_a_lease_after_its_last_record_of_before() {
        let mut peers = Peers::new(Drift::STATED);
        for name in ['a', 'b', 'c'] {
            peers.seen(&name, Revision::new(3), LEASE, Revision::new(3), at(0));
        }
        let awaited = peers.fence(Revision::new(5));
        assert_eq!(names(&peers, &awaited, at(1)), "abc");
        // What is not yet settled with it, and what is.
        peers.seen(&'a', Revision::new(6), LEASE, Revision::new(4), at(2));
        peers.seen(&'b', Revision::new(7), LEASE, Revision::new(5), at(2));
        peers.gone(&'c');
        assert_eq!(names(&peers, &awaited, at(2)), "a");
        // Not longer for one that beats on: who begins now waits longer.
        let later = peers.fence(Revision::new(6));
        let end = at(0) + Drift::STATED.at_least(LEASE);
        assert!(end > at(10));
        assert_eq!(names(&peers, &awaited, at(10)), "a");
        assert_eq!(names(&peers, &awaited, end), "");
        assert_eq!(names(&peers, &later, end), "ab");
        assert_eq!(peers.behind(&awaited, at(10)).next(), Some((&'a', end)));
    }

    #[test]
    fn a_record_takes_nothing_back() {
        let mut peers = Peers::new(Drift::STATED);
        peers.seen(&'a', Revision::new(7), LEASE, Revision::new(5), at(5));
        peers.seen(&'a', Revision::new(8), LEASE / 2, Revision::new(4), at(6));
        let awaited = peers.fence(Revision::new(6));
        assert_eq!(names(&peers, &awaited, at(15)), "a");
        assert_eq!(names(&peers, &peers.fence(Revision::new(5)), at(15)), "");
    }

    #[test]
    fn who_has_not_beaten_for_a_lease_can_be_forgotten() {
        let mut peers = Peers::new(Drift::STATED);
        peers.seen(&'a', Revision::new(1), LEASE, Revision::ZERO, at(0));
        peers.seen(&'b', Revision::new(2), LEASE, Revision::ZERO, at(5));
        let end = at(0) + Drift::STATED.at_least(LEASE);
        assert_eq!(peers.over(at(10)).count(), 0);
        let over: Vec<_> = peers.over(end).collect();
        assert_eq!(over, [(&'a', Revision::new(1))]);
        peers.gone(&'a');
        assert_eq!(peers.len(), 1);
        assert!(!peers.is_empty());
    }
}
