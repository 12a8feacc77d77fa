//! The command line against a real server: each command, what it prints and how it ends,
//! in a pipe and on a terminal.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod commands;
mod connecting;
mod directory;
mod errors;
mod forms;
mod interrupted;
mod leaks;
mod lost;
mod operations;
mod peers;
#[path = "../support/pki.rs"]
mod pki;
mod readme;
mod screen;
mod secrets;
#[path = "../support/session.rs"]
mod session;
#[path = "../support/mod.rs"]
mod support;
mod terminal;
mod unheard;
mod watching;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;
use support::Server;
use support::program::credd;

/// A server, and who administers it.
struct World {
    server: Server,
}

/// How a command ended.
#[derive(Debug)]
struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl World {
    async fn start() -> Self {
        Self {
            server: Server::start().await,
        }
    }

    fn token_file(&self) -> PathBuf {
        self.server.directory.path().join("admin.token")
    }

    /// A file beside the data.
    fn file(&self, name: &str) -> PathBuf {
        self.server.directory.path().join(name)
    }

    /// The command, as the administrator.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.stranger(arguments);
        command.env("CREDD_TOKEN_FILE", self.token_file());
        command
    }

    /// The command, as nobody.
    fn stranger(&self, arguments: &[&str]) -> Command {
        let mut command = credd(&[]);
        command
            .args(arguments)
            .env("CREDD_SERVER", format!("http://{}", self.server.address))
            .env_remove("NO_COLOR")
            .env("TERM", "xterm")
            .stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        ran(self.command(arguments))
    }

    /// What a command prints that succeeds.
    fn ok(&self, arguments: &[&str]) -> String {
        let ran = self.run(arguments);
        assert_eq!(ran.code, 0, "{arguments:?}: {ran:?}");
        ran.out
    }

    /// The same, read as JSON.
    fn json(&self, arguments: &[&str]) -> Value {
        let out = self.ok(&[arguments, &["--output", "json"]].concat());
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
    }

    /// Issues a token of `acme` to `jo`; returns its id and the token.
    fn issue(&self, label: &str) -> (String, String) {
        let arguments = [
            "issue", "--tenant", "acme", "--owner", "jo", "--label", label,
        ];
        let issued = self.json(&arguments);
        (
            text(&issued["credential"]["id"]),
            text(&issued["secret"]["token"]),
        )
    }
}

/// How a command ends that nobody listens to.
fn unheard(mut command: Command) -> Ran {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    Ran {
        code: output.status.code().unwrap(),
        out: String::new(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn ran(mut command: Command) -> Ran {
    let output = command.output().unwrap();
    Ran {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// The same, with this on standard input.
fn fed(mut command: Command, input: &str) -> Ran {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // One who is not read has said what it has to say.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    Ran {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}
