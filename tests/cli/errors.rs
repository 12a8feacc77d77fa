//! What goes wrong is said with what to do next, and by the exit code.

use std::process::Stdio;

use crate::{World, ran};

#[tokio::test(flavor = "multi_thread")]
async fn an_error_names_the_reason_the_field_and_what_to_do_next() {
    let world = World::start().await;
    let (id, _) = world.issue("a");
    world.ok(&["revoke", &id]);
    let unknown = "01930000-0000-7000-8000-000000000000";
    for (arguments, code, lines) in [
        (
            &["get", unknown][..],
            4,
            &[
                "error: ",
                "[CREDENTIAL_NOT_FOUND]",
                "hint: `credd list` shows which there are",
            ][..],
        ),
        (
            &["lock", &id],
            7,
            &[
                "[CREDENTIAL_REVOKED]",
                "hint: nothing leads back from there",
            ],
        ),
        (
            &["issue", "--tenant", "Acme!", "--owner", "jo"],
            2,
            &[
                "error: the request is not valid [INVALID_FIELDS]\n",
                "\n  tenant: ",
            ],
        ),
        (&["update", &id], 2, &["it is not said what to change"]),
        (
            &[
                "issue",
                "--tenant",
                "acme",
                "--owner",
                "jo",
                "--profile",
                "none",
            ],
            2,
            &["\n  profile: must be", "hint: `credd profile list`"],
        ),
        (
            &["key", "rotate", "pepper", "9"],
            7,
            &["[KEY_NOT_LOADED]", "credd keyring add"],
        ),
        (
            &["key", "retire", "sealing", "9"],
            4,
            &["[KEY_NOT_FOUND]", "credd key list"],
        ),
        (&["list", "--state", "gone"], 2, &["invalid value 'gone'"]),
        (
            &["list", "--token", "x"],
            2,
            &["unexpected argument '--token'"],
        ),
    ] {
        let ran = world.run(arguments);
        assert_eq!(ran.code, code, "{arguments:?}: {ran:?}");
        assert_eq!(ran.out, "", "{arguments:?}");
        for line in lines {
            assert!(ran.err.contains(line), "{arguments:?}: {line}: {ran:?}");
        }
        assert!(!ran.err.contains('\u{1b}'), "{ran:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_refused_is_told_whether_a_token_was_sent() {
    let world = World::start().await;
    let nobody = ran(world.stranger(&["list"]));
    assert_eq!(nobody.code, 5);
    assert!(nobody.err.contains("[CALLER_UNKNOWN]"), "{nobody:?}");
    assert!(
        nobody.err.contains("--token-file FILE, CREDD_TOKEN_FILE"),
        "{nobody:?}"
    );
    let mut wrong = world.stranger(&["list"]);
    wrong.env("CREDD_TOKEN", "creddt_no-such-token");
    let wrong = ran(wrong);
    assert_eq!(wrong.code, 5);
    assert!(
        wrong.err.contains("the token is not, or no longer"),
        "{wrong:?}"
    );
    assert!(!wrong.err.contains("no-such-token"), "{wrong:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_is_unavailable() {
    let world = World::start().await;
    let nobody = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let server = format!("http://{nobody}");
    let issue = [
        "issue", "--tenant", "acme", "--owner", "jo", "--server", &server,
    ];
    let ran = world.run(&issue);
    assert_eq!(ran.code, 6, "{ran:?}");
    let start = format!("error: {server}: Connection refused");
    assert!(ran.err.starts_with(&start), "{ran:?}");
    let list = world.run(&["list", "--server", &server]);
    assert!(
        list.err.contains("hint: is the server running there?"),
        "{list:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_have_been_done_can_be_asked_for_again() {
    let world = World::start().await;
    // It takes connections, and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!("http://{}", silent.local_addr().unwrap());
    let issue = [
        "issue", "--tenant", "acme", "--owner", "jo", "--server", &server,
    ];
    let ran = world.run(&[&issue[..], &["--timeout", "200ms"]].concat());
    assert_eq!(ran.code, 6, "{ran:?}");
    assert!(
        ran.err.contains("whether it was done is not known"),
        "{ran:?}"
    );
    let (_, id) = ran.err.split_once("--request-id ").unwrap();
    let id = id.split('`').next().unwrap();
    let again = ["--request-id", id, "--label", "a"];
    let there = ["issue", "--tenant", "acme", "--owner", "jo"];
    assert_eq!(world.run(&[&there[..], &again].concat()).code, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_no_further_ends_the_command_in_silence() {
    let world = World::start().await;
    world.issue("a");
    let mut child = world
        .command(&["list"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.stderr, b"");
    assert_eq!(output.status.code(), Some(0));
}
