//! How long after a fenced Revoke was sent the last of many sidecars denies: an
//! authority and sidecars as processes of their own, each asked about one credential
//! after the other over its Unix socket, which it has in its cache.
//!
//! Who asks a sidecar asks again a moment after each answer, so that times are known
//! to about that moment. All processes share the machine's cores.
//!
//! `CREDD_BENCH_SIDECARS` (10), `CREDD_BENCH_REVOKES` (200), `CREDD_BENCH_PAUSE_MICROS`
//! (250), `CREDD_BENCH_DIR`.
#![allow(clippy::unwrap_used, reason = "a benchmark may panic")]

mod support;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use credd::proto::v1;
use credd::proto::v1::Verdict;
use credd::proto::v1::credential_service_client::CredentialServiceClient;
use credd::proto::v1::verification_service_client::VerificationServiceClient;
use support::serving::{Bearer, at_socket, channel, connect, runtime, verify_request};
use support::{Table, machine, setting};
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tonic::transport::Channel;

fn main() {
    let sidecars: usize = setting("CREDD_BENCH_SIDECARS", 10);
    let revokes: usize = setting("CREDD_BENCH_REVOKES", 200);
    println!(
        "From a fenced Revoke to a denial, {sidecars} sidecars, {revokes} revokes\n{}",
        machine()
    );
    let times = runtime().block_on(measure(sidecars, revokes));
    let mut table = Table::new("microseconds since the Revoke was sent");
    for (what, time) in [
        (
            "the first sidecar denies",
            Times::first as fn(&Times) -> f64,
        ),
        ("the last sidecar denies", Times::last),
        ("the Revoke returns", |times| times.returned),
    ] {
        let mut sorted: Vec<f64> = times.iter().map(time).collect();
        sorted.sort_by(f64::total_cmp);
        for (name, part) in [
            ("median", 500),
            ("90 %", 900),
            ("99 %", 990),
            ("most", 1000),
        ] {
            let at = (sorted.len() * part).div_ceil(1000);
            let value = sorted[at.clamp(1, sorted.len()) - 1];
            table.figure(&format!("{what}: {name}"), "us", value, None);
        }
    }
    table.print();
}

/// What there was of one Revoke, in microseconds since it was sent.
struct Times {
    denied: Vec<f64>,
    returned: f64,
}

impl Times {
    fn first(&self) -> f64 {
        self.denied.iter().copied().fold(f64::INFINITY, f64::min)
    }

    fn last(&self) -> f64 {
        self.denied.iter().copied().fold(0.0, f64::max)
    }
}

async fn measure(sidecars: usize, revokes: usize) -> Vec<Times> {
    let directory = match std::env::var_os("CREDD_BENCH_DIR") {
        Some(directory) => tempfile::tempdir_in(directory).unwrap(),
        None => tempfile::tempdir().unwrap(),
    };
    let (_authority, address, token) = authority(&directory).await;
    let mut processes = Vec::new();
    let (tokens, asked) = watch::channel(None);
    let (denials, mut denied) = mpsc::unbounded_channel();
    let mut asking = JoinSet::new();
    for number in 0..sidecars {
        let socket = directory.path().join(format!("{number}.sock"));
        processes.push(sidecar(&directory, address, &socket));
        while !socket.exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let client = VerificationServiceClient::new(at_socket(&socket));
        asking.spawn(ask(client, asked.clone(), denials.clone()));
    }

    let bearer = Bearer::new(&token);
    let mut admin = CredentialServiceClient::with_interceptor(channel(address).await, bearer);
    let mut times = Vec::new();
    while times.len() < revokes {
        let request = v1::IssueRequest {
            tenant: "acme".to_owned(),
            owner: "jo".to_owned(),
            profile: "api-token".to_owned(),
            label: "to be revoked".to_owned(),
            ..Default::default()
        };
        let issued = admin.issue(request).await.unwrap().into_inner();
        let Some(v1::issued_secret::Secret::Token(token)) = issued.secret.unwrap().secret else {
            panic!("no token was issued");
        };
        tokens.send_replace(Some(Arc::<str>::from(token)));
        for _ in 0..sidecars {
            assert!(matches!(denied.recv().await.unwrap(), Said::Kept));
        }
        let request = v1::RevokeRequest {
            target: Some(v1::revoke_request::Target::CredentialId(
                issued.credential.unwrap().id,
            )),
            fence: true,
            ..Default::default()
        };
        let began = Instant::now();
        let micros = |at: Instant| at.duration_since(began).as_secs_f64() * 1e6;
        let answer = admin.revoke(request).await.unwrap().into_inner();
        let returned = Instant::now();
        let fence = answer.fence.unwrap();
        let all_follow = fence.acknowledged as usize == sidecars;
        assert_eq!(fence.expired, 0);
        let mut all = Vec::new();
        for _ in 0..sidecars {
            let Said::Denied { at, last_yes_sent } = denied.recv().await.unwrap() else {
                panic!("it was kept already");
            };
            assert!(last_yes_sent < returned, "a yes after the Revoke returned");
            all.push(micros(at));
        }
        // Nothing counts until all of them have leases.
        assert!(all_follow || times.is_empty(), "a sidecar lost its lease");
        if all_follow {
            times.push(Times {
                denied: all,
                returned: micros(returned),
            });
        }
    }
    times
}

/// What one who asks a sidecar has been told.
enum Said {
    /// Yes, again and again.
    Kept,
    /// No, at a moment, and when the last question was sent that got a yes.
    Denied { at: Instant, last_yes_sent: Instant },
}

/// After how many answers in a row that are a yes it is taken for one from the cache.
const KEPT: usize = 5;

/// Asks a sidecar about each token that comes, until it denies.
async fn ask(
    mut client: VerificationServiceClient<Channel>,
    mut tokens: watch::Receiver<Option<Arc<str>>>,
    said: mpsc::UnboundedSender<Said>,
) {
    let pause = Duration::from_micros(setting("CREDD_BENCH_PAUSE_MICROS", 250));
    while tokens.changed().await.is_ok() {
        let Some(token) = tokens.borrow_and_update().clone() else {
            continue;
        };
        let (mut yes, mut last_yes_sent) = (0, Instant::now());
        loop {
            let sent = Instant::now();
            let answer = client.verify(verify_request(&token)).await.unwrap();
            if answer.into_inner().verdict() == Verdict::Active {
                (yes, last_yes_sent) = (yes + 1, sent);
                if yes == KEPT && said.send(Said::Kept).is_err() {
                    return;
                }
            } else if yes >= KEPT {
                let at = Instant::now();
                let _ = said.send(Said::Denied { at, last_yes_sent });
                break;
            }
            tokio::time::sleep(pause).await;
        }
    }
}

/// A process. It is killed when this is dropped.
struct Process(Child);

impl Process {
    fn start(command: &mut Command) -> Self {
        command.env("CREDD_LOG", "error").stdin(Stdio::null());
        Self(command.spawn().unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn token_file(directory: &TempDir) -> PathBuf {
    directory.path().join("admin.token")
}

/// An authority that answers, and its administrator's token.
async fn authority(directory: &TempDir) -> (Process, SocketAddr, String) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let mut command = Command::new(env!("CARGO_BIN_EXE_credd"));
    command
        .args(["serve", "--listen", &address.to_string()])
        .args(["--disk-reserve-mib", "16", "--data-dir"])
        .arg(directory.path());
    let process = Process::start(&mut command);
    loop {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let token = std::fs::read_to_string(token_file(directory));
        if let Ok(token) = token
            && tokio::net::TcpStream::connect(address).await.is_ok()
        {
            let token = token.trim_end().to_owned();
            let mut client = connect(address, &token).await;
            if client.verify(verify_request("nothing")).await.is_ok() {
                return (process, address, token);
            }
        }
    }
}

fn sidecar(directory: &TempDir, address: SocketAddr, socket: &Path) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_credd"));
    command
        .args(["sidecar", "--authority", &format!("http://{address}")])
        .arg("--authority-token-file")
        .arg(token_file(directory))
        .arg("--socket")
        .arg(socket);
    Process::start(&mut command)
}
