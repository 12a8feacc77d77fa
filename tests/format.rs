//! Stores that an earlier version made, as they were on the disk.
//!
//! `CREDD_TEST_WRITE=1 cargo test --test format` writes that of this version, if there is
//! none yet.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/calls.rs"]
mod calls;
mod support;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use calls::{everything, issue, verify};
use credd::proto::v1;
use credd::proto::v1::Verdict;
use data_encoding::HEXLOWER;
use prost::Message as _;
use support::{Server, config};

/// Where they are kept: the data directory, and beside it what it holds.
fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// The format that the store of this version has.
const FORMAT: &str = "format-1";

/// What it holds of each kind, and one that is not good any more.
const PROFILES: [(&str, bool); 4] = [
    ("eset-api-token", true),
    ("eset-taxii", true),
    ("tenable-io", true),
    ("api-token", false),
];

fn tar(arguments: &[&str], archive: &Path) {
    let mut command = Command::new("tar");
    let done = command.args(arguments).arg("-f").arg(archive).status();
    assert!(done.unwrap().success());
}

/// Makes a store, and keeps it: the directory, and the questions that it answers.
async fn write(directory: &Path) {
    let server = Server::start().await;
    let mut questions = String::new();
    for (profile, is_good) in PROFILES {
        let held = issue(&server.admin, "acme", "jo", profile).await;
        if !is_good {
            server.admin.revoke(&held.id).await.unwrap();
        }
        let question = HEXLOWER.encode(&held.question().encode_to_vec());
        writeln!(questions, "{} {question}", held.id).unwrap();
    }
    let data = server.stop().await;
    fs::create_dir_all(directory).unwrap();
    fs::write(directory.join("questions"), questions).unwrap();
    let from = data.path().to_str().unwrap();
    tar(
        &["-c", "-z", "-C", from, "."],
        &directory.join("data.tar.gz"),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_of_each_format_there_was_is_opened_and_says_what_it_said() {
    if std::env::var_os("CREDD_TEST_WRITE").is_some() && !fixtures().join(FORMAT).exists() {
        write(&fixtures().join(FORMAT)).await;
    }
    let mut formats = Vec::new();
    for entry in fs::read_dir(fixtures()).unwrap() {
        let kept = entry.unwrap().path();
        formats.push(kept.file_name().unwrap().to_owned());
        let data = tempfile::tempdir().unwrap();
        let to = data.path().to_str().unwrap();
        tar(
            &["-x", "-z", "--no-same-owner", "-C", to],
            &kept.join("data.tar.gz"),
        );
        let settings = config(data.path());
        let server = Server::start_with(data, settings).await;

        let questions = fs::read_to_string(kept.join("questions")).unwrap();
        let mut listed = Vec::new();
        for (line, (profile, is_good)) in questions.lines().zip(PROFILES) {
            let (id, question) = line.split_once(' ').unwrap();
            let question = HEXLOWER.decode(question.as_bytes()).unwrap();
            let question = v1::VerifyRequest::decode(&*question).unwrap();
            let answer = verify(&server.admin, question).await;
            let expected = if is_good {
                Verdict::Active
            } else {
                Verdict::Revoked
            };
            assert_eq!(answer.verdict(), expected, "{profile}");
            listed.push(id.to_owned());
        }
        assert_eq!(listed.len(), PROFILES.len());
        let all = everything(&server.admin, "acme").await;
        let mut ids: Vec<_> = all.into_iter().map(|it| it.id).collect();
        ids.sort();
        listed.sort();
        assert_eq!(ids, listed);
        let chain = v1::VerifyChainRequest::default();
        let mut audit = server.admin.audit.clone();
        let checked = audit.verify_chain(chain).await.unwrap().into_inner();
        assert!(checked.broken.is_none(), "{checked:?}");
        // And it goes on.
        server
            .admin
            .issue(support::token_request("acme"))
            .await
            .unwrap();
        server.stop().await;
    }
    assert!(formats.iter().any(|it| it == FORMAT), "{formats:?}");
}
