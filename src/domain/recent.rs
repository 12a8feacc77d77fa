//! What changed lately, for those who keep answers.
//!
//! An answer is kept with the revision as of which it was true and with what it
//! depends on: its credential, owner, roles and tenant. It is looked at when it is
//! *used*: it is good if nothing that it depends on has changed since. So it does not
//! matter in which order an answer and the news of a change arrive, or who waited for
//! the answer meanwhile.

use std::collections::{BTreeMap, VecDeque};

use super::revision::Revision;

/// The latest changes that were applied, by what they touched.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Recent<K> {
    most: usize,
    /// Answers as of an earlier revision are refused, whatever they depend on.
    level: Revision,
    applied: Revision,
    /// The latest change of each that is remembered.
    latest: BTreeMap<K, Revision>,
    /// The changes in their order, those of one subject more than once.
    order: VecDeque<(Revision, K)>,
}

impl<K: Clone + Ord> Recent<K> {
    /// Nothing is known, and no answer is good; up to `most` changes will be
    /// remembered.
    #[must_use]
    pub const fn new(most: usize) -> Self {
        Self {
            most,
            level: Revision::new(u64::MAX),
            applied: Revision::ZERO,
            latest: BTreeMap::new(),
            order: VecDeque::new(),
        }
    }

    /// Starts at a revision: whatever changed up to it may have been missed, and
    /// answers as of earlier revisions are refused.
    ///
    /// The revision may be one before what was applied, and what changed in between is
    /// forgotten. So the lease must be given up with it: an answer that was on its way
    /// meanwhile would be good again.
    pub fn reset(&mut self, revision: Revision) {
        self.level = revision;
        self.applied = revision;
        self.latest.clear();
        self.order.clear();
    }

    /// Applies a commit, or a part of it: these have changed. A revision with
    /// nothing says that all up to it was applied.
    pub fn apply(&mut self, revision: Revision, changed: impl IntoIterator<Item = K>) {
        for subject in changed {
            // Should a stream tell again what it has told, nothing is taken back.
            let latest = self.latest.entry(subject.clone()).or_insert(revision);
            *latest = revision.max(*latest);
            self.order.push_back((revision, subject));
        }
        while self.order.len() > self.most
            && let Some((forgotten, subject)) = self.order.pop_front()
        {
            // Whether an answer as of before it is good is not known any more.
            self.level = self.level.max(forgotten);
            if self.latest.get(&subject) == Some(&forgotten) {
                self.latest.remove(&subject);
            }
        }
        self.applied = self.applied.max(revision);
    }

    /// The revision up to which everything was applied.
    #[must_use]
    pub const fn applied(&self) -> Revision {
        self.applied
    }

    /// Below which answers are refused.
    #[must_use]
    pub const fn level(&self) -> Revision {
        self.level
    }

    /// Whether an answer as of a revision is good that depends on these.
    #[must_use]
    pub fn is_current<'a>(
        &self,
        revision: Revision,
        depends_on: impl IntoIterator<Item = &'a K>,
    ) -> bool
    where
        K: 'a,
    {
        self.needed(depends_on) <= revision
    }

    /// As of which revision an answer must be that depends on these, at least.
    #[must_use]
    pub fn needed<'a>(&self, depends_on: impl IntoIterator<Item = &'a K>) -> Revision
    where
        K: 'a,
    {
        let changed = depends_on
            .into_iter()
            .filter_map(|key| self.latest.get(key));
        changed.copied().fold(self.level, Revision::max)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn rev(number: u64) -> Revision {
        Revision::new(number)
    }

    #[test]
    fn an_answer_is_good_until_something_that_it_depends_on_changes() {
        let mut recent = Recent::new(100);
        assert!(!recent.is_current(rev(7), &['a']), "before the start");
        recent.reset(rev(5));
        assert!(!recent.is_current(rev(4), &['a']));
        assert!(recent.is_current(rev(5), &['a']));
        recent.apply(rev(6), ['b']);
        assert!(recent.is_current(rev(5), &['a']));
        assert!(!recent.is_current(rev(5), &['a', 'b']));
        assert!(recent.is_current(rev(6), &['a', 'b']));
        assert_eq!(recent.needed(&['b']), rev(6));
        recent.apply(rev(9), []);
        assert_eq!(recent.applied(), rev(9));
        assert!(recent.is_current(rev(5), &['a']));
    }

    #[test]
    fn an_answer_that_arrives_after_the_news_is_refused() {
        let mut recent = Recent::new(100);
        recent.reset(rev(5));
        // Asked at 5; the change passes while the answer is on its way.
        recent.apply(rev(6), ['a']);
        assert!(!recent.is_current(rev(5), &['a']));
    }

    #[test]
    fn a_change_that_is_told_again_takes_back_no_later_one() {
        let mut recent = Recent::new(100);
        recent.reset(rev(1));
        recent.apply(rev(5), ['a']);
        recent.apply(rev(3), ['a']);
        assert!(!recent.is_current(rev(4), &['a']));
        assert_eq!(recent.applied(), rev(5));
    }

    #[test]
    fn forgetting_raises_the_level() {
        let mut recent = Recent::new(2);
        recent.reset(rev(1));
        for (revision, subject) in [(2, 'a'), (3, 'b'), (4, 'a'), (5, 'c')] {
            recent.apply(rev(revision), [subject]);
        }
        assert_eq!(recent.level(), rev(3));
        assert!(!recent.is_current(rev(2), &['z']));
        assert!(recent.is_current(rev(3), &['z']));
        assert!(
            !recent.is_current(rev(3), &['a']),
            "its later change is known"
        );
    }

    #[test]
    fn one_commit_may_change_more_than_is_remembered() {
        let mut recent = Recent::new(2);
        recent.reset(rev(1));
        recent.apply(rev(2), ['a', 'b', 'c', 'd']);
        for subject in ['a', 'b', 'c', 'd'] {
            assert!(!recent.is_current(rev(1), &[subject]));
            assert!(recent.is_current(rev(2), &[subject]));
        }
    }

    proptest! {
        /// Against a memory that forgets nothing: it never says yes where that says
        /// no.
        #[test]
        fn it_errs_only_towards_no(
            most in 1_usize..6,
            changes in prop::collection::vec(prop::collection::vec(0_u8..5, 0..4), 0..20),
        ) {
            let mut recent = Recent::new(most);
            recent.reset(rev(1));
            let mut all = BTreeMap::new();
            for (at, changed) in changes.iter().enumerate() {
                let revision = rev(at as u64 + 2);
                recent.apply(revision, changed.iter().copied());
                all.extend(changed.iter().map(|subject| (*subject, revision)));
                for subject in 0..5 {
                    let latest = all.get(&subject).copied().unwrap_or_default();
                    for as_of in 1..=revision.number() {
                        if recent.is_current(rev(as_of), &[subject]) {
                            prop_assert!(rev(as_of) >= latest);
                        }
                    }
                    prop_assert!(recent.is_current(revision, &[subject]));
                }
            }
        }
    }
}
