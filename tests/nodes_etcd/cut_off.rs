//! A node that is cut off from etcd.

use std::net::SocketAddr;

use credd::server::health::STARTED;
use tonic_health::pb::health_check_response::ServingStatus;

use crate::support::{health, until};
use crate::witness::{ACTIVE, LAPSED, REVOKED, Witness};
use crate::world::World;
use crate::{LEASE, revoke};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_node_that_is_cut_off_says_no_yes_after_a_fence_has_returned() {
    let Some(mut world) = World::start(3, LEASE).await else {
        return;
    };
    let good = world.issue().await;
    for which in 0..3 {
        let held = world.issue().await;
        let address = world.nodes[which].address;
        let of = |held| Witness::of(held, address, &world.token, "at first");
        let both @ [of_revoked, of_good] = &[of(&held), of(&good)];
        for witness in both {
            witness.until_told(ACTIVE).await;
            witness.begin("cut off");
        }
        world.nodes[which].cut_off().await;
        let others = [(which + 1) % 3, (which + 2) % 3];
        revoke(&world.reach, &others, &held.id).await;
        for witness in both {
            witness.begin("revoked");
        }
        for witness in both {
            witness.until_answered(20).await;
            // Not of one that is good either: it can't know that.
            witness.assert_no_yes("revoked");
            witness.until_told(LAPSED).await;
        }
        // It is sent no more questions, and is not ended.
        until_health(address, ServingStatus::NotServing).await;
        let started = health(address, STARTED).await;
        assert_eq!(started, Some(ServingStatus::Serving));
        for witness in both {
            // Who asked before is answered before it can be reached again.
            witness.begin("back");
            witness.until_told(LAPSED).await;
        }
        world.nodes[which].reconnect().await;
        of_good.until_told(ACTIVE).await;
        of_revoked.until_told(REVOKED).await;
        until_health(address, ServingStatus::Serving).await;
        println!("of one that is revoked: {}", of_revoked.story());
        println!("of one that is good: {}", of_good.story());
        for witness in both {
            witness.assert_no_yes("revoked");
        }
        of_revoked.assert_no_yes("back");
    }
}

async fn until_health(address: SocketAddr, status: ServingStatus) {
    until("another health", || async {
        health(address, "").await == Some(status)
    })
    .await;
}
