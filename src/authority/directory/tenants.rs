//! Tenants.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::RwLock;

use super::{Directory, FamilyNumber, TenantCell, TenantNumber, Versioned, following, set_member};
use crate::authority::names::Interner;
use crate::domain::directory::TenantRecord;
use crate::domain::names::Tenant;
use crate::domain::revision::Revision;

impl Directory {
    /// The number of a tenant; a new one if it has none.
    pub(in crate::authority) fn number_of_tenant(
        &self,
        tenant: &Arc<str>,
        names: &Interner,
    ) -> TenantNumber {
        let name = names.intern(tenant);
        if let Some(number) = self.tenants.find(&name) {
            return TenantNumber(number);
        }
        let number = TenantNumber(self.tenants.find_or_insert(&name, || TenantCell {
            name,
            disabled: AtomicBool::new(false),
            record: RwLock::default(),
            roles: RwLock::default(),
            owners: RwLock::default(),
        }));
        let name = Arc::clone(names.resolve(name));
        self.tenant_names.write().insert(name, number);
        number
    }

    /// The number of a tenant, if it has one.
    #[must_use]
    pub fn tenant(&self, name: &str, names: &Interner) -> Option<TenantNumber> {
        self.tenants.find(&names.find(name)?).map(TenantNumber)
    }

    /// The name of a tenant.
    #[must_use]
    pub fn tenant_name<'a>(&self, tenant: TenantNumber, names: &'a Interner) -> &'a Arc<str> {
        names.resolve(self.tenants.get(tenant.0).name)
    }

    /// Whether all credentials of a tenant are denied.
    #[must_use]
    pub fn tenant_disabled(&self, tenant: TenantNumber) -> bool {
        self.tenants.get(tenant.0).disabled.load(Ordering::Relaxed)
    }

    /// The record of a tenant.
    #[must_use]
    pub fn tenant_record(&self, tenant: TenantNumber) -> Option<Versioned<TenantRecord>> {
        self.tenants.get(tenant.0).record.read().clone()
    }

    /// Whether a tenant has owners, roles or profiles of its own that are not
    /// deleted. Takes time for each owner and profile.
    #[must_use]
    pub fn tenant_has_records(&self, tenant: TenantNumber) -> bool {
        let cell = self.tenants.get(tenant.0);
        let has_role = || {
            let roles = cell.roles.read();
            roles
                .values()
                .any(|role| !role.record.last_change.deleted())
        };
        let has_owner = || {
            let owners: Vec<_> = cell.owners.read().values().copied().collect();
            owners.into_iter().any(|owner| {
                let known = self.owner_record(owner);
                known.is_some_and(|known| !known.record.last_change.deleted())
            })
        };
        let has_profile = || {
            let families = self.families.iter();
            families
                .filter(|(_, family)| family.scope == cell.name)
                .filter_map(|(number, _)| self.latest(FamilyNumber(number)))
                .any(|known| !known.deleted() && known.stored.is_some())
        };
        has_role() || has_owner() || has_profile()
    }

    /// Tenants whose names come after this one, in order, with or without records.
    #[must_use]
    pub fn tenants_after(&self, after: &str, limit: usize) -> Vec<(Arc<str>, TenantNumber)> {
        following(&self.tenant_names.read(), after, limit)
    }

    /// Every tenant.
    pub fn all_tenants(&self) -> impl Iterator<Item = TenantNumber> {
        self.tenants.iter().map(|(number, _)| TenantNumber(number))
    }

    pub(in crate::authority) fn put_tenant(
        &self,
        tenant: &Tenant,
        record: Option<Arc<TenantRecord>>,
        revision: Revision,
        names: &Interner,
    ) {
        let number = self.number_of_tenant(tenant.as_arc(), names);
        let disabled = record.as_ref().is_some_and(|record| record.disabled);
        let cell = self.tenants.get(number.0);
        cell.disabled.store(disabled, Ordering::Relaxed);
        set_member(&mut self.disabled_tenants.write(), number, disabled);
        *cell.record.write() = record.map(|record| Versioned { record, revision });
    }

    /// The tenants that are disabled.
    #[must_use]
    pub fn disabled_tenants(&self) -> Vec<TenantNumber> {
        self.disabled_tenants.read().iter().copied().collect()
    }
}
