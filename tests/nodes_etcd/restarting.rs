//! A node that is killed and starts again at once, under the same name.

use std::time::Duration;

use crate::processes::Sidecar;
use crate::support::at_socket;
use crate::way::Way;
use crate::witness::{ACTIVE, REVOKED, Witness};
use crate::world::World;
use crate::{LEASE, revoke};

/// How long a lease is: the node has started again before one is over.
const LONG: Duration = LEASE.saturating_mul(2);

/// What another node says that is cut off, and what a sidecar says that followed the node
/// before and does not reach it any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_node_that_starts_again_waits_for_others_and_for_who_followed_it_before() {
    let Some(mut world) = World::start(2, LONG).await else {
        return;
    };
    let mut way = Way::to(world.nodes[0].address).await;
    let sidecar = Sidecar::start(&way.url(), Some(&world.token_file())).await;
    for is_sidecar in [false, true, false, true] {
        let held = world.issue().await;
        let witness = if is_sidecar {
            let socket = at_socket(sidecar.socket());
            Witness::over(socket, &held, &world.token, "at first")
        } else {
            Witness::of(&held, world.nodes[1].address, &world.token, "at first")
        };
        witness.until_told(ACTIVE).await;
        if is_sidecar {
            // It has a lease once it says so without asking.
            let mut calls = None;
            while calls != Some(way.calls()) {
                calls = Some(way.calls());
                witness.begin("follows");
                witness.until_answered(3).await;
            }
        }
        witness.begin("cut off");
        if is_sidecar {
            way.close().await;
        } else {
            world.nodes[1].cut_off().await;
        }
        world.nodes[0].kill();
        world.nodes[0].start_again();
        revoke(&world.reach, &[0], &held.id).await;
        witness.begin("revoked");
        // A sidecar that can't ask is slow to say so.
        witness.until_asked(if is_sidecar { 2 } else { 20 }).await;
        witness.assert_no_yes("revoked");
        witness.begin("back");
        if is_sidecar {
            way.open().await;
        } else {
            world.nodes[1].reconnect().await;
        }
        witness.until_told(REVOKED).await;
        println!("{}", witness.story());
        for phase in ["revoked", "back"] {
            witness.assert_no_yes(phase);
        }
    }
}
