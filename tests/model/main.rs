//! The lease and the fence as a model: every order of what one authority, its
//! sidecars and the network between them can do, within small bounds, with the
//! machines of `credd::domain` themselves.
//!
//! True time is counted in ticks; a clock shows three to five quarters of it, and
//! the leases allow for a drift of a quarter.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod checks;
mod world;
