//! `credd report-leak`, of what is found: much of it, and what can be no secret.

use std::fs;

use serde_json::Value;

use crate::support::program::{Program, serve_everything};
use crate::{World, ran};

#[tokio::test(flavor = "multi_thread")]
async fn what_can_be_no_secret_keeps_nothing_from_being_locked() {
    let world = World::start().await;
    let (first, token) = world.issue("a");
    let (second, other) = world.issue("b");
    let path = world.file("found");
    let mut found = Vec::new();
    for line in [
        token.as_bytes(),
        b"caf\xe9",
        &[b'x'; 2000],
        b"",
        other.as_bytes(),
    ] {
        found.extend_from_slice(line);
        found.push(b'\n');
    }
    fs::write(&path, found).unwrap();
    let report = ["report-leak", "--secret-file", path.to_str().unwrap()];
    let reported = world.run(&[&report[..], &["--output", "json"]].concat());
    assert_eq!(reported.code, 2, "{reported:?}");
    assert!(reported.err.contains("UTF-8: 1 line (2)"), "{reported:?}");
    assert!(
        reported.err.contains("1024 bytes: 1 line (3)"),
        "{reported:?}"
    );
    let json: Value = serde_json::from_str(&reported.out).unwrap();
    let outcomes = json["results"].as_array().unwrap().iter();
    let outcomes: Vec<_> = outcomes
        .map(|it| it["outcome"].as_str().unwrap_or(""))
        .collect();
    assert_eq!(
        outcomes,
        [
            "LEAK_OUTCOME_LOCKED",
            "",
            "LEAK_OUTCOME_NOT_OURS",
            "LEAK_OUTCOME_LOCKED",
        ]
    );
    let again = world.run(&report).out;
    assert!(again.contains("\n2     not looked at"), "{again}");
    assert!(
        again.contains(&format!("\n5     locked         {second}\n")),
        "{again}"
    );
    assert!(
        again.contains(&format!("\n1     locked         {first}\n")),
        "{again}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mark_of_an_encoding_hides_no_secret() {
    let world = World::start().await;
    let (id, token) = world.issue("a");
    let path = world.file("found");
    let file = ["--secret-file", path.to_str().unwrap()];
    let report = [&["report-leak"][..], &file].concat();
    fs::write(&path, format!("\u{feff}{token}\r\n")).unwrap();
    let verified = world.run(&[&["verify", "--any-tenant"][..], &file].concat());
    assert_eq!(verified.code, 0, "{verified:?}");
    let locked = world.ok(&[&report[..], &["--output", "name"]].concat());
    assert_eq!(locked, format!("{id}\n"));
    for order in [u16::to_le_bytes, u16::to_be_bytes] {
        let text = format!("\u{feff}{token}\n");
        fs::write(
            &path,
            text.encode_utf16().flat_map(order).collect::<Vec<_>>(),
        )
        .unwrap();
        for command in [
            &report[..],
            &[&["verify", "--any-tenant"][..], &file].concat(),
        ] {
            let refused = world.run(command);
            assert_eq!(refused.code, 2, "{refused:?}");
            assert!(refused.err.contains("iconv -f UTF-16"), "{refused:?}");
        }
    }
    fs::write(
        &path,
        token
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect::<Vec<_>>(),
    )
    .unwrap();
    let unread = world.run(&report);
    assert_eq!(unread.code, 2, "{unread:?}");
    assert!(unread.err.contains("not looked at"), "{unread:?}");
    fs::write(&path, "\n \n").unwrap();
    let none = world.run(&report);
    assert_eq!(none.code, 2, "{none:?}");
    assert!(none.err.contains("nothing to report"), "{none:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn much_is_reported_in_parts_and_a_failure_says_how_far_it_came() {
    let directory = tempfile::tempdir().unwrap();
    let mut serve = serve_everything(&[], directory.path());
    serve.args(["--max-message-bytes", "65536"]);
    let (_server, address) = Program::serve(serve);
    let command = |arguments: &[&str]| {
        let mut command = crate::support::program::credd(&[]);
        command
            .args(arguments)
            .env("CREDD_SERVER", format!("http://{address}"))
            .env("CREDD_TOKEN_FILE", directory.path().join("admin.token"));
        command
    };
    let issue = ["issue", "--tenant", "acme", "--owner", "jo", "--label", "a"];
    let token = ran(command(&[&issue[..], &["--output", "secret"]].concat())).out;
    let path = directory.path().join("found");
    let report = ["report-leak", "--secret-file", path.to_str().unwrap()];
    let short = "a short line\n".repeat(999);
    // The second part is too large for this server.
    fs::write(
        &path,
        format!("{token}{short}{}", format!("{:0>1000}\n", 0).repeat(100)),
    )
    .unwrap();
    let failed = ran(command(&report));
    assert_eq!(failed.code, 6, "{failed:?}");
    assert!(
        failed.err.contains("1000 of 1100 lines were reported"),
        "{failed:?}"
    );
    assert!(failed.out.contains("locked 1 credential\n"), "{failed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_has_no_more_bytes_than_a_server_takes() {
    let world = World::start().await;
    let (id, token) = world.issue("a");
    let path = world.file("found");
    let longest = format!("{:x>1024}\n", "").repeat(1000);
    let too_long = format!("{:x>1500}\n", "").repeat(1000);
    fs::write(&path, format!("{longest}{too_long}{token}\n")).unwrap();
    let locked = world.ok(&[
        "report-leak",
        "--secret-file",
        path.to_str().unwrap(),
        "--output",
        "name",
    ]);
    assert_eq!(locked, format!("{id}\n"));
}
