//! What is not restored, and leaves nothing behind.

use std::fs;
use std::path::Path;
use std::time::Duration;

use credd::proto::v1;

use crate::place::{Place, refused, restore_command, restored};
use crate::support::program::{Ended, Program, serve, wait_for};

/// What stands in a directory.
fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// A backup of a server with a credential, and its token.
async fn backed_up(place: &Place) -> (Vec<u8>, String) {
    let server = place.serve().await;
    let (_, token) = server.admin.issue_token("acme").await;
    let bytes = server.backup().await;
    server.stop();
    (bytes, token)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_was_cut_or_changed_is_refused_before_anything_is_written() {
    let place = Place::new();
    let (bytes, _) = backed_up(&place).await;
    let directory = place.fresh("restored");
    let file = place.path("bad");
    let changed = |at: usize| {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1;
        bytes
    };
    let cut = |length: usize| bytes[..length].to_vec();
    let more = [&bytes[..], b"x"].concat();
    for (bad, said) in [
        (cut(0), "no backup"),
        (cut(7), "cut off"),
        (cut(bytes.len() / 2), "cut off"),
        (cut(bytes.len() - 1), "cut off"),
        (changed(0), "no backup"),
        (changed(100), "changed or damaged"),
        (changed(bytes.len() / 2), "changed or damaged"),
        (changed(bytes.len() - 1), "changed or damaged"),
        (more, "follows the end"),
    ] {
        fs::write(&file, bad).unwrap();
        let arguments = [
            "--from",
            file.to_str().unwrap(),
            "--accept-lost-revocations",
        ];
        let output = refused(&directory, &arguments);
        assert!(output.contains(said), "{said}: {output}");
        assert!(output.contains("at byte"), "{output}");
        assert_eq!(names(&directory), ["keyring.toml"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_keyring_or_a_directory_in_use_is_refused() {
    let place = Place::new();
    let (bytes, token) = backed_up(&place).await;
    let file = place.path("backup");
    fs::write(&file, &bytes).unwrap();
    let from = [
        "--from",
        file.to_str().unwrap(),
        "--accept-lost-revocations",
    ];

    let directory = place.path("empty");
    let output = refused(&directory, &from);
    assert!(output.contains("keyring.toml is missing"), "{output}");
    assert!(names(&directory).is_empty());

    let keyring = directory.join("keyring.toml");
    let good = fs::read_to_string(place.data().join("keyring.toml")).unwrap();
    let mut init = crate::support::program::credd(&[]);
    init.args(["keyring", "init", "--file"]).arg(&keyring);
    assert!(Program::start(init).end().status.success());
    let output = refused(&directory, &from);
    assert!(
        output.contains("pepper version 1 is another key"),
        "{output}"
    );
    assert_eq!(names(&directory), ["keyring.toml"]);
    let renumbered = good.replacen("version = 1", "version = 2", 1);
    fs::write(&keyring, renumbered).unwrap();
    let output = refused(&directory, &from);
    assert!(output.contains("pepper version 1 is missing"), "{output}");

    fs::write(&keyring, &good).unwrap();
    fs::write(directory.join("something"), "").unwrap();
    let output = refused(&directory, &from);
    assert!(output.contains("something is there"), "{output}");
    fs::remove_file(directory.join("something")).unwrap();
    let output = refused(&place.data(), &from);
    assert!(output.contains("is there"), "{output}");

    // With what is needed it is restored, and not over again.
    restored(&directory, &from);
    assert_eq!(names(&directory), ["keyring.toml", "store"]);
    let output = refused(&directory, &from);
    assert!(output.contains("store is there"), "{output}");
    let output = refused(&directory, &["--accept-lost-revocations"]);
    assert!(output.contains("was not restored, or"), "{output}");
    let server = place.serve_restored(&directory).await;
    assert_eq!(server.admin.verdict(&token).await, v1::Verdict::Active);
    let output = refused(&directory, &["--accept-lost-revocations"]);
    assert!(output.contains("in use by another process"), "{output}");
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_was_cut_short_leaves_no_store_and_can_be_done_again() {
    let place = Place::new();
    let (bytes, token) = backed_up(&place).await;
    let file = place.path("backup");
    fs::write(&file, &bytes).unwrap();
    let directory = place.fresh("restored");
    let from = [
        "--from",
        file.to_str().unwrap(),
        "--accept-lost-revocations",
    ];
    restored(&directory, &from);
    // The mark goes as the very last.
    fs::write(directory.join("RESTORING"), "").unwrap();
    let Ended { status, output } = Program::start(serve(&[], &directory)).end();
    assert_eq!(status.code(), Some(1), "{output}");
    assert!(output.contains("cut short"), "{output}");

    fs::remove_file(directory.join("store/CURRENT")).unwrap();
    let Ended { status, output } = Program::start(serve(&[], &directory)).end();
    assert_eq!(status.code(), Some(1), "nothing is created: {output}");
    restored(&directory, &from);
    assert_eq!(names(&directory), ["keyring.toml", "store"]);
    let server = place.serve_restored(&directory).await;
    assert_eq!(server.admin.verdict(&token).await, v1::Verdict::Active);
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_is_killed_leaves_the_whole_store_or_none() {
    let place = Place::new();
    let server = place.serve().await;
    crate::stream::fill(&server).await;
    let (_, token) = server.admin.issue_token("acme").await;
    let bytes = server.backup().await;
    server.stop();
    let file = place.path("backup");
    fs::write(&file, &bytes).unwrap();
    let file = file.to_str().unwrap();
    let directory = place.fresh("restored");
    let mark = directory.join("RESTORING");
    let mut cut_short = 0;
    for delay in [0, 5, 10, 20, 40, 80, 160, 320] {
        let program = Program::start(restore_command(
            &directory,
            &["--from", file, "--accept-lost-revocations"],
        ));
        wait_for("the restore to begin to write", || {
            mark.exists().then_some(())
        });
        std::thread::sleep(Duration::from_millis(delay));
        program.kill();
        if !mark.exists() {
            break;
        }
        cut_short += 1;
        let Ended { status, output } = Program::start(serve(&[], &directory)).end();
        assert_eq!(status.code(), Some(1), "{output}");
        assert!(output.contains("cut short"), "{output}");
    }
    assert!(cut_short > 0, "it was never cut short");
    if mark.exists() {
        restored(&directory, &["--from", file, "--accept-lost-revocations"]);
    }
    let server = place.serve_restored(&directory).await;
    assert_eq!(server.admin.verdict(&token).await, v1::Verdict::Active);
    let mut audit = server.admin.audit.clone();
    let verified = audit.verify_chain(v1::VerifyChainRequest::default()).await;
    assert_eq!(verified.unwrap().into_inner().broken, None);
    server.stop();
}
