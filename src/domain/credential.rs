//! A credential's record and the legal changes to it.

use super::id::CredentialId;
use super::keyring::Mac;
use super::names::{Description, Label, Owner, Principal, Reason, Role, Tenant};
use super::revision::Revision;
use super::time::Timestamp;
use super::token::{Generation, Kind};

/// A credential, as credd keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// Its id.
    pub id: CredentialId,
    /// The tenant that it belongs to.
    pub tenant: Tenant,
    /// Whose it is.
    pub owner: Owner,
    /// Its shape.
    pub kind: Kind,
    /// A short name for people.
    pub label: Label,
    /// A longer text for people.
    pub description: Description,
    /// Its roles, sorted, none twice.
    pub roles: Vec<Role>,
    /// Its state.
    pub state: State,
    /// The commit that set its state; `None`: the one that wrote this record.
    pub state_set: Option<Revision>,
    /// When it was issued.
    pub created_at: Timestamp,
    /// Who issued it.
    pub created_by: Principal,
    /// From when on it is denied; `None`: it does not expire.
    pub expires_at: Option<Timestamp>,
    /// The number of its current secret.
    pub generation: Generation,
    /// The MAC of its current secret.
    pub mac: Mac,
    /// The change that this record was written for.
    pub last_change: Change,
}

/// A record and the commit that wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The record.
    pub credential: Credential,
    /// The commit that wrote it.
    pub revision: Revision,
}

impl Stored {
    /// The commit that set the credential's state.
    #[must_use]
    pub fn state_revision(&self) -> Revision {
        self.credential.state_set.unwrap_or(self.revision)
    }
}

/// When a credential was last found active, and by which service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastUse {
    /// When.
    pub at: Timestamp,
    /// The name of the caller that asked.
    pub by: Principal,
}

/// Whether a credential is let through, as far as it was ever set: expiry comes
/// by the clock and is no state of the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// It is let through.
    Active,
    /// It is denied until somebody unlocks it.
    Locked,
    /// It is denied for good.
    Revoked,
}

/// A [`State`] as it is shown: an active credential whose expiry has come is
/// expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ShownState {
    /// Its holder is let through.
    Active,
    /// It is denied until somebody unlocks it.
    Locked,
    /// It is denied for good.
    Revoked,
    /// It is denied because its expiry has come.
    Expired,
}

impl ShownState {
    /// What is shown of a state at a time.
    #[must_use]
    pub fn of(state: State, expires_at: Option<Timestamp>, now: Timestamp) -> Self {
        match state {
            State::Revoked => Self::Revoked,
            State::Locked => Self::Locked,
            State::Active if expires_at.is_some_and(|expiry| expiry <= now) => Self::Expired,
            State::Active => Self::Active,
        }
    }
}

/// A change to a credential: what, when, by whom and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What was done.
    pub action: Action,
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub by: Principal,
    /// Why.
    pub reason: Reason,
}

/// What can be done to a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// It comes into being, active.
    Issue,
    /// It is denied for now.
    Lock,
    /// A lock ends.
    Unlock,
    /// It is denied for good.
    Revoke,
}

/// What an [`Action`] makes of a [`State`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// This state instead.
    To(State),
    /// It is in the state that the action leads to.
    Already,
    /// The credential is revoked, which nothing ends.
    IsRevoked,
    /// The credential exists.
    Exists,
}

impl State {
    /// The one table of legal transitions.
    #[must_use]
    pub const fn on(self, action: Action) -> Transition {
        match (action, self) {
            (Action::Issue, _) => Transition::Exists,
            (Action::Lock, Self::Active) => Transition::To(Self::Locked),
            (Action::Unlock, Self::Locked) => Transition::To(Self::Active),
            (Action::Revoke, Self::Active | Self::Locked) => Transition::To(Self::Revoked),
            (Action::Lock, Self::Locked)
            | (Action::Unlock, Self::Active)
            | (Action::Revoke, Self::Revoked) => Transition::Already,
            (Action::Lock | Action::Unlock, Self::Revoked) => Transition::IsRevoked,
        }
    }
}

impl Credential {
    /// Whether its expiry has come: from that very moment on.
    #[must_use]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|expiry| expiry <= now)
    }

    /// The record after its state was set by `change`.
    #[must_use]
    pub fn with_state(&self, state: State, change: Change) -> Self {
        Self {
            state,
            state_set: None,
            last_change: change,
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revocation_is_final_and_repeating_changes_nothing() {
        use Transition::{Already, IsRevoked, To};
        let table = [
            (State::Active, Action::Lock, To(State::Locked)),
            (State::Active, Action::Unlock, Already),
            (State::Active, Action::Revoke, To(State::Revoked)),
            (State::Locked, Action::Lock, Already),
            (State::Locked, Action::Unlock, To(State::Active)),
            (State::Locked, Action::Revoke, To(State::Revoked)),
            (State::Revoked, Action::Lock, IsRevoked),
            (State::Revoked, Action::Unlock, IsRevoked),
            (State::Revoked, Action::Revoke, Already),
        ];
        for (state, action, expected) in table {
            assert_eq!(state.on(action), expected, "{action:?} of {state:?}");
        }
    }
}
