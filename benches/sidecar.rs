//! Answers of a sidecar from its cache: in process, and over its Unix socket against
//! one that answers at once.
//!
//! An authority, those who follow it and those who ask share this process and one
//! runtime. In process one thread asks for one credential after the other, in a random
//! order, by its token. Over the socket questions come
//! over four connections, with many in flight on each; the other side is the same
//! RPC at a socket of the same kind with a handler that does nothing.
//!
//! `CREDD_BENCH_IN_USE` (10,000 credentials), `CREDD_BENCH_IN_FLIGHT` (32, on each
//! connection), `CREDD_BENCH_MILLIS` (1,000: how long either side of a pair runs),
//! `CREDD_BENCH_PAIRS` (10).
#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a benchmark may panic"
)]

mod support;

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use credd::client::{Client as Follower, Config, Served};
use credd::domain::cache::State;
use credd::proto::v1::verification_service_client::VerificationServiceClient;
use credd::proto::v1::verification_service_server::VerificationServiceServer;
use credd::proto::v1::{Verdict, VerifyRequest};
use credd::server::config::{Settings, Sidecar as Reached, SidecarSettings};
use credd::server::open::{IfMissing, open};
use credd::sidecar::{self, Listeners};
use support::serving::{Credd, NoOp, at_socket, runtime, settings, verify_request};
use support::typical::Population;
use support::{Budget, Mix, Pairs, Table, median, pairs, period, preamble, setting};
use tokio::net::UnixListener;
use tokio::task::JoinSet;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::{Channel, Server};

const CONNECTIONS: usize = 4;
/// The most that a yes from the cache may take, in nanoseconds.
const BUDGET: f64 = 400.0;

fn main() {
    let in_use: usize = setting("CREDD_BENCH_IN_USE", 10_000);
    let in_flight: usize = setting("CREDD_BENCH_IN_FLIGHT", 32);
    preamble(&format!(
        "a yes from the cache of a sidecar, {in_use} credentials, \
         {CONNECTIONS} connections, {in_flight} calls in flight on each"
    ));
    let directory = tempfile::tempdir().unwrap();
    {
        let opened = open(&settings(directory.path()), IfMissing::Create).unwrap();
        let keyring = Arc::clone(&opened.parts.keyring);
        let count = in_use as u64;
        Population { count, keyring }.fill(&*opened.parts.store, 1000, 0);
    }
    let requests: Arc<[VerifyRequest]> = (0..in_use as u64)
        .map(|number| verify_request(Population::token(number).expose()))
        .collect();
    let runtime = runtime();
    let (credd, config) = runtime.block_on(async {
        let credd = Credd::start(directory).await;
        let file = credd.directory.path().join("token");
        std::fs::write(&file, &credd.token).unwrap();
        let address = format!("http://{}", credd.address).parse().unwrap();
        let mut config = Config::new([address]);
        config.token_file = Some(file);
        (credd, config)
    });

    let mut table = Table::new("in process, nanoseconds for a yes");
    let follower = runtime.block_on(async {
        let follower = Follower::connect(config.clone()).unwrap();
        fill(&follower, &requests).await;
        follower
    });
    let order = Mix(2).permutation(in_use);
    for (what, count) in [("one credential", 1), ("all, in random order", in_use)] {
        let rounds = (0..pairs()).map(|_| in_process(&follower, &requests, &order[..count]));
        table.figure(what, "ns", median(rounds.collect()), Some(BUDGET));
    }
    table.print();

    let mut table = Table::new("over the Unix socket, answers in a second");
    let sockets = tempfile::tempdir().unwrap();
    let (ours, bare) = (sockets.path().join("ours"), sockets.path().join("bare"));
    let (ours, bare) = runtime.block_on(async {
        start_sidecar(&ours, config).await;
        let ours = Side::connect(&ours, &requests);
        let answer = ours.ask_all().await;
        let no_op = NoOp::default();
        let _ = no_op.answer.set(answer);
        let listener = UnixListener::bind(&bare).unwrap();
        let server = Server::builder()
            .add_service(VerificationServiceServer::new(no_op))
            .serve_with_incoming(UnixListenerStream::new(listener));
        tokio::spawn(server);
        (ours, Side::connect(&bare, &requests))
    });
    let pairs = Pairs::measure(
        || runtime.block_on(ours.run(in_flight)),
        || runtime.block_on(bare.run(in_flight)),
    );
    table.compare("Verify", "/s", &pairs, Budget::Told);
    table.print();
    drop((ours, bare, follower));
    runtime.block_on(credd.stop());
}

/// Asks about all, until all are kept.
async fn fill(follower: &Follower, requests: &[VerifyRequest]) {
    while follower.condition().state != Some(State::Live) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for request in requests {
        let verified = follower.verify(request).await.unwrap();
        assert!(verified.is_active());
    }
}

/// Nanoseconds for each.
fn in_process(follower: &Follower, requests: &[VerifyRequest], order: &[u32]) -> f64 {
    const ROUND: usize = 200_000;

    let begin = Instant::now();
    let mut missed = 0;
    for number in order.iter().cycle().take(ROUND) {
        let found = follower.cached(&requests[*number as usize]);
        match black_box(found) {
            Some(found) => assert_eq!(found.served, Served::Cached),
            None => missed += 1,
        }
    }
    assert!(missed < ROUND / 100, "{missed} were not kept any more");
    begin.elapsed().as_nanos() as f64 / ROUND as f64
}

async fn start_sidecar(socket: &Path, client: Config) {
    let reached = Reached {
        socket: Some(socket.to_owned()),
        ..Reached::default()
    };
    let listeners = Listeners::bind(&reached).await.unwrap();
    let settings = Settings {
        sidecar: Some(SidecarSettings {
            sidecar: reached,
            client,
            cells: vec![],
        }),
        ..Settings::default()
    };
    tokio::spawn(async move {
        let stop = std::future::pending::<()>();
        sidecar::run(&settings, listeners, stop).await.unwrap();
    });
}

/// Those who ask at one socket.
struct Side {
    clients: Vec<VerificationServiceClient<Channel>>,
    requests: Arc<[VerifyRequest]>,
}

impl Side {
    fn connect(socket: &Path, requests: &Arc<[VerifyRequest]>) -> Self {
        let client = || VerificationServiceClient::new(at_socket(socket));
        Self {
            clients: std::iter::repeat_with(client).take(CONNECTIONS).collect(),
            requests: Arc::clone(requests),
        }
    }

    /// Asks about all once; returns the last answer.
    async fn ask_all(&self) -> credd::proto::v1::VerifyResponse {
        let mut client = self.clients[0].clone();
        let mut last = None;
        for request in self.requests.iter() {
            last = Some(client.verify(request.clone()).await.unwrap().into_inner());
        }
        last.unwrap()
    }

    /// Answers in a second.
    async fn run(&self, in_flight: usize) -> f64 {
        let begin = Instant::now();
        let tasks = self.clients.len() * in_flight;
        let mut running = JoinSet::new();
        for task in 0..tasks {
            let mut client = self.clients[task % self.clients.len()].clone();
            let requests = Arc::clone(&self.requests);
            running.spawn(async move {
                let mut answers = 0_usize;
                let mut next = task * requests.len() / tasks;
                while begin.elapsed() < period() {
                    let request = requests[next % requests.len()].clone();
                    let answer = client.verify(request).await.unwrap().into_inner();
                    assert_eq!(answer.verdict(), Verdict::Active);
                    answers += 1;
                    next += 1;
                }
                answers
            });
        }
        let answers = running.join_all().await.into_iter().sum::<usize>();
        answers as f64 / begin.elapsed().as_secs_f64()
    }
}
