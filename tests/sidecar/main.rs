//! What follows an authority, and answers in its place: the client, and the sidecar
//! that is built on it.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../support/calls.rs"]
mod calls;
#[path = "../support/mod.rs"]
mod support;

mod client;
mod example;
mod fake;
mod processes;
mod race;
mod sidecar;
mod world;
