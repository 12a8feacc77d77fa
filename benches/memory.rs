//! Memory, by an allocator that counts: of the index for each credential, and of a
//! Watch, and of a session with a lease, beyond two ends of a stream that does nothing.
//!
//! What counts is what was asked of the allocator and not given back; what the
//! allocator adds by rounding up is not in it. The index is loaded from a store
//! that makes its records up and takes no memory. Watches are measured with
//! both ends, server's and client's, in this process, a hundred on a
//! connection, idle; sessions have asked for a lease, and the no-op was sent the same.
//!
//! `CREDD_BENCH_CREDENTIALS` (1,000,000; 10,000,000 take about 4 GB),
//! `CREDD_BENCH_WATCHES` (1,000).
#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a benchmark may panic"
)]

mod support;

use std::alloc::System;
use std::net::SocketAddr;
use std::time::Duration;

use credd::authority::entry::Entry;
use credd::proto::v1::watch_response::Message;
use credd::proto::v1::{Renewal, WatchRequest, WatchResponse};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use support::serving::{Credd, NoOp, connect, runtime};
use support::typical::Population;
use support::{Table, setting};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() {
    let count: u64 = setting("CREDD_BENCH_CREDENTIALS", 1_000_000);
    let watches: usize = setting("CREDD_BENCH_WATCHES", 1000);
    println!("memory of {count} credentials and {watches} watches");
    let mut table = Table::new("bytes");

    let population = Population::new(count);
    let before = live();
    let (authority, workers) = population.authority();
    let each = (live() - before) as f64 / count as f64;
    table.figure("index, for each credential", "B", each, Some(300.0));
    table.figure(
        "of which the entry itself",
        "B",
        size_of::<Entry>() as f64,
        None,
    );
    drop((authority, workers));

    let runtime = runtime();
    runtime.block_on(async {
        let credd = Credd::start(tempfile::tempdir().unwrap()).await;
        let no_op = NoOp::default().start().await;
        let of = async |address, kind| idle(address, &credd.token, watches, kind).await;
        for (what, ours, bare) in [
            ("Watch", Kind::Watch, Kind::Watch),
            ("session", Kind::Session, Kind::NoOp),
        ] {
            let with = of(credd.address, ours).await;
            let without = of(no_op, bare).await;
            table.figure(&format!("a {what}, both ends"), "B", with, None);
            table.figure("a no-op stream, both ends", "B", without, None);
            let beyond = format!("a {what} beyond that");
            table.figure(&beyond, "B", with - without, Some(4096.0));
        }
        credd.stop().await;
    });
    table.print();
}

/// Bytes that are allocated now.
fn live() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

/// What a stream is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// One that was told where it begins.
    Watch,
    /// One that has asked for a lease, too, and got it.
    Session,
    /// One that has sent as much.
    NoOp,
}

/// Bytes that an idle stream takes, on average.
async fn idle(address: SocketAddr, token: &str, watches: usize, kind: Kind) -> f64 {
    const ON_A_CONNECTION: usize = 100;

    let mut clients = Vec::new();
    for _ in 0..watches.div_ceil(ON_A_CONNECTION) {
        let client = connect(address, token).await;
        // The first stream of a connection brings what all of them share.
        drop(watch(client.clone(), kind).await);
        clients.push(client);
    }
    settle().await;
    let before = live();
    let mut open = Vec::with_capacity(watches);
    for number in 0..watches {
        open.push(watch(clients[number / ON_A_CONNECTION].clone(), kind).await);
    }
    settle().await;
    let grown = live() - before;
    drop(open);
    grown as f64 / watches as f64
}

type Watch = (mpsc::Sender<WatchRequest>, Streaming<WatchResponse>);

/// A stream that has what it asked for.
async fn watch(mut client: support::serving::Client, kind: Kind) -> Watch {
    let (sender, requests) = mpsc::channel(1);
    let request = WatchRequest {
        heartbeat: Some(prost_types::Duration {
            seconds: 3600,
            nanos: 0,
        }),
        ..WatchRequest::default()
    };
    sender.send(request).await.unwrap();
    let requests = ReceiverStream::new(requests);
    let mut answers = client.watch(requests).await.unwrap().into_inner();
    let first = answers.message().await.unwrap().unwrap();
    if kind != Kind::Watch {
        let renewal = Renewal {
            sequence: 1,
            applied: first.revision,
            ..Renewal::default()
        };
        let request = WatchRequest {
            renewal: Some(renewal),
            ..WatchRequest::default()
        };
        sender.send(request).await.unwrap();
    }
    if kind == Kind::Session {
        let answer = answers.message().await.unwrap().unwrap();
        let Some(Message::Grant(grant)) = answer.message else {
            panic!("no answer to a renewal");
        };
        assert!(grant.lease.is_some());
    }
    (sender, answers)
}

/// Lets both ends do what they still have to do.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(300)).await;
}
