//! The time of a Verify while others storm the server with List and Issue, against
//! its time while nobody else calls.
//!
//! The storm is a process of its own with many connections, each of which asks for
//! the next thing as soon as it has an answer: half of them for pages of a list,
//! half for credentials. It has the lowest priority, since its machines would be
//! others than the server's; what it takes all the same falls to the storm's side.
//! Verify is asked over one connection, one at a time, by a thread of its own.
//!
//! `CREDD_BENCH_CREDENTIALS` (100,000), `CREDD_BENCH_STORM` (200 connections),
//! `CREDD_BENCH_MILLIS` (1,000: how long either side of a pair runs),
//! `CREDD_BENCH_PAIRS` (10).
#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a benchmark may panic"
)]

mod support;

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use credd::proto::v1::credential_service_client::CredentialServiceClient;
use credd::proto::v1::{CredentialFilter, IssueRequest, ListRequest, Verdict};
use credd::server::open::{IfMissing, open};
use support::serving::{Bearer, Credd, channel, connect, runtime, settings, verify_request};
use support::typical::Population;
use support::{Budget, Pairs, Table, period, preamble, setting};
use tokio::runtime::Builder;
use tokio::task::JoinSet;

const STORM_ADDRESS: &str = "CREDD_BENCH_STORM_ADDRESS";
const STORM_TOKEN: &str = "CREDD_BENCH_STORM_TOKEN";

fn main() {
    let connections: usize = setting("CREDD_BENCH_STORM", 200);
    if let Ok(address) = std::env::var(STORM_ADDRESS) {
        let token = std::env::var(STORM_TOKEN).unwrap();
        runtime().block_on(storm(address.parse().unwrap(), &token, connections));
        return;
    }
    let count: u64 = setting("CREDD_BENCH_CREDENTIALS", 100_000);
    preamble(&format!(
        "Verify beside a storm of {connections} connections, {count} credentials"
    ));
    let directory = tempfile::tempdir().unwrap();
    {
        let opened = open(&settings(directory.path()), IfMissing::Create).unwrap();
        let keyring = Arc::clone(&opened.parts.keyring);
        Population { count, keyring }.fill(&*opened.parts.store, 1000, 0);
    }
    let runtime = runtime();
    let credd = runtime.block_on(Credd::start(directory));
    let (address, admin) = (credd.address, credd.token.clone());
    let token = runtime.block_on(issue(address, &admin));
    let resident = resident_mib();
    // Not among the server's threads: who asks is another machine.
    let caller = Builder::new_current_thread().enable_all().build().unwrap();
    let mut client = caller.block_on(connect(address, &admin));
    let mut p99 = || {
        let begin = Instant::now();
        let mut times = Vec::new();
        caller.block_on(async {
            while begin.elapsed() < period() {
                let asked = Instant::now();
                let answer = client.verify(verify_request(&token)).await.unwrap();
                times.push(asked.elapsed().as_secs_f64() * 1e6);
                assert_eq!(answer.into_inner().verdict(), Verdict::Active);
            }
        });
        times.sort_by(f64::total_cmp);
        times[times.len() * 99 / 100]
    };
    let mut all = Vec::new();
    for _ in 0..support::pairs() {
        let idle = p99();
        let storming = start_storm(address, &admin);
        let stormed = p99();
        stop(storming);
        all.push((stormed, idle));
    }
    let mut table = Table::new("Verify, 99th percentile");
    let pairs = Pairs::of(all);
    table.compare("beside the storm", "us", &pairs, Budget::RatioAtMost(3.0));
    table.figure(
        "memory that the storm added",
        "MiB",
        resident_mib() - resident,
        None,
    );
    table.print();
    runtime.block_on(credd.stop());
}

async fn issue(address: SocketAddr, admin: &str) -> String {
    let channel = channel(address).await;
    let mut credentials = CredentialServiceClient::with_interceptor(channel, Bearer::new(admin));
    let issued = credentials.issue(request(0)).await.unwrap().into_inner();
    let Some(credd::proto::v1::issued_secret::Secret::Token(token)) = issued.secret.unwrap().secret
    else {
        panic!("a token");
    };
    token
}

fn request(number: usize) -> IssueRequest {
    IssueRequest {
        tenant: "acme".to_owned(),
        owner: "storm".to_owned(),
        profile: "api-token".to_owned(),
        label: format!("number {number}"),
        ..Default::default()
    }
}

/// Waits until the storm says that it blows.
fn start_storm(address: SocketAddr, token: &str) -> Child {
    let mut storm = Command::new("nice")
        .args(["-n", "19"])
        .arg(std::env::current_exe().unwrap())
        .env(STORM_ADDRESS, address.to_string())
        .env(STORM_TOKEN, token)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let output = storm.stdout.as_mut().unwrap();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut line).unwrap();
    assert_eq!(line, "storming\n");
    storm
}

fn stop(mut storm: Child) {
    storm.kill().unwrap();
    storm.wait().unwrap();
}

async fn storm(address: SocketAddr, token: &str, connections: usize) {
    let mut callers = JoinSet::new();
    let mut clients = Vec::new();
    for _ in 0..connections {
        let channel = channel(address).await;
        clients.push(CredentialServiceClient::with_interceptor(
            channel,
            Bearer::new(token),
        ));
    }
    println!("storming");
    for (number, mut client) in clients.into_iter().enumerate() {
        callers.spawn(async move {
            loop {
                if number % 2 == 0 {
                    let list = ListRequest {
                        filter: Some(CredentialFilter {
                            label_prefix: "n".to_owned(),
                            ..Default::default()
                        }),
                        page_size: 100,
                        ..Default::default()
                    };
                    let _ = client.list(list).await;
                } else {
                    let _ = client.issue(request(number)).await;
                }
            }
        });
    }
    callers.join_all().await;
}

/// The memory of this process that is in use.
fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    let kib: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib / 1024.0
}
