//! The service itself, without the wire: what [`Authority`] offers is what the
//! RPCs are made of.
//!
//! ```text
//! caller -> command (pure) -> committer (one writer, group commit) -> store
//!                                                                      | feed, durable commits only
//!                                         index <- apply <-------------+-> hub -> subscriptions
//! caller <- answer, once the feed has applied the revision
//! ```

use std::sync::Arc;
use std::time::Duration;

use crate::domain::credential::{LastUse, Stored};
use crate::domain::id::CredentialId;
use crate::domain::judge::{self, Audience, Cause, Verdict, judge};
use crate::domain::keyring::Keyring;
use crate::domain::names::{Owner, Principal};
use crate::domain::random::{self, Random, RandomUnavailable};
use crate::domain::revision::{Position, Revision, StoreId};
use crate::domain::secret::Secret;
use crate::domain::time::{Clock, Timestamp};
use crate::domain::token::{Generation, Presented};
use crate::store::Store;

pub mod command;
pub mod committer;
pub mod entry;
pub mod feed;
pub mod hub;
pub mod index;
pub mod list;
pub mod names;
pub mod record;
pub mod retention;
pub mod uses;
pub mod watch;

use command::{Command, Issue, NewId, SetState};
use committer::{CommandError, Commands, Committer, Done};
use entry::Entry;
use feed::Feed;
use hub::{Hub, LogError, LogReader};
use index::Index;
use uses::{UseWriter, Uses};
use watch::{Subscription, WatchRequest};

/// The longest time for which anybody may keep an answer.
pub const VALID_FOR: Duration = Duration::from_mins(1);

/// Issues, changes, shows and judges credentials.
#[derive(Debug)]
pub struct Authority {
    store: StoreId,
    index: Arc<Index>,
    hub: Arc<Hub>,
    log: Arc<LogReader>,
    commands: Commands,
    uses: Uses,
    keyring: Arc<Keyring>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

/// What must run for an [`Authority`] to do its work. Each ends when the
/// authority and the others are gone, or when it can't go on.
#[derive(Debug)]
pub struct Workers {
    /// To be run on a thread of its own.
    pub committer: Committer,
    /// To be run as a task.
    pub uses: UseWriter,
}

/// What an authority works with.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The store.
    pub store: Arc<dyn Store>,
    /// The feed that has loaded it.
    pub feed: Arc<Feed>,
    /// The keys.
    pub keyring: Arc<Keyring>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The source of secrets.
    pub random: Arc<dyn Random>,
}

/// A verdict and what it rests on.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The verdict.
    pub verdict: Verdict,
    /// The credential, if the verdict is ACTIVE.
    pub credential: Option<Arc<Entry>>,
    /// How long the answer may be kept; zero unless the verdict is ACTIVE.
    pub valid_for: Duration,
    /// The revision as of which it is true.
    pub revision: Revision,
}

/// An issued credential and its secret.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The credential.
    pub stored: Stored,
    /// Its secret.
    pub secret: Secret,
}

/// A credential as it is shown.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The record.
    pub stored: Stored,
    /// When it was last used.
    pub last_use: Option<LastUse>,
}

/// Somebody who calls credd with a credential of credd's own tenant.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The name that stands in records.
    pub principal: Principal,
    /// The credential.
    pub id: CredentialId,
    /// Which of its secrets was presented.
    pub generation: Generation,
}

/// The entry of a caller, and the revision as of which it was that.
#[derive(Debug, Default)]
pub struct Seen(Option<(Revision, Arc<Entry>)>);

/// A credential to issue, without what credd adds to it.
#[derive(Clone, Debug)]
pub struct NewCredential {
    /// The tenant.
    pub tenant: crate::domain::names::Tenant,
    /// The owner.
    pub owner: Owner,
    /// The shape.
    pub kind: crate::domain::token::Kind,
    /// A short name for people.
    pub label: crate::domain::names::Label,
    /// A longer text for people.
    pub description: crate::domain::names::Description,
    /// Its roles, sorted, none twice.
    pub roles: Vec<crate::domain::names::Role>,
    /// When it is to expire.
    pub expiry: command::Expiry,
}

/// Why no credential was issued.
#[derive(Clone, Debug, thiserror::Error)]
pub enum IssueError {
    /// The command came to nothing.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// There is no secret to be had; nothing changed.
    #[error(transparent)]
    Random(#[from] RandomUnavailable),
}

impl Authority {
    /// An authority, and what must run for it.
    #[must_use]
    pub fn new(parts: Parts) -> (Self, Workers) {
        let Parts {
            store,
            feed,
            keyring,
            clock,
            random,
        } = parts;
        let (commands, committer) = Committer::new(
            Arc::clone(&store),
            Arc::clone(&feed),
            Arc::clone(&keyring),
            Arc::clone(&clock),
        );
        let (uses, use_writer) = Uses::new(commands.clone());
        let authority = Self {
            store: store.id(),
            index: Arc::clone(feed.index()),
            hub: Arc::clone(feed.hub()),
            log: Arc::new(LogReader::new(store, Arc::clone(feed.index()))),
            commands,
            uses,
            keyring,
            clock,
            random,
        };
        let workers = Workers {
            committer,
            uses: use_writer,
        };
        (authority, workers)
    }

    /// The identity of the store that it works on.
    #[must_use]
    pub const fn store(&self) -> StoreId {
        self.store
    }

    /// Every credential.
    #[must_use]
    pub const fn index(&self) -> &Arc<Index> {
        &self.index
    }

    /// The keys.
    #[must_use]
    pub const fn keyring(&self) -> &Arc<Keyring> {
        &self.keyring
    }

    /// The source of nonces and secrets.
    #[must_use]
    pub fn random(&self) -> &dyn Random {
        &*self.random
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Issues a credential.
    ///
    /// # Errors
    ///
    /// [`IssueError`].
    pub async fn issue(&self, new: NewCredential, by: &Principal) -> Result<Issued, IssueError> {
        let secret = Secret::new(random::bytes(self.random())?);
        let id = NewId::Next(random::bytes(self.random())?);
        self.issue_as(new, by, id, secret).await
    }

    /// Issues a credential with an id and a secret that were drawn before.
    ///
    /// # Errors
    ///
    /// [`IssueError`].
    pub async fn issue_as(
        &self,
        new: NewCredential,
        by: &Principal,
        id: NewId,
        secret: Secret,
    ) -> Result<Issued, IssueError> {
        let NewCredential {
            tenant,
            owner,
            kind,
            label,
            description,
            roles,
            expiry,
        } = new;
        let command = Command::Issue(Box::new(Issue {
            tenant,
            owner,
            kind,
            label,
            description,
            roles,
            expiry,
            secret: secret.clone(),
            id,
            by: by.clone(),
        }));
        let stored = answered(self.commands.run(command).await?)?;
        Ok(Issued { stored, secret })
    }

    /// Locks, unlocks or revokes a credential. The answer is the credential as
    /// it is then; if it was so before, nothing is written.
    ///
    /// # Errors
    ///
    /// [`CommandError`].
    pub async fn set_state(&self, set_state: SetState) -> Result<Shown, CommandError> {
        let id = set_state.id;
        let stored = answered(self.commands.run(Command::SetState(set_state)).await?)?;
        let (_, entry) = self.index.read(|index| index.credential(id));
        let last_use = entry.and_then(|entry| entry.last_use(self.index.names()));
        Ok(Shown { stored, last_use })
    }

    /// A credential, and the revision as of which it is so.
    #[must_use]
    pub fn get(&self, id: CredentialId) -> (Revision, Option<Shown>) {
        let (revision, entry) = self.index.read(|index| index.credential(id));
        (revision, entry.map(|entry| self.show(&entry)))
    }

    /// An entry as it is shown.
    #[must_use]
    pub fn show(&self, entry: &Entry) -> Shown {
        Shown {
            stored: entry.to_stored(self.index.names()),
            last_use: entry.last_use(self.index.names()),
        }
    }

    /// Judges what was presented, on behalf of `audience`, as `by` asks.
    #[must_use]
    pub fn verify(
        &self,
        presented: Presented<'_>,
        audience: Audience<'_>,
        by: &Principal,
    ) -> Answer {
        let answer = self.judge(presented, audience);
        if let Some(entry) = &answer.0.credential {
            self.uses.report(entry, answer.1, by);
        }
        answer.0
    }

    /// Finds who presents this token, and with which of credd's own credentials,
    /// if that is good.
    #[must_use]
    pub fn authenticate(&self, token: &str) -> Option<(Caller, Arc<Entry>)> {
        let (answer, now) = self.judge(Presented::Token(token), Audience::Credd);
        let entry = answer.credential?;
        let names = self.index.names();
        let principal = entry.principal(names);
        self.uses.report(&entry, now, &principal);
        let caller = Caller {
            principal,
            id: entry.id(),
            generation: entry.generation(),
        };
        Some((caller, entry))
    }

    /// As [`is_still_good`](Self::is_still_good), for who asks before every answer
    /// of a stream: the entry that was found is looked up again only when
    /// another commit was applied, since until then it is the same.
    #[must_use]
    pub fn is_good_yet(&self, caller: &Caller, seen: &mut Seen) -> bool {
        let revision = self.index.revision();
        if seen.0.as_ref().is_none_or(|seen| seen.0 != revision) {
            let (revision, entry) = self.index.read(|index| index.credential(caller.id));
            seen.0 = entry.map(|entry| (revision, entry));
        }
        seen.0
            .as_ref()
            .is_some_and(|(_, entry)| self.is_good(entry, caller))
    }

    /// Whether a caller that was known is still good, with the same secret.
    #[must_use]
    pub fn is_still_good(&self, caller: &Caller) -> bool {
        let (_, entry) = self.index.read(|index| index.credential(caller.id));
        entry.is_some_and(|entry| self.is_good(&entry, caller))
    }

    fn is_good(&self, entry: &Entry, caller: &Caller) -> bool {
        entry.generation() == caller.generation
            && judge::standing(entry.state(), entry.expires_at(), self.clock.now())
                == Verdict::Active
    }

    /// The position of the latest commit, to read and to wait for.
    #[must_use]
    pub fn reached(&self) -> tokio::sync::watch::Receiver<Position> {
        self.hub.reached()
    }

    /// Starts to follow what changes.
    ///
    /// # Errors
    ///
    /// [`LogError`] if the log can't be read.
    pub async fn watch(&self, request: WatchRequest) -> Result<Subscription, LogError> {
        Subscription::start(
            Arc::clone(&self.index),
            Arc::clone(&self.hub),
            Arc::clone(&self.log),
            self.store,
            request,
        )
        .await
    }

    /// Carries out a command of credd's own.
    ///
    /// # Errors
    ///
    /// [`CommandError`].
    pub async fn run(&self, command: Command) -> Result<Done, CommandError> {
        self.commands.run(command).await
    }

    /// The clock is read after the request came, and so is the index.
    fn judge(&self, presented: Presented<'_>, audience: Audience<'_>) -> (Answer, Timestamp) {
        let now = self.clock.now();
        let claim = match presented.parse() {
            Ok(claim) => claim,
            Err(malformed) => {
                let invalid = Verdict::Invalid(Cause::Malformed(malformed));
                return (Answer::no(invalid, self.index.applied().revision), now);
            }
        };
        let (revision, entry) = self.index.read(|index| index.credential(claim.id));
        let facts = entry
            .as_deref()
            .map(|entry| entry.facts(self.index.names()));
        let verdict = judge(&claim, facts, &*self.keyring, audience, now);
        let answer = match entry {
            Some(entry) if verdict == Verdict::Active => Answer {
                verdict,
                valid_for: judge::valid_for(entry.expires_at(), now, VALID_FOR),
                credential: Some(entry),
                revision,
            },
            _ => Answer::no(verdict, revision),
        };
        (answer, now)
    }
}

impl Answer {
    const fn no(verdict: Verdict, revision: Revision) -> Self {
        Self {
            verdict,
            credential: None,
            valid_for: Duration::ZERO,
            revision,
        }
    }
}

fn answered(done: Done) -> Result<Stored, CommandError> {
    // A command on a credential is answered with it.
    done.credential.ok_or(CommandError::StoreFailed)
}
