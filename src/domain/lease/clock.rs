//! The clock that leases are measured by.

use std::fmt;
use std::time::Duration;

use super::BootTime;

/// A source of the time since the machine was started, time asleep included.
pub trait BootClock: fmt::Debug + Send + Sync + 'static {
    /// The time now. It never goes back.
    fn now(&self) -> BootTime;
}

/// The machine's clock of that time: `CLOCK_BOOTTIME` of `clock_gettime(2)`.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemBootClock;

impl BootClock for SystemBootClock {
    fn now(&self) -> BootTime {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
        let nanos = u32::try_from(now.tv_nsec).unwrap_or(0);
        BootTime::new(Duration::new(seconds, nanos))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_clock_goes_on_and_never_back() {
        let clock = SystemBootClock;
        let first = clock.now();
        assert!(first > BootTime::default());
        let mut last = first;
        while last == first {
            let now = clock.now();
            assert!(now >= last);
            last = now;
        }
    }
}
