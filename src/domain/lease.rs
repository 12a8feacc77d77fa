//! Leases: for how long a cache may answer without hearing from who it follows.
//!
//! Two clocks measure one lease. Whoever holds it counts from the moment when it
//! *sent* the message that asked for it; whoever granted it counts from the moment
//! when it *received* that message, and longer. So the holder's end comes before the
//! grantor's, however long the messages took and whichever of them were lost, as long
//! as neither clock runs wrong by more than the [`Drift`] that both allow for.
//!
//! The clock is that of the time since the machine was started, which goes on while
//! the machine sleeps (`CLOCK_BOOTTIME`). A wall clock jumps, and a clock that stops
//! in sleep would let a holder wake with a lease that ended long ago.

use std::ops::Add;
use std::time::Duration;

mod clock;
mod grantor;
mod holder;
mod peers;
mod relay;
mod tenure;
#[cfg(test)]
mod tests;

pub use clock::{BootClock, SystemBootClock};
pub use grantor::{FenceId, Fenced, Grantor};
pub use holder::{Holder, Sequence};
pub use peers::{Awaited, Peers};
pub use relay::Relay;
pub use tenure::Tenure;

/// A moment on the clock of one machine: the time since it was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BootTime(Duration);

impl BootTime {
    /// The moment this long after the start of the machine.
    #[must_use]
    pub const fn new(since_start: Duration) -> Self {
        Self(since_start)
    }

    /// How long after the start of the machine it is.
    #[must_use]
    pub const fn since_start(self) -> Duration {
        self.0
    }

    /// How long after `earlier` it is; zero if it is not after it.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for BootTime {
    type Output = Self;

    /// The moment so much later, or the last one there is.
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }
}

/// How wrong a clock may run, in millionths of the time that passes: a second of such
/// a clock lasts at least `1 - drift` and at most `1 + drift` seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Drift(u32);

impl Drift {
    /// What all processes of credd allow for: one part in a hundred. Crystals are a
    /// hundred times better, and clocks that are slewed keep to 500 millionths
    /// (adjtimex(2)).
    pub const STATED: Self = Self(10_000);

    const MILLION: u32 = 1_000_000;

    /// This many millionths; more than half of the time is as good as half.
    #[must_use]
    pub const fn millionths(drift: u32) -> Self {
        if drift > Self::MILLION / 2 {
            Self(Self::MILLION / 2)
        } else {
            Self(drift)
        }
    }

    /// How long to wait by one's own clock until at least `true_time` has passed.
    #[must_use]
    pub fn at_least(self, true_time: Duration) -> Duration {
        let nanos = true_time.as_nanos() * u128::from(Self::MILLION + self.0);
        from_nanos(nanos.div_ceil(u128::from(Self::MILLION)))
    }

    /// How long to go on by one's own clock while at most `true_time` passes.
    #[must_use]
    pub fn at_most(self, true_time: Duration) -> Duration {
        let nanos = true_time.as_nanos() * u128::from(Self::MILLION - self.0);
        from_nanos(nanos / u128::from(Self::MILLION))
    }

    /// How much time is sure to pass while one's own clock shows this much.
    #[must_use]
    pub fn sure_within(self, own_time: Duration) -> Duration {
        let nanos = own_time.as_nanos() * u128::from(Self::MILLION);
        from_nanos(nanos / u128::from(Self::MILLION + self.0))
    }
}

fn from_nanos(nanos: u128) -> Duration {
    const NANOS: u128 = 1_000_000_000;
    let (seconds, rest) = (u64::try_from(nanos / NANOS), u32::try_from(nanos % NANOS));
    match (seconds, rest) {
        (Ok(seconds), Ok(rest)) => Duration::new(seconds, rest),
        _ => Duration::MAX,
    }
}
