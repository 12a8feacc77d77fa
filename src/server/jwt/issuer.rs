//! One issuer: its rules, the keys that are known, and the task that fetches
//! them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use rand::RngExt as _;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::fetch::{FetchError, fetch};
use super::{IssuerSettings, IssuerStatus, Limits};
use crate::authority::caller::Trust;
use crate::domain::jwt::{IssuerRules, JwtCaller, JwtProblem, Key, KeySet, Unverified};
use crate::domain::time::{Clock, Timestamp};

/// An issuer.
#[derive(Debug)]
pub(super) struct Issuer {
    settings: IssuerSettings,
    limits: Limits,
    known: ArcSwapOption<Known>,
    progress: watch::Sender<Progress>,
    fetched: AtomicU64,
    failed: AtomicU64,
}

/// The keys that were fetched last.
#[derive(Debug)]
struct Known {
    keys: KeySet,
    /// Whether they are the issuer's still, in their order: asked by who is known by a
    /// token for longer than one call.
    trusts: Vec<Trust>,
    /// When the fetch began: they are at least as fresh.
    since: Instant,
}

/// What the task does, and what it is asked for.
#[derive(Debug, Default)]
struct Progress {
    /// Somebody wants a fetch that has not begun.
    wanted: bool,
    /// When the last fetch began, and whether it goes on.
    began: Option<Instant>,
    fetching: bool,
    /// How many have ended.
    ended: u64,
}

impl Issuer {
    pub(super) fn new(settings: IssuerSettings, limits: Limits) -> Self {
        Self {
            settings,
            limits,
            known: ArcSwapOption::empty(),
            progress: watch::Sender::default(),
            fetched: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        }
    }

    pub(super) const fn rules(&self) -> &IssuerRules {
        &self.settings.rules
    }

    /// Holds a token against the rules and the keys that are known: who presents it,
    /// and whether its key is the issuer's still.
    pub(super) fn check(
        &self,
        token: &Unverified<'_>,
        now: Timestamp,
    ) -> Result<(JwtCaller, Trust), JwtProblem> {
        let known = self.known.load();
        let known = known.as_ref().ok_or(JwtProblem::NoKeys)?;
        if known.since.elapsed() >= self.limits.max_age {
            return Err(JwtProblem::NoKeys);
        }
        let caller = token.check(self.rules(), &known.keys, now)?;
        let key = token.key(&known.keys)?;
        let trust = known.trust_in(key).ok_or(JwtProblem::UnknownKey)?;
        Ok((caller, trust.clone()))
    }

    /// Waits until the fetch that goes on has ended, or the one that this asks for;
    /// returns at once if it is too early for one.
    pub(super) async fn fetched_anew(&self) {
        let mut progress = self.progress.subscribe();
        let mut awaited = None;
        self.progress.send_if_modified(|progress| {
            let underway = progress.wanted || progress.fetching;
            let may_begin = progress
                .began
                .is_none_or(|began| began.elapsed() >= self.limits.between_fetches);
            if underway || may_begin {
                awaited = Some(progress.ended);
            }
            let asks = !underway && may_begin;
            progress.wanted |= asks;
            asks
        });
        if let Some(before) = awaited {
            let ends = progress.wait_for(|progress| progress.ended > before);
            // In time or not: the keys that are known then decide.
            let _ = timeout(self.limits.fetch_time, ends).await;
        }
    }

    /// Fetches the keys, again and again, until `stopping`.
    pub(super) async fn keep_fresh(
        self: Arc<Self>,
        clock: Arc<dyn Clock>,
        stopping: CancellationToken,
    ) {
        let mut pace = Pace::new(&self.settings, &self.limits);
        let mut progress = self.progress.subscribe();
        while let Some(outcome) = stopping.run_until_cancelled(self.fetch(&*clock)).await {
            self.tell(&outcome, pace.is_failing);
            let pause = pace.after(outcome.is_ok());
            tokio::select! {
                () = stopping.cancelled() => return,
                () = sleep(pause) => (),
                // The sender lives as long as this.
                _ = progress.wait_for(|progress| progress.wanted) => (),
            }
        }
    }

    pub(super) fn status(&self) -> IssuerStatus {
        let known = self.known.load();
        IssuerStatus {
            issuer: Arc::clone(self.rules().issuer()),
            keys: known.as_ref().map_or(0, |known| known.keys.keys().len()),
            age: known.as_ref().map(|known| known.since.elapsed()),
            fetched: self.fetched.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
        }
    }

    /// Fetches the keys once; returns those that are new.
    async fn fetch(&self, clock: &dyn Clock) -> Result<Option<Arc<Known>>, FetchError> {
        let (since, begun_at) = (Instant::now(), clock.now());
        self.progress.send_modify(|progress| {
            progress.wanted = false;
            progress.began = Some(since);
            progress.fetching = true;
        });
        let outcome = match timeout(self.limits.fetch_time, fetch(&self.settings.source)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(FetchError::TooSlow(self.limits.fetch_time)),
        };
        let outcome = outcome.map(|keys| {
            let trust_in = |key| {
                let known = self.known.load();
                let trust = known.as_ref().and_then(|known| known.trust_in(key));
                trust.cloned().unwrap_or_default()
            };
            let trusts: Vec<_> = keys.keys().iter().map(trust_in).collect();
            let until = begun_at.checked_add(self.limits.max_age);
            for trust in &trusts {
                trust.set(Some(until.unwrap_or(Timestamp::MAX)));
            }
            let new = Arc::new(Known {
                keys,
                trusts,
                since,
            });
            let old = self.known.swap(Some(Arc::clone(&new)));
            let is_same = old.is_some_and(|old| {
                old.trust_no_other_than(&new);
                old.keys == new.keys
            });
            (!is_same).then_some(new)
        });
        let count = if outcome.is_ok() {
            &self.fetched
        } else {
            &self.failed
        };
        count.fetch_add(1, Ordering::Relaxed);
        self.progress.send_modify(|progress| {
            progress.fetching = false;
            progress.ended += 1;
        });
        outcome
    }

    /// Logs what has changed.
    fn tell(&self, outcome: &Result<Option<Arc<Known>>, FetchError>, was_failing: bool) {
        let issuer = &**self.rules().issuer();
        match outcome {
            Ok(Some(known)) => {
                let (keys, unusable) = (known.keys.keys().len(), known.keys.unusable());
                if keys == 0 {
                    tracing::warn!(issuer, ?unusable, "an issuer has no key that can be used");
                } else {
                    tracing::info!(issuer, keys, ?unusable, "an issuer has new keys");
                }
            }
            Ok(None) if was_failing => {
                tracing::info!(issuer, "the keys of an issuer can be fetched again");
            }
            Ok(None) => (),
            Err(_) if was_failing => (),
            Err(error) => {
                tracing::warn!(
                    issuer,
                    %error,
                    "the keys of an issuer can't be fetched: those that are known stay for a while"
                );
            }
        }
    }
}

impl Known {
    /// Whether a key is the issuer's still; `None`: it is none of these.
    fn trust_in(&self, key: &Key) -> Option<&Trust> {
        let at = self.keys.keys().iter().position(|known| known == key)?;
        self.trusts.get(at)
    }

    /// Says of those of these keys that are not among others that they are the issuer's
    /// no more.
    fn trust_no_other_than(&self, others: &Self) {
        for (key, trust) in self.keys.keys().iter().zip(&self.trusts) {
            if others.trust_in(key).is_none() {
                trust.set(None);
            }
        }
    }
}

/// When to fetch next.
struct Pace {
    refresh: Duration,
    least: Duration,
    backoff: Duration,
    is_failing: bool,
}

impl Pace {
    const fn new(settings: &IssuerSettings, limits: &Limits) -> Self {
        Self {
            refresh: settings.refresh,
            least: limits.between_fetches,
            backoff: limits.between_fetches,
            is_failing: false,
        }
    }

    /// How long to pause: the period, or less after a failure, twice as long
    /// after each. Up to a fifth shorter, so that many servers do not ask at once.
    fn after(&mut self, succeeded: bool) -> Duration {
        self.is_failing = !succeeded;
        let pause = if succeeded {
            self.backoff = self.least;
            self.refresh
        } else {
            self.backoff = (self.backoff * 2).min(self.refresh);
            self.backoff
        };
        let jitter = rand::rng().random_range(0.0..0.2);
        pause.mul_f64(1.0 - jitter).max(self.least)
    }
}
