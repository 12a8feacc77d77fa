//! What a platform engineer sees: the real grpcurl against the real program,
//! through reflection.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod support;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use data_encoding::BASE64;
use serde_json::{Value, json};
use support::program::{Ended, Program, serve};
use support::{STUCK, read_token, tool};

/// grpcurl ends with 64 and the gRPC code.
const INVALID_ARGUMENT: i32 = 64 + 3;
const NOT_FOUND: i32 = 64 + 5;
const FAILED_PRECONDITION: i32 = 64 + 9;
const UNAVAILABLE: i32 = 64 + 14;
const UNAUTHENTICATED: i32 = 64 + 16;

#[test]
fn a_credential_of_each_kind_lives_its_whole_life() {
    let Some(grpcurl) = tool("CREDD_TEST_GRPCURL") else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let (server, address) = Program::serve(serve(&[], directory.path()));
    let admin = Grpcurl::admin(&grpcurl, address, directory.path());
    for kind in ["API_TOKEN", "BASIC", "KEY_PAIR"] {
        live(&admin, kind);
    }
    assert!(server.terminate().status.success());
}

/// Plays the life of a credential in a tenant of its own.
fn live(admin: &Grpcurl, kind: &str) {
    let tenant = kind.to_lowercase().replace('_', "-");
    let watched = json!({ "tenants": [tenant] });
    let mut watch = admin.watch(&watched);
    let start = watch.next();
    assert!(start["bookmark"].is_object(), "{start}");

    let issued = admin.good(
        "CredentialService/Issue",
        &json!({
            "tenant": tenant,
            "owner": "jo@example.com",
            "kind": format!("CREDENTIAL_KIND_{kind}"),
            "label": "pipeline",
            "description": "for the nightly build",
            "ttl": "86400s",
        }),
    );
    let id = issued["credential"]["id"].as_str().unwrap().to_owned();
    let secret = &issued["secret"];
    let (presented, bare) = presented(kind, secret);
    let mut commits = vec![watch.change(&id, "ISSUED", "ACTIVE", &issued["revision"])];

    let got = admin.good("CredentialService/Get", &json!({ "credential_id": id }));
    assert_eq!(got["credential"], issued["credential"]);
    assert_eq!(got["credential"]["createdBy"], "credd:admin");
    assert_eq!(got["credential"]["label"], "pipeline");
    assert_eq!(
        got["credential"]["daysLeft"], 0,
        "less than a whole day is left"
    );
    let list = json!({ "tenant": tenant });
    let listed = admin.good("CredentialService/List", &list);
    assert_eq!(listed["credentials"], json!([issued["credential"]]));
    assert!(!got.to_string().contains(&bare) && !listed.to_string().contains(&bare));

    let verify = |tenant: &str| {
        let request = json!({ "presented": presented, "tenant": tenant });
        admin.good("VerificationService/Verify", &request)
    };
    let verdict = || verify(&tenant)["verdict"].clone();
    let active = verify(&tenant);
    assert_eq!(active["verdict"], "VERDICT_ACTIVE");
    assert_eq!(active["identity"]["credentialId"], json!(id));
    assert_eq!(active["identity"]["owner"], "jo@example.com");
    assert_eq!(active["validFor"], "60s");
    assert_eq!(verify("another")["verdict"], "VERDICT_INVALID");

    let change = |method: &str| {
        let request = json!({ "credential_id": id, "reason": "leaked?" });
        let changed = admin.good(&format!("CredentialService/{method}"), &request);
        assert_eq!(changed["credential"]["lastChange"]["reason"], "leaked?");
        assert_eq!(changed["credential"]["lastChange"]["by"], "credd:admin");
        assert_eq!(changed["credential"]["stateRevision"], changed["revision"]);
        changed["revision"].clone()
    };
    let revision = change("Lock");
    commits.push(watch.change(&id, "LOCKED", "LOCKED", &revision));
    assert_eq!(verdict(), "VERDICT_LOCKED");
    let revision = change("Unlock");
    commits.push(watch.change(&id, "UNLOCKED", "ACTIVE", &revision));
    assert_eq!(verdict(), "VERDICT_ACTIVE");
    let revision = change("Revoke");
    commits.push(watch.change(&id, "REVOKED", "REVOKED", &revision));
    assert_eq!(verdict(), "VERDICT_REVOKED");
    assert_eq!(change("Revoke"), revision, "repeating it changes nothing");

    let refused = admin.refused("CredentialService/Unlock", &json!({ "credential_id": id }));
    assert_eq!(refused.status, FAILED_PRECONDITION);
    assert!(
        refused.text.contains("CREDENTIAL_REVOKED"),
        "{}",
        refused.text
    );
    assert!(admin.good("CredentialService/List", &list)["credentials"].is_null());
    let revoked = json!({ "tenant": tenant, "states": ["CREDENTIAL_STATE_REVOKED"] });
    let revoked = admin.good("CredentialService/List", &revoked);
    assert_eq!(revoked["credentials"][0]["id"], json!(id));
    assert_eq!(
        revoked["credentials"][0]["state"],
        "CREDENTIAL_STATE_REVOKED"
    );

    // The same again, from the beginning and from the middle.
    admin.assert_resumes(&watched, &start, &commits);
    admin.assert_resumes(&watched, &commits[1], &commits[2..]);
    let mut snapshot = admin.watch(&json!({ "tenants": [tenant], "snapshot": true }));
    let part = snapshot.next();
    let denied = json!({
        "credentialId": id,
        "tenant": tenant,
        "owner": "jo@example.com",
        "state": "CREDENTIAL_STATE_REVOKED",
    });
    assert_eq!(
        part["snapshotPart"],
        json!({ "denied": [denied], "complete": true })
    );
}

/// What a client sends who was given this secret, taken from the ready header,
/// and the part of it that is secret.
fn presented(kind: &str, secret: &Value) -> (Value, String) {
    let header = secret["header"]["value"].as_str().unwrap();
    let name = &secret["header"]["name"];
    let (presented, bare, expected) = match kind {
        "API_TOKEN" => {
            assert_eq!(name, "Authorization");
            let token = header.strip_prefix("Bearer ").unwrap();
            (json!({ "token": token }), token.to_owned(), json!(token))
        }
        "BASIC" => {
            assert_eq!(name, "Authorization");
            let encoded = header.strip_prefix("Basic ").unwrap();
            let pair = String::from_utf8(BASE64.decode(encoded.as_bytes()).unwrap()).unwrap();
            let (username, password) = pair.split_once(':').unwrap();
            let pair = json!({ "username": username, "password": password });
            (
                json!({ "usernamePassword": pair }),
                password.to_owned(),
                pair,
            )
        }
        _ => {
            assert_eq!(name, "X-ApiKeys");
            let (access, secret) = header.split_once("; ").unwrap();
            let access = access.strip_prefix("accessKey=").unwrap();
            let secret = secret.strip_prefix("secretKey=").unwrap();
            let pair = json!({ "accessKey": access, "secretKey": secret });
            (json!({ "keyPair": pair }), secret.to_owned(), pair)
        }
    };
    let field = presented.as_object().unwrap().keys().next().unwrap();
    assert_eq!(
        secret[field], expected,
        "the bare values are those of the header"
    );
    (presented, bare)
}

#[test]
fn a_watch_is_taken_up_where_it_ended_after_a_restart() {
    let Some(grpcurl) = tool("CREDD_TEST_GRPCURL") else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let (server, address) = Program::serve(serve(&[], directory.path()));
    let admin = Grpcurl::admin(&grpcurl, address, directory.path());
    let everything = json!({ "tenants": ["acme"] });
    let mut watch = admin.watch(&everything);
    let start = watch.next();
    let (id, revision) = admin.issue("acme");
    let mut commits = vec![watch.change(&id, "ISSUED", "ACTIVE", &revision)];
    assert!(server.terminate().status.success());

    let ended = watch.end();
    assert_eq!(ended.status, UNAVAILABLE);
    assert!(ended.text.contains("STOPPING"), "{}", ended.text);
    assert!(ended.text.contains("resume_token"), "{}", ended.text);

    let (_server, address) = Program::serve(serve(&[], directory.path()));
    let admin = Grpcurl::admin(&grpcurl, address, directory.path());
    let locked = admin.good("CredentialService/Lock", &json!({ "credential_id": id }));
    let mut watch = admin.watch(&resumed(&everything, &commits[0]));
    assert!(watch.next()["bookmark"].is_object());
    commits.push(watch.change(&id, "LOCKED", "LOCKED", &locked["revision"]));
    admin.assert_resumes(&everything, &start, &commits);

    let mut elsewhere = commits[0].clone();
    let token = elsewhere["resumeToken"].as_str().unwrap();
    // The first bytes after the version are the store's id.
    elsewhere["resumeToken"] = json!(format!("{}AAAA{}", &token[..8], &token[12..]));
    let mut watch = admin.watch(&resumed(&everything, &elsewhere));
    assert_eq!(watch.next()["reset"]["reason"], "RESET_REASON_OTHER_STORE");
}

#[test]
fn errors_can_be_read() {
    let Some(grpcurl) = tool("CREDD_TEST_GRPCURL") else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let (_server, address) = Program::serve(serve(&[], directory.path()));
    let admin = Grpcurl::admin(&grpcurl, address, directory.path());

    let request = json!({ "tenant": "Acme", "owner": "jo", "label": "x".repeat(10_240) });
    let refused = admin.refused("CredentialService/Issue", &request);
    assert_eq!(refused.status, INVALID_ARGUMENT);
    assert_eq!(
        refused.fields(),
        BTreeSet::from(["tenant", "kind", "label"].map(str::to_owned))
    );
    let info = refused.detail("google.rpc.ErrorInfo");
    assert_eq!(
        (&info["reason"], &info["domain"]),
        (&json!("INVALID_FIELDS"), &json!("credd"))
    );
    assert!(
        refused
            .text
            .contains("Message: invalid request: tenant must be"),
        "{}",
        refused.text
    );

    let unknown = json!({ "credential_id": "00000000-0000-7000-8000-000000000000" });
    let refused = admin.refused("CredentialService/Get", &unknown);
    assert_eq!(refused.status, NOT_FOUND);
    let info = refused.detail("google.rpc.ErrorInfo");
    assert_eq!(info["reason"], "CREDENTIAL_NOT_FOUND");
}

#[test]
fn a_stranger_learns_what_there_is_to_call_and_nothing_else() {
    let Some(grpcurl) = tool("CREDD_TEST_GRPCURL") else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let (_server, address) = Program::serve(serve(&[], directory.path()));
    let admin = Grpcurl::admin(&grpcurl, address, directory.path());
    let stranger = Grpcurl {
        token: None,
        ..admin.clone()
    };
    for caller in [&admin, &stranger] {
        let services = caller.text(&["list"]);
        let services: Vec<&str> = services
            .lines()
            .filter(|service| !service.starts_with("grpc.reflection."))
            .collect();
        let expected = [
            "credd.v1.CredentialService",
            "credd.v1.VerificationService",
            "grpc.health.v1.Health",
        ];
        assert_eq!(services, expected);
        let described = caller.text(&["describe", "credd.v1.CredentialService"]);
        assert!(
            described.contains("rpc Issue ( .credd.v1.IssueRequest )"),
            "{described}"
        );
        let described = caller.text(&["describe", "credd.v1.WatchRequest"]);
        assert!(
            described.contains("string resume_token = 1;"),
            "{described}"
        );
        let health: Value =
            serde_json::from_str(&caller.text(&["grpc.health.v1.Health/Check"])).unwrap();
        assert_eq!(health, json!({ "status": "SERVING" }));
    }
    let methods = [
        "CredentialService/Issue",
        "CredentialService/Get",
        "CredentialService/List",
        "CredentialService/Lock",
        "CredentialService/Unlock",
        "CredentialService/Revoke",
        "VerificationService/Verify",
        "VerificationService/VerifyStream",
        "VerificationService/Watch",
    ];
    for method in methods {
        let refused = stranger.refused(method, &json!({}));
        assert_eq!(refused.status, UNAUTHENTICATED, "{method}");
        assert_eq!(
            refused.detail("google.rpc.ErrorInfo")["reason"],
            "CALLER_UNKNOWN"
        );
    }
}

#[test]
fn the_tour_of_the_readme_works_as_it_is_written() {
    let Some(grpcurl) = tool("CREDD_TEST_GRPCURL") else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let (_server, address) = Program::serve(serve(&[], &directory.path().join("credd-data")));
    let readme = include_str!("../README.md");
    let (_, tour) = readme.split_once("## Five minutes with grpcurl").unwrap();
    let (tour, _) = tour.split_once("\n## ").unwrap();
    let mut script = String::from("set -eu\n");
    for (number, block) in tour.split("```").skip(1).step_by(2).enumerate() {
        let commands = block.strip_prefix("sh\n").unwrap();
        if commands.contains("/Watch") {
            // In another terminal, and seen to have begun.
            writeln!(script, "( {commands} ) >out-{number} 2>&1 &").unwrap();
            writeln!(script, "until [ -s out-{number} ]; do sleep 0.01; done").unwrap();
        } else {
            script.push_str(commands);
        }
    }
    script.push_str(
        "for out in out-*; do
           until grep -q CHANGE_TYPE_REVOKED $out; do sleep 0.01; done
         done
         kill $(jobs -p)",
    );
    let path = std::env::var("PATH").unwrap();
    let mut bash = Command::new("bash");
    bash.args([
        "-c",
        &script.replace("localhost:7420", &address.to_string()),
    ])
    .current_dir(directory.path())
    .env(
        "PATH",
        format!("{}:{path}", grpcurl.parent().unwrap().display()),
    );
    let Ended { status, output } = Program::start(bash).end();
    assert!(status.success(), "{output}");
    let verdicts = output
        .split('"')
        .filter(|word| word.starts_with("VERDICT_"));
    assert_eq!(
        verdicts.collect::<Vec<_>>(),
        [
            "VERDICT_ACTIVE",
            "VERDICT_INVALID",
            "VERDICT_LOCKED",
            "VERDICT_REVOKED"
        ]
    );
}

/// The tool, with a server and a caller.
#[derive(Clone)]
struct Grpcurl {
    path: PathBuf,
    address: SocketAddr,
    token: Option<String>,
}

/// A call that was not answered with OK.
#[derive(Debug)]
struct Refused {
    status: i32,
    /// What grpcurl printed.
    text: String,
}

impl Grpcurl {
    fn admin(path: &Path, address: SocketAddr, data_dir: &Path) -> Self {
        Self {
            path: path.to_owned(),
            address,
            token: Some(read_token(data_dir)),
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.arg("-plaintext").stdin(Stdio::null());
        if let Some(token) = &self.token {
            command
                .arg("-H")
                .arg(format!("authorization: Bearer {token}"));
        }
        command
    }

    fn call(&self, method: &str, request: &Value) -> Command {
        let mut command = self.command();
        command
            .args(["-d", &request.to_string(), &self.address.to_string()])
            .arg(format!("credd.v1.{method}"));
        command
    }

    /// Calls, and expects an answer.
    fn good(&self, method: &str, request: &Value) -> Value {
        let output = self.call(method, request).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{method}: {error}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Calls, and expects an error.
    fn refused(&self, method: &str, request: &Value) -> Refused {
        let output = self.call(method, request).output().unwrap();
        assert_eq!(output.stdout, b"", "{method}");
        Refused {
            status: output.status.code().unwrap(),
            text: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// What a command without a request prints.
    fn text(&self, arguments: &[&str]) -> String {
        let output = self
            .command()
            .arg(self.address.to_string())
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Issues a token; returns its id and the revision.
    fn issue(&self, tenant: &str) -> (String, Value) {
        let request = json!({
            "tenant": tenant,
            "owner": "jo",
            "kind": "CREDENTIAL_KIND_API_TOKEN",
            "label": "x",
        });
        let issued = self.good("CredentialService/Issue", &request);
        let id = issued["credential"]["id"].as_str().unwrap();
        (id.to_owned(), issued["revision"].clone())
    }

    fn watch(&self, request: &Value) -> Watch {
        Watch::start(self.call("VerificationService/Watch", request))
    }

    /// A Watch resumed after `from` shows exactly these commits next.
    fn assert_resumes(&self, request: &Value, from: &Value, commits: &[Value]) {
        let mut watch = self.watch(&resumed(request, from));
        let first = watch.next();
        assert!(first["bookmark"].is_object(), "{first}");
        assert_eq!(first["revision"], from["revision"]);
        for commit in commits {
            assert_eq!(watch.next_commit(), *commit);
        }
    }
}

fn resumed(request: &Value, from: &Value) -> Value {
    let mut request = request.clone();
    request["resume_token"] = from["resumeToken"].clone();
    request
}

impl Refused {
    /// The detail of this type, which grpcurl prints as JSON.
    fn detail(&self, of_type: &str) -> Value {
        let details = self.text.split('\t').filter_map(|detail| {
            let mut values = serde_json::Deserializer::from_str(detail).into_iter::<Value>();
            values.next()?.ok()
        });
        let named = format!("type.googleapis.com/{of_type}");
        let mut found = details.filter(|detail| detail["@type"] == json!(named));
        found
            .next()
            .unwrap_or_else(|| panic!("no {of_type}: {}", self.text))
    }

    /// The fields at fault.
    fn fields(&self) -> BTreeSet<String> {
        let request = self.detail("google.rpc.BadRequest");
        let violations = request["fieldViolations"].as_array().unwrap();
        let fields = violations
            .iter()
            .map(|v| v["field"].as_str().unwrap().to_owned());
        fields.collect()
    }
}

/// A Watch that is running.
struct Watch {
    child: Child,
    messages: Receiver<Value>,
    reached: u64,
}

impl Watch {
    fn start(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = child.stdout.take().unwrap();
        let (sender, messages) = channel();
        thread::spawn(move || {
            let values = serde_json::Deserializer::from_reader(stdout).into_iter::<Value>();
            for message in values.map_while(Result::ok) {
                if sender.send(message).is_err() {
                    break;
                }
            }
        });
        Self {
            child,
            messages,
            reached: 0,
        }
    }

    fn next(&mut self) -> Value {
        let message = self
            .messages
            .recv_timeout(STUCK)
            .expect("a message of the Watch");
        let number = message["revision"]["number"].as_str().unwrap();
        let revision: u64 = number.parse().unwrap();
        assert!(revision >= self.reached, "{message}");
        self.reached = revision;
        message
    }

    fn next_commit(&mut self) -> Value {
        loop {
            let message = self.next();
            if message["bookmark"].is_null() {
                assert!(message["commit"].is_object(), "{message}");
                return message;
            }
        }
    }

    /// The next commit, which is this one change.
    fn change(&mut self, id: &str, change: &str, state: &str, revision: &Value) -> Value {
        let commit = self.next_commit();
        assert_eq!(commit["revision"], *revision);
        let events = commit["commit"]["events"].as_array().unwrap();
        assert_eq!(events.len(), 1, "{commit}");
        let event = &events[0]["credential"];
        assert_eq!(event["credentialId"], json!(id));
        assert_eq!(event["type"], json!(format!("CHANGE_TYPE_{change}")));
        assert_eq!(event["state"], json!(format!("CREDENTIAL_STATE_{state}")));
        commit
    }

    /// Waits until the server has ended it.
    fn end(mut self) -> Refused {
        while self.messages.recv_timeout(STUCK).is_ok() {}
        let mut text = String::new();
        let mut stderr = self.child.stderr.take().unwrap();
        stderr.read_to_string(&mut text).unwrap();
        let status = self.child.wait().unwrap().code().unwrap();
        Refused { status, text }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
