//! What a change does: pure functions from what is known, a command and the
//! time to what is to be written and answered.

use std::sync::Arc;
use std::time::Duration;

use super::record::Record;
use crate::domain::credential::{Action, Change, Credential, LastUse, State, Stored, Transition};
use crate::domain::id::CredentialId;
use crate::domain::keyring::{Keyring, SecretOf};
use crate::domain::names::{Description, Label, Owner, Principal, Reason, Role, Tenant};
use crate::domain::revision::Revision;
use crate::domain::secret::Secret;
use crate::domain::time::Timestamp;
use crate::domain::token::{Generation, Kind};

/// A change that somebody asks for.
#[derive(Clone, Debug)]
pub enum Command {
    /// Issues a credential.
    Issue(Box<Issue>),
    /// Locks, unlocks or revokes one.
    SetState(SetState),
    /// Records uses.
    RecordUses(Vec<(CredentialId, LastUse)>),
    /// Records what the keyring must hold.
    RecordKeyring(super::record::KeyChecks),
}

impl Command {
    /// The credential that it changes, if it is about one that is there.
    #[must_use]
    pub const fn subject(&self) -> Option<CredentialId> {
        match self {
            Self::SetState(set_state) => Some(set_state.id),
            Self::Issue(_) | Self::RecordUses(_) | Self::RecordKeyring(_) => None,
        }
    }
}

/// A credential to issue.
#[derive(Clone, Debug)]
pub struct Issue {
    /// The tenant.
    pub tenant: Tenant,
    /// The owner.
    pub owner: Owner,
    /// The shape.
    pub kind: Kind,
    /// A short name for people.
    pub label: Label,
    /// A longer text for people.
    pub description: Description,
    /// Its roles, sorted, none twice.
    pub roles: Vec<Role>,
    /// When it is to expire.
    pub expiry: Expiry,
    /// Its secret.
    pub secret: Secret,
    /// Its id.
    pub id: NewId,
    /// Who asks.
    pub by: Principal,
}

/// The id of a credential to issue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewId {
    /// The next one, with these random bits.
    Next([u8; 8]),
    /// This one.
    Given(CredentialId),
}

/// When a credential is to expire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// Never.
    Never,
    /// At this moment.
    At(Timestamp),
    /// This long after its issue.
    After(Duration),
}

/// A change of a credential's state.
#[derive(Clone, Debug)]
pub struct SetState {
    /// The credential.
    pub id: CredentialId,
    /// Lock, unlock or revoke.
    pub action: Action,
    /// Why.
    pub reason: Reason,
    /// Who asks.
    pub by: Principal,
}

/// What a command may look at. Whatever it looks at stays as it is until the
/// command's writes are committed, or the command is decided anew.
pub trait View {
    /// The credential of an id.
    fn credential(&self, id: CredentialId) -> Option<Known>;
    /// Whether there is a credential of this id.
    fn exists(&self, id: CredentialId) -> bool {
        self.credential(id).is_some()
    }
    /// Every credential of credd's own tenant.
    fn callers(&self) -> Vec<Known>;
}

/// A credential as a command sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(
    clippy::large_enum_variant,
    reason = "it is looked at and passed on, never kept"
)]
pub enum Known {
    /// As a commit left it.
    Committed(Stored),
    /// As a command before this one, in the same group, leaves it. Its commit
    /// has no revision yet.
    Pending(Arc<Credential>),
}

impl Known {
    /// The credential.
    #[must_use]
    pub fn credential(&self) -> &Credential {
        match self {
            Self::Committed(stored) => &stored.credential,
            Self::Pending(credential) => credential,
        }
    }

    /// The credential and its revision, once the group was committed.
    #[must_use]
    pub fn at(self, group: Revision) -> Stored {
        match self {
            Self::Committed(stored) => stored,
            Self::Pending(credential) => Stored {
                credential: Arc::unwrap_or_clone(credential),
                revision: group,
            },
        }
    }
}

/// The surroundings of a decision.
#[derive(Debug)]
pub struct Context<'a> {
    /// The time.
    pub now: Timestamp,
    /// The keys.
    pub keyring: &'a Keyring,
    /// Ids for new credentials.
    pub ids: &'a mut IdSequence,
}

/// What a command writes and answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The records to write; none: what was asked for is so already.
    pub writes: Vec<Record>,
    /// The credential that the answer is about, as it is afterwards.
    pub answer: Option<Known>,
}

/// Why a command is not carried out. Nothing changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No credential has that id.
    #[error("there is no credential {0}")]
    NotFound(CredentialId),
    /// The credential is revoked, and nothing ends that.
    #[error("credential {0} is revoked, which is final")]
    Revoked(CredentialId),
    /// A credential has that id already.
    #[error("there is a credential {0} already")]
    Exists(CredentialId),
    /// Without it nobody could manage credd.
    #[error("credential {0} is the last one that can administer credd")]
    LastAdministrator(CredentialId),
}

/// Decides a command.
///
/// # Errors
///
/// A [`Refusal`], if what is asked for can't be.
pub fn decide(
    view: &dyn View,
    command: &Command,
    context: &mut Context<'_>,
) -> Result<Decision, Refusal> {
    match command {
        Command::Issue(issue) => decide_issue(view, issue, context),
        Command::SetState(set_state) => decide_state(view, set_state, context.now),
        Command::RecordUses(uses) => Ok(decide_uses(view, uses)),
        Command::RecordKeyring(checks) => Ok(Decision {
            writes: vec![Record::Keyring(Some(checks.clone()))],
            answer: None,
        }),
    }
}

fn decide_issue(
    view: &dyn View,
    issue: &Issue,
    context: &mut Context<'_>,
) -> Result<Decision, Refusal> {
    let id = match issue.id {
        NewId::Next(entropy) => context.ids.next(context.now, entropy),
        NewId::Given(id) if view.exists(id) => return Err(Refusal::Exists(id)),
        NewId::Given(id) => {
            context.ids.skip_to(id);
            id
        }
    };
    let generation = Generation::FIRST;
    let credential = Credential {
        id,
        tenant: issue.tenant.clone(),
        owner: issue.owner.clone(),
        kind: issue.kind,
        label: issue.label.clone(),
        description: issue.description.clone(),
        roles: issue.roles.clone(),
        state: State::Active,
        state_set: None,
        created_at: context.now,
        created_by: issue.by.clone(),
        expires_at: match issue.expiry {
            Expiry::Never => None,
            Expiry::At(at) => Some(at),
            Expiry::After(ttl) => Some(context.now.checked_add(ttl).unwrap_or(Timestamp::MAX)),
        },
        generation,
        mac: context.keyring.mac(&SecretOf {
            kind: issue.kind,
            id,
            generation,
            secret: &issue.secret,
        }),
        last_change: Change {
            action: Action::Issue,
            at: context.now,
            by: issue.by.clone(),
            reason: Reason::trusted("".into()),
        },
    };
    Ok(Decision::write(credential))
}

fn decide_state(view: &dyn View, ask: &SetState, now: Timestamp) -> Result<Decision, Refusal> {
    let known = view.credential(ask.id).ok_or(Refusal::NotFound(ask.id))?;
    let credential = known.credential();
    match credential.state.on(ask.action) {
        Transition::Already => Ok(Decision {
            writes: Vec::new(),
            answer: Some(known),
        }),
        Transition::IsRevoked | Transition::Exists => Err(Refusal::Revoked(ask.id)),
        Transition::To(state) => {
            if state != State::Active && is_last_administrator(view, credential, now) {
                return Err(Refusal::LastAdministrator(ask.id));
            }
            let change = Change {
                action: ask.action,
                at: now,
                by: ask.by.clone(),
                reason: ask.reason.clone(),
            };
            Ok(Decision::write(credential.with_state(state, change)))
        }
    }
}

/// Whether nobody but the holder of `credential` could administer credd for
/// good: with a credential that is active and does not expire.
fn is_last_administrator(view: &dyn View, credential: &Credential, now: Timestamp) -> bool {
    let administers = |c: &Credential| {
        c.tenant.is_credd()
            && c.state == State::Active
            && !c.is_expired(now)
            && c.roles
                .iter()
                .any(|role| role.as_str() == Role::ADMINISTRATOR)
    };
    let remains =
        |c: &Credential| c.id != credential.id && administers(c) && c.expires_at.is_none();
    administers(credential)
        && !view
            .callers()
            .iter()
            .any(|known| remains(known.credential()))
}

fn decide_uses(view: &dyn View, uses: &[(CredentialId, LastUse)]) -> Decision {
    let writes = uses
        .iter()
        .filter(|(id, _)| view.exists(*id))
        .map(|(id, last_use)| Record::LastUse(*id, Some(last_use.clone())))
        .collect();
    Decision {
        writes,
        answer: None,
    }
}

impl Decision {
    fn write(credential: Credential) -> Self {
        let credential = Arc::new(credential);
        Self {
            writes: vec![Record::Credential(
                credential.id,
                Some(Arc::clone(&credential)),
            )],
            answer: Some(Known::Pending(credential)),
        }
    }
}

/// Gives out ids, each greater than the one before, whatever the clock does:
/// who pages through credentials in the order of their ids then misses none
/// that is issued meanwhile.
///
/// Ids of the same millisecond are told apart by a counter in the 12 bits after
/// the time (RFC 9562 section 6.2, method 1).
#[derive(Clone, Copy, Debug)]
pub struct IdSequence {
    millis: i64,
    counter: u16,
}

impl IdSequence {
    const COUNTER_END: u16 = 1 << 12;

    /// Ids greater than `greatest`.
    #[must_use]
    pub fn after(greatest: Option<CredentialId>) -> Self {
        let mut sequence = Self {
            millis: 0,
            counter: 0,
        };
        if let Some(greatest) = greatest {
            sequence.skip_to(greatest);
        }
        sequence
    }

    /// Makes all that follow greater than this one.
    fn skip_to(&mut self, id: CredentialId) {
        let bytes = id.as_bytes();
        let millis = bytes[..6]
            .iter()
            .fold(0, |millis, &byte| millis << 8 | i64::from(byte));
        let counter = u16::from(bytes[6] & 0x0f) << 8 | u16::from(bytes[7]);
        if (millis, counter) > (self.millis, self.counter) {
            (self.millis, self.counter) = (millis, counter);
        }
    }

    /// The next id, of a credential issued `now`.
    pub fn next(&mut self, now: Timestamp, entropy: [u8; 8]) -> CredentialId {
        if now.as_millis() > self.millis {
            self.millis = now.as_millis();
            self.counter = 0;
        } else {
            self.counter += 1;
            if self.counter == Self::COUNTER_END {
                self.millis += 1;
                self.counter = 0;
            }
        }
        let mut random = [0; 10];
        random[..2].copy_from_slice(&self.counter.to_be_bytes());
        random[2..].copy_from_slice(&entropy);
        let millis = u64::try_from(self.millis).unwrap_or_default();
        let uuid = uuid::Builder::from_unix_timestamp_millis(millis, &random);
        CredentialId::from_bytes(uuid.into_uuid().into_bytes())
    }
}

#[cfg(test)]
mod tests;
