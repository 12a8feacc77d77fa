//! Keys: added, activated and retired under load, and lost or changed by mistake.
#![allow(
    clippy::too_many_lines,
    clippy::unwrap_used,
    reason = "a story is as long as it is, and a test may panic"
)]

#[path = "../support/calls.rs"]
mod calls;
#[path = "../support/clocked.rs"]
mod clocked;
#[path = "../support/session.rs"]
mod session;
#[path = "../support/mod.rs"]
mod support;

mod aging;
mod command_line;
mod files;
mod force;
mod peppers;
mod sealing;
mod status;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use credd::proto::v1;
use credd::proto::v1::operations_service_client::OperationsServiceClient;
use credd::proto::v1::presented::Credential as Presented;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic_types::StatusExt as _;

use calls::Held;
use support::metrics::{free_address, scrape};
use support::program::{Ended, Program, credd, serve_everything};
use support::{Authorized, Bearer, Client, channel, read_token, until};

/// The real program, serving.
struct Running {
    program: Program,
    address: SocketAddr,
    metrics: SocketAddr,
    admin: Client,
    operations: OperationsServiceClient<Authorized>,
}

impl Running {
    async fn start(directory: &Path) -> Self {
        let metrics = free_address();
        let mut command = serve_everything(&[], directory);
        command.args(["--metrics-listen", &metrics.to_string()]);
        let (program, address) = Program::serve(command);
        let token = read_token(directory);
        let channel = channel(address).await;
        Self {
            program,
            address,
            metrics,
            admin: Client::connect(address, &token).await,
            operations: OperationsServiceClient::with_interceptor(channel, Bearer::new(&token)),
        }
    }

    async fn status(&self) -> v1::GetStatusResponse {
        let request = v1::GetStatusRequest {};
        let status = self.operations.clone().get_status(request).await;
        status.unwrap().into_inner()
    }

    async fn keyring(&self) -> v1::KeyringStatus {
        self.status().await.keyring.unwrap()
    }

    async fn pepper(&self, version: u32) -> v1::PepperStatus {
        let peppers = self.keyring().await.peppers;
        let pepper = peppers.into_iter().find(|key| key.version == version);
        pepper.unwrap_or_default()
    }

    async fn sealing_key(&self, version: u32) -> v1::SealingKeyStatus {
        let keys = self.keyring().await.sealing_keys;
        let key = keys.into_iter().find(|key| key.version == version);
        key.unwrap_or_default()
    }

    /// How many secrets are on a version of the pepper, by `GetStatus` and by the
    /// gauge, once they agree.
    async fn remaining(&self, version: u32) -> u64 {
        let label = format!("credd_secrets{{pepper_version=\"{version}\"}}");
        let mut agreed = None;
        for _ in 0..100 {
            let before = self.pepper(version).await.remaining;
            let gauge = self.gauge(&label).await.unwrap_or(0);
            let after = self.pepper(version).await.remaining;
            if before == gauge && gauge == after {
                agreed = Some(gauge);
                break;
            }
        }
        agreed.unwrap()
    }

    /// Waits until so many secrets are on a version of the pepper.
    async fn until_remaining(&self, version: u32, count: u64) {
        let what = format!("{count} secrets on pepper {version}");
        until(&what, || async { self.remaining(version).await == count }).await;
    }

    async fn gauge(&self, name: &str) -> Option<u64> {
        let text = scrape(self.metrics).await;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map(|value| value.parse().unwrap())
    }

    async fn rotate_pepper(&self, version: u32) -> Result<v1::RotatePepperResponse, Status> {
        let request = v1::RotatePepperRequest {
            version,
            reason: "test".to_owned(),
            ..Default::default()
        };
        let answer = self.operations.clone().rotate_pepper(request).await?;
        Ok(answer.into_inner())
    }

    async fn retire_pepper(
        &self,
        request: v1::RetirePepperRequest,
    ) -> Result<v1::RetirePepperResponse, Status> {
        let answer = self.operations.clone().retire_pepper(request).await?;
        Ok(answer.into_inner())
    }

    async fn rotate_sealing(&self, version: u32) -> Result<v1::RotateSealingKeyResponse, Status> {
        let request = v1::RotateSealingKeyRequest {
            version,
            reason: "test".to_owned(),
            ..Default::default()
        };
        let answer = self.operations.clone().rotate_sealing_key(request).await?;
        Ok(answer.into_inner())
    }

    async fn retire_sealing(
        &self,
        request: v1::RetireSealingKeyRequest,
    ) -> Result<v1::RetireSealingKeyResponse, Status> {
        let answer = self.operations.clone().retire_sealing_key(request).await?;
        Ok(answer.into_inner())
    }

    fn stop(self) -> String {
        let Ended { status, output } = self.program.terminate();
        assert!(status.success(), "{output}");
        output
    }
}

fn retire_pepper(version: u32) -> v1::RetirePepperRequest {
    v1::RetirePepperRequest {
        version,
        reason: "test".to_owned(),
        ..Default::default()
    }
}

fn retire_sealing(version: u32) -> v1::RetireSealingKeyRequest {
    v1::RetireSealingKeyRequest {
        version,
        reason: "test".to_owned(),
        ..Default::default()
    }
}

/// The reason of a refusal, and how much it says remains.
fn in_use(status: &Status) -> (String, Option<u64>) {
    let details = status.get_error_details();
    let info = details.error_info().unwrap();
    let remaining = info.metadata.get("remaining");
    let remaining = remaining.map(|remaining| remaining.parse().unwrap());
    (info.reason.clone(), remaining)
}

/// A data directory, with a client for each kind of file in it.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn keyring(&self) -> PathBuf {
        self.path().join("keyring.toml")
    }

    /// `credd keyring add`, as an operator does.
    fn add(&self, kind: &str) -> String {
        let mut command = credd(&[]);
        command.args(["keyring", "add", kind, "--data-dir"]);
        command.arg(self.path());
        let Ended { status, output } = Program::start(command).end();
        assert!(status.success(), "{output}");
        output
    }

    /// Takes a key out of the file.
    fn take_out(&self, kind: &str, version: u32) {
        let path = self.keyring();
        let text = std::fs::read_to_string(&path).unwrap();
        let mut tables = text.split("\n[[");
        let head = tables.next().unwrap().to_owned();
        let start = format!("{kind}]]\nversion = {version}\n");
        let (out, kept): (Vec<_>, Vec<_>) = tables.partition(|table| table.starts_with(&start));
        assert_eq!(out.len(), 1, "{kind} {version}");
        let kept = kept.iter().map(|table| format!("\n[[{table}"));
        std::fs::write(&path, head + &kept.collect::<String>()).unwrap();
    }
}

/// A secret that somebody holds.
#[derive(Clone)]
struct Subject {
    id: String,
    question: v1::VerifyRequest,
}

impl From<Held> for Subject {
    fn from(held: Held) -> Self {
        Self {
            question: held.question(),
            id: held.id,
        }
    }
}

/// Issues and imports secrets of every kind, `each` of each: plain, viewable again,
/// imported, and two at once of the same credential.
async fn populate(admin: &Client, each: usize) -> Vec<Subject> {
    let mut all = Vec::new();
    for _ in 0..each {
        for profile in ["api-token", "basic", "key-pair"] {
            all.push(calls::issue(admin, "acme", "jo", profile).await.into());
            let held = calls::issue(admin, "acme", "jo", profile).await;
            let next = calls::rotated(admin, &held.id, 3600).await;
            all.extend([held.into(), next.into()]);
            all.push(imported(admin, profile).await);
        }
        // Of some kinds an owner has one.
        let owner = format!("owner-{}", calls::request_id());
        for profile in ["kaspersky-tip", "tenable-cs"] {
            let held = calls::issue(admin, "acme", &owner, profile).await;
            all.push(held.into());
        }
    }
    all
}

async fn imported(admin: &Client, profile: &str) -> Subject {
    let secret = format!("from-elsewhere-{}", calls::request_id());
    let name = if profile == "api-token" { "" } else { "robot" };
    let brought = calls::imported(profile, name, &secret);
    let credential = calls::import(admin, "acme", brought).await.unwrap();
    let presented = match profile {
        "api-token" => Presented::Token(secret),
        "basic" => Presented::UsernamePassword(v1::UsernamePassword {
            username: name.to_owned(),
            password: secret,
        }),
        _ => Presented::KeyPair(v1::KeyPair {
            access_key: name.to_owned(),
            secret_key: secret,
        }),
    };
    Subject {
        id: credential.id,
        question: v1::VerifyRequest {
            presented: Some(v1::Presented {
                credential: Some(presented),
            }),
            any_tenant: true,
            ..Default::default()
        },
    }
}

/// Presents secrets again and again, on a connection of its own.
struct Verifier {
    stop: CancellationToken,
    task: JoinHandle<()>,
    verified: Arc<AtomicU64>,
}

impl Verifier {
    async fn start(running: &Running, token: &str, subjects: Vec<Subject>, streams: bool) -> Self {
        let client = Client::connect(running.address, token).await;
        let stop = CancellationToken::new();
        let verified = Arc::new(AtomicU64::new(0));
        let (stopped, count) = (stop.clone(), Arc::clone(&verified));
        let task = tokio::spawn(async move {
            while !stopped.is_cancelled() {
                if streams {
                    let questions = subjects.iter().map(|subject| subject.question.clone());
                    let verdicts = calls::verdicts(&client, questions.collect()).await;
                    for (subject, verdict) in subjects.iter().zip(verdicts) {
                        assert_eq!(verdict, v1::Verdict::Active, "{}", subject.id);
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                    continue;
                }
                for subject in &subjects {
                    let answer = calls::verify(&client, subject.question.clone()).await;
                    assert_eq!(answer.verdict(), v1::Verdict::Active, "{}", subject.id);
                    count.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        Self {
            stop,
            task,
            verified,
        }
    }

    fn verified(&self) -> u64 {
        self.verified.load(Ordering::Relaxed)
    }

    /// That not one was denied; returns how many were asked.
    async fn end(self) -> u64 {
        self.stop.cancel();
        self.task.await.unwrap();
        self.verified.load(Ordering::Relaxed)
    }
}

/// Several verifiers of the same secrets.
async fn verifiers(running: &Running, token: &str, subjects: &[Subject]) -> Vec<Verifier> {
    let mut all = Vec::new();
    for n in 0..4 {
        let mut subjects = subjects.to_vec();
        let by = n * subjects.len() / 4;
        subjects.rotate_left(by);
        all.push(Verifier::start(running, token, subjects, n == 3).await);
    }
    all
}

async fn verdict(client: &Client, subject: &Subject) -> v1::Verdict {
    calls::verify(client, subject.question.clone())
        .await
        .verdict()
}

async fn assert_all_active(client: &Client, subjects: &[Subject]) {
    for subject in subjects {
        assert_eq!(verdict(client, subject).await, v1::Verdict::Active);
    }
}
