//! Who holds a lease and grants leases within it.

use std::time::Duration;

use super::{BootTime, Drift, Grantor, Holder};
use crate::domain::revision::Revision;

/// The leases that a relay grants: a subscriber that has subscribers of its own.
///
/// Whoever it follows knows nothing of them. It stands for them: it grants no lease
/// that ends after its own one, and acknowledges what all of them have acknowledged
/// or outlived. So whoever waits for the relay waits for them.
///
/// A relay that was started anew does not know whom its predecessor granted leases.
/// It must be a session of its own upstream, not take up its predecessor's: that one
/// goes on standing for them until it has run out.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Relay<S> {
    grantor: Grantor<S>,
}

impl<S: Clone + Ord> Relay<S> {
    /// One that has no subscribers yet, and grants leases of this length at most.
    #[must_use]
    pub const fn new(length: Duration, drift: Drift) -> Self {
        Self {
            grantor: Grantor::new(length, drift, Revision::ZERO),
        }
    }

    /// The relay starts at a revision, or starts there anew because continuity was
    /// lost: it does not know what was fenced up to it. Call it together with
    /// [`Recent::reset`](crate::domain::recent::Recent::reset), under the lock under
    /// which sessions renew.
    pub fn reset(&mut self, revision: Revision) {
        self.grantor.raise(revision);
    }

    /// The relay applies a fenced commit. Call it together with
    /// [`Recent::apply`](crate::domain::recent::Recent::apply), under the lock under
    /// which sessions renew. Where it is not known whether a commit is fenced, it is.
    pub fn fenced(&mut self, revision: Revision) {
        self.grantor.raise(revision);
    }

    /// A message of a subscriber; see [`Grantor::renew`]. It gets no lease that ends
    /// after the relay's own, and none when the relay has none.
    pub fn renew(
        &mut self,
        session: &S,
        applied: Revision,
        acknowledged: Revision,
        received_at: BootTime,
        own: &Holder,
    ) -> Option<Duration> {
        let within = own.ends_at().unwrap_or_default();
        self.grantor
            .renew(session, applied, acknowledged, received_at, Some(within))
    }

    /// What the relay acknowledges upstream once it has applied a revision itself:
    /// what every subscriber has acknowledged or outlived.
    pub fn acknowledged(&mut self, applied: Revision, now: BootTime) -> Revision {
        self.grantor.advance(now);
        let below = self.grantor.settled();
        below.map_or(applied, |below| below.min(applied))
    }

    /// When to look again at what it acknowledges, though no subscriber sends
    /// anything.
    #[must_use]
    pub fn next_end(&self) -> Option<BootTime> {
        self.grantor.next_end()
    }

    /// The leases that it grants.
    #[must_use]
    pub const fn grantor(&self) -> &Grantor<S> {
        &self.grantor
    }
}
