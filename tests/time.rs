//! What the clock decides: expiry, overlap, how long an answer may be kept, and how
//! long a record.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/calls.rs"]
mod calls;
#[path = "support/clocked.rs"]
mod clocked;
#[path = "time/expiry.rs"]
mod expiry;
#[path = "time/overlap.rs"]
mod overlap;
#[path = "time/retention.rs"]
mod retention;
mod support;

use std::time::Duration;

use clocked::{Clocked, Disk};

/// 2027-01-01T00:00:00Z.
const START: i64 = 1_798_761_600_000;
const MILLISECOND: Duration = Duration::from_millis(1);
const DAY: Duration = Duration::from_hours(24);

async fn start() -> Clocked {
    Clocked::start(Disk::at(START)).await
}

/// The moment so many milliseconds after the epoch.
fn moment(millis: i64) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: millis.div_euclid(1000),
        nanos: i32::try_from(millis.rem_euclid(1000)).unwrap() * 1_000_000,
    }
}
