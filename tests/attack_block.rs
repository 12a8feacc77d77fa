//! Attacks on those who wait: what blocks the threads that give verdicts, and probes.
#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub, dead_code, missing_docs, clippy::pedantic)]
#[path = "support/calls.rs"]
mod calls;
mod support;

use std::time::{Duration, Instant};

use calls::*;
use credd::proto::v1;
use support::program::{Program, serve_everything};
use support::*;

async fn latencies(client: &Client, token: &str, time: Duration) -> (usize, Duration, Duration, Duration) {
    let begin = Instant::now();
    let mut all = Vec::new();
    while begin.elapsed() < time {
        let one = Instant::now();
        assert_eq!(client.verdict(token).await, v1::Verdict::Active);
        all.push(one.elapsed());
    }
    all.sort();
    (all.len(), all[all.len() / 2], all[all.len() * 99 / 100], *all.last().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_over_many_does_not_stop_verify() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = serve_everything(&[], directory.path());
    if let Ok(bin) = std::env::var("CREDD_ATK_BIN") {
        let args: Vec<_> = command.get_args().map(|a| a.to_owned()).collect();
        command = std::process::Command::new(bin);
        command.args(args);
    }
    let (_program, address) = Program::serve(command);
    let admin = Client::connect(address, &read_token(directory.path())).await;
    let count: usize = std::env::var("CREDD_ATK_COUNT").ok().and_then(|n| n.parse().ok()).unwrap_or(60_000);
    let begin = Instant::now();
    let mut set = tokio::task::JoinSet::new();
    for part in 0..8 {
        let admin = admin.clone();
        set.spawn(async move {
            for n in 0..count / 800 {
                let request = v1::ImportCredentialsRequest {
                    tenant: "acme".into(),
                    credentials: (0..100).map(|k| imported("api-token", "", &format!("secret-of-elsewhere-{part:0>8}-{n:0>8}-{k:0>8}"))).collect(),
                    ..Default::default()
                };
                admin.credentials.clone().import_credentials(request).await.unwrap();
            }
        });
    }
    set.join_all().await;
    eprintln!("{count} in {:?}", begin.elapsed());
    let (_, token) = admin.issue_token("globex").await;
    let other = Client::connect(address, &read_token(directory.path())).await;
    let idle = latencies(&other, &token, Duration::from_secs(4)).await;
    eprintln!("idle: {idle:?}");
    admin.bind("credd:tia", "administrator", "acme").await;
    let (_, tia) = admin.issue_caller_of("tia").await;
    let tia = Client::connect(address, &tia).await;
    let filter = || v1::CredentialFilter { tenant: "acme".into(), label_prefix: "zzz".into(), ..Default::default() };
    let mut set = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let tia = tia.clone();
        set.spawn(async move {
            loop {
                let request = v1::ListRequest { filter: Some(filter()), include_total: true, ..Default::default() };
                let _ = tia.list(request).await;
            }
        });
    }
    let lists = latencies(&other, &token, Duration::from_secs(6)).await;
    set.abort_all();
    eprintln!("beside lists: {lists:?}");
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut set = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let tia = tia.clone();
        set.spawn(async move {
            loop {
                let request = v1::LockRequest { target: Some(v1::lock_request::Target::Filter(filter())), reason: "x".into(), dry_run: true, ..Default::default() };
                let begin = Instant::now();
                let r = tia.credentials.clone().lock(request).await;
                if r.is_err() || begin.elapsed() > Duration::from_secs(8) { eprintln!("lock {:?} {:?}", r.err(), begin.elapsed()); }
            }
        });
    }
    let dry = latencies(&other, &token, Duration::from_secs(6)).await;
    eprintln!("beside dry runs: {dry:?}");
    set.abort_all();
    assert!(dry.2 < idle.2 * 3 + Duration::from_millis(5), "p99 {:?} idle, {:?} beside lists, {:?} beside dry runs of a tenant's administrator", idle.2, lists.2, dry.2);
}

/// An importer of one tenant learns nothing of the secrets of another.
#[tokio::test(flavor = "multi_thread")]
async fn an_import_tells_nothing_of_another_tenant() {
    let server = Server::start().await;
    put_role(&server.admin, "credd", "importer", &["credd.credentials.import"]).await;
    server.admin.bind("credd:gus", "importer", "globex").await;
    let (_, token) = server.admin.issue_caller_of("gus").await;
    let gus = server.client(&token).await;
    let held = "legacy-key-of-acme-0123456789abcdef";
    import(&server.admin, "acme", imported("api-token", "", held)).await.unwrap();
    let one = import(&gus, "globex", imported("api-token", "", held)).await;
    let other = import(&gus, "globex", imported("api-token", "", "legacy-key-of-nobody-123456789abcdef")).await;
    let of = |r: &Result<v1::Credential, tonic::Status>| r.as_ref().map(|_| ()).map_err(|s| (s.code(), reason(s)));
    eprintln!("held in acme: {:?}; held nowhere: {:?}", of(&one), of(&other));
    assert_eq!(of(&one), of(&other));
}
