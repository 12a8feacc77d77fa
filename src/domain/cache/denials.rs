//! What was said not to be good, against answers from before.

use std::collections::{BTreeMap, HashMap};

use super::Subject;

/// The latest denials, by what was denied, each with its number. They are counted from
/// one on, so that an answer whose question was asked after so many of them is from
/// before those with a greater number.
#[derive(Debug)]
pub(super) struct Denials {
    most: usize,
    count: u64,
    /// Of what was denied up to here, something was forgotten.
    level: u64,
    latest: HashMap<Subject, u64>,
    order: BTreeMap<u64, Subject>,
}

impl Denials {
    /// None yet; so many are remembered.
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            count: 0,
            level: 0,
            latest: HashMap::new(),
            order: BTreeMap::new(),
        }
    }

    /// How many there were.
    pub(super) const fn count(&self) -> u64 {
        self.count
    }

    /// Notes one. One of the same thing before it is not counted among those that are
    /// remembered.
    pub(super) fn note(&mut self, denied: Subject) {
        self.count += 1;
        if let Some(before) = self.latest.insert(denied, self.count) {
            self.order.remove(&before);
        }
        self.order.insert(self.count, denied);
        while self.order.len() > self.most
            && let Some((number, forgotten)) = self.order.pop_first()
        {
            self.latest.remove(&forgotten);
            self.level = number;
        }
    }

    /// Whether none of these was denied, as far as is known, since the first `asked`
    /// ones.
    pub(super) fn allow<'a>(
        &self,
        asked: u64,
        about: impl IntoIterator<Item = &'a Subject>,
    ) -> bool {
        let is_denied = |subject| self.latest.get(subject).is_some_and(|&it| it > asked);
        asked >= self.count || asked >= self.level && !about.into_iter().any(is_denied)
    }

    /// Forgets all: nothing from before is kept.
    pub(super) fn clear(&mut self) {
        self.level = self.count;
        self.latest.clear();
        self.order.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::super::{About, Hashes};
    use super::*;

    fn subject(name: &str) -> Subject {
        Hashes::new(&[3; 16]).subject(About::Tenant(name))
    }

    #[test]
    fn what_was_denied_is_not_allowed_to_answers_from_before() {
        let [a, b] = ["a", "b"].map(subject);
        let mut denials = Denials::new(10);
        assert!(denials.allow(0, [&a, &b]));
        denials.note(a);
        assert_eq!(denials.count(), 1);
        assert!(!denials.allow(0, [&b, &a]));
        assert!(denials.allow(0, [&b]));
        assert!(denials.allow(1, [&b, &a]));
    }

    #[test]
    fn answers_from_before_what_was_forgotten_are_not_allowed_and_the_same_denied_often_is_one() {
        let [a, b, c, z] = ["a", "b", "c", "z"].map(subject);
        let mut denials = Denials::new(2);
        denials.note(b);
        for _ in 0..100 {
            denials.note(a);
        }
        assert!(denials.allow(0, [&z]));
        denials.note(c);
        assert_eq!((denials.latest.len(), denials.order.len()), (2, 2));
        assert!(!denials.allow(0, [&z]));
        assert!(denials.allow(1, [&z, &b]));
        assert!(!denials.allow(100, [&a]));
        denials.clear();
        assert!(!denials.allow(101, [&z]));
        assert!(denials.allow(102, [&z, &a]));
    }
}
