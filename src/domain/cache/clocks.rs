//! Two clocks that must agree.

use std::time::Duration;

use crate::domain::lease::BootTime;
use crate::domain::time::Timestamp;

/// A moment on both clocks of one machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// The time since the machine was started, in sleep too.
    pub boot: BootTime,
    /// The wall clock.
    pub wall: Timestamp,
}

/// Compares how much time passes by each of two clocks.
///
/// Leases rely on the time since the start. A machine that is halted and goes on, such
/// as a virtual one that is suspended by its host or was moved to another, may find
/// that clock where it was: its leases would seem to run. The wall clock is set right
/// then, and parts from it. So it does when somebody sets it, which costs a cache and
/// no more.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clocks {
    last: Option<Moment>,
}

/// By how much the clocks may part between two looks, beside [`SLEW`].
const STEP: Duration = Duration::from_millis(500);
/// By which part of the time that passes they may part: a wall clock is slewed by at
/// most 500 millionths (adjtimex(2)), in some systems by more.
const SLEW: u32 = 100;

impl Clocks {
    /// Whether they have parted suddenly since the last look.
    pub fn have_parted(&mut self, now: Moment) -> bool {
        let Some(last) = self.last else {
            self.last = Some(now);
            return false;
        };
        // Read before the last look, on another thread.
        if now.boot < last.boot {
            return false;
        }
        self.last = Some(now);
        let by_boot = now.boot.since(last.boot);
        let may_part = STEP + by_boot / SLEW;
        let (forward, back) = (now.wall.since(last.wall), last.wall.since(now.wall));
        // One of the two is zero.
        by_boot.abs_diff(forward) + back > may_part
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(boot: u64, wall: i64) -> Moment {
        Moment {
            boot: BootTime::new(Duration::from_millis(boot)),
            wall: Timestamp::from_millis(wall),
        }
    }

    #[test]
    fn clocks_part_when_one_jumps_and_not_when_one_is_slewed() {
        let mut clocks = Clocks::default();
        for (boot, wall, have_parted) in [
            (1_000, 1_000_000, false),
            (2_000, 1_001_000, false),
            (2_000, 1_001_400, false),
            // An hour in which one runs faster by half a hundredth.
            (3_602_000, 4_619_400, false),
            // The wall clock is set, forward and back.
            (3_603_000, 4_622_000, true),
            (3_604_000, 4_623_000, false),
            (3_605_000, 4_600_000, true),
            // The other stood still.
            (3_605_010, 5_600_000, true),
            // A moment that was read earlier.
            (3_605_000, 1, false),
            (3_606_010, 5_601_000, false),
        ] {
            let moment = moment(boot, wall);
            assert_eq!(clocks.have_parted(moment), have_parted, "{moment:?}");
        }
    }
}
