//! The lease and the fence as a model: every order of what one authority, its sidecars
//! and the network between them can do, in worlds that are small, with the machines of
//! `credd::domain` themselves.
//!
//! - **Time.** True time is counted in ticks. The clock of each process shows less or
//!   more of it, within what the leases allow for. Whoever does nothing between two
//!   ticks is paused.
//! - **Worlds.** What may happen, and how often, is limited so that every state can be
//!   looked at, in a world of its own for each part of the protocol: see [`worlds`].
//! - **What must hold** ([`checks`]): no request that arrived after a fence had
//!   returned gets a yes from before it; no lease is held that nobody waits for; no
//!   fence is open past its bound. Answers from the cache, and those of nodes to who
//!   asks them directly, are looked at in each state, as if a request arrived then.
//! - **Each rule is needed** ([`refuted`]): the model breaks it around the machines
//!   ([`mutation`]), and finds a late yes. [`holds`] explores the same worlds unbroken.
//!
//! States that differ only in what can't matter any more are made equal, and fences
//! return as soon as they may, for that is the worst: the more requests arrive after it.
//! Commits and answers on one stream may overtake each other, which is more than the
//! network does; and streams are taken up by the revision alone, without the hash of
//! the log.
//!
//! `cargo test --test model -- --nocapture` prints how many states each world has. With
//! `CREDD_TEST_MODEL_MORE=1` the worlds are larger: more ticks, commits, messages or
//! faults in each. That takes minutes in a build with optimizations and some gigabytes
//! of memory.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod actions;
mod checks;
mod follower;
mod holds;
mod mutation;
mod refuted;
mod step;
mod world;
mod worlds;
