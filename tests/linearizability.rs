//! After Revoke or Lock was acknowledged nobody is told ACTIVE, on whichever
//! connection: more generally, what many clients are told of a credential at
//! the same time is what one credential could have gone through.
//!
//! `CREDD_TEST_HISTORY_SEEDS` says how many histories are recorded.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

#[path = "support/credential_model.rs"]
mod model;

#[path = "support/history.rs"]
mod history;

#[path = "support/in_process.rs"]
mod in_process;

#[path = "support/linearizability.rs"]
mod checker;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use checker::{Operation, is_linearizable};
use credd::authority::hub::RingSize;
use credd::domain::revision::{Position, Revision, StoreId};
use credd::proto::v1;
use credd::proto::v1::verify_stream_response::Outcome;
use credd::proto::v1::{CredentialState, Verdict};
use credd::store::memory::MemoryStore;
use credd::store::{Batch, Changes, Entry, KeyRange, PageLimit, Store, StoreError};
use history::{History, Recorder};
use in_process::InProcess;
use model::{Call, credential};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use support::{Client, Server, read_token, soon, token_of, token_request, verify_token_request};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};

const CREDENTIALS: usize = 4;
const COMMANDERS: usize = 6;
const COMMANDS: usize = 80;
/// Connections on which others verify and get, one call after the other.
const ASKERS: usize = 6;
const QUESTIONS: usize = 150;
const STREAMS: usize = 3;
const STREAMED: usize = 400;

/// A verdict or a state at a revision.
#[derive(Clone, Debug)]
struct Seen {
    id: String,
    state: CredentialState,
    revision: u64,
}

/// What all clients together saw.
#[derive(Clone)]
struct Record {
    epoch: Instant,
    seen: Arc<Mutex<Everything>>,
    /// The credentials in use: ids and tokens.
    slots: Arc<Mutex<Vec<(String, String)>>>,
}

#[derive(Default)]
struct Everything {
    operations: HashMap<String, Vec<Operation<Call>>>,
    answers: Vec<Seen>,
    /// What was committed.
    history: History,
}

impl Record {
    fn now(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_nanos()).unwrap()
    }

    fn slot(&self, random: &mut StdRng) -> (usize, String, String) {
        let at = random.random_range(0..CREDENTIALS);
        let (id, token) = self.slots.lock().unwrap()[at].clone();
        (at, id, token)
    }

    fn note(&self, id: &str, invoked: u64, returned: Option<u64>, what: Call) {
        let mut seen = self.seen.lock().unwrap();
        let operations = seen.operations.entry(id.to_owned()).or_default();
        operations.push(Operation {
            invoked,
            returned,
            what,
        });
    }

    fn note_seen(&self, id: String, invoked: u64, state: CredentialState, revision: u64) {
        let returned = Some(self.now());
        self.note(&id, invoked, returned, Call::See(state));
        let answer = Seen {
            id,
            state,
            revision,
        };
        self.seen.lock().unwrap().answers.push(answer);
    }

    async fn issue(&self, client: &Client) -> (String, String) {
        let invoked = self.now();
        let issued = client.issue(token_request("acme")).await.unwrap();
        let id = issued.credential.unwrap().id;
        self.note(&id, invoked, Some(self.now()), Call::Issue);
        (id, token_of(issued.secret))
    }

    async fn command(&self, client: &Client, random: &mut StdRng) {
        use CredentialState::{Active, Locked, Revoked};

        let (slot, id, _) = self.slot(random);
        let to = match random.random_range(0..20) {
            0..9 => Locked,
            9..18 => Active,
            _ => Revoked,
        };
        // One in ten goes away before it has the answer.
        let leaves = random.random_range(0..10) == 0;
        let invoked = self.now();
        let call = async {
            match to {
                Active => client.unlock(&id).await.map(|answer| answer.credential),
                Locked => client.lock(&id).await.map(|answer| answer.credential),
                _ => client.revoke(&id).await.map(|answer| answer.credential),
            }
        };
        let answer = if leaves {
            tokio::select! {
                answer = call => Some(answer),
                () = tokio::task::yield_now() => None,
            }
        } else {
            Some(call.await)
        };
        let returned = self.now();
        match answer {
            Some(Ok(credential)) => {
                let call = Call::Set(to, Some(credential.unwrap().state()));
                self.note(&id, invoked, Some(returned), call);
            }
            Some(Err(status)) if status.code() == Code::FailedPrecondition => {
                self.note(&id, invoked, Some(returned), Call::Set(to, None));
            }
            Some(Err(status)) => panic!("{status}"),
            // Whatever it was answered: that it was refused, or that it was done.
            None => self.note(&id, invoked, None, Call::Set(to, Some(to))),
        }
        if to == Revoked {
            let fresh = self.issue(client).await;
            self.slots.lock().unwrap()[slot] = fresh;
        }
    }

    async fn ask(&self, client: &Client, random: &mut StdRng) {
        let (_, id, token) = self.slot(random);
        let invoked = self.now();
        if random.random_range(0..4) == 0 {
            let request = v1::GetRequest {
                credential_id: id.clone(),
            };
            let response = client.credentials.clone().get(request).await.unwrap();
            let response = response.into_inner();
            let state = response.credential.unwrap().state();
            self.note_seen(id, invoked, state, response.revision.unwrap().number);
        } else {
            let answer = client.verify_token(&token).await.unwrap();
            let state = state_of(answer.verdict());
            self.note_seen(id, invoked, state, answer.revision.unwrap().number);
        }
    }

    /// Asks over one stream, many at a time.
    async fn stream(&self, client: &Client, random: &mut StdRng) -> Result<(), Status> {
        let (questions, receiver) = mpsc::channel(8);
        let mut verification = client.verification.clone();
        let response = verification
            .verify_stream(ReceiverStream::new(receiver))
            .await?;
        let mut answers = response.into_inner();
        let mut asked = HashMap::new();
        let mut correlation = 0;
        while correlation < STREAMED as u64 || !asked.is_empty() {
            if correlation < STREAMED as u64
                && let Ok(place) = questions.try_reserve()
            {
                let (_, id, token) = self.slot(random);
                asked.insert(correlation, (id, self.now()));
                place.send(v1::VerifyStreamRequest {
                    correlation,
                    request: Some(verify_token_request(&token)),
                });
                correlation += 1;
                continue;
            }
            let answer = soon("an answer", answers.message()).await?.unwrap();
            let (id, invoked) = asked.remove(&answer.correlation).unwrap();
            let Some(Outcome::Response(answer)) = answer.outcome else {
                panic!("{answer:?}");
            };
            let state = state_of(answer.verdict());
            self.note_seen(id, invoked, state, answer.revision.unwrap().number);
        }
        Ok(())
    }
}

fn state_of(verdict: Verdict) -> CredentialState {
    match verdict {
        Verdict::Active => CredentialState::Active,
        Verdict::Locked => CredentialState::Locked,
        Verdict::Revoked => CredentialState::Revoked,
        verdict => panic!("{verdict:?} of an issued credential"),
    }
}

/// Lets everybody work at once.
async fn record(address: SocketAddr, token: &str, seed: u64) -> Everything {
    let record = Record {
        epoch: Instant::now(),
        seen: Arc::default(),
        slots: Arc::default(),
    };
    let admin = Client::connect(address, token).await;
    let mut log = Recorder::start(&admin, v1::WatchRequest::default()).await;
    log.next().await.unwrap();
    for _ in 0..CREDENTIALS {
        let fresh = record.issue(&admin).await;
        record.slots.lock().unwrap().push(fresh);
    }
    let mut clients = JoinSet::new();
    let random = move |n: usize| StdRng::seed_from_u64(seed << 16 | n as u64);
    for n in 0..COMMANDERS {
        let (record, client) = (record.clone(), Client::connect(address, token).await);
        clients.spawn(async move {
            let mut random = random(n);
            for _ in 0..COMMANDS {
                record.command(&client, &mut random).await;
            }
        });
    }
    for n in 0..ASKERS {
        let (record, client) = (record.clone(), Client::connect(address, token).await);
        clients.spawn(async move {
            let mut random = random(100 + n);
            for _ in 0..QUESTIONS {
                record.ask(&client, &mut random).await;
            }
        });
    }
    for n in 0..STREAMS {
        let (record, client) = (record.clone(), Client::connect(address, token).await);
        clients.spawn(async move {
            record.stream(&client, &mut random(200 + n)).await.unwrap();
        });
    }
    clients.join_all().await;
    let last = admin.issue(token_request("acme")).await.unwrap();
    log.reach(last.revision.unwrap().number).await;
    let mut everything = std::mem::take(&mut *record.seen.lock().unwrap());
    everything.history = History::of(&log.stream);
    everything
}

fn seeds() -> u64 {
    let seeds = std::env::var("CREDD_TEST_HISTORY_SEEDS");
    seeds.map_or(3, |seeds| seeds.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_told_active_after_a_lock_or_a_revocation_was_acknowledged() {
    let server = Server::start().await;
    let token = read_token(server.directory.path());
    for seed in 0..seeds() {
        check(seed, record(server.address, &token, seed).await);
    }
    server.stop().await;
}

/// The same, where the feed is slow: an answer that does not wait for it is
/// found out at once.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_told_active_however_long_the_feed_takes() {
    let store = SlowFeed(MemoryStore::new(StoreId::from_random([8; 16])));
    let server = InProcess::start(Arc::new(store), RingSize::default()).await;
    check(1000, record(server.address, &server.token, 1000).await);
    server.stop().await.unwrap();
}

/// A store whose commits take the feed some time to read. (The feed waits for
/// the commit that it reads; others do not.)
#[derive(Debug)]
struct SlowFeed(MemoryStore);

impl Store for SlowFeed {
    fn id(&self) -> StoreId {
        self.0.id()
    }

    fn commit(&self, batch: Batch) -> Result<Revision, StoreError> {
        self.0.commit(batch)
    }

    fn changes(
        &self,
        after: Revision,
        limit: PageLimit,
        wait: Duration,
    ) -> Result<Changes, StoreError> {
        if !wait.is_zero() {
            std::thread::sleep(Duration::from_millis(3));
        }
        self.0.changes(after, limit, wait)
    }

    fn scan(&self, range: &KeyRange, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.0.scan(range, limit)
    }

    fn snapshot(&self) -> Result<Position, StoreError> {
        self.0.snapshot()
    }

    fn compact(&self, through: Revision) -> Result<(), StoreError> {
        self.0.compact(through)
    }
}

fn check(seed: u64, everything: Everything) {
    let Everything {
        operations,
        history,
        answers,
    } = everything;
    let count: usize = operations.values().map(Vec::len).sum();
    let seen_in = |state| {
        answers
            .iter()
            .filter(|answer| answer.state == state)
            .count()
    };
    for state in [
        CredentialState::Active,
        CredentialState::Locked,
        CredentialState::Revoked,
    ] {
        assert!(seen_in(state) > 0, "nobody saw {state:?}");
    }
    eprintln!(
        "seed {seed}: {count} operations on {} credentials",
        operations.len()
    );
    assert!(count > 2000);
    for (id, mut operations) in operations {
        operations.sort_by_key(|operation| operation.invoked);
        let is = is_linearizable(&operations, None, credential);
        assert!(
            is,
            "seed {seed}: credential {id} went through {operations:#?}"
        );
    }
    for answer in answers {
        let then = history.state_at(&answer.id, answer.revision);
        assert_eq!(
            then,
            Some(answer.state),
            "{answer:?} is not true at its revision"
        );
    }
}

#[test]
fn the_model_of_a_credential_knows_what_can_be_told_of_it() {
    use CredentialState::{Active, Locked, Revoked};

    let told = |calls: &[Call]| {
        let history: Vec<_> = (0..)
            .zip(calls)
            .map(|(n, &what)| Operation {
                invoked: 2 * n,
                returned: Some(2 * n + 1),
                what,
            })
            .collect();
        is_linearizable(&history, None, credential)
    };
    let lock = Call::Set(Locked, Some(Locked));
    let unlock = Call::Set(Active, Some(Active));
    let revoke = Call::Set(Revoked, Some(Revoked));
    assert!(told(&[
        Call::Issue,
        Call::See(Active),
        lock,
        lock,
        Call::See(Locked),
        unlock
    ]));
    assert!(told(&[
        Call::Issue,
        revoke,
        Call::Set(Active, None),
        Call::See(Revoked),
        revoke
    ]));
    assert!(!told(&[Call::Issue, lock, Call::See(Active)]));
    assert!(!told(&[Call::Issue, revoke, Call::See(Active)]));
    assert!(!told(&[Call::Issue, revoke, unlock]));
    assert!(!told(&[Call::Issue, lock, Call::Set(Active, None)]));
    assert!(!told(&[Call::See(Active), Call::Issue]));
}
