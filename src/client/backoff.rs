//! How long to wait before the next attempt.

use std::time::Duration;

use rand::RngExt as _;

/// Waits that grow and are drawn at random, so that many who were cut off at once do
/// not come back at once: each is up to twice as long as the one before may have been
/// ("full jitter": Brooker, Exponential Backoff And Jitter, 2015).
#[derive(Clone, Copy, Debug)]
pub(super) struct Backoff {
    attempts: u32,
    base: Duration,
    most: Duration,
}

impl Default for Backoff {
    /// Up to 200 ms at first, up to 5 s at last.
    fn default() -> Self {
        Self {
            attempts: 0,
            base: Duration::from_millis(200),
            most: Duration::from_secs(5),
        }
    }
}

impl Backoff {
    /// The same, with waits of about this at last.
    pub(super) const fn at_most(self, most: Duration) -> Self {
        Self { most, ..self }
    }

    /// The next wait: never none.
    pub(super) fn next(&mut self) -> Duration {
        let doubled = 1 << self.attempts.min(10);
        self.attempts = self.attempts.saturating_add(1);
        let bound = (self.base * doubled).min(self.most);
        let least = self.base / 20;
        least + bound.mul_f64(rand::rng().random_range(0.0..1.0))
    }

    /// Before the first attempt: soon, and not at once with others.
    pub(super) fn first(&self) -> Duration {
        self.base.mul_f64(rand::rng().random_range(0.0..0.25))
    }

    /// It went well.
    pub(super) const fn reset(&mut self) {
        self.attempts = 0;
    }
}

/// A period, by up to a tenth shorter, so that many who began at once do not go on at
/// once.
pub(crate) fn jittered(period: Duration) -> Duration {
    period.mul_f64(rand::rng().random_range(0.9..1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_bound_and_no_two_are_alike() {
        let mut backoff = Backoff::default();
        let bounds = [200, 400, 800, 1_600, 3_200, 5_000, 5_000];
        let waits = bounds.map(|bound| {
            let wait = backoff.next();
            assert!(wait >= Duration::from_millis(10), "{wait:?}");
            assert!(wait <= Duration::from_millis(bound + 10), "{wait:?}");
            wait
        });
        backoff.reset();
        assert!(backoff.next() <= Duration::from_millis(210));
        let mut distinct = waits.to_vec();
        distinct.sort();
        distinct.dedup();
        assert_eq!(distinct.len(), waits.len());
    }
}
