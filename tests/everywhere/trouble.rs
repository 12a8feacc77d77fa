//! What goes wrong meanwhile.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::RngExt as _;
use rand::distr::Distribution as _;
use rand::distr::weighted::WeightedIndex;
use tokio::time::sleep;

use crate::LEASE;
use crate::processes::{Authority, Process, Sidecar};
use crate::way::Way;

/// Those that get into trouble.
pub(crate) struct Trouble {
    pub(crate) authority: Authority,
    pub(crate) way: Way,
    pub(crate) sidecars: Vec<Sidecar>,
}

/// What may go wrong.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Kind {
    SidecarStopped,
    ConnectionsCut,
    AuthorityStopped,
    AuthorityKilled,
    Nothing,
}

impl Kind {
    const ALL: [Self; 5] = [
        Self::SidecarStopped,
        Self::ConnectionsCut,
        Self::AuthorityStopped,
        Self::AuthorityKilled,
        Self::Nothing,
    ];
    /// How often each comes, of their sum.
    const WEIGHTS: [u32; 5] = [4, 2, 1, 1, 2];

    fn any() -> Self {
        let weights = WeightedIndex::new(Self::WEIGHTS).unwrap();
        Self::ALL[weights.sample(&mut rand::rng())]
    }
}

impl Trouble {
    /// Makes trouble until it is over, and ends with everybody on their feet. Everything
    /// that may go wrong does once before chance decides, and the first to be stopped is
    /// one that the authority waits for, for longer than its lease.
    pub(crate) async fn make_until(mut self, over: Arc<AtomicBool>) -> Self {
        self.make(Kind::SidecarStopped, 0, LEASE * 2).await;
        let mut counts = BTreeMap::from([(Kind::SidecarStopped, 1)]);
        let mut first = Kind::ALL.into_iter().skip(1);
        while !over.load(Ordering::SeqCst) {
            let kind = first.next().unwrap_or_else(Kind::any);
            let which = rand::rng().random_range(0..self.sidecars.len());
            let lasts = rand::rng().random_range(Duration::ZERO..LEASE * 5 / 2);
            self.make(kind, which, lasts).await;
            *counts.entry(kind).or_default() += 1;
        }
        println!("what went wrong: {counts:?}");
        self
    }

    async fn make(&mut self, kind: Kind, which: usize, lasts: Duration) {
        match kind {
            Kind::SidecarStopped => stop(&self.sidecars[which].process, lasts).await,
            Kind::ConnectionsCut => {
                self.way.cut();
                sleep(lasts / 8).await;
            }
            Kind::AuthorityStopped => stop(self.authority.process(), lasts / 2).await,
            Kind::AuthorityKilled => self.authority.kill().await,
            Kind::Nothing => sleep(lasts / 2).await,
        }
    }
}

/// Has a process stand still for a while.
async fn stop(process: &Process, lasts: Duration) {
    process.signal("-STOP");
    sleep(lasts).await;
    process.signal("-CONT");
}
