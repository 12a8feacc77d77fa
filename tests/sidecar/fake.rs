//! An authority that answers when a test says so.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use credd::client::{Address, Connecting, Connection, Network, TlsFiles};
use credd::proto::v1;
use credd::proto::v1::verification_service_server::{
    VerificationService, VerificationServiceServer,
};
use credd::proto::v1::verify_response::End;
use credd::proto::v1::watch_response::Message;
use tokio::io::{DuplexStream, duplex};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_stream::Stream;
use tokio_stream::wrappers::{ReceiverStream, UnboundedReceiverStream};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

const STORE: &str = "11111111-1111-4111-8111-111111111111";
/// How many parts a snapshot has.
const PARTS: usize = 256;
const CREDENTIAL: &str = "01a223a9-d260-7000-bd81-73693e7ccd2b";

/// One credential, whatever is presented, and what was asked.
#[derive(Clone, Debug)]
pub(crate) struct Fake(Arc<State>);

#[derive(Debug)]
struct State {
    /// The revision at which the credential was revoked; 0: it was not.
    revoked_at: AtomicU64,
    revision: watch::Sender<u64>,
    /// Answers are given out of these.
    gate: Semaphore,
    is_held: AtomicBool,
    holds_streams: AtomicBool,
    holds_resumed: AtomicBool,
    is_deaf: AtomicBool,
    is_ending: AtomicBool,
    renewals: AtomicUsize,
    reads_no_token: AtomicBool,
    asked: AtomicUsize,
    watches: AtomicUsize,
    /// What was acknowledged last.
    acknowledged: AtomicU64,
    /// What it says of the credential until that is revoked.
    verdict: AtomicI32,
    is_gone: AtomicBool,
    /// What it says of every question, if anything.
    refusal: Mutex<Option<Status>>,
    /// Rung when all streams are to end.
    cut: watch::Sender<u64>,
}

impl Default for Fake {
    fn default() -> Self {
        Self(Arc::new(State {
            revoked_at: AtomicU64::new(0),
            revision: watch::Sender::new(1),
            gate: Semaphore::new(0),
            is_held: AtomicBool::new(false),
            holds_streams: AtomicBool::new(false),
            holds_resumed: AtomicBool::new(false),
            is_deaf: AtomicBool::new(false),
            is_ending: AtomicBool::new(false),
            renewals: AtomicUsize::new(0),
            reads_no_token: AtomicBool::new(false),
            asked: AtomicUsize::new(0),
            watches: AtomicUsize::new(0),
            acknowledged: AtomicU64::new(0),
            verdict: AtomicI32::new(v1::Verdict::Active.into()),
            is_gone: AtomicBool::new(false),
            refusal: Mutex::default(),
            cut: watch::Sender::new(0),
        }))
    }
}

impl Fake {
    pub(crate) async fn start() -> (Self, SocketAddr) {
        let fake = Self::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = Server::builder()
            .add_service(VerificationServiceServer::new(fake.clone()))
            .serve_with_incoming(TcpIncoming::from(listener));
        tokio::spawn(server);
        (fake, address)
    }

    /// Serves over pipes of this process.
    pub(crate) fn serve_in_process(&self) -> Pipes {
        let (sender, receiver) = mpsc::unbounded_channel();
        let server = Server::builder()
            .add_service(VerificationServiceServer::new(self.clone()))
            .serve_with_incoming(UnboundedReceiverStream::new(receiver));
        tokio::spawn(server);
        Pipes(sender)
    }

    /// From now on it hears no renewal.
    pub(crate) fn deafen(&self) {
        self.0.is_deaf.store(true, Ordering::SeqCst);
    }

    /// From now on there is a lease of a moment, and then none.
    pub(crate) fn end_leases(&self) {
        self.0.is_ending.store(true, Ordering::SeqCst);
    }

    /// How many renewals it has heard.
    pub(crate) fn renewals(&self) -> usize {
        self.0.renewals.load(Ordering::SeqCst)
    }

    /// Whether it reads no token of a place, as one of another version may.
    pub(crate) fn read_no_token(&self, reads_none: bool) {
        self.0.reads_no_token.store(reads_none, Ordering::SeqCst);
    }

    /// From now on answers wait.
    pub(crate) fn hold(&self) {
        self.0.is_held.store(true, Ordering::SeqCst);
    }

    /// From now on streams wait for their beginning.
    pub(crate) fn hold_streams(&self) {
        self.0.holds_streams.store(true, Ordering::SeqCst);
    }

    /// From now on streams that are to be taken up wait for their beginning.
    pub(crate) fn hold_resumed(&self) {
        self.0.holds_resumed.store(true, Ordering::SeqCst);
    }

    /// Those that wait are given, and others at once.
    pub(crate) fn release(&self) {
        self.0.is_held.store(false, Ordering::SeqCst);
        self.0.holds_streams.store(false, Ordering::SeqCst);
        self.0.holds_resumed.store(false, Ordering::SeqCst);
        self.0.gate.add_permits(1000);
    }

    /// Revokes the credential, with a fence.
    pub(crate) fn revoke(&self) -> u64 {
        let revision = *self.0.revision.borrow() + 1;
        self.0.revoked_at.store(revision, Ordering::SeqCst);
        self.0.revision.send_replace(revision);
        revision
    }

    /// From now on this is what it says of the credential.
    pub(crate) fn say(&self, verdict: v1::Verdict) {
        self.0.verdict.store(verdict.into(), Ordering::SeqCst);
    }

    /// From now on it answers no questions, or does again.
    pub(crate) fn be_gone(&self, is_gone: bool) {
        self.0.is_gone.store(is_gone, Ordering::SeqCst);
    }

    /// From now on it answers every question with this.
    pub(crate) fn refuse(&self, status: Status) {
        *self.0.refusal.lock().unwrap() = Some(status);
    }

    /// Ends all streams.
    pub(crate) fn cut(&self) {
        self.0.cut.send_modify(|count| *count += 1);
    }

    pub(crate) fn revision(&self) -> v1::Revision {
        revision(*self.0.revision.borrow())
    }

    pub(crate) fn asked(&self) -> usize {
        self.0.asked.load(Ordering::SeqCst)
    }

    pub(crate) fn watches(&self) -> usize {
        self.0.watches.load(Ordering::SeqCst)
    }

    pub(crate) fn acknowledged(&self) -> u64 {
        self.0.acknowledged.load(Ordering::SeqCst)
    }
}

/// A network by which everybody reaches one server.
#[derive(Debug)]
pub(crate) struct Pipes(mpsc::UnboundedSender<io::Result<DuplexStream>>);

impl Network for Pipes {
    fn connect<'a>(&'a self, _: &'a Address, _: &'a TlsFiles) -> Connecting<'a> {
        let (near, far) = duplex(64 << 10);
        self.0.send(Ok(far)).unwrap();
        Box::pin(async { Ok(Box::pin(near) as Connection) })
    }
}

fn revision(number: u64) -> v1::Revision {
    v1::Revision {
        store_id: STORE.to_owned(),
        number,
    }
}

fn response(number: u64, message: Message) -> v1::WatchResponse {
    v1::WatchResponse {
        revision: Some(revision(number)),
        resume_token: number.to_string(),
        fenced: matches!(message, Message::Commit(_)),
        message: Some(message),
        coverage: None,
    }
}

/// A part of what is denied, of 32 KiB.
fn part(number: u64) -> v1::WatchResponse {
    let part = v1::SnapshotPart {
        disabled_tenants: vec!["t".repeat(32 << 10)],
        ..Default::default()
    };
    v1::WatchResponse {
        resume_token: String::new(),
        ..response(number, Message::SnapshotPart(part))
    }
}

fn revoked() -> Message {
    let event = v1::CredentialEvent {
        credential_id: CREDENTIAL.to_owned(),
        tenant: "acme".to_owned(),
        owner: "jo".to_owned(),
        r#type: v1::ChangeType::Revoked.into(),
        ..Default::default()
    };
    Message::Commit(v1::Commit {
        events: vec![v1::Event {
            subject: Some(v1::event::Subject::Credential(event)),
        }],
    })
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl VerificationService for Fake {
    type VerifyStreamStream = Answers<v1::VerifyStreamResponse>;
    type WatchStream = ReceiverStream<Result<v1::WatchResponse, Status>>;

    async fn verify(
        &self,
        _: Request<v1::VerifyRequest>,
    ) -> Result<Response<v1::VerifyResponse>, Status> {
        // It is judged now, whenever the answer arrives.
        let now = *self.0.revision.borrow();
        let is_revoked = self.0.revoked_at.load(Ordering::SeqCst) > 0;
        self.0.asked.fetch_add(1, Ordering::SeqCst);
        if self.0.is_held.load(Ordering::SeqCst) {
            self.0.gate.acquire().await.unwrap().forget();
        }
        if self.0.is_gone.load(Ordering::SeqCst) {
            return Err(Status::unavailable("gone"));
        }
        if let Some(refusal) = &*self.0.refusal.lock().unwrap() {
            return Err(refusal.clone());
        }
        let verdict = if is_revoked {
            v1::Verdict::Revoked
        } else {
            v1::Verdict::try_from(self.0.verdict.load(Ordering::SeqCst)).unwrap()
        };
        let is_known = matches!(verdict, v1::Verdict::Active | v1::Verdict::Forbidden);
        Ok(Response::new(v1::VerifyResponse {
            verdict: verdict.into(),
            identity: is_known.then(|| v1::Identity {
                credential_id: CREDENTIAL.to_owned(),
                generation: 1,
                tenant: "acme".to_owned(),
                owner: "jo".to_owned(),
                ..Default::default()
            }),
            valid_for: is_known.then_some(prost_types::Duration {
                seconds: 60,
                nanos: 0,
            }),
            revision: Some(revision(now)),
            end: is_known.then_some(End::NeverEnds(true)),
        }))
    }

    async fn verify_stream(
        &self,
        _: Request<Streaming<v1::VerifyStreamRequest>>,
    ) -> Result<Response<Self::VerifyStreamStream>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn watch(
        &self,
        request: Request<Streaming<v1::WatchRequest>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        self.0.watches.fetch_add(1, Ordering::SeqCst);
        if self.0.holds_streams.load(Ordering::SeqCst) {
            self.0.gate.acquire().await.unwrap().forget();
        }
        let mut requests = request.into_inner();
        let first = requests.message().await?.unwrap();
        if self.0.reads_no_token.load(Ordering::SeqCst) {
            return Err(Status::invalid_argument("`resume_token` can't be read"));
        }
        if self.0.holds_resumed.load(Ordering::SeqCst) && !first.resume_token.is_empty() {
            self.0.gate.acquire().await.unwrap().forget();
        }
        let state = Arc::clone(&self.0);
        let (sender, receiver) = mpsc::channel(16);
        tokio::spawn(async move {
            if first.snapshot {
                let now = *state.revision.borrow();
                for _ in 0..PARTS {
                    let _ = sender.send(Ok(part(now))).await;
                }
            }
            let (mut now, mut cut) = (state.revision.subscribe(), state.cut.subscribe());
            cut.mark_unchanged();
            let begin = first.resume_token.parse();
            let mut told = begin.unwrap_or_else(|_| *now.borrow());
            let bookmark = Message::Bookmark(v1::Bookmark {});
            let _ = sender.send(Ok(response(told, bookmark))).await;
            loop {
                while told < *now.borrow_and_update() {
                    told += 1;
                    let _ = sender.send(Ok(response(told, revoked()))).await;
                }
                tokio::select! {
                    _ = now.changed() => (),
                    _ = cut.changed() => return,
                    request = requests.message() => {
                        let Ok(Some(request)) = request else { return };
                        if state.is_deaf.load(Ordering::SeqCst) {
                            continue;
                        }
                        let renewal = request.renewal.unwrap();
                        let applied = renewal.applied.unwrap().number;
                        state.acknowledged.fetch_max(applied, Ordering::SeqCst);
                        let is_behind = applied < state.revoked_at.load(Ordering::SeqCst);
                        let before = state.renewals.fetch_add(1, Ordering::SeqCst);
                        let is_ending = state.is_ending.load(Ordering::SeqCst);
                        let lease = if is_ending {
                            (before == 0).then(|| Duration::from_millis(3))
                        } else {
                            (!is_behind).then_some(Duration::from_mins(1))
                        };
                        let grant = Message::Grant(v1::Grant {
                            sequence: renewal.sequence,
                            lease: lease.map(|it| it.try_into().unwrap()),
                            session_id: "0".repeat(32),
                        });
                        let grant = v1::WatchResponse {
                            resume_token: String::new(),
                            ..response(told, grant)
                        };
                        let _ = sender.send(Ok(grant)).await;
                    }
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}
