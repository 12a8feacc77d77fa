//! Whether what several clients saw of one object at the same time could have
//! happened one after the other.
//!
//! A history is linearizable if each operation can be given one moment between
//! its invocation and its return at which it took effect, so that the results
//! are those of a sequential object (M. Herlihy, J. Wing, "Linearizability: A
//! Correctness Condition for Concurrent Objects", TOPLAS 1990). The search is
//! that of J. Wing and C. Gong ("Testing and Verifying Concurrent Objects",
//! JPDC 1993): try whichever operation may come first, go on with the rest,
//! and back if that leads nowhere; with G. Lowe's memory of the sets of
//! operations and states that were tried before ("Testing for
//! Linearizability", 2016), as in porcupine.
//!
//! Objects that know nothing of each other are checked one by one: a history
//! is linearizable if that of each object is (Herlihy and Wing's locality).

use std::collections::HashSet;
use std::hash::Hash;

/// An operation with its result. Times are of one monotonic clock.
#[derive(Clone, Debug)]
pub(crate) struct Operation<O> {
    pub(crate) invoked: u64,
    /// `None`: there was no answer. It took effect at any time after its
    /// invocation, or never.
    pub(crate) returned: Option<u64>,
    pub(crate) what: O,
}

/// Whether a history of one object is linearizable. `step` is the sequential
/// object: the state after an operation, if it can have had that result.
pub(crate) fn is_linearizable<O, S: Clone + Eq + Hash>(
    history: &[Operation<O>],
    initial: S,
    step: impl Fn(&S, &O) -> Option<S>,
) -> bool {
    let mut events = Events::of(history);
    let mut unanswered = history.iter().filter(|o| o.returned.is_some()).count();
    let mut state = initial;
    let mut done = Set::new(history.len());
    let mut tried = HashSet::new();
    let mut path = Vec::new();
    let mut at = events.first();
    while unanswered > 0 {
        let candidate = at.filter(|&event| events.is_invocation(event));
        if let Some(event) = candidate {
            let operation = events.operation(event);
            let next = step(&state, &history[operation].what);
            done.insert(operation);
            if let Some(next) = next
                && tried.insert((done.clone(), next.clone()))
            {
                path.push((event, std::mem::replace(&mut state, next)));
                unanswered -= usize::from(history[operation].returned.is_some());
                events.lift(event);
                at = events.first();
            } else {
                done.remove(operation);
                at = events.after(event);
            }
        } else {
            // Something returns here that has not taken effect: back.
            let Some((event, before)) = path.pop() else {
                return false;
            };
            let operation = events.operation(event);
            state = before;
            done.remove(operation);
            unanswered += usize::from(history[operation].returned.is_some());
            events.put_back(event);
            at = events.after(event);
        }
    }
    true
}

/// The invocations and returns in the order of time, as a list from which an
/// operation can be taken out and put back where it was.
struct Events {
    /// Whose it is, and whether it is its invocation.
    order: Vec<(usize, bool)>,
    /// Where the other event of the operation is, if there is one.
    partner: Vec<Option<usize>>,
    /// The neighbours, one further on: 0 and the last are ends.
    next: Vec<usize>,
    previous: Vec<usize>,
}

impl Events {
    fn of<O>(history: &[Operation<O>]) -> Self {
        let mut order = Vec::new();
        for (at, operation) in history.iter().enumerate() {
            // At the same time: the invocation first, they may have overlapped.
            order.push((operation.invoked, false, at));
            order.extend(operation.returned.map(|returned| (returned, true, at)));
        }
        order.sort_unstable();
        let mut places = vec![[None; 2]; history.len()];
        for (place, &(_, is_return, at)) in order.iter().enumerate() {
            places[at][usize::from(is_return)] = Some(place);
        }
        let length = order.len();
        Self {
            partner: order
                .iter()
                .map(|&(_, is_return, at)| places[at][usize::from(!is_return)])
                .collect(),
            order: order
                .into_iter()
                .map(|(_, is_return, at)| (at, !is_return))
                .collect(),
            next: (1..=length + 1).chain([0]).collect(),
            previous: [0].into_iter().chain(0..=length).collect(),
        }
    }

    fn first(&self) -> Option<usize> {
        self.at(self.next[0])
    }

    fn after(&self, event: usize) -> Option<usize> {
        self.at(self.next[event + 1])
    }

    fn at(&self, node: usize) -> Option<usize> {
        (1..=self.order.len()).contains(&node).then(|| node - 1)
    }

    fn is_invocation(&self, event: usize) -> bool {
        self.order[event].1
    }

    fn operation(&self, event: usize) -> usize {
        self.order[event].0
    }

    /// Takes an operation out, by its invocation.
    fn lift(&mut self, invocation: usize) {
        self.unlink(invocation);
        if let Some(partner) = self.partner[invocation] {
            self.unlink(partner);
        }
    }

    /// Puts back the operation that was taken out last.
    fn put_back(&mut self, invocation: usize) {
        if let Some(partner) = self.partner[invocation] {
            self.link(partner);
        }
        self.link(invocation);
    }

    fn unlink(&mut self, event: usize) {
        let (previous, next) = (self.previous[event + 1], self.next[event + 1]);
        self.next[previous] = next;
        self.previous[next] = previous;
    }

    fn link(&mut self, event: usize) {
        let (previous, next) = (self.previous[event + 1], self.next[event + 1]);
        self.next[previous] = event + 1;
        self.previous[next] = event + 1;
    }
}

/// A set of small numbers.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Set(Vec<u64>);

impl Set {
    fn new(length: usize) -> Self {
        Self(vec![0; length.div_ceil(64)])
    }

    fn insert(&mut self, number: usize) {
        self.0[number / 64] |= 1 << (number % 64);
    }

    fn remove(&mut self, number: usize) {
        self.0[number / 64] &= !(1 << (number % 64));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A register.
    #[derive(Clone, Copy)]
    enum Register {
        Write(u8),
        Read(u8),
    }

    use Register::{Read, Write};

    fn check(history: &[(u64, Option<u64>, Register)]) -> bool {
        let history: Vec<_> = history
            .iter()
            .map(|&(invoked, returned, what)| Operation {
                invoked,
                returned,
                what,
            })
            .collect();
        is_linearizable(&history, 0, |&state, &operation| match operation {
            Write(value) => Some(value),
            Read(value) => (value == state).then_some(state),
        })
    }

    #[test]
    fn histories_that_could_have_happened_pass() {
        assert!(check(&[]));
        assert!(check(&[(1, Some(2), Write(1)), (3, Some(4), Read(1))]));
        // A read during a write sees either.
        for seen in [0, 1] {
            assert!(check(&[(1, Some(9), Write(1)), (2, Some(3), Read(seen))]));
        }
        // Two writes at once: who reads decides which came last.
        for seen in [1, 2] {
            let writes = [(1, Some(5), Write(1)), (2, Some(6), Write(2))];
            assert!(check(&[writes[0], writes[1], (7, Some(8), Read(seen))]));
        }
        // A read that returns when a write begins may have been during it.
        assert!(check(&[(1, Some(5), Read(1)), (5, Some(6), Write(1))]));
        // Porcupine's example: the reads decide the order of the writes.
        assert!(check(&[
            (0, Some(10), Write(1)),
            (2, Some(4), Read(1)),
            (3, Some(7), Write(2)),
            (8, Some(9), Read(2)),
        ]));
    }

    #[test]
    fn histories_that_could_not_have_happened_are_found() {
        // A stale read.
        assert!(!check(&[(1, Some(2), Write(1)), (3, Some(4), Read(0))]));
        // A read of what was never written.
        assert!(!check(&[(1, Some(2), Write(1)), (1, Some(4), Read(7))]));
        // Once seen, a write is not unseen.
        assert!(!check(&[
            (1, Some(9), Write(1)),
            (2, Some(3), Read(1)),
            (4, Some(5), Read(0)),
        ]));
        // Two readers that disagree about the order of two writes.
        assert!(!check(&[
            (0, Some(20), Write(1)),
            (0, Some(20), Write(2)),
            (1, Some(2), Read(1)),
            (3, Some(4), Read(2)),
            (5, Some(6), Read(1)),
        ]));
        // The fault lies at the end of much that is in order.
        let mut history: Vec<_> = (0..200)
            .map(|n| (n * 2, Some(n * 2 + 3), Write(u8::try_from(n % 3).unwrap())))
            .collect();
        history.push((1000, Some(1001), Read(7)));
        assert!(!check(&history));
    }

    #[test]
    fn what_was_not_answered_took_effect_late_or_never() {
        let unknown = (1, None, Write(1));
        for seen in [[0, 0], [0, 1], [1, 1]] {
            let reads = [(2, Some(3), Read(seen[0])), (4, Some(5), Read(seen[1]))];
            assert!(check(&[unknown, reads[0], reads[1]]));
        }
        assert!(!check(&[
            unknown,
            (2, Some(3), Read(1)),
            (4, Some(5), Read(0))
        ]));
        assert!(!check(&[(6, None, Write(1)), (2, Some(3), Read(1))]));
    }
}
