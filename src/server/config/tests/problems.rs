//! What is told of configurations that are not good.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;

#[test]
fn all_that_is_wrong_is_told_at_once_with_its_place() {
    let text = "\
port = 1
[server]
listen = \"0.0.0.0:80\"
lisen = \"127.0.0.1:1\"
shutdown_seconds = -1
[sever]
[tls]
key = \"k\"
  client_ca = 3
[limits]
max_connections = 0x10
max_streams_per_connection = 1e3
[roles]
[[jwt_issuers]]
issuer = \"https://a\"
audiences = []
algorithms = [\"RS256\", \"HS256\", \"none\"]
[[jwt_issuers]]
issuer = \"https://a\"
jwks_url = \"https://a/\"
jwks_file = \"x\"
leeway_seconds = 301
";
    let read = read(
        text,
        &[("CREDD_STORE_CACHE_MIB", "0")],
        &[("disk-reserve-mib", "much")],
    );
    let told = read.unwrap_err().to_string();
    let begins = [
        "f:1:1: port: unknown",
        "f:4:1: server.lisen: unknown; did you mean `listen`?",
        "f:5:20: server.shutdown_seconds: must be an integer from 0 to 3600",
        "f:6:2: sever: unknown; did you mean `[server]`?",
        "f:8:1: tls.key: needs tls.certificate too",
        "f:9:15: tls.client_ca: must be a string, and is of type integer",
        "f:12:30: limits.max_streams_per_connection: must be an integer, and is of type float",
        "f:13:2: roles: must be an array of tables: [[roles]]",
        "f:14:1: jwt_issuers.jwks_url: must be given, or jwks_file",
        "f:16:13: jwt_issuers.audiences: must have 1 to 64 items",
        "f:17:24: jwt_issuers.algorithms: must be one of RS256",
        "f:17:33: jwt_issuers.algorithms: must be one of RS256",
        "f:18:1: jwt_issuers.audiences: must be given",
        "f:19:10: jwt_issuers.issuer: is that of line 15 already",
        "f:20:1: jwt_issuers.jwks_url: there is jwks_file too: give one",
        "f:22:18: jwt_issuers.leeway_seconds: must be an integer from 0 to 300",
        "CREDD_STORE_CACHE_MIB: store.cache_mib: must be an integer from 1 to 1048576",
        "--disk-reserve-mib: store.disk_reserve_mib: must be an integer from 0 to 1048576",
    ];
    assert_eq!(told.lines().count(), begins.len(), "{told}");
    for (line, begin) in told.lines().zip(begins) {
        assert!(line.starts_with(begin), "{line}\nis not\n{begin}");
    }
}

#[test]
fn what_is_no_toml_is_told_with_what_else_is_wrong() {
    let text =
        "[server]\nlisten = \"127.0.0.1:0\nlog = 3\nlog = 4\n[store]\ncache_mib = x\ncache = 1\n";
    let told = problems(text);
    let places: Vec<_> = told
        .lines()
        .map(|line| line.split(": ").next().unwrap())
        .collect();
    assert_eq!(
        places,
        ["f:2:22", "f:3:7", "f:4:1", "f:6:13", "f:7:1"],
        "{told}"
    );
}

/// Each text has one problem, that is told like this.
fn assert_told(cases: &[(&str, &str)]) {
    for (text, begin) in cases {
        let told = problems(text);
        assert_eq!(told.lines().count(), 1, "{text}\n{told}");
        assert!(told.starts_with(begin), "{told}\nis not\n{begin}");
    }
}

fn role(name: &str) -> String {
    format!("[[roles]]\nname = \"{name}\"\npermissions = [\"credd.verify\"]\n")
}

fn binding(principal: &str) -> String {
    format!("[[bindings]]\nprincipal = \"{principal}\"\nrole = \"verifier\"\ntenant = \"*\"\n")
}

fn issuer(more: &str) -> String {
    format!("[[jwt_issuers]]\nissuer = \"https://a\"\naudiences = [\"credd\"]\n{more}\n")
}

#[test]
fn sections_are_checked_against_each_other() {
    assert_told(&[
        (
            "[server]\nlisten = \"0.0.0.0:1\"",
            "f:2:1: server.listen: is not a loopback",
        ),
        (
            "[server]\nlisten = \"[::]:1\"",
            "f:2:1: server.listen: is not a loopback",
        ),
        (
            "[server]\nlisten = \"127.0.0.1:1\"\nmetrics_listen = \"127.0.0.1:1\"",
            "f:3:1: server.metrics_listen: must be another address than listen",
        ),
        (
            "[server]\nhealth_listen = \"127.0.0.1:7420\"",
            "f:2:1: server.health_listen: must be another address than listen",
        ),
        (
            "[server]\nmetrics_listen = \"[::1]:1\"\nhealth_listen = \"[::1]:1\"",
            "f:3:1: server.health_listen: must be another address than metrics_listen",
        ),
        (
            "[tls]\ncertificate = \"c\"",
            "f:2:1: tls.certificate: needs tls.key",
        ),
        (
            "[tls]\nkey = \"c\"",
            "f:2:1: tls.key: needs tls.certificate",
        ),
        (
            "[tls]\nclient_ca = \"c\"",
            "f:2:1: tls.client_ca: needs tls.certificate",
        ),
        (
            "[tls]\ncertificate = \"c\"\nkey = \"k\"\nrequire_client_certificate = true",
            "f:4:1: tls.require_client_certificate: needs tls.client_ca",
        ),
        (
            "[limits]\nburst_per_caller = 1",
            "f:2:1: limits.burst_per_caller: is for requests_per_second_per_caller",
        ),
        ("[[server]]", "f:1:3: server: must be a table: [server]"),
        ("roles = [1]", "f:1:10: roles: must be an array of tables"),
        ("[server.more]", "f:1:9: server.more: unknown"),
        ("[tsl]", "f:1:2: tsl: unknown; did you mean `[tls]`?"),
        (
            "[server]\ncertificate = \"\"",
            "f:2:1: server.certificate: unknown; did you mean `tls.certificate`?",
        ),
        (
            "lisen = \"\"",
            "f:1:1: lisen: unknown; did you mean `server.listen`?",
        ),
    ]);
}

#[test]
fn callers_are_checked_against_each_other() {
    let file = "jwks_file = \"f\"\n";
    assert_told(&[
        (
            &role("verifier"),
            "f:2:1: roles.name: is that of a built-in role",
        ),
        (
            &(role("a") + &role("a")),
            "f:5:8: roles.name: is that of line 2 already",
        ),
        (
            "[[roles]]\nname = \"a\"\npermissions = [\"credd.credentials.isue\"]",
            "f:3:16: roles.permissions: gives none of the permissions on credd that there are",
        ),
        (
            "[[roles]]\nname = \"a\"\npermissions = [\"feeds:read\"]",
            "f:3:16: roles.permissions: must be the name of a permission on credd",
        ),
        (
            "[[roles]]\nname = \"a\"\npermissions = [\"credd.*\", \"credd.*\"]",
            "f:3:27: roles.permissions: stands in the list twice",
        ),
        (
            &binding("jo"),
            "f:2:13: bindings.principal: must be `credd:OWNER`",
        ),
        (
            &(binding("dns:a") + &binding("dns:a")),
            "f:6:1: bindings.principal: has this role on this tenant by line 2 already",
        ),
        (
            &(issuer(file) + &binding("jwt:https://a/#b")),
            "f:7:1: bindings.principal: names an issuer that is in no [[jwt_issuers]]",
        ),
        (
            &issuer(""),
            "f:1:1: jwt_issuers.jwks_url: must be given, or jwks_file",
        ),
        (
            &issuer("jwks_file = \"f\"\njwks_url = \"https://a\""),
            "f:5:1: jwt_issuers.jwks_url: there is jwks_file too",
        ),
        (
            &issuer("jwks_file = \"f\"\njwks_token_file = \"t\""),
            "f:5:1: jwt_issuers.jwks_token_file: is for jwks_url",
        ),
        (
            &(issuer(file) + &issuer(file)),
            "f:7:10: jwt_issuers.issuer: is that of line 2 already",
        ),
    ]);
}

#[test]
fn one_problem_of_a_table_hides_no_other() {
    let told = problems(
        "[[roles]]\nname = \"verifier\"\npermissions = [1]\n\
         [[bindings]]\nprincipal = \"jwt:https://b#c\"\nrole = 1\n\
         [[jwt_issuers]]\nissuer = \"https://a\"\naudiences = 1\n\
         [server]\nlisten = \"0.0.0.0:1\"\nshutdown_seconds = -1\n",
    );
    let places: Vec<_> = told
        .lines()
        .map(|line| line.split(' ').next().unwrap())
        .collect();
    assert_eq!(
        places,
        [
            "f:2:1:", "f:3:16:", "f:4:1:", "f:5:1:", "f:6:8:", "f:7:1:", "f:9:13:", "f:11:1:",
            "f:12:20:"
        ],
        "{told}"
    );
}

#[test]
fn what_goes_together_is_not_refused() {
    for good in [
        "[server]\nlisten = \"0.0.0.0:1\"\nallow_plaintext = true".to_owned(),
        "[server]\nlisten = \"0.0.0.0:1\"\n[tls]\ncertificate = \"c\"\nkey = \"k\"".to_owned(),
        "[server]\nlisten = \"127.8.0.1:1\"\nmetrics_listen = \"0.0.0.0:2\"".to_owned(),
        "[server]\nlisten = \"127.0.0.1:0\"\nhealth_listen = \"127.0.0.1:0\"".to_owned(),
        issuer("jwks_file = \"f\"") + &binding("jwt:https://a#b"),
        binding("dns:a") + &binding("dns:b"),
    ] {
        let read = read(&good, &[], &[]);
        assert!(read.is_ok(), "{good}\n{}", read.unwrap_err());
    }
}

#[test]
fn no_problem_quotes_a_value() {
    let needle = "c2VjcmV0LW5lZWRsZQ";
    let documented = documented::file();
    let mut text = String::new();
    for line in documented.lines() {
        let line = line.trim_start_matches(['#', ' ']);
        let is_setting = every_setting().any(|s| line.starts_with(&format!("{} = ", s.key)));
        if line.starts_with('[') {
            text += line;
        } else if is_setting {
            let key = line.split(" = ").next().unwrap();
            writeln!(text, "{key} = \"https://jo:{needle}@ä\\u0000\"").unwrap();
        }
        text += "\n";
    }
    let told = problems(&text);
    assert!(told.lines().count() > 30, "{told}");
    assert!(!told.contains(needle), "{told}");
    let told = problems(&format!("[server]\nlog = \"{needle}"));
    assert!(!told.contains(needle), "{told}");
    let told = problems(&format!("[server]\nlog = {needle}"));
    assert!(!told.contains(needle), "{told}");
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(
        text in "\\PC*",
        at in any::<prop::sample::Index>(),
        inserted in "[\\[\\]={}\"'#.,a\n]{0,4}",
    ) {
        let _ = read(&text, &[], &[]);
        let mut changed = uncommented(true);
        let at = at.index(changed.len());
        changed.insert_str(at, &inserted);
        if let Err(problems) = read(&changed, &[], &[]) {
            prop_assert!(!problems.list.is_empty());
        }
    }
}
