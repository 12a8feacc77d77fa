//! A fenced Revoke with many live sessions, against what it can't do without: a
//! durable commit of the same bytes, a message of the same bytes to each session, and
//! an acknowledgement of the same bytes from each.
//!
//! Both servers and all sessions share this process and its runtime. The bare server
//! has no access layer, no index, and nothing to wait for but a counter.
//!
//! `CREDD_BENCH_SESSIONS` (`1,100,1000`: for each number a row; `10000`, by hand, share
//! 100 connections), `CREDD_BENCH_REVOKES` (50 on either side of a pair),
//! `CREDD_BENCH_PAIRS` (10), `CREDD_BENCH_DIR`.
#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a benchmark may panic"
)]

mod support;

use std::fs::File;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use credd::proto::v1;
use credd::proto::v1::credential_service_client::CredentialServiceClient;
use credd::proto::v1::verification_service_server::{
    VerificationService, VerificationServiceServer,
};
use credd::proto::v1::watch_response::Message;
use credd::proto::v1::{
    VerifyRequest, VerifyResponse, VerifyStreamRequest, VerifyStreamResponse, WatchRequest,
    WatchResponse,
};
use parking_lot::Mutex;
use support::bare::{database, open_sled};
use support::serving::{Bearer, Client, Credd, channel, connect, runtime, verify_request};
use support::{Budget, Pairs, Table, median, preamble, setting};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::{Notify, mpsc};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status, Streaming};

fn main() {
    let revokes: usize = setting("CREDD_BENCH_REVOKES", 50);
    preamble("fenced Revokes");
    let runtime = runtime();
    let commit = commit_bytes(&runtime);
    println!("a commit: a record of the log of {commit} bytes, and as many in records");
    let mut table = Table::new("a fenced Revoke, until it returns");
    for sessions in numbers() {
        let ours = runtime.block_on(Ours::start(sessions));
        let bare = runtime.block_on(Bare::start(sessions, commit));
        let pairs = Pairs::measure(
            || runtime.block_on(ours.revoke(revokes)),
            || runtime.block_on(bare.revoke(revokes)),
        );
        let what = format!("with {sessions} sessions");
        let budget = if sessions == 1000 {
            Budget::RatioAtMost(2.0)
        } else {
            Budget::Told
        };
        table.compare(&what, "us", &pairs, budget);
        let told = median(ours.told.lock().clone());
        table.figure(
            &format!("{what}: until the last was told"),
            "us",
            told,
            None,
        );
        runtime.block_on(ours.stop());
    }
    table.print();
}

fn numbers() -> Vec<usize> {
    let all = std::env::var("CREDD_BENCH_SESSIONS").unwrap_or_else(|_| "1,100,1000".to_owned());
    let numbers = all.split(',').map(|number| number.trim().parse().unwrap());
    numbers.collect()
}

fn directory() -> TempDir {
    match std::env::var_os("CREDD_BENCH_DIR") {
        Some(directory) => tempfile::tempdir_in(directory).unwrap(),
        None => tempfile::tempdir().unwrap(),
    }
}

/// How many streams share a connection.
const STREAMS: usize = 100;

/// Over connections of their own, so many clients of each.
async fn clients(address: SocketAddr, token: &str, count: usize) -> Vec<Client> {
    let mut clients = Vec::new();
    for at in 0..count {
        let client = match at % STREAMS {
            0 => connect(address, token).await,
            _ => Client::clone(&clients[at - 1]),
        };
        clients.push(client);
    }
    clients
}

/// credd, with sessions that acknowledge at once.
struct Ours {
    credd: Credd,
    /// When the last session was told of a change, in nanoseconds since `begin`.
    last_told: Arc<AtomicU64>,
    begin: Instant,
    /// How long that took, in microseconds.
    told: Mutex<Vec<f64>>,
}

impl Ours {
    async fn start(sessions: usize) -> Self {
        let credd = Credd::start(directory()).await;
        let (begin, last_told) = (Instant::now(), Arc::new(AtomicU64::new(0)));
        let live = Arc::new(AtomicUsize::new(0));
        let mut following = Vec::new();
        for client in clients(credd.address, &credd.token, sessions).await {
            let (told, live) = (Arc::clone(&last_told), Arc::clone(&live));
            following.push(tokio::spawn(async move {
                follow(
                    client,
                    &live,
                    |elapsed| {
                        told.fetch_max(elapsed, Ordering::Relaxed);
                    },
                    begin,
                )
                .await;
            }));
        }
        while live.load(Ordering::Relaxed) < sessions {
            let ended = following.iter().find(|following| following.is_finished());
            assert!(ended.is_none(), "a session ended");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Self {
            credd,
            last_told,
            begin,
            told: Mutex::default(),
        }
    }

    /// Microseconds of a fenced Revoke.
    async fn revoke(&self, count: usize) -> f64 {
        let channel = channel(self.credd.address).await;
        let bearer = Bearer::new(&self.credd.token);
        let mut client = CredentialServiceClient::with_interceptor(channel, bearer);
        let mut ids = Vec::new();
        for _ in 0..count {
            let request = v1::IssueRequest {
                tenant: "acme".to_owned(),
                owner: "jo".to_owned(),
                profile: "api-token".to_owned(),
                label: "to be revoked".to_owned(),
                ..Default::default()
            };
            let issued = client.issue(request).await.unwrap().into_inner();
            ids.push(issued.credential.unwrap().id);
        }
        let mut took = Vec::new();
        for id in ids {
            let request = v1::RevokeRequest {
                target: Some(v1::revoke_request::Target::CredentialId(id)),
                fence: true,
                ..Default::default()
            };
            let began = self.begin.elapsed();
            let answer = client.revoke(request).await.unwrap().into_inner();
            let ended = self.begin.elapsed();
            assert_eq!(answer.fence.unwrap().expired, 0);
            took.push(ended.saturating_sub(began).as_secs_f64() * 1e6);
            let told = Duration::from_nanos(self.last_told.load(Ordering::Relaxed));
            self.told
                .lock()
                .push(told.saturating_sub(began).as_secs_f64() * 1e6);
        }
        median(took)
    }

    async fn stop(self) {
        self.credd.stop().await;
    }
}

/// A session: renews every few seconds, and at once what somebody waits for.
async fn follow(mut client: Client, live: &AtomicUsize, told: impl Fn(u64), begin: Instant) {
    let (requests, receiver) = mpsc::channel(16);
    requests.send(WatchRequest::default()).await.unwrap();
    let answer = client.watch(ReceiverStream::new(receiver)).await;
    let mut messages = answer.unwrap().into_inner();
    let mut renewals = tokio::time::interval(Duration::from_secs(3));
    let (mut sequence, mut applied, mut is_live) = (0, None, false);
    loop {
        let message = tokio::select! {
            message = messages.message() => message,
            _ = renewals.tick() => {
                if applied.is_some() {
                    sequence += 1;
                    if requests.send(renewal(sequence, applied.clone())).await.is_err() {
                        return;
                    }
                }
                continue;
            }
        };
        let Ok(Some(message)) = message else {
            return;
        };
        let WatchResponse {
            revision,
            message: said,
            fenced,
            ..
        } = message;
        match said {
            Some(Message::Grant(grant)) => {
                if grant.lease.is_some() && !is_live {
                    is_live = true;
                    live.fetch_add(1, Ordering::Relaxed);
                }
                continue;
            }
            Some(Message::Commit(_)) => {
                told(u64::try_from(begin.elapsed().as_nanos()).unwrap());
            }
            _ => (),
        }
        let is_first = applied.is_none();
        applied = revision;
        if fenced || is_first || !is_live {
            sequence += 1;
            if requests
                .send(renewal(sequence, applied.clone()))
                .await
                .is_err()
            {
                return;
            }
        }
    }
}

fn renewal(sequence: u64, applied: Option<v1::Revision>) -> WatchRequest {
    WatchRequest {
        renewal: Some(v1::Renewal {
            sequence,
            applied,
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// A server that commits with sled, tells all streams, and waits for as many answers.
struct Bare {
    client: Client,
}

#[derive(Clone)]
struct BareService(Arc<Shared>);

struct Shared {
    sled: sled::Db,
    file: File,
    _directory: TempDir,
    commit: usize,
    revision: AtomicU64,
    streams: Mutex<Vec<mpsc::Sender<Result<WatchResponse, Status>>>>,
    acknowledged: AtomicUsize,
    all: Notify,
}

impl Bare {
    async fn start(sessions: usize, commit: usize) -> Self {
        let directory = directory();
        let sled = open_sled(directory.path());
        let path = directory.path().join("db");
        let file = File::options().write(true).open(path).unwrap();
        let shared = Arc::new(Shared {
            sled,
            file,
            _directory: directory,
            commit,
            revision: AtomicU64::new(0),
            streams: Mutex::default(),
            acknowledged: AtomicUsize::new(0),
            all: Notify::new(),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = VerificationServiceServer::new(BareService(Arc::clone(&shared)));
        let server = tonic::transport::Server::builder()
            .max_concurrent_streams(Some(1024))
            .tcp_nodelay(true)
            .add_service(service)
            .serve_with_incoming(TcpListenerStream::new(listener));
        tokio::spawn(server);
        for mut client in clients(address, "nobody", sessions).await {
            tokio::spawn(async move {
                let (requests, receiver) = mpsc::channel(16);
                requests.send(WatchRequest::default()).await.unwrap();
                let answer = client.watch(ReceiverStream::new(receiver)).await;
                let mut messages = answer.unwrap().into_inner();
                let mut sequence = 0;
                while let Ok(Some(message)) = messages.message().await {
                    sequence += 1;
                    let answer = renewal(sequence, message.revision);
                    if requests.send(answer).await.is_err() {
                        return;
                    }
                }
            });
        }
        while shared.streams.lock().len() < sessions {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Self {
            client: connect(address, "nobody").await,
        }
    }

    /// Microseconds of what stands for a fenced Revoke.
    async fn revoke(&self, count: usize) -> f64 {
        let mut client = self.client.clone();
        let mut took = Vec::new();
        for _ in 0..count {
            let began = Instant::now();
            client.verify(verify_request("x")).await.unwrap();
            took.push(began.elapsed().as_secs_f64() * 1e6);
        }
        median(took)
    }
}

impl Shared {
    fn commit(&self) -> u64 {
        let revision = self.revision.fetch_add(1, Ordering::Relaxed);
        let mut batch = sled::Batch::default();
        let key = |kind: u8| {
            let mut key = vec![kind];
            key.extend(revision.to_be_bytes());
            key
        };
        batch.insert(key(2), vec![7; self.commit]);
        // The credential, the event of the audit log, the flag, and the head.
        for kind in 3..6 {
            batch.insert(key(kind), vec![7; self.commit / 3]);
        }
        batch.insert(b"head", vec![7; 80]);
        self.sled.apply_batch(batch).unwrap();
        self.sled.flush().unwrap();
        self.file.sync_data().unwrap();
        revision
    }
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl VerificationService for BareService {
    type VerifyStreamStream = Answers<VerifyStreamResponse>;
    type WatchStream = Answers<WatchResponse>;

    async fn verify(&self, _: Request<VerifyRequest>) -> Result<Response<VerifyResponse>, Status> {
        let shared = Arc::clone(&self.0);
        shared.acknowledged.store(0, Ordering::Release);
        let committing = Arc::clone(&shared);
        let revision = tokio::task::spawn_blocking(move || committing.commit()).await;
        let message = event(revision.unwrap());
        let streams = shared.streams.lock().clone();
        let all = shared.all.notified();
        for stream in &streams {
            stream.try_send(Ok(message.clone())).unwrap();
        }
        all.await;
        Ok(Response::new(VerifyResponse::default()))
    }

    async fn verify_stream(
        &self,
        _: Request<Streaming<VerifyStreamRequest>>,
    ) -> Result<Response<Self::VerifyStreamStream>, Status> {
        Err(Status::unimplemented("only Verify and Watch"))
    }

    async fn watch(
        &self,
        request: Request<Streaming<WatchRequest>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let mut requests = request.into_inner();
        requests.message().await?;
        let (sender, receiver) = mpsc::channel(16);
        self.0.streams.lock().push(sender);
        let shared = Arc::clone(&self.0);
        tokio::spawn(async move {
            while let Some(Ok(_)) = requests.next().await {
                let all = shared.streams.lock().len();
                if shared.acknowledged.fetch_add(1, Ordering::AcqRel) + 1 == all {
                    shared.all.notify_one();
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

/// A message of the bytes of that of a revocation.
fn event(revision: u64) -> WatchResponse {
    WatchResponse {
        revision: Some(v1::Revision {
            store_id: "01890000-0000-7000-8000-000000000000".to_owned(),
            number: revision,
        }),
        resume_token: "x".repeat(96),
        fenced: true,
        coverage: None,
        message: Some(Message::Commit(v1::Commit {
            events: vec![v1::Event {
                subject: Some(v1::event::Subject::Credential(v1::CredentialEvent {
                    credential_id: "01890000-0000-7000-8000-000000000000".to_owned(),
                    tenant: "acme".to_owned(),
                    owner: "jo".to_owned(),
                    r#type: 3,
                    state: 3,
                    generation: 1,
                    at: Some(prost_types::Timestamp {
                        seconds: 1_700_000_000,
                        nanos: 1_000_000,
                    }),
                    overlap_ends_at: None,
                })),
            }],
        })),
    }
}

/// The bytes of the record in the log of a fenced Revoke, as sled has it.
fn commit_bytes(runtime: &Runtime) -> usize {
    let directory = runtime.block_on(async {
        let ours = Ours::start(1).await;
        ours.revoke(1).await;
        let Ours { credd, .. } = ours;
        credd.stop().await
    });
    let store = directory.path().join("store");
    let sled = open_sled(&database(&store));
    let log = sled.iter().map(Result::unwrap);
    // The latest commits are those of the Revoke and of last use.
    let log = log.filter(|(key, _)| key[0] != 0 && key[0] != 1);
    let sizes: Vec<usize> = log.map(|(_, value)| value.len()).collect();
    sizes[sizes.len().saturating_sub(3)..]
        .iter()
        .copied()
        .max()
        .unwrap()
}
