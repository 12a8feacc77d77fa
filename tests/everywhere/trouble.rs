//! What goes wrong meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::RngExt as _;
use tokio::time::sleep;

use crate::LEASE_MS;
use crate::processes::{Authority, Sidecar};
use crate::way::Way;

/// Those that get into trouble.
pub(crate) struct Trouble {
    pub(crate) authority: Authority,
    pub(crate) way: Way,
    pub(crate) sidecars: Vec<Sidecar>,
}

impl Trouble {
    /// Makes trouble until it is over, and ends with everybody on their feet.
    pub(crate) async fn make_until(mut self, over: Arc<AtomicBool>) -> Self {
        let mut counts = [0_usize; 5];
        while !over.load(Ordering::SeqCst) {
            let (what, which, lasts) = {
                let mut random = rand::rng();
                (
                    random.random_range(0..10),
                    random.random_range(0..self.sidecars.len()),
                    Duration::from_millis(random.random_range(0..LEASE_MS * 5 / 2)),
                )
            };
            let kind = match what {
                0..4 => {
                    let process = &self.sidecars[which].process;
                    process.signal("-STOP");
                    sleep(lasts).await;
                    process.signal("-CONT");
                    0
                }
                4..6 => {
                    self.way.cut();
                    sleep(lasts / 8).await;
                    1
                }
                6 => {
                    let process = self.authority.process();
                    process.signal("-STOP");
                    sleep(lasts / 2).await;
                    process.signal("-CONT");
                    2
                }
                7 => {
                    self.authority.kill().await;
                    3
                }
                _ => {
                    sleep(lasts / 2).await;
                    4
                }
            };
            counts[kind] += 1;
        }
        let [stopped, cut, held, killed, none] = counts;
        println!(
            "sidecars stopped {stopped} times, connections cut {cut}, the authority stopped {held} and killed {killed}, {none} times nothing"
        );
        self
    }
}
