//! The audit log: what is told of changes, refusals and denied uses, and how it is
//! read, checked and forgotten.
//!
//! ```text
//! a change:  command -> committer: its event stands in the same batch (told)
//! the rest:  note -> a bounded queue -> tallies -> every ten seconds: a command
//! ```
//!
//! The committer is the one writer of the chain; what follows the end of it is
//! known from the feed, so that a commit that fails leaves no gap. Nothing that
//! waits for an answer waits for a note: where the queue is full, the note is
//! dropped and counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{mpsc, oneshot, watch};

use super::caller::{Call, Party};
use super::committer::Commands;
use super::entry::Entry;
use super::keys::Keys;
use crate::domain::audit::{Event, Head, KnownBy};
use crate::domain::time::{Clock, Timestamp};
use crate::domain::token::Claim;
use crate::store::Store;

mod erasing;
pub(super) mod head;
mod log;
mod notes;
mod retention;
mod tallies;
pub(super) mod told;
mod trace;
mod writer;

pub use erasing::{EraseError, Erased};
pub use log::{AuditLog, AuditPage, Listed, ListedPayload, Order};
pub use notes::{Aside, Client};
pub use retention::REMOVED_AT_ONCE;
pub use told::{Erasure, Trimming};
pub use trace::Trace;
pub use writer::{AuditWriter, FLUSH};

/// The most notes that wait to be counted.
const NOTES: usize = 8192;
/// The most claims that wait to be compared with retired secrets.
const SUSPECTS: usize = 1024;

/// What was counted since the process began.
#[derive(Debug, Default)]
pub struct Counts {
    dropped: AtomicU64,
    retired: AtomicU64,
}

impl Counts {
    /// Notes that were dropped because too many waited.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Uses of secrets that were retired.
    #[must_use]
    pub fn retired_uses(&self) -> u64 {
        self.retired.load(Ordering::Relaxed)
    }

    fn add_dropped(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    fn add_retired(&self) {
        self.retired.fetch_add(1, Ordering::Relaxed);
    }
}

/// A claim that may be of a retired secret, and the event if it is.
#[derive(Debug)]
struct Suspect {
    entry: Arc<Entry>,
    claim: Claim,
    event: Box<Event>,
}

/// The audit log, to those who add to it and read it.
#[derive(Debug)]
pub struct Audit {
    notes: mpsc::Sender<Box<Event>>,
    suspects: mpsc::Sender<Suspect>,
    flushes: mpsc::Sender<oneshot::Sender<()>>,
    counts: Arc<Counts>,
    log: Arc<AuditLog>,
}

impl Audit {
    /// The log of a store, and what must run for it.
    pub(super) fn new(
        store: Arc<dyn Store>,
        head: watch::Receiver<Head>,
        commands: Commands,
        keys: Arc<Keys>,
        clock: Arc<dyn Clock>,
    ) -> (Self, AuditWriter) {
        let (notes, received) = mpsc::channel(NOTES);
        let (suspects, suspected) = mpsc::channel(SUSPECTS);
        let (flushes, asked) = mpsc::channel(1);
        let counts = Arc::<Counts>::default();
        let writer = AuditWriter::new(
            writer::Queues {
                notes: received,
                suspects: suspected,
                flushes: asked,
            },
            commands,
            keys,
            clock,
            Arc::clone(&counts),
        );
        let audit = Self {
            notes,
            suspects,
            flushes,
            counts,
            log: Arc::new(AuditLog::new(store, head)),
        };
        (audit, writer)
    }

    /// What was counted.
    #[must_use]
    pub const fn counts(&self) -> &Arc<Counts> {
        &self.counts
    }

    /// The log itself.
    #[must_use]
    pub const fn log(&self) -> &Arc<AuditLog> {
        &self.log
    }

    /// Has an event counted with those like it. Never waits.
    pub fn note(&self, event: Event) {
        if self.notes.try_send(Box::new(event)).is_err() {
            self.counts.add_dropped();
        }
    }

    fn suspect(&self, suspect: Suspect) {
        if self.suspects.try_send(suspect).is_err() {
            self.counts.add_dropped();
        }
    }

    /// Has what was counted so far written, unless that was done a moment ago, and
    /// waits for it.
    pub async fn flush(&self) {
        let (done, flushed) = oneshot::channel();
        if self.flushes.send(done).await.is_ok() {
            let _ = flushed.await;
        }
    }
}

/// What an event says of a call.
pub(super) fn of_call(call: &Call, outcome: &str, now: Timestamp) -> Event {
    let trace = &call.trace;
    let on_behalf_of = call.caller.on_behalf_of.as_ref();
    Event {
        principal: call.caller.party.principal.to_string(),
        on_behalf_of: on_behalf_of.map_or_else(String::new, |user| user.principal.to_string()),
        known_by: known_by(&call.caller.party),
        address: trace.address(),
        request_id: trace.request_id().to_owned(),
        ..Event::new(trace.rpc(), outcome, now)
    }
}

fn known_by(party: &Party) -> KnownBy {
    use super::caller::KnownBy as By;

    match party.known_by {
        By::Credential { id, .. } => KnownBy::Credential(id),
        By::Until(_) if party.principal.as_str().starts_with("jwt:") => KnownBy::Token,
        By::Until(_) => KnownBy::Certificate,
        By::Name => KnownBy::Nobody,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::feed::Feed;
    use crate::authority::hub::RingSize;

    #[test]
    fn what_finds_no_place_is_dropped_and_counted_and_nobody_waits() {
        let counts = Arc::<Counts>::default();
        let (notes, _unread) = mpsc::channel(3);
        let (suspects, _unheard) = mpsc::channel(1);
        let (flushes, _unflushed) = mpsc::channel(1);
        let store: Arc<dyn Store> = Arc::new(crate::store::memory::MemoryStore::new(
            crate::domain::revision::StoreId::from_random([1; 16]),
        ));
        let feed = Feed::load(Arc::clone(&store), RingSize::default())
            .unwrap()
            .feed;
        let audit = Audit {
            notes,
            suspects,
            flushes,
            counts,
            log: Arc::new(AuditLog::new(store, feed.audit_head())),
        };
        for _ in 0..10 {
            audit.note(Event::new("action", "OUTCOME", Timestamp::from_millis(1)));
        }
        assert_eq!(audit.counts().dropped(), 7);
    }
}
