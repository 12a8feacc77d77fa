//! Those who can be asked, and asking them: one after the other, until one answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rand::RngExt as _;
use tokio::time::{sleep, timeout};
use tokio_stream::Stream;
use tonic::transport::Channel;
use tonic::{Code, Request, Status, Streaming};
use tonic_types::StatusExt as _;

use super::address::Address;
use super::answer::SERVED;
use super::backoff::Backoff;
use super::config::Config;
use super::connect::channel;
use super::machine::Network;
use super::token::Token;
use crate::proto::v1;
use crate::proto::v1::directory_service_client::DirectoryServiceClient;
use crate::proto::v1::verification_service_client::VerificationServiceClient;

/// All who can be asked.
#[derive(Debug)]
pub(super) struct Upstreams {
    all: Vec<Upstream>,
    /// The one that is followed, or answered last.
    current: AtomicUsize,
    token: Token,
    patience: Duration,
}

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
    /// While it can't be reached: until when nobody tries.
    down: Mutex<(Backoff, Option<Instant>)>,
}

/// What one who was asked says.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) response: v1::VerifyResponse,
    /// It says itself that it may be out of date.
    pub(super) is_stale: bool,
}

/// How long one may take to answer before the next is tried.
const ATTEMPT: Duration = Duration::from_secs(1);
/// The same, where it may have to wait for the revision that is asked for: an authority
/// waits for a second, and then says that it is behind.
const ATTEMPT_AS_OF: Duration = Duration::from_millis(1500);
/// How long a stream may take to begin.
const BEGIN: Duration = Duration::from_secs(5);
/// How long a list may take.
const LIST: Duration = Duration::from_secs(5);
/// How often all of them are tried for one question.
const ROUNDS: usize = 2;

impl Upstreams {
    pub(super) fn new(config: &Config, network: &Arc<dyn Network>) -> Self {
        let upstream = |address: &Address| {
            let connection = || channel(address, &config.tls, network);
            let count = config.connections.clamp(1, 16);
            Upstream {
                address: address.clone(),
                unary: std::iter::repeat_with(connection).take(count).collect(),
                turn: AtomicUsize::new(0),
                watch: connection(),
                passing: connection(),
                down: Mutex::default(),
            }
        };
        Self {
            all: config.addresses.iter().map(upstream).collect(),
            current: AtomicUsize::new(0),
            token: Token::new(config.token_file.clone()),
            patience: config.patience,
        }
    }

    /// One of them, by its number, counted around.
    pub(super) fn get(&self, number: usize) -> &Upstream {
        &self.all[number % self.all.len()]
    }

    /// How many there are.
    pub(super) const fn count(&self) -> usize {
        self.all.len()
    }

    /// The one that is followed, or answered last.
    pub(super) fn current(&self) -> usize {
        self.current.load(Ordering::Relaxed)
    }

    /// From now on this one is asked first.
    pub(super) fn prefer(&self, number: usize) {
        self.current
            .store(number % self.all.len(), Ordering::Relaxed);
    }

    /// A request with the token in it.
    pub(super) fn request<T>(&self, message: T) -> Request<T> {
        self.request_as(message).0
    }

    /// The same, and which token it is.
    pub(super) fn request_as<T>(&self, message: T) -> (Request<T>, u64) {
        let mut request = Request::new(message);
        let (value, token) = self.token.authorization();
        if let Some(value) = value {
            request.metadata_mut().insert("authorization", value);
        }
        (request, token)
    }

    /// Which token requests have now.
    pub(super) fn token(&self) -> u64 {
        self.token.authorization().1
    }

    /// The caller was refused: perhaps there is another token by now.
    pub(super) fn doubt_token(&self) {
        self.token.doubt();
    }

    /// Asks a question until somebody answers it, or `patience` is over.
    ///
    /// # Errors
    ///
    /// The first status of one who could answer; else a refusal of who asks, if there was
    /// one; else the last status.
    pub(super) async fn verify(&self, message: &v1::VerifyRequest) -> Result<Said, Status> {
        let begin = Instant::now();
        let most = if message.min_revision.is_some() {
            ATTEMPT_AS_OF
        } else {
            ATTEMPT
        };
        let mut last = Status::unavailable("nobody could be reached");
        // That others can't be reached is no reason to take it for less.
        let mut refusal = None;
        for round in 0..ROUNDS {
            let (mut failed_otherwise, mut stale) = (false, None);
            for offset in 0..self.all.len() {
                let left = self.patience.saturating_sub(begin.elapsed());
                if left.is_zero() {
                    return Err(refusal.unwrap_or(last));
                }
                let number = self.current() + offset;
                let upstream = self.get(number);
                if upstream.is_down() {
                    continue;
                }
                let outcome = self.attempt(upstream, message, left.min(most)).await;
                upstream.note(&outcome);
                match outcome {
                    // Another may know better.
                    Ok(response) if response.metadata().contains_key(SERVED) => {
                        stale.get_or_insert(response.into_inner());
                    }
                    Ok(response) => {
                        if offset > 0 {
                            self.prefer(number);
                        }
                        return Ok(Said {
                            is_stale: false,
                            response: response.into_inner(),
                        });
                    }
                    Err(status) if status.code() == Code::Unauthenticated => {
                        self.token.doubt();
                        failed_otherwise = true;
                        refusal = Some(status);
                    }
                    // Another may stand well with its authority.
                    Err(status) if is_passed_on(&status) => {
                        failed_otherwise = true;
                        refusal = Some(status);
                    }
                    Err(status) if is_of_the_way(status.code()) || is_of_another_store(&status) => {
                        failed_otherwise |= !is_behind(&status);
                        last = status;
                    }
                    Err(status) => return Err(status),
                }
            }
            if let Some(response) = stale.filter(|_| refusal.is_none()) {
                return Ok(Said {
                    is_stale: true,
                    response,
                });
            }
            // It has been waited for already.
            if is_behind(&last) && !failed_otherwise {
                return Err(last);
            }
            if round + 1 < ROUNDS {
                // A connection was lost, and the next attempt makes another.
                let pause = rand::rng().random_range(1..20);
                sleep(Duration::from_millis(pause)).await;
            }
        }
        Err(refusal.unwrap_or(last))
    }

    /// Lists profiles, by one of them.
    ///
    /// # Errors
    ///
    /// Its status; `DEADLINE_EXCEEDED` where it does not answer in five seconds.
    pub(super) async fn list_profiles(
        &self,
        upstream: &Upstream,
        message: v1::ListProfilesRequest,
    ) -> Result<v1::ListProfilesResponse, Status> {
        let mut client = DirectoryServiceClient::new(upstream.unary());
        let late = |_| Status::deadline_exceeded("no list came in time");
        let list = client.list_profiles(self.request(message));
        let response = timeout(LIST, list).await.map_err(late)?;
        Ok(response?.into_inner())
    }

    async fn attempt(
        &self,
        upstream: &Upstream,
        message: &v1::VerifyRequest,
        patience: Duration,
    ) -> Result<tonic::Response<v1::VerifyResponse>, Status> {
        let mut request = self.request(message.clone());
        request.set_timeout(patience);
        let mut client = VerificationServiceClient::new(upstream.unary());
        let late = |_| Err(Status::deadline_exceeded("no answer came in time"));
        let answer = timeout(patience, client.verify(request)).await;
        answer.unwrap_or_else(late)
    }
}

impl Upstream {
    /// One of the connections for questions, in turn.
    pub(super) fn unary(&self) -> Channel {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        self.unary[turn % self.unary.len()].clone()
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

    /// Whether it was unreachable a moment ago: to ask it again at once would be one
    /// of many attempts to connect when it comes back.
    fn is_down(&self) -> bool {
        let (_, until) = &*self.down.lock();
        until.is_some_and(|until| Instant::now() < until)
    }

    fn note<T>(&self, outcome: &Result<T, Status>) {
        let mut down = self.down.lock();
        let (backoff, until) = &mut *down;
        match outcome {
            Err(status) if status.code() == Code::Unavailable && is_unreachable(status) => {
                *until = Some(Instant::now() + backoff.next());
            }
            Err(_) => (),
            Ok(_) => {
                backoff.reset();
                *until = None;
            }
        }
    }

    /// It was reached in another way: it can be asked, however long it could not.
    pub(super) fn is_back(&self) {
        self.note(&Ok(()));
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

/// Whether no connection could be made: nobody answered.
fn is_unreachable(status: &Status) -> bool {
    status.details().is_empty() && std::error::Error::source(status).is_some()
}

/// Whether it may be another's answer that counts: this one did not come, or is that of
/// one who can't answer.
pub(super) const fn is_of_the_way(code: Code) -> bool {
    matches!(
        code,
        Code::Unavailable
            | Code::DeadlineExceeded
            | Code::ResourceExhausted
            | Code::Cancelled
            | Code::Unknown
            | Code::Internal
    )
}

/// Whether one could not answer because it has not reached the revision that was asked
/// for.
pub(super) fn is_behind(status: &Status) -> bool {
    has_reason(status, "BEHIND")
}

/// Whether one refused to answer because its store is another than that whose revision
/// was asked for.
pub(super) fn is_of_another_store(status: &Status) -> bool {
    has_reason(status, "OTHER_STORE")
}

/// The reason for which one can't answer whom its authority refuses.
pub(super) const REFUSED: &str = "REFUSED_BY_AUTHORITY";

/// Whether it is the one who asks that is refused, or one who asks on its behalf: an
/// authority was there, and answers no questions from here.
pub(crate) fn is_refusal(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Unauthenticated | Code::PermissionDenied
    ) || is_passed_on(status)
}

/// Whether the authority refused one who asked on behalf of this one.
fn is_passed_on(status: &Status) -> bool {
    has_reason(status, REFUSED)
}

fn has_reason(status: &Status, reason: &str) -> bool {
    let details = status.get_error_details();
    let info = details.error_info();
    info.is_some_and(|info| info.reason == reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Machine;

    #[tokio::test]
    async fn one_that_is_back_is_asked_at_once_however_long_it_was_gone() {
        let config = Config::new(["http://localhost:1".parse().unwrap()]);
        let upstreams = Upstreams::new(&config, &Machine::default().network);
        let upstream = upstreams.get(0);
        let mut refused = Status::unavailable("no connection");
        refused.set_source(Arc::new(std::io::Error::other("refused")));
        let refused = Err::<(), _>(refused);
        for _ in 0..100 {
            upstream.note(&refused);
        }
        assert!(upstream.down.lock().1.is_some());
        upstream.is_back();
        assert!(!upstream.is_down());
        let first = Duration::from_millis(210);
        assert!(upstream.down.lock().0.next() <= first, "it begins anew");
    }
}
