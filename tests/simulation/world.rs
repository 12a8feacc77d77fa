//! One world: its machines, what goes wrong, and how it ends.
//!
//! ```text
//! authority <- direct                  follows the authority
//!           <- relay <- leaf           follows through another sidecar
//!           <- either                  follows the relay, or the authority
//! second                               in every other world: on the same store
//!           <- either                  follows that, too
//! ```

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use credd::authority::background;
use credd::authority::sessions::LeaseSettings;
use credd::domain::revision::StoreId;
use credd::proto::v1::verification_service_client::VerificationServiceClient;
use credd::store::Store;
use credd::store::memory::MemoryStore;
use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use turmoil::Sim;

use crate::actors::{Writer, ask_from_afar, ask_within};
use crate::clocks::{Drifting, now};
use crate::ending::{Ending, Judge};
use crate::hosts::{self, tokens};
use crate::network::{Simulated, channel};
use crate::record::Record;
use crate::store::{Disk, Next};
use crate::support::{Bearer, Client};

/// The sidecars, and whom they follow.
const SIDECARS: [(&str, &[&str]); 4] = [
    ("direct", &["authority"]),
    ("relay", &["authority"]),
    ("leaf", &["relay"]),
    ("either", &["relay", "authority"]),
];
/// Whom the last one follows where there are two nodes.
const EITHER: &[&str] = &["second", "relay", "authority"];
/// Who asks and changes things from afar.
const AFAR: [&str; 2] = ["platform", "user"];
/// How long leases may be: each time that it starts, the authority has another opinion.
const SHORTEST: Duration = Duration::from_millis(400);
pub(crate) const LONGEST: Duration = Duration::from_millis(1500);
/// How long things go wrong.
const TROUBLE: Duration = Duration::from_secs(8);
/// How long it may take until all is well again.
const RECOVERY: Duration = Duration::from_secs(40);
const TICK: Duration = Duration::from_millis(5);

/// What outlives the processes of a world.
struct World {
    record: Record,
    random: SmallRng,
    /// The nodes, and the store as each has it open.
    nodes: BTreeMap<&'static str, Opened>,
    ending: Arc<Ending>,
    /// What sidecars connect with.
    networks: BTreeMap<&'static str, Simulated>,
    /// The machines whose process is down.
    down: BTreeSet<&'static str>,
    /// What ends, and when.
    ends: Vec<(Duration, End)>,
}

/// A store as a process has it open; `None`: it has failed.
type Opened = Arc<Mutex<Option<Arc<Disk>>>>;

/// What is to end.
#[derive(Clone, Copy, Debug)]
enum End {
    Partition(&'static str, &'static str),
    Hold(&'static str, &'static str),
    Crash(&'static str),
}

/// Lets a world happen.
pub(crate) fn run(seed: u64, record: &Record, token_file: &Path) {
    background::work_in_place();
    let mut random = SmallRng::seed_from_u64(seed);
    let mut sim = turmoil::Builder::new()
        .rng_seed(random.random())
        .tick_duration(TICK)
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(Duration::from_millis(random.random_range(2..60)))
        .simulation_duration(Duration::from_hours(1))
        .tcp_capacity(4096)
        .enable_random_order()
        .build();
    let mut world = World {
        record: record.clone(),
        random,
        nodes: BTreeMap::new(),
        ending: Arc::default(),
        networks: BTreeMap::new(),
        down: BTreeSet::new(),
        ends: Vec::new(),
    };
    let nodes: &[_] = if seed.is_multiple_of(2) {
        &["authority"]
    } else {
        &["authority", "second"]
    };
    world.build(&mut sim, nodes, token_file);
    world.trouble(&mut sim);
    world.recover(&mut sim);
}

impl World {
    fn build(&mut self, sim: &mut Sim<'_>, nodes: &[&'static str], token_file: &Path) {
        let id = StoreId::from_random([1; 16]);
        let kept = Arc::new(match nodes.len() {
            1 => MemoryStore::new(id),
            _ => MemoryStore::shared(id),
        });
        for name in nodes {
            self.node(sim, name, &kept);
        }
        for (name, follows) in SIDECARS {
            let is_either = name == "either" && nodes.len() > 1;
            let follows = if is_either { EITHER } else { follows };
            self.sidecar(sim, name, follows, token_file);
        }
        let last = nodes[nodes.len() - 1];
        let writer = self.writer("platform", last, false);
        sim.host("platform", move || {
            let writer = writer();
            async move {
                writer.work().await;
                std::future::pending().await
            }
        });
        let (record, seed) = (self.record.clone(), self.random.random::<u64>());
        let ending = Arc::clone(&self.ending);
        let asked = nodes.to_vec();
        sim.host("user", move || {
            let (record, ending) = (record.clone(), Arc::clone(&ending));
            let asked = asked.clone();
            async move {
                let [_, token] = tokens();
                for host in ["direct", "leaf"].into_iter().chain(asked.clone()) {
                    let client = VerificationServiceClient::with_interceptor(
                        channel(host),
                        Bearer::new(&token),
                    );
                    let random = SmallRng::seed_from_u64(seed);
                    let (record, ending) = (record.clone(), Arc::clone(&ending));
                    tokio::spawn(ask_from_afar(host, client, record, ending, random));
                }
                std::future::pending().await
            }
        });
    }

    /// A node, with a writer beside it that nothing separates from it.
    fn node(&mut self, sim: &mut Sim<'_>, name: &'static str, kept: &Arc<MemoryStore>) {
        let kept = Arc::clone(kept);
        let clock = self.clock();
        let near = if name == "second" { "nearby" } else { "near" };
        let writer = self.writer(near, "127.0.0.1", true);
        let disk = Opened::default();
        self.nodes.insert(name, Arc::clone(&disk));
        let record = self.record.clone();
        let ending = Arc::clone(&self.ending);
        let (seed, starts) = (self.random.random::<u64>(), Cell::new(0));
        sim.host(name, move || {
            starts.set(starts.get() + 1);
            let seed = seed.wrapping_add(starts.get());
            let opened = Arc::new(Disk::open(Arc::clone(&kept)));
            *disk.lock() = Some(Arc::clone(&opened));
            let (writer, record, ending) = (writer(), record.clone(), Arc::clone(&ending));
            let disk = Arc::clone(&disk);
            let leases = LeaseSettings {
                clock: Arc::new(clock),
                length: SmallRng::seed_from_u64(seed).random_range(SHORTEST..=LONGEST),
            };
            async move {
                tokio::spawn(writer.work());
                let told = record.clone();
                tokio::spawn(async move {
                    let [_, token] = tokens();
                    let asked = Client::over(channel("127.0.0.1"), &token);
                    let judge = Judge::Authority(name, Box::new(asked));
                    ending.judge(judge, &told).await;
                });
                let ended = hosts::authority(opened as Arc<dyn Store>, leases, seed).await;
                record.note(now(), &format!("{name} ends: {ended:?}"));
                // Whoever looks after it sees that.
                *disk.lock() = None;
                std::future::pending().await
            }
        });
    }

    fn sidecar(
        &mut self,
        sim: &mut Sim<'_>,
        name: &'static str,
        follows: &'static [&'static str],
        token_file: &Path,
    ) {
        let (clock, network) = (self.clock(), Simulated::default());
        self.networks.insert(name, network.clone());
        let (record, token_file) = (self.record.clone(), token_file.to_owned());
        let ending = Arc::clone(&self.ending);
        let (seed, starts) = (self.random.random::<u64>(), Cell::new(0));
        sim.host(name, move || {
            starts.set(starts.get() + 1);
            let seed = seed.wrapping_add(starts.get());
            let (record, token_file) = (record.clone(), token_file.clone());
            let (ending, network) = (Arc::clone(&ending), network.clone());
            async move {
                let client = hosts::sidecar(follows, token_file, clock, network, seed)?;
                let random = SmallRng::seed_from_u64(seed);
                let (told, end) = (record.clone(), Arc::clone(&ending));
                tokio::spawn(ask_within(name, client.clone(), told, end, random));
                ending
                    .judge(Judge::Sidecar(name, Box::new(client)), &record)
                    .await;
                std::future::pending().await
            }
        });
    }

    /// What makes a writer, each time that its machine starts.
    fn writer(
        &mut self,
        name: &'static str,
        authority: &'static str,
        is_near: bool,
    ) -> impl Fn() -> Writer + use<> {
        let (record, issued) = (self.record.clone(), Arc::default());
        let ending = Arc::clone(&self.ending);
        let (seed, starts) = (self.random.random::<u64>(), Cell::new(0));
        move || {
            starts.set(starts.get() + 1);
            let [token, _] = tokens();
            Writer {
                name,
                client: Client::over(channel(authority), &token),
                record: record.clone(),
                random: SmallRng::seed_from_u64(seed.wrapping_add(starts.get())),
                issued: Arc::clone(&issued),
                is_near,
                ending: Arc::clone(&ending),
            }
        }
    }

    /// A clock that keeps to what all clocks are trusted to keep to.
    fn clock(&mut self) -> Drifting {
        let most = 9_900;
        Drifting {
            before: Duration::from_secs(self.random.random_range(1..1_000_000)),
            fast: self.random.random_range(-most..=most),
        }
    }

    /// Lets things go wrong.
    fn trouble(&mut self, sim: &mut Sim<'_>) {
        let mut next = Duration::from_millis(self.random.random_range(500..3000));
        while sim.elapsed() < TROUBLE {
            self.step(sim);
            if sim.elapsed() >= next {
                self.strike(sim);
                next += Duration::from_millis(self.random.random_range(50..1200));
            }
        }
    }

    /// Lets one thing go wrong.
    fn strike(&mut self, sim: &mut Sim<'_>) {
        let now = sim.elapsed();
        let until = now + Duration::from_millis(self.random.random_range(20..2500));
        let sidecars = SIDECARS.iter().map(|(name, _)| *name);
        let hosts: Vec<_> = self
            .nodes
            .keys()
            .copied()
            .chain(sidecars)
            .chain(AFAR)
            .collect();
        let two: Vec<_> = hosts.sample(&mut self.random, 2).copied().collect();
        let (a, b) = (two[0], two[1]);
        let others = hosts.into_iter().filter(|other| *other != a);
        let what = match self.random.random_range(0..12) {
            0..3 => {
                sim.partition(a, b);
                self.ends.push((until, End::Partition(a, b)));
                format!("{a} and {b} are apart until {until:?}")
            }
            3 => {
                sim.hold(a, b);
                self.ends.push((until, End::Hold(a, b)));
                format!("between {a} and {b} nothing arrives until {until:?}")
            }
            4 => {
                for other in others {
                    sim.hold(a, other);
                    self.ends.push((until, End::Hold(a, other)));
                }
                format!("nothing arrives at {a}, nor what it sends, until {until:?}")
            }
            5..8 => {
                if !self.down.insert(a) {
                    return;
                }
                sim.crash(a);
                self.ends.push((until, End::Crash(a)));
                format!("{a} is down until {until:?}")
            }
            8..10 => {
                let networks: Vec<_> = self.networks.iter().collect();
                let Some((name, network)) = networks.choose(&mut self.random) else {
                    return;
                };
                network.cut();
                format!("connections of {name} are cut")
            }
            kind => {
                let next = if kind == 10 { Next::Kept } else { Next::Lost };
                let nodes: Vec<_> = self.nodes.iter().collect();
                let Some((name, disk)) = nodes.choose(&mut self.random) else {
                    return;
                };
                if let Some(disk) = &*disk.lock() {
                    disk.set_next(next);
                }
                format!("the next commit of {name} is {next:?}")
            }
        };
        self.record.note(now, &what);
        self.record.count("troubles", 1);
    }

    /// Goes on for a moment.
    fn step(&mut self, sim: &mut Sim<'_>) {
        if let Err(error) = sim.step() {
            self.record
                .wrong(sim.elapsed(), &format!("a machine ends: {error}"));
        }
        let now = sim.elapsed();
        for (name, disk) in &self.nodes {
            if disk.lock().is_none() && self.down.insert(name) {
                sim.crash(*name);
                let until = now + Duration::from_millis(self.random.random_range(1..1500));
                self.ends.push((until, End::Crash(name)));
            }
        }
        let (over, left) = self.ends.drain(..).partition(|(at, _)| *at <= now);
        self.ends = left;
        self.end(sim, over);
    }

    fn end(&mut self, sim: &mut Sim<'_>, over: Vec<(Duration, End)>) {
        for (_, end) in over {
            self.record.note(sim.elapsed(), &format!("over: {end:?}"));
            match end {
                End::Partition(a, b) => sim.repair(a, b),
                End::Hold(a, b) => sim.release(a, b),
                End::Crash(host) => {
                    self.down.remove(host);
                    sim.bounce(host);
                }
            }
        }
    }

    /// Lets all come back, and has all say what they think of each secret.
    fn recover(&mut self, sim: &mut Sim<'_>) {
        let over = std::mem::take(&mut self.ends);
        self.end(sim, over);
        for disk in self.nodes.values() {
            if let Some(disk) = &*disk.lock() {
                disk.set_next(Next::Made);
            }
        }
        let names = SIDECARS.iter().map(|(name, _)| *name);
        let names: Vec<_> = names.chain(self.nodes.keys().copied()).collect();
        self.ending.begin();
        let until = sim.elapsed() + RECOVERY;
        while sim.elapsed() < until && self.ending.judged() < names.len() {
            self.step(sim);
        }
        self.ending.settle(&self.record, &names, sim.elapsed());
    }
}
