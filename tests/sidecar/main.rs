//! What follows an authority, and answers in its place: the client, and the sidecar
//! that is built on it.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../support/calls.rs"]
mod calls;
#[path = "../support/mod.rs"]
mod support;

#[path = "../support/pki.rs"]
mod pki;
#[path = "../support/way.rs"]
mod way;

mod cells;
mod checks;
mod client;
mod comeback;
mod example;
mod failover;
mod fake;
mod halted;
mod outlived;
mod processes;
mod race;
mod reach;
mod real;
mod relay;
mod resets;
mod sidecar;
mod stale;
mod tls;
mod world;
