//! Starting the real program: what it makes, and what it refuses to start with.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Command;

use credd::proto::v1;
use support::program::{Ended, Program, credd, serve};
use support::{Client, read_token};
use tempfile::TempDir;

/// Runs a command that is to end by itself with an error.
fn refused(command: Command) -> String {
    let Ended { status, output } = Program::start(command).end();
    assert_eq!(status.code(), Some(1), "{output}");
    output
}

/// A data directory that was served from.
fn used_directory() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let (server, _) = Program::serve(serve(&[], directory.path()));
    assert!(server.terminate().status.success());
    directory
}

fn command(arguments: &[&str], data_dir: &Path) -> Command {
    let mut command = credd(&[]);
    command.args(arguments).arg("--data-dir").arg(data_dir);
    command.args(["--disk-reserve-mib", "16"]);
    command
}

#[test]
fn what_the_first_start_makes_is_for_its_owner_alone() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("some/where");
    let (server, _) = Program::serve(serve(&[], &directory));
    let mode = |path: &str| {
        let metadata = fs::metadata(directory.join(path)).unwrap();
        (metadata.is_dir(), metadata.mode() & 0o777)
    };
    assert_eq!(mode(""), (true, 0o700));
    assert_eq!(mode("store"), (true, 0o700));
    assert_eq!(mode("keyring.toml"), (false, 0o600));
    assert_eq!(mode("admin.token"), (false, 0o600));
    assert!(server.terminate().status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_ever_printed() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = serve(&[], directory.path());
    command.env("CREDD_LOG", "trace");
    let (server, address) = Program::serve(command);
    let token = read_token(directory.path());
    let admin = Client::connect(address, &token).await;
    let (id, issued) = admin.issue_token("acme").await;
    assert_eq!(admin.verdict(&issued).await, v1::Verdict::Active);
    admin.revoke(&id).await.unwrap();
    let stranger = Client::connect(address, &issued).await;
    assert!(stranger.get(&id).await.is_err());
    let keyring = fs::read_to_string(directory.path().join("keyring.toml")).unwrap();
    let keys = keyring
        .lines()
        .filter_map(|line| line.strip_prefix("key = "));
    let keys: Vec<_> = keys.map(|key| key.trim_matches('"').to_owned()).collect();
    assert_eq!(keys.len(), 2);

    let output = server.terminate().output;
    assert!(output.contains("admin.token"), "it says where the token is");
    assert!(output.contains(&id), "it says what was issued");
    // Of a token, whatever follows the id.
    for secret in [&token[30..], &issued[30..], &keys[0], &keys[1]] {
        let parts = (0..secret.len() - 16).map(|at| &secret[at..at + 16]);
        for part in parts {
            assert!(!output.contains(part), "it prints {part}");
        }
    }
}

#[test]
fn the_second_start_makes_nothing_anew() {
    let directory = used_directory();
    let read = |name: &str| fs::read(directory.path().join(name)).unwrap();
    let (token, keyring) = (read("admin.token"), read("keyring.toml"));
    let (server, _) = Program::serve(serve(&[], directory.path()));
    assert!(server.terminate().status.success());
    assert_eq!(read("admin.token"), token);
    assert_eq!(read("keyring.toml"), keyring);

    fs::remove_file(directory.path().join("admin.token")).unwrap();
    let (server, _) = Program::serve(serve(&[], directory.path()));
    assert!(server.terminate().status.success());
    assert!(
        !directory.path().join("admin.token").exists(),
        "it was deleted for good"
    );
}

#[test]
fn a_second_process_on_the_same_directory_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (server, _) = Program::serve(serve(&[], directory.path()));
    let output = refused(serve(&[], directory.path()));
    assert!(output.contains("in use"), "{output}");
    assert!(
        output.contains(directory.path().to_str().unwrap()),
        "{output}"
    );
    assert!(
        server.terminate().status.success(),
        "the first one is not disturbed"
    );
}

#[test]
fn plaintext_off_loopback_needs_a_flag() {
    let directory = used_directory();
    let off_loopback = ["serve", "--listen", "0.0.0.0:0"];
    let output = refused(command(&off_loopback, directory.path()));
    assert!(output.contains("--allow-plaintext"), "{output}");
    let allowed = ["serve", "--listen", "0.0.0.0:0", "--allow-plaintext"];
    let (server, _) = Program::serve(command(&allowed, directory.path()));
    assert!(server.terminate().status.success());
}

#[test]
fn off_loopback_a_store_is_never_made_by_serving() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("data");
    let off_loopback = ["serve", "--listen", "0.0.0.0:0", "--allow-plaintext"];
    let output = refused(command(&off_loopback, &directory));
    assert!(output.contains("credd init"), "{output}");
    assert!(!directory.exists(), "a refusal leaves nothing behind");

    let ended = Program::start(command(&["init"], &directory)).end();
    assert!(ended.status.success(), "{}", ended.output);
    let token = read_token(&directory);
    assert!(!ended.output.contains(&token));
    let output = refused(command(&["init"], &directory));
    assert!(output.contains("already"), "{output}");
    assert_eq!(read_token(&directory), token);
    let (server, _) = Program::serve(command(&off_loopback, &directory));
    assert!(server.terminate().status.success());
}

#[test]
fn a_keyring_that_is_not_the_stores_is_refused_by_version() {
    let directory = used_directory();
    let path = directory.path().join("keyring.toml");
    let right = fs::read_to_string(&path).unwrap();
    let key = |at: usize| {
        let start = right.match_indices("key = \"").nth(at).unwrap().0 + 7;
        &right[start..start + 64]
    };
    let another = "0123456789abcdef".repeat(4);
    let cases = [
        (
            right.replace(key(0), &another),
            "pepper version 1 is another key",
        ),
        (
            right.replace(key(1), &another),
            "sealing version 1 is another key",
        ),
        (
            right.replacen("version = 1", "version = 2", 1),
            "pepper version 1 is missing",
        ),
        (right.replace(key(0), "0"), "pepper version 1"),
        (
            right.replace("[[sealing]]", "[[unsealing]]"),
            "keyring.toml",
        ),
        (String::new(), "pepper"),
    ];
    for (text, problem) in cases {
        fs::write(&path, &text).unwrap();
        let output = refused(serve(&[], directory.path()));
        assert!(output.contains("keyring.toml"), "{output}");
        assert!(output.contains(problem), "{problem}: {output}");
        for key in [key(0), key(1), &another] {
            assert!(!output.contains(key), "it prints a key");
        }
    }
    fs::remove_file(&path).unwrap();
    let output = refused(serve(&[], directory.path()));
    assert!(output.contains("keyring.toml is missing"), "{output}");
    assert!(
        !path.exists(),
        "no keyring is made for a store that has one"
    );

    fs::write(&path, &right).unwrap();
    set_mode(&path, 0o600);
    let (server, _) = Program::serve(serve(&[], directory.path()));
    assert!(server.terminate().status.success());
}

#[test]
fn a_keyring_that_others_can_read_is_refused() {
    let directory = used_directory();
    let path = directory.path().join("keyring.toml");
    for mode in [0o644, 0o604, 0o660, 0o666] {
        set_mode(&path, mode);
        let output = refused(serve(&[], directory.path()));
        assert!(output.contains("keyring.toml"), "{output}");
        assert!(output.contains(&format!("{mode:04o}")), "{output}");
    }
    for mode in [0o440, 0o640, 0o400] {
        set_mode(&path, mode);
        let (server, _) = Program::serve(serve(&[], directory.path()));
        assert!(server.terminate().status.success());
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn an_address_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let directory = tempfile::tempdir().unwrap();
    for taken in ["--listen", "--health-listen", "--metrics-listen"] {
        let mut serve = command(&["serve", taken, &address], directory.path());
        if taken != "--listen" {
            serve.args(["--listen", "127.0.0.1:0"]);
        }
        let output = refused(serve);
        assert!(output.contains(&address), "{output}");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}

#[test]
fn the_token_file_is_made_for_its_owner_alone_whatever_the_umask() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("data");
    let mut shell = serve(&["sh", "-c", "umask 0; exec \"$0\" \"$@\""], &directory);
    shell.env("CREDD_LOG", "info");
    let (server, _) = Program::serve(shell);
    for (name, mode) in [("", 0o700), ("store", 0o700), ("admin.token", 0o600)] {
        let metadata = fs::metadata(directory.join(name)).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, mode, "{name}");
    }
    assert!(server.terminate().status.success());
}

#[test]
fn a_store_is_created_until_a_time_and_one_that_is_there_is_left_alone() {
    let parent = tempfile::tempdir().unwrap();
    let init = |directory: &Path, until: &str| {
        let mut command = command(&["init"], directory);
        command.args(["--until", until]);
        Program::start(command).end()
    };
    let (early, late) = ("2999-01-01T00:00:00Z", "2001-01-01T00:00:00+01:00");
    let (lost, there) = (parent.path().join("lost"), parent.path().join("there"));

    let Ended { status, output } = init(&lost, late);
    assert_eq!(status.code(), Some(1), "{output}");
    assert!(output.contains("no first start"), "{output}");
    assert!(!lost.exists());

    assert!(init(&there, early).status.success());
    let token = read_token(&there);
    for until in [early, late] {
        let Ended { status, output } = init(&there, until);
        assert!(status.success(), "{output}");
        assert!(output.contains("there is a store"), "{output}");
    }
    assert_eq!(read_token(&there), token);
    let refused = refused(command(&["init"], &there));
    assert!(refused.contains("there is a store"), "{refused}");

    let Ended { status, output } = init(&lost, "tomorrow");
    assert_eq!(status.code(), Some(2), "{output}");
}
