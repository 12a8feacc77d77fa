//! The end of a world: nobody changes anything any more, all that went wrong is over,
//! and everybody is asked about everything.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use credd::client::{Client as Sidecar, Served};
use credd::domain::cache::State;
use credd::proto::v1::Verdict;
use parking_lot::Mutex;
use tokio::time::sleep;

use crate::clocks::now;
use crate::record::Record;
use crate::support::{Client, verify_token_request};

/// What those who are asked at the end share.
#[derive(Debug, Default)]
pub(crate) struct Ending {
    begun: AtomicBool,
    /// How many are changing something.
    at_work: AtomicUsize,
    /// What each says of them.
    verdicts: Mutex<BTreeMap<&'static str, Vec<Verdict>>>,
}

/// That somebody changes something.
pub(crate) struct AtWork(Arc<Ending>);

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.at_work.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One who is asked.
pub(crate) enum Judge {
    Authority(&'static str, Box<Client>),
    Sidecar(&'static str, Box<Sidecar>),
}

/// How often it is looked whether the end has come, and whether one is well again.
const LOOK: Duration = Duration::from_millis(50);

impl Ending {
    /// Nobody begins to change anything after this.
    pub(crate) fn begin(&self) {
        self.begun.store(true, Ordering::Relaxed);
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed)
    }

    /// That somebody changes something, as long as it lives; `None`: the end has begun.
    pub(crate) fn work(self: &Arc<Self>) -> Option<AtWork> {
        if self.has_begun() {
            return None;
        }
        self.at_work.fetch_add(1, Ordering::Relaxed);
        Some(AtWork(Arc::clone(self)))
    }

    /// How many have judged everything.
    pub(crate) fn judged(&self) -> usize {
        self.verdicts.lock().len()
    }

    /// Waits for the end, then until one is well, and has it judge every secret.
    pub(crate) async fn judge(&self, judge: Judge, record: &Record) {
        while !self.has_begun() {
            sleep(LOOK).await;
        }
        while self.at_work.load(Ordering::Relaxed) > 0 {
            sleep(LOOK).await;
        }
        // What was asked for and given up may still be on its way.
        sleep(Duration::from_secs(1)).await;
        let name = match &judge {
            Judge::Authority(name, _) | Judge::Sidecar(name, _) => name,
        };
        let verdicts = loop {
            if let Some(verdicts) = judge.all(record).await {
                break verdicts;
            }
            sleep(LOOK).await;
        };
        self.verdicts.lock().insert(name, verdicts);
    }

    /// Notes who did not come back, and who says what others do not.
    pub(crate) fn settle(&self, record: &Record, names: &[&'static str], at: Duration) {
        let verdicts = self.verdicts.lock();
        for name in names {
            if !verdicts.contains_key(name) {
                record.wrong(at, &format!("{name} is not well again"));
            }
        }
        let mut all = verdicts.iter();
        if let Some((first, wanted)) = all.next() {
            for (name, said) in all.filter(|(_, said)| *said != wanted) {
                let what = format!("{first} says {wanted:?}, and {name} says {said:?}");
                record.wrong(at, &what);
            }
        }
    }
}

impl Judge {
    /// What it says of every secret; `None`: it is not well yet.
    async fn all(&self, record: &Record) -> Option<Vec<Verdict>> {
        let mut verdicts = Vec::new();
        for number in 0..record.len() {
            let (_, token) = record.secret(number);
            let Some(verdict) = self.one(&token).await else {
                if let Self::Sidecar(name, sidecar) = self {
                    let condition = sidecar.condition();
                    record.note(now(), &format!("{name} at {number}: {condition:?}"));
                }
                return None;
            };
            verdicts.push(verdict);
        }
        Some(verdicts)
    }

    async fn one(&self, token: &str) -> Option<Verdict> {
        match self {
            Self::Authority(_, client) => {
                let answer = client.verify_token(token).await.ok()?;
                Some(answer.verdict())
            }
            Self::Sidecar(_, sidecar) => {
                let question = verify_token_request(token);
                let asked = sidecar.verify(&question).await.ok()?;
                let again = sidecar.verify(&question).await.ok()?;
                let verdict = asked.response.verdict();
                let is_live = sidecar.condition().state == Some(State::Live);
                let is_same = again.response.verdict() == verdict;
                let is_kept = verdict != Verdict::Active || again.served == Served::Cached;
                (is_live && is_same && is_kept).then_some(verdict)
            }
        }
    }
}
