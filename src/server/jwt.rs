//! The issuers whose JWTs name callers, and their keys, kept fresh.
//!
//! ```text
//! token -> Unverified -> the issuer it names -> its rules, its keys -> JwtCaller
//!                                                     ^
//!                      file or URL -> task of the issuer (period; unknown key)
//! ```
//!
//! - A token is routed by the issuer that it names, before it is believed, to the
//!   rules and the keys of that issuer alone.
//! - Checking one takes no lock and waits for nothing, unless its key is unknown:
//!   then the keys are fetched once for all who wait, but not more often than
//!   [`Limits::between_fetches`], and nobody waits for longer than
//!   [`Limits::fetch_time`].
//! - A fetch that succeeds replaces all keys: what an issuer has dropped is good
//!   no more. After one that fails, the keys that there are stay, until they are
//!   [`Limits::max_age`] old: then nobody is believed.

mod fetch;
mod http;
mod issuer;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

pub use self::http::{InvalidUrl, JwksUrl};
use self::issuer::Issuer;
use super::supervise::Supervisor;
use crate::authority::caller::Trust;
use crate::domain::jwt::{IssuerRules, JwtCaller, JwtProblem, Unverified};
use crate::domain::time::{Clock, Timestamp};
use crate::rpc::identify::{Checking, Named, Tokens};

/// Somebody whose tokens name callers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerSettings {
    /// What is asked of the tokens.
    pub rules: IssuerRules,
    /// Where the keys are.
    pub source: JwksSource,
    /// How often they are fetched: [`Limits::between_fetches`] to half of
    /// [`Limits::max_age`].
    pub refresh: Duration,
}

/// Where the keys of an issuer are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JwksSource {
    /// A file, which may be replaced.
    File(PathBuf),
    /// What a server answers. Redirects are not followed.
    Url {
        /// The address.
        url: JwksUrl,
        /// The certificates (PEM) of those who may vouch for the server, instead
        /// of those that the system trusts. Read at each fetch.
        ca_file: Option<PathBuf>,
        /// A bearer token for the server. Read at each fetch.
        token_file: Option<PathBuf>,
    },
}

/// How often and for how long keys are fetched and kept.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How much time lies between the beginnings of two fetches, at least.
    pub between_fetches: Duration,
    /// How long a fetch may take, and whoever waits for one.
    pub fetch_time: Duration,
    /// For how long keys are trusted after they were fetched.
    pub max_age: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            between_fetches: Duration::from_secs(10),
            fetch_time: Duration::from_secs(5),
            max_age: Duration::from_hours(24),
        }
    }
}

/// Why settings are none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidIssuers {
    /// Two have the same name.
    #[error("the issuer `{0}` stands twice")]
    Twice(Arc<str>),
    /// The keys would be fetched too often, or become too old in between.
    #[error("the keys of the issuer `{issuer}` must be fetched every {least:?} to {most:?}")]
    Refresh {
        /// Whose.
        issuer: Arc<str>,
        /// The shortest period.
        least: Duration,
        /// The longest.
        most: Duration,
    },
}

/// What there is to say of the keys of an issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerStatus {
    /// Its name.
    pub issuer: Arc<str>,
    /// How many keys of it there are that tokens may be signed with.
    pub keys: usize,
    /// How long ago they were fetched; `None` if they never were.
    pub age: Option<Duration>,
    /// How often they were fetched.
    pub fetched: u64,
    /// How often that failed.
    pub failed: u64,
}

/// All issuers that are configured.
#[derive(Debug)]
pub struct Issuers {
    issuers: HashMap<Arc<str>, Arc<Issuer>>,
    clock: Arc<dyn Clock>,
}

impl Issuers {
    /// These issuers, of whom no keys are known yet.
    ///
    /// # Errors
    ///
    /// [`InvalidIssuers`].
    pub fn new(
        settings: Vec<IssuerSettings>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, InvalidIssuers> {
        Self::with_limits(settings, clock, Limits::default())
    }

    /// The same with other limits.
    ///
    /// # Errors
    ///
    /// [`InvalidIssuers`].
    pub fn with_limits(
        settings: Vec<IssuerSettings>,
        clock: Arc<dyn Clock>,
        limits: Limits,
    ) -> Result<Self, InvalidIssuers> {
        let mut issuers = HashMap::new();
        for settings in settings {
            let name = Arc::clone(settings.rules.issuer());
            let (least, most) = (limits.between_fetches, limits.max_age / 2);
            if !(least..=most).contains(&settings.refresh) {
                return Err(InvalidIssuers::Refresh {
                    issuer: name,
                    least,
                    most,
                });
            }
            let issuer = Arc::new(Issuer::new(settings, limits));
            if issuers.insert(Arc::clone(&name), issuer).is_some() {
                return Err(InvalidIssuers::Twice(name));
            }
        }
        Ok(Self { issuers, clock })
    }

    /// Starts to fetch the keys: a task for each issuer, until `stopping`.
    pub fn start(&self, supervisor: &mut Supervisor, stopping: &CancellationToken) {
        for issuer in self.issuers.values() {
            let clock = Arc::clone(&self.clock);
            let fetching = Arc::clone(issuer).keep_fresh(clock, stopping.clone());
            supervisor.task("issuer keys", async move {
                fetching.await;
                Ok(())
            });
        }
    }

    /// Who presents this token. Waits for the keys of the issuer to be fetched, if
    /// the one that the token needs is unknown and they may be fetched now.
    ///
    /// # Errors
    ///
    /// [`JwtProblem`] says what keeps the token from being believed.
    pub async fn caller(&self, token: &str) -> Result<JwtCaller, JwtProblem> {
        self.check(token).await.map(|(caller, _)| caller)
    }

    async fn check(&self, token: &str) -> Result<(JwtCaller, Trust), JwtProblem> {
        let (token, issuer) = self.issuer_of(token)?;
        match issuer.check(&token, self.clock.now()) {
            Err(problem) if problem.is_for_want_of_keys() => {
                issuer.fetched_anew().await;
                issuer.check(&token, self.clock.now())
            }
            outcome => outcome,
        }
    }

    /// The same by the keys that are known, without waiting: if the problem
    /// [is for want of keys](JwtProblem::is_for_want_of_keys), [`caller`](Self::caller)
    /// may have another answer.
    ///
    /// # Errors
    ///
    /// [`JwtProblem`] says what keeps the token from being believed.
    pub fn caller_now(&self, token: &str) -> Result<JwtCaller, JwtProblem> {
        self.check_now(token).map(|(caller, _)| caller)
    }

    fn check_now(&self, token: &str) -> Result<(JwtCaller, Trust), JwtProblem> {
        let (token, issuer) = self.issuer_of(token)?;
        issuer.check(&token, self.clock.now())
    }

    /// Until when such a caller is one, while the key of its token is its issuer's.
    #[must_use]
    pub fn good_until(&self, caller: &JwtCaller) -> Timestamp {
        let issuer = self.issuers.get(caller.issuer());
        issuer.map_or(caller.expires_at(), |issuer| {
            caller.good_until(issuer.rules())
        })
    }

    fn named(&self, (caller, trust): (JwtCaller, Trust)) -> Named {
        Named {
            until: self.good_until(&caller),
            principal: caller.principal().clone(),
            trust,
        }
    }

    /// What there is to say of each issuer, in no order.
    pub fn status(&self) -> impl Iterator<Item = IssuerStatus> {
        self.issuers.values().map(|issuer| issuer.status())
    }

    /// A token, and the issuer that it names, neither to be believed yet.
    fn issuer_of<'a>(&self, token: &'a str) -> Result<(Unverified<'a>, &Issuer), JwtProblem> {
        let token = Unverified::parse(token)?;
        let issuer = self.issuers.get(token.issuer());
        Ok((token, issuer.ok_or(JwtProblem::Issuer)?))
    }
}

impl Tokens for Issuers {
    fn named_now(&self, token: &str) -> Result<Named, JwtProblem> {
        self.check_now(token).map(|checked| self.named(checked))
    }

    fn named<'a>(&'a self, token: &'a str) -> Checking<'a> {
        Box::pin(async { self.check(token).await.map(|checked| self.named(checked)) })
    }
}

#[cfg(test)]
mod tests;
