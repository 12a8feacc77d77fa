//! The copy of the log in a file.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use credd::proto::v1::{AuditFilter, AuditHead};
use credd::server::config::{AuditFile, Settings};
use serde_json::Value;

use crate::support::program::{Program, serve_everything};
use crate::support::{Client, Server, config, read_token, until};
use crate::{events, sound, verify};

fn with_file(directory: &Path, file: &Path) -> Settings {
    let mut config = config(directory);
    config.audit.file = Some(AuditFile::Path(file.to_owned()));
    config
}

/// The lines of a file, all of them whole.
fn lines(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap_or_default();
    assert!(text.is_empty() || text.ends_with('\n'), "{text}");
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    lines.collect()
}

fn sequences(lines: &[Value]) -> Vec<u64> {
    let lines = lines.iter();
    lines
        .map(|line| line["sequence"].as_u64().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_is_in_the_file_once_whatever_restarts() {
    let outside = tempfile::tempdir().unwrap();
    let file = outside.path().join("audit.jsonl");
    let mut directory = tempfile::tempdir().unwrap();
    let mut last = None;
    for round in 0..4 {
        let config = if round == 2 {
            // For a while nowhere: it is made up for.
            config(directory.path())
        } else {
            with_file(directory.path(), &file)
        };
        let server = Server::start_with(directory, config).await;
        let (id, _) = server.admin.issue_token("acme").await;
        server.admin.lock(&id).await.unwrap();
        assert!(server.client("nobody").await.get("x").await.is_err());
        last = Some(sound(&server.admin, &[]).await);
        directory = server.stop().await;
        if round == 1 {
            // As if the process had died while it wrote.
            let mut text = fs::read(&file).unwrap();
            text.extend(b"{\"store\":\"");
            fs::write(&file, text).unwrap();
        }
    }
    let lines = lines(&file);
    let all = sequences(&lines);
    assert_eq!(all, (1..=all.len() as u64).collect::<Vec<_>>());
    assert!(*all.last().unwrap() >= last.unwrap().sequence);
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);

    // Each says what the log says, and is a head to check against.
    let server = Server::start_in(directory).await;
    let events = events(&server.admin, AuditFilter::default()).await;
    for (line, event) in lines.iter().zip(&events) {
        assert_eq!(line["hash"], event.hash.as_str());
        assert_eq!(line["action"], event.action.as_str());
        assert_eq!(line["outcome"], event.outcome.as_str());
        assert_eq!(line["revision"], event.revision.as_ref().unwrap().number);
        let tenant = line
            .get("tenant")
            .and_then(Value::as_str)
            .unwrap_or_default();
        assert_eq!(tenant, event.tenant);
    }
    let heads: Vec<_> = lines
        .iter()
        .rev()
        .take(100)
        .map(|line| AuditHead {
            chain: 0,
            sequence: line["sequence"].as_u64().unwrap(),
            hash: line["hash"].as_str().unwrap().to_owned(),
        })
        .collect();
    assert_eq!(verify(&server.admin, &heads).await.broken, None);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_written_blocks_nothing_and_is_made_up_for() {
    let outside = tempfile::tempdir().unwrap();
    let parent = outside.path().join("not yet");
    let file = parent.join("audit.jsonl");
    let directory = tempfile::tempdir().unwrap();
    let config = with_file(directory.path(), &file);
    let server = Server::start_with(directory, config).await;
    for _ in 0..5 {
        server.admin.issue_token("acme").await;
    }
    assert!(!file.exists());
    fs::create_dir(&parent).unwrap();
    let head = sound(&server.admin, &[]).await.sequence;
    until("the file", async || {
        lines(&file)
            .last()
            .is_some_and(|line| line["sequence"].as_u64() >= Some(head))
    })
    .await;
    let all = sequences(&lines(&file));
    assert_eq!(all, (1..=all.len() as u64).collect::<Vec<_>>());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_of_another_store_is_not_mixed_up_with_this_one() {
    let outside = tempfile::tempdir().unwrap();
    let file = outside.path().join("audit.jsonl");
    let mut stores = BTreeSet::new();
    for _ in 0..2 {
        let directory = tempfile::tempdir().unwrap();
        let config = with_file(directory.path(), &file);
        let server = Server::start_with(directory, config).await;
        server.admin.issue_token("acme").await;
        server.stop().await;
    }
    let lines = lines(&file);
    for line in &lines {
        stores.insert(line["store"].as_str().unwrap().to_owned());
    }
    assert_eq!(stores.len(), 2);
    for store in &stores {
        let own = lines.iter().filter(|line| line["store"] == store.as_str());
        let own: Vec<_> = own.cloned().collect();
        let own = sequences(&own);
        assert_eq!(own, (1..=own.len() as u64).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn standard_output_has_what_happens_from_the_start_on() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = serve_everything(&[], directory.path());
    command.args(["--audit-file", "-"]);
    let (program, address) = Program::serve(command);
    let admin = Client::connect(address, &read_token(directory.path())).await;
    let (id, _) = admin.issue_token("acme").await;
    drop(admin);
    let output = program.terminate().output;
    let told = output.lines().filter_map(|line| {
        let line: Value = serde_json::from_str(line).ok()?;
        line.get("sequence")?;
        Some(line)
    });
    let told: Vec<_> = told.collect();
    let issued = told
        .iter()
        .find(|line| line["credential_ids"][0] == id.as_str());
    assert_eq!(
        issued.unwrap()["action"],
        "credd.v1.CredentialService/Issue"
    );
    assert!(sequences(&told).is_sorted());
}
