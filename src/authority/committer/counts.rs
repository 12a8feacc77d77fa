//! What the writer has committed, counted.

use std::time::Duration;

use crate::counts::{Counted, Histogram};

/// How many commands a commit carried out: up to [`GROUP`](super::GROUP).
const COMMANDS: &[u64] = &[1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024];
/// How long one took, in nanoseconds: from 100 microseconds to ten seconds.
const TIMES: &[u64] = &[
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    10_000_000_000,
];

/// What was committed since the process began.
#[derive(Debug)]
pub struct CommitCounts {
    commands: Histogram,
    times: Histogram,
}

impl Default for CommitCounts {
    fn default() -> Self {
        Self {
            commands: Histogram::new(COMMANDS),
            times: Histogram::new(TIMES),
        }
    }
}

impl CommitCounts {
    /// Counts a commit.
    pub(super) fn add(&self, commands: usize, time: Duration) {
        self.commands.count(commands as u64);
        self.times.count_time(time);
    }

    /// How many commands each commit carried out.
    #[must_use]
    pub fn commands(&self) -> Counted {
        self.commands.counted()
    }

    /// How long each took, in nanoseconds: from when it was decided what it is to write
    /// until that was durable and applied.
    #[must_use]
    pub fn times(&self) -> Counted {
        self.times.counted()
    }
}
