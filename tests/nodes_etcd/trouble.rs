//! What goes wrong meanwhile.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::RngExt as _;
use rand::seq::SliceRandom as _;
use tokio::sync::oneshot;
use tokio::task::block_in_place;
use tokio::time::sleep;

use crate::LEASE;
use crate::gateway::{compact, leader, revision};
use crate::node::Node;
use crate::support::{serving, until};
use crate::world::World;

/// Those that get into trouble.
pub(crate) struct Trouble {
    /// Of three nodes.
    pub(crate) world: World,
    /// One that comes and goes, always under the same name.
    pub(crate) fourth: Node,
}

/// What may go wrong.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Kind {
    NodeCutOff,
    NodeStopped,
    NodeKilled,
    /// It is killed and started again at once, time after time.
    NodeRestarted,
    /// It is stopped and cut off, and etcd forgets what it has not heard of.
    NodeForgotten,
    NodeJoined,
    MemberKilled,
    MemberStopped,
    LeaderKilled,
    /// It is cut off from the other members, and nodes reach it as before.
    MemberCutOff,
    /// What it hears of the others comes late.
    MemberLate,
    Nothing,
}

impl Kind {
    const ALL: [Self; 12] = [
        Self::NodeCutOff,
        Self::NodeStopped,
        Self::NodeKilled,
        Self::NodeRestarted,
        Self::NodeForgotten,
        Self::NodeJoined,
        Self::MemberKilled,
        Self::MemberStopped,
        Self::LeaderKilled,
        Self::MemberCutOff,
        Self::MemberLate,
        Self::Nothing,
    ];
}

impl Trouble {
    /// Makes trouble until it is over, and ends with everybody on their feet. Everything
    /// that may go wrong does once before chance decides; `each_kind` is told then.
    pub(crate) async fn make_until(
        mut self,
        over: Arc<AtomicBool>,
        each_kind: oneshot::Sender<()>,
    ) -> Self {
        let mut counts = BTreeMap::new();
        let mut first = Kind::ALL;
        first.shuffle(&mut rand::rng());
        for kind in first {
            self.make(kind).await;
            *counts.entry(kind).or_insert(0) += 1;
        }
        let _ = each_kind.send(());
        while !over.load(Ordering::SeqCst) {
            let kind = Kind::ALL[rand::rng().random_range(0..Kind::ALL.len())];
            self.make(kind).await;
            *counts.entry(kind).or_insert(0) += 1;
        }
        println!("what went wrong: {counts:?}");
        for node in &self.world.nodes {
            serving(node.address).await;
        }
        self
    }

    async fn make(&mut self, kind: Kind) {
        let which = rand::rng().random_range(0..3);
        let lasts = any(LEASE / 2..LEASE * 5 / 2);
        let World {
            nodes,
            cluster,
            peers,
            ..
        } = &mut self.world;
        let node = &mut nodes[which];
        match kind {
            Kind::NodeCutOff => {
                node.cut_off().await;
                sleep(lasts).await;
                node.reconnect().await;
            }
            Kind::NodeStopped => {
                node.process().signal("-STOP");
                sleep(lasts).await;
                node.process().signal("-CONT");
            }
            Kind::NodeKilled => {
                node.kill();
                sleep(lasts / 2).await;
                node.start_again();
            }
            Kind::NodeRestarted => {
                for _ in 0..3 {
                    node.kill();
                    node.start_again();
                    // It has begun to answer by then, or not.
                    sleep(any(Duration::ZERO..LEASE)).await;
                }
            }
            Kind::NodeForgotten => {
                node.process().signal("-STOP");
                // More than the connections hold that go on meanwhile.
                node.cut_off().await;
                let heard_of = block_in_place(|| revision(cluster));
                sleep(lasts).await;
                until("a commit", || async {
                    block_in_place(|| revision(cluster)) > heard_of
                })
                .await;
                block_in_place(|| compact(cluster, revision(cluster)));
                node.reconnect().await;
                node.process().signal("-CONT");
            }
            Kind::NodeJoined => {
                self.fourth.start_again();
                serving(self.fourth.address).await;
                sleep(lasts).await;
                self.fourth.kill();
            }
            Kind::MemberKilled => {
                cluster.kill_member(which);
                sleep(lasts).await;
                cluster.start_member(which);
            }
            Kind::MemberStopped => {
                cluster.signal_member(which, "-STOP");
                sleep(lasts).await;
                cluster.signal_member(which, "-CONT");
            }
            Kind::LeaderKilled => {
                let leader = block_in_place(|| leader(cluster));
                cluster.kill_member(leader);
                sleep(lasts).await;
                cluster.start_member(leader);
            }
            Kind::MemberCutOff => {
                peers.cut(which);
                sleep(lasts).await;
                peers.heal();
            }
            Kind::MemberLate => {
                peers.slow(which, any(LEASE / 20..LEASE * 2 / 5));
                sleep(lasts).await;
                peers.heal();
            }
            Kind::Nothing => sleep(lasts).await,
        }
        // A majority of the members is there, and has a leader again.
        sleep(LEASE / 2).await;
        for node in nodes {
            node.assert_running();
        }
    }
}

fn any(range: std::ops::Range<Duration>) -> Duration {
    rand::rng().random_range(range)
}
