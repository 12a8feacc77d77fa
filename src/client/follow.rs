//! Following an authority: one stream of changes after the other, each taken up where
//! the one before ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status, Streaming};

use super::backoff::{Backoff, jittered};
use super::counts::Counts;
use super::facts;
use super::headers::Headers;
use super::upstream::Upstream;
use super::upstreams::{Upstreams, is_refusal};
use super::{Covered, Kept};
use crate::domain::cache::{At, Renewal, USES_AT_ONCE, Use};
use crate::domain::lease::{BootTime, Sequence};
use crate::domain::revision::Revision;
use crate::proto::v1;
use crate::proto::v1::watch_response::Message;
use crate::rpc::convert;

/// One who is told what a follower is told, and answers for others that follow it.
pub trait Observer: std::fmt::Debug + Send + Sync + 'static {
    /// A message that was applied here, before it is acknowledged. Whether it `begins`:
    /// nothing leads to it from the message before.
    /// `coverage` is of whose changes the stream tells; `None`: its server does not say.
    fn applied(
        &self,
        message: &Arc<v1::WatchResponse>,
        begins: bool,
        coverage: Option<&v1::Coverage>,
    );

    /// It is told nothing more, for it may not be; nor may those that follow.
    fn refused(&self);

    /// What those that follow have applied, too, or have outlived. `applied` is what
    /// was applied here.
    fn acknowledged(&self, applied: At, now: BootTime) -> Revision;
}

/// How a follower is doing.
#[derive(Debug, Default)]
pub(super) struct Following {
    is_connected: AtomicBool,
    /// It let its caller follow when it was tried last, if only for a moment: who may ask
    /// about more than it may be told of gets no lease.
    is_there: AtomicBool,
    /// By the time since the start of the machine, in milliseconds; 0: never.
    heard_at: AtomicU64,
    upstream: AtomicUsize,
}

impl Following {
    pub(super) fn is_connected(&self) -> bool {
        self.is_connected.load(Ordering::Relaxed)
    }

    /// Whether the authority can be asked, as far as is known.
    pub(super) fn is_there(&self) -> bool {
        self.is_there.load(Ordering::Relaxed)
    }

    /// How long ago the authority said something; `None`: it never did.
    pub(super) fn silence(&self, now: BootTime) -> Option<Duration> {
        let heard_at = self.heard_at.load(Ordering::Relaxed);
        let heard_at = BootTime::new(Duration::from_millis(heard_at));
        (heard_at > BootTime::default()).then(|| now.since(heard_at))
    }

    fn heard(&self, now: BootTime) {
        let millis = u64::try_from(now.since_start().as_millis()).unwrap_or(u64::MAX);
        self.heard_at.store(millis, Ordering::Relaxed);
    }
}

/// Follows for a client, as long as it runs.
#[derive(Debug)]
pub struct Follower {
    pub(super) kept: Arc<Kept>,
    pub(super) upstreams: Arc<Upstreams>,
    pub(super) headers: Arc<Headers>,
    pub(super) following: Arc<Following>,
    pub(super) counts: Arc<Counts>,
    pub(super) renew: Arc<Notify>,
    pub(super) observer: Option<Arc<dyn Observer>>,
}

/// Where a stream is to be taken up.
#[derive(Debug, Default)]
struct Place {
    resume_token: String,
    session_id: String,
}

/// How long an authority may be silent: it is asked to say something.
const HEARTBEAT: Duration = Duration::from_secs(3);
/// After how long a silence the stream is taken for dead: nothing comes, or no renewal
/// is answered. What is sent may be lost although what comes arrives.
const SILENCE: Duration = Duration::from_secs(10);
/// The longest lease that is made use of, whatever is granted.
const LONGEST_LEASE: Duration = Duration::from_mins(10);
/// How often a lease is asked for while there is none.
const NO_LEASE: Duration = Duration::from_secs(1);
/// After how long without one another address is tried, if there is another: this one
/// is not told of changes itself, or can't do what it should. No lease is refused for
/// that long where all is well.
const LEASELESS: Duration = Duration::from_secs(10);
/// How often it is asked for at most.
const LEAST_PERIOD: Duration = Duration::from_millis(20);
/// How soon there is another renewal if more uses wait than one can report.
const MORE_USES: Duration = Duration::from_millis(100);
/// How long until profiles are listed again if they could not be.
const LIST_AGAIN: Duration = Duration::from_secs(10);
/// How many messages wait to be sent: renewals, of which the latest counts.
const OUTGOING: usize = 16;

impl Follower {
    /// Follows until `stopping`. Whatever goes wrong, it tries again: at the next
    /// address, after a while.
    pub async fn run(self, stopping: CancellationToken) {
        let mut place = Place::default();
        let mut backoff = Backoff::default();
        // The first time too: many may be started at once.
        let mut wait = backoff.first();
        let mut number = self.upstreams.current();
        loop {
            let turn = async {
                sleep(wait).await;
                self.follow(number, &mut place, &mut backoff).await
            };
            let Some(end) = stopping.run_until_cancelled(turn).await else {
                return;
            };
            self.kept.cache.lock().disconnected();
            let was_connected = self.following.is_connected.swap(false, Ordering::Relaxed);
            // Who may ask about more than it is told of follows for a moment at a time.
            let is_there = was_connected && end.code() == Code::PermissionDenied;
            self.following.is_there.store(is_there, Ordering::Relaxed);
            let address = &self.upstreams.get(number).address;
            let (code, error) = (end.code(), end.message());
            if was_connected {
                tracing::warn!(%address, ?code, error, "no longer follows");
            } else {
                tracing::debug!(%address, ?code, error, "can't follow");
            }
            if is_refusal(&end) {
                // It may not be told any more what has changed.
                tracing::warn!(%address, ?code, error, "refused by the authority");
                self.kept.cache.lock().refused();
                self.upstreams.doubt_token();
                place = Place::default();
                if let Some(observer) = &self.observer
                    && !is_there
                {
                    observer.refused();
                }
            } else if code == Code::InvalidArgument {
                // A token that it can't read.
                place = Place::default();
            }
            number += 1;
            wait = backoff.next();
        }
    }

    /// One stream, until it ends.
    async fn follow(&self, number: usize, place: &mut Place, backoff: &mut Backoff) -> Status {
        let upstream = self.upstreams.get(number);
        let (outgoing, requests) = mpsc::channel(OUTGOING);
        let first = v1::WatchRequest {
            resume_token: place.resume_token.clone(),
            snapshot: false,
            tenants: Vec::new(),
            heartbeat: Some(convert::short_duration(HEARTBEAT)),
            session_id: place.session_id.clone(),
            // Not before it is known which store this is.
            renewal: None,
        };
        // There is room for one.
        let _ = outgoing.try_send(first);
        let requests = ReceiverStream::new(requests);
        let (request, token) = self.upstreams.request_as(requests);
        let messages = match upstream.watch(request).await {
            Ok(messages) => messages,
            Err(status) => return status,
        };
        let session = Session {
            follower: self,
            upstream,
            number,
            place,
            backoff,
            outgoing,
            token,
            period: NO_LEASE,
            renewed_at: Instant::now(),
            renew_at: None,
            lease_ends_at: None,
            unanswered: None,
            has_begun: false,
        };
        session.run(messages).await
    }
}

/// One stream.
struct Session<'a> {
    follower: &'a Follower,
    upstream: &'a Upstream,
    number: usize,
    place: &'a mut Place,
    backoff: &'a mut Backoff,
    outgoing: mpsc::Sender<v1::WatchRequest>,
    /// Which token it was begun with.
    token: u64,
    /// How long after a renewal the next one is due.
    period: Duration,
    /// When the last one was sent.
    renewed_at: Instant,
    /// When the next one is due; `None`: not before the first message.
    renew_at: Option<Instant>,
    /// When the lease ends that this stream had last; if none, when it began.
    lease_ends_at: Option<Instant>,
    /// Since when a renewal is not answered.
    unanswered: Option<Instant>,
    has_begun: bool,
}

impl Session<'_> {
    async fn run(mut self, mut messages: Streaming<v1::WatchResponse>) -> Status {
        let mut list_at = Some(Instant::now());
        let mut listing = None;
        let mut silent_until = Instant::now() + SILENCE;
        let follower = self.follower;
        loop {
            // Who asks and who is told are to be the same.
            if follower.upstreams.token() != self.token {
                return Status::unavailable("there is another token");
            }
            if self.has_begun && listing.is_none() && list_at.is_some_and(|at| at <= Instant::now())
            {
                list_at = None;
                let list = follower.headers.list(&follower.upstreams, self.upstream);
                listing = Some(Box::pin(list));
            }
            // However many messages there are to take.
            if self.renew_at.is_some_and(|at| at <= Instant::now()) {
                self.renew();
            }
            tokio::select! {
                biased;
                message = messages.message() => {
                    let message = match message {
                        Ok(Some(message)) => message,
                        Ok(None) => return Status::unavailable("the stream ended"),
                        Err(status) => return status,
                    };
                    self.upstream.is_back();
                    // To be answered is not to be told.
                    if !matches!(message.message, Some(Message::Grant(_))) {
                        silent_until = Instant::now() + SILENCE;
                    }
                    follower.following.heard(follower.kept.machine.now().boot);
                    match self.take(message) {
                        Ok(Taken::Begun) => list_at = Some(Instant::now()),
                        Ok(Taken::Applied) => (),
                        Err(status) => return status,
                    }
                }
                () = at(self.renew_at) => self.renew(),
                () = follower.renew.notified(), if self.has_begun => self.renew(),
                () = at(Some(silent_until)) => {
                    return Status::deadline_exceeded("the authority is silent");
                }
                () = at(self.unanswered.map(|since| since + SILENCE)) => {
                    return Status::deadline_exceeded("the authority answers no renewal");
                }
                () = at(self.leaves_at()) => {
                    return Status::unavailable("no lease is granted here");
                }
                () = at(list_at), if self.has_begun && listing.is_none() => (),
                listed = done(&mut listing) => {
                    listing = None;
                    if let Err(status) = listed {
                        let (code, error) = (status.code(), status.message());
                        tracing::warn!(?code, error, "can't list the profiles");
                        list_at = Some(Instant::now() + jittered(LIST_AGAIN));
                    }
                }
            }
        }
    }

    /// When this address is left for another one, unless there is a lease before; `None`:
    /// there is no other.
    fn leaves_at(&self) -> Option<Instant> {
        let since = self.lease_ends_at?;
        let has_others = self.follower.upstreams.count() > 1;
        has_others.then_some(since + LEASELESS)
    }

    /// Applies a message, tells it on, and acknowledges it if somebody waits for that.
    fn take(&mut self, message: v1::WatchResponse) -> Result<Taken, Status> {
        let unreadable = || Status::data_loss("the authority said something unreadable");
        let reached = message.revision.as_ref().and_then(facts::at);
        let reached = reached.ok_or_else(unreadable)?;
        if let Some(Message::Grant(grant)) = &message.message {
            self.granted(grant);
            return Ok(Taken::Applied);
        }
        let begins = self.apply(&message, reached);
        if begins {
            self.follower.counts.resets.add();
        }
        if !message.resume_token.is_empty() {
            self.place.resume_token.clone_from(&message.resume_token);
        }
        let fenced = message.fenced;
        if let Some(observer) = &self.follower.observer {
            let coverage = self.follower.kept.covered.lock().coverage.clone();
            observer.applied(&Arc::new(message), begins, coverage.as_ref());
        }
        let is_first = !self.has_begun;
        if is_first {
            self.has_begun = true;
            self.lease_ends_at = Some(Instant::now());
            let (follower, number) = (self.follower, self.number);
            follower
                .following
                .is_connected
                .store(true, Ordering::Relaxed);
            follower.following.is_there.store(true, Ordering::Relaxed);
            follower.following.upstream.store(number, Ordering::Relaxed);
            follower.upstreams.prefer(number);
            follower.counts.sessions.add();
            tracing::info!(address = %self.upstream.address, revision = %reached.revision, "follows");
        }
        if fenced || is_first || begins {
            self.renew();
        }
        Ok(if begins { Taken::Begun } else { Taken::Applied })
    }

    /// Applies a message to the cache. Returns whether everything was dropped: nothing
    /// is known of what was before.
    fn apply(&self, message: &v1::WatchResponse, reached: At) -> bool {
        let kept = &self.follower.kept;
        let touched = match &message.message {
            Some(Message::Commit(commit)) => {
                self.follower.counts.commits.add();
                for event in &commit.events {
                    if let Some(v1::event::Subject::Profile(event)) = &event.subject {
                        self.follower.headers.changed(event);
                    }
                }
                facts::touched(&kept.hashes, commit)
            }
            // A snapshot is not asked for: what is denied is no news.
            Some(Message::Bookmark(v1::Bookmark {}) | Message::SnapshotPart(_)) => Some(Vec::new()),
            // Of a kind that this version does not know, or continuity is lost.
            Some(Message::Reset(_) | Message::Grant(_)) | None => None,
        };
        // Before what is kept is dropped for it: see `Kept::covered`.
        let covers_others = self.covers_others(message);
        // Who asked to be told from now on is not told of what was before.
        let leads_here = self.has_begun || !self.place.resume_token.is_empty();
        let touched = touched.filter(|_| leads_here && !covers_others);
        let mut cache = kept.cache.lock();
        let follows = cache.applied().map(|applied| applied.store);
        match touched {
            Some(touched) if follows == Some(reached.store) => {
                cache.apply(reached.revision, touched);
                false
            }
            _ => {
                cache.begin(reached);
                true
            }
        }
    }

    /// Notes of whose changes the stream tells, as a message has it. Returns whether
    /// that is not as it was: this one or the one before it may have left out what the
    /// other tells.
    fn covers_others(&self, message: &v1::WatchResponse) -> bool {
        if self.has_begun && message.coverage.is_none() {
            return false;
        }
        let covers = Covered {
            token: self.token,
            coverage: message.coverage.clone(),
        };
        let mut covered = self.follower.kept.covered.lock();
        let was = std::mem::replace(&mut *covered, covers);
        *covered != was
    }

    fn granted(&mut self, grant: &v1::Grant) {
        let v1::Grant {
            sequence,
            lease,
            session_id,
        } = grant;
        let lease = lease.as_ref().and_then(facts::duration);
        let lease = lease.map(|lease| lease.min(LONGEST_LEASE));
        let (is_awaited, waiting) = {
            let mut cache = self.follower.kept.cache.lock();
            let is_awaited = cache.granted(Sequence(*sequence), lease);
            (is_awaited, cache.uses().len())
        };
        self.unanswered = None;
        self.place.session_id.clone_from(session_id);
        if is_awaited {
            // One that is about to end is not asked about without a pause.
            self.period = lease.map_or(NO_LEASE, |lease| (lease / 3).max(LEAST_PERIOD));
            self.renew_at = Some(self.renewed_at + jittered(self.period));
        }
        if is_awaited && let Some(lease) = lease {
            self.lease_ends_at = Some(self.renewed_at + lease);
            self.backoff.reset();
        }
        if waiting >= USES_AT_ONCE {
            let soon = Instant::now() + MORE_USES;
            self.renew_at = self.renew_at.map(|at| at.min(soon));
        }
    }

    /// Asks for a longer lease. The moment of sending is noted before the message is
    /// handed over.
    fn renew(&mut self) {
        let now = Instant::now();
        self.renewed_at = now;
        self.renew_at = Some(now + jittered(self.period));
        self.unanswered.get_or_insert(now);
        let Ok(room) = self.outgoing.try_reserve() else {
            // The authority does not read: it will not grant either.
            return;
        };
        let now = self.follower.kept.machine.now();
        let Some(renewal) = self.follower.kept.cache.lock().renew(now) else {
            return;
        };
        let Renewal {
            sequence: Sequence(sequence),
            applied,
            uses,
        } = renewal;
        let acknowledged = self.follower.observer.as_ref();
        let acknowledged = acknowledged.map(|it| it.acknowledged(applied, now.boot));
        let wire = |revision| convert::revision(applied.store, revision);
        room.send(v1::WatchRequest {
            renewal: Some(v1::Renewal {
                sequence,
                applied: Some(wire(applied.revision)),
                acknowledged: acknowledged.map(wire),
                uses: uses.into_iter().map(wire_use).collect(),
            }),
            ..v1::WatchRequest::default()
        });
    }
}

/// What became of a message.
enum Taken {
    /// It was applied.
    Applied,
    /// Nothing is known of what was before it.
    Begun,
}

fn wire_use(used: Use) -> v1::Use {
    let Use {
        credential,
        generation,
        used_at,
    } = used;
    v1::Use {
        credential_id: credential.to_string(),
        generation: generation.number(),
        used_at: Some(convert::timestamp(used_at)),
    }
}

/// At a moment; never, if there is none.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// When a future is done; never, if there is none.
async fn done<F: Future + Unpin>(future: &mut Option<F>) -> F::Output {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}
