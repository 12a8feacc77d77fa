//! Changing tenants, owners, roles and profiles.

use std::sync::Arc;

use bytes::Bytes;

use super::{Answer, Decision, KnownRecord, Refusal, Thing, View, administrators, expect};
use crate::authority::record::{Record, owner_key, role_key, tenant_key};
use crate::domain::directory::{
    DirectoryAction, DirectoryChange, OwnerRecord, OwnerRef, Permissions, ProfileRecord,
    RoleRecord, RoleRef, TenantRecord,
};
use crate::domain::names::{
    Description, DisplayName, Group, OwnerPrincipal, Principal, Reason, Role, Tenant,
};
use crate::domain::profile::{Profile, ProfileFamily, ProfileRef, Scope};
use crate::domain::revision::Revision;
use crate::domain::time::Timestamp;

/// A change of the directory.
#[derive(Clone, Debug)]
pub struct DirectoryCommand {
    /// What to do.
    pub what: What,
    /// Why.
    pub reason: Reason,
    /// Who asks.
    pub by: Principal,
    /// The revision of the record that the caller knows.
    pub expected: Option<Revision>,
}

/// What can be done in the directory.
#[derive(Clone, Debug)]
pub enum What {
    /// Puts a tenant.
    PutTenant(PutTenant),
    /// Disables a tenant, or enables it.
    DisableTenant(Tenant, bool),
    /// Deletes a tenant.
    DeleteTenant(Tenant),
    /// Puts an owner.
    PutOwner(PutOwner),
    /// Disables an owner, or enables it.
    DisableOwner(OwnerRef, bool),
    /// Chooses the default source of an owner.
    SetDefaultSource(OwnerRef, Option<Group>),
    /// Deletes an owner.
    DeleteOwner(OwnerRef),
    /// Puts a role.
    PutRole(PutRole),
    /// Deletes a role.
    DeleteRole(RoleRef),
    /// Puts a profile.
    PutProfile(PutProfile),
    /// Deletes a profile.
    DeleteProfile(ProfileFamily),
}

/// A tenant to put.
#[derive(Clone, Debug)]
pub struct PutTenant {
    /// Its name.
    pub name: Tenant,
    /// Its name for people.
    pub display_name: DisplayName,
    /// A longer text.
    pub description: Description,
}

/// An owner to put.
#[derive(Clone, Debug)]
pub struct PutOwner {
    /// The owner.
    pub owner: OwnerRef,
    /// Its name for people.
    pub display_name: DisplayName,
    /// The callers who are this owner.
    pub principals: Vec<OwnerPrincipal>,
    /// Its groups, in order.
    pub groups: Vec<Group>,
    /// Its roles, none twice, as they were given: they are sorted once they are
    /// checked.
    pub roles: Vec<Role>,
}

/// A role to put.
#[derive(Clone, Debug)]
pub struct PutRole {
    /// The role.
    pub role: RoleRef,
    /// A longer text.
    pub description: Description,
    /// What it permits.
    pub permissions: Permissions,
}

/// A profile to put.
#[derive(Clone, Debug)]
pub struct PutProfile(pub Profile);

impl DirectoryCommand {
    /// The keys of what it is about.
    pub(super) fn subjects(&self) -> Vec<Bytes> {
        vec![match &self.what {
            What::PutTenant(put) => tenant_key(&put.name),
            What::DisableTenant(tenant, _) | What::DeleteTenant(tenant) => tenant_key(tenant),
            What::PutOwner(put) => owner_key(&put.owner),
            What::DisableOwner(owner, _)
            | What::SetDefaultSource(owner, _)
            | What::DeleteOwner(owner) => owner_key(owner),
            What::PutRole(put) => role_key(&put.role),
            What::DeleteRole(role) => role_key(role),
            // The first of their groups.
            What::PutProfile(_) | What::DeleteProfile(_) => return Vec::new(),
        }]
    }

    /// Whether it looks at more than a view can show of a group.
    pub(super) const fn is_first(&self) -> bool {
        match &self.what {
            What::DisableTenant(..)
            | What::DeleteTenant(_)
            | What::PutOwner(_)
            | What::DisableOwner(..)
            | What::DeleteOwner(_)
            | What::DeleteRole(_)
            | What::PutProfile(_)
            | What::DeleteProfile(_) => true,
            What::PutTenant(_) | What::SetDefaultSource(..) | What::PutRole(_) => false,
        }
    }

    fn change(&self, action: DirectoryAction, at: Timestamp) -> DirectoryChange {
        DirectoryChange {
            action,
            at,
            by: self.by.clone(),
            reason: self.reason.clone(),
        }
    }
}

pub(super) fn decide(
    view: &dyn View,
    ask: &DirectoryCommand,
    now: Timestamp,
) -> Result<Decision, Refusal> {
    match &ask.what {
        What::PutTenant(put) => put_tenant(view, ask, put, now),
        What::DisableTenant(tenant, disable) => disable_tenant(view, ask, tenant, *disable, now),
        What::DeleteTenant(tenant) => delete_tenant(view, ask, tenant, now),
        What::PutOwner(put) => put_owner(view, ask, put, now),
        What::DisableOwner(owner, disable) => disable_owner(view, ask, owner, *disable, now),
        What::SetDefaultSource(owner, source) => {
            set_default_source(view, ask, owner, source.as_ref(), now)
        }
        What::DeleteOwner(owner) => delete_owner(view, ask, owner, now),
        What::PutRole(put) => put_role(view, ask, put, now),
        What::DeleteRole(role) => delete_role(view, ask, role, now),
        What::PutProfile(PutProfile(profile)) => put_profile(view, ask, profile, now),
        What::DeleteProfile(profile) => delete_profile(view, ask, profile, now),
    }
}

// --- tenants

fn put_tenant(
    view: &dyn View,
    ask: &DirectoryCommand,
    put: &PutTenant,
    now: Timestamp,
) -> Result<Decision, Refusal> {
    let there = live_tenant(view, &put.name)?;
    if let Some(there) = &there
        && there.record.display_name == put.display_name
        && there.record.description == put.description
    {
        return Ok(Decision::nothing(Answer::Tenant(there.clone())));
    }
    expect(ask.expected, revision_of(there.as_ref()))?;
    let record = TenantRecord {
        display_name: put.display_name.clone(),
        description: put.description.clone(),
        disabled: there.is_some_and(|there| there.record.disabled),
        last_change: ask.change(DirectoryAction::Put, now),
    };
    Ok(write_tenant(&put.name, record))
}

fn disable_tenant(
    view: &dyn View,
    ask: &DirectoryCommand,
    tenant: &Tenant,
    disable: bool,
    now: Timestamp,
) -> Result<Decision, Refusal> {
    if tenant.is_credd() && disable {
        return Err(Refusal::invalid("name", "must not be `credd`"));
    }
    let there = live_tenant(view, tenant)?;
    if there.is_none() && !view.tenant_exists(tenant) {
        return Err(Refusal::Unknown(Thing::Tenant));
    }
    let was_disabled = there.as_ref().is_some_and(|there| there.record.disabled);
    if was_disabled == disable {
        return Ok(Decision::nothing(match there {
            Some(there) => Answer::Tenant(there),
            None => Answer::Nothing,
        }));
    }
    expect(ask.expected, revision_of(there.as_ref()))?;
    let action = if disable {
        DirectoryAction::Disable
    } else {
        DirectoryAction::Enable
    };
    let (display_name, description) = there.map_or_else(
        || (DisplayName::default(), Description::default()),
        |there| {
            let TenantRecord {
                display_name,
                description,
                ..
            } = &*there.record;
            (display_name.clone(), description.clone())
        },
    );
    let record = TenantRecord {
        display_name,
        description,
        disabled: disable,
        last_change: ask.change(action, now),
    };
    Ok(write_tenant(tenant, record))
}

fn delete_tenant(
    view: &dyn View,
    ask: &DirectoryCommand,
    tenant: &Tenant,
    now: Timestamp,
) -> Result<Decision, Refusal> {
    if tenant.is_credd() {
        return Err(Refusal::invalid("name", "must not be `credd`"));
    }
    if view.tenant_in_use(tenant) {
        return Err(Refusal::InUse(Thing::Tenant));
    }
    let there = view.tenant(tenant).ok_or(Refusal::Unknown(Thing::Tenant))?;
    if there.record.last_change.deleted() {
        return Ok(Decision::nothing(Answer::Tenant(there)));
    }
    expect(ask.expected, there.revision)?;
    let record = TenantRecord {
        display_name: DisplayName::default(),
        description: Description::default(),
        disabled: true,
        last_change: ask.change(DirectoryAction::Delete, now),
    };
    Ok(write_tenant(tenant, record))
}

fn live_tenant(
    view: &dyn View,
    tenant: &Tenant,
) -> Result<Option<KnownRecord<TenantRecord>>, Refusal> {
    match view.tenant(tenant) {
        Some(there) if there.record.last_change.deleted() => Err(Refusal::Deleted(Thing::Tenant)),
        there => Ok(there),
    }
}

fn write_tenant(tenant: &Tenant, record: TenantRecord) -> Decision {
    let record = Arc::new(record);
    Decision {
        writes: vec![Record::Tenant(tenant.clone(), Some(Arc::clone(&record)))],
        answer: Answer::Tenant(KnownRecord::pending(record)),
    }
}

// --- owners

fn put_owner(
    view: &dyn View,
    ask: &DirectoryCommand,
    put: &PutOwner,
    now: Timestamp,
) -> Result<Decision, Refusal> {
    let PutOwner {
        owner,
        display_name,
        principals,
        groups,
        roles,
    } = put;
    live_tenant(view, &owner.tenant)?;
    let there = live_owner(view, owner)?;
    let mut sorted = roles.clone();
    sorted.sort_unstable();
    let chosen = there
        .as_ref()
        .and_then(|there| there.record.chosen_source.clone());
    let record = OwnerRecord {
        display_name: display_name.clone(),
        principals: principals.clone(),
        groups: groups.clone(),
        roles: sorted,
        chosen_source: chosen.filter(|chosen| groups.contains(chosen)),
        disabled: there.as_ref().is_some_and(|there| there.record.disabled),
        last_change: ask.change(DirectoryAction::Put, now),
    };
    if let Some(there) = &there
        && is_same(&there.record, &record)
    {
        return Ok(Decision::nothing(Answer::Owner(there.clone())));
    }
    let held = there.as_ref().map(|there| there.record.roles.as_slice());
    let new = |role: &&Role| !held.is_some_and(|held| held.contains(role));
    let unknown = roles
        .iter()
        .enumerate()
        .filter(|(_, role)| new(role) && !is_role(view, owner, role));
    let wrong: Vec<_> = unknown
        .map(|(at, role)| {
            let rule = format!("must be a role of the tenant: `{role}` is none");
            (format!("roles[{at}]"), rule)
        })
        .collect();
    if !wrong.is_empty() {
        return Err(Refusal::Invalid(wrong));
    }
    expect(ask.expected, revision_of(there.as_ref()))?;
    for principal in principals {
        let named = view.owner_named(&owner.tenant, principal);
        if named.is_some_and(|named| named != owner.name) {
            return Err(Refusal::PrincipalTaken(principal.to_string()));
        }
    }
    Ok(write_owner(owner, record))
}

fn is_role(view: &dyn View, owner: &OwnerRef, role: &Role) -> bool {
    let reference = RoleRef {
        tenant: owner.tenant.clone(),
        name: role.clone(),
    };
    let known = view.role(&reference);
    known.is_some_and(|known| !known.record.last_change.deleted())
}

/// Whether two records say the same, whoever wrote them.
fn is_same(a: &OwnerRecord, b: &OwnerRecord) -> bool {
    let b = OwnerRecord {
        last_change: a.last_change.clone(),
        ..b.clone()
    };
    *a == b
}

fn disable_owner(
    view: &dyn View,
    ask: &DirectoryCommand,
    owner: &OwnerRef,
    disable: bool,
    now: Timestamp,
) -> Result<Decision, Refusal> {
    let there = owner_or_nothing(view, owner)?;
    if there.record.disabled == disable {
        return Ok(Decision::nothing(Answer::Owner(there)));
    }
    expect(ask.expected, there.revision)?;
    if disable {
        administrators::keep_one_without(view, owner, now)?;
    }
    let action = if disable {
        DirectoryAction::Disable
    } else {
        DirectoryAction::Enable
    };
    let record = OwnerRecord {
        disabled: disable,
        last_change: ask.change(action, now),
        ..(*there.record).clone()
    };
    Ok(write_owner(owner, record))
}

fn set_default_source(
    view: &dyn View,
    ask: &DirectoryCommand,
    owner: &OwnerRef,
    source: Option<&Group>,
    now: Timestamp,
) -> Result<Decision, Refusal> {
    let there = owner_or_nothing(view, owner)?;
    if source.is_some_and(|source| !there.record.groups.contains(source)) {
        return Err(Refusal::invalid(
            "source",
            "must be one of the groups of the owner",
        ));
    }
    if there.record.chosen_source.as_ref() == source {
        return Ok(Decision::nothing(Answer::Owner(there)));
    }
    expect(ask.expected, there.revision)?;
    let record = OwnerRecord {
        chosen_source: source.cloned(),
        last_change: ask.change(DirectoryAction::Put, now),
        ..(*there.record).clone()
    };
    Ok(write_owner(owner, record))
}

fn delete_owner(
    view: &dyn View,
    ask: &DirectoryCommand,
    owner: &OwnerRef,
    now: Timestamp,
) -> Result<Decision, Refusal> {
    if view.owner_in_use(owner) {
        return Err(Refusal::InUse(Thing::Owner));
    }
    let there = view.owner(owner).ok_or(Refusal::Unknown(Thing::Owner))?;
    if there.record.last_change.deleted() {
        return Ok(Decision::nothing(Answer::Owner(there)));
    }
    expect(ask.expected, there.revision)?;
    let record = OwnerRecord {
        disabled: true,
        last_change: ask.change(DirectoryAction::Delete, now),
        ..nobody(ask, now)
    };
    Ok(write_owner(owner, record))
}

fn live_owner(
    view: &dyn View,
    owner: &OwnerRef,
) -> Result<Option<KnownRecord<OwnerRecord>>, Refusal> {
    match view.owner(owner) {
        Some(there) if there.record.last_change.deleted() => Err(Refusal::Deleted(Thing::Owner)),
        there => Ok(there),
    }
}

/// The record of an owner; an empty one for an owner that has credentials and no
/// record.
fn owner_or_nothing(
    view: &dyn View,
    owner: &OwnerRef,
) -> Result<KnownRecord<OwnerRecord>, Refusal> {
    match live_owner(view, owner)? {
        Some(there) => Ok(there),
        None if view.owner_in_use(owner) => {
            let by_credd = DirectoryCommand {
                what: What::DeleteOwner(owner.clone()),
                reason: Reason::trusted("".into()),
                by: Principal::system(),
                expected: None,
            };
            let nothing = nobody(&by_credd, Timestamp::from_millis(0));
            Ok(KnownRecord::pending(Arc::new(nothing)))
        }
        None => Err(Refusal::Unknown(Thing::Owner)),
    }
}

/// An owner without anything.
fn nobody(ask: &DirectoryCommand, now: Timestamp) -> OwnerRecord {
    OwnerRecord {
        display_name: DisplayName::default(),
        principals: Vec::new(),
        groups: Vec::new(),
        roles: Vec::new(),
        chosen_source: None,
        disabled: false,
        last_change: ask.change(DirectoryAction::Put, now),
    }
}

fn write_owner(owner: &OwnerRef, record: OwnerRecord) -> Decision {
    let record = Arc::new(record);
    Decision {
        writes: vec![Record::Owner(owner.clone(), Some(Arc::clone(&record)))],
        answer: Answer::Owner(KnownRecord::pending(record)),
    }
}

// --- roles

fn put_role(
    view: &dyn View,
    ask: &DirectoryCommand,
    put: &PutRole,
    now: Timestamp,
) -> Result<Decision, Refusal> {
    let PutRole {
        role,
        description,
        permissions,
    } = put;
    live_tenant(view, &role.tenant)?;
    let there = view.role(role);
    match &there {
        Some(there) if is_built_in(there) => return Err(Refusal::BuiltIn(Thing::Role)),
        Some(there) if there.record.last_change.deleted() => {
            return Err(Refusal::Deleted(Thing::Role));
        }
        Some(there)
            if there.record.description == *description
                && there.record.permissions == *permissions =>
        {
            return Ok(Decision::nothing(Answer::Role(there.clone())));
        }
        _ => (),
    }
    expect(ask.expected, revision_of(there.as_ref()))?;
    let record = RoleRecord {
        description: description.clone(),
        permissions: permissions.clone(),
        last_change: ask.change(DirectoryAction::Put, now),
    };
    Ok(write_role(role, record))
}

fn delete_role(
    view: &dyn View,
    ask: &DirectoryCommand,
    role: &RoleRef,
    now: Timestamp,
) -> Result<Decision, Refusal> {
    let there = view.role(role).ok_or(Refusal::Unknown(Thing::Role))?;
    if is_built_in(&there) {
        return Err(Refusal::BuiltIn(Thing::Role));
    }
    if there.record.last_change.deleted() {
        return Ok(Decision::nothing(Answer::Role(there)));
    }
    if view.role_in_use(role) {
        return Err(Refusal::InUse(Thing::Role));
    }
    expect(ask.expected, there.revision)?;
    let permissions = match &there.record.permissions {
        Permissions::Tenant(_) => Permissions::Tenant(Vec::new()),
        Permissions::Credd(_) => Permissions::Credd(Vec::new()),
    };
    let record = RoleRecord {
        description: Description::default(),
        permissions,
        last_change: ask.change(DirectoryAction::Delete, now),
    };
    Ok(write_role(role, record))
}

/// Those that are built in were written by no commit.
fn is_built_in(role: &KnownRecord<RoleRecord>) -> bool {
    role.revision == Some(Revision::ZERO)
}

fn write_role(role: &RoleRef, record: RoleRecord) -> Decision {
    let record = Arc::new(record);
    Decision {
        writes: vec![Record::Role(role.clone(), Some(Arc::clone(&record)))],
        answer: Answer::Role(KnownRecord::pending(record)),
    }
}

// --- profiles

fn put_profile(
    view: &dyn View,
    ask: &DirectoryCommand,
    profile: &Profile,
    now: Timestamp,
) -> Result<Decision, Refusal> {
    let family = profile.family();
    if let Scope::Tenant(tenant) = &family.scope {
        live_tenant(view, tenant)?;
    }
    for other in view.profiles_named(&family.name) {
        let theirs = &other.reference.family.scope;
        if other.stored.is_none() {
            return Err(Refusal::BuiltIn(Thing::Profile));
        }
        if *theirs != family.scope && (*theirs == Scope::All || family.scope == Scope::All) {
            return Err(if other.deleted() {
                Refusal::Deleted(Thing::Profile)
            } else {
                Refusal::ProfileExists
            });
        }
    }
    let there = view.latest(&family);
    let mut version = 1;
    if let Some(there) = &there {
        if there.deleted() {
            return Err(Refusal::Deleted(Thing::Profile));
        }
        if there.profile == *profile {
            return Ok(Decision::nothing(profile_answer(there)));
        }
        if there.profile.kind != profile.kind {
            return Err(Refusal::invalid("profile.kind", "can't be changed"));
        }
        version = there.reference.version + 1;
    }
    let revision = there.and_then(|there| there.stored.as_ref().map(|(_, revision)| *revision));
    expect(ask.expected, revision)?;
    let record = ProfileRecord {
        profile: profile.clone(),
        last_change: ask.change(DirectoryAction::Put, now),
    };
    Ok(write_profile(ProfileRef { family, version }, record))
}

fn delete_profile(
    view: &dyn View,
    ask: &DirectoryCommand,
    family: &ProfileFamily,
    now: Timestamp,
) -> Result<Decision, Refusal> {
    let there = view
        .latest(family)
        .ok_or(Refusal::Unknown(Thing::Profile))?;
    let Some((change, revision)) = &there.stored else {
        return Err(Refusal::BuiltIn(Thing::Profile));
    };
    if change.deleted() {
        return Ok(Decision::nothing(profile_answer(&there)));
    }
    if view.profile_in_use(family) {
        return Err(Refusal::InUse(Thing::Profile));
    }
    expect(ask.expected, Some(*revision))?;
    let record = ProfileRecord {
        profile: there.profile.clone(),
        last_change: ask.change(DirectoryAction::Delete, now),
    };
    let reference = ProfileRef {
        version: there.reference.version + 1,
        ..there.reference.clone()
    };
    Ok(write_profile(reference, record))
}

fn profile_answer(known: &crate::authority::directory::KnownProfile) -> Answer {
    let Some((change, revision)) = &known.stored else {
        unreachable!("a built-in profile is never put");
    };
    let record = ProfileRecord {
        profile: known.profile.clone(),
        last_change: change.clone(),
    };
    let record = KnownRecord {
        record: Arc::new(record),
        revision: Some(*revision),
    };
    Answer::Profile(known.reference.clone(), record)
}

fn write_profile(reference: ProfileRef, record: ProfileRecord) -> Decision {
    let record = Arc::new(record);
    Decision {
        writes: vec![Record::Profile(
            reference.clone(),
            Some(Arc::clone(&record)),
        )],
        answer: Answer::Profile(reference, KnownRecord::pending(record)),
    }
}

fn revision_of<T>(known: Option<&KnownRecord<T>>) -> Option<Revision> {
    known.and_then(|known| known.revision)
}
