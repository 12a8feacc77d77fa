//! The clocks of this machine.

use crate::domain::cache::Moment;
use crate::domain::lease::{BootClock as _, SystemBootClock};
use crate::domain::time::{Clock as _, SystemClock};

/// Now, by the time since the machine was started and by the wall clock.
#[must_use]
pub fn now() -> Moment {
    Moment {
        boot: SystemBootClock.now(),
        wall: SystemClock.now(),
    }
}
