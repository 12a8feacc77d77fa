//! The wait, after a change, until nobody answers as of before it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use tokio::time::{Instant, sleep};

use super::{Incarnation, Sessions};
use crate::counts::Count;
use crate::domain::lease::{Awaited, FenceId, Fenced};
use crate::domain::names::Principal;
use crate::domain::revision::Revision;

/// That a change is to be fenced, and at which revision it is: the commits that make
/// it note it here.
#[derive(Clone, Debug, Default)]
pub struct FenceAt(Arc<AtomicU64>);

impl FenceAt {
    /// Notes a commit.
    pub(in crate::authority) fn note(&self, revision: Revision) {
        self.0.fetch_max(revision.number(), Ordering::AcqRel);
    }

    /// The last commit that was noted; `None`: there was none.
    #[must_use]
    pub fn revision(&self) -> Option<Revision> {
        let number = self.0.load(Ordering::Acquire);
        (number != 0).then(|| Revision::new(number))
    }
}

/// A fence that was not waited for to its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} sessions and {nodes} servers have not applied revision {revision}",
    .fenced.awaited
)]
pub struct FenceOpen {
    /// The revision.
    pub revision: Revision,
    /// How far it is.
    pub fenced: Fenced,
    /// The callers of some sessions that are awaited.
    pub callers: Vec<Principal>,
    /// How many other processes are awaited, with their sessions.
    pub nodes: usize,
}

/// How long fences took.
#[derive(Debug)]
pub(super) struct Times(Histogram);

impl Default for Times {
    /// From half a millisecond to 16 seconds.
    fn default() -> Self {
        Self(Histogram::new(exponential_buckets(0.0005, 2.0, 16)))
    }
}

/// How sessions ended the waits for them.
#[derive(Debug, Default)]
pub struct FenceEnds {
    /// They had applied the change and said so.
    pub acknowledged: Count,
    /// Their leases had run out.
    pub expired: Count,
}

/// Ends a fence when nobody waits for it any more.
struct Waiting<'a> {
    sessions: &'a Sessions,
    id: FenceId,
    peers: Awaited<Incarnation>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.sessions.state.lock().grantor.end(self.id);
    }
}

/// How far a fence is.
enum Look {
    Done(Fenced),
    /// Not before a lease runs out, in so long, or the bell is rung.
    Open(Option<Duration>),
}

impl Sessions {
    /// Waits until every session that has a lease has applied a revision, or its lease
    /// has run out, here and at every other process. The revision must have been applied
    /// here.
    ///
    /// # Errors
    ///
    /// [`FenceOpen`] at `deadline`.
    pub async fn fence(
        &self,
        revision: Revision,
        deadline: Option<Instant>,
    ) -> Result<Fenced, FenceOpen> {
        let began = Instant::now();
        let mut bell = self.bell.subscribe();
        let waiting = {
            let mut state = self.state.lock();
            Waiting {
                sessions: self,
                id: state.grantor.fence(revision, self.now()),
                peers: state.peers.fence(revision),
            }
        };
        loop {
            // Before it is looked, so that what happens after it wakes us.
            bell.mark_unchanged();
            let wait = match waiting.look(revision) {
                Look::Done(fenced) => {
                    self.times.0.observe(began.elapsed().as_secs_f64());
                    self.ends.acknowledged.add_many(fenced.acknowledged as u64);
                    self.ends.expired.add_many(fenced.ran_out as u64);
                    return Ok(fenced);
                }
                Look::Open(wait) => wait,
            };
            tokio::select! {
                _ = bell.changed() => (),
                () = sleep(wait.unwrap_or(self.length())) => (),
                () = until(deadline) => return Err(waiting.open(revision)),
            }
        }
    }

    /// How sessions ended the waits for them.
    #[must_use]
    pub const fn fence_ends(&self) -> &FenceEnds {
        &self.ends
    }

    /// How long fences took, in seconds.
    #[must_use]
    pub const fn fence_times(&self) -> &Histogram {
        &self.times.0
    }
}

impl Waiting<'_> {
    fn look(&self, revision: Revision) -> Look {
        let mut state = self.sessions.state.lock();
        let now = self.sessions.now();
        state.grantor.advance(now);
        // Who counts them all for every acknowledgement is busy with nothing else.
        let peers = state.peers.behind(&self.peers, now);
        let peer_ends_at = peers.map(|(_, ends_at)| ends_at).max();
        if peer_ends_at.is_none()
            && state.grantor.is_settled(revision)
            && let Some(fenced) = state.grantor.fenced(self.id, now)
        {
            return Look::Done(fenced);
        }
        let next = state.grantor.next_end().into_iter().chain(peer_ends_at);
        Look::Open(next.min().map(|next| next.since(now)))
    }

    fn open(&self, revision: Revision) -> FenceOpen {
        const SOME: usize = 10;

        let mut state = self.sessions.state.lock();
        let now = self.sessions.now();
        let fenced = state.grantor.fenced(self.id, now);
        FenceOpen {
            revision,
            fenced: fenced.unwrap_or_default(),
            callers: state.callers_behind(revision, SOME),
            nodes: state.peers.behind(&self.peers, now).count(),
        }
    }
}

/// Done at a deadline; never, if there is none.
async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
