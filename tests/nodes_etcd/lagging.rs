//! A node that knows of one member alone, which lags.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::block_in_place;

use crate::gateway::leader;
use crate::node::{Node, Reach};
use crate::support::{serving, until};
use crate::witness::{ACTIVE, LAPSED, REVOKED, Witness};
use crate::world::World;
use crate::{LEASE, revoke};

/// How a member lags.
#[derive(Clone, Copy, Debug)]
enum Lag {
    /// It gets nothing from the others, and they nothing from it.
    Cut,
    Late(Duration),
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_node_whose_only_member_lags_gives_no_late_yes_and_comes_back() {
    let Some(mut world) = World::start(2, LEASE).await else {
        return;
    };
    // One that is cut off while it leads leads on, as far as it knows, for a while.
    let member = block_in_place(|| leader(&world.cluster));
    let members = [world.cluster.addresses()[member]];
    let mut node = Node::at(&members, world.directory.path(), 2, LEASE).await;
    node.start_again();
    serving(node.address).await;
    world.nodes.push(node);
    world.reach = Arc::new(Reach::to(&world.nodes));
    let good = world.issue().await;
    for lag in [
        Lag::Cut,
        Lag::Late(Duration::from_millis(100)),
        Lag::Cut,
        Lag::Late(Duration::from_millis(300)),
    ] {
        let held = world.issue().await;
        let of = |held| Witness::of(held, world.nodes[2].address, &world.token, "at first");
        let both @ [of_revoked, of_good] = &[of(&held), of(&good)];
        for witness in both {
            witness.until_told(ACTIVE).await;
            witness.begin("lags");
        }
        match lag {
            Lag::Cut => world.peers.cut(member),
            Lag::Late(by) => world.peers.slow(member, by),
        }
        revoke(&world.reach, &[0, 1], &held.id).await;
        for witness in both {
            witness.begin("revoked");
        }
        for witness in both {
            witness.until_answered(20).await;
        }
        of_revoked.assert_no_yes("revoked");
        if let Lag::Cut = lag {
            of_good.assert_no_yes("revoked");
            of_good.until_told(LAPSED).await;
        }
        let meanwhile = world.reach.client(0).issue_token("acme").await;
        for witness in both {
            witness.begin("healed");
        }
        world.peers.heal();
        of_good.until_told(ACTIVE).await;
        of_revoked.until_told(REVOKED).await;
        until("the node to know what was issued meanwhile", || async {
            world.reach.client(2).get(&meanwhile.0).await.is_ok()
        })
        .await;
        println!("{lag:?}, of one that is revoked: {}", of_revoked.story());
        println!("{lag:?}, of one that is good: {}", of_good.story());
        for phase in ["revoked", "healed"] {
            of_revoked.assert_no_yes(phase);
        }
    }
}
