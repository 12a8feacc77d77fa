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
        if let Some(record) = self.built_in_role(name, is_credd) {
            return Some(Versioned {
                record: Arc::clone(record),
                revision: Revision::ZERO,
            });
        }
        let roles = self.tenants.get(tenant.0).roles.read();
        roles.get(name).cloned()
    }

    /// The built-in role of that name in credd's own tenant, or in another.
    #[must_use]
    pub fn built_in_role(&self, name: &str, in_credd: bool) -> Option<&Arc<RoleRecord>> {
        self.built_in_roles
            .get(name)
            .filter(|role| matches!(role.permissions, Permissions::Credd(_)) == in_credd)
    }

    /// The names of the built-in roles of credd's own tenant, or of another.
    pub fn built_in_role_names(&self, in_credd: bool) -> impl Iterator<Item = &'static str> {
        self.built_in_roles
            .iter()
            .filter(move |(_, role)| matches!(role.permissions, Permissions::Credd(_)) == in_credd)
            .map(|(name, _)| *name)
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

/// What the built-in roles permit, by name.
pub(super) fn built_in() -> BTreeMap<&'static str, Arc<RoleRecord>> {
    let record = |permissions| {
        Arc::new(RoleRecord {
            description: Description::trusted("".into()),
            permissions,
            last_change: DirectoryChange {
                action: DirectoryAction::Put,
                at: Timestamp::from_millis(0),
                by: Principal::system(),
                reason: Reason::trusted("".into()),
            },
        })
    };
    let tenant = Role::BUILT_IN.map(|(name, grant)| {
        let grants = vec![Grant::trusted(grant.into())];
        (name, record(Permissions::Tenant(grants)))
    });
    let credd = Role::BUILT_IN_CREDD.map(|(name, grants)| {
        let grants = grants
            .iter()
            .map(|grant| CreddGrant::trusted((*grant).into()));
        (name, record(Permissions::Credd(grants.collect())))
    });
    tenant.into_iter().chain(credd).collect()
}
