//! One stream that is passed on.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status, Streaming};

use super::session::Leases;
use super::{Next, Relay, at};
use crate::client::{is_refusal, jittered, refused};
use crate::domain::cache::At;
use crate::domain::revision::Revision;
use crate::domain::rights::Tenants;
use crate::proto::v1;
use crate::proto::v1::event::Subject;
use crate::proto::v1::watch_response::Message;
use crate::rpc::answers::{Answers, Source as Answering, answers};
use crate::rpc::convert;
use crate::rpc::status::{self, refined};
use crate::rpc::watch::{later, next_request, parse_watch};

type Item = Result<v1::WatchResponse, Status>;

struct Session {
    relay: Arc<Relay>,
    source: Source,
    leases: Leases,
    is_opened: bool,
    /// What was not answered yet.
    renewal: Option<v1::Renewal>,
    /// `None`: the client has closed its side.
    requests: Option<Streaming<v1::WatchRequest>>,
    stopping: CancellationToken,
}

/// Where messages come from, and up to where they were told.
struct Source {
    relay: Arc<Relay>,
    bell: watch::Receiver<()>,
    way: Way,
    request: v1::WatchRequest,
    tenants: Tenants,
    heartbeat: Duration,
    next_heartbeat: Instant,
    /// Up to where messages were told or filtered out; `None`: nowhere yet.
    position: Option<At>,
    /// How far it was where it has no position now.
    left_at: Option<At>,
    /// Up to where it knows that it has everything.
    told: Revision,
    /// Where it could be taken up.
    token: String,
    /// Of whose changes it was last said that it tells.
    coverage: Option<v1::Coverage>,
    /// What is to be told next, of the ring.
    taken: VecDeque<Arc<v1::WatchResponse>>,
}

/// A stream of the authority's, with the place that it takes.
struct Upstream {
    messages: Streaming<v1::WatchResponse>,
    _place: OwnedSemaphorePermit,
}

/// How long one is to wait who finds no place for such a stream.
const NO_PLACE: Duration = Duration::from_secs(1);

enum Way {
    /// A stream of the authority's is to be begun.
    Begin,
    /// It is being begun.
    Beginning(Pin<Box<dyn Future<Output = Result<Box<Upstream>, Status>> + Send>>),
    /// Such a stream, until it reaches the ring.
    Upstream(Box<Upstream>),
    /// The ring of this epoch.
    Ring(u64),
    /// The ring, of which the first thing is to be said: where the stream begins.
    Open(u64),
}

/// The messages that were asked for first like this.
///
/// # Errors
///
/// `INVALID_ARGUMENT`, naming every field that is not what it should be.
pub fn messages(
    relay: Arc<Relay>,
    first: v1::WatchRequest,
    requests: Streaming<v1::WatchRequest>,
    stopping: CancellationToken,
) -> Result<Answers<v1::WatchResponse>, Status> {
    let opening = parse_watch(first.clone(), &Tenants::All)?;
    let v1::WatchRequest {
        session_id,
        renewal,
        ..
    } = &first;
    let (leases, renewal) = (Leases::new(session_id), renewal.clone());
    let begins = relay.begin(&first.resume_token);
    // What is denied now is the authority's to say.
    let is_new = first.resume_token.is_empty() && first.snapshot;
    let (way, position, token) = match begins {
        Some((epoch, at, token)) if !is_new => (Way::Open(epoch), Some(at), token),
        _ => (Way::Begin, None, String::new()),
    };
    let heartbeat = opening.watch.heartbeat;
    let source = Source {
        bell: relay.bell.subscribe(),
        relay: Arc::clone(&relay),
        way,
        tenants: opening.watch.tenants,
        heartbeat,
        next_heartbeat: Instant::now() + heartbeat,
        told: position.map_or(Revision::ZERO, |at| at.revision),
        position,
        left_at: None,
        token,
        request: first,
        coverage: None,
        taken: VecDeque::new(),
    };
    Ok(answers(Session {
        relay,
        source,
        leases,
        is_opened: false,
        renewal,
        requests: Some(requests),
        stopping,
    }))
}

impl Answering for Session {
    type Item = v1::WatchResponse;

    async fn next(&mut self) -> Option<Item> {
        Some(self.message().await)
    }
}

impl Session {
    async fn message(&mut self) -> Item {
        loop {
            if self.is_opened
                && let Some(renewal) = self.renewal.take()
            {
                return self.grant(renewal);
            }
            tokio::select! {
                biased;
                () = self.stopping.cancelled() => return Err(self.source.stopped()),
                request = next_request(&mut self.requests), if self.renewal.is_none() => {
                    match request {
                        Ok(Some(request)) => self.renewal = Some(later(request)?),
                        Ok(None) => self.requests = None,
                        Err(status) => return Err(refined(status)),
                    }
                }
                message = self.source.next() => {
                    let message = message?;
                    self.is_opened = true;
                    self.source.next_heartbeat = Instant::now() + jittered(self.source.heartbeat);
                    return Ok(message);
                }
            }
        }
    }

    fn grant(&mut self, renewal: v1::Renewal) -> Item {
        let epoch = self.source.epoch();
        let grant = self.leases.renew(&self.relay, epoch, renewal)?;
        Ok(v1::WatchResponse {
            revision: self.source.reached().map(wire),
            resume_token: String::new(),
            fenced: false,
            coverage: None,
            message: Some(Message::Grant(grant)),
        })
    }
}

impl Source {
    /// The next message; waits until there is one. Dropping the future loses nothing.
    async fn next(&mut self) -> Item {
        loop {
            match &mut self.way {
                Way::Begin => {
                    let request = v1::WatchRequest {
                        session_id: String::new(),
                        renewal: None,
                        ..self.request.clone()
                    };
                    let client = self.relay.client().ok_or_else(status::starting)?.clone();
                    let place = Arc::clone(&self.relay.places).try_acquire_owned();
                    let place = place.map_err(|_| status::overloaded(NO_PLACE))?;
                    let begin = async move {
                        let messages = client.watch(request).await?;
                        Ok(Box::new(Upstream {
                            messages,
                            _place: place,
                        }))
                    };
                    self.way = Way::Beginning(Box::pin(begin));
                }
                Way::Beginning(begin) => {
                    let upstream = begin.await.map_err(not_of_the_caller)?;
                    self.way = Way::Upstream(upstream);
                }
                Way::Upstream(upstream) => {
                    if let Some(epoch) = self.position.and_then(|at| self.relay.covers(at)) {
                        self.enter(epoch);
                        continue;
                    }
                    let message = upstream
                        .messages
                        .message()
                        .await
                        .map_err(not_of_the_caller)?;
                    let message = message.ok_or_else(|| self.stopped())?;
                    let reached = at(&message).ok_or_else(|| self.stopped())?;
                    self.told = reached.revision;
                    if message.coverage.is_some() {
                        self.coverage.clone_from(&message.coverage);
                    }
                    self.left_at = Some(reached);
                    if !message.resume_token.is_empty() {
                        // Not within a snapshot, which is not complete.
                        self.position = Some(reached);
                        self.token.clone_from(&message.resume_token);
                    }
                    return Ok(message);
                }
                Way::Open(epoch) => {
                    let epoch = *epoch;
                    let Ok(coverage) = self.relay.coverage(epoch) else {
                        self.lost();
                        continue;
                    };
                    self.coverage = self.within(coverage);
                    self.way = Way::Ring(epoch);
                    return Ok(v1::WatchResponse {
                        coverage: self.coverage.clone(),
                        ..self.bookmark()
                    });
                }
                Way::Ring(epoch) => {
                    if let Some(message) = self.taken.pop_front() {
                        if let Some(message) = self.filtered(&message) {
                            return Ok(message);
                        }
                        continue;
                    }
                    let position = self.position.map_or(Revision::ZERO, |at| at.revision);
                    // Before the ring is looked at, so that what comes after it wakes.
                    self.bell.mark_unchanged();
                    match self.relay.after(*epoch, position) {
                        Next::Messages(messages) => self.taken.extend(messages),
                        Next::Lost => self.lost(),
                        Next::UpToDate(reached, token) => {
                            if reached.revision > position {
                                self.position = Some(reached);
                                self.token = token;
                            }
                            if self.position.is_some_and(|at| at.revision > self.told) {
                                return Ok(self.bookmark());
                            }
                            tokio::select! {
                                _ = self.bell.changed() => (),
                                () = sleep_until(self.next_heartbeat) => return Ok(self.bookmark()),
                            }
                        }
                    }
                }
            }
        }
    }

    /// Of which ring it is told; `None`: of none yet.
    const fn epoch(&self) -> Option<u64> {
        match self.way {
            Way::Ring(epoch) => Some(epoch),
            Way::Begin | Way::Beginning(_) | Way::Upstream(_) | Way::Open(_) => None,
        }
    }

    /// The ring leads on no more: whether the history does is the authority's to say.
    fn lost(&mut self) {
        self.request.resume_token.clone_from(&self.token);
        self.left_at = self.reached();
        self.position = None;
        self.way = Way::Begin;
    }

    /// How far it is: as of its last message, or of what was left out since; `None`:
    /// there was none yet.
    fn reached(&self) -> Option<At> {
        self.position.or(self.left_at)
    }

    /// Goes on with the ring of this epoch. If that tells of the changes of others than
    /// the stream did which led to it, that is said first.
    fn enter(&mut self, epoch: u64) {
        let coverage = self.relay.coverage(epoch);
        let is_same = coverage.is_ok_and(|it| self.within(it) == self.coverage);
        self.way = if is_same {
            Way::Ring(epoch)
        } else {
            Way::Open(epoch)
        };
    }

    /// What of a coverage is asked for here. What may be asked about is as it is.
    fn within(&self, coverage: Option<v1::Coverage>) -> Option<v1::Coverage> {
        let mut coverage = coverage?;
        if coverage.all {
            coverage.all = self.tenants == Tenants::All;
            coverage.tenants = convert::named(&self.tenants);
        } else {
            coverage.tenants.retain(|tenant| self.tenants.has(tenant));
        }
        Some(coverage)
    }

    /// What of a message of the ring is for this stream. What is left out becomes a
    /// bookmark, now or later.
    fn filtered(&mut self, message: &v1::WatchResponse) -> Option<v1::WatchResponse> {
        let reached = at(message)?;
        self.position = Some(reached);
        self.token.clone_from(&message.resume_token);
        let events: Vec<_> = match &message.message {
            Some(Message::Commit(commit)) => {
                let events = commit.events.iter();
                let is_wanted = |event: &&v1::Event| {
                    tenant(event).is_none_or(|tenant| self.tenants.has(tenant))
                };
                events.filter(is_wanted).cloned().collect()
            }
            _ => Vec::new(),
        };
        if events.is_empty() && !message.fenced {
            return None;
        }
        self.told = reached.revision;
        let said = if events.is_empty() {
            Message::Bookmark(v1::Bookmark {})
        } else {
            Message::Commit(v1::Commit { events })
        };
        Some(v1::WatchResponse {
            revision: message.revision.clone(),
            resume_token: message.resume_token.clone(),
            message: Some(said),
            fenced: message.fenced,
            coverage: None,
        })
    }

    fn bookmark(&mut self) -> v1::WatchResponse {
        self.told = self.position.map_or(self.told, |at| at.revision);
        v1::WatchResponse {
            revision: self.position.map(wire),
            resume_token: self.token.clone(),
            message: Some(Message::Bookmark(v1::Bookmark {})),
            fenced: false,
            coverage: None,
        }
    }

    fn stopped(&self) -> Status {
        if self.token.is_empty() {
            return status::stopping();
        }
        status::stopping_at(self.token.clone(), self.told.number())
    }
}

/// The tenant of what an event touches; `None`: it concerns all, or nobody knows.
fn tenant(event: &v1::Event) -> Option<&str> {
    match event.subject.as_ref()? {
        Subject::Credential(event) => Some(&event.tenant),
        Subject::Owner(event) => Some(&event.tenant),
        Subject::Role(event) => Some(&event.tenant),
        Subject::Tenant(event) => Some(&event.tenant),
        Subject::Profile(event) => {
            let profile = event.profile.as_ref()?;
            Some(profile.tenant.as_str()).filter(|tenant| !tenant.is_empty())
        }
    }
}

fn wire(at: At) -> v1::Revision {
    convert::revision(at.store, at.revision)
}

/// Of an authority's stream: it is not the caller here who was refused.
fn not_of_the_caller(status: Status) -> Status {
    match status.code() {
        Code::InvalidArgument => status,
        _ if is_refusal(&status) => refused(),
        _ => Status::unavailable("the authority's stream of changes can't be had now"),
    }
}
