//! From a question to an answer: out of the cache, with those who ask the same, or by
//! asking.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use tonic::{Code, Status};

use super::answer::{Served, Verified};
use super::facts::{self, Answer, Learned};
use super::flights::{Landing, Lead, Turn};
use super::upstreams::{Said, Time, is_behind, is_of_another_store, is_of_the_way, is_refusal};
use super::{Client, Kept, verified};
use crate::domain::cache::{Asking, At, Miss, Question, QuestionKey, State};
use crate::proto::v1;
use crate::rpc::reason::Reason;
use crate::rpc::{convert, status};

/// How long one is to wait who asks while too many questions are under way.
const NO_PLACE: Duration = Duration::from_millis(100);
/// How long one is to wait whom nobody could answer.
const NOBODY: Duration = Duration::from_secs(1);

/// The answer to a question, or why there is none when it is due.
pub(super) async fn verify(
    client: &Client,
    request: &v1::VerifyRequest,
    due: Instant,
) -> Result<Verified, Status> {
    // What can't be an entry is the authority's to answer.
    let (Some(kept), Some(question)) = (&client.kept, facts::question(request)) else {
        return ask_only(client, request, due).await;
    };
    let least = match &request.min_revision {
        None => None,
        Some(least) => match facts::at(least) {
            Some(least) => Some(least),
            None => return ask_only(client, request, due).await,
        },
    };
    let asker = Asker {
        client,
        kept,
        request,
        key: kept.hashes.question(&question),
        question,
        least,
        due,
    };
    let miss = match kept.find(asker.key, least) {
        Ok(found) => {
            client.counts.hits.add();
            client.counts.verdicts.add(found.response.verdict());
            return Ok(found);
        }
        Err(miss) => miss,
    };
    client.counts.misses.add(miss);
    // Without a lease nobody may have an answer that was asked for before. And nobody
    // else is to wait for a revision that is not here yet, or to be told that there is
    // none.
    let applied = || kept.cache.lock().applied();
    let is_ahead = least.is_some_and(|least| !applied().is_some_and(|at| at.is_as_of(least)));
    if miss == Miss::NotLive || is_ahead {
        return asker.ask().await;
    }
    loop {
        let join = match kept.flights.turn(asker.key) {
            Turn::Alone => return asker.ask().await,
            Turn::Lead(lead) => return asker.lead(lead).await,
            Turn::Join(join) => join,
        };
        let landing = timeout_at(asker.waits_until(), join.landing());
        match landing.await {
            Ok(Some(Landing::Failed(status))) => return asker.without_answer(status),
            Ok(Some(Landing::Refused)) => return asker.ask().await,
            // The answer was asked for before this question came: it is looked at as
            // every entry is, now.
            Ok(Some(Landing::Answered)) => {
                if let Ok(found) = kept.find(asker.key, least) {
                    client.counts.joins.add();
                    client.counts.verdicts.add(found.response.verdict());
                    return Ok(found);
                }
                client.counts.refused_joins.add();
                return asker.ask().await;
            }
            Ok(None) => (),
            Err(_) => {
                let late = Status::deadline_exceeded("no answer came in time");
                return asker.without_answer(late);
            }
        }
    }
}

/// One question that has no answer yet.
struct Asker<'a> {
    client: &'a Client,
    kept: &'a Kept,
    request: &'a v1::VerifyRequest,
    question: Question<'a>,
    key: QuestionKey,
    least: Option<At>,
    due: Instant,
}

impl Asker<'_> {
    /// Asks for all who wait.
    async fn lead(&self, lead: Lead<'_>) -> Result<Verified, Status> {
        let outcome = self.ask().await;
        match &outcome {
            Ok(_) => lead.land(Landing::Answered),
            // Others may have more time.
            Err(_) if Instant::now() >= self.due => drop(lead),
            Err(status) if is_of_the_way(status.code()) => {
                lead.land(Landing::Failed(status.clone()));
            }
            Err(_) => lead.land(Landing::Refused),
        }
        outcome
    }

    /// Until when the answer of somebody else's question is waited for.
    fn waits_until(&self) -> Instant {
        let now = Instant::now();
        let left = self.due.saturating_duration_since(now);
        now + if self.has_stale() { left / 2 } else { left }
    }

    /// Asks, and keeps the answer.
    async fn ask(&self) -> Result<Verified, Status> {
        let Self {
            client,
            kept,
            request,
            question: _,
            key: _,
            least,
            due: _,
        } = self;
        let _place = place(client)?;
        let asking = kept.cache.lock().ask(*least, kept.machine.now());
        let wire = |at: At| convert::revision(at.store, at.revision);
        let mut message = v1::VerifyRequest {
            min_revision: asking.least.map(wire),
            ..(*request).clone()
        };
        client.counts.asked.add();
        let time = Time {
            until: self.due,
            has_fallback: self.has_stale(),
        };
        let mut outcome = client.upstreams.verify(&message, time).await;
        if let Err(status) = &outcome
            && is_of_another_store(status)
            && asking.least != *least
            && client.condition().state != Some(State::Live)
        {
            // The store was replaced, and the news of it did not come yet. What was
            // applied of the old one says nothing of it.
            message.min_revision.clone_from(&request.min_revision);
            outcome = client.upstreams.verify(&message, time).await;
        }
        match outcome {
            Ok(said) if said.is_stale => Ok(stale(client, said)),
            Ok(said) => {
                let response = Arc::new(said.response);
                if self.learn(&asking, &response) {
                    return Ok(asked(response));
                }
                // Nor is anybody to keep it who follows this process.
                Ok(Verified {
                    valid_for: Some(Duration::ZERO),
                    ..asked(response)
                })
            }
            // The store that the asker named is not there: that is the answer.
            Err(status) if is_of_another_store(&status) && asking.least == *least => Err(status),
            Err(status) if is_refusal(&status) => Err(of_the_caller(status)),
            Err(status) if is_of_the_way(status.code()) || is_of_another_store(&status) => {
                client.counts.unanswered.add();
                self.without_answer(status)
            }
            Err(status) => Err(of_the_caller(status)),
        }
    }

    /// Learns of an answer what is to be kept, or is to be given no more. Returns whether
    /// one who follows may keep it, as far as its kind is kept.
    fn learn(&self, asking: &Asking, response: &Answer) -> bool {
        let Self {
            client,
            kept,
            request,
            question,
            key,
            least: _,
            due: _,
        } = self;
        let covers = kept.covers(client.upstreams.token(), &request.tenant, response);
        match facts::learned(&kept.hashes, question, response) {
            Learned::Fact(fact) if covers => {
                let now = kept.machine.now();
                kept.cache.lock().keep(*key, asking, fact, now);
            }
            Learned::Fact(_) | Learned::Nothing => {
                kept.cache.lock().forget(*key);
                return covers;
            }
            Learned::Denied => {
                let headers = client.headers.rules(None);
                let denied = facts::denied(&kept.hashes, question.presented, headers.as_deref());
                let mut cache = kept.cache.lock();
                cache.forget(*key);
                cache.deny(denied);
            }
        }
        true
    }

    /// Whether there is something to say where nobody can be asked.
    fn has_stale(&self) -> bool {
        if self.kept.stale.longest().is_none() {
            return false;
        }
        let bound = |answer: &Answer| self.stale_for(answer);
        let now = self.kept.machine.now();
        let mut cache = self.kept.cache.lock();
        cache.has_stale(self.key, self.least, bound, now)
    }

    /// For how long without a lease an answer may be given.
    fn stale_for(&self, answer: &Answer) -> Option<Duration> {
        let tenant = answer.identity.as_ref()?.tenant.as_str();
        self.kept.stale.bound(tenant)
    }

    /// What is to be said where nobody can be asked. Where the one who asks is refused,
    /// that is the answer.
    fn without_answer(&self, status: Status) -> Result<Verified, Status> {
        if is_refusal(&status) {
            return Err(of_the_caller(status));
        }
        let bound = |answer: &Answer| self.stale_for(answer);
        let now = self.kept.machine.now();
        let mut cache = self.kept.cache.lock();
        let stale = cache.find_stale(self.key, self.least, bound, now);
        drop(cache);
        if let Some(hit) = stale {
            let found = verified(hit, Served::Stale);
            self.client.counts.served_stale.add();
            let verdicts = &self.client.counts.verdicts;
            verdicts.add(found.response.verdict());
            return Ok(found);
        }
        self.client.counts.refused_stale.add();
        // Not where it is what was applied here that the authority has not reached.
        if self.least.is_some() && is_behind(&status) {
            return Err(status);
        }
        Err(unreachable(status))
    }
}

async fn ask_only(
    client: &Client,
    request: &v1::VerifyRequest,
    due: Instant,
) -> Result<Verified, Status> {
    let _place = place(client)?;
    client.counts.asked.add();
    let time = Time {
        until: due,
        has_fallback: false,
    };
    let outcome = client.upstreams.verify(request, time).await;
    match outcome {
        Ok(said) if said.is_stale => Ok(stale(client, said)),
        Ok(said) => Ok(asked(Arc::new(said.response))),
        Err(status) if is_refusal(&status) => Err(of_the_caller(status)),
        Err(status) if is_of_the_way(status.code()) => {
            client.counts.unanswered.add();
            if is_behind(&status) {
                return Err(status);
            }
            Err(unreachable(status))
        }
        Err(status) => Err(of_the_caller(status)),
    }
}

/// A place among the questions that are under way.
pub(super) fn place(client: &Client) -> Result<tokio::sync::SemaphorePermit<'_>, Status> {
    client.places.try_acquire().map_err(|_| {
        client.counts.overloaded.add();
        status::overloaded(NO_PLACE)
    })
}

fn asked(response: Arc<v1::VerifyResponse>) -> Verified {
    let said = response.valid_for.as_ref().and_then(facts::duration);
    // What is about somebody is kept as long as is said, and no longer.
    let of_somebody = response.identity.as_ref().map(|_| Duration::ZERO);
    Verified {
        at: response.revision.as_ref().and_then(facts::at),
        valid_for: said.or(of_somebody),
        ends: facts::ends(&response),
        served: Served::Asked,
        response,
    }
}

/// An answer that may be out of date by what is said of it: nobody is to keep it.
fn stale(client: &Client, said: Said) -> Verified {
    client.counts.served_stale.add();
    Verified {
        valid_for: Some(Duration::ZERO),
        served: Served::Stale,
        ..asked(Arc::new(said.response))
    }
}

/// Nobody who could answer was reached. An authority that has too much to do says so
/// itself.
fn unreachable(status: Status) -> Status {
    if status.code() == Code::ResourceExhausted {
        return status;
    }
    tracing::debug!(code = ?status.code(), error = status.message(), "no authority answers");
    status::with_retry(
        Reason::AuthorityUnreachable,
        "no authority can be asked now",
        NOBODY,
    )
}

/// Of a call to the one that is followed: what is not about the call says that nobody
/// could be asked.
pub(super) fn of_one_followed(status: Status) -> Status {
    if is_of_the_way(status.code()) && !is_refusal(&status) {
        unreachable(status)
    } else {
        of_the_caller(status)
    }
}

/// A status that is about the question; what is about who asks on its behalf is not
/// for whoever asked here.
fn of_the_caller(status: Status) -> Status {
    match status.code() {
        Code::Unauthenticated | Code::PermissionDenied => {
            tracing::warn!(code = ?status.code(), error = status.message(), "refused by the authority");
            refused()
        }
        _ => status,
    }
}

/// What those are told who asked one whom its authority refuses.
pub(crate) fn refused() -> Status {
    status::with_retry(
        Reason::RefusedByAuthority,
        "the authority answers no questions from here",
        NOBODY,
    )
}
