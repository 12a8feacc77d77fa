//! A credential's record and the legal changes to it.

use std::sync::Arc;

use super::calendar::TimeZone;
use super::id::CredentialId;
use super::keyring::Mac;
use super::language::Language;
use super::names::{
    Attributes, Description, Label, Owner, Principal, PublicName, Reason, Role, Tenant,
};
use super::profile::ProfileRef;
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
    /// The rules by which it was issued.
    pub profile: ProfileRef,
    /// Its shape: that of its profile.
    pub kind: Kind,
    /// A short name for people.
    pub label: Label,
    /// A longer text for people.
    pub description: Description,
    /// Its roles, sorted, none twice.
    pub roles: Vec<Role>,
    /// What else was noted with it.
    pub attributes: Attributes,
    /// The language of its holder.
    pub language: Option<Language>,
    /// The time zone of its holder, in which its dates are reckoned.
    pub time_zone: Option<TimeZone>,
    /// Its state, as far as anybody set it.
    pub state: State,
    /// Since when it is known to have leaked: it is locked until it is rotated.
    pub leaked_at: Option<Timestamp>,
    /// The commit that set its state; `None`: the one that wrote this record.
    pub state_set: Option<Revision>,
    /// When it was issued.
    pub created_at: Timestamp,
    /// Who issued it.
    pub created_by: Principal,
    /// From when on it is denied; `None`: it does not expire.
    pub expires_at: Option<Timestamp>,
    /// Whether it was told that its expiry has come.
    pub expiry_told: bool,
    /// Its current secret.
    pub secret: HeldSecret,
    /// The secret before it, while that is good too.
    pub overlap: Option<Overlap>,
    /// The last secrets that are good no more, the latest first, at most
    /// [`MOST_RETIRED`].
    pub retired: Vec<HeldSecret>,
    /// The current secret, sealed, if it can be viewed again.
    pub sealed: Option<Arc<[u8]>>,
    /// The change that this record was written for.
    pub last_change: Change,
}

/// How many secrets that are good no more are remembered.
pub const MOST_RETIRED: usize = 4;

/// What credd keeps of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldSecret {
    /// Its number.
    pub generation: Generation,
    /// Its MAC.
    pub mac: Mac,
    /// Where it was made.
    pub origin: Origin,
}

/// Where a secret was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Here.
    Native,
    /// Elsewhere: the MAC is over its SHA-256, and the username or access key is
    /// this one, if the kind has one.
    Imported(Option<PublicName>),
}

/// A secret that is good beside its successor, for a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overlap {
    /// The secret.
    pub secret: HeldSecret,
    /// From when on it is good no more.
    pub ends_at: Timestamp,
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

/// When a secret was last found active, and by which service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// When.
    pub at: Timestamp,
    /// The name of the caller that asked.
    pub by: Principal,
    /// Which secret.
    pub generation: Generation,
}

/// The latest use of each secret by each service, the latest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Uses(Vec<Use>);

impl Uses {
    /// How many are remembered.
    pub const MOST: usize = 8;

    /// These uses, in order.
    #[must_use]
    pub fn new(uses: impl IntoIterator<Item = Use>) -> Self {
        let mut all = Self::default();
        for one in uses {
            all.add(one);
        }
        all
    }

    /// Adds a use, in the place of an earlier one of the same secret by the same
    /// service; forgets the earliest if there are too many, but not the latest of a
    /// secret as long as there is another.
    pub fn add(&mut self, new: Use) {
        let same = |held: &Use| held.by == new.by && held.generation == new.generation;
        if let Some(held) = self.0.iter().position(same) {
            if self.0[held].at >= new.at {
                return;
            }
            self.0.remove(held);
        }
        // Of those of the same time the first stays the first, so that adding
        // them in order keeps the order.
        let at = self.0.partition_point(|held| held.at >= new.at);
        self.0.insert(at, new);
        if self.0.len() > Self::MOST {
            // The latest use of each secret stays: it shows when an old one is quiet.
            let is_alone = |at: usize| {
                let generation = self.0[at].generation;
                !self.0[..at]
                    .iter()
                    .any(|held| held.generation == generation)
            };
            let rest = (0..self.0.len()).rev().find(|at| !is_alone(*at));
            self.0.remove(rest.unwrap_or(self.0.len() - 1));
        }
    }

    /// The latest first.
    pub fn iter(&self) -> impl Iterator<Item = &Use> {
        self.0.iter()
    }

    /// The latest of all.
    #[must_use]
    pub fn latest(&self) -> Option<&Use> {
        self.0.first()
    }

    /// The latest of a secret.
    #[must_use]
    pub fn of(&self, generation: Generation) -> Option<&Use> {
        self.0.iter().find(|held| held.generation == generation)
    }
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
    /// Its texts, roles or expiry change.
    Update,
    /// It gets a new secret.
    Rotate,
    /// Its secret was found where it should not be.
    ReportLeak,
    /// It comes from elsewhere, active.
    Import,
    /// It is told that its expiry has come.
    TellExpiry,
    /// Its record is to go.
    Remove,
}

/// What an [`Action`] that sets the state makes of a [`State`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// This state instead.
    To(State),
    /// It is in the state that the action leads to.
    Already,
    /// The credential is revoked, which nothing ends.
    IsRevoked,
}

/// The actions that set the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Set {
    /// It is denied for now.
    Lock,
    /// A lock ends.
    Unlock,
    /// It is denied for good.
    Revoke,
}

impl From<Set> for Action {
    fn from(set: Set) -> Self {
        match set {
            Set::Lock => Self::Lock,
            Set::Unlock => Self::Unlock,
            Set::Revoke => Self::Revoke,
        }
    }
}

impl State {
    /// The one table of legal transitions.
    #[must_use]
    pub const fn on(self, set: Set) -> Transition {
        match (set, self) {
            (Set::Lock, Self::Active) => Transition::To(Self::Locked),
            (Set::Unlock, Self::Locked) => Transition::To(Self::Active),
            (Set::Revoke, Self::Active | Self::Locked) => Transition::To(Self::Revoked),
            (Set::Lock, Self::Locked)
            | (Set::Unlock, Self::Active)
            | (Set::Revoke, Self::Revoked) => Transition::Already,
            (Set::Lock | Set::Unlock, Self::Revoked) => Transition::IsRevoked,
        }
    }
}

impl Credential {
    /// Its state with what leaked counted in: what it is to everybody.
    #[must_use]
    pub const fn standing(&self) -> State {
        match (self.state, self.leaked_at) {
            (State::Active, Some(_)) => State::Locked,
            (state, _) => state,
        }
    }

    /// Its state as it is shown at a time.
    #[must_use]
    pub fn shown_state(&self, now: Timestamp) -> ShownState {
        ShownState::of(self.standing(), self.expires_at, now)
    }

    /// Whether its expiry has come: from that very moment on.
    #[must_use]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|expiry| expiry <= now)
    }

    /// The overlap that runs at a time.
    #[must_use]
    pub fn running_overlap(&self, now: Timestamp) -> Option<&Overlap> {
        self.overlap
            .as_ref()
            .filter(|overlap| overlap.ends_at > now)
    }

    /// The record after its state was set by `change`. What was sealed of a
    /// revoked one is gone.
    #[must_use]
    pub fn with_state(&self, state: State, change: Change) -> Self {
        Self {
            state,
            state_set: None,
            sealed: self.sealed.clone().filter(|_| state != State::Revoked),
            last_change: change,
            ..self.clone()
        }
    }

    /// The record after another change, which leaves the state as it was set by
    /// the commit `state_set`.
    #[must_use]
    pub fn with_change(&self, state_set: Revision, change: Change) -> Self {
        Self {
            state_set: Some(state_set),
            last_change: change,
            ..self.clone()
        }
    }

    /// The record after the secret before the current one has ended.
    #[must_use]
    pub fn without_overlap(mut self) -> Self {
        if let Some(overlap) = self.overlap.take() {
            self.retired.insert(0, overlap.secret);
            self.retired.truncate(MOST_RETIRED);
        }
        self
    }

    /// The record with another secret, after the one before was retired or, with
    /// an overlap, until it is.
    #[must_use]
    pub fn with_secret(
        self,
        secret: HeldSecret,
        sealed: Option<Arc<[u8]>>,
        overlap_ends_at: Option<Timestamp>,
    ) -> Self {
        let mut retired = self.retired;
        retired.splice(0..0, self.overlap.map(|overlap| overlap.secret));
        let overlap = if let Some(ends_at) = overlap_ends_at {
            Some(Overlap {
                secret: self.secret,
                ends_at,
            })
        } else {
            retired.insert(0, self.secret);
            None
        };
        retired.truncate(MOST_RETIRED);
        Self {
            secret,
            overlap,
            retired,
            sealed,
            ..self
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
            (State::Active, Set::Lock, To(State::Locked)),
            (State::Active, Set::Unlock, Already),
            (State::Active, Set::Revoke, To(State::Revoked)),
            (State::Locked, Set::Lock, Already),
            (State::Locked, Set::Unlock, To(State::Active)),
            (State::Locked, Set::Revoke, To(State::Revoked)),
            (State::Revoked, Set::Lock, IsRevoked),
            (State::Revoked, Set::Unlock, IsRevoked),
            (State::Revoked, Set::Revoke, Already),
        ];
        for (state, action, expected) in table {
            assert_eq!(state.on(action), expected, "{action:?} of {state:?}");
        }
    }

    #[test]
    fn the_latest_use_of_a_secret_is_not_forgotten_for_those_of_another() {
        let new = |at, generation, by: &str| Use {
            at: Timestamp::from_millis(at),
            by: Principal::trusted(by.into()),
            generation: Generation::new(generation),
        };
        let mut uses = Uses::default();
        uses.add(new(1, 1, "old"));
        uses.add(new(2, 1, "older"));
        for n in 0..20 {
            uses.add(new(10 + n, 2, &format!("service {n}")));
        }
        assert_eq!(uses.iter().count(), Uses::MOST);
        assert_eq!(uses.of(Generation::new(1)), Some(&new(2, 1, "older")));
        assert_eq!(uses.latest(), Some(&new(29, 2, "service 19")));
    }
}
