//! The configuration of the real program.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;

use credd::proto::v1::Verdict;
use support::metrics::free_address;
use support::program::{Ended, Program, credd, serve, wait_for};
use support::{Client, Server, config, read_token, serving, token_of, token_request};
use tempfile::TempDir;
use tonic::Code;

fn file(directory: &TempDir, text: &str) -> std::path::PathBuf {
    let path = directory.path().join("credd.toml");
    fs::write(&path, text).unwrap();
    path
}

fn run(arguments: &[&str], config: &Path) -> Ended {
    let mut command = credd(&[]);
    command.args(arguments).arg("--config").arg(config);
    Program::start(command).end()
}

#[test]
fn a_flag_is_stronger_than_a_variable_and_that_than_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let path = file(
        &directory,
        &format!(
            "[server]\nlisten = \"127.0.0.2:0\"\n[store]\ndata_dir = {data:?}\ndisk_reserve_mib = 16\n"
        ),
    );
    let from_file = || {
        let mut command = credd(&[]);
        command.arg("serve").arg("--config").arg(&path);
        command
    };
    let served_on = |command: Command| {
        let (server, address) = Program::serve(command);
        assert!(server.terminate().status.success());
        address.ip().to_string()
    };
    assert_eq!(served_on(from_file()), "127.0.0.2");
    assert!(data.join("store").exists(), "what is not overridden holds");

    let mut with_variable = from_file();
    with_variable.env("CREDD_LISTEN", "127.0.0.3:0");
    assert_eq!(served_on(with_variable), "127.0.0.3");

    let mut with_both = from_file();
    with_both.env("CREDD_LISTEN", "127.0.0.3:0");
    with_both.args(["--listen", "127.0.0.4:0"]);
    assert_eq!(served_on(with_both), "127.0.0.4");

    let mut named_by_variable = credd(&[]);
    named_by_variable.arg("serve").env("CREDD_CONFIG", &path);
    assert_eq!(served_on(named_by_variable), "127.0.0.2");
}

#[test]
fn a_check_tells_all_that_is_wrong_and_a_server_does_not_start_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let text = format!(
        "[server]\nlisten = \"nowhere\"\nlisen = 1\n\n[store]\ndata_dir = {data:?}\n\n[strore]\n\n[tls]\nkey = \"k\"\n"
    );
    let path = file(&directory, &text);
    let shown = path.display();
    let expected = [
        format!("{shown}:2:10: server.listen: must be an IP address and a port"),
        format!("{shown}:3:1: server.lisen: unknown; did you mean `listen`?"),
        format!("{shown}:8:2: strore: unknown; did you mean `[store]`?"),
        format!("{shown}:11:1: tls.key: needs tls.certificate too"),
        "CREDD_SHUTDOWN_SECONDS: server.shutdown_seconds: must be an integer from 0 to 3600"
            .to_owned(),
        "--metrics-listen: server.metrics_listen: must be an IP address".to_owned(),
    ];
    for arguments in [&["config", "check"][..], &["serve"]] {
        let mut command = credd(&[]);
        command
            .args(arguments)
            .args(["--metrics-listen", "7421"])
            .env("CREDD_CONFIG", &path)
            .env("CREDD_SHUTDOWN_SECONDS", "soon");
        let Ended { status, output } = Program::start(command).end();
        assert_eq!(status.code(), Some(1), "{output}");
        assert_eq!(output.lines().count(), expected.len(), "{output}");
        for (line, begin) in output.lines().zip(&expected) {
            assert!(line.starts_with(begin), "{line}\nis not\n{begin}");
        }
    }
    assert!(!data.exists(), "nothing was made");
}

/// One that nobody reads is as wrong as an unknown key; but for a Service named
/// credd Kubernetes sets some, of which nobody is told.
#[test]
fn a_variable_that_nothing_reads_is_wrong_and_one_of_kubernetes_is_not() {
    let directory = tempfile::tempdir().unwrap();
    for arguments in [&["config", "check"][..], &["serve"]] {
        let mut command = credd(&[]);
        command
            .args(arguments)
            .current_dir(directory.path())
            .env("CREDD_LISEN", "127.0.0.1:0")
            .env("CREDD_PORT", "7420");
        let Ended { status, output } = Program::start(command).end();
        assert_eq!(status.code(), Some(1), "{output}");
        let told = "CREDD_LISEN: unknown; did you mean `CREDD_LISTEN`?\nCREDD_PORT: unknown\n";
        assert_eq!(output, told);
    }
    let mut command = credd(&[]);
    command
        .args(["config", "check"])
        .env("CREDD_SERVICE_HOST", "10.0.0.1")
        .env("CREDD_SERVICE_PORT", "7420")
        .env("CREDD_PORT", "tcp://10.0.0.1:7420")
        .env("CREDD_PORT_7420_TCP_ADDR", "10.0.0.1")
        .env("CREDD_TEST_STRACE", "strace");
    let Ended { status, output } = Program::start(command).end();
    assert!(status.success(), "{output}");
    assert_eq!(
        output,
        "flags and environment are valid; no file was named\n"
    );
}

#[test]
fn a_good_file_is_valid_and_one_that_is_not_there_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let path = file(&directory, "[limits]\nmax_connections = 3\n");
    let Ended { status, output } = run(&["config", "check"], &path);
    assert!(status.success(), "{output}");
    assert_eq!(output, format!("{} is valid\n", path.display()));

    let missing = directory.path().join("missing.toml");
    let Ended { status, output } = run(&["config", "check"], &missing);
    assert_eq!(status.code(), Some(1));
    let begin = format!("{}: can't be read: ", missing.display());
    assert!(output.starts_with(&begin), "{output}");

    let mut nothing = credd(&[]);
    nothing.args(["config", "check"]);
    assert!(Program::start(nothing).end().status.success());
}

#[test]
fn the_documented_file_is_printed_and_is_valid() {
    let mut command = credd(&[]);
    command.args(["config", "default"]);
    let Ended { status, output } = Program::start(command).end();
    assert!(status.success());
    assert!(
        output.contains("\n#listen = \"127.0.0.1:7420\"\n"),
        "{output}"
    );
    let directory = tempfile::tempdir().unwrap();
    let path = file(&directory, &output);
    let Ended { status, output } = run(&["config", "check"], &path);
    assert!(status.success(), "{output}");
}

#[test]
fn the_help_of_a_command_has_the_flags_that_it_takes() {
    let help = |command: &str| {
        let mut credd = credd(&[]);
        credd.args([command, "--help"]);
        Program::start(credd).end().output
    };
    let (serve, init) = (help("serve"), help("init"));
    for flag in ["--config <FILE>", "--data-dir <PATH>", "--log <TEXT>"] {
        assert!(serve.contains(flag) && init.contains(flag), "{flag}");
    }
    assert!(serve.contains("--listen <ADDR>") && !init.contains("--listen"));
    assert!(serve.contains("[env: CREDD_LISTEN] [default: 127.0.0.1:7420]"));
}

#[test]
fn a_keyring_can_be_elsewhere() {
    let directory = tempfile::tempdir().unwrap();
    let (data, keyring) = (
        directory.path().join("data"),
        directory.path().join("keyring.toml"),
    );
    let text = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\n[store]\ndata_dir = {data:?}\ndisk_reserve_mib = 16\n[keyring]\nfile = {keyring:?}\n"
    );
    let path = file(&directory, &text);
    let Ended { status, output } = run(&["init"], &path);
    assert!(status.success(), "{output}");
    assert_eq!(fs::metadata(&keyring).unwrap().mode() & 0o777, 0o600);
    assert!(!data.join("keyring.toml").exists());

    let mut command = credd(&[]);
    command.arg("serve").arg("--config").arg(&path);
    let (server, _) = Program::serve(command);
    assert!(server.terminate().status.success());

    let mut elsewhere = credd(&[]);
    elsewhere.arg("serve").arg("--config").arg(&path);
    elsewhere.env("CREDD_KEYRING_FILE", data.join("none.toml"));
    let Ended { status, output } = Program::start(elsewhere).end();
    assert_eq!(status.code(), Some(1));
    assert!(output.contains("none.toml is missing"), "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_and_bindings_of_the_file_hold_while_it_serves() {
    let directory = tempfile::tempdir().unwrap();
    let text = "[[roles]]\nname = \"issuer\"\npermissions = [\"credd.credentials.issue\"]\n\
                [[bindings]]\nprincipal = \"credd:shop\"\nrole = \"issuer\"\ntenant = \"acme\"\n";
    let path = file(&directory, text);
    let data = directory.path().join("data");
    let mut command = serve(&[], &data);
    command.arg("--config").arg(&path);
    let (server, address) = Program::serve(command);
    let admin = Client::connect(address, &read_token(&data)).await;
    let request = credd::proto::v1::IssueRequest {
        owner: "shop".to_owned(),
        ..token_request("credd")
    };
    let issued = admin.issue(request).await.unwrap();
    let shop = Client::connect(address, &token_of(issued.secret)).await;
    assert!(shop.issue(token_request("acme")).await.is_ok());
    let refused = shop.issue(token_request("globex")).await.err().unwrap();
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused}");
    assert!(server.terminate().status.success());
}

#[test]
fn no_token_is_made_where_an_administrator_is_bound_who_needs_none() {
    for (principal, is_made) in [("dns:root.example", false), ("credd:root", true)] {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        let text = format!(
            "[store]\ndata_dir = {data:?}\ndisk_reserve_mib = 16\n\
             [[bindings]]\nprincipal = \"{principal}\"\nrole = \"administrator\"\ntenant = \"*\"\n"
        );
        let path = file(&directory, &text);
        let Ended { status, output } = run(&["init"], &path);
        assert!(status.success(), "{output}");
        assert!(data.join("store").exists());
        assert_eq!(data.join("admin.token").exists(), is_made, "{principal}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_may_be_as_large_as_it_is_configured() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path());
    config.limits.max_message_bytes = 1024;
    let server = Server::start_with(directory, config).await;
    let of_size = |bytes: usize| credd::proto::v1::IssueRequest {
        description: "x".repeat(bytes),
        ..token_request("acme")
    };
    assert!(server.admin.issue(of_size(900)).await.is_ok());
    let refused = server.admin.issue(of_size(1020)).await.err().unwrap();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    server.stop().await;
}

#[test]
fn probes_have_an_address_of_their_own() {
    let directory = tempfile::tempdir().unwrap();
    let address = free_address();
    let mut command = serve(&[], directory.path());
    command.env("CREDD_HEALTH_LISTEN", address.to_string());
    let (server, _) = Program::serve(command);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(serving(address));
    assert!(server.terminate().status.success());
}

#[test]
fn keys_of_issuers_are_looked_for_where_it_is_configured() {
    let directory = tempfile::tempdir().unwrap();
    let keys = directory.path().join("keys.json");
    let text = format!(
        "[[jwt_issuers]]\nissuer = \"https://a\"\naudiences = [\"credd\"]\njwks_file = {keys:?}\n"
    );
    let path = file(&directory, &text);
    let mut command = serve(&[], &directory.path().join("data"));
    command.arg("--config").arg(&path);
    let (server, _) = Program::serve(command);
    wait_for("a word on the keys that are not there", || {
        server.output().contains("https://a").then_some(())
    });
    assert!(server.terminate().status.success());
}

#[test]
fn tls_is_on_where_it_is_configured() {
    let directory = tempfile::tempdir().unwrap();
    let text =
        "[server]\nlisten = \"0.0.0.0:0\"\n[tls]\ncertificate = \"none.crt\"\nkey = \"none.key\"\n";
    let path = file(&directory, text);
    let mut command = credd(&[]);
    command.arg("serve").arg("--config").arg(&path);
    command.current_dir(directory.path());
    let Ended { status, output } = Program::start(command).end();
    assert_eq!(status.code(), Some(1), "{output}");
    assert!(output.contains("none.crt"), "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_is_rewritten_at_start_where_that_is_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let mut held: Option<(String, String)> = None;
    for arguments in [&[][..], &["--rewrite-store"], &["--rewrite-store"], &[]] {
        let mut command = serve(&[], directory.path());
        command.args(arguments);
        let (server, address) = Program::serve(command);
        let admin = Client::connect(address, &read_token(directory.path())).await;
        if let Some((id, token)) = &held {
            assert_eq!(admin.verdict(token).await, Verdict::Active);
            admin.get(id).await.unwrap();
        }
        let is_rewritten = !arguments.is_empty() && held.is_some();
        held = Some(admin.issue_token("acme").await);
        let ended = server.terminate();
        assert!(ended.status.success(), "{}", ended.output);
        let says_so = ended.output.contains("rewrote the store");
        assert_eq!(says_so, is_rewritten, "{}", ended.output);
    }
}
