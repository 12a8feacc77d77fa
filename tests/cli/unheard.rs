//! What a command does when nobody reads what it prints: a change goes on, and fails.

use std::fs::{self, File};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::{World, ran, text, unheard};

const ISSUE: [&str; 7] = ["issue", "--tenant", "acme", "--owner", "jo", "--label", "x"];

/// A device on which there is never room.
fn full() -> File {
    File::options().write(true).open("/dev/full").unwrap()
}

/// The same command, with its standard output on a full disk.
fn on_a_full_disk(mut command: Command) -> Command {
    let arguments: Vec<_> = command.get_args().map(std::ffi::OsStr::to_owned).collect();
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec \"$0\" \"$@\" >/dev/full"]);
    shell.arg(command.get_program()).args(arguments);
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    command.stdin(Stdio::null());
    shell
}

fn count(world: &World, state: &str) -> usize {
    let list = [
        "list", "--tenant", "acme", "--state", state, "--output", "name",
    ];
    world.ok(&list).lines().count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_several_goes_on_and_fails_where_nobody_reads() {
    let world = World::start().await;
    let ids: Vec<_> = (0..5).map(|_| world.issue("a").0).collect();
    let with = |verb| {
        let ids = ids.iter().map(String::as_str);
        let arguments: Vec<_> = std::iter::once(verb).chain(ids).collect();
        world.command(&arguments)
    };
    let locked = unheard(with("lock"));
    assert_eq!(locked.code, 1, "{locked:?}");
    assert!(
        locked.err.contains(&format!("error: {}: ", ids[4])),
        "{locked:?}"
    );
    assert_eq!(count(&world, "locked"), 5);
    let unlocked = ran(on_a_full_disk(with("unlock")));
    assert_eq!(unlocked.code, 1, "{unlocked:?}");
    assert_eq!(count(&world, "active"), 5);
    assert_eq!(unheard(with("revoke")).code, 1);
    assert_eq!(count(&world, "revoked"), 5);
    // One, and those that have something in common.
    let (one, _) = world.issue("b");
    assert_eq!(unheard(world.command(&["lock", &one])).code, 1);
    let by_filter = ["unlock", one.as_str()];
    assert_eq!(unheard(world.command(&by_filter)).code, 1);
    let by_filter = ["revoke", "--tenant", "acme", "--yes"];
    assert_eq!(unheard(world.command(&by_filter)).code, 1);
    assert_eq!(count(&world, "revoked"), 6);
    assert_eq!(unheard(world.command(&["backup", "-"])).code, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_no_further_ends_what_only_shows_in_silence() {
    let world = World::start().await;
    let (id, _) = world.issue("a");
    for arguments in [
        &["get", &id][..],
        &["get", &id, &id],
        &["status"],
        &["key", "list"],
    ] {
        let ended = unheard(world.command(arguments));
        assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{arguments:?}");
    }
    // But not where the answer is no.
    let unknown = "01930000-0000-7000-8000-000000000000";
    let ended = unheard(world.command(&["get", unknown, unknown, "--output", "json"]));
    assert_eq!(ended.code, 4, "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_beside_the_answer_can_be_lost() {
    let world = World::start().await;
    let (first, _) = world.issue("a");
    let (second, _) = world.issue("b");
    let unknown = "01930000-0000-7000-8000-000000000000";
    let mut lock = world.command(&["lock", &first, unknown, &second]);
    let ended = lock.stdout(Stdio::null()).stderr(full()).status().unwrap();
    assert_eq!(ended.code(), Some(4));
    assert_eq!(count(&world, "locked"), 2);
    let mut none = world.command(&["list", "--tenant", "globex"]);
    let ended = none.stdout(Stdio::null()).stderr(full()).status().unwrap();
    assert_eq!(ended.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_nobody_has_seen_is_shown_again() {
    let world = World::start().await;
    let again = |told: &str| {
        let (_, id) = told.split_once("--request-id ").unwrap();
        id.split('`').next().unwrap().to_owned()
    };
    for output in ["secret", "header", "table", "json"] {
        let issue = [&ISSUE[..], &["--output", output]].concat();
        let lost = unheard(world.command(&issue));
        assert_eq!(lost.code, 1, "{output}: {lost:?}");
        let id = again(&lost.err);
        world.ok(&[&issue[..], &["--request-id", &id]].concat());
    }
    assert_eq!(count(&world, "active"), 4);
    let lost = ran(on_a_full_disk(world.command(&ISSUE)));
    assert_eq!(lost.code, 1, "{lost:?}");
    again(&lost.err);
    let (id, _) = world.issue("rotated");
    let rotate = ["rotate", &id, "--output", "secret"];
    let lost = unheard(world.command(&rotate));
    assert_eq!(lost.code, 1, "{lost:?}");
    let request = again(&lost.err);
    let shown = world.ok(&[&rotate[..], &["--request-id", &request]].concat());
    assert_eq!(shown.len(), 86, "{shown}");
    // Nothing was made: there is nothing to ask for.
    let tried = unheard(world.command(&[&ISSUE[..], &["--dry-run"]].concat()));
    assert_eq!(tried.code, 1, "{tried:?}");
    assert!(!tried.err.contains("--request-id"), "{tried:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_file_without_its_secret_is_taken_away() {
    let world = World::start().await;
    let path = world.file("token");
    let file = ["--secret-file", path.to_str().unwrap()];
    let issue = world.command(&[&ISSUE[..], &file].concat());
    let mut small = Command::new("sh");
    // No file may have any bytes.
    small.args(["-c", "trap '' XFSZ; ulimit -f 0; exec \"$0\" \"$@\""]);
    small.arg(issue.get_program()).args(issue.get_args());
    for (name, value) in issue.get_envs() {
        match value {
            Some(value) => small.env(name, value),
            None => small.env_remove(name),
        };
    }
    let lost = ran(small);
    assert_eq!(lost.code, 1, "{lost:?}");
    assert!(!path.exists());
    let (_, id) = lost.err.split_once("--request-id ").unwrap();
    let id = id.split('`').next().unwrap();
    world.ok(&[&ISSUE[..], &file, &["--request-id", id]].concat());
    assert_eq!(fs::read_to_string(&path).unwrap().len(), 86);
    assert_eq!(count(&world, "active"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_several_are_one_document() {
    let world = World::start().await;
    let (first, _) = world.issue("a");
    let (second, _) = world.issue("b");
    let unknown = "01930000-0000-7000-8000-000000000000";
    for (verb, field) in [
        ("lock", "impact"),
        ("unlock", "credential"),
        ("revoke", "impact"),
    ] {
        let arguments = [verb, &first, unknown, &second, "--output"];
        let json = world.run(&[&arguments[..], &["json"]].concat());
        assert_eq!(json.code, 4, "{json:?}");
        let json: Value = serde_json::from_str(&json.out).unwrap();
        assert_eq!(json.as_array().unwrap().len(), 2, "{json}");
        assert!(json[0][field].is_object(), "{json}");
        let again = ["yaml"];
        let yaml = world.run(&[&arguments[..], &again].concat());
        let yaml: Value = serde_saphyr::from_str(&yaml.out).unwrap();
        assert!(yaml.is_array(), "{yaml}");
    }
    let none = world.run(&["lock", unknown, unknown, "--output", "json"]);
    assert_eq!((none.code, none.out.as_str()), (4, "[]\n"));
    let (one, _) = world.issue("c");
    assert_eq!(text(&world.json(&["get", &one])["id"]), one);
    assert!(world.json(&["lock", &one]).is_object());
}
