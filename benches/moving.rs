//! A store of a million credentials that moves into a real etcd of three members, and
//! back: how long each step takes, and that credentials of all kinds are good after it.
//!
//! A byte of the export is changed first, and the import refused. All share this machine,
//! and its disk. Needs `CREDD_TEST_ETCD`, the program.
//!
//! `CREDD_BENCH_CREDENTIALS` (1,000,000), `CREDD_BENCH_SAMPLE` (3,000 are verified after
//! each step), `CREDD_BENCH_DIR` (the directory for temporary files).
#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a benchmark may panic"
)]

#[path = "../tests/support/etcd.rs"]
mod etcd;
mod support;

use std::fs;
use std::path::{Path, PathBuf};

use credd::server::config::Settings;
use credd::server::export::Wanted;
use credd::server::process;
use etcd::Cluster;
use support::serving::{Credd, connect, in_etcd, runtime, settings};
use support::{Table, kinds, preamble, seconds, setting, while_changed};
use tempfile::TempDir;

fn main() {
    let Some(program) = std::env::var_os("CREDD_TEST_ETCD") else {
        println!("CREDD_TEST_ETCD names no etcd");
        return;
    };
    let count: u64 = setting("CREDD_BENCH_CREDENTIALS", 1_000_000);
    let sample: u64 = setting("CREDD_BENCH_SAMPLE", 3000);
    let parent = std::env::var_os("CREDD_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let directory = || tempfile::tempdir_in(&parent).unwrap();
    preamble(&format!("{count} credentials that move"));
    let place = directory();
    let keyring = place.path().join("keyring.toml");
    let (first, last, server) = (directory(), directory(), directory());
    let [embedded, back] = [&first, &last].map(|directory| {
        let mut settings = settings(directory.path());
        settings.keyring.file = Some(keyring.clone());
        settings
    });
    let cluster = Cluster::start(&PathBuf::from(program));
    let mut in_etcd = in_etcd(&cluster.addresses(), &keyring, server.path());

    let (filling, ()) = seconds(|| kinds::fill(&embedded, count));
    println!("filled in {filling:.0} s");
    let mut table = Table::new("steps");
    let mut step = |what: &str, work: &mut dyn FnMut()| {
        let (seconds, ()) = seconds(work);
        table.figure(what, "s", seconds, None);
    };
    let file = place.path().join("credd.export");
    step("export from sled", &mut || export(&embedded, &file));
    let bytes = fs::metadata(&file).unwrap().len();
    step("a changed byte is found", &mut || refuse(&in_etcd, &file));
    step("import into etcd", &mut || {
        process::import(&in_etcd, &file).unwrap();
    });
    let held = cluster.database_bytes(0);
    let mut server = Some(server);
    let mut token = String::new();
    step("start on etcd, and verify the sample", &mut || {
        token = verify(&in_etcd, server.take().unwrap(), (count, sample));
    });
    let exporting = directory();
    exporting.path().clone_into(&mut in_etcd.store.data_dir);
    let file = place.path().join("back.export");
    step("export from etcd", &mut || export(&in_etcd, &file));
    step("import into sled", &mut || {
        process::import(&back, &file).unwrap();
    });
    fs::write(last.path().join("admin.token"), &token).unwrap();
    let mut last = Some(last);
    step("start on sled, and verify the sample", &mut || {
        verify(&back, last.take().unwrap(), (count, sample));
    });
    table.figure("the export", "MB", bytes as f64 / 1e6, None);
    table.figure("etcd's database", "MB", held as f64 / 1e6, None);
    table.print();
}

fn export(settings: &Settings, file: &Path) {
    let wanted = Wanted {
        to: Some(file.to_owned()),
        take_back: false,
    };
    process::export(settings, &wanted).unwrap();
}

/// Sees that the file is refused with a byte of it changed.
fn refuse(settings: &Settings, path: &Path) {
    let refused = while_changed(path, || process::import(settings, path).unwrap_err());
    println!("refused: {}", credd::server::telemetry::chain(&*refused));
}

/// Serves, and verifies some of all. Returns the administrator's token.
fn verify(settings: &Settings, directory: TempDir, (count, sample): (u64, u64)) -> String {
    let runtime = runtime();
    runtime.block_on(async {
        let credd = Credd::start_with(directory, settings.clone()).await;
        let mut client = connect(credd.address, &credd.token).await;
        kinds::verify(&mut client, count, sample).await;
        let token = credd.token.clone();
        credd.stop().await;
        token
    })
}
