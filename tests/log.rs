//! What the real program logs of calls, and how that is changed while it runs.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/calls.rs"]
mod calls;
mod support;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};

use calls::refused;
use credd::proto::v1;
use serde_json::Value;
use support::metrics::{Scraped, free_address};
use support::program::{EVERYTHING, Program, serve, signal, wait_for};
use support::{Client, read_token, soon, token_request};
use tempfile::TempDir;
use tonic::Request;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// A server whose configuration can be changed.
struct World {
    program: Program,
    admin: Client,
    address: SocketAddr,
    token: String,
    file: PathBuf,
    _directory: TempDir,
}

impl World {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("credd.toml");
        std::fs::write(&file, with_log("info")).unwrap();
        let mut command = serve(&[], directory.path());
        command.arg("--config").arg(&file);
        let (program, address) = Program::serve(command);
        let token = read_token(directory.path());
        let admin = Client::connect(address, &token).await;
        Self {
            program,
            admin,
            address,
            token,
            file,
            _directory: directory,
        }
    }

    /// The lines that tell of calls of an RPC.
    fn lines(&self, rpc: &str) -> Vec<Value> {
        let name = format!("credd.v1.{rpc}");
        let lines = self.program.output();
        let lines = lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap());
        let lines = lines.filter(|line: &Value| line["method"] == name.as_str());
        lines.collect()
    }

    /// The one that does, once it is there.
    fn line(&self, rpc: &str) -> Value {
        let mut lines = wait_for(rpc, || {
            let lines = self.lines(rpc);
            (!lines.is_empty()).then_some(lines)
        });
        assert_eq!(lines.len(), 1, "{lines:?}");
        lines.remove(0)
    }

    /// Waits until there are so many lines that say this.
    fn said(&self, message: &str, times: usize) {
        wait_for(message, || {
            let said = self.program.output().matches(message).count();
            (said >= times).then_some(())
        });
    }
}

fn with_log(directives: &str) -> String {
    format!("server.log = {directives:?}\n{EVERYTHING}")
}

fn change(file: &Path, text: &str) {
    // As an editor does, and Kubernetes.
    let new = file.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, file).unwrap();
}

const CHANGED: &str = "what is logged has changed";
const UNREADABLE: &str = "the configuration can't be read again";

#[tokio::test(flavor = "multi_thread")]
async fn each_call_that_manages_and_each_that_is_refused_is_a_line() {
    let world = World::start().await;
    let mut request = Request::new(token_request("acme"));
    let metadata = request.metadata_mut();
    metadata.insert("x-request-id", "the-callers".parse().unwrap());
    let issued = world.admin.credentials.clone().issue(request).await;
    let issued = issued.unwrap().into_inner();
    let id = issued.credential.unwrap().id;
    let secret = support::token_of(issued.secret);
    let line = world.line("CredentialService/Issue");
    for (field, value) in [
        ("level", "INFO"),
        ("message", "call"),
        ("target", "credd::calls"),
        ("outcome", "OK"),
        ("caller", "credd:admin"),
        ("request_id", "the-callers"),
    ] {
        assert_eq!(line[field], value, "{line}");
    }
    assert!(line["duration_us"].as_u64().unwrap() > 0);
    assert_eq!(line.get("reason"), None);

    world.admin.get(&id).await.unwrap();
    let line = world.line("CredentialService/Get");
    assert_eq!(line["outcome"], "OK");
    assert!(!line["request_id"].as_str().unwrap().is_empty());

    refused(world.admin.unlock("no id").await);
    let line = world.line("CredentialService/Unlock");
    assert_eq!(line["outcome"], "INVALID_ARGUMENT");
    assert_eq!(line["reason"], "INVALID_FIELDS");

    // Somebody who puts a secret where it does not belong.
    let mut request = Request::new(v1::ListRequest::default());
    let metadata = request.metadata_mut();
    metadata.insert("x-request-id", secret.parse().unwrap());
    world.admin.credentials.clone().list(request).await.unwrap();
    world.line("CredentialService/List");

    // Verify is no line, unless it is refused.
    assert_eq!(world.admin.verdict(&secret).await, v1::Verdict::Active);
    let stranger = Client::connect(world.address, "credd_nobody").await;
    refused(stranger.verify_token(&secret).await);
    let line = world.line("VerificationService/Verify");
    assert_eq!(line["outcome"], "UNAUTHENTICATED");
    assert_eq!(line.get("caller"), None);

    // A stream is one when it ends.
    let watch = world.admin.watch(v1::WatchRequest::default()).await;
    let watch = watch.unwrap();
    assert!(world.lines("VerificationService/Watch").is_empty());
    drop(watch);
    let line = world.line("VerificationService/Watch");
    assert_eq!(line["outcome"], "CANCELLED");
    assert_eq!(line["caller"], "credd:admin");
    // Nobody refused it.
    assert_eq!(line.get("reason"), None);

    let lines = world.program.output();
    let ids = lines.lines().filter_map(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        Some(line.get("request_id")?.as_str()?.to_owned())
    });
    let ids: Vec<_> = ids.collect();
    let distinct: BTreeSet<_> = ids.iter().collect();
    assert_eq!(distinct.len(), ids.len(), "{ids:?}");
    for hidden in [&secret, &world.token] {
        assert!(!lines.contains(hidden));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_logged_follows_the_configuration_while_it_runs() {
    let world = World::start().await;
    let verify = "VerificationService/Verify";
    world.admin.verdict("nothing").await;
    // At once, if it is told to look.
    change(&world.file, &with_log("info,credd::calls=debug"));
    signal("HUP", world.program.id());
    world.said(CHANGED, 1);
    world.admin.verdict("nothing").await;
    let line = world.line(verify);
    assert_eq!(
        (&line["level"], &line["outcome"]),
        (&"DEBUG".into(), &"OK".into())
    );

    // A file that is wrong changes nothing, and is told of once.
    change(&world.file, "server.log = 7");
    signal("HUP", world.program.id());
    world.said(UNREADABLE, 1);
    world.admin.verdict("nothing").await;
    wait_for("another line", || {
        (world.lines(verify).len() == 2).then_some(())
    });

    // And by itself a moment later.
    change(&world.file, &with_log("info"));
    world.said(CHANGED, 2);
    world.admin.verdict("nothing").await;
    world.admin.list(v1::ListRequest::default()).await.unwrap();
    world.line("CredentialService/List");
    assert_eq!(world.lines(verify).len(), 2);
    assert_eq!(world.program.output().matches(UNREADABLE).count(), 1);
    assert!(world.program.terminate().status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flag_is_stronger_than_a_file_that_changes() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("credd.toml");
    std::fs::write(&file, with_log("info")).unwrap();
    let mut command = serve(&[], directory.path());
    command.arg("--config").arg(&file);
    command.args(["--log", "info,credd::calls=debug"]);
    let (program, address) = Program::serve(command);
    let admin = Client::connect(address, &read_token(directory.path())).await;
    // The next signal finds that the one before was seen to.
    for text in ["server.log = 7", &with_log("error")] {
        change(&file, text);
        signal("HUP", program.id());
        wait_for("the file to be read", || {
            program.output().contains(UNREADABLE).then_some(())
        });
    }
    admin.verdict("nothing").await;
    wait_for("a line", || {
        program.output().contains("Verify").then_some(())
    });
    assert!(!program.output().contains(CHANGED));
}

/// A server whose log is read until it says that it is serving, and then by nobody.
struct Unread {
    child: Child,
    log: BufReader<ChildStderr>,
}

impl Unread {
    fn start(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        Self { child, log }
    }

    /// Where it serves, once it does.
    fn served_at(&mut self) -> SocketAddr {
        loop {
            let mut line = String::new();
            assert_ne!(self.log.read_line(&mut line).unwrap(), 0, "it has ended");
            let line: Value = serde_json::from_str(&line).unwrap();
            if line["message"] == "serving" {
                return line["address"].as_str().unwrap().parse().unwrap();
            }
        }
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_nobody_reads_costs_lines_and_holds_up_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let metrics = free_address();
    let mut command = serve(&[], directory.path());
    command.args(["--metrics-listen", &metrics.to_string()]);
    let audit = File::create(directory.path().join("audit")).unwrap();
    command.args(["--audit-file", "-"]).stdout(audit);
    let mut server = Unread::start(command);
    let address = server.served_at();
    let admin = Client::connect(address, &read_token(directory.path())).await;
    let dropped = "credd_log_lines_dropped_total";
    assert!(Scraped::of(metrics).await.has(dropped));

    // Each refusal is a line.
    let stranger = async || {
        let stranger = Client::connect(address, "credd_nobody").await;
        loop {
            for _ in 0..100 {
                refused(soon("a refusal", stranger.verify_token("nothing")).await);
            }
            if Scraped::of(metrics).await.value(dropped) > 0.0 {
                return;
            }
        }
    };
    tokio::join!(stranger(), stranger(), stranger(), stranger());

    let verdict = soon("a verdict", admin.verdict("nothing")).await;
    assert_eq!(verdict, v1::Verdict::Invalid);
    let mut health = HealthClient::new(support::channel(address).await);
    let asked = health.check(HealthCheckRequest::default());
    let answer = soon("health", asked).await.unwrap().into_inner();
    assert_eq!(answer.status(), ServingStatus::Serving);
    signal("TERM", server.child.id());
    let status = wait_for("the end", || server.child.try_wait().unwrap());
    assert!(status.success(), "{status}");
    // Nor is anything said of it where audit events go.
    let events = std::fs::read_to_string(directory.path().join("audit")).unwrap();
    for event in events.lines() {
        serde_json::from_str::<Value>(event).unwrap();
    }
}
