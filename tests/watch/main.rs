//! What Watch promises, over real connections.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

#[path = "../support/history.rs"]
mod history;

#[path = "../support/in_process.rs"]
mod in_process;

#[path = "../support/writers.rs"]
mod writers;

mod crowd;
mod ends;
mod laggards;
mod promises;
mod resets;
mod validators;
