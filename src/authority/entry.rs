//! A credential in memory: small, because there are millions of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};

use super::names::{Interner, Symbol};
use crate::domain::credential::{Action, Change, Credential, LastUse, State, Stored};
use crate::domain::id::CredentialId;
use crate::domain::judge::Facts;
use crate::domain::keyring::Mac;
use crate::domain::names::{Description, Label, Owner, Principal, Reason, Role, Tenant};
use crate::domain::revision::Revision;
use crate::domain::time::Timestamp;
use crate::domain::token::{Generation, Kind};

/// A credential as one commit left it. Never changed but for its last use: the
/// next commit puts another in its place.
///
/// In this order in memory: what a verdict reads comes first and lies together,
/// since most entries are in no cache when they are asked for.
#[derive(Debug)]
#[repr(C)]
pub struct Entry {
    id: CredentialId,
    mac: Mac,
    generation: Generation,
    tenant: Symbol,
    kind: Kind,
    state: State,
    label_bytes: u16,
    /// [`NEVER`] if it does not expire.
    expires_at: Timestamp,
    owner: Symbol,
    /// The names of the roles, joined by commas: few sets of roles are in use.
    roles: Symbol,
    last_use: LastUseCell,
    /// Label and description, one after the other.
    texts: Box<str>,
    created_at: Timestamp,
    revision: Revision,
    state_revision: Revision,
    /// `None`: its issue, at `created_at` by `created_by` and without a reason.
    last_change: Option<Box<Change>>,
    created_by: Symbol,
    /// The name by which its holder calls credd; empty outside credd's tenant.
    principal: Symbol,
}

/// The last use as the feed has applied it, and when a use was last reported.
#[derive(Debug, Default)]
struct LastUseCell {
    /// 0: never.
    at: AtomicI64,
    by: AtomicU32,
    /// Seconds since the epoch.
    reported: AtomicU32,
}

const NEVER: Timestamp = Timestamp::from_millis(i64::MAX);
const ROLE_SEPARATOR: char = ',';

impl Entry {
    /// The entry of a record.
    #[must_use]
    pub fn new(credential: &Credential, revision: Revision, names: &Interner) -> Self {
        let Credential {
            id,
            tenant,
            owner,
            kind,
            label,
            description,
            roles,
            state,
            state_set,
            created_at,
            created_by,
            expires_at,
            generation,
            mac,
            last_change,
        } = credential;
        let Change {
            action,
            at,
            by,
            reason,
        } = last_change;
        let is_issue = *action == Action::Issue
            && at == created_at
            && by == created_by
            && reason.as_str().is_empty();
        Self {
            id: *id,
            mac: *mac,
            tenant: names.intern(tenant.as_arc()),
            owner: names.intern(owner.as_arc()),
            created_by: names.intern(created_by.as_arc()),
            principal: if tenant.is_credd() {
                names.intern(Principal::credd(owner).as_arc())
            } else {
                Interner::EMPTY
            },
            roles: intern_roles(roles, names),
            generation: *generation,
            kind: *kind,
            state: *state,
            // A label has at most 128 characters of four bytes.
            label_bytes: u16::try_from(label.as_str().len()).unwrap_or(u16::MAX),
            texts: [label.as_str(), description.as_str()].concat().into(),
            expires_at: expires_at.unwrap_or(NEVER),
            created_at: *created_at,
            revision,
            state_revision: state_set.unwrap_or(revision),
            last_change: (!is_issue).then(|| Box::new(last_change.clone())),
            last_use: LastUseCell::default(),
        }
    }

    /// The record, and the commit that wrote it.
    #[must_use]
    pub fn to_stored(&self, names: &Interner) -> Stored {
        let created_by = Principal::trusted(names.resolve(self.created_by).clone());
        let (label, description) = self.texts.split_at(usize::from(self.label_bytes));
        let last_change = self.last_change.as_deref().cloned().unwrap_or(Change {
            action: Action::Issue,
            at: self.created_at,
            by: created_by.clone(),
            reason: Reason::trusted("".into()),
        });
        Stored {
            credential: Credential {
                id: self.id,
                tenant: Tenant::trusted(names.resolve(self.tenant).clone()),
                owner: Owner::trusted(names.resolve(self.owner).clone()),
                kind: self.kind,
                label: Label::trusted(label.into()),
                description: Description::trusted(description.into()),
                roles: self
                    .roles(names)
                    .map(|role| Role::trusted(role.into()))
                    .collect(),
                state: self.state,
                state_set: Some(self.state_revision),
                created_at: self.created_at,
                created_by,
                expires_at: self.expires_at(),
                generation: self.generation,
                mac: self.mac,
                last_change,
            },
            revision: self.revision,
        }
    }

    /// What is needed to judge a claim to it.
    #[must_use]
    pub fn facts<'a>(&'a self, names: &'a Interner) -> Facts<'a> {
        Facts {
            tenant: names.resolve(self.tenant),
            kind: self.kind,
            state: self.state,
            expires_at: self.expires_at(),
            generation: self.generation,
            mac: &self.mac,
        }
    }

    /// The credential's id.
    #[must_use]
    pub const fn id(&self) -> CredentialId {
        self.id
    }

    /// Its tenant.
    #[must_use]
    pub const fn tenant(&self) -> Symbol {
        self.tenant
    }

    /// Its owner.
    #[must_use]
    pub const fn owner(&self) -> Symbol {
        self.owner
    }

    /// The name by which its holder calls credd; empty outside credd's tenant.
    #[must_use]
    pub fn principal(&self, names: &Interner) -> Principal {
        Principal::trusted(Arc::clone(names.resolve(self.principal)))
    }

    /// Its shape.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Its state.
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    /// The commit that wrote it.
    #[must_use]
    pub const fn revision(&self) -> Revision {
        self.revision
    }

    /// The number of its current secret.
    #[must_use]
    pub const fn generation(&self) -> Generation {
        self.generation
    }

    /// The MAC of its current secret.
    #[must_use]
    pub const fn mac(&self) -> &Mac {
        &self.mac
    }

    /// From when on it is denied.
    #[must_use]
    pub fn expires_at(&self) -> Option<Timestamp> {
        (self.expires_at != NEVER).then_some(self.expires_at)
    }

    /// The names of its roles.
    pub fn roles<'a>(&self, names: &'a Interner) -> impl Iterator<Item = &'a str> + use<'a> {
        let joined: &str = names.resolve(self.roles);
        joined.split_terminator(ROLE_SEPARATOR)
    }

    /// Whether it has this role.
    #[must_use]
    pub fn has_role(&self, role: &str, names: &Interner) -> bool {
        self.roles(names).any(|held| held == role)
    }

    /// The last use that is stored.
    #[must_use]
    pub fn last_use(&self, names: &Interner) -> Option<LastUse> {
        let at = self.last_use.at.load(Ordering::Relaxed);
        let by = Symbol::from_number(self.last_use.by.load(Ordering::Relaxed));
        (at != 0).then(|| LastUse {
            at: Timestamp::from_millis(at),
            by: Principal::trusted(names.resolve(by).clone()),
        })
    }

    /// Whether a use now is to be reported: at most once in `period` seconds.
    /// Of several callers at once one is told yes.
    pub fn claim_report(&self, now: Timestamp, period: u32) -> bool {
        let now = u32::try_from(now.as_millis() / 1000).unwrap_or(u32::MAX);
        let reported = self.last_use.reported.load(Ordering::Relaxed);
        // A clock that went back far is no reason never to report again.
        now.abs_diff(reported) >= period
            && self
                .last_use
                .reported
                .compare_exchange(reported, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    /// Sets the last use; only the feed does.
    pub(super) fn set_last_use(&self, last_use: Option<LastUse>, names: &Interner) {
        let (at, by) = last_use.map_or((0, Interner::EMPTY), |last_use| {
            (last_use.at.as_millis(), names.intern(last_use.by.as_arc()))
        });
        self.last_use.by.store(by.number(), Ordering::Relaxed);
        self.last_use.at.store(at, Ordering::Relaxed);
    }

    /// Takes over what an earlier entry knows of the last use.
    pub(super) fn inherit_last_use(&self, earlier: &Self) {
        let (here, there) = (&self.last_use, &earlier.last_use);
        here.at
            .store(there.at.load(Ordering::Relaxed), Ordering::Relaxed);
        here.by
            .store(there.by.load(Ordering::Relaxed), Ordering::Relaxed);
        here.reported
            .store(there.reported.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

/// The symbol of the names of roles, joined.
fn intern_roles(roles: &[Role], names: &Interner) -> Symbol {
    if roles.is_empty() {
        return Interner::EMPTY;
    }
    let roles: Vec<&str> = roles.iter().map(Role::as_str).collect();
    names.intern(&roles.join(&ROLE_SEPARATOR.to_string()).into())
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::authority::record::tests::any_credential;
    use crate::domain::keyring::KeyVersion;

    /// Some credential of this id.
    pub(in crate::authority) fn credential(id: CredentialId) -> Credential {
        let at = Timestamp::from_millis(1000);
        Credential {
            id,
            tenant: Tenant::trusted("acme".into()),
            owner: Owner::trusted("jo".into()),
            kind: Kind::ApiToken,
            label: Label::trusted("test".into()),
            description: Description::trusted("".into()),
            roles: Vec::new(),
            state: State::Active,
            state_set: None,
            created_at: at,
            created_by: Principal::system(),
            expires_at: None,
            generation: Generation::FIRST,
            mac: Mac {
                pepper: KeyVersion(1),
                tag: [1; 32],
            },
            last_change: Change {
                action: Action::Issue,
                at,
                by: Principal::system(),
                reason: Reason::trusted("".into()),
            },
        }
    }

    proptest! {
        #[test]
        fn an_entry_is_its_record(credential in any_credential(), revision in 1_u64..) {
            let names = Interner::new();
            let revision = Revision::new(revision);
            let entry = Entry::new(&credential, revision, &names);
            let stored = entry.to_stored(&names);
            let state_set = credential.state_set.or(Some(revision));
            prop_assert_eq!(stored.state_revision(), state_set.unwrap());
            prop_assert_eq!(stored, Stored { credential: Credential { state_set, ..credential }, revision });
        }
    }

    #[test]
    fn a_use_is_reported_once_in_a_period_whatever_the_clock_does() {
        let names = Interner::new();
        let entry = Entry::new(&credential(CredentialId::MIN), Revision::new(1), &names);
        let claims = |seconds: i64| entry.claim_report(Timestamp::from_millis(seconds * 1000), 10);
        assert!(claims(1000));
        assert!(!claims(1000) && !claims(1009));
        assert!(claims(1010));
        assert!(!claims(1005), "the clock went back a little");
        assert!(claims(500), "the clock went back far");
        // The next record of the credential goes on from there.
        let next = Entry::new(&credential(CredentialId::MIN), Revision::new(2), &names);
        next.inherit_last_use(&entry);
        assert!(!next.claim_report(Timestamp::from_millis(505_000), 10));
    }
}
