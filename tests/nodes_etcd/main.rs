//! Several nodes on a real etcd of three members, while members and nodes fail and the
//! ways between them are cut or slow.
//!
//! A fenced Revoke that has returned is final everywhere, whoever is asked: the recorder
//! of `tests/everywhere`, and witnesses at single nodes, look on. What was acknowledged
//! is there at the end, at every node, and what clients were told meanwhile could have
//! happened one after the other.
//!
//! `CREDD_TEST_REVOKES` (60) credentials are revoked where everything goes wrong
//! (`chaos`); hundreds by hand.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

#[allow(dead_code, reason = "a part of it is used")]
#[path = "../everywhere/asking.rs"]
mod asking;
#[path = "../support/calls.rs"]
mod calls;
mod chaos;
#[path = "../support/linearizability.rs"]
mod checker;
mod commands;
mod cut_off;
#[path = "../support/etcd.rs"]
mod etcd;
mod forgotten;
mod gateway;
mod joining;
mod lagging;
#[path = "../support/credential_model.rs"]
mod model;
mod node;
mod peers;
#[path = "../support/pki.rs"]
mod pki;
#[allow(dead_code, reason = "a part of it is used")]
#[path = "../everywhere/processes.rs"]
mod processes;
mod restarting;
mod rolling;
mod secured;
#[path = "../support/mod.rs"]
mod support;
mod trouble;
#[path = "../support/way.rs"]
mod way;
mod witness;
mod world;

use std::time::Duration;

use credd::proto::v1;
use node::Reach;
use rand::RngExt as _;
use support::revoke_request;
use tonic::{Code, Status};

/// How long a lease of a node's is.
const LEASE: Duration = Duration::from_secs(1);
/// How long a call may take before another node is asked.
const PATIENCE: Duration = Duration::from_secs(4);

/// Revokes with a fence, at whichever of these nodes carries it out.
async fn revoke(reach: &Reach, at: &[usize], id: &str) {
    loop {
        let request = v1::RevokeRequest {
            fence: true,
            ..revoke_request(id)
        };
        let client = reach.client(at[rand::rng().random_range(0..at.len())]);
        let mut credentials = client.credentials.clone();
        match tokio::time::timeout(PATIENCE, credentials.revoke(request)).await {
            Ok(Ok(answer)) => {
                assert!(answer.into_inner().fence.is_some());
                return;
            }
            Err(_) => (),
            Ok(Err(status)) => assert_may_be_retried(&status),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Refuses an answer that no failure of nodes or members explains.
fn assert_may_be_retried(status: &Status) {
    let is_final = matches!(
        status.code(),
        Code::InvalidArgument
            | Code::NotFound
            | Code::PermissionDenied
            | Code::Unauthenticated
            | Code::FailedPrecondition
    );
    assert!(!is_final, "{status:?}");
}
