//! Uses that an authority was not asked about, until they are reported.

use std::collections::{HashMap, VecDeque};

use crate::domain::id::CredentialId;
use crate::domain::time::Timestamp;
use crate::domain::token::Generation;

/// That a credential was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Use {
    /// The credential.
    pub credential: CredentialId,
    /// Which of its secrets.
    pub generation: Generation,
    /// When.
    pub used_at: Timestamp,
}

/// The latest use of each secret that was not reported yet, in the order in which they
/// began to wait.
#[derive(Debug)]
pub struct Uses {
    most: usize,
    latest: HashMap<(CredentialId, Generation), Timestamp>,
    order: VecDeque<(CredentialId, Generation)>,
    dropped: u64,
}

impl Uses {
    /// None yet, and never more than so many.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self {
            most,
            latest: HashMap::new(),
            order: VecDeque::new(),
            dropped: 0,
        }
    }

    /// Notes one. It is dropped if too many wait.
    pub fn note(&mut self, used: Use) {
        let Use {
            credential,
            generation,
            used_at,
        } = used;
        let secret = (credential, generation);
        if let Some(latest) = self.latest.get_mut(&secret) {
            *latest = used_at.max(*latest);
        } else if self.order.len() < self.most {
            self.latest.insert(secret, used_at);
            self.order.push_back(secret);
        } else {
            self.dropped += 1;
        }
    }

    /// Up to so many, those that have waited longest.
    pub fn take(&mut self, most: usize) -> Vec<Use> {
        let count = most.min(self.order.len());
        let taken = self.order.drain(..count);
        let taken = taken.filter_map(|(credential, generation)| {
            let used_at = self.latest.remove(&(credential, generation))?;
            Some(Use {
                credential,
                generation,
                used_at,
            })
        });
        taken.collect()
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// How many were dropped.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(credential: u8, used_at: i64) -> Use {
        Use {
            credential: CredentialId::from_bytes([credential; 16]),
            generation: Generation::FIRST,
            used_at: Timestamp::from_millis(used_at),
        }
    }

    #[test]
    fn each_secret_is_reported_once_with_its_latest_use_and_too_many_are_dropped() {
        let mut uses = Uses::new(2);
        for (credential, at) in [(7, 1), (3, 2), (7, 5), (7, 4), (9, 6)] {
            uses.note(used(credential, at));
        }
        assert_eq!((uses.len(), uses.dropped()), (2, 1));
        assert_eq!(uses.take(1), [used(7, 5)]);
        assert_eq!(uses.take(9), [used(3, 2)]);
        assert!(uses.is_empty());
        assert_eq!(uses.take(9), []);
    }
}
