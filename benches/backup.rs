//! A store of a million credentials that is backed up by `credd backup` while the server
//! answers and writes, and restored: how long each step takes, and that credentials of all
//! kinds are good after it.
//!
//! Either side has a bare one of the same keys and values: sled's own scan, written into a
//! file and synced; and sled's own batches of a thousand into a new database, synced. A
//! byte of the backup is changed, and the restore refused. All share this machine, and its
//! disk.
//!
//! `CREDD_BENCH_CREDENTIALS` (1,000,000), `CREDD_BENCH_SAMPLE` (3,000 are verified after
//! the restore), `CREDD_BENCH_DIR` (the directory for temporary files).
#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a benchmark may panic"
)]

mod support;

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use credd::proto::v1::IssueRequest;
use credd::proto::v1::credential_service_client::CredentialServiceClient;
use credd::server::config::Settings;
use credd::server::process;
use credd::server::restore::Given;
use support::serving::{
    Bearer, Credd, channel, connect, database, runtime, settings, verify_presented,
};
use support::{Budget, Pairs, Table, kinds, preamble, seconds, setting, while_changed};
use tempfile::TempDir;
use tokio::runtime::Runtime;

const BATCH: usize = 1000;

fn main() {
    let count: u64 = setting("CREDD_BENCH_CREDENTIALS", 1_000_000);
    let sample: u64 = setting("CREDD_BENCH_SAMPLE", 3000);
    let parent = std::env::var_os("CREDD_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let directory = || tempfile::tempdir_in(&parent).unwrap();
    preamble(&format!(
        "{count} credentials that are backed up and restored"
    ));
    let (place, first, restored) = (directory(), directory(), directory());
    let keyring = place.path().join("keyring.toml");
    let [embedded, target] = [&first, &restored].map(|directory| {
        let mut settings = settings(directory.path());
        settings.keyring.file = Some(keyring.clone());
        settings
    });
    let (filling, ()) = seconds(|| kinds::fill(&embedded, count));
    println!("filled in {filling:.0} s");

    let runtime = runtime();
    let credd = runtime.block_on(Credd::start_with(first, embedded));
    let [alone, beside] = ["alone", "beside"].map(|name| place.path().join(name));
    let (quiet, ()) = seconds(|| back_up(&credd, &alone));
    let idle = p99(&runtime, &credd, || true);
    let loaded = under_load(&runtime, &credd, &beside);
    let first = runtime.block_on(credd.stop());
    let database = database(first.path());
    let (scanned, ()) = seconds(|| scan_with_sled(&database, &place.path().join("scanned")));

    let (refused, ()) = seconds(|| refuse(&target, &beside));
    let (restoring, ()) = seconds(|| process::restore(&target, &given(&beside)).unwrap());
    let (filled, ()) = seconds(|| fill_with_sled(&database, &place.path().join("bare")));
    // The administrator is whom the store had.
    fs::copy(
        first.path().join("admin.token"),
        restored.path().join("admin.token"),
    )
    .unwrap();
    let (verified, ()) = seconds(|| verify(&runtime, &target, restored, (count, sample)));

    let mut table = Table::new("backup and restore, once");
    let once = |ours, bare| Pairs::of([(ours, bare)]);
    for (what, pair) in [
        ("a backup", once(quiet, scanned)),
        (
            "a backup while others ask and write",
            once(loaded.seconds, scanned),
        ),
        ("a restore", once(restoring, filled)),
    ] {
        table.compare(what, "s", &pair, Budget::Told);
    }
    let pair = once(loaded.p99, idle);
    table.compare("Verify beside it, p99", "us", &pair, Budget::Told);
    table.figure("Issues beside it", "/s", loaded.issues, None);
    table.figure("a changed byte is found", "s", refused, None);
    let what = "start from the restored, and verify the sample";
    table.figure(what, "s", verified, None);
    let bytes = fs::metadata(&alone).unwrap().len();
    table.figure("the backup", "MB", bytes as f64 / 1e6, None);
    table.print();
}

/// Has the program write a backup.
fn back_up(credd: &Credd, file: &Path) {
    let status = Command::new(env!("CARGO_BIN_EXE_credd"))
        .arg("backup")
        .arg(file)
        .env("CREDD_SERVER", format!("http://{}", credd.address))
        .env("CREDD_TOKEN", &credd.token)
        .status();
    assert!(status.unwrap().success());
}

struct Loaded {
    seconds: f64,
    /// Of a Verify, in microseconds.
    p99: f64,
    /// Issues in a second.
    issues: f64,
}

/// Has one written while one client verifies and another issues, each one call after
/// the other.
fn under_load(runtime: &Runtime, credd: &Credd, file: &Path) -> Loaded {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let verifying = scope.spawn(|| p99(runtime, credd, || is_over.load(Ordering::Relaxed)));
        let issuing = scope.spawn(|| runtime.block_on(issue(credd, &is_over)));
        let (seconds, ()) = seconds(|| back_up(credd, file));
        is_over.store(true, Ordering::Relaxed);
        Loaded {
            seconds,
            p99: verifying.join().unwrap(),
            issues: issuing.join().unwrap() as f64 / seconds,
        }
    })
}

/// Microseconds of a Verify, until it is over; at least 5,000 are asked.
fn p99(runtime: &Runtime, credd: &Credd, is_over: impl Fn() -> bool) -> f64 {
    const LEAST: usize = 5000;

    let mut times = runtime.block_on(async {
        let mut client = connect(credd.address, &credd.token).await;
        let mut times = Vec::new();
        while times.len() < LEAST || !is_over() {
            let request = verify_presented(kinds::presented(times.len() as u64 % 1000));
            let asked = Instant::now();
            client.verify(request).await.unwrap();
            times.push(asked.elapsed().as_secs_f64() * 1e6);
        }
        times
    });
    times.sort_by(f64::total_cmp);
    times[times.len() * 99 / 100]
}

/// Issues until it is over; returns how many.
async fn issue(credd: &Credd, is_over: &AtomicBool) -> u64 {
    let channel = channel(credd.address).await;
    let mut client = CredentialServiceClient::with_interceptor(channel, Bearer::new(&credd.token));
    let mut issued = 0;
    while !is_over.load(Ordering::Relaxed) {
        let request = IssueRequest {
            tenant: "acme".to_owned(),
            owner: "beside".to_owned(),
            profile: "api-token".to_owned(),
            label: format!("number {issued}"),
            ..Default::default()
        };
        client.issue(request).await.unwrap();
        issued += 1;
    }
    issued
}

fn given(backup: &Path) -> Given {
    Given {
        from: Some(backup.to_owned()),
        revocations: Vec::new(),
        accept_lost_revocations: true,
    }
}

/// Sees that the file is refused with a byte of it changed.
fn refuse(settings: &Settings, path: &Path) {
    let refused = while_changed(path, || {
        process::restore(settings, &given(path)).unwrap_err()
    });
    println!("refused: {}", credd::server::telemetry::chain(&*refused));
}

/// Serves what was restored, and verifies some of all.
fn verify(runtime: &Runtime, settings: &Settings, directory: TempDir, (count, sample): (u64, u64)) {
    runtime.block_on(async {
        let credd = Credd::start_with(directory, settings.clone()).await;
        let mut client = connect(credd.address, &credd.token).await;
        kinds::verify(&mut client, count, sample).await;
        credd.stop().await;
    });
}

fn open_with_sled(path: &Path) -> sled::Db {
    let config = sled::Config::new().path(path).flush_every_ms(None);
    config.cache_capacity(256 << 20).open().unwrap()
}

/// Writes every pair into a file, with sled alone.
fn scan_with_sled(database: &Path, to: &Path) {
    let sled = open_with_sled(database);
    let mut file = BufWriter::with_capacity(1 << 16, File::create(to).unwrap());
    for pair in sled.iter() {
        let (key, value) = pair.unwrap();
        file.write_all(&key).unwrap();
        file.write_all(&value).unwrap();
    }
    file.into_inner().unwrap().sync_all().unwrap();
}

/// Writes every pair into a new database, with sled alone.
fn fill_with_sled(from: &Path, to: &Path) {
    let path = to.join("db");
    let (from, to) = (open_with_sled(from), open_with_sled(to));
    let mut pairs = from.iter().peekable();
    while pairs.peek().is_some() {
        let mut batch = sled::Batch::default();
        for pair in pairs.by_ref().take(BATCH) {
            let (key, value) = pair.unwrap();
            batch.insert(key, value);
        }
        to.apply_batch(batch).unwrap();
    }
    to.flush().unwrap();
    // Its flush does not sync.
    File::open(path).unwrap().sync_all().unwrap();
}
