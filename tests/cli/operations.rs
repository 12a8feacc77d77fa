//! What those who run a server ask for.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use crate::support::Server;
use crate::support::program::{Program, credd, wait_for};
use crate::{World, ran};

#[tokio::test(flavor = "multi_thread")]
async fn the_state_of_a_server_is_one_page() {
    let world = World::start().await;
    world.issue("a");
    let page = world.ok(&["status"]);
    for line in [
        "Credentials:  2\n",
        "Sessions:     0, with leases of 10s\n",
        "\nKeys\n",
        "\nServers\n",
    ] {
        assert!(page.contains(line), "{line}: {page}");
    }
    let status = world.json(&["status"]);
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    let keys = world.ok(&["key", "list"]);
    let row = keys.lines().nth(1).unwrap();
    assert!(
        row.starts_with("pepper   1        active  yes     2 "),
        "{keys}"
    );
    assert_eq!(
        world.ok(&["key", "list", "-o", "name"]),
        "pepper 1\nsealing 1\n"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_rotated_and_retired() {
    let world = World::start().await;
    for kind in ["pepper", "sealing"] {
        let mut add = credd(&[]);
        let directory = world.server.directory.path();
        add.args(["keyring", "add", kind, "--data-dir"])
            .arg(directory);
        assert_eq!(ran(add).code, 0);
    }
    let (_, token) = world.issue("a");
    let rotate = |kind: &str| {
        crate::support::program::wait_for("the key to be loaded", || {
            let rotated = world.run(&["key", "rotate", kind, "2", "--reason", "yearly"]);
            let is_early = rotated.err.contains("[KEY_NOT_LOADED]");
            assert!(rotated.code == 0 || is_early, "{rotated:?}");
            (rotated.code == 0).then_some(rotated.out)
        })
    };
    assert_eq!(rotate("pepper"), "activated version 2 of the pepper\n");
    assert_eq!(
        rotate("sealing"),
        "activated version 2 of the sealing key\n"
    );
    let in_use = world.run(&["key", "retire", "pepper", "1"]);
    assert_eq!(in_use.code, 7);
    assert!(in_use.err.contains("[KEY_IN_USE]"), "{in_use:?}");
    // The administrator's is presented all the time.
    crate::support::program::wait_for("one secret to remain", || {
        let keys = world.json(&["key", "list"]);
        (keys["peppers"][0]["remaining"] == "1").then_some(())
    });
    let force = ["key", "retire", "pepper", "1", "--force"];
    let asked = world.run(&force);
    assert_eq!(asked.code, 2);
    assert!(
        asked.err.contains("end the secrets of 1 credential"),
        "{asked:?}"
    );
    // Nobody presents it, and so it ends.
    drop(token);
    let retired = world.ok(&[&force[..], &["--yes", "--fence"]].concat());
    assert!(
        retired.contains("retired version 1 of the pepper\nended secrets of 1 credential"),
        "{retired}"
    );
    let wrong = world.run(&["key", "retire", "sealing", "1", "--fence"]);
    assert_eq!(wrong.code, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_a_file_that_is_restored() {
    let world = World::start().await;
    let (id, _) = world.issue("a");
    let path = world.file("nightly.backup");
    let backup = ["backup", path.to_str().unwrap(), "--reason", "nightly"];
    let made = world.run(&backup);
    assert_eq!((made.code, made.out.as_str()), (0, ""), "{made:?}");
    assert!(made.err.contains("`credd restore`"), "{made:?}");
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let bytes = fs::read(&path).unwrap();
    let again = world.run(&backup);
    assert_eq!(again.code, 2);
    assert!(again.err.contains("nothing is written over"), "{again:?}");
    assert_eq!(fs::read(&path).unwrap(), bytes);
    // To a pipe.
    let mut piped = world.command(&["backup", "-"]);
    let piped = piped.output().unwrap();
    assert!(piped.status.success() && !piped.stdout.is_empty());

    let restored = tempfile::tempdir().unwrap();
    let keyring = world.file("keyring.toml");
    fs::copy(keyring, restored.path().join("keyring.toml")).unwrap();
    let mut restore = credd(&[]);
    restore
        .args(["restore", "--accept-lost-revocations", "--from"])
        .arg(&path);
    restore
        .args(["--disk-reserve-mib", "16", "--data-dir"])
        .arg(restored.path());
    let restore = ran(restore);
    assert_eq!(restore.code, 0, "{restore:?}");
    // Whoever was known before is known there.
    fs::copy(world.token_file(), restored.path().join("admin.token")).unwrap();
    let world = World {
        server: Server::start_in(restored).await,
    };
    assert_eq!(
        world.ok(&["list", "--tenant", "acme", "--output", "name"]),
        format!("{id}\n")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_fails_leaves_nothing() {
    let world = World::start().await;
    let path = world.file("nightly.backup");
    let refused = ran(world.stranger(&["backup", path.to_str().unwrap()]));
    assert_eq!(refused.code, 5, "{refused:?}");
    let left = fs::read_dir(world.server.directory.path()).unwrap();
    let left = left.filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_string_lossy().contains("backup")
    });
    assert_eq!(left.count(), 0);
    let nowhere = world.file("no/such/directory/backup");
    assert_eq!(world.run(&["backup", nowhere.to_str().unwrap()]).code, 2);
}

#[test]
fn completions_are_scripts_that_their_shells_can_read() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let mut command = credd(&[]);
        command.args(["completions", shell]);
        let script = ran(command);
        assert_eq!(script.code, 0, "{script:?}");
        assert!(script.out.contains("report-leak"), "{shell}");
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), script.out).unwrap();
        // A shell that is not there has nothing to say.
        let checked = Command::new(shell).arg("-n").arg(file.path()).status();
        assert!(checked.is_err() || checked.unwrap().success(), "{shell}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_says_that_it_is_one() {
    let world = World::start().await;
    let token = world.file("gate.token");
    world.ok(&["binding", "put", "credd:gate", "verifier", "--tenant", "*"]);
    let token = token.to_str().unwrap();
    world.ok(&[
        "issue",
        "--tenant",
        "credd",
        "--owner",
        "gate",
        "--label",
        "x",
        "--secret-file",
        token,
    ]);
    let socket = world.file("sidecar.sock");
    let mut sidecar = credd(&[]);
    sidecar
        .args(["sidecar", "--authority-token-file", token])
        .args(["--authority", &format!("http://{}", world.server.address)])
        .arg("--socket")
        .arg(&socket);
    let sidecar = Program::start(sidecar);
    wait_for("the sidecar to listen", || socket.exists().then_some(()));
    let server = format!("unix:{}", socket.display());
    for command in [&["list"][..], &["status"], &["tenant", "list"]] {
        let ran = world.run(&[command, &["--server", &server]].concat());
        assert_eq!(ran.code, 1, "{command:?}: {ran:?}");
        assert!(
            ran.err
                .contains("hint: the server is of an earlier version, or a sidecar"),
            "{ran:?}"
        );
    }
    assert!(sidecar.terminate().status.success());
}

#[test]
fn the_exit_codes_are_in_the_help() {
    let mut command = credd(&[]);
    command.arg("--help");
    let help = ran(command).out;
    for line in [
        "Exit codes",
        "  3  the answer is no",
        "  129, 130, 131, 143  it was ended by",
    ] {
        assert!(help.contains(line), "{help}");
    }
}

#[test]
fn what_a_timeout_does_not_end_is_in_the_help() {
    for arguments in [&["watch", "--help"][..], &["audit", "list", "--help"]] {
        let mut command = credd(&[]);
        command.args(arguments);
        let help = ran(command).out;
        assert!(help.contains("goes on after that, too"), "{help}");
    }
}
