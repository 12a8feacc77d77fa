//! Several nodes that share a store: each answers alike, a fence waits for all of them,
//! and what must be unique is unique under writes at several of them at once.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

#[path = "../support/calls.rs"]
mod calls;
mod ending;
mod fences;
mod following;
#[path = "../support/in_process.rs"]
mod in_process;
#[path = "../support/session.rs"]
mod session;
#[path = "../support/mod.rs"]
mod support;
mod unique;
mod uses;

use std::sync::Arc;
use std::time::Duration;

use credd::domain::revision::StoreId;
use credd::store::memory::MemoryStore;

use in_process::InProcess;

/// A lease that no test outlives.
const LONG: Duration = Duration::from_mins(5);
/// One that is soon over.
const SHORT: Duration = Duration::from_millis(600);

/// Nodes with leases of these lengths, on one store.
async fn nodes<const N: usize>(leases: [Duration; N]) -> [InProcess; N] {
    let store = Arc::new(MemoryStore::shared(StoreId::from_random([7; 16])));
    let mut nodes = Vec::with_capacity(N);
    for lease in leases {
        nodes.push(InProcess::start_leasing(Arc::clone(&store) as _, lease).await);
    }
    for node in &nodes {
        support::until("each to know the others", || async {
            node.authority.sessions().standing().peers == N - 1
        })
        .await;
    }
    nodes.try_into().unwrap_or_else(|_| unreachable!("{N}"))
}

async fn stop(nodes: impl IntoIterator<Item = InProcess>) {
    for node in nodes {
        node.stop().await.unwrap();
    }
}
