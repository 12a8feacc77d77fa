//! A node that joins while a fence waits.

use std::sync::Arc;
use std::time::Duration;

use credd::proto::v1::CredentialState;
use rand::RngExt as _;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::node::Node;
use crate::support::until;
use crate::witness::{ACTIVE, REVOKED, Witness};
use crate::world::World;
use crate::{LEASE, revoke};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_node_that_joins_while_a_fence_waits_gives_no_late_yes() {
    let Some(world) = World::start(2, LEASE).await else {
        return;
    };
    let mut answered_while_it_waits = 0;
    for round in 0..6 {
        // In every other round it is cut off again, at whatever moment of its start.
        let is_cut_off = round % 2 == 1;
        let (first, second, good) = (
            world.issue().await,
            world.issue().await,
            world.issue().await,
        );
        let directory = world.directory.path();
        let mut node = Node::at(&world.cluster.addresses(), directory, 2 + round, LEASE).await;
        let of = |held| Witness::of(held, node.address, &world.token, "waits");
        let [of_first, of_second, of_good] = [of(&first), of(&second), of(&good)];

        // The fence waits for one that hangs.
        world.nodes[1].process().signal("-STOP");
        let revoking = |id: &str| {
            let (reach, id) = (Arc::clone(&world.reach), id.to_owned());
            tokio::spawn(async move { revoke(&reach, &[0], &id).await })
        };
        let first_fence = revoking(&first.id);
        until("it to be revoked", || async {
            let credential = world.reach.client(0).get(&first.id).await;
            credential.is_ok_and(|it| it.state() == CredentialState::Revoked)
        })
        .await;
        node.start_again();
        sleep(rand::rng().random_range(Duration::ZERO..LEASE)).await;
        if is_cut_off {
            node.cut_off().await;
        }
        let second_fence = revoking(&second.id);
        let returned = async |fence: JoinHandle<()>, witness: &Witness| {
            fence.await.unwrap();
            witness.begin("revoked");
        };
        tokio::join!(
            returned(first_fence, &of_first),
            returned(second_fence, &of_second)
        );
        world.nodes[1].process().signal("-CONT");
        if is_cut_off {
            of_second.until_asked(50).await;
            node.reconnect().await;
        }
        of_first.until_told(REVOKED).await;
        of_second.until_told(REVOKED).await;
        of_good.until_told(ACTIVE).await;
        println!("of the first: {}", of_first.story());
        println!("of the second: {}", of_second.story());
        println!("of one that is good: {}", of_good.story());
        for witness in [&of_first, &of_second] {
            witness.assert_no_yes("revoked");
        }
        answered_while_it_waits += of_first.heard("waits", REVOKED);
        drop(node);
        world.until_there_are(2).await;
    }
    assert!(answered_while_it_waits > 0);
}
