//! The real grpcurl, and what it prints.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use serde_json::{Value, json};

use crate::support::{STUCK, read_token};

/// The tool, with a server and a caller.
#[derive(Clone)]
pub(crate) struct Grpcurl {
    pub(crate) path: PathBuf,
    pub(crate) address: SocketAddr,
    pub(crate) token: Option<String>,
}

/// A call that was not answered with OK.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) status: i32,
    /// What grpcurl printed.
    pub(crate) text: String,
}

impl Grpcurl {
    pub(crate) fn admin(path: &Path, address: SocketAddr, data_dir: &Path) -> Self {
        Self {
            path: path.to_owned(),
            address,
            token: Some(read_token(data_dir)),
        }
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.arg("-plaintext").stdin(Stdio::null());
        if let Some(token) = &self.token {
            command
                .arg("-H")
                .arg(format!("authorization: Bearer {token}"));
        }
        command
    }

    pub(crate) fn call(&self, method: &str, request: &Value) -> Command {
        let mut command = self.command();
        command
            .args(["-d", &request.to_string(), &self.address.to_string()])
            .arg(format!("credd.v1.{method}"));
        command
    }

    /// Calls, and expects an answer.
    pub(crate) fn good(&self, method: &str, request: &Value) -> Value {
        let output = self.call(method, request).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{method}: {error}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Calls, and expects an error.
    pub(crate) fn refused(&self, method: &str, request: &Value) -> Refused {
        let output = self.call(method, request).output().unwrap();
        assert_eq!(output.stdout, b"", "{method}");
        Refused {
            status: output.status.code().unwrap(),
            text: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// What a command without a request prints.
    pub(crate) fn text(&self, arguments: &[&str]) -> String {
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
    pub(crate) fn issue(&self, tenant: &str) -> (String, Value) {
        let request = json!({
            "tenant": tenant,
            "owner": "jo",
            "profile": "api-token",
            "label": "x",
        });
        let issued = self.good("CredentialService/Issue", &request);
        let id = issued["credential"]["id"].as_str().unwrap();
        (id.to_owned(), issued["revision"].clone())
    }

    pub(crate) fn watch(&self, request: &Value) -> Watch {
        Watch::start(self.call("VerificationService/Watch", request))
    }

    /// A Watch resumed after `from` shows exactly these commits next.
    pub(crate) fn assert_resumes(&self, request: &Value, from: &Value, commits: &[Value]) {
        let mut watch = self.watch(&resumed(request, from));
        let first = watch.next();
        assert!(first["bookmark"].is_object(), "{first}");
        assert_eq!(first["revision"], from["revision"]);
        for commit in commits {
            assert_eq!(watch.next_commit(), *commit);
        }
    }
}

pub(crate) fn resumed(request: &Value, from: &Value) -> Value {
    let mut request = request.clone();
    request["resume_token"] = from["resumeToken"].clone();
    request
}

impl Refused {
    /// The detail of this type, which grpcurl prints as JSON.
    pub(crate) fn detail(&self, of_type: &str) -> Value {
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
    pub(crate) fn fields(&self) -> BTreeSet<String> {
        let request = self.detail("google.rpc.BadRequest");
        let violations = request["fieldViolations"].as_array().unwrap();
        let fields = violations
            .iter()
            .map(|v| v["field"].as_str().unwrap().to_owned());
        fields.collect()
    }
}

/// A Watch that is running.
pub(crate) struct Watch {
    pub(crate) child: Child,
    pub(crate) messages: Receiver<Value>,
    pub(crate) reached: u64,
}

impl Watch {
    pub(crate) fn start(mut command: Command) -> Self {
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

    pub(crate) fn next(&mut self) -> Value {
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

    pub(crate) fn next_commit(&mut self) -> Value {
        loop {
            let message = self.next();
            if message["bookmark"].is_null() {
                assert!(message["commit"].is_object(), "{message}");
                return message;
            }
        }
    }

    /// The next commit, which is this one change.
    pub(crate) fn change(
        &mut self,
        id: &str,
        change: &str,
        state: &str,
        revision: &Value,
    ) -> Value {
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
    pub(crate) fn end(mut self) -> Refused {
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
