//! One who can be asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, timeout};
use tokio_stream::Stream;
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status, Streaming};

use super::address::Address;
use super::config::Config;
use super::connect::channel;
use super::machine::Network;
use super::standing::Standing;
use super::upstreams::is_of_the_way;
use crate::proto::v1;
use crate::proto::v1::verification_service_client::VerificationServiceClient;
use crate::spans;

/// One who can be asked.
#[derive(Debug)]
pub(super) struct Upstream {
    pub(super) address: Address,
    unary: Vec<Channel>,
    turn: AtomicUsize,
    watch: Channel,
    /// For the streams of others: those who do not read theirs hold up nobody but each
    /// other.
    passing: Channel,
    standing: Mutex<Standing>,
}

/// The RPC by which questions are asked.
const VERIFY: &str = "credd.v1.VerificationService/Verify";
/// How long a stream may take to begin.
const BEGIN: Duration = Duration::from_secs(5);
/// After how long a wait it says something of one who was asked that there is no answer.
const NOTABLE: Duration = Duration::from_millis(250);

impl Upstream {
    pub(super) fn new(address: &Address, config: &Config, network: &Arc<dyn Network>) -> Self {
        let connection = || channel(address, &config.tls, network);
        let count = config.connections.clamp(1, 16);
        Self {
            address: address.clone(),
            unary: std::iter::repeat_with(connection).take(count).collect(),
            turn: AtomicUsize::new(0),
            watch: connection(),
            passing: connection(),
            standing: Mutex::default(),
        }
    }

    /// One of the connections for questions, in turn.
    pub(super) fn unary(&self) -> Channel {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        self.unary[turn % self.unary.len()].clone()
    }

    /// Asks a question, and tells for how long the answer is waited for: whoever is asked
    /// is to give up before. What comes of it is noted, also if this is dropped. Where it
    /// is asked on behalf of a call that is traced, it is a span of that trace.
    ///
    /// # Errors
    ///
    /// The status that came; `DEADLINE_EXCEEDED` where none did.
    pub(super) async fn ask(
        &self,
        mut request: Request<v1::VerifyRequest>,
        patience: Duration,
    ) -> Result<Response<v1::VerifyResponse>, Status> {
        request.set_timeout(patience);
        let span = spans::ask(VERIFY, request.metadata_mut());
        let outcome = self.ask_within(request, patience).await;
        if let Some(span) = span {
            span.asked(outcome.as_ref().err().map_or(Code::Ok, Status::code));
        }
        outcome
    }

    async fn ask_within(
        &self,
        request: Request<v1::VerifyRequest>,
        patience: Duration,
    ) -> Result<Response<v1::VerifyResponse>, Status> {
        let mut client = VerificationServiceClient::new(self.unary());
        let mut waiting = Waiting {
            upstream: self,
            since: Instant::now(),
            is_over: false,
        };
        let late = || Err(Status::deadline_exceeded("no answer came in time"));
        let Ok(outcome) = timeout(patience, client.verify(request)).await else {
            return late();
        };
        // The connection waits for no longer either.
        if outcome.is_err() && waiting.since.elapsed() >= patience {
            return late();
        }
        waiting.is_over = true;
        self.note(&outcome);
        outcome
    }

    /// Begins a stream of changes, over the connection for following.
    pub(super) async fn watch(
        &self,
        request: Request<impl Stream<Item = v1::WatchRequest> + Send + 'static>,
    ) -> Result<Streaming<v1::WatchResponse>, Status> {
        watch(&self.watch, request).await
    }

    /// Begins a stream of changes for somebody else, over a connection for those.
    pub(super) async fn watch_for_others(
        &self,
        request: Request<impl Stream<Item = v1::WatchRequest> + Send + 'static>,
    ) -> Result<Streaming<v1::WatchResponse>, Status> {
        watch(&self.passing, request).await
    }

    /// Whether it was unreachable a moment ago.
    pub(super) fn is_unreachable(&self) -> bool {
        self.standing.lock().is_unreachable(Instant::now())
    }

    /// Whether it was waited for in vain, and has said nothing since.
    pub(super) fn is_doubtful(&self) -> bool {
        self.standing.lock().is_doubtful()
    }

    /// Whether one who could do without it is to ask it.
    pub(super) fn probe(&self) -> bool {
        self.standing.lock().probe(Instant::now())
    }

    /// It said something in another way: it can be asked, however long it could not.
    pub(super) fn is_back(&self) {
        self.standing.lock().note_answer();
    }

    fn note<T>(&self, outcome: &Result<T, Status>) {
        let mut standing = self.standing.lock();
        match outcome {
            Err(status) if is_no_connection(status) => standing.note_unreachable(Instant::now()),
            // Of the connection, or of somebody on the way.
            Err(status) if is_of_the_way(status.code()) && status.details().is_empty() => (),
            Ok(_) | Err(_) => standing.note_answer(),
        }
    }
}

/// A question that is not answered yet. Where nobody waits for the answer any more, the
/// next question is to go elsewhere: whoever asks may have less patience than it takes to
/// go on to another from here.
struct Waiting<'a> {
    upstream: &'a Upstream,
    since: Instant,
    is_over: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if !self.is_over && self.since.elapsed() >= NOTABLE {
            self.upstream.standing.lock().note_silence(Instant::now());
        }
    }
}

async fn watch(
    connection: &Channel,
    request: Request<impl Stream<Item = v1::WatchRequest> + Send + 'static>,
) -> Result<Streaming<v1::WatchResponse>, Status> {
    let mut client = VerificationServiceClient::new(connection.clone());
    let late = |_| Status::deadline_exceeded("the stream did not begin in time");
    let response = timeout(BEGIN, client.watch(request)).await.map_err(late)?;
    Ok(response?.into_inner())
}

/// Whether the connection was lost or could not be made, or whoever is on the way says so:
/// the same question may be answered over another connection. An authority, and a sidecar,
/// gives a reason with each of its statuses.
pub(super) fn is_lost(status: &Status) -> bool {
    let is_own = std::error::Error::source(status).is_some();
    status.details().is_empty() && (is_own || status.code() == Code::Unavailable)
}

/// Whether no connection could be made: nobody answered.
fn is_no_connection(status: &Status) -> bool {
    let is_own = std::error::Error::source(status).is_some();
    status.details().is_empty() && is_own && status.code() == Code::Unavailable
}
