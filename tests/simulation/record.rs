//! What happened in a world, and whether it may.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use credd::client::Served;
use credd::proto::v1::Verdict;
use parking_lot::Mutex;

/// Everything that is noted of a world.
#[derive(Clone)]
pub(crate) struct Record(Arc<Mutex<State>>);

struct State {
    secrets: Vec<Secret>,
    counts: BTreeMap<&'static str, u64>,
    wrong: Vec<String>,
    trace: DefaultHasher,
    tells: bool,
}

/// A secret that was issued, and since when it is good no more.
struct Secret {
    holder: Held,
    token: String,
    denied: BTreeMap<Why, Duration>,
}

/// Whose a secret is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) credential: String,
    pub(crate) owner: String,
}

/// Why a secret is good no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Why {
    Locked,
    Revoked,
    Rotated,
    OwnerDisabled,
}

/// The number of a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SecretNumber(usize);

/// How a question was answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told {
    pub(crate) verdict: Option<Verdict>,
    pub(crate) served: Option<Served>,
}

impl Record {
    /// Of a world in which nothing has happened. `tells`: what happens is written to
    /// standard error, too.
    pub(crate) fn new(tells: bool) -> Self {
        Self(Arc::new(Mutex::new(State {
            secrets: Vec::new(),
            counts: BTreeMap::new(),
            wrong: Vec::new(),
            trace: DefaultHasher::new(),
            tells,
        })))
    }

    /// Notes that something happened.
    pub(crate) fn note(&self, at: Duration, what: &str) {
        self.0.lock().note(at, what);
    }

    /// Counts something that ought to happen now and then.
    pub(crate) fn count(&self, what: &'static str, by: u64) {
        *self.0.lock().counts.entry(what).or_default() += by;
    }

    /// Notes what ought not to happen.
    pub(crate) fn wrong(&self, at: Duration, what: &str) {
        let mut state = self.0.lock();
        state.note(at, what);
        state.wrong.push(format!("at {at:?}: {what}"));
    }

    /// There is another secret.
    pub(crate) fn issued(&self, holder: Held, token: String) {
        self.0.lock().secrets.push(Secret {
            holder,
            token,
            denied: BTreeMap::new(),
        });
    }

    /// Nobody may say yes any more to what one holds who is chosen: a fenced request
    /// has returned at that time.
    pub(crate) fn denied(&self, at: Duration, why: Why, whose: impl Fn(&Held) -> bool) {
        let mut state = self.0.lock();
        for secret in state.secrets.iter_mut().filter(|it| whose(&it.holder)) {
            secret.denied.entry(why).or_insert(at);
        }
        *state.counts.entry("fences").or_default() += 1;
    }

    /// One may say yes again: it is about to be asked for.
    pub(crate) fn undone(&self, why: Why, whose: impl Fn(&Held) -> bool) {
        let mut state = self.0.lock();
        for secret in state.secrets.iter_mut().filter(|it| whose(&it.holder)) {
            secret.denied.remove(&why);
        }
    }

    /// How many secrets there are.
    pub(crate) fn len(&self) -> usize {
        self.0.lock().secrets.len()
    }

    /// One of them.
    pub(crate) fn secret(&self, number: usize) -> (SecretNumber, String) {
        let state = self.0.lock();
        (SecretNumber(number), state.secrets[number].token.clone())
    }

    /// A question arrived at `arrived`, and was answered at `at`.
    pub(crate) fn answered(
        &self,
        who: &str,
        SecretNumber(number): SecretNumber,
        arrived: Duration,
        at: Duration,
        told: Told,
    ) {
        let mut state = self.0.lock();
        let Told { verdict, served } = told;
        state.note(
            at,
            &format!("{who} {number} {arrived:?} {verdict:?} {served:?}"),
        );
        let yes = verdict == Some(Verdict::Active);
        let denied = &state.secrets[number].denied;
        let late = denied.iter().find(|(_, since)| yes && **since < arrived);
        if let Some((why, since)) = late {
            let what = format!(
                "{who} says yes ({served:?}) to a question of {arrived:?} about secret {number}, which is {why:?} everywhere since {since:?}"
            );
            state.wrong.push(format!("at {at:?}: {what}"));
            state.note(at, &what);
        }
        let what = match (yes, served) {
            (true, Some(Served::Cached)) => "yes of a cache",
            (true, _) => "yes of the authority",
            (false, Some(Served::Cached)) => "no of a cache",
            (false, _) if verdict.is_some() => "no of the authority",
            (false, _) => "unanswered",
        };
        *state.counts.entry(what).or_default() += 1;
    }

    /// What was counted, and what was wrong.
    pub(crate) fn end(&self) -> (BTreeMap<&'static str, u64>, Vec<String>, u64) {
        let state = self.0.lock();
        let trace = state.trace.finish();
        (state.counts.clone(), state.wrong.clone(), trace)
    }
}

impl State {
    fn note(&mut self, at: Duration, what: &str) {
        (at, what).hash(&mut self.trace);
        if self.tells {
            eprintln!("{at:>12.3?} {what}");
        }
    }
}
