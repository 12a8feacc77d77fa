//! Whatever a client sends: it gets an answer that names what is wrong, and
//! nothing has changed.
#![allow(
    clippy::assigning_clones,
    clippy::field_reassign_with_default,
    clippy::similar_names,
    clippy::too_many_lines,
    reason = "a table is as long as it is, and each row says one thing"
)]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

mod bindings;
mod callers;
mod credentials;
mod directory;
mod lists;
mod profiles;
mod terms;
mod unchanged;
mod verify;
mod wire;
