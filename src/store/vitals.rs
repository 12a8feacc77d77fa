//! How a store is doing, for who watches over it.

use std::time::{Duration, SystemTime};

use crate::counts::Counted;

/// How a [`Store`](super::Store) is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vitals {
    /// When it failed: since then it answers nothing, or, if that was before it was
    /// opened, it was gone through anew. `None`: not as far as it is known.
    pub failed_at: Option<SystemTime>,
    /// How long ago it was last heard from, where it is on other machines; else zero.
    pub silence: Duration,
    /// How many bytes it takes, with its log; `None`: it can't be told.
    pub size: Option<u64>,
    /// How many bytes are free where it is; `None`: it can't be told.
    pub free: Option<u64>,
    /// How long it took to make commits durable, in nanoseconds.
    pub syncs: Counted,
}

/// The bounds of the times of syncs, in nanoseconds: from 100 microseconds to ten
/// seconds.
pub(super) const SYNC_BOUNDS: &[u64] = &[
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
