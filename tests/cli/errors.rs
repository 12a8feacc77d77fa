//! What goes wrong is said with what to do next, and by the exit code.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread;

use crate::pki::Authority;
use crate::{World, ran, unheard};

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
    let ended = unheard(world.command(&["list"]));
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_period_is_never_taken_the_wrong_way() {
    let world = World::start().await;
    world.issue("a");
    let list = [
        "list",
        "--tenant",
        "acme",
        "--output",
        "name",
        "--unused-since",
    ];
    assert_eq!(world.ok(&[&list[..], &["90 days ago"]].concat()), "");
    assert_eq!(world.ok(&[&list[..], &["90d"]].concat()), "");
    for (arguments, told) in [
        (&["list", "--unused-since=-90d"][..], "--unused-since"),
        (&["list", "--unused-since", "2999-01-01"], "that is over"),
        (&["list", "--expiring-before=-1d"], "--expiring-before"),
        (&["audit", "list", "--from=-1d"], "--from"),
        (
            &["audit", "list", "--until", "2026-11-30T23:00:00"],
            "its zone",
        ),
        (
            &[
                "issue",
                "--tenant",
                "a",
                "--owner",
                "b",
                "--expires",
                "2999-11-30T23:00:00",
            ],
            "its zone",
        ),
        (&["list", "--timeout", "999999999999999h"], "a year at most"),
    ] {
        let ran = world.run(arguments);
        assert_eq!(ran.code, 2, "{arguments:?}: {ran:?}");
        assert!(ran.err.contains(told), "{arguments:?}: {ran:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_not_what_it_should_be_is_a_mistake_of_the_command() {
    let world = World::start().await;
    let authority = Authority::new("credd's");
    let (pair, other) = (authority.server(), authority.server());
    for (name, text) in [("tls.crt", &pair.certificate), ("other.key", &other.key)] {
        fs::write(world.file(name), text).unwrap();
    }
    let path = |name: &str| world.file(name).to_str().unwrap().to_owned();
    let (missing, directory, none) = (path("missing"), path(""), path("admin.token"));
    let (certificate, key) = (path("tls.crt"), path("other.key"));
    let list = ["list", "--server", "https://127.0.0.1:1"];
    for flags in [
        &["--ca-file", &missing][..],
        &["--ca-file", &none],
        &["--certificate-file", &missing, "--key-file", &key],
        &["--certificate-file", &none, "--key-file", &key],
        &["--certificate-file", &certificate, "--key-file", &missing],
        &["--certificate-file", &certificate, "--key-file", &none],
        &["--certificate-file", &certificate, "--key-file", &key],
    ] {
        let ran = world.run(&[&list[..], flags].concat());
        assert_eq!(ran.code, 2, "{flags:?}: {ran:?}");
        let at_fault = match flags {
            [_, first, _, key] if *first == certificate => key,
            _ => flags[1],
        };
        assert!(
            ran.err.starts_with(&format!("error: {at_fault} ")),
            "{ran:?}"
        );
    }
    for file in [&missing, &directory] {
        for arguments in [
            &["verify", "--any-tenant", "--secret-file", file][..],
            &["profile", "put", "--file", file],
            &[
                "issue",
                "--tenant",
                "acme",
                "--owner",
                "jo",
                "--label",
                "x",
                "--secret-file",
                &none,
            ],
        ] {
            let ran = world.run(arguments);
            assert_eq!(ran.code, 2, "{arguments:?}: {ran:?}");
        }
    }
}

/// One who takes a connection, and answers it so, whatever is said.
fn who_answers(answer: &'static [u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let mut kept = Vec::new();
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            if answer.is_empty() {
                kept.push(connection);
                continue;
            }
            let _ = connection.read(&mut [0; 1024]);
            let _ = connection.write_all(answer);
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_speak_is_unavailable() {
    let world = World::start().await;
    let authority = Authority::new("credd's");
    let ca = world.file("ca.crt");
    fs::write(&ca, authority.pem()).unwrap();
    let hangs = format!("https://127.0.0.1:{}", who_answers(b""));
    let list = [
        "list",
        "--server",
        &hangs,
        "--ca-file",
        ca.to_str().unwrap(),
    ];
    let ran = world.run(&list);
    assert_eq!(ran.code, 6, "{ran:?}");
    // An alert: what came was no handshake.
    let secure = format!(
        "http://127.0.0.1:{}",
        who_answers(b"\x15\x03\x03\0\x02\x02\x46")
    );
    let ran = world.run(&["list", "--server", &secure]);
    assert_eq!(ran.code, 6, "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_tells_a_terminal_nothing() {
    let world = World::start().await;
    let path = world.file("bad\u{1b}[31m.json");
    let put = ["profile", "put", "--file", path.to_str().unwrap()];
    for text in [
        "{\"na\\u001b[31mme\": \"x\"}",
        "{\"\u{1b}",
        "na\u{9b}: [",
        "",
    ] {
        fs::write(&path, text).unwrap();
        let ran = world.run(&put);
        assert_eq!(ran.code, 2, "{text:?}: {ran:?}");
        let is_raw = |letter: char| letter.is_control() && letter != '\n';
        assert!(!ran.err.contains(is_raw), "{text:?}: {ran:?}");
        assert!(ran.err.contains("bad\\u{1b}[31m.json"), "{ran:?}");
    }
}
