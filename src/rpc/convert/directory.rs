//! Tenants, owners, roles and profiles.

use std::collections::BTreeSet;

use super::{owner, revision, timestamp};
use crate::authority::command::{KnownRecord, PutOwner, PutRole, PutTenant};
use crate::authority::directory::{Directory, KnownProfile};
use crate::authority::names::Interner;
use crate::authority::record::{header_message, profile_message};
use crate::domain::directory::{
    DirectoryChange, OwnerRecord, OwnerRef, Permissions, RoleRecord, RoleRef, TenantRecord,
};
use crate::domain::names::{
    Description, DisplayName, Group, InvalidText, MAX_DIRECTORY_TEXTS, MAX_GROUPS, MAX_PERMISSIONS,
    MAX_PRINCIPALS, MAX_ROLES, PrincipalName, Role, Tenant,
};
use crate::domain::permission::{CreddGrant, Grant};
use crate::domain::revision::{Revision, StoreId};
use crate::proto::v1;
use crate::rpc::status::Violations;

/// Reads the name of a tenant; `None` after noting what is wrong with it.
pub fn tenant_name(name: &str, violations: &mut Violations) -> Option<Tenant> {
    violations.check("name", Tenant::parse(name))
}

/// Reads which owner is meant; `None` after noting what is wrong with it.
pub fn owner_ref(tenant: &str, name: &str, violations: &mut Violations) -> Option<OwnerRef> {
    let (tenant, name) = owner(tenant, name, "name", violations)?;
    Some(OwnerRef { tenant, name })
}

/// Reads which role is meant; `None` after noting what is wrong with it.
pub fn role_ref(tenant: &str, name: &str, violations: &mut Violations) -> Option<RoleRef> {
    let tenant = violations.check("tenant", Tenant::parse(tenant));
    let name = violations.check("name", Role::parse(name));
    let (tenant, name) = tenant.zip(name)?;
    Some(RoleRef { tenant, name })
}

/// Reads a tenant to put; `None` after noting what is wrong with it.
pub fn put_tenant(
    request: &v1::PutTenantRequest,
    violations: &mut Violations,
) -> Option<PutTenant> {
    let v1::PutTenantRequest {
        name,
        display_name,
        description,
        reason: _,
        dry_run: _,
        expected_revision: _,
    } = request;
    let name = tenant_name(name, violations);
    if name.as_ref().is_some_and(Tenant::is_credd) {
        violations.add("name", "must not be `credd`");
    }
    let display_name = violations.check("display_name", DisplayName::parse(display_name));
    let description = violations.check("description", Description::parse(description));
    Some(PutTenant {
        name: name.filter(|name| !name.is_credd())?,
        display_name: display_name?,
        description: description?,
    })
}

/// Reads an owner to put; `None` after noting what is wrong with it.
pub fn put_owner(request: &v1::PutOwnerRequest, violations: &mut Violations) -> Option<PutOwner> {
    let v1::PutOwnerRequest {
        tenant,
        name,
        display_name,
        principals,
        groups,
        roles,
        reason: _,
        dry_run: _,
        expected_revision: _,
        fence: _,
    } = request;
    let owner = owner_ref(tenant, name, violations);
    let display_name = violations.check("display_name", DisplayName::parse(display_name));
    let principals = list(
        "principals",
        principals,
        MAX_PRINCIPALS,
        PrincipalName::parse,
        violations,
    );
    let groups = list("groups", groups, MAX_GROUPS, Group::parse, violations);
    let roles = list("roles", roles, MAX_ROLES, Role::parse, violations);
    if *tenant == *Tenant::CREDD && roles.as_ref().is_some_and(|roles| !roles.is_empty()) {
        violations.add(
            "roles",
            "must be empty in the tenant `credd`: bindings give its owners roles",
        );
        return None;
    }
    let put = PutOwner {
        owner: owner?,
        display_name: display_name?,
        principals: principals?,
        groups: groups?,
        roles: roles?,
    };
    let bytes = put.display_name.as_str().len()
        + length(put.principals.iter().map(PrincipalName::as_str))
        + length(put.groups.iter().map(Group::as_str))
        + length(put.roles.iter().map(Role::as_str));
    if bytes > MAX_DIRECTORY_TEXTS {
        violations.add(
            "groups",
            "must leave principals, groups, roles and the display name at most 3,072 bytes together",
        );
        return None;
    }
    Some(put)
}

/// Reads a role to put; `None` after noting what is wrong with it.
pub fn put_role(request: &v1::PutRoleRequest, violations: &mut Violations) -> Option<PutRole> {
    let v1::PutRoleRequest {
        tenant,
        name,
        description,
        permissions,
        reason: _,
        dry_run: _,
        expected_revision: _,
        fence: _,
    } = request;
    let role = role_ref(tenant, name, violations);
    let description = violations.check("description", Description::parse(description));
    let field = "permissions";
    let is_credd = role.as_ref().is_some_and(|role| role.tenant.is_credd());
    let permissions = if is_credd {
        list(
            field,
            permissions,
            MAX_PERMISSIONS,
            CreddGrant::parse,
            violations,
        )
        .map(|grants| Permissions::Credd(sorted(grants)))
    } else {
        list(
            field,
            permissions,
            MAX_PERMISSIONS,
            Grant::parse,
            violations,
        )
        .map(|grants| Permissions::Tenant(sorted(grants)))
    };
    let put = PutRole {
        role: role?,
        description: description?,
        permissions: permissions?,
    };
    let bytes = put.description.as_str().len() + length(put.permissions.texts());
    if bytes > MAX_DIRECTORY_TEXTS {
        violations.add(
            field,
            "must have at most 3,072 bytes together with the description",
        );
        return None;
    }
    Some(put)
}

/// Reads texts of which there are at most `most`, none twice; `None` after noting
/// what is wrong with them.
fn list<T: Ord + Clone>(
    field: &str,
    texts: &[String],
    most: usize,
    parse: impl Fn(&str) -> Result<T, InvalidText>,
    violations: &mut Violations,
) -> Option<Vec<T>> {
    if texts.len() > most {
        violations.add(field, format!("must be at most {most}"));
        return None;
    }
    let mut seen = BTreeSet::new();
    let mut read = Vec::new();
    for (at, text) in texts.iter().enumerate() {
        let field = format!("{field}[{at}]");
        match violations.check(&field, parse(text)) {
            Some(one) if !seen.insert(one.clone()) => {
                violations.add(&field, "must not stand twice");
            }
            Some(one) => read.push(one),
            None => (),
        }
    }
    (read.len() == texts.len()).then_some(read)
}

fn sorted<T: Ord>(mut all: Vec<T>) -> Vec<T> {
    all.sort_unstable();
    all
}

fn length<'a>(texts: impl Iterator<Item = &'a str>) -> usize {
    texts.map(str::len).sum()
}

/// A tenant as it is shown; without a record: its name alone.
#[must_use]
pub fn tenant(
    name: &str,
    known: Option<&KnownRecord<TenantRecord>>,
    group: Revision,
    store: StoreId,
) -> v1::Tenant {
    let shown = v1::Tenant {
        name: name.to_owned(),
        ..Default::default()
    };
    let Some(known) = known else { return shown };
    let TenantRecord {
        display_name,
        description,
        disabled,
        last_change,
    } = &*known.record;
    v1::Tenant {
        display_name: display_name.as_str().to_owned(),
        description: description.as_str().to_owned(),
        disabled: *disabled,
        last_change: Some(change(last_change)),
        revision: Some(revision(store, known.revision.unwrap_or(group))),
        ..shown
    }
}

/// An owner as it is shown; without a record: its names alone.
#[must_use]
pub fn owner_message(
    owner: &OwnerRef,
    known: Option<&KnownRecord<OwnerRecord>>,
    group: Revision,
    store: StoreId,
) -> v1::Owner {
    let shown = v1::Owner {
        tenant: owner.tenant.as_str().to_owned(),
        name: owner.name.as_str().to_owned(),
        ..Default::default()
    };
    let Some(known) = known else { return shown };
    let default_source = known.record.default_source();
    let OwnerRecord {
        display_name,
        principals,
        groups,
        roles,
        chosen_source,
        disabled,
        last_change,
    } = &*known.record;
    let text = |group: Option<&Group>| group.map_or_else(String::new, ToString::to_string);
    v1::Owner {
        display_name: display_name.as_str().to_owned(),
        principals: principals.iter().map(ToString::to_string).collect(),
        groups: groups.iter().map(ToString::to_string).collect(),
        roles: roles.iter().map(ToString::to_string).collect(),
        chosen_source: text(chosen_source.as_ref()),
        default_source: text(default_source),
        disabled: *disabled,
        last_change: Some(change(last_change)),
        revision: Some(revision(store, known.revision.unwrap_or(group))),
        ..shown
    }
}

/// A role as it is shown.
#[must_use]
pub fn role(
    role: &RoleRef,
    known: &KnownRecord<RoleRecord>,
    group: Revision,
    store: StoreId,
) -> v1::Role {
    let RoleRecord {
        description,
        permissions,
        last_change,
    } = &*known.record;
    // No commit wrote what is built in.
    let built_in = known.revision == Some(Revision::ZERO);
    v1::Role {
        tenant: if built_in && !role.tenant.is_credd() {
            String::new()
        } else {
            role.tenant.as_str().to_owned()
        },
        name: role.name.as_str().to_owned(),
        description: description.as_str().to_owned(),
        permissions: permissions.texts().map(str::to_owned).collect(),
        built_in,
        last_change: (!built_in).then(|| change(last_change)),
        revision: (!built_in).then(|| revision(store, known.revision.unwrap_or(group))),
    }
}

/// A version of a profile as it is shown.
#[must_use]
pub fn known_profile(
    known: &KnownProfile,
    directory: &Directory,
    names: &Interner,
    store: StoreId,
) -> v1::Profile {
    let KnownProfile {
        reference,
        profile,
        stored,
    } = known;
    let accepted = directory.accepted_headers(known, names);
    v1::Profile {
        accepted_headers: accepted.iter().map(header_message).collect(),
        built_in: stored.is_none(),
        version: reference.version,
        last_change: stored.as_ref().map(|(last_change, _)| change(last_change)),
        revision: stored.as_ref().map(|(_, at)| revision(store, *at)),
        ..profile_message(profile)
    }
}

/// A change as it is shown.
#[must_use]
pub fn change(change: &DirectoryChange) -> v1::DirectoryChange {
    let DirectoryChange {
        action,
        at,
        by,
        reason,
    } = change;
    v1::DirectoryChange {
        r#type: v1::DirectoryChangeType::from(*action).into(),
        at: Some(timestamp(*at)),
        by: by.as_str().to_owned(),
        reason: reason.as_str().to_owned(),
    }
}
