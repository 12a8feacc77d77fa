//! Servers on a real etcd of three members, against what they can't do without.
//!
//! - `Verify` on a server whose store is in etcd, against one whose store is in sled.
//! - Issues over gRPC, one at a time and many at once, against a bare client of etcd that
//!   makes transactions of as many keys and bytes, one after the other.
//! - How long after a Revoke at one server was answered another says no.
//!
//! All share this machine, and its disk. Needs `CREDD_TEST_ETCD`, the program.
//!
//! `CREDD_BENCH_ISSUES` (100 on either side of a pair), `CREDD_BENCH_WRITERS` (64),
//! `CREDD_BENCH_REVOKES` (200), `CREDD_BENCH_MILLIS` (1,000), `CREDD_BENCH_PAIRS` (10).
#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a benchmark may panic"
)]

#[path = "../tests/support/etcd.rs"]
mod etcd;
mod support;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use credd::proto::etcdserverpb::kv_client::KvClient;
use credd::proto::etcdserverpb::request_op::Request as Operation;
use credd::proto::etcdserverpb::{PutRequest, RequestOp, TxnRequest};
use credd::proto::v1;
use credd::proto::v1::credential_service_client::CredentialServiceClient;

use etcd::Cluster;
use support::serving::{Bearer, Credd, channel, connect, in_etcd, runtime, verify_request};
use support::{Budget, Pairs, Table, median, period, preamble, setting};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;

fn main() {
    let Some(program) = std::env::var_os("CREDD_TEST_ETCD") else {
        println!("CREDD_TEST_ETCD names no etcd");
        return;
    };
    let issues: usize = setting("CREDD_BENCH_ISSUES", 100);
    let writers: usize = setting("CREDD_BENCH_WRITERS", 64);
    let revokes: usize = setting("CREDD_BENCH_REVOKES", 200);
    preamble("servers on an etcd of three members");
    let runtime = runtime();
    let cluster = Cluster::start(&PathBuf::from(program));
    let (place, first) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let keyring = place.path().join("keyring.toml");
    let start = |directory: TempDir| {
        let settings = in_etcd(&cluster.addresses(), &keyring, directory.path());
        runtime.block_on(Credd::start_with(directory, settings))
    };
    let ours = start(first);
    let sled = runtime.block_on(Credd::start(tempfile::tempdir().unwrap()));
    let bare = runtime.block_on(channel(cluster.addresses()[0]));

    let mut table = Table::new("Verify, answers in a second");
    let tokens = [&ours, &sled].map(|credd| runtime.block_on(issue(credd)).1);
    let pairs = Pairs::measure(
        || runtime.block_on(verify(&ours, &tokens[0])),
        || runtime.block_on(verify(&sled, &tokens[1])),
    );
    table.compare("on etcd and on sled", "/s", &pairs, Budget::Told);
    table.print();

    let mut table = Table::new("Issue, and a transaction of as many keys and bytes");
    let pairs = Pairs::measure(
        || 1e6 / runtime.block_on(issue_many(&ours, 1, issues)).0,
        || 1e6 / runtime.block_on(transactions(&bare, 1, issues)),
    );
    table.compare("one at a time", "us", &pairs, Budget::Told);
    let each = 10 * issues / writers;
    let (_, size) = runtime.block_on(issue_many(&ours, writers, each));
    let pairs = Pairs::measure(
        || runtime.block_on(issue_many(&ours, writers, each)).0,
        || runtime.block_on(transactions(&bare, size, issues)) * size as f64,
    );
    table.compare(
        &format!("{writers} at once, {size} in a commit"),
        "/s",
        &pairs,
        Budget::Told,
    );
    table.print();

    let beside = tempfile::tempdir().unwrap();
    // Which the first server has written.
    let token = ours.directory.path().join("admin.token");
    std::fs::copy(token, beside.path().join("admin.token")).unwrap();
    let other = start(beside);
    let mut table = Table::new("a no at one server, after a Revoke at another");
    let waits: Vec<_> = (0..revokes)
        .map(|_| runtime.block_on(until_denied(&ours, &other)))
        .collect();
    let last = waits.iter().copied().fold(0.0, f64::max);
    table.figure("after it was answered: median", "us", median(waits), None);
    table.figure("after it was answered: most", "us", last, None);
    let waits = (0..revokes).map(|_| runtime.block_on(fenced(&ours)));
    let median = median(waits.collect());
    table.figure(
        "a fenced Revoke, until it returns: median",
        "us",
        median,
        None,
    );
    table.print();
    runtime.block_on(other.stop());
    runtime.block_on(ours.stop());
    runtime.block_on(sled.stop());
}

fn request() -> v1::IssueRequest {
    v1::IssueRequest {
        tenant: "acme".to_owned(),
        owner: "jo".to_owned(),
        profile: "api-token".to_owned(),
        label: "integration 00000001".to_owned(),
        ..v1::IssueRequest::default()
    }
}

type Credentials = CredentialServiceClient<InterceptedService<Channel, Bearer>>;

/// A client that manages credentials, over a connection of its own.
async fn credentials(credd: &Credd) -> Credentials {
    let bearer = Bearer::new(&credd.token);
    CredentialServiceClient::with_interceptor(channel(credd.address).await, bearer)
}

/// Issues a credential: its id and its token.
async fn issue(credd: &Credd) -> (String, String) {
    let mut client = credentials(credd).await;
    let issued = client.issue(request()).await.unwrap().into_inner();
    let secret = issued.secret.unwrap().secret.unwrap();
    let v1::issued_secret::Secret::Token(token) = secret else {
        unreachable!("a token was asked for");
    };
    (issued.credential.unwrap().id, token)
}

/// Issues a second, by so many writers with so many each, and how many there were in a
/// commit, rounded up.
async fn issue_many(credd: &Credd, writers: usize, each: usize) -> (f64, usize) {
    let client = credentials(credd).await;
    let begin = Instant::now();
    let mut running = JoinSet::new();
    for _ in 0..writers {
        let mut client = client.clone();
        running.spawn(async move {
            let mut revisions = Vec::new();
            for _ in 0..each {
                let issued = client.issue(request()).await.unwrap().into_inner();
                revisions.push(issued.credential.unwrap().revision.unwrap().number);
            }
            revisions
        });
    }
    let mut revisions: Vec<_> = running.join_all().await.into_iter().flatten().collect();
    let rate = revisions.len() as f64 / begin.elapsed().as_secs_f64();
    let issued = revisions.len();
    revisions.sort_unstable();
    revisions.dedup();
    (rate, issued.div_ceil(revisions.len()))
}

/// Transactions a second, of as many keys and bytes as a commit of so many Issues has: two
/// records each, and one that stands for what else is in it.
async fn transactions(etcd: &Channel, issues: usize, count: usize) -> f64 {
    const BYTES: usize = 300;

    let mut client = KvClient::new(etcd.clone());
    let begin = Instant::now();
    for number in 0..count {
        let puts = (0..=2 * issues).map(|at| RequestOp {
            request: Some(Operation::RequestPut(PutRequest {
                key: format!("/bare/{number}/{at}").into(),
                value: vec![7; BYTES].into(),
            })),
        });
        let request = TxnRequest {
            compare: Vec::new(),
            success: puts.collect(),
            failure: Vec::new(),
        };
        assert!(client.txn(request).await.unwrap().into_inner().succeeded);
    }
    count as f64 / begin.elapsed().as_secs_f64()
}

/// Answers a second, with 32 questions in flight on each of four connections.
async fn verify(credd: &Credd, token: &str) -> f64 {
    const IN_FLIGHT: usize = 32;

    let begin = Instant::now();
    let mut running = JoinSet::new();
    for _ in 0..4 {
        let client = connect(credd.address, &credd.token).await;
        for _ in 0..IN_FLIGHT {
            let (mut client, question) = (client.clone(), verify_request(token));
            running.spawn(async move {
                let mut answers = 0_usize;
                while begin.elapsed() < period() {
                    let answer = client.verify(question.clone()).await.unwrap();
                    assert_eq!(answer.get_ref().verdict(), v1::Verdict::Active);
                    answers += 1;
                }
                answers
            });
        }
    }
    let answers: usize = running.join_all().await.into_iter().sum();
    answers as f64 / begin.elapsed().as_secs_f64()
}

fn revoke(id: String, fence: bool) -> v1::RevokeRequest {
    v1::RevokeRequest {
        target: Some(v1::revoke_request::Target::CredentialId(id)),
        reason: "measured".to_owned(),
        fence,
        ..v1::RevokeRequest::default()
    }
}

/// How long after a Revoke at one server was answered another says no, in microseconds.
async fn until_denied(one: &Credd, other: &Credd) -> f64 {
    let (id, token) = issue(one).await;
    let mut client = credentials(one).await;
    let mut asking = connect(other.address, &one.token).await;
    while asking
        .verify(verify_request(&token))
        .await
        .unwrap()
        .get_ref()
        .verdict()
        != v1::Verdict::Active
    {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    client.revoke(revoke(id, false)).await.unwrap();
    let begin = Instant::now();
    while asking
        .verify(verify_request(&token))
        .await
        .unwrap()
        .get_ref()
        .verdict()
        == v1::Verdict::Active
    {}
    begin.elapsed().as_secs_f64() * 1e6
}

/// How long a fenced Revoke takes, in microseconds.
async fn fenced(credd: &Credd) -> f64 {
    let (id, _) = issue(credd).await;
    let mut client = credentials(credd).await;
    let begin = Instant::now();
    client.revoke(revoke(id, true)).await.unwrap();
    begin.elapsed().as_secs_f64() * 1e6
}
