//! The lease of a process on its store.

use std::time::Duration;

use super::{BootTime, Drift, Holder, Sequence};

/// For how long a process may answer from a store, and grant leases, without a sign
/// that the store is still its own.
///
/// The sign is a durable commit: the heartbeat. A process that the volume was taken
/// from, or that can't reach the store, can't make one. The lease runs from when the
/// heartbeat was *begun*, and only once it is durable and applied, with all that came
/// before it. Without it the process gives no yes, and no lease; and no lease that it
/// grants ends after its own ([`Grantor::renew`](super::Grantor::renew) is to be given
/// [`Tenure::within`]).
///
/// Others that answer from the same store, at the same time or after this process, wait
/// for what may still run: its lease, or one that it granted. They know how long by what
/// it has written there of itself, which the heartbeat is
/// ([`Peers`](super::Peers)).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tenure {
    length: Duration,
    holder: Holder,
}

impl Tenure {
    /// That of a process that has made no heartbeat yet, with leases of this length.
    #[must_use]
    pub const fn new(length: Duration, drift: Drift) -> Self {
        Self {
            length,
            holder: Holder::new(drift),
        }
    }

    /// How long the lease is that one heartbeat gives.
    #[must_use]
    pub const fn length(&self) -> Duration {
        self.length
    }

    /// Notes that a heartbeat is about to be committed, *before* it is; returns its
    /// number.
    pub fn begin(&mut self, now: BootTime) -> Sequence {
        self.holder.send(now)
    }

    /// The heartbeat of this number is durable. One that failed is never told of.
    pub fn synced(&mut self, sequence: Sequence) {
        self.holder.answered(sequence, Some(self.length));
    }

    /// Whether the process may answer with a yes. The clock is to be read after the
    /// request has arrived.
    #[must_use]
    pub fn holds(&self, now: BootTime) -> bool {
        self.holder.holds(now)
    }

    /// Before when every lease that the process grants must end. In the past when it
    /// may grant none.
    #[must_use]
    pub fn within(&self) -> BootTime {
        self.holder.ends_at().unwrap_or_default()
    }
}
