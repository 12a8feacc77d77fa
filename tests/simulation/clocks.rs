//! The clocks of a simulated machine. They run at the rate and from the moment that
//! the world gave it, and go on while its process is down.

use std::time::Duration;

use credd::domain::lease::{BootClock, BootTime};
use credd::domain::time::{Clock, Timestamp};

/// The true time since the world began.
pub(crate) fn now() -> Duration {
    turmoil::sim_elapsed().unwrap_or_default()
}

/// A clock that counts from when the machine was started.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Drifting {
    /// How long the machine ran before the world began.
    pub(crate) before: Duration,
    /// By how many millionths it is fast.
    pub(crate) fast: i32,
}

impl BootClock for Drifting {
    fn now(&self) -> BootTime {
        let rate = 1.0 + f64::from(self.fast) / 1e6;
        BootTime::new(self.before + now().mul_f64(rate))
    }
}

/// The wall clock, which is right everywhere: no lease is measured by it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wall;

/// When the world begins: 2026-01-01T00:00:00Z.
const BEGIN: Timestamp = Timestamp::from_millis(1_767_225_600_000);

impl Clock for Wall {
    fn now(&self) -> Timestamp {
        BEGIN.checked_add(now()).unwrap_or(Timestamp::MAX)
    }
}
