//! Continuity is lost: the store is another one, or its log no longer reaches back to
//! what the sidecar has applied. Everything that it keeps is asked anew.

use std::path::{Path, PathBuf};

use credd::proto::v1;
use credd::proto::v1::Verdict;
use credd::proto::v1::operations_service_client::OperationsServiceClient;

use crate::real::{Authority, Sidecar};
use crate::support::program::{Program, credd};
use crate::support::{Bearer, channel, until};
use crate::way::Way;

const LEASE: [&str; 2] = ["--fence-lease-ms", "1000"];

/// Sees that a token that was kept is asked about anew, once.
async fn assert_is_asked_anew(sidecar: &Sidecar, token: &str, verdict: Verdict) {
    let asked = sidecar.count("sidecar_asked_total").await;
    assert_eq!(sidecar.verdict(token).await, verdict);
    assert_eq!(sidecar.count("sidecar_asked_total").await, asked + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_log_no_longer_reaches_back_everything_is_asked_anew() {
    let mut authority = Authority::start(&LEASE).await;
    let mut way = Way::to(authority.address).await;
    let sidecar = Sidecar::following(&way.url(), &authority).await;
    let admin = authority.admin().await;
    let (revoked_id, revoked) = admin.issue_token("acme").await;
    let (_, good) = admin.issue_token("acme").await;
    for token in [&revoked, &good] {
        sidecar.keep(token).await;
    }

    // It misses a revocation, and the log forgets it.
    way.close().await;
    let early = token_of_now(&authority).await;
    admin.revoke(&revoked_id).await.unwrap();
    for _ in 0..20 {
        admin.issue_token("acme").await;
    }
    authority.kill();
    authority.start_again(&[&LEASE[..], &["--log-retention-commits", "5"]].concat());
    until("the log to be compacted", || async {
        let request = v1::WatchRequest {
            resume_token: early.clone(),
            ..Default::default()
        };
        let mut stream = authority.admin().await.watch(request).await.unwrap();
        let first = stream.message().await.unwrap().unwrap();
        matches!(first.message, Some(v1::watch_response::Message::Reset(_)))
    })
    .await;
    way.open().await;

    until("the sidecar to be told", || async {
        sidecar.count("sidecar_resets_total").await == 2
    })
    .await;
    sidecar.live().await;
    assert_is_asked_anew(&sidecar, &revoked, Verdict::Revoked).await;
    assert_is_asked_anew(&sidecar, &good, Verdict::Active).await;
    sidecar.keep(&good).await;
    sidecar.stop(&[&revoked, &good]);
    authority.stop();
}

/// The resume token of now.
async fn token_of_now(authority: &Authority) -> String {
    let request = v1::WatchRequest::default();
    let mut stream = authority.admin().await.watch(request).await.unwrap();
    stream.message().await.unwrap().unwrap().resume_token
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_backup_was_restored_there_is_no_yes_that_the_store_would_not_give() {
    let mut authority = Authority::start(&LEASE).await;
    let sidecar = Sidecar::following(&authority.url(), &authority).await;
    let admin = authority.admin().await;
    let (_, good) = admin.issue_token("acme").await;
    let (locked_id, locked) = admin.issue_token("acme").await;
    admin.lock(&locked_id).await.unwrap();
    let backup = backup(&authority).await;
    // In the backup it is locked, and the next one is not at all.
    admin.unlock(&locked_id).await.unwrap();
    let (_, later) = admin.issue_token("acme").await;
    for token in [&good, &locked, &later] {
        sidecar.keep(token).await;
    }

    authority.kill();
    authority.data = restore(&authority, &backup);
    authority.start_again(&LEASE);
    until("the sidecar to be told", || async {
        sidecar.count("sidecar_resets_total").await == 2
    })
    .await;
    for token in [&locked, &later] {
        assert_ne!(sidecar.verdict(token).await, Verdict::Active);
    }
    sidecar.live().await;
    let admin = authority.admin().await;
    for (token, verdict) in [
        (&good, Verdict::Active),
        (&locked, Verdict::Locked),
        (&later, Verdict::Invalid),
    ] {
        assert_eq!(sidecar.verdict(token).await, verdict);
        assert_eq!(admin.verdict(token).await, verdict);
    }
    sidecar.keep(&good).await;
    sidecar.stop(&[&good, &locked, &later]);
    authority.stop();
}

/// Makes a backup; returns where it is.
async fn backup(authority: &Authority) -> PathBuf {
    let bearer = Bearer::new(&authority.admin_token());
    let channel = channel(authority.address).await;
    let mut operations = OperationsServiceClient::with_interceptor(channel, bearer);
    let request = v1::BackupRequest {
        reason: "nightly".to_owned(),
    };
    let mut stream = operations.backup(request).await.unwrap().into_inner();
    let mut bytes = Vec::new();
    while let Some(part) = stream.message().await.unwrap() {
        bytes.extend(part.chunk);
    }
    let path = authority.directory.path().join("backup");
    std::fs::write(&path, bytes).unwrap();
    path
}

/// Restores a backup, without what was revoked since; returns where the data is.
fn restore(authority: &Authority, backup: &Path) -> PathBuf {
    let directory = authority.directory.path().join("restored");
    std::fs::create_dir(&directory).unwrap();
    let keyring = "keyring.toml";
    std::fs::copy(authority.data.join(keyring), directory.join(keyring)).unwrap();
    let mut command = credd(&[]);
    command
        .args(["restore", "--disk-reserve-mib", "16", "--data-dir"])
        .arg(&directory)
        .args(["--accept-lost-revocations", "--from"])
        .arg(backup);
    let ended = Program::start(command).end();
    assert!(ended.status.success(), "{}", ended.output);
    directory
}
