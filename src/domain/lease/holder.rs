//! Who holds a lease.

use std::collections::VecDeque;
use std::time::Duration;

use super::{BootTime, Drift};

/// The number of a message by which a session asks for a lease.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sequence(pub u64);

/// The lease of one session, as the one that holds it counts.
///
/// It runs from when a message was sent, and only once the answer that echoes the
/// message's number is there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Holder {
    drift: Drift,
    next: Sequence,
    /// The messages that were not answered, with when they were sent; later ones
    /// follow earlier ones.
    sent: VecDeque<(Sequence, BootTime)>,
    ends_at: Option<BootTime>,
}

/// How many messages may be without an answer: of older ones none is awaited.
const UNANSWERED: usize = 64;

impl Holder {
    /// One that holds no lease yet.
    #[must_use]
    pub const fn new(drift: Drift) -> Self {
        Self {
            drift,
            next: Sequence(1),
            sent: VecDeque::new(),
            ends_at: None,
        }
    }

    /// Notes that a message is about to be sent, *before* it is; returns its number.
    pub fn send(&mut self, now: BootTime) -> Sequence {
        let sequence = self.next;
        self.next = Sequence(sequence.0 + 1);
        if self.sent.len() == UNANSWERED {
            self.sent.pop_front();
        }
        self.sent.push_back((sequence, now));
        sequence
    }

    /// Notes an answer: the message of this number got a lease of this length, or
    /// none. Returns whether the message is one that was awaited.
    pub fn answered(&mut self, sequence: Sequence, lease: Option<Duration>) -> bool {
        let Ok(at) = self
            .sent
            .binary_search_by_key(&sequence, |(number, _)| *number)
        else {
            return false;
        };
        let (_, sent_at) = self.sent[at];
        // Answers come in the order of the messages.
        self.sent.drain(..=at);
        if let Some(lease) = lease {
            let ends_at = sent_at + self.drift.at_most(lease);
            self.ends_at = self.ends_at.max(Some(ends_at));
        }
        true
    }

    /// When the lease ends by one's own clock, if there is one.
    #[must_use]
    pub const fn ends_at(&self) -> Option<BootTime> {
        self.ends_at
    }

    /// Whether the lease holds.
    #[must_use]
    pub fn holds(&self, now: BootTime) -> bool {
        self.ends_at.is_some_and(|ends_at| now < ends_at)
    }

    /// Gives up the lease, and every one that was asked for: the clock can't be
    /// relied on, or what it covers is lost.
    pub fn give_up(&mut self) {
        self.sent.clear();
        self.ends_at = None;
    }

    /// Forgets what was asked for and not answered: the connection is gone, and no
    /// answer comes any more. The lease goes on.
    pub fn disconnected(&mut self) {
        self.sent.clear();
    }
}
