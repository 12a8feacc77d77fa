//! Durable when acknowledged: the real program is killed at random moments
//! while several clients write, and started again on the same directory.
//!
//! `CREDD_TEST_CRASH_ROUNDS` says how often, `CREDD_TEST_SEED` repeats the
//! choices of an earlier run (but not how its threads took turns).
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::env;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use credd::proto::v1;
use credd::proto::v1::CredentialState::{Active, Locked, Revoked};
use credd::proto::v1::verify_stream_response::Outcome;
use credd::proto::v1::watch_response::Message;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use support::program::{Program, serve};
use support::{
    Client, list_request_of_all_states, read_token, soon, token_of, token_request, until,
    verify_token_request,
};
use tokio::task::JoinHandle;
use tokio_stream::StreamExt as _;
use tonic::{Code, Status, Streaming};

const WRITERS: usize = 8;
/// Of a round, at most: what is acknowledged before the kill.
const MOST_ACKNOWLEDGED: usize = 150;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_outlives_a_kill_at_any_moment() {
    let rounds = from_environment("CREDD_TEST_CRASH_ROUNDS").unwrap_or(5);
    let seed = from_environment("CREDD_TEST_SEED").unwrap_or_else(|| rand::rng().random());
    println!("CREDD_TEST_SEED={seed} CREDD_TEST_CRASH_ROUNDS={rounds}");
    let mut random = StdRng::seed_from_u64(seed);

    let directory = tempfile::tempdir().unwrap();
    let (mut server, mut admin) = start(directory.path()).await;
    let mut known = Known::default();
    let mut acknowledged = 0;
    for round in 0..rounds {
        let begun = begin(&admin).await;
        let watched = watching(&admin, begun.token.clone()).await;
        let acknowledgements = Arc::new(AtomicUsize::new(0));
        let writers: Vec<_> = known
            .shares(WRITERS)
            .into_iter()
            .enumerate()
            .map(|(number, mine)| {
                let writer = Writer {
                    admin: admin.clone(),
                    random: StdRng::seed_from_u64(random.random()),
                    name: format!("round {round} writer {number}"),
                    mine,
                    done: Vec::new(),
                    acknowledgements: Arc::clone(&acknowledgements),
                };
                tokio::spawn(writer.write())
            })
            .collect();
        let enough = random.random_range(1..MOST_ACKNOWLEDGED);
        until("changes to be acknowledged", || {
            let acknowledgements = Arc::clone(&acknowledgements);
            async move { acknowledgements.load(Ordering::SeqCst) >= enough }
        })
        .await;
        server.kill();

        let mut logs = Vec::new();
        for writer in writers {
            logs.push(soon("a writer's end", writer).await.unwrap());
        }
        let watched = soon("the Watch's end", watched).await.unwrap();
        (server, admin) = start(directory.path()).await;
        let after = everything(&admin).await;
        let replayed = replay(&admin, &begun, &after.revision).await;
        assert_eq!(
            watched[..],
            replayed[..watched.len()],
            "a Watch showed what is not there any more"
        );
        acknowledged += known.check(&begun, &logs, &after, replayed);
        known.check_verdicts(&admin).await;
    }
    assert!(server.terminate().status.success());
    println!("{acknowledged} acknowledged changes outlived {rounds} kills");
}

fn from_environment<T: FromStr>(name: &str) -> Option<T> {
    let text = env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is {text}")))
}

async fn start(data_dir: &Path) -> (Program, Client) {
    let command = serve(&[], data_dir);
    let (server, address) = Program::serve(command);
    let admin = Client::connect(address, &read_token(data_dir)).await;
    (server, admin)
}

/// What a writer asked for, and what it was told.
#[derive(Clone)]
struct Deed {
    change: v1::ChangeType,
    /// Of an issue that was not acknowledged: none is known.
    id: Option<String>,
    /// Of an issue.
    label: String,
    /// The revision; `None`: not acknowledged.
    acknowledged: Option<v1::Revision>,
    /// Whether the credential was in that state before.
    repeated: bool,
}

/// A client that changes credentials which nobody else changes.
struct Writer {
    admin: Client,
    random: StdRng,
    name: String,
    mine: Vec<Holding>,
    done: Vec<Deed>,
    acknowledgements: Arc<AtomicUsize>,
}

/// A credential as its writer knows it.
#[derive(Clone)]
struct Holding {
    id: String,
    state: v1::CredentialState,
    revision: v1::Revision,
    /// `None`: nobody was ever told.
    secret: Option<String>,
}

/// What a writer did and what it knows then.
struct WriterLog {
    done: Vec<Deed>,
    mine: Vec<Holding>,
}

impl Writer {
    /// Writes until the server is gone.
    async fn write(mut self) -> WriterLog {
        while let Ok(()) = self.step().await {
            self.acknowledgements.fetch_add(1, Ordering::SeqCst);
        }
        let Self { done, mine, .. } = self;
        WriterLog { done, mine }
    }

    async fn step(&mut self) -> Result<(), ()> {
        let open: Vec<usize> = (0..self.mine.len())
            .filter(|&at| self.mine[at].state != Revoked)
            .collect();
        if open.is_empty() || self.random.random_ratio(1, 3) {
            return self.issue().await;
        }
        let at = open[self.random.random_range(0..open.len())];
        self.change(at).await
    }

    async fn issue(&mut self) -> Result<(), ()> {
        let label = format!("{} deed {}", self.name, self.done.len());
        let answer = self
            .admin
            .issue(v1::IssueRequest {
                label: label.clone(),
                ..token_request("acme")
            })
            .await;
        let issued = acknowledged(answer);
        self.done.push(Deed {
            change: v1::ChangeType::Issued,
            id: issued
                .as_ref()
                .map(|issued| issued.credential.clone().unwrap().id),
            label,
            acknowledged: issued.as_ref().and_then(|issued| issued.revision.clone()),
            repeated: false,
        });
        let issued = issued.ok_or(())?;
        self.mine.push(Holding {
            id: issued.credential.unwrap().id,
            state: Active,
            revision: issued.revision.unwrap(),
            secret: Some(token_of(issued.secret)),
        });
        Ok(())
    }

    /// Locks, unlocks or revokes a credential, which may be so already.
    async fn change(&mut self, at: usize) -> Result<(), ()> {
        use v1::ChangeType::{Locked as Lock, Revoked as Revoke, Unlocked as Unlock};

        let id = self.mine[at].id.clone();
        let change = [Lock, Lock, Unlock, Unlock, Revoke][self.random.random_range(0..5)];
        let (state, answer) = match change {
            Lock => (
                Locked,
                acknowledged(self.admin.lock(&id).await).map(|a| a.revision),
            ),
            Unlock => (
                Active,
                acknowledged(self.admin.unlock(&id).await).map(|a| a.revision),
            ),
            _ => (
                Revoked,
                acknowledged(self.admin.revoke(&id).await).map(|a| a.revision),
            ),
        };
        let revision = answer.map(Option::unwrap);
        let holding = &mut self.mine[at];
        let repeated = holding.state == state;
        self.done.push(Deed {
            change,
            id: Some(id),
            label: String::new(),
            acknowledged: revision.clone(),
            repeated,
        });
        let revision = revision.ok_or(())?;
        if repeated {
            assert_eq!(
                revision, holding.revision,
                "repeating a change is no change"
            );
        }
        holding.state = state;
        holding.revision = revision;
        Ok(())
    }
}

/// `None`: the server is gone, and may have done it or not.
fn acknowledged<T>(answer: Result<T, Status>) -> Option<T> {
    match answer {
        Ok(answer) => Some(answer),
        Err(status) => {
            let gone = [Code::Unavailable, Code::Unknown, Code::Cancelled];
            assert!(gone.contains(&status.code()), "{status}");
            None
        }
    }
}

/// A commit as a Watch shows it.
#[derive(Clone, Debug, PartialEq)]
struct Commit {
    revision: v1::Revision,
    events: Vec<v1::CredentialEvent>,
}

/// Where a round starts.
struct Begin {
    token: String,
    revision: v1::Revision,
}

async fn begin(admin: &Client) -> Begin {
    let mut watch = admin.watch(v1::WatchRequest::default()).await.unwrap();
    let first = soon("the first message", watch.message()).await;
    let first = first.unwrap().unwrap();
    Begin {
        token: first.resume_token,
        revision: first.revision.unwrap(),
    }
}

async fn resumed(admin: &Client, resume_token: String) -> Streaming<v1::WatchResponse> {
    let request = v1::WatchRequest {
        resume_token,
        heartbeat: Some(prost_types::Duration {
            seconds: 0,
            nanos: 100_000_000,
        }),
        ..Default::default()
    };
    admin.watch(request).await.unwrap()
}

/// Collects commits until the server is gone.
async fn watching(admin: &Client, token: String) -> JoinHandle<Vec<Commit>> {
    let mut watch = resumed(admin, token).await;
    tokio::spawn(async move {
        let mut commits = Vec::new();
        while let Ok(Some(message)) = watch.message().await {
            commits.extend(commit(message));
        }
        commits
    })
}

/// The commits from where the round began up to this revision.
async fn replay(admin: &Client, begun: &Begin, through: &v1::Revision) -> Vec<Commit> {
    let mut watch = resumed(admin, begun.token.clone()).await;
    let mut reached = begun.revision.number;
    let mut commits: Vec<Commit> = Vec::new();
    while reached < through.number {
        let message = soon("a message", watch.message()).await.unwrap().unwrap();
        let revision = message.revision.clone().unwrap();
        assert_eq!(revision.store_id, through.store_id);
        assert!(revision.number >= reached, "out of order");
        reached = revision.number;
        let last = commits.last().map_or(0, |commit| commit.revision.number);
        let next = commit(message);
        assert!(
            next.is_none() || last < reached,
            "two messages of one commit"
        );
        commits.extend(next);
    }
    commits
}

fn commit(message: v1::WatchResponse) -> Option<Commit> {
    match message.message.unwrap() {
        Message::Commit(v1::Commit { events }) => Some(Commit {
            revision: message.revision.unwrap(),
            events: events
                .into_iter()
                .map(|event| match event.subject {
                    Some(v1::event::Subject::Credential(credential)) => credential,
                    other => panic!("a change to something else than a credential: {other:?}"),
                })
                .collect(),
        }),
        Message::Bookmark(_) => None,
        Message::Reset(_) | Message::SnapshotPart(_) => panic!("a Watch lost its place"),
        Message::Grant(_) => panic!("a Grant to who asked for none"),
    }
}

/// Every credential of the writers.
struct Everything {
    revision: v1::Revision,
    credentials: HashMap<String, v1::Credential>,
}

async fn everything(admin: &Client) -> Everything {
    let mut request = v1::ListRequest {
        page_size: 1000,
        ..list_request_of_all_states("acme")
    };
    let mut credentials = HashMap::new();
    loop {
        let page = admin.list(request.clone()).await.unwrap();
        for credential in page.credentials {
            let twice = credentials.insert(credential.id.clone(), credential);
            assert!(twice.is_none(), "listed twice");
        }
        if page.next_page_token.is_empty() {
            let revision = page.revision.unwrap();
            return Everything {
                revision,
                credentials,
            };
        }
        request.page_token = page.next_page_token;
    }
}

/// What must be there.
#[derive(Default)]
struct Known {
    holdings: Vec<Holding>,
    /// Those whose state may have changed in the last round.
    touched: BTreeSet<String>,
}

impl Known {
    fn shares(&mut self, count: usize) -> Vec<Vec<Holding>> {
        let mut shares = vec![Vec::new(); count];
        for (at, holding) in self.holdings.drain(..).enumerate() {
            shares[at % count].push(holding);
        }
        shares
    }

    /// Compares what is there after a round with what was acknowledged in it,
    /// and takes it for known; returns how many changes were acknowledged.
    fn check(
        &mut self,
        begun: &Begin,
        logs: &[WriterLog],
        after: &Everything,
        commits: Vec<Commit>,
    ) -> usize {
        let mut events: BTreeMap<(String, v1::ChangeType), Vec<u64>> = BTreeMap::new();
        for commit in commits {
            for event in commit.events {
                let key = (event.credential_id.clone(), event.r#type());
                events.entry(key).or_default().push(commit.revision.number);
            }
        }
        let deeds: Vec<&Deed> = logs.iter().flat_map(|log| &log.done).collect();
        self.touched = deeds.iter().filter_map(|deed| deed.id.clone()).collect();
        let mut acknowledged = 0;
        for deed in &deeds {
            let Some(revision) = &deed.acknowledged else {
                continue;
            };
            assert_eq!(revision.store_id, after.revision.store_id);
            assert!(
                revision.number <= after.revision.number,
                "acknowledged, and ahead"
            );
            acknowledged += 1;
            if !deed.repeated {
                assert!(revision.number > begun.revision.number);
                let key = (deed.id.clone().unwrap(), deed.change);
                let shown = events
                    .get_mut(&key)
                    .unwrap_or_else(|| panic!("{key:?} is lost"));
                let before = shown.len();
                shown.retain(|shown| *shown != revision.number);
                assert_eq!(shown.len() + 1, before, "{key:?} once, at {revision:?}");
            }
        }
        // What else is shown was asked for, at the very end of a writer.
        for ((id, change), revisions) in &events {
            for revision in revisions {
                let label = &after.credentials[id].label;
                let pending = logs
                    .iter()
                    .filter_map(|log| log.done.last())
                    .filter(|deed| {
                        let named = deed.id.as_ref().map_or(deed.label == *label, |of| of == id);
                        deed.acknowledged.is_none() && deed.change == *change && named
                    });
                assert_eq!(
                    pending.count(),
                    1,
                    "nobody asked for {change:?} of {id}, {revision}"
                );
            }
        }
        self.adopt(logs, after, &events);
        acknowledged
    }

    /// Takes what is there for known, if it is what was acknowledged or what
    /// the one command came to that was not.
    fn adopt(
        &mut self,
        logs: &[WriterLog],
        after: &Everything,
        pending: &BTreeMap<(String, v1::ChangeType), Vec<u64>>,
    ) {
        let carried_out = |id: &str, change| {
            let revisions = pending.get(&(id.to_owned(), change))?;
            revisions.first().copied()
        };
        let mut unknown: BTreeSet<&String> = after.credentials.keys().collect();
        for log in logs {
            for holding in &log.mine {
                let mut holding = holding.clone();
                let last = log.done.last().filter(|deed| deed.acknowledged.is_none());
                if let Some(deed) = last.filter(|deed| deed.id.as_ref() == Some(&holding.id))
                    && let Some(number) = carried_out(&holding.id, deed.change)
                {
                    holding.state = state_after(deed.change);
                    holding.revision.number = number;
                }
                let found = after.credentials.get(&holding.id);
                let found = found.unwrap_or_else(|| panic!("{} is lost", holding.id));
                assert_eq!(found.state(), holding.state, "{}", holding.id);
                assert_eq!(found.state_revision.as_ref(), Some(&holding.revision));
                unknown.remove(&holding.id);
                self.holdings.push(holding);
            }
        }
        // Issued, and nobody was told.
        for id in unknown {
            let found = &after.credentials[id];
            assert_eq!(found.state(), Active, "{id}");
            let number = carried_out(id, v1::ChangeType::Issued);
            assert_eq!(
                found.state_revision.as_ref().map(|r| r.number),
                number,
                "{id}"
            );
            self.holdings.push(Holding {
                id: id.clone(),
                state: Active,
                revision: found.state_revision.clone().unwrap(),
                secret: None,
            });
        }
    }

    /// What was touched is judged as it is.
    async fn check_verdicts(&self, admin: &Client) {
        let judged: Vec<(&Holding, &String)> = self
            .holdings
            .iter()
            .filter(|holding| self.touched.contains(&holding.id))
            .filter_map(|holding| Some((holding, holding.secret.as_ref()?)))
            .collect();
        let questions: Vec<_> = judged
            .iter()
            .zip(0..)
            .map(|((_, secret), correlation)| v1::VerifyStreamRequest {
                correlation,
                request: Some(verify_token_request(secret)),
            })
            .collect();
        let mut verification = admin.verification.clone();
        let answers = verification.verify_stream(tokio_stream::iter(questions));
        let mut answers = answers.await.unwrap().into_inner();
        let mut count = 0;
        while let Some(answer) = soon("a verdict", answers.next()).await {
            let answer = answer.unwrap();
            let (holding, _) = judged[usize::try_from(answer.correlation).unwrap()];
            let Some(Outcome::Response(response)) = answer.outcome else {
                panic!("no verdict on {}", holding.id);
            };
            let expected = match holding.state {
                Locked => v1::Verdict::Locked,
                Revoked => v1::Verdict::Revoked,
                _ => v1::Verdict::Active,
            };
            assert_eq!(response.verdict(), expected, "{}", holding.id);
            count += 1;
        }
        assert_eq!(count, judged.len());
    }
}

fn state_after(change: v1::ChangeType) -> v1::CredentialState {
    match change {
        v1::ChangeType::Locked => Locked,
        v1::ChangeType::Revoked => Revoked,
        _ => Active,
    }
}
