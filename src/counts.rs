//! Numbers that grow, for `/metrics`: counted where the work is done, and read when they
//! are asked for.
//!
//! Counting takes no lock and no memory. What many threads count at once is
//! [`Sharded`], so that none of them waits for another's cache line.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// A number that grows.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self) {
        self.add_many(1);
    }

    pub(crate) fn add_many(&self, number: u64) {
        self.0.fetch_add(number, Ordering::Relaxed);
    }

    /// What it is now.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What verdicts are called, in the order of the contract's numbers, which begin with 1.
pub const VERDICTS: [&str; 8] = [
    "active",
    "invalid",
    "locked",
    "revoked",
    "expired",
    "tenant_disabled",
    "owner_disabled",
    "forbidden",
];

/// How often values were how large: between bounds, each of which is the largest value
/// of its bucket.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [u64],
    /// One more than bounds: for what is larger than the last.
    buckets: Box<[Count]>,
    sum: Count,
}

/// What a [`Histogram`] has counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// The largest value of each bucket but the last, which has none.
    pub bounds: &'static [u64],
    /// How many values are in each bucket, and not in the one before.
    pub buckets: Vec<u64>,
    /// All values together.
    pub sum: u64,
}

impl Histogram {
    /// An empty one. The bounds must rise.
    #[must_use]
    pub fn new(bounds: &'static [u64]) -> Self {
        let buckets = std::iter::repeat_with(Count::default);
        Self {
            bounds,
            buckets: buckets.take(bounds.len() + 1).collect(),
            sum: Count::default(),
        }
    }

    pub(crate) fn count(&self, value: u64) {
        let place = self.bounds.iter().position(|bound| value <= *bound);
        // There is one for each place.
        if let Some(bucket) = self.buckets.get(place.unwrap_or(self.bounds.len())) {
            bucket.add();
        }
        self.sum.add_many(value);
    }

    /// Counts a time, in nanoseconds.
    pub(crate) fn count_time(&self, time: Duration) {
        self.count(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    /// What it has counted.
    #[must_use]
    pub fn counted(&self) -> Counted {
        Counted {
            bounds: self.bounds,
            buckets: self.buckets.iter().map(Count::get).collect(),
            sum: self.sum.get(),
        }
    }
}

impl Counted {
    /// How many values there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Both together; of the same bounds.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        if self.bounds.is_empty() {
            return other.clone();
        }
        for (bucket, more) in self.buckets.iter_mut().zip(&other.buckets) {
            *bucket += more;
        }
        self.sum += other.sum;
        self
    }
}

/// Several of what counts, of which each thread has one to itself, as far as there are
/// cores.
#[derive(Debug)]
pub struct Sharded<T>(Box<[Apart<T>]>);

/// In cache lines of its own; processors fetch two at a time.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Apart<T>(T);

/// The most of them: what counts little is not worth more memory.
const SHARDS: usize = 16;

static THREADS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static THREAD: Cell<usize> = Cell::new(THREADS.fetch_add(1, Ordering::Relaxed));
}

impl<T> Sharded<T> {
    /// As many as there are cores, but no more than 16.
    #[must_use]
    pub fn new(make: impl FnMut() -> T) -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let shards = cores.next_power_of_two().min(SHARDS);
        let mut make = make;
        Self((0..shards).map(|_| Apart(make())).collect())
    }

    /// That of this thread.
    pub(crate) fn here(&self) -> &T {
        let Apart(here) = &self.0[THREAD.get() % self.0.len()];
        here
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|Apart(one)| one)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_in_the_first_bucket_whose_bound_it_does_not_exceed() {
        let histogram = Histogram::new(&[10, 100]);
        for value in [0, 10, 11, 100, 101, u64::from(u32::MAX)] {
            histogram.count(value);
        }
        let counted = histogram.counted();
        assert_eq!(counted.buckets, [2, 2, 2]);
        assert_eq!(counted.count(), 6);
        assert_eq!(counted.sum, 222 + u64::from(u32::MAX));
        let twice = Counted::default().and(&counted).and(&counted);
        assert_eq!((twice.count(), twice.bounds), (12, counted.bounds));
        assert_eq!(twice.sum, 2 * counted.sum);
    }

    #[test]
    fn nothing_that_threads_count_at_once_is_lost() {
        const THREADS: u64 = 8;
        const EACH: u64 = 10_000;

        let counts = Sharded::new(Count::default);
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    for _ in 0..EACH {
                        counts.here().add();
                    }
                });
            }
        });
        assert_eq!(counts.all().map(Count::get).sum::<u64>(), THREADS * EACH);
    }
}
