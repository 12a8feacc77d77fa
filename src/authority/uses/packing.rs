//! Uses that wait to be written in few, large commits.
//!
//! Credentials are divided among shards by their ids, and each shard is written once in a
//! while, as much of it as fits in a commit: those first that have waited for the longest.
//! What is reported anew of one that waits takes nothing from its place.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};

use super::Report;
use crate::domain::credential::Uses;
use crate::domain::id::CredentialId;

/// Reports that wait, by shard.
#[derive(Debug)]
pub(super) struct Packing {
    shards: Vec<Shard>,
    /// How many credentials may wait in a shard.
    most: usize,
}

#[derive(Debug, Default)]
struct Shard {
    /// Those that wait, in the order in which they came.
    order: VecDeque<CredentialId>,
    reports: HashMap<CredentialId, Vec<Report>>,
}

impl Packing {
    /// So many shards, in each of which so many credentials may wait.
    pub(super) fn new(shards: usize, most: usize) -> Self {
        Self {
            shards: std::iter::repeat_with(Shard::default)
                .take(shards.max(1))
                .collect(),
            most,
        }
    }

    /// Adds a report. Where too much waits it is dropped; the next use makes another.
    pub(super) fn add(&mut self, report: Report) {
        let count = self.shards.len();
        let [.., last] = *report.id.as_bytes();
        let shard = &mut self.shards[usize::from(last) % count];
        match shard.reports.entry(report.id) {
            Entry::Occupied(mut waiting) => {
                let waiting = waiting.get_mut();
                let same = |held: &&mut Report| {
                    held.by == report.by && held.generation == report.generation
                };
                if let Some(held) = waiting.iter_mut().find(same) {
                    held.at = held.at.max(report.at);
                } else if waiting.len() < Uses::MOST {
                    // More are not kept.
                    waiting.push(report);
                }
            }
            Entry::Vacant(free) if shard.order.len() < self.most => {
                free.insert(vec![report]);
                shard.order.push_back(report.id);
            }
            Entry::Vacant(_) => (),
        }
    }

    /// Takes out what is reported of so many credentials of a shard.
    pub(super) fn take(&mut self, shard: usize, most: usize) -> Vec<Report> {
        let shard = &mut self.shards[shard];
        let first = shard.order.drain(..most.min(shard.order.len()));
        let taken = first.filter_map(|id| shard.reports.remove(&id));
        taken.flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::authority::names::Interner;
    use crate::domain::time::Timestamp;
    use crate::domain::token::Generation;

    fn report(id: u8, by: &str, at: i64) -> Report {
        let names = Interner::new();
        names.intern(&"first".into());
        Report {
            id: CredentialId::from_bytes([id; 16]),
            generation: Generation::new(1),
            at: Timestamp::from_millis(at),
            by: names.intern(&by.into()),
        }
    }

    fn ids(reports: &[Report]) -> Vec<u8> {
        reports
            .iter()
            .map(|report| report.id.as_bytes()[0])
            .collect()
    }

    #[test]
    fn the_oldest_are_taken_first_with_the_latest_that_is_known_of_them() {
        let mut packing = Packing::new(1, 10);
        for (id, at) in [(1, 10), (2, 20), (3, 30), (1, 40), (1, 35)] {
            packing.add(report(id, "first", at));
        }
        packing.add(report(2, "other", 50));
        let taken = packing.take(0, 2);
        assert_eq!(ids(&taken), [1, 2, 2]);
        assert_eq!(taken[0].at, Timestamp::from_millis(40));
        packing.add(report(1, "first", 60));
        assert_eq!(ids(&packing.take(0, 10)), [3, 1]);
        assert!(packing.take(0, 10).is_empty());
    }

    #[test]
    fn what_is_too_much_is_dropped_until_there_is_room() {
        let mut packing = Packing::new(1, 2);
        for id in 1..=3 {
            packing.add(report(id, "first", 1));
        }
        packing.add(report(2, "other", 2));
        assert_eq!(ids(&packing.take(0, 1)), [1]);
        packing.add(report(4, "first", 3));
        assert_eq!(ids(&packing.take(0, 9)), [2, 2, 4]);
    }

    proptest! {
        #[test]
        fn each_credential_is_in_one_shard_and_comes_out_once(
            reported in proptest::collection::vec(any::<u8>(), 0..200),
            shards in 1_usize..20,
            most in 1_usize..9,
        ) {
            let mut packing = Packing::new(shards, usize::MAX);
            for id in &reported {
                packing.add(report(*id, "first", 1));
            }
            let mut taken = Vec::new();
            for shard in 0..shards {
                loop {
                    let some = ids(&packing.take(shard, most));
                    prop_assert!(some.len() <= most);
                    if some.is_empty() {
                        break;
                    }
                    prop_assert!(some.iter().all(|id| usize::from(*id) % shards == shard));
                    taken.extend(some);
                }
            }
            let mut expected = reported;
            expected.sort_unstable();
            expected.dedup();
            taken.sort_unstable();
            prop_assert_eq!(taken, expected);
        }
    }
}
