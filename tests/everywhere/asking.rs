//! Those who ask, and who notes what they are told.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use credd::proto::v1;
use credd::proto::v1::verification_service_client::VerificationServiceClient;
use parking_lot::Mutex;
use rand::RngExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint};

use crate::calls::{Held, issue};
use crate::support::{Client, at_socket, until};

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(3);
/// How many of those that were revoked last are asked about.
const LAST: usize = 3;

/// What was asked, and what had returned.
pub(crate) struct Recorder {
    credentials: Vec<Held>,
    /// How many of them were revoked, the first ones: their fences have returned.
    revoked: Mutex<usize>,
    told: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    /// Of each way to ask: how many were let through, denied, and not answered.
    counts: BTreeMap<&'static str, [usize; 3]>,
    late: Vec<String>,
}

/// What a request came to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Yes,
    No,
    Nothing,
}

impl Recorder {
    /// Issues so many credentials.
    pub(crate) async fn issue(admin: &Client, count: usize) -> Self {
        let mut credentials = Vec::new();
        for _ in 0..count {
            credentials.push(issue(admin, "acme", "jo", "api-token").await);
        }
        Self {
            credentials,
            revoked: Mutex::new(0),
            told: Mutex::default(),
        }
    }

    pub(crate) fn id(&self, at: usize) -> &str {
        &self.credentials[at].id
    }

    /// Notes that the fenced Revoke of the next one has returned.
    pub(crate) fn revoked(&self, at: usize) {
        let mut revoked = self.revoked.lock();
        assert_eq!(*revoked, at);
        *revoked += 1;
    }

    /// One to ask about, and whether a yes would be late: looked at before the
    /// request is sent.
    fn next(&self) -> (usize, bool) {
        let revoked = *self.revoked.lock();
        // Those revoked last, and the next ones, which are revoked while they are
        // asked about.
        let first = revoked.saturating_sub(LAST);
        let last = (revoked + LAST).min(self.credentials.len());
        let at = rand::rng().random_range(first..last);
        (at, at < revoked)
    }

    fn note(&self, way: &'static str, at: usize, is_revoked: bool, outcome: Outcome) {
        let mut told = self.told.lock();
        told.counts.entry(way).or_default()[outcome as usize] += 1;
        if is_revoked && outcome == Outcome::Yes {
            told.late.push(format!("{way} let credential {at} through"));
        }
    }

    /// Waits until so many ways to ask have all had this outcome.
    pub(crate) async fn until_all_had(&self, outcome: Outcome, ways: usize) {
        until("everybody to say so", || async {
            let told = self.told.lock();
            let mut counts = told.counts.values();
            told.counts.len() == ways && counts.all(|count| count[outcome as usize] > 0)
        })
        .await;
    }

    pub(crate) fn late(&self) -> Vec<String> {
        self.told.lock().late.clone()
    }

    pub(crate) fn print(&self) {
        for (way, [yes, no, nothing]) in &self.told.lock().counts {
            println!("{way}: {yes} let through, {no} denied, {nothing} not answered");
        }
    }

    pub(crate) fn assert_all_said_yes_and_no(&self) {
        for (way, [yes, no, _]) in &self.told.lock().counts {
            assert!(*yes > 0 && *no > 0, "{way}: {yes} yes, {no} no");
        }
    }
}

/// A way to ask.
pub(crate) struct Asker {
    name: &'static str,
    to: To,
}

enum To {
    Envoy(SocketAddr),
    Verify(Channel, Option<String>),
}

impl Asker {
    /// As a client of a service behind Envoy.
    pub(crate) const fn through_envoy(address: SocketAddr) -> Self {
        Self {
            name: "envoy",
            to: To::Envoy(address),
        }
    }

    /// By Verify, at a sidecar's socket.
    pub(crate) fn at_socket(name: &'static str, socket: &Path) -> Self {
        Self {
            name,
            to: To::Verify(at_socket(socket), None),
        }
    }

    /// By Verify, at the authority.
    pub(crate) fn at(name: &'static str, address: SocketAddr, token: &Path) -> Self {
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
        let token = std::fs::read_to_string(token).unwrap();
        Self {
            name,
            to: To::Verify(endpoint.connect_lazy(), Some(token)),
        }
    }

    /// Asks until it is over.
    pub(crate) async fn ask_until(&self, over: &AtomicBool, recorder: &Recorder) {
        while !over.load(Ordering::SeqCst) {
            let (at, is_revoked) = recorder.next();
            let held = &recorder.credentials[at];
            let answer = timeout(PATIENCE, self.ask(held)).await;
            let outcome = answer.unwrap_or(Outcome::Nothing);
            recorder.note(self.name, at, is_revoked, outcome);
            if outcome == Outcome::Nothing {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }

    async fn ask(&self, held: &Held) -> Outcome {
        match &self.to {
            To::Envoy(address) => match through_envoy(*address, &held.secret()).await {
                Some(200) => Outcome::Yes,
                Some(401 | 403) => Outcome::No,
                _ => Outcome::Nothing,
            },
            To::Verify(channel, token) => {
                let mut client = VerificationServiceClient::new(channel.clone());
                let mut request = tonic::Request::new(held.question());
                if let Some(token) = token {
                    let bearer = format!("Bearer {token}").parse().unwrap();
                    request.metadata_mut().insert("authorization", bearer);
                }
                match client.verify(request).await {
                    Ok(answer) if answer.get_ref().verdict() == v1::Verdict::Active => Outcome::Yes,
                    Ok(_) => Outcome::No,
                    Err(_) => Outcome::Nothing,
                }
            }
        }
    }
}

/// The status of what the service behind Envoy, or Envoy, answers.
async fn through_envoy(address: SocketAddr, token: &str) -> Option<u16> {
    let request = format!(
        "GET /whoami HTTP/1.1\r\nhost: service\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n"
    );
    let mut stream = TcpStream::connect(address).await.ok()?;
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok()?;
    let head = String::from_utf8_lossy(&answer);
    head.split(' ').nth(1)?.parse().ok()
}
