//! Roles, and what they give to whom.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Directory, TenantNumber, Versioned, following};
use crate::authority::names::Interner;
use crate::domain::directory::{
    DirectoryAction, DirectoryChange, OwnerRecord, Permissions, RoleRecord, RoleRef,
};
use crate::domain::names::{Description, Principal, Reason, Role, Tenant};
use crate::domain::permission::{CreddGrant, Grant};
use crate::domain::revision::Revision;
use crate::domain::time::Timestamp;

impl Directory {
    /// A role of a tenant, put or built in.
    #[must_use]
    pub fn role(
        &self,
        tenant: TenantNumber,
        name: &str,
        names: &Interner,
    ) -> Option<Versioned<RoleRecord>> {
        let is_credd = &**self.tenant_name(tenant, names) == Tenant::CREDD;
        if let Some(record) = self.fixed_role(name, is_credd) {
            return Some(Versioned {
                record: Arc::clone(record),
                revision: Revision::ZERO,
            });
        }
        let roles = self.tenants.get(tenant.0).roles.read();
        roles.get(name).cloned()
    }

    /// The role of that name in credd's own tenant, or in another, that is built in
    /// or configured: no commit changes it.
    #[must_use]
    pub fn fixed_role(&self, name: &str, in_credd: bool) -> Option<&Arc<RoleRecord>> {
        let built_in = self
            .built_in_roles
            .get(name)
            .and_then(|role| role.in_tenant(in_credd));
        built_in.or_else(|| self.configured_roles.get()?.get(name).filter(|_| in_credd))
    }

    /// The names of those of credd's own tenant, or of another.
    #[must_use]
    pub fn fixed_role_names(&self, in_credd: bool) -> Vec<Arc<str>> {
        let configured = self.configured_roles.get().filter(|_| in_credd);
        let configured = configured.into_iter().flat_map(BTreeMap::keys).cloned();
        let built_in = self.built_in_roles.iter();
        built_in
            .filter(|(_, role)| role.in_tenant(in_credd).is_some())
            .map(|(name, _)| Arc::from(*name))
            .chain(configured)
            .collect()
    }

    /// Roles of a tenant whose names come after this one, in order, without those
    /// that are built in.
    #[must_use]
    pub fn roles_after(
        &self,
        tenant: TenantNumber,
        after: &str,
        limit: usize,
    ) -> Vec<(Arc<str>, Versioned<RoleRecord>)> {
        following(&self.tenants.get(tenant.0).roles.read(), after, limit)
    }

    pub(in crate::authority) fn put_role(
        &self,
        role: &RoleRef,
        record: Option<Arc<RoleRecord>>,
        revision: Revision,
        names: &Interner,
    ) {
        let tenant = self.number_of_tenant(role.tenant.as_arc(), names);
        let mut roles = self.tenants.get(tenant.0).roles.write();
        match record {
            Some(record) => {
                let name = Arc::clone(role.name.as_arc());
                roles.insert(name, Versioned { record, revision });
            }
            None => {
                roles.remove(role.name.as_str());
            }
        }
        drop(roles);
        if role.tenant.is_credd() {
            self.look_up_roles(names);
        }
    }

    /// The roles among `wanted` that an owner has now, with what they permit; all
    /// that it has if none is named.
    #[must_use]
    pub fn effective_roles(
        &self,
        owner: &OwnerRecord,
        tenant: TenantNumber,
        wanted: &[&str],
        names: &Interner,
    ) -> Vec<(Role, Arc<RoleRecord>)> {
        let held = owner.roles.iter();
        held.filter(|role| wanted.is_empty() || wanted.contains(&role.as_str()))
            .filter_map(|role| {
                let found = self.role(tenant, role.as_str(), names)?;
                let exists = !found.record.last_change.deleted();
                exists.then(|| (role.clone(), found.record))
            })
            .collect()
    }
}

/// The built-in roles of a name: an auditor of credd and one of a tenant have
/// nothing else in common.
#[derive(Debug, Default)]
pub(super) struct BuiltInRole {
    on_credd: Option<Arc<RoleRecord>>,
    in_tenants: Option<Arc<RoleRecord>>,
}

impl BuiltInRole {
    const fn in_tenant(&self, is_credd: bool) -> Option<&Arc<RoleRecord>> {
        if is_credd {
            self.on_credd.as_ref()
        } else {
            self.in_tenants.as_ref()
        }
    }
}

/// The built-in roles, by name.
pub(super) fn built_in() -> BTreeMap<&'static str, BuiltInRole> {
    let mut all: BTreeMap<_, BuiltInRole> = BTreeMap::new();
    for (name, grant) in Role::BUILT_IN {
        let grants = vec![Grant::trusted(grant.into())];
        let role = fixed(Description::default(), Permissions::Tenant(grants));
        all.entry(name).or_default().in_tenants = Some(role);
    }
    for (name, grants) in Role::BUILT_IN_CREDD {
        let grants = grants
            .iter()
            .map(|grant| CreddGrant::trusted((*grant).into()));
        let role = fixed(Description::default(), Permissions::Credd(grants.collect()));
        all.entry(name).or_default().on_credd = Some(role);
    }
    all
}

/// A role that no commit wrote.
pub(super) fn fixed(description: Description, permissions: Permissions) -> Arc<RoleRecord> {
    Arc::new(RoleRecord {
        description,
        permissions,
        last_change: by_nobody(),
    })
}

/// The change of what no commit wrote.
pub(super) fn by_nobody() -> DirectoryChange {
    DirectoryChange {
        action: DirectoryAction::Put,
        at: Timestamp::from_millis(0),
        by: Principal::system(),
        reason: Reason::trusted("".into()),
    }
}
