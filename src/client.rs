//! A client of an authority: it asks whether credentials are good, keeps the answers,
//! and follows what changes, so that it may give them again.
//!
//! ```no_run
//! use credd::client::{Client, Config};
//! use credd::proto::v1::{Presented, VerifyRequest, presented::Credential};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let mut config = Config::new(["https://credd.example:7420".parse()?]);
//! config.token_file = Some("/var/run/secrets/credd/token".into());
//! let client = Client::connect(config)?;
//!
//! let verified = client
//!     .verify(&VerifyRequest {
//!         presented: Some(Presented {
//!             credential: Some(Credential::Token("what a client presented".to_owned())),
//!         }),
//!         tenant: "acme".to_owned(),
//!         permissions: vec!["feeds:read".to_owned()],
//!         ..VerifyRequest::default()
//!     })
//!     .await?;
//! if verified.is_active() {
//!     // Let it through.
//! }
//! # Ok(())
//! # }
//! ```
//!
//! An answer is given again only while the client has a lease of the authority, and if
//! nothing that it depends on has changed: see [`crate::domain::cache`]. A request to
//! change a credential that has `fence` set returns when no client gives an answer from
//! before any more. While there is no lease every question is asked anew, and where
//! nobody can be asked the answer is UNAVAILABLE, unless the configuration allows
//! staleness ([`StalePolicy`]).

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::{Status, Streaming};

use crate::domain::cache::{At, Cache, Hashes, Hit, Miss, QuestionKey, State, Use};
use crate::domain::header::HeaderRules;
use crate::domain::lease::{BootTime, Holder};
use crate::domain::random;
use crate::proto::v1;

mod address;
mod answer;
mod ask;
mod backoff;
mod config;
pub(crate) mod connect;
mod counts;
mod facts;
pub(crate) mod first;
mod flights;
mod follow;
mod headers;
mod machine;
mod standing;
pub(crate) mod token;
mod upstream;
mod upstreams;

pub(crate) use ask::refused;
pub(crate) use backoff::jittered;
pub(crate) use upstreams::is_refusal;

pub use address::{Address, NotAnAddress};
pub use answer::{SERVED, STALE, Served, Verified};
pub use config::{CacheConfig, Config, ConfigError, StalePolicy, TlsFiles};
pub use counts::{Count, Counts, Misses};
pub use follow::{Follower, Observer};

pub use crate::domain::cache::Ends;
pub use machine::{Connecting, Connection, Io, Machine, Network};

use facts::Answer;
use flights::Flights;
use follow::Following;
use headers::Headers;
use upstreams::Upstreams;

/// A client of an authority. Copies of it share everything.
#[derive(Clone, Debug)]
pub struct Client {
    machine: Machine,
    kept: Option<Arc<Kept>>,
    upstreams: Arc<Upstreams>,
    headers: Arc<Headers>,
    following: Arc<Following>,
    counts: Arc<Counts>,
    renew: Arc<Notify>,
    /// Places for questions that are under way.
    places: Arc<Semaphore>,
    /// Ends the task that follows, when the last copy is dropped.
    follows: Option<Arc<DropGuard>>,
}

/// What is kept, and what is under way to be kept.
#[derive(Debug)]
struct Kept {
    machine: Machine,
    cache: Mutex<Cache<Answer>>,
    /// When this changes, everything that is kept is dropped afterwards.
    covered: Mutex<Covered>,
    hashes: Hashes,
    flights: Flights,
    stale: StalePolicy,
}

/// What the stream tells.
#[derive(Clone, Debug, Default, PartialEq)]
struct Covered {
    /// Which token names who is told.
    token: u64,
    /// Of whose changes, and to whom; `None`: the server does not say.
    coverage: Option<v1::Coverage>,
}

/// How a client is doing.
#[derive(Clone, Copy, Debug)]
pub struct Condition {
    /// What its cache may do; `None`: it has none.
    pub state: Option<State>,
    /// Whether it is connected to the authority that it follows.
    pub is_connected: bool,
    /// How long ago the authority said something; `None`: it never did.
    pub silence: Option<Duration>,
    /// Up to where changes were applied.
    pub applied: Option<At>,
    /// When its lease ends, or did.
    pub lease_ends_at: Option<BootTime>,
    /// How many answers are kept.
    pub entries: usize,
    /// How many uses wait to be reported.
    pub waiting_uses: usize,
    /// How many uses were dropped because too many waited.
    pub dropped_uses: u64,
}

impl Client {
    /// A client that follows, in a task of its own, until the last copy of it is
    /// dropped. It connects when it first has to.
    ///
    /// # Errors
    ///
    /// [`ConfigError`].
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn connect(config: Config) -> Result<Self, ConfigError> {
        let (mut client, follower) = Self::new(config, Machine::default(), None)?;
        if let Some(follower) = follower {
            let stop = CancellationToken::new();
            tokio::spawn(follower.run(stop.clone()));
            client.follows = Some(Arc::new(stop.drop_guard()));
        }
        Ok(client)
    }

    /// A client, with what follows for it if it is to keep answers: nothing is given
    /// from the cache unless that runs. `observer` is told what it is told.
    ///
    /// # Errors
    ///
    /// [`ConfigError`].
    pub fn new(
        config: Config,
        machine: Machine,
        observer: Option<Arc<dyn Observer>>,
    ) -> Result<(Self, Option<Follower>), ConfigError> {
        config.check()?;
        let upstreams = Arc::new(Upstreams::new(&config, &machine.network));
        let kept = match config.cache {
            None => None,
            Some(CacheConfig { limits, stale }) => Some(Arc::new(Kept {
                machine: machine.clone(),
                cache: Mutex::new(Cache::new(limits)),
                covered: Mutex::default(),
                hashes: Hashes::new(&random::bytes(&*machine.random)?),
                flights: Flights::new(config.most_questions),
                stale,
            })),
        };
        let most = config.most_questions.clamp(1, Semaphore::MAX_PERMITS);
        let client = Self {
            machine,
            kept,
            upstreams,
            headers: Arc::default(),
            following: Arc::default(),
            counts: Arc::default(),
            renew: Arc::default(),
            places: Arc::new(Semaphore::new(most)),
            follows: None,
        };
        let follower = client.kept.as_ref().map(|kept| Follower {
            kept: Arc::clone(kept),
            upstreams: Arc::clone(&client.upstreams),
            headers: Arc::clone(&client.headers),
            following: Arc::clone(&client.following),
            counts: Arc::clone(&client.counts),
            renew: Arc::clone(&client.renew),
            observer,
        });
        Ok((client, follower))
    }

    /// What it has of the machine that it runs on.
    #[must_use]
    pub const fn machine(&self) -> &Machine {
        &self.machine
    }

    /// The answer to a question, if it may be given without asking anybody. Takes well
    /// under a microsecond, and blocks for no longer.
    #[must_use]
    pub fn cached(&self, request: &v1::VerifyRequest) -> Option<Verified> {
        let kept = self.kept.as_ref()?;
        let question = facts::question(request)?;
        let least = match &request.min_revision {
            Some(least) => Some(facts::at(least)?),
            None => None,
        };
        let found = kept.find(kept.hashes.question(&question), least).ok()?;
        self.counts.hits.add();
        self.counts.verdicts.add(found.response.verdict());
        Some(found)
    }

    /// In which headers credentials of a tenant, or of any (`None`), can stand, by the
    /// profiles that there are now; `None` until they are known.
    #[must_use]
    pub fn headers(&self, tenant: Option<&str>) -> Option<Arc<HeaderRules>> {
        self.headers.rules(tenant)
    }

    /// How it is doing.
    #[must_use]
    pub fn condition(&self) -> Condition {
        let now = self.machine.now();
        let condition = Condition {
            state: None,
            is_connected: self.following.is_connected(),
            silence: self.following.silence(now.boot),
            applied: None,
            lease_ends_at: None,
            entries: 0,
            waiting_uses: 0,
            dropped_uses: 0,
        };
        let Some(kept) = &self.kept else {
            return condition;
        };
        let mut cache = kept.cache.lock();
        cache.look(now);
        Condition {
            state: Some(cache.state(now)),
            applied: cache.applied(),
            lease_ends_at: cache.lease_ends_at(),
            entries: cache.len(),
            waiting_uses: cache.uses().len(),
            dropped_uses: cache.uses().dropped(),
            ..condition
        }
    }

    /// Its lease, within which leases can be granted to others; `None`: it has no cache.
    #[must_use]
    pub fn lease(&self) -> Option<Holder> {
        let kept = self.kept.as_ref()?;
        let mut cache = kept.cache.lock();
        cache.look(self.machine.now());
        Some(cache.lease().clone())
    }

    /// Whether a question can be answered now, as far as is known: from the cache, by
    /// asking, or because staleness is allowed.
    #[must_use]
    pub fn can_answer(&self) -> bool {
        let Some(kept) = &self.kept else {
            return true;
        };
        let condition = self.condition();
        match condition.state {
            Some(State::Live) | None => true,
            _ if self.following.is_there() => true,
            Some(State::Stale) => {
                let ends_at = condition.lease_ends_at.zip(kept.stale.longest());
                ends_at.is_some_and(|(end, bound)| self.machine.now().boot < end + bound)
            }
            Some(State::Cold | State::Syncing) => false,
        }
    }

    /// What it has done.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Renews its lease at once: what it acknowledges has changed.
    pub fn renew(&self) {
        self.renew.notify_one();
    }

    /// Notes uses that others have reported, to report them with its own.
    pub fn note_uses(&self, uses: impl IntoIterator<Item = Use>) {
        if let Some(kept) = &self.kept {
            let mut cache = kept.cache.lock();
            for used in uses {
                cache.uses().note(used);
            }
        }
    }

    /// A stream of changes as the authority gives it, which asks for no lease: of the
    /// one that is followed. All these share a connection, which is not that by which
    /// this client follows: where many are not read, none of them goes on.
    ///
    /// # Errors
    ///
    /// Those of `Watch`; `DEADLINE_EXCEEDED` where it does not begin in five seconds.
    pub async fn watch(
        &self,
        first: v1::WatchRequest,
    ) -> Result<Streaming<v1::WatchResponse>, Status> {
        let upstream = self.upstreams.get(self.upstreams.current());
        let request = self.upstreams.request(tokio_stream::once(first));
        upstream.watch_for_others(request).await
    }

    /// Profiles as an authority lists them for who this client is.
    ///
    /// # Errors
    ///
    /// Those of `ListProfiles`; UNAVAILABLE where the one that is followed can't be
    /// asked (`AUTHORITY_UNREACHABLE`), or refuses (`REFUSED_BY_AUTHORITY`); and
    /// `RESOURCE_EXHAUSTED` where too many questions are under way.
    pub async fn list_profiles(
        &self,
        request: v1::ListProfilesRequest,
    ) -> Result<v1::ListProfilesResponse, Status> {
        let _place = ask::place(self)?;
        let upstream = self.upstreams.get(self.upstreams.current());
        let listed = self.upstreams.list_profiles(upstream, request).await;
        listed.map_err(ask::of_one_followed)
    }

    /// The answer to a question, from the cache or by asking; as
    /// `VerificationService.Verify` gives it.
    ///
    /// # Errors
    ///
    /// Those of `Verify`; UNAVAILABLE where nobody could be asked
    /// (`AUTHORITY_UNREACHABLE`), or the authority refuses this client, or one by which it
    /// asks (`REFUSED_BY_AUTHORITY`); and `RESOURCE_EXHAUSTED` where too many questions are under way. Every
    /// error is a no.
    pub async fn verify(&self, request: &v1::VerifyRequest) -> Result<Verified, Status> {
        self.verify_within(request, self.upstreams.patience()).await
    }

    /// The same, where the asker waits for no longer than this. Of the time, some is left
    /// to ask another address where one does not answer, or to look for what may be out
    /// of date where that is allowed.
    ///
    /// # Errors
    ///
    /// Those of [`Self::verify`].
    pub async fn verify_within(
        &self,
        request: &v1::VerifyRequest,
        patience: Duration,
    ) -> Result<Verified, Status> {
        let patience = patience.min(self.upstreams.patience());
        ask::verify(self, request, Instant::now() + patience).await
    }
}

impl Kept {
    /// The entry of a question, if it may be given now.
    fn find(&self, key: QuestionKey, least: Option<At>) -> Result<Verified, Miss> {
        // After the question came, and before what is known is looked at.
        let now = self.machine.now();
        let hit = self.cache.lock().find(key, least, now)?;
        Ok(verified(hit, Served::Cached))
    }

    /// Whether what is known of changes would show that an answer is good no longer,
    /// which was given to who has this token, about a question of this tenant, or of any
    /// that it may ask about. What the asker may do changes too: who is told must be the
    /// same.
    fn covers(&self, token: u64, tenant: &str, answer: &Answer) -> bool {
        let identity = answer.identity.as_ref();
        let of = identity.map(|identity| identity.tenant.as_str());
        let covered = self.covered.lock();
        let coverage = covered.coverage.as_ref();
        covered.token == token
            && coverage.is_none_or(|coverage| facts::covers(coverage, tenant, of))
    }
}

fn verified(hit: Hit<Answer>, served: Served) -> Verified {
    let Hit {
        answer,
        at,
        valid_for,
        ends,
    } = hit;
    Verified {
        response: answer,
        at: Some(at),
        valid_for: Some(valid_for),
        ends,
        served,
    }
}
