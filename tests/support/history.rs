//! What Watch promises, as functions over what was received.
//!
//! In the manner of etcd's `tests/robustness/validate/watch.go`: streams are
//! recorded while writers write, each writer notes what it was told, and every
//! promise is a function, with its definition above it, that compares the two.

#![allow(dead_code, reason = "each suite uses a part of it")]

use std::collections::{BTreeMap, BTreeSet, HashSet};

use credd::proto::v1;
use credd::proto::v1::watch_response::Message;
use tonic::Status;

use crate::support::{Client, soon};

/// A change to a credential, as an event or an acknowledgement tells it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Change {
    pub(crate) id: String,
    pub(crate) tenant: String,
    pub(crate) kind: v1::ChangeType,
    pub(crate) state: v1::CredentialState,
    pub(crate) generation: u32,
}

/// What was committed: the changes of each revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct History(BTreeMap<u64, BTreeSet<Change>>);

/// The credentials that are denied, and how.
pub(crate) type Denied = BTreeMap<String, v1::CredentialState>;

/// One message of a Watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) revision: u64,
    pub(crate) token: String,
    pub(crate) said: Said,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Commit(Vec<Change>),
    Bookmark,
    Reset(v1::ResetReason),
    Part {
        denied: Vec<(String, v1::CredentialState)>,
        complete: bool,
    },
}

/// Everything that one Watch received, or several that took up one another.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stream {
    /// The filter; empty: all tenants.
    pub(crate) tenants: Vec<String>,
    pub(crate) messages: Vec<Received>,
}

/// How a promise was broken.
pub(crate) type Kept = Result<(), String>;

/// Events come by revision: within a stream, up to a Reset, the revision of no
/// message is smaller than that of one before it.
pub(crate) fn ordered(stream: &Stream, _: &History) -> Kept {
    for run in stream.runs() {
        for pair in run.windows(2) {
            if pair[1].revision < pair[0].revision {
                return Err(format!("{:?} comes before {:?}", pair[0], pair[1]));
            }
        }
    }
    Ok(())
}

/// A commit's events come together: each message with events holds all those
/// of its revision that the filter lets through, and no other.
pub(crate) fn atomic(stream: &Stream, history: &History) -> Kept {
    for (revision, changes) in stream.commits() {
        let received: BTreeSet<_> = changes.iter().cloned().collect();
        let committed = history.at(revision, &stream.tenants);
        if received != committed || received.is_empty() {
            return Err(format!(
                "revision {revision} had {committed:?}, and one message of it {received:?}"
            ));
        }
    }
    Ok(())
}

/// None comes twice: no credential's change of a revision is received more than
/// once, up to a Reset.
pub(crate) fn unique(stream: &Stream, _: &History) -> Kept {
    for run in stream.runs() {
        let mut seen = HashSet::new();
        for (revision, changes) in commits_of(run) {
            for change in changes {
                if !seen.insert((revision, &change.id)) {
                    return Err(format!("revision {revision} came twice with {change:?}"));
                }
            }
        }
    }
    Ok(())
}

/// None is left out: what was received from the first message, or from a Reset,
/// to the last is exactly what was committed after the one and up to the other.
pub(crate) fn reliable(stream: &Stream, history: &History) -> Kept {
    for run in stream.runs() {
        let (Some(first), Some(last)) = (run.first(), run.last()) else {
            continue;
        };
        let mut received: BTreeMap<u64, BTreeSet<Change>> = BTreeMap::new();
        for (revision, changes) in commits_of(run) {
            let of_revision = received.entry(revision).or_default();
            of_revision.extend(changes.iter().cloned());
        }
        let committed = history.between(first.revision, last.revision, &stream.tenants);
        if let Some(revision) = first_difference(&committed, &received) {
            return Err(format!(
                "from {} to {}: revision {revision} had {:?}, and {:?} came of it",
                first.revision,
                last.revision,
                committed.get(&revision),
                received.get(&revision),
            ));
        }
    }
    Ok(())
}

/// A stream can be taken up from any revision still in the log: a stream cut
/// after any message, and another that was asked to begin with that message's
/// token, are together one stream that keeps every other promise, without a
/// Reset between them. The second says first where it begins.
pub(crate) fn resumable(cut: &Stream, taken_up: &Stream, history: &History) -> Kept {
    let token = &cut.last().ok_or("the cut stream is empty")?.token;
    let begin = taken_up.messages.first().ok_or("nothing was taken up")?;
    if begin.said != Said::Bookmark || begin.token != *token {
        return Err(format!(
            "asked to begin at {token}, it began with {begin:?}"
        ));
    }
    if taken_up.has_reset() {
        return Err("it was reset".to_owned());
    }
    let mut joined = cut.clone();
    joined.messages.extend(taken_up.messages.iter().cloned());
    for promise in [ordered, atomic, unique, reliable, bookmarked] {
        promise(&joined, history)?;
    }
    Ok(())
}

/// A message tells the revision reached: when it has come, everything up to its
/// revision has been received or filtered out, and nothing of it comes later.
/// Where it can be taken up it carries a token of its own.
pub(crate) fn bookmarked(stream: &Stream, history: &History) -> Kept {
    for run in stream.runs() {
        let mut reached = None;
        for message in run {
            let events = matches!(message.said, Said::Commit(_));
            if events && reached.is_some_and(|reached| message.revision <= reached) {
                return Err(format!(
                    "{reached:?} was reached, and then came {message:?}"
                ));
            }
            let before = reached.unwrap_or(message.revision);
            let last = if events {
                message.revision - 1
            } else {
                message.revision
            };
            let missed = history.between(before, last, &stream.tenants);
            if !missed.is_empty() {
                return Err(format!("when {message:?} came, {missed:?} had not"));
            }
            let incomplete = matches!(
                message.said,
                Said::Part {
                    complete: false,
                    ..
                }
            );
            let may_lack_token = incomplete || matches!(message.said, Said::Reset(_));
            if message.token.is_empty() && !may_lack_token
                || incomplete && !message.token.is_empty()
            {
                return Err(format!("the token of {message:?}"));
            }
            reached = Some(message.revision);
        }
    }
    Ok(())
}

/// A snapshot is what is denied at one revision: its parts come one after the
/// other before anything else but a Reset, are all of one revision, name no
/// credential twice, and only the last says that it is complete. What it names
/// was denied at that revision, and with the events that follow is what is
/// denied at the end.
pub(crate) fn snapshot(stream: &Stream, history: &History) -> Kept {
    for run in stream.runs() {
        let parts = usize::from(matches!(run[0].said, Said::Reset(_)));
        let mut denied = Denied::new();
        let mut complete = false;
        let mut at = parts;
        while let Some(Received {
            revision,
            said:
                Said::Part {
                    denied: some,
                    complete: is_complete,
                },
            ..
        }) = run.get(at)
        {
            if complete || *revision != run[parts].revision {
                return Err(format!("a part too many, at revision {revision}"));
            }
            for (id, state) in some {
                if denied.insert(id.clone(), *state).is_some() {
                    return Err(format!("the snapshot names {id} twice"));
                }
            }
            complete = *is_complete;
            at += 1;
        }
        if at == parts || !complete {
            return Err("there is no complete snapshot".to_owned());
        }
        let then = history.denied_at(run[parts].revision, &stream.tenants);
        if denied != then {
            return Err(format!("{denied:?} is the snapshot of {then:?}"));
        }
        for message in &run[at..] {
            match &message.said {
                Said::Commit(changes) => {
                    for change in changes {
                        apply(&mut denied, change);
                    }
                }
                Said::Bookmark => (),
                said => return Err(format!("{said:?} after the snapshot")),
            }
        }
        let end = history.denied_at(run[run.len() - 1].revision, &stream.tenants);
        if denied != end {
            return Err(format!("what followed led to {denied:?}, not to {end:?}"));
        }
    }
    Ok(())
}

fn apply(denied: &mut Denied, change: &Change) {
    if change.state == v1::CredentialState::Active {
        denied.remove(&change.id);
    } else {
        denied.insert(change.id.clone(), change.state);
    }
}

fn first_difference(
    a: &BTreeMap<u64, BTreeSet<Change>>,
    b: &BTreeMap<u64, BTreeSet<Change>>,
) -> Option<u64> {
    let revisions: BTreeSet<_> = a.keys().chain(b.keys()).collect();
    revisions
        .into_iter()
        .find(|revision| a.get(revision) != b.get(revision))
        .copied()
}

fn commits_of(messages: &[Received]) -> impl Iterator<Item = (u64, &[Change])> {
    messages.iter().filter_map(|message| match &message.said {
        Said::Commit(changes) => Some((message.revision, changes.as_slice())),
        _ => None,
    })
}

impl History {
    /// Notes what an acknowledgement says: the last change of this credential's
    /// state. An answer that changed nothing tells an earlier one once more.
    pub(crate) fn note(&mut self, credential: &v1::Credential) {
        let change = Change {
            id: credential.id.clone(),
            tenant: credential.tenant.clone(),
            kind: credential.last_change.as_ref().unwrap().r#type(),
            state: credential.state(),
            generation: credential.secrets[0].generation,
        };
        let revision = credential.state_revision.as_ref().unwrap().number;
        self.0.entry(revision).or_default().insert(change);
    }

    /// What an unfiltered stream has received.
    pub(crate) fn of(stream: &Stream) -> Self {
        let mut history = Self::default();
        for (revision, changes) in stream.commits() {
            let of_revision = history.0.entry(revision).or_default();
            of_revision.extend(changes.iter().cloned());
        }
        history
    }

    pub(crate) fn extend(&mut self, other: Self) {
        for (revision, changes) in other.0 {
            self.0.entry(revision).or_default().extend(changes);
        }
    }

    /// Whether every change of another history is part of this one.
    pub(crate) fn includes(&self, other: &Self) -> bool {
        let at = |revision| self.0.get(revision);
        let mut others = other.0.iter();
        others.all(|(revision, changes)| at(revision).is_some_and(|here| here.is_superset(changes)))
    }

    /// Leaves out what concerns a tenant.
    pub(crate) fn forget_tenant(&mut self, tenant: &str) {
        for changes in self.0.values_mut() {
            changes.retain(|change| change.tenant != tenant);
        }
        self.0.retain(|_, changes| !changes.is_empty());
    }

    pub(crate) fn add(&mut self, revision: u64, change: Change) {
        self.0.entry(revision).or_default().insert(change);
    }

    /// The last revision that changed something.
    pub(crate) fn last(&self) -> u64 {
        self.0.keys().next_back().copied().unwrap_or(0)
    }

    /// Whether a commit had several changes.
    pub(crate) fn has_groups(&self) -> bool {
        self.0.values().any(|changes| changes.len() > 1)
    }

    /// The state of a credential at a revision, if it existed.
    pub(crate) fn state_at(&self, id: &str, revision: u64) -> Option<v1::CredentialState> {
        self.0
            .range(..=revision)
            .rev()
            .find_map(|(_, changes)| changes.iter().find(|change| change.id == id))
            .map(|change| change.state)
    }

    pub(crate) fn denied_at(&self, revision: u64, tenants: &[String]) -> Denied {
        let mut denied = Denied::new();
        for changes in self.between(0, revision, tenants).values() {
            for change in changes {
                apply(&mut denied, change);
            }
        }
        denied
    }

    fn at(&self, revision: u64, tenants: &[String]) -> BTreeSet<Change> {
        let changes = self.0.get(&revision).into_iter().flatten();
        changes
            .filter(|change| tenants.is_empty() || tenants.contains(&change.tenant))
            .cloned()
            .collect()
    }

    /// The changes after `after`, up to `through`.
    fn between(
        &self,
        after: u64,
        through: u64,
        tenants: &[String],
    ) -> BTreeMap<u64, BTreeSet<Change>> {
        self.0
            .range(after + 1..=through.max(after + 1))
            .filter(|(revision, _)| **revision <= through)
            .map(|(revision, _)| (*revision, self.at(*revision, tenants)))
            .filter(|(_, changes)| !changes.is_empty())
            .collect()
    }
}

impl Stream {
    pub(crate) fn of(tenants: &[&str], messages: Vec<Received>) -> Self {
        Self {
            tenants: tenants.iter().map(|&tenant| tenant.to_owned()).collect(),
            messages,
        }
    }

    /// The messages from the beginning or a Reset to before the next.
    pub(crate) fn runs(&self) -> impl Iterator<Item = &[Received]> {
        self.messages
            .chunk_by(|_, next| !matches!(next.said, Said::Reset(_)))
    }

    pub(crate) fn commits(&self) -> impl Iterator<Item = (u64, &[Change])> {
        commits_of(&self.messages)
    }

    pub(crate) fn last(&self) -> Option<&Received> {
        self.messages.last()
    }

    pub(crate) fn reached(&self) -> u64 {
        self.last().map_or(0, |last| last.revision)
    }

    pub(crate) fn has_reset(&self) -> bool {
        let reset = |message: &Received| matches!(message.said, Said::Reset(_));
        self.messages.iter().any(reset)
    }

    /// The stream up to and including a message.
    pub(crate) fn cut_after(&self, message: usize) -> Self {
        Self {
            tenants: self.tenants.clone(),
            messages: self.messages[..=message].to_vec(),
        }
    }
}

/// A Watch that notes what it receives.
pub(crate) struct Recorder {
    pub(crate) stream: Stream,
    heartbeat: Option<prost_types::Duration>,
    source: tonic::Streaming<v1::WatchResponse>,
}

impl Recorder {
    /// Starts a Watch.
    pub(crate) async fn start(client: &Client, request: v1::WatchRequest) -> Self {
        let (tenants, heartbeat) = (request.tenants.clone(), request.heartbeat);
        let source = soon("the Watch", client.watch(request)).await.unwrap();
        Self {
            stream: Stream {
                tenants,
                messages: Vec::new(),
            },
            heartbeat,
            source,
        }
    }

    /// Takes the stream up, on another connection perhaps.
    pub(crate) async fn take_up(self, client: &Client) -> Self {
        let request = v1::WatchRequest {
            resume_token: self.token(),
            tenants: self.stream.tenants.clone(),
            snapshot: false,
            heartbeat: self.heartbeat,
            ..v1::WatchRequest::default()
        };
        let Self { stream, source, .. } = self;
        drop(source);
        let mut again = Self::start(client, request).await;
        again.stream = stream;
        again
    }

    /// The token to take the stream up with.
    pub(crate) fn token(&self) -> String {
        let tokens = self.stream.messages.iter().rev();
        let last = tokens.map(|m| &m.token).find(|token| !token.is_empty());
        last.cloned().unwrap_or_default()
    }

    /// Receives one message.
    pub(crate) async fn next(&mut self) -> Result<&Received, Status> {
        let message = soon("a message", self.source.message()).await?;
        let message =
            message.ok_or_else(|| Status::unknown("the stream ended without a status"))?;
        self.stream.messages.push(received(message));
        Ok(self.stream.messages.last().unwrap())
    }

    /// Receives until it has reached a revision.
    pub(crate) async fn reach(&mut self, revision: u64) {
        while self.stream.reached() < revision || !self.is_at_rest() {
            self.next().await.unwrap();
        }
    }

    /// Receives until the stream ends.
    pub(crate) async fn end(&mut self) -> Status {
        let end = async {
            loop {
                if let Err(status) = self.next().await {
                    return status;
                }
            }
        };
        soon("the end of the stream", end).await
    }

    /// Whether the last message is one at which the stream can be taken up.
    fn is_at_rest(&self) -> bool {
        self.stream
            .last()
            .is_some_and(|last| !last.token.is_empty())
    }
}

/// The compact form of a message.
pub(crate) fn received(message: v1::WatchResponse) -> Received {
    let said = match message.message.unwrap() {
        Message::Commit(commit) => Said::Commit(commit.events.into_iter().map(change).collect()),
        Message::Bookmark(v1::Bookmark {}) => Said::Bookmark,
        Message::Reset(reset) => Said::Reset(reset.reason()),
        Message::SnapshotPart(part) => Said::Part {
            denied: part
                .denied
                .into_iter()
                .map(|denied| (denied.credential_id.clone(), denied.state()))
                .collect(),
            complete: part.complete,
        },
        Message::Grant(_) => panic!("a Grant to who asked for none"),
    };
    Received {
        revision: message.revision.unwrap().number,
        token: message.resume_token,
        said,
    }
}

fn change(event: v1::Event) -> Change {
    let Some(v1::event::Subject::Credential(event)) = event.subject else {
        panic!("a change to something else than a credential: {event:?}");
    };
    Change {
        kind: event.r#type(),
        state: event.state(),
        id: event.credential_id,
        tenant: event.tenant,
        generation: event.generation,
    }
}
