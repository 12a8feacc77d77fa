//! Verify and `VerifyStream` over loopback TCP against the same RPCs answered
//! by a handler that does nothing.
//!
//! Servers and clients share this process and one runtime, as alike on either
//! side as can be: four connections, the same requests with the same metadata
//! in the same order, and answers of the same size, each with many in flight.
//! credd's side is the whole of `credd serve` on a directory. Since the cores
//! are shared, the time of a call is that of client and server together. Where
//! others use them too, the CPU for an answer, which is told as well, is the
//! steadier figure: with all cores busy, throughput is its inverse.
//!
//! The first use of a credential in ten seconds is written behind. With many
//! credentials in use that work is a part of credd's side, and some of it falls
//! into the other side's turn.
//!
//! At the end Verify from a raw header is compared with Verify of the bare values
//! that stand in it, both by credd.
//!
//! `CREDD_BENCH_CREDENTIALS` (100,000), `CREDD_BENCH_IN_USE` (10,000 of them,
//! any), `CREDD_BENCH_IN_FLIGHT` (32, on each
//! connection), `CREDD_BENCH_STREAM_IN_FLIGHT` (256), `CREDD_BENCH_MILLIS`
//! (1,000: how long either side of a pair runs), `CREDD_BENCH_PAIRS` (10).
#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a benchmark may panic"
)]

mod support;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use credd::proto::v1::credential_service_client::CredentialServiceClient;
use credd::proto::v1::verify_stream_response::Outcome;
use credd::proto::v1::{
    HttpHeader, IssueRequest, IssuedSecret, RawHeader, Verdict, VerifyRequest, VerifyStreamRequest,
    issued_secret, presented, raw_header,
};
use credd::server::open::{IfMissing, open};
use support::serving::{
    Bearer, Client, Credd, NoOp, channel, connect, runtime, settings, verify_presented,
    verify_request,
};
use support::typical::Population;
use support::{Budget, Mix, Pairs, Table, period, preamble, setting};
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;

const CONNECTIONS: usize = 4;

fn main() {
    let count: u64 = setting("CREDD_BENCH_CREDENTIALS", 100_000);
    let in_flight: usize = setting("CREDD_BENCH_IN_FLIGHT", 32);
    let stream_in_flight: usize = setting("CREDD_BENCH_STREAM_IN_FLIGHT", 256);
    preamble(&format!(
        "Verify over loopback TCP, {count} credentials, {CONNECTIONS} connections, \
         {in_flight} unary calls or {stream_in_flight} questions of one stream in flight on each"
    ));

    let directory = tempfile::tempdir().unwrap();
    {
        let opened = open(&settings(directory.path()), IfMissing::Create).unwrap();
        let keyring = Arc::clone(&opened.parts.keyring);
        Population { count, keyring }.fill(&*opened.parts.store, 1000, 0);
    }
    let order = Mix(1).permutation(usize::try_from(count).unwrap());
    let in_use = setting("CREDD_BENCH_IN_USE", 10_000).min(order.len());
    let requests: Requests = order[..in_use]
        .iter()
        .map(|&number| verify_request(Population::token(u64::from(number)).expose()))
        .collect();

    let runtime = runtime();
    let (credd, ours, bare) = runtime.block_on(async {
        let credd = Credd::start(directory).await;
        let no_op = NoOp::default();
        let ours = Side::connect(credd.address, &credd.token, &requests).await;
        let answer = ours.clients[0].clone().verify(requests[0].clone()).await;
        let _ = no_op.answer.set(answer.unwrap().into_inner());
        let bare = Side::connect(no_op.start().await, &credd.token, &requests).await;
        (credd, ours, bare)
    });

    let mut table = Table::new("answers in a second");
    let mut cpu = Table::new("nanoseconds of CPU for an answer, client and server together");
    let mut compare = |what: &str, ours: &dyn Fn() -> Rate, bare: &dyn Fn() -> Rate, budget| {
        let times = RefCell::new((Vec::new(), Vec::new()));
        let pairs = Pairs::measure(
            || {
                let rate = ours();
                times.borrow_mut().0.push(rate.cpu);
                rate.answers
            },
            || {
                let rate = bare();
                times.borrow_mut().1.push(rate.cpu);
                rate.answers
            },
        );
        table.compare(what, "/s", &pairs, budget);
        // The first round of each does not count.
        let (ours, bare) = times.into_inner();
        let pairs = Pairs::of(ours.into_iter().zip(bare).skip(1));
        cpu.compare(what, "ns", &pairs, Budget::Told);
    };
    let unary = |side: &Side| runtime.block_on(side.unary(in_flight));
    let stream = |side: &Side| runtime.block_on(side.stream(stream_in_flight));
    let (unary_budget, stream_budget) = (Budget::RatioAtLeast(0.93), Budget::RatioAtLeast(0.5));
    compare("Verify", &|| unary(&ours), &|| unary(&bare), unary_budget);
    compare(
        "VerifyStream",
        &|| stream(&ours),
        &|| stream(&bare),
        stream_budget,
    );
    compare(
        "noise: no-op Verify against itself",
        &|| unary(&bare),
        &|| unary(&bare),
        Budget::Told,
    );
    table.print();
    cpu.print();

    let mut table = Table::new("answers in a second: from a raw header, against the bare values");
    for presented in runtime.block_on(Presented::of_each_profile(&credd, in_use)) {
        let header = runtime.block_on(Side::connect(
            credd.address,
            &credd.token,
            &presented.headers,
        ));
        let values = runtime.block_on(Side::connect(
            credd.address,
            &credd.token,
            &presented.values,
        ));
        let pairs = Pairs::measure(|| unary(&header).answers, || unary(&values).answers);
        table.compare(presented.what, "/s", &pairs, Budget::Told);
    }
    table.print();
    drop((ours, bare));
    runtime.block_on(credd.stop());
}

type Requests = Arc<[VerifyRequest]>;

/// The same credentials, presented in two ways.
struct Presented {
    what: &'static str,
    headers: Requests,
    values: Requests,
}

impl Presented {
    /// Credentials that are issued for this, of four profiles with a header each.
    async fn of_each_profile(credd: &Credd, count: usize) -> Vec<Self> {
        let mut all = Vec::new();
        for (what, profile) in [
            ("Bearer TOKEN", "api-token"),
            ("X-API-KEY: TOKEN", "kaspersky-tip"),
            ("Basic, against username and password", "basic"),
            ("X-ApiKeys, against the pair of keys", "key-pair"),
        ] {
            let channel = channel(credd.address).await;
            let bearer = Bearer::new(&credd.token);
            let client = CredentialServiceClient::with_interceptor(channel, bearer);
            let mut issuing = JoinSet::new();
            for number in 0..count.min(1000) {
                let mut client = client.clone();
                issuing.spawn(async move {
                    let request = IssueRequest {
                        tenant: "acme".to_owned(),
                        owner: format!("user-{number}"),
                        profile: profile.to_owned(),
                        label: "presented".to_owned(),
                        ..IssueRequest::default()
                    };
                    let issued = client.issue(request).await.unwrap().into_inner();
                    in_both_ways(issued.secret.unwrap())
                });
            }
            let (headers, values): (Vec<_>, Vec<_>) = issuing.join_all().await.into_iter().unzip();
            all.push(Self {
                what,
                headers: headers.into(),
                values: values.into(),
            });
        }
        all
    }
}

/// What asks about a credential by its header, and by its bare values.
fn in_both_ways(issued: IssuedSecret) -> (VerifyRequest, VerifyRequest) {
    let HttpHeader { name, value } = issued.headers.into_iter().next().unwrap();
    let value = Some(raw_header::Value::Text(value));
    let header = presented::Credential::Header(RawHeader { name, value });
    let values = match issued.secret.unwrap() {
        issued_secret::Secret::Token(token) => presented::Credential::Token(token),
        issued_secret::Secret::UsernamePassword(pair) => {
            presented::Credential::UsernamePassword(pair)
        }
        issued_secret::Secret::KeyPair(pair) => presented::Credential::KeyPair(pair),
    };
    (verify_presented(header), verify_presented(values))
}

/// Answers a second, and the CPU for each.
struct Rate {
    answers: f64,
    cpu: f64,
}

impl Rate {
    fn since(begin: Instant, cpu: f64, answers: usize) -> Self {
        Self {
            answers: answers as f64 / begin.elapsed().as_secs_f64(),
            cpu: (cpu_nanos() - cpu) / answers as f64,
        }
    }
}

/// Nanoseconds of CPU that this process has used.
fn cpu_nanos() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// Connections to one of the servers, and what to ask it.
struct Side {
    clients: Vec<Client>,
    requests: Requests,
}

impl Side {
    async fn connect(address: SocketAddr, token: &str, requests: &Requests) -> Self {
        let mut clients = Vec::new();
        for _ in 0..CONNECTIONS {
            clients.push(connect(address, token).await);
        }
        Self {
            clients,
            requests: Arc::clone(requests),
        }
    }

    /// Unary calls.
    async fn unary(&self, in_flight: usize) -> Rate {
        let (begin, cpu) = (Instant::now(), cpu_nanos());
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
        Rate::since(begin, cpu, answers)
    }

    /// One stream on each connection.
    async fn stream(&self, in_flight: usize) -> Rate {
        let (begin, cpu) = (Instant::now(), cpu_nanos());
        let mut running = JoinSet::new();
        for (at, client) in self.clients.iter().enumerate() {
            let first = at * self.requests.len() / self.clients.len();
            let (client, requests) = (client.clone(), Arc::clone(&self.requests));
            running.spawn(ask_on_a_stream(client, requests, first, in_flight, begin));
        }
        let answers = running.join_all().await.into_iter().sum::<usize>();
        Rate::since(begin, cpu, answers)
    }
}

/// Keeps `in_flight` questions on one stream until the period is over, and
/// returns how many were answered.
async fn ask_on_a_stream(
    mut client: Client,
    requests: Requests,
    first: usize,
    in_flight: usize,
    begin: Instant,
) -> usize {
    let (questions, receiver) = tokio::sync::mpsc::channel(in_flight);
    let question = |number: usize| VerifyStreamRequest {
        correlation: number as u64,
        request: Some(requests[(first + number) % requests.len()].clone()),
    };
    for number in 0..in_flight {
        questions.send(question(number)).await.unwrap();
    }
    let stream = ReceiverStream::new(receiver);
    let mut answers = client.verify_stream(stream).await.unwrap().into_inner();
    let mut questions = Some(questions);
    let mut answered = 0;
    while let Some(answer) = answers.message().await.unwrap() {
        let Some(Outcome::Response(response)) = answer.outcome else {
            panic!("no verdict");
        };
        assert_eq!(response.verdict(), Verdict::Active);
        answered += 1;
        if answered % 64 == 0 && begin.elapsed() >= period() {
            questions = None;
        }
        if let Some(questions) = &questions {
            questions
                .send(question(in_flight + answered))
                .await
                .unwrap();
        }
    }
    answered
}
