//! What goes wrong meanwhile.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::RngExt as _;
use tokio::time::sleep;

use crate::LEASE;
use crate::etcd::Cluster;
use crate::node::Node;
use crate::support::serving;

/// Those that get into trouble.
pub(crate) struct Trouble {
    pub(crate) cluster: Cluster,
    pub(crate) nodes: Vec<Node>,
}

/// What may go wrong.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Kind {
    NodeCutOff,
    NodeStopped,
    NodeKilled,
    MemberKilled,
    MemberStopped,
    Nothing,
}

impl Kind {
    const ALL: [Self; 6] = [
        Self::NodeCutOff,
        Self::NodeStopped,
        Self::NodeKilled,
        Self::MemberKilled,
        Self::MemberStopped,
        Self::Nothing,
    ];
}

impl Trouble {
    /// Makes trouble until it is over, and ends with everybody on their feet. Everything
    /// that may go wrong does once before chance decides.
    pub(crate) async fn make_until(mut self, over: Arc<AtomicBool>) -> Self {
        let mut counts = BTreeMap::new();
        let mut first = Kind::ALL.into_iter();
        while !over.load(Ordering::SeqCst) || first.len() > 0 {
            let any = rand::rng().random_range(0..Kind::ALL.len());
            let kind = first.next().unwrap_or(Kind::ALL[any]);
            let which = rand::rng().random_range(0..3);
            let lasts = rand::rng().random_range(LEASE / 2..LEASE * 5 / 2);
            self.make(kind, which, lasts).await;
            *counts.entry(kind).or_insert(0) += 1;
        }
        println!("what went wrong: {counts:?}");
        for node in &self.nodes {
            serving(node.address).await;
        }
        self
    }

    async fn make(&mut self, kind: Kind, which: usize, lasts: Duration) {
        let node = &mut self.nodes[which];
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
            Kind::MemberKilled => {
                self.cluster.kill_member(which);
                sleep(lasts).await;
                self.cluster.start_member(which);
            }
            Kind::MemberStopped => {
                self.cluster.signal_member(which, "-STOP");
                sleep(lasts).await;
                self.cluster.signal_member(which, "-CONT");
            }
            Kind::Nothing => sleep(lasts).await,
        }
        // A majority of the members is there, and has a leader again.
        sleep(LEASE / 2).await;
    }
}
