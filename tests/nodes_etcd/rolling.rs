//! Nodes that are replaced one after the other, as a new version is rolled out.

use crate::LEASE;
use crate::processes::Sidecar;
use crate::support::{at_socket, serving};
use crate::witness::{ACTIVE, REVOKED, Witness};
use crate::world::World;

/// How often each node is replaced.
const ROUNDS: usize = 2;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_question_to_a_sidecar_fails_while_nodes_are_replaced() {
    let Some(mut world) = World::start(3, LEASE * 2).await else {
        return;
    };
    let urls: Vec<_> = world
        .nodes
        .iter()
        .map(|node| format!("http://{}", node.address))
        .collect();
    let sidecar = Sidecar::start(&urls.join(","), Some(&world.token_file())).await;
    let (good, bad) = (world.issue().await, world.issue().await);
    crate::revoke(&world.reach, &[0], &bad.id).await;
    // What is kept, and what is asked for each time.
    let asked: Vec<_> = [(&good, ACTIVE), (&bad, REVOKED)]
        .into_iter()
        .map(|(held, verdict)| {
            let channel = at_socket(sidecar.socket());
            (
                Witness::over(channel, held, &world.token, "before"),
                verdict,
            )
        })
        .collect();
    for (witness, verdict) in &asked {
        witness.until_told(verdict).await;
        witness.begin("rolling");
    }
    for _ in 0..ROUNDS {
        for node in &mut world.nodes {
            node.stop();
            node.start_again();
            serving(node.address).await;
            for (witness, _) in &asked {
                let before = witness.answers();
                crate::support::until("more answers", || async { witness.answers() > before + 20 })
                    .await;
            }
        }
    }
    for (witness, verdict) in &asked {
        let told = witness.heard("rolling", verdict);
        println!("{}", witness.story());
        assert!(told > ROUNDS * 3 * 20, "{}", witness.story());
        assert_eq!(told, witness.answers(), "{}", witness.story());
    }
}
