//! What a server prints that panics.

use std::env;
use std::fs;
use std::process::Command;

use credd::domain::secret::{Secret, SecretText};
use credd::domain::token::Claim;
use credd::server::{panics, telemetry};

use crate::secrets::Needles;
use crate::support::program::{Ended, Program};
use crate::support::{Server, read_token};
use crate::{Remembering, revealing};

const DIRECTORY: &str = "HYGIENE_DIRECTORY";
const KEPT: &str = "HYGIENE_SECRETS";

/// Not a test: what the process does that the test below starts. It serves, does
/// everything, and panics with secrets in its hands.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "it ends its process"]
async fn a_server_that_panics() {
    let (Some(directory), Some(kept)) = (env::var_os(DIRECTORY), env::var_os(KEPT)) else {
        return;
    };
    telemetry::start("trace", telemetry::Writing::Here);
    panics::end_the_process();
    let directory = tempfile::TempDir::new_in(&directory).unwrap();
    let config = crate::support::config(directory.path());
    let server = Server::start_with(directory, config).await;
    let token = read_token(server.directory.path());
    let (client, revealer) = revealing(&server.admin, server.address).await;
    let mut caller = Remembering::new(client, &token);
    caller.do_everything().await;
    let mut secrets = vec![token, revealer];
    secrets.extend(caller.held.iter().map(crate::calls::Held::secret));
    fs::write(kept, secrets.join("\n")).unwrap();

    let texts: Vec<_> = secrets.into_iter().map(SecretText::new).collect();
    let claim = Claim::of_secret(texts[0].expose()).unwrap();
    let secret: Secret = claim.secret.clone();
    panic!("with {claim:?}, {secret:?} and {texts:?} in its hands");
}

#[test]
fn a_process_that_panics_prints_no_secret() {
    let directory = tempfile::tempdir().unwrap();
    let kept = tempfile::NamedTempFile::new().unwrap();
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args([
            "--exact",
            "crash::a_server_that_panics",
            "--ignored",
            "--nocapture",
        ])
        .env("RUST_BACKTRACE", "full")
        .env(DIRECTORY, directory.path())
        .env(KEPT, kept.path());
    let Ended { status, output } = Program::start(command).end();
    assert_eq!(status.code(), Some(panics::EXIT_STATUS), "{output}");
    assert!(output.contains("in its hands"));

    let mut needles = Needles::default();
    let secrets = fs::read_to_string(kept.path()).unwrap();
    assert!(secrets.lines().count() > 20);
    for secret in secrets.lines() {
        needles.add_secret(secret);
    }
    assert_eq!(needles.found_in(output.as_bytes()), Vec::<String>::new());
    assert_eq!(
        needles.found_in_directory(directory.path()),
        Vec::<String>::new()
    );
}
