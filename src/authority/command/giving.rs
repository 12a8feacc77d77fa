//! Nobody gives what they do not have.
//!
//! Every record that a caller's command writes is compared with the one before
//! it. Whatever right it adds for anybody must be among the caller's own: whoever
//! could give more could have more, by giving it to themselves. That is looked at
//! here, for all commands, and nowhere else.
//!
//! To lock, to disable and to let expire lays a denial over rights and takes none
//! away; to lift it needs a permission of its own and gives none.

use std::sync::Arc;

use super::{Known, Refusal, View};
use crate::authority::caller::{Caller, Party};
use crate::authority::record::Record;
use crate::domain::credential::{Action, Credential, State};
use crate::domain::directory::{OwnerRecord, OwnerRef, RoleRecord, RoleRef};
use crate::domain::names::{Principal, Role, Tenant};
use crate::domain::permission::{CreddGrant, Permission, covers};
use crate::domain::profile::{ProfileRef, Scope};
use crate::domain::rights::{Binding, Given, Reach, Rights, credd_grants, tenant_grants};

/// Refuses records that give what a caller does not have.
pub(in crate::authority) fn check(
    view: &dyn View,
    caller: &Caller,
    writes: &[Record],
) -> Result<(), Refusal> {
    let given = writes.iter().flat_map(|record| given_by(view, record));
    check_all(view, caller, given)
}

/// Refuses to show a caller the secret of a credential that permits what the
/// caller does not have.
pub(in crate::authority) fn check_secret(
    view: &dyn View,
    caller: &Caller,
    credential: &Credential,
) -> Result<(), Refusal> {
    check_all(view, caller, given_by_secret(view, credential))
}

fn check_all(
    view: &dyn View,
    caller: &Caller,
    given: impl IntoIterator<Item = Given>,
) -> Result<(), Refusal> {
    let mut given = given.into_iter().peekable();
    // Most commands give nothing.
    if given.peek().is_none() {
        return Ok(());
    }
    let parties: Vec<_> = caller
        .parties()
        .map(|party| rights_of(view, party))
        .collect();
    let exceeds = given.find(|given| !parties.iter().all(|rights| rights.cover(given)));
    exceeds.map_or(Ok(()), |given| Err(Refusal::Exceeds(given)))
}

/// What one party to a call has.
fn rights_of(view: &dyn View, party: &Party) -> Rights {
    let credential = party.credential().map(|id| view.credential(id));
    let narrowed_to = |role: &Role| match &credential {
        None => true,
        Some(known) => {
            let credential = known.as_ref().map(Known::credential);
            credential.is_some_and(|credential| names(credential, role))
        }
    };
    // Of credd's own those alone who have a credential that could be given a new secret.
    rights_through(view, &party.principal, narrowed_to, |owner| {
        view.is_able(owner) && (!owner.tenant.is_credd() || view.count_of_owner(owner) > 0)
    })
}

/// What is given with a principal: also what it has only when an owner is enabled
/// again.
fn rights_of_principal(
    view: &dyn View,
    principal: &Principal,
    narrowed_to: impl Fn(&Role) -> bool,
) -> Rights {
    rights_through(view, principal, narrowed_to, |_| true)
}

/// What a principal has through itself and through those owners that count, of its
/// roles on credd those that `narrowed_to` lets through. Who is an owner of credd's own
/// tenant can give its credentials new secrets, and so has all that the owner has.
fn rights_through(
    view: &dyn View,
    principal: &Principal,
    narrowed_to: impl Fn(&Role) -> bool,
    counts: impl Fn(&OwnerRef) -> bool,
) -> Rights {
    let mut rights = Rights::default();
    let held = view.held(principal).into_iter();
    rights
        .held
        .extend(held.filter(|held| narrowed_to(&held.role)));
    let mut known = vec![principal.clone()];
    let mut at = 0;
    while let Some(principal) = known.get(at).cloned() {
        if at > 0 {
            rights.held.extend(view.held(&principal));
        }
        let owners = view.owners_of(&principal).into_iter();
        for owner in owners.filter(|owner| counts(owner)) {
            rights.owners.push(owner.clone());
            if owner.tenant.is_credd() {
                let other = Principal::credd(&owner.name);
                if !known.contains(&other) {
                    known.push(other);
                }
            } else {
                rights.own.extend(roles_of(view, &owner));
            }
        }
        at += 1;
    }
    rights
}

/// The roles of an owner, and their tenant.
fn roles_of(view: &dyn View, owner: &OwnerRef) -> Vec<(Tenant, Arc<RoleRecord>)> {
    let record = view.owner(owner).map(|known| known.record);
    let names = record.iter().flat_map(|record| &record.roles);
    names
        .filter_map(|name| Some((owner.tenant.clone(), role(view, &owner.tenant, name)?)))
        .collect()
}

/// What who is an owner may do with what is the owner's: see a secret again, if there is
/// one to see.
fn as_owner<'a>(view: &dyn View, owner: &'a OwnerRef) -> impl Iterator<Item = Given> + use<'a> {
    let shows_any = view.shows_any(owner);
    let all = Permission::OF_OWNERS.into_iter();
    all.filter(move |permission| *permission != Permission::Reveal || shows_any)
        .map(|permission| Given::Owner(owner.clone(), permission))
}

/// All of somebody's rights.
fn all_of(view: &dyn View, rights: &Rights) -> Vec<Given> {
    let held = rights.held.iter();
    let held = held.flat_map(|held| on_credd(&held.reach, &held.record));
    let own = rights.own.iter().flat_map(|(tenant, role)| {
        let grants = tenant_grants(role).iter();
        grants.map(|grant| Given::Tenant(tenant.clone(), grant.clone()))
    });
    let owners = rights.owners.iter();
    let as_owners = owners.flat_map(|owner| as_owner(view, owner));
    held.chain(own).chain(as_owners).collect()
}

/// What a record gives that the one before it did not.
fn given_by(view: &dyn View, record: &Record) -> Vec<Given> {
    match record {
        Record::Credential(_, Some(credential)) => given_by_credential(view, credential),
        Record::Owner(owner, Some(record)) => given_by_owner(view, owner, record),
        Record::Role(role, Some(record)) => given_by_role(view, role, record),
        Record::Binding(binding, Some(record)) if !record.last_change.deleted() => {
            given_by_binding(view, binding)
        }
        Record::Profile(reference, Some(record)) if !record.last_change.deleted() => {
            given_by_profile(view, reference, record.profile.owner_may_issue)
        }
        // Tenants give no right, nor does what is deleted; the rest is not written
        // for callers.
        Record::Credential(..)
        | Record::Owner(..)
        | Record::Role(..)
        | Record::Binding(..)
        | Record::Profile(..)
        | Record::Tenant(..)
        | Record::Uses(..)
        | Record::Request(..)
        | Record::Keyring(_)
        | Record::Restored(_)
        | Record::Closed(_)
        | Record::Format(_)
        | Record::Rekeyed(..)
        | Record::Audit(..)
        | Record::Node(..)
        | Record::Fence => Vec::new(),
    }
}

fn given_by_credential(view: &dyn View, after: &Credential) -> Vec<Given> {
    let is_over = after.standing() == State::Revoked || after.last_change.action == Action::Remove;
    let before = view.credential(after.id);
    let gives = before.as_ref().map(Known::credential).is_none_or(|before| {
        let lives_longer = before
            .expires_at
            .is_some_and(|expiry| after.expires_at.is_none_or(|later| later > expiry));
        let has_more_roles = !before.roles.is_empty()
            && (after.roles.is_empty()
                || after.roles.iter().any(|role| !before.roles.contains(role)));
        after.secret.generation != before.secret.generation || lives_longer || has_more_roles
    });
    if gives && !is_over {
        given_by_secret(view, after)
    } else {
        Vec::new()
    }
}

/// What the holder of a credential's secret has.
fn given_by_secret(view: &dyn View, credential: &Credential) -> Vec<Given> {
    let tenant = &credential.tenant;
    if tenant.is_credd() {
        let principal = Principal::credd(&credential.owner);
        let narrowed_to = |role: &Role| names(credential, role);
        return all_of(view, &rights_of_principal(view, &principal, narrowed_to));
    }
    let owner = OwnerRef {
        tenant: tenant.clone(),
        name: credential.owner.clone(),
    };
    let record = view.owner(&owner).map(|known| known.record);
    let roles = record.iter().flat_map(|record| &record.roles);
    roles
        .filter(|role| names(credential, role))
        .flat_map(|role| in_tenant(view, tenant, role))
        .collect()
}

/// Whether a credential has a role, where its owner has it.
fn names(credential: &Credential, role: &Role) -> bool {
    credential.roles.is_empty() || credential.roles.contains(role)
}

fn given_by_owner(view: &dyn View, owner: &OwnerRef, after: &OwnerRecord) -> Vec<Given> {
    let before = view.owner(owner).map(|known| known.record);
    let before = before.as_deref();
    let has_more = |principal| before.is_none_or(|before| !before.principals.contains(principal));
    let is_joined = after.principals.iter().any(has_more);
    let is_new = |role: &&Role| before.is_none_or(|before| !before.roles.contains(role));
    let roles = after.roles.iter().filter(|role| is_joined || is_new(role));
    let in_tenant = roles.flat_map(|role| in_tenant(view, &owner.tenant, role));
    let mut given: Vec<_> = in_tenant.collect();
    if is_joined {
        given.extend(as_owner(view, owner));
    }
    if is_joined && owner.tenant.is_credd() {
        let through_it = rights_of_principal(view, &Principal::credd(&owner.name), |_| true);
        given.extend(all_of(view, &through_it));
    }
    given
}

fn given_by_role(view: &dyn View, role: &RoleRef, after: &RoleRecord) -> Vec<Given> {
    let before = view.role(role).map(|known| known.record);
    let before = before.as_deref();
    let credd = credd_grants(after).iter().filter(|grant| {
        let earlier = before.map_or(&[][..], credd_grants);
        !earlier.iter().any(|own| own.covers(grant.as_str()))
    });
    let credd = credd.map(|grant| Given::Credd(Reach::All, grant.clone()));
    let tenant = tenant_grants(after).iter().filter(|grant| {
        let earlier = before.map_or(&[][..], tenant_grants);
        !earlier.iter().any(|own| covers(own, grant))
    });
    let tenant = tenant.map(|grant| Given::Tenant(role.tenant.clone(), grant.clone()));
    credd.chain(tenant).collect()
}

fn given_by_binding(view: &dyn View, binding: &Binding) -> Vec<Given> {
    let role = role(view, &Tenant::credd(), &binding.role);
    role.map_or_else(Vec::new, |role| on_credd(&binding.reach, &role).collect())
}

/// By a profile that says so, every owner may issue.
fn given_by_profile(view: &dyn View, reference: &ProfileRef, owners_may: bool) -> Vec<Given> {
    let before = view.latest(&reference.family);
    let could = before.is_some_and(|before| !before.deleted() && before.profile.owner_may_issue);
    if !owners_may || could {
        return Vec::new();
    }
    let reach = match &reference.family.scope {
        Scope::All => Reach::All,
        Scope::Tenant(tenant) => Reach::Tenant(tenant.clone()),
    };
    let issue = CreddGrant::trusted(Permission::Issue.name().into());
    vec![Given::Credd(reach, issue)]
}

fn role(view: &dyn View, tenant: &Tenant, name: &Role) -> Option<Arc<RoleRecord>> {
    let role = RoleRef {
        tenant: tenant.clone(),
        name: name.clone(),
    };
    let known = view.role(&role)?;
    (!known.record.last_change.deleted()).then_some(known.record)
}

fn in_tenant(view: &dyn View, tenant: &Tenant, name: &Role) -> Vec<Given> {
    let record = role(view, tenant, name);
    let grants = record.iter().flat_map(|record| tenant_grants(record));
    grants
        .map(|grant| Given::Tenant(tenant.clone(), grant.clone()))
        .collect()
}

fn on_credd<'a>(reach: &'a Reach, role: &'a RoleRecord) -> impl Iterator<Item = Given> + 'a {
    let grants = credd_grants(role).iter();
    grants.map(|grant| Given::Credd(reach.clone(), grant.clone()))
}
