//! Fences and the leases of sessions, over the wire: a change with `fence` returns
//! when every session with a lease has applied it, or its lease has run out.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

#[path = "../support/calls.rs"]
mod calls;
mod crowded;
mod every;
#[path = "../support/in_process.rs"]
mod in_process;
mod longest;
mod renewals;
#[path = "../support/session.rs"]
mod session;
#[path = "../support/mod.rs"]
mod support;
mod waiting;

use support::{Server, config};

/// A server with leases of so many milliseconds.
async fn server(lease_ms: u64) -> Server {
    let directory = tempfile::tempdir().unwrap();
    let mut settings = config(directory.path());
    settings.fence.lease_ms = lease_ms;
    Server::start_with(directory, settings).await
}

/// A lease that nothing in a test outlives.
const LONG: u64 = 300_000;
/// One that is soon over.
const SHORT: u64 = 400;
