//! What is secret is shown where it was asked for, and nowhere else.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;

use crate::{World, fed, ran, text};

const ISSUE: [&str; 5] = ["issue", "--tenant", "acme", "--owner", "jo"];

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_the_last_line_and_what_is_said_of_it_is_no_part_of_the_output() {
    let world = World::start().await;
    let issued = world.run(&[&ISSUE[..], &["--label", "x"]].concat());
    let last = issued.out.lines().last().unwrap();
    assert!(
        last.starts_with("creddt_0") && last.len() == 85,
        "{issued:?}"
    );
    assert!(issued.err.contains("is shown this once"), "{issued:?}");
    assert!(!issued.err.contains(last));

    let id = world.ok(&["list", "--tenant", "acme", "--output", "name"]);
    for form in ["table", "json", "yaml"] {
        let shown = world.ok(&["get", id.trim_end(), "--output", form]);
        assert!(!shown.contains(last), "{form}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_alone_is_for_a_variable_of_a_shell_and_a_header_for_curl() {
    let world = World::start().await;
    let token = |form| world.run(&[&ISSUE[..], &["--label", "x", "--output", form]].concat());
    for form in ["secret", "token"] {
        let issued = token(form);
        assert_eq!(
            (issued.out.len(), issued.err.as_str()),
            (86, ""),
            "{issued:?}"
        );
        let verify = ["verify", "--tenant", "acme"];
        assert_eq!(fed(world.command(&verify), &issued.out).code, 0);
    }
    let header = token("header").out;
    let value = header.trim_end().strip_prefix("Authorization: ").unwrap();
    let verify = ["verify", "--tenant", "acme", "--header", "authorization"];
    assert_eq!(fed(world.command(&verify), value).code, 0, "{header}");

    let none = world.run(&["list", "--output", "secret"]);
    assert_eq!(none.code, 2, "{none:?}");
    let dry = world.run(
        &[
            &ISSUE[..],
            &["--label", "x", "--dry-run", "--output", "secret"],
        ]
        .concat(),
    );
    assert_eq!((dry.code, dry.out.as_str()), (0, ""));
    let told = world.ok(&[&ISSUE[..], &["--label", "nightly", "--dry-run"]].concat());
    let line = "would issue nightly to jo of acme by the profile api-token; nothing was changed";
    assert_eq!(told.lines().next(), Some(line));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_for_a_file_is_printed_nowhere_and_is_nobody_elses() {
    let world = World::start().await;
    let path = world.file("token");
    let file = ["--label", "x", "--secret-file", path.to_str().unwrap()];
    let issued = world.run(&[&ISSUE[..], &file, &["--output", "json"]].concat());
    assert_eq!(issued.code, 0, "{issued:?}");
    let secret = fs::read_to_string(&path).unwrap();
    assert_eq!(secret.len(), 86);
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    for text in [&issued.out, &issued.err] {
        assert!(!text.contains(secret.trim_end()), "{text}");
    }
    // Nothing is issued whose secret would go nowhere.
    let count = || {
        world
            .ok(&["list", "--tenant", "acme", "--output", "name"])
            .lines()
            .count()
    };
    assert_eq!(count(), 1);
    let again = world.run(&[&ISSUE[..], &file].concat());
    assert_eq!(again.code, 2, "{again:?}");
    assert_eq!(count(), 1);
    assert_eq!(fs::read_to_string(&path).unwrap(), secret);
    // And a file for what was refused is not left behind.
    let other = world.file("other");
    let refused = [
        "--profile",
        "none",
        "--secret-file",
        other.to_str().unwrap(),
    ];
    assert_eq!(world.run(&[&ISSUE[..], &refused].concat()).code, 2);
    assert!(!other.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn other_kinds_are_verified_with_their_names() {
    let world = World::start().await;
    let verify = |with: &[&str], secret: &str| {
        let verify = [&["verify", "--any-tenant"], with].concat();
        fed(world.command(&verify), secret).code
    };
    let basic = world.json(&[&ISSUE[..], &["--profile", "basic", "--label", "x"]].concat());
    let pair = &basic["secret"]["usernamePassword"];
    let (username, password) = (text(&pair["username"]), text(&pair["password"]));
    assert_eq!(verify(&["--username", &username], &password), 0);
    assert_eq!(verify(&["--username", "other"], &password), 3);
    let keys = world.json(&[&ISSUE[..], &["--profile", "key-pair", "--label", "x"]].concat());
    let pair = &keys["secret"]["keyPair"];
    let (access, secret) = (text(&pair["accessKey"]), text(&pair["secretKey"]));
    assert_eq!(verify(&["--access-key", &access], &secret), 0);
    assert_eq!(verify(&[], &secret), 3);
    let path = world.file("secret");
    fs::write(&path, &secret).unwrap();
    let file = [
        "--access-key",
        &access,
        "--secret-file",
        path.to_str().unwrap(),
    ];
    assert_eq!(verify(&file, ""), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_be_viewed_is_shown_again() {
    let world = World::start().await;
    let misp = [&ISSUE[..], &["--profile", "misp", "--label", "x"]].concat();
    let issued = world.run(&misp);
    let secret = issued.out.lines().last().unwrap();
    let id = world.ok(&["list", "--profile", "misp", "--output", "name"]);
    let id = id.trim_end();
    assert!(
        issued.err.contains(&format!("`credd reveal {id}`")),
        "{issued:?}"
    );
    let again = world.ok(&["reveal", id, "--output", "secret", "--reason", "lost"]);
    assert_eq!(again.trim_end(), secret);
    let (other, _) = world.issue("once");
    let refused = world.run(&["reveal", &other]);
    assert_eq!(refused.code, 7);
    assert!(refused.err.contains("[NOT_VIEWABLE]"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_found_is_locked_line_by_line() {
    let world = World::start().await;
    let (first, token) = world.issue("a");
    let (second, other) = world.issue("b");
    let found = format!("{token}\n\nnothing of ours\n  {other}  \n");
    let report = ["report-leak", "--reason", "in a chat"];
    let tried = fed(
        world.command(&[&report[..], &["--dry-run"]].concat()),
        &found,
    );
    assert!(tried.out.contains("would lock 2 credentials"), "{tried:?}");
    let reported = fed(world.command(&report), &found);
    let expected = format!(
        "LINE  OUTCOME   CREDENTIAL\n1     locked    {first}\n3     not ours\n\
         4     locked    {second}\nlocked 2 credentials\n"
    );
    assert_eq!(reported.out, expected, "{reported:?}");
    let unlock = world.run(&["unlock", &first]);
    // The configuration of the suites lets its administrator unlock what leaked.
    assert_eq!(unlock.code, 0, "{unlock:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_would_be_shown_nowhere_is_not_made() {
    let world = World::start().await;
    let (id, _) = world.issue("a");
    let rotate = ["rotate", &id];
    let issue = [&ISSUE[..], &["--label", "x"]].concat();
    for arguments in [&issue[..], &rotate] {
        let by_flag = world.command(&[arguments, &["--output", "name"]].concat());
        let mut by_variable = world.command(arguments);
        by_variable.env("CREDD_OUTPUT", "name");
        for command in [by_flag, by_variable] {
            let refused = ran(command);
            assert_eq!(refused.code, 2, "{refused:?}");
            assert!(refused.err.contains("--secret-file"), "{refused:?}");
        }
    }
    let list = ["list", "--tenant", "acme", "--output", "name"];
    assert_eq!(world.ok(&list).lines().count(), 1);
    assert!(world.ok(&["get", &id]).contains("generation 1,"));
    let path = world.file("token");
    let file = ["--output", "name", "--secret-file", path.to_str().unwrap()];
    assert_eq!(world.ok(&[&rotate[..], &file].concat()), format!("{id}\n"));
    assert_eq!(fs::read_to_string(&path).unwrap().len(), 86);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_not_meant_is_not_quoted() {
    let world = World::start().await;
    let token = fs::read_to_string(world.token_file()).unwrap();
    let token = token.trim_end();
    let path = world.file("wrong");
    for text in [
        token.to_owned(),
        format!("- {token}"),
        format!("\"{token}"),
        format!("name: [{token}"),
        format!("versions: {token}"),
        format!("kind: {token}"),
        format!("{{\"versions\": [\"{token}\"]}}"),
    ] {
        fs::write(&path, &text).unwrap();
        let ran = world.run(&["profile", "put", "--file", path.to_str().unwrap()]);
        assert_eq!(ran.code, 2, "{text}: {ran:?}");
        assert!(!ran.err.contains(token), "{text}: {ran:?}");
    }
    fs::write(&path, "naem: x\n").unwrap();
    let ran = world.run(&["profile", "put", "--file", path.to_str().unwrap()]);
    assert!(ran.err.contains("naem"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_about_a_file_of_secrets_quote_nothing_of_it() {
    let world = World::start().await;
    let path = world.file("import.yaml");
    let import = [
        "import-credentials",
        "--tenant",
        "acme",
        "--file",
        path.to_str().unwrap(),
    ];
    let good = json!({
        "owner": "jo", "profile": "api-token", "plain": "a-secret-of-elsewhere-0001",
        "entropyBits": 128, "label": "x",
    });
    for wrong in [
        "- owner: jo\n  plian: a-secret-of-elsewhere-0001\n".to_owned(),
        "- owner: jo\n  entropyBits: a-secret-of-elsewhere-0001\n".to_owned(),
        "- a-secret-of-elsewhere-0001\n".to_owned(),
        "[{\"a-secret-of-elsewhere-0001]".to_owned(),
        "- x: y: a-secret-of-elsewhere-0001\n".to_owned(),
        good.to_string(),
    ] {
        fs::write(&path, &wrong).unwrap();
        let ran = world.run(&import);
        assert_eq!(ran.code, 2, "{wrong}: {ran:?}");
        assert!(!ran.err.contains("elsewhere-0001"), "{wrong}: {ran:?}");
    }
    let yaml = "- owner: jo\n  profile: api-token\n  plain: a-secret-of-elsewhere-0001\n  \
                entropy_bits: 128\n  label: x\n";
    fs::write(&path, yaml).unwrap();
    let id = world.ok(&[&import[..], &["--output", "name"]].concat());
    let verify = ["verify", "--tenant", "acme"];
    let verified = fed(world.command(&verify), "a-secret-of-elsewhere-0001");
    assert!(verified.out.contains(id.trim_end()), "{verified:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn patterns_find_what_is_issued_and_need_no_server() {
    let mut offline = crate::support::program::credd(&[]);
    offline.arg("token-pattern");
    let patterns = ran(offline).out;
    assert_eq!(patterns.lines().count(), 3);
    let world = World::start().await;
    for (profile, pattern) in ["api-token", "basic", "key-pair"]
        .iter()
        .zip(patterns.lines())
    {
        let issue = ["--profile", profile, "--label", "x", "--output", "secret"];
        let secret = world.ok(&[&ISSUE[..], &issue].concat());
        let (start, digits) = pattern.split_once("[0-9A-Za-z]").unwrap();
        let digits: usize = digits.trim_matches(['{', '}']).parse().unwrap();
        let rest = secret.trim_end().strip_prefix(start).unwrap();
        assert_eq!(rest.len(), digits);
        assert!(rest.bytes().all(|it| it.is_ascii_alphanumeric()));
    }
    let mut json = crate::support::program::credd(&[]);
    json.args(["token-pattern", "--output", "json"]);
    let json: serde_json::Value = serde_json::from_str(&ran(json).out).unwrap();
    assert_eq!(json[0]["name"], "credd-api-token");
}
