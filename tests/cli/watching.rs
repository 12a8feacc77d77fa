//! `credd watch` and `credd audit --follow`: what comes without end.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use serde_json::Value;

use crate::support::program::wait_for;
use crate::{World, ran, text};

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_printed_as_they_are_made_and_taken_up_where_they_were_left() {
    let world = World::start().await;
    let mut watch = world
        .command(&[
            "watch", "--output", "json", "--tenant", "acme", "--limit", "2",
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut next = || -> Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
    let first = next();
    assert!(first["bookmark"].is_object(), "{first}");
    let (id, _) = world.issue("a");
    world.ok(&["lock", &id]);
    // Bookmarks come in between.
    let mut commit = || loop {
        let message = next();
        if message["commit"].is_object() {
            return message["commit"]["events"][0]["credential"].clone();
        }
    };
    assert_eq!(commit()["type"], "CHANGE_TYPE_ISSUED");
    let locked = commit();
    assert_eq!(
        (text(&locked["credentialId"]), &locked["state"]),
        (id.clone(), &"CREDENTIAL_STATE_LOCKED".into())
    );
    assert!(watch.wait().unwrap().success());

    let token = text(&first["resumeToken"]);
    let again = ["watch", "--resume-token", &token, "--limit", "2"];
    let rows = world.ok(&again);
    let changes: Vec<_> = rows.lines().skip(1).collect();
    assert_eq!(changes.len(), 2, "{rows}");
    assert!(
        changes[0].contains(&id) && changes[0].contains("issued"),
        "{rows}"
    );
    assert!(changes[1].ends_with("locked  locked"), "{rows}");
    let names = world.ok(&[&again[..], &["--output", "name"]].concat());
    assert_eq!(names, format!("{id}\n{id}\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_denied_now_comes_first_if_it_is_asked_for() {
    let world = World::start().await;
    let (id, _) = world.issue("a");
    world.ok(&["lock", &id]);
    world.ok(&["tenant", "put", "globex"]);
    world.ok(&["tenant", "disable", "globex", "--yes"]);
    let mut watch = world
        .command(&["watch", "--snapshot"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut next = || lines.next().unwrap().unwrap();
    assert!(next().starts_with("TIME"));
    assert!(next().contains(&id));
    let globex = next();
    assert!(
        globex.contains("globex") && globex.ends_with("disabled"),
        "{globex}"
    );
    watch.kill().unwrap();
    watch.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_followed_goes_on_after_the_server_was_restarted() {
    use crate::support::program::{Program, credd, serve_everything};

    let directory = tempfile::tempdir().unwrap();
    let (server, address) = Program::serve(serve_everything(&[], directory.path()));
    let listen = address.to_string();
    let command = |arguments: &[&str]| {
        let mut command = credd(&[]);
        command
            .args(arguments)
            .env("CREDD_SERVER", format!("http://{listen}"))
            .env("CREDD_TOKEN_FILE", directory.path().join("admin.token"));
        command
    };
    let mut watch = command(&["watch", "--limit", "1", "--output", "json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    lines.next().unwrap().unwrap();
    let mut follow = command(&["audit", "list", "--follow", "--output", "json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut events = BufReader::new(follow.stdout.take().unwrap()).lines();
    let start = events.next().unwrap().unwrap();
    assert!(server.terminate().status.success());
    let mut again = credd(&[]);
    again
        .args([
            "serve",
            "--listen",
            &listen,
            "--disk-reserve-mib",
            "16",
            "--data-dir",
        ])
        .arg(directory.path())
        .arg("--config")
        .arg(directory.path().join("credd.toml"));
    let (server, _) = Program::serve(again);
    let issued = ran(command(&[
        "issue", "--tenant", "acme", "--owner", "jo", "--label", "a",
    ]));
    assert_eq!(issued.code, 0, "{issued:?}");
    let commit = lines
        .map(Result::unwrap)
        .find(|line| line.contains("\"commit\""));
    assert!(commit.unwrap().contains("CHANGE_TYPE_ISSUED"));
    assert!(watch.wait().unwrap().success());
    let mut events = events.map(Result::unwrap);
    let issued = events.find(|line| *line == start || line.contains("CredentialService/Issue"));
    // Nothing is told twice.
    assert_ne!(issued.unwrap(), start);
    follow.kill().unwrap();
    follow.wait().unwrap();
    assert!(server.terminate().status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_names_are_printed_than_were_asked_for() {
    let world = World::start().await;
    let mut watch = world
        .command(&["watch", "--output", "json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let first: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    watch.kill().unwrap();
    watch.wait().unwrap();
    let token = text(&first["resumeToken"]);
    let ids: Vec<_> = (0..3).map(|_| world.issue("a").0).collect();
    // In one commit.
    world.ok(&["revoke", "--tenant", "acme", "--yes"]);
    let again = ["watch", "--resume-token", &token, "--limit", "4"];
    let names = world.ok(&[&again[..], &["--output", "name"]].concat());
    assert_eq!(names.lines().count(), 4, "{names}");
    // Below the heading.
    assert_eq!(world.ok(&again).lines().count(), 5);

    let mut watch = world
        .command(&["watch", "--snapshot", "--output", "name"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut denied: Vec<_> = lines.take(3).map(Result::unwrap).collect();
    denied.sort();
    assert_eq!(denied, ids);
    watch.kill().unwrap();
    watch.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_log_is_listed_exported_checked_and_erased() {
    let world = World::start().await;
    let (id, _) = world.issue("a");
    world.ok(&["lock", &id, "--reason", "in a log"]);
    let list = world.ok(&["audit", "list", "--credential", &id]);
    let rows: Vec<_> = list.lines().collect();
    assert_eq!(rows.len(), 3, "{list}");
    assert!(
        rows[1].contains("CredentialService/Lock") && rows[1].ends_with("in a log"),
        "{list}"
    );
    assert!(rows[2].contains("CredentialService/Issue"), "{list}");
    let one = world.json(&[
        "audit",
        "list",
        "--action",
        "CredentialService/Lock",
        "--limit",
        "1",
    ]);
    assert_eq!(one[0]["reason"], "in a log");
    let none = world.json(&["audit", "list", "--until", "1d"]);
    assert_eq!(none, Value::Array(Vec::new()));

    let verified = world.json(&["audit", "verify"]);
    let kept = world.file("head.json");
    std::fs::write(&kept, verified.to_string()).unwrap();
    let exported = world.ok(&["audit", "export"]);
    let first: Value = serde_json::from_str(exported.lines().next().unwrap()).unwrap();
    assert_eq!(first["sequence"], "1");
    let lines = world.file("export.jsonl");
    std::fs::write(&lines, &exported).unwrap();
    for file in [&kept, &lines] {
        let page = world.ok(&["audit", "verify", "--heads-file", file.to_str().unwrap()]);
        assert!(
            page.starts_with("Log:           as it was written\n"),
            "{page}"
        );
    }
    // Larger than what is read of other files, and its last line is cut.
    let line = exported.lines().next().unwrap();
    let count = (20 << 20) / line.len();
    let many = format!("{line}\n").repeat(count);
    std::fs::write(&lines, format!("{many}{}", &line[..40])).unwrap();
    let heads = ["audit", "verify", "--heads-file", lines.to_str().unwrap()];
    let verified = world.run(&heads);
    assert_eq!(verified.code, 0, "{verified:?}");
    assert!(verified.err.contains("its end is cut"), "{verified:?}");
    for none in ["", &line[..40]] {
        std::fs::write(&lines, none).unwrap();
        let verified = world.run(&heads);
        assert_eq!(verified.code, 2, "{verified:?}");
        assert!(verified.err.contains("has no heads"), "{verified:?}");
    }
    let other = format!("1:{}", "0".repeat(64));
    let broken = world.run(&["audit", "verify", "--head", &other]);
    assert_eq!(broken.code, 3, "{broken:?}");
    assert!(broken.out.contains("broken at record 1"), "{broken:?}");

    let erase = ["audit", "erase", "--owner", "jo", "--tenant", "acme"];
    let asked = world.run(&erase);
    assert_eq!(asked.code, 2, "{asked:?}");
    assert!(asked.err.contains("erase what 2 events say?"), "{asked:?}");
    let tried = world.ok(&[&erase[..], &["--dry-run"]].concat());
    assert_eq!(tried, "would erase 2 events; nothing was changed\n");
    assert_eq!(
        world.ok(&[&erase[..], &["--yes"]].concat()),
        "erased 2 events\n"
    );
    let list = world.ok(&["audit", "list"]);
    assert_eq!(list.matches("(erased)").count(), 2, "{list}");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_followed() {
    let world = World::start().await;
    let mut follow = world
        .command(&["audit", "list", "--follow", "--output", "json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(follow.stdout.take().unwrap()).lines();
    let (id, _) = world.issue("a");
    let mut lines = lines.map(Result::unwrap);
    let issued = lines
        .find(|line| line.contains("CredentialService/Issue"))
        .unwrap();
    assert!(issued.contains(&id), "{issued}");
    follow.kill().unwrap();
    wait_for("the command to end", || follow.try_wait().unwrap());
}
