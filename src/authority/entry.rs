//! A credential in memory: small, because there are millions of them.

use std::sync::Arc;

use super::directory::{Directory, OwnerNumber, ProfileNumber, TenantNumber};
use super::names::{Interner, Symbol};
use crate::domain::calendar::TimeZone;
use crate::domain::credential::{
    Action, Change, Credential, HeldSecret, Origin, Overlap, State, Stored,
};
use crate::domain::id::CredentialId;
use crate::domain::judge::{Facts, Held};
use crate::domain::keyring::Mac;
use crate::domain::language::Language;
use crate::domain::names::{
    AttributeKey, AttributeValue, Attributes, Description, Label, Owner, Principal, PublicName,
    Reason, Role, Tenant,
};
use crate::domain::revision::Revision;
use crate::domain::time::Timestamp;
use crate::domain::token::{Generation, Kind};

mod keys;
mod uses;

use uses::UseCell;

/// A credential as one commit left it. Never changed but for its uses: the next
/// commit puts another in its place.
///
/// In this order in memory: what a verdict reads comes first and lies together,
/// since most entries are in no cache when they are asked for.
#[derive(Debug)]
#[repr(C)]
pub struct Entry {
    id: CredentialId,
    mac: Mac,
    generation: Generation,
    tenant: TenantNumber,
    kind: Kind,
    /// What it is to everybody: locked if it leaked.
    standing: State,
    /// How long the label is; and [`REKEYED`].
    label_bytes: u16,
    /// [`NEVER`] if it does not expire.
    expires_at: Timestamp,
    owner: OwnerNumber,
    profile: ProfileNumber,
    /// What few credentials have.
    rare: Option<Box<Rare>>,
    uses: UseCell,
    /// The names of the roles, joined by commas: few sets of roles are in use.
    roles: Symbol,
    created_by: Symbol,
    /// Label and description, one after the other.
    texts: Box<str>,
    created_at: Timestamp,
    revision: Revision,
    state_revision: Revision,
    /// `None`: its issue, at `created_at` by `created_by` and without a reason.
    last_change: Option<Box<Change>>,
}

/// What few credentials have.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rare {
    attributes: Attributes,
    language: Option<Language>,
    time_zone: Option<TimeZone>,
    /// As it was set: what leaked is locked whatever this says.
    state: State,
    leaked_at: Option<Timestamp>,
    expiry_told: bool,
    origin: Origin,
    overlap: Option<Overlap>,
    retired: Vec<HeldSecret>,
    sealed: Option<Arc<[u8]>>,
}

const NEVER: Timestamp = Timestamp::from_millis(i64::MAX);
const ROLE_SEPARATOR: char = ',';
/// That a record beside the credential's own says what was made anew of its
/// secrets: a bit that no length of a label has.
const REKEYED: u16 = 1 << 15;

impl Entry {
    /// The entry of a record.
    #[must_use]
    pub(super) fn new(
        credential: &Credential,
        revision: Revision,
        names: &Interner,
        directory: &Directory,
    ) -> Self {
        let standing = credential.standing();
        let Credential {
            id,
            tenant,
            owner,
            profile,
            kind,
            label,
            description,
            roles,
            attributes,
            language,
            time_zone,
            state,
            leaked_at,
            state_set,
            created_at,
            created_by,
            expires_at,
            expiry_told,
            secret,
            overlap,
            retired,
            sealed,
            last_change,
        } = credential;
        let HeldSecret {
            generation,
            mac,
            origin,
        } = secret;
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
        let rare = Rare {
            attributes: attributes.clone(),
            language: language.clone(),
            time_zone: time_zone.clone(),
            state: *state,
            leaked_at: *leaked_at,
            expiry_told: *expiry_told,
            origin: origin.clone(),
            overlap: overlap.clone(),
            retired: retired.clone(),
            sealed: sealed.clone(),
        };
        let tenant = directory.number_of_tenant(tenant.as_arc(), names);
        Self {
            id: *id,
            mac: *mac,
            generation: *generation,
            tenant,
            owner: directory.number_of_owner(tenant, owner.as_arc(), names),
            profile: directory.number_of_profile(profile, names),
            kind: *kind,
            standing,
            // A label has at most 128 characters of four bytes.
            label_bytes: u16::try_from(label.as_str().len()).unwrap_or(u16::MAX) & !REKEYED,
            expires_at: expires_at.unwrap_or(NEVER),
            rare: (rare != Rare::common(standing)).then(|| Box::new(rare)),
            uses: UseCell::default(),
            roles: intern_roles(roles, names),
            created_by: names.intern(created_by.as_arc()),
            texts: [label.as_str(), description.as_str()].concat().into(),
            created_at: *created_at,
            revision,
            // One that was brought from another store counts by that one's revisions.
            state_revision: state_set.map_or(revision, |set| set.min(revision)),
            last_change: (!is_issue).then(|| Box::new(last_change.clone())),
        }
    }

    /// The record, and the commit that wrote it.
    #[must_use]
    pub fn to_stored(&self, names: &Interner, directory: &Directory) -> Stored {
        let created_by = Principal::trusted(names.resolve(self.created_by).clone());
        let (label, description) = self.texts.split_at(self.label_bytes());
        let last_change = self.last_change.as_deref().cloned().unwrap_or(Change {
            action: Action::Issue,
            at: self.created_at,
            by: created_by.clone(),
            reason: Reason::trusted("".into()),
        });
        let Rare {
            attributes,
            language,
            time_zone,
            state,
            leaked_at,
            expiry_told,
            origin,
            overlap,
            retired,
            sealed,
        } = self
            .rare
            .as_deref()
            .cloned()
            .unwrap_or_else(|| Rare::common(self.standing));
        Stored {
            credential: Credential {
                id: self.id,
                tenant: Tenant::trusted(directory.tenant_name(self.tenant, names).clone()),
                owner: Owner::trusted(directory.owner_name(self.owner, names).clone()),
                profile: directory.reference(self.profile, names),
                kind: self.kind,
                label: Label::trusted(label.into()),
                description: Description::trusted(description.into()),
                roles: self
                    .roles(names)
                    .map(|role| Role::trusted(role.into()))
                    .collect(),
                attributes,
                language,
                time_zone,
                state,
                leaked_at,
                state_set: Some(self.state_revision),
                created_at: self.created_at,
                created_by,
                expires_at: self.expires_at(),
                expiry_told,
                secret: HeldSecret {
                    generation: self.generation,
                    mac: self.mac,
                    origin,
                },
                overlap,
                retired,
                sealed,
                last_change,
            },
            revision: self.revision,
        }
    }

    /// What is needed to judge a claim to it.
    #[must_use]
    pub fn facts<'a>(&'a self, names: &'a Interner, directory: &Directory) -> Facts<'a> {
        let rare = self.rare.as_deref();
        Facts {
            tenant: directory.tenant_name(self.tenant, names),
            kind: self.kind,
            state: self.standing,
            tenant_disabled: directory.tenant_disabled(self.tenant),
            owner_disabled: directory.owner_disabled(self.owner),
            expires_at: self.expires_at(),
            secret: Held {
                generation: self.generation,
                mac: &self.mac,
                imported: rare.and_then(|rare| imported_name(&rare.origin)),
            },
            overlap: rare.and_then(|rare| rare.overlap.as_ref()).map(|overlap| {
                let held = Held {
                    generation: overlap.secret.generation,
                    mac: &overlap.secret.mac,
                    imported: imported_name(&overlap.secret.origin),
                };
                (held, overlap.ends_at)
            }),
        }
    }

    /// The credential's id.
    #[must_use]
    pub const fn id(&self) -> CredentialId {
        self.id
    }

    /// Its tenant.
    #[must_use]
    pub const fn tenant(&self) -> TenantNumber {
        self.tenant
    }

    /// Its owner.
    #[must_use]
    pub const fn owner(&self) -> OwnerNumber {
        self.owner
    }

    /// The version of the profile by which it was issued.
    #[must_use]
    pub const fn profile(&self) -> ProfileNumber {
        self.profile
    }

    /// Its shape.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Its state, with what leaked counted in.
    #[must_use]
    pub const fn standing(&self) -> State {
        self.standing
    }

    /// Whether its secret was found where it should not be, and was not made anew.
    #[must_use]
    pub fn has_leaked(&self) -> bool {
        self.rare
            .as_deref()
            .is_some_and(|rare| rare.leaked_at.is_some())
    }

    /// The commit that wrote it.
    #[must_use]
    pub const fn revision(&self) -> Revision {
        self.revision
    }

    /// When it was issued.
    #[must_use]
    pub const fn created_at(&self) -> Timestamp {
        self.created_at
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

    /// The MACs of its secrets that were made elsewhere, by which it is found.
    pub(super) fn imported_macs(&self) -> impl Iterator<Item = Mac> {
        let rare = self.rare.as_deref();
        let is_imported = |origin: &Origin| matches!(origin, Origin::Imported(_));
        let current = rare
            .filter(|rare| is_imported(&rare.origin))
            .map(|_| self.mac);
        let overlap = rare.and_then(|rare| rare.overlap.as_ref());
        let overlapping = overlap
            .filter(|overlap| is_imported(&overlap.secret.origin))
            .map(|overlap| overlap.secret.mac);
        current.into_iter().chain(overlapping)
    }

    /// Whether it has, or had of late, other secrets than the current one.
    #[must_use]
    pub fn has_earlier_secrets(&self) -> bool {
        let rare = self.rare.as_deref();
        rare.is_some_and(|rare| !rare.retired.is_empty() || rare.overlap.is_some())
    }

    /// The secret of this number that came before the current one: retired, or in an
    /// overlap, which may have ended.
    #[must_use]
    pub fn earlier_secret(&self, generation: Generation) -> Option<&HeldSecret> {
        let rare = self.rare.as_deref()?;
        let overlap = rare.overlap.as_ref().map(|overlap| &overlap.secret);
        let mut earlier = rare.retired.iter().chain(overlap);
        earlier.find(|held| held.generation == generation)
    }

    /// From when on it is denied.
    #[must_use]
    pub fn expires_at(&self) -> Option<Timestamp> {
        (self.expires_at != NEVER).then_some(self.expires_at)
    }

    /// Whether it was told that its expiry has come.
    #[must_use]
    pub fn expiry_told(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.expiry_told)
    }

    /// Its label.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.texts[..self.label_bytes()]
    }

    fn label_bytes(&self) -> usize {
        usize::from(self.label_bytes & !REKEYED)
    }

    /// What else was noted with it.
    #[must_use]
    pub fn attributes(&self) -> &[(AttributeKey, AttributeValue)] {
        self.rare.as_ref().map_or(&[], |rare| &rare.attributes)
    }

    /// The language of its holder.
    #[must_use]
    pub fn language(&self) -> Option<&Language> {
        self.rare.as_ref()?.language.as_ref()
    }

    /// The time zone of its holder.
    #[must_use]
    pub fn time_zone(&self) -> Option<&TimeZone> {
        self.rare.as_ref()?.time_zone.as_ref()
    }

    /// When the change was made that this was written for.
    #[must_use]
    pub fn last_change_at(&self) -> Timestamp {
        self.last_change
            .as_ref()
            .map_or(self.created_at, |change| change.at)
    }

    /// The symbol of the names of its roles, joined.
    #[must_use]
    pub const fn role_set(&self) -> Symbol {
        self.roles
    }

    /// The names of its roles.
    pub fn roles<'a>(&self, names: &'a Interner) -> impl Iterator<Item = &'a str> + use<'a> {
        roles_of(self.roles, names)
    }
}

impl Rare {
    /// What most credentials have in its place.
    const fn common(standing: State) -> Self {
        Self {
            attributes: Vec::new(),
            language: None,
            time_zone: None,
            state: standing,
            leaked_at: None,
            expiry_told: false,
            origin: Origin::Native,
            overlap: None,
            retired: Vec::new(),
            sealed: None,
        }
    }
}

fn imported_name(origin: &Origin) -> Option<&str> {
    match origin {
        Origin::Native => None,
        Origin::Imported(name) => Some(name.as_ref().map_or("", PublicName::as_str)),
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

/// The names of roles that were joined.
pub(super) fn roles_of(set: Symbol, names: &Interner) -> impl Iterator<Item = &str> + use<'_> {
    let joined: &str = names.resolve(set);
    joined.split_terminator(ROLE_SEPARATOR)
}

#[cfg(test)]
pub(super) mod tests;
