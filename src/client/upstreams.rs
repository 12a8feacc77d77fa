//! Those who can be asked, and asking them: one after the other, until one answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rand::RngExt as _;
use tokio::time::{Instant, sleep, timeout};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

use super::answer::SERVED;
use super::config::Config;
use super::machine::Network;
use super::token::Token;
use super::upstream::{Upstream, is_lost};
use crate::proto::v1;
use crate::proto::v1::directory_service_client::DirectoryServiceClient;
use crate::rpc::reason::Reason;

/// All who can be asked.
#[derive(Debug)]
pub(super) struct Upstreams {
    all: Vec<Upstream>,
    /// The one that is followed, or answered last.
    current: AtomicUsize,
    token: Token,
    patience: Duration,
}

/// What one who was asked says.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) response: v1::VerifyResponse,
    /// It says itself that it may be out of date.
    pub(super) is_stale: bool,
}

/// The time for a question.
#[derive(Clone, Copy, Debug)]
pub(super) struct Time {
    /// When the answer must be there.
    pub(super) until: Instant,
    /// Whether there is something to say where nobody answers, for which time is to be
    /// left.
    pub(super) has_fallback: bool,
}

/// How long one may take to answer at most; and half of the time that is left, where
/// there is another to ask or something else to say.
const ATTEMPT: Duration = Duration::from_secs(1);
/// The same, where it may have to wait for the revision that is asked for: an authority
/// waits for a second, and then says that it is behind.
const ATTEMPT_AS_OF: Duration = Duration::from_millis(1500);
/// How long a list may take.
const LIST: Duration = Duration::from_secs(5);
/// How often one of them is asked the same question at most.
const ROUNDS: usize = 2;

impl Upstreams {
    pub(super) fn new(config: &Config, network: &Arc<dyn Network>) -> Self {
        let upstream = |address| Upstream::new(address, config, network);
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

    /// How long a question may take at most.
    pub(super) const fn patience(&self) -> Duration {
        self.patience
    }

    /// Asks a question until somebody answers it, or the time for it is over: each once,
    /// and once more where the connection was lost or there is another token. Those who
    /// were waited for in vain are asked last; and where whoever asks can do without, by
    /// one question now and then.
    ///
    /// # Errors
    ///
    /// The first status of one who could answer; else a refusal of who asks, if there was
    /// one; else the last status.
    pub(super) async fn verify(
        &self,
        message: &v1::VerifyRequest,
        time: Time,
    ) -> Result<Said, Status> {
        let most = if message.min_revision.is_some() {
            ATTEMPT_AS_OF
        } else {
            ATTEMPT
        };
        let mut last = Status::unavailable("nobody could be reached");
        // That others can't be reached is no reason to take it for less.
        let mut refusal = None;
        let first = self.current();
        let mut order = self.order(first);
        for round in 0..ROUNDS {
            if round > 0 {
                // A connection was lost, and the next attempt makes another.
                let pause = rand::rng().random_range(1..20);
                sleep(Duration::from_millis(pause)).await;
            }
            let (mut again, mut stale) = (Vec::new(), None);
            for (place, &number) in order.iter().enumerate() {
                let left = time.left();
                if left.is_zero() {
                    break;
                }
                let upstream = self.get(number);
                let can_do_without = time.has_fallback || stale.is_some();
                if upstream.is_unreachable() || can_do_without && !upstream.probe() {
                    continue;
                }
                let mut others = order[place + 1..].iter();
                let has_others = others.any(|other| !self.get(*other).is_unreachable());
                let part = if can_do_without || has_others { 2 } else { 1 };
                let (request, token) = self.request_as(message.clone());
                match upstream.ask(request, (left / part).min(most)).await {
                    // Another may know better.
                    Ok(response) if response.metadata().contains_key(SERVED) => {
                        stale.get_or_insert(response.into_inner());
                    }
                    Ok(response) => {
                        if number != first {
                            self.prefer(number);
                        }
                        return Ok(Said {
                            is_stale: false,
                            response: response.into_inner(),
                        });
                    }
                    Err(status) if status.code() == Code::Unauthenticated => {
                        self.token.doubt();
                        if self.token() != token {
                            again.push(number);
                        }
                        refusal = Some(status);
                    }
                    // Another may stand well with its authority.
                    Err(status) if is_passed_on(&status) => refusal = Some(status),
                    Err(status) if is_of_the_way(status.code()) || is_of_another_store(&status) => {
                        if is_lost(&status) {
                            again.push(number);
                        }
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
            if again.is_empty() {
                break;
            }
            order = again;
        }
        Err(refusal.unwrap_or(last))
    }

    /// In which order they are asked, by their numbers: this one, those after it, and at
    /// last those who were waited for in vain.
    fn order(&self, first: usize) -> Vec<usize> {
        let count = self.count();
        let numbers = (first..first + count).map(|number| number % count);
        let (mut order, doubtful): (Vec<_>, Vec<_>) =
            numbers.partition(|number| !self.get(*number).is_doubtful());
        order.extend(doubtful);
        order
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
}

impl Time {
    /// How much is left.
    fn left(self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }
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
    has_reason(status, Reason::Behind)
}

/// Whether one refused to answer because its store is another than that whose revision
/// was asked for.
pub(super) fn is_of_another_store(status: &Status) -> bool {
    has_reason(status, Reason::OtherStore)
}

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
    has_reason(status, Reason::RefusedByAuthority)
}

fn has_reason(status: &Status, reason: Reason) -> bool {
    let details = status.get_error_details();
    let info = details.error_info();
    info.is_some_and(|info| info.reason == reason.name())
}
