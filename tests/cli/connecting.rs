//! Whom the command asks, and as whom.

use std::fs;

use crate::support::program::{Program, credd, serve};
use crate::{World, fed, ran};

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_not_sent_to_another_machine_in_plaintext() {
    let world = World::start().await;
    let ran = world.run(&["list", "--server", "http://credd.invalid:7420"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.err.contains("in plaintext"), "{ran:?}");
    for wrong in ["credd", "ftp://credd"] {
        assert_eq!(world.run(&["list", "--server", wrong]).code, 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_in_a_file_or_in_the_environment_and_the_file_is_stronger() {
    let world = World::start().await;
    let token = fs::read_to_string(world.token_file()).unwrap();
    let mut by_variable = world.stranger(&["list"]);
    by_variable.env("CREDD_TOKEN", token.trim_end());
    assert_eq!(ran(by_variable).code, 0);
    let mut both = world.command(&["list"]);
    both.env("CREDD_TOKEN", "creddt_wrong");
    assert_eq!(ran(both).code, 0);
    let file = world.token_file();
    let by_flag = world.stranger(&["list", "--token-file", file.to_str().unwrap()]);
    assert_eq!(ran(by_flag).code, 0);
    let missing = world.file("missing");
    let missing = ran(world.stranger(&["list", "--token-file", missing.to_str().unwrap()]));
    assert_eq!(missing.code, 2);
    assert!(
        missing.err.contains("the token can't be read from"),
        "{missing:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_may_come_out_of_a_pipe() {
    let world = World::start().await;
    let token = fs::read_to_string(world.token_file()).unwrap();
    let piped = world.stranger(&["list", "--token-file", "/dev/stdin"]);
    let ran = fed(piped, &token);
    assert_eq!(ran.code, 0, "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_variable_is_one_that_is_not_set() {
    let world = World::start().await;
    let mut list = world.stranger(&["list"]);
    let token = fs::read_to_string(world.token_file()).unwrap();
    for name in [
        "CA_FILE",
        "CERTIFICATE_FILE",
        "KEY_FILE",
        "TOKEN_FILE",
        "OUTPUT",
    ] {
        list.env(format!("CREDD_{name}"), "");
    }
    list.env("CREDD_TOKEN", token.trim_end());
    let listed = ran(list);
    assert_eq!(listed.code, 0, "{listed:?}");
    let mut nowhere = world.stranger(&["list", "--timeout", "1ms"]);
    nowhere.env("CREDD_SERVER", "");
    assert_eq!(ran(nowhere).code, 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_calls_for_another_is_audited_so() {
    let world = World::start().await;
    world.ok(&["binding", "put", "credd:portal", "auditor", "--tenant", "*"]);
    world.ok(&["list", "--on-behalf-of", "credd:portal"]);
    let refused = world.run(&["tenant", "put", "acme", "--on-behalf-of", "credd:portal"]);
    assert_eq!(refused.code, 5, "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn variables_of_the_command_line_are_no_mistake_of_the_servers() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = serve(&[], directory.path());
    for (name, value) in [
        ("CREDD_SERVER", "http://127.0.0.1:7420"),
        ("CREDD_CA_FILE", "ca.pem"),
        ("CREDD_CERTIFICATE_FILE", "tls.pem"),
        ("CREDD_KEY_FILE", "key.pem"),
        ("CREDD_TOKEN_FILE", "token"),
        ("CREDD_TOKEN", "creddt_x"),
        ("CREDD_OUTPUT", "json"),
    ] {
        command.env(name, value);
    }
    let (server, _) = Program::serve(command);
    assert!(server.terminate().status.success());
    let mut check = credd(&[]);
    check.args(["config", "check"]).env("CREDD_TOKENFILE", "x");
    assert_eq!(ran(check).code, 1);
}
