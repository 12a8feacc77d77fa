//! A node that was away while etcd forgot what it lacks.

use credd::proto::v1::CredentialState;
use tokio::task::block_in_place;

use crate::gateway::{compact, revision};
use crate::support::until;
use crate::world::World;
use crate::{LEASE, revoke};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_node_that_lags_behind_what_etcd_has_forgotten_loads_the_store_anew() {
    let Some(mut world) = World::start(2, LEASE).await else {
        return;
    };
    world.nodes[1].process().signal("-STOP");
    // More than the connections hold that go on meanwhile.
    world.nodes[1].cut_off().await;
    let mut issued = Vec::new();
    for _ in 0..20 {
        issued.push(world.reach.client(0).issue_token("acme").await.0);
    }
    block_in_place(|| compact(&world.cluster, revision(&world.cluster)));
    world.nodes[1].reconnect().await;
    world.nodes[1].process().signal("-CONT");
    until("the node to know what was issued", || async {
        world.reach.client(1).get(&issued[19]).await.is_ok()
    })
    .await;
    for id in &issued {
        world.reach.client(1).get(id).await.unwrap();
    }
    revoke(&world.reach, &[1], &issued[0]).await;
    let gone = world.reach.client(0).get(&issued[0]).await.unwrap();
    assert_eq!(gone.state(), CredentialState::Revoked);
}
