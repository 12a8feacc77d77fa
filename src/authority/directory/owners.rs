//! Owners, and the callers who are owners.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use parking_lot::RwLock;

use super::{Directory, OwnerCell, OwnerNumber, TenantNumber, Versioned, following, set_member};
use crate::authority::names::{Interner, Symbol};
use crate::domain::directory::{OwnerRecord, OwnerRef};
use crate::domain::names::{Owner, Principal, PrincipalName, Tenant};
use crate::domain::revision::Revision;

/// Flags of an owner: all its credentials are denied.
const DISABLED: u8 = 1;
/// It has a record.
const HAS_RECORD: u8 = 2;

impl Directory {
    /// The number of an owner; a new one if it has none.
    pub(in crate::authority) fn number_of_owner(
        &self,
        tenant: TenantNumber,
        owner: &Arc<str>,
        names: &Interner,
    ) -> OwnerNumber {
        let name = names.intern(owner);
        if let Some(number) = self.owners.find(&(tenant, name)) {
            return OwnerNumber(number);
        }
        let number = self.owners.find_or_insert(&(tenant, name), || {
            // While the table is locked, so that both have the same numbers.
            self.owner_flags.push(AtomicU8::new(0));
            OwnerCell {
                tenant,
                name,
                principal: AtomicU32::new(0),
                record: RwLock::default(),
            }
        });
        let name = Arc::clone(names.resolve(name));
        let mut owners = self.tenants.get(tenant.0).owners.write();
        owners.insert(name, OwnerNumber(number));
        OwnerNumber(number)
    }

    /// The number of an owner, if it has one.
    #[must_use]
    pub fn owner(&self, tenant: TenantNumber, name: &str, names: &Interner) -> Option<OwnerNumber> {
        let found = self.owners.find(&(tenant, names.find(name)?));
        found.map(OwnerNumber)
    }

    /// The tenant of an owner.
    #[must_use]
    pub fn tenant_of(&self, owner: OwnerNumber) -> TenantNumber {
        self.owners.get(owner.0).tenant
    }

    /// The name of an owner.
    #[must_use]
    pub fn owner_name<'a>(&self, owner: OwnerNumber, names: &'a Interner) -> &'a Arc<str> {
        names.resolve(self.owners.get(owner.0).name)
    }

    /// The name by which an owner in credd's own tenant calls credd.
    #[must_use]
    pub fn principal(&self, owner: OwnerNumber, names: &Interner) -> Symbol {
        let cell = self.owners.get(owner.0);
        let known = cell.principal.load(Ordering::Relaxed);
        if known != 0 {
            return Symbol::from_number(known);
        }
        let name = Owner::trusted(Arc::clone(names.resolve(cell.name)));
        let symbol = names.intern(Principal::credd(&name).as_arc());
        cell.principal.store(symbol.number(), Ordering::Relaxed);
        symbol
    }

    /// Whether all credentials of an owner are denied.
    #[must_use]
    pub fn owner_disabled(&self, owner: OwnerNumber) -> bool {
        self.flags(owner).load(Ordering::Relaxed) & DISABLED != 0
    }

    fn flags(&self, owner: OwnerNumber) -> &AtomicU8 {
        let Some(flags) = self.owner_flags.get(owner.0 as usize) else {
            unreachable!("every owner has flags");
        };
        flags
    }

    /// The record of an owner.
    #[must_use]
    pub fn owner_record(&self, owner: OwnerNumber) -> Option<Versioned<OwnerRecord>> {
        if self.flags(owner).load(Ordering::Acquire) & HAS_RECORD == 0 {
            return None;
        }
        self.owners.get(owner.0).record.read().clone()
    }

    /// Owners of a tenant whose names come after this one, in order, with or
    /// without records.
    #[must_use]
    pub fn owners_after(
        &self,
        tenant: TenantNumber,
        after: &str,
        limit: usize,
    ) -> Vec<(Arc<str>, OwnerNumber)> {
        following(&self.tenants.get(tenant.0).owners.read(), after, limit)
    }

    /// Whether a caller of this name is any owner.
    #[must_use]
    pub fn has_principal(&self, principal: &str) -> bool {
        let principals = self.principals.read();
        principals.get(principal).is_some_and(|of| !of.is_empty())
    }

    /// The owners that a caller of this name is.
    #[must_use]
    pub fn owners_of_principal(&self, principal: &str) -> Vec<OwnerNumber> {
        let principals = self.principals.read();
        let owners = principals.get(principal).into_iter().flatten();
        owners.copied().collect()
    }

    pub(in crate::authority) fn put_owner(
        &self,
        owner: &OwnerRef,
        record: Option<Arc<OwnerRecord>>,
        revision: Revision,
        names: &Interner,
    ) {
        let tenant = self.number_of_tenant(owner.tenant.as_arc(), names);
        let number = self.number_of_owner(tenant, owner.name.as_arc(), names);
        let cell = self.owners.get(number.0);
        let disabled = record.as_ref().is_some_and(|record| record.disabled);
        {
            let mut principals = self.principals.write();
            let earlier = cell.record.read().clone();
            for principal in earlier
                .iter()
                .flat_map(|earlier| &earlier.record.principals)
            {
                if let Some(owners) = principals.get_mut(principal.as_str()) {
                    owners.remove(&number);
                    if owners.is_empty() {
                        principals.remove(principal.as_str());
                    }
                }
            }
            for principal in record.iter().flat_map(|record| &record.principals) {
                let owners = principals.entry(Arc::clone(principal.as_arc()));
                owners.or_default().insert(number);
            }
        }
        set_member(&mut self.disabled_owners.write(), number, disabled);
        let has_record = if record.is_some() { HAS_RECORD } else { 0 };
        let disabled = if disabled { DISABLED } else { 0 };
        *cell.record.write() = record.map(|record| Versioned { record, revision });
        let flags = has_record | disabled;
        self.flags(number).store(flags, Ordering::Release);
    }

    /// The owners that are disabled.
    #[must_use]
    pub fn disabled_owners(&self) -> Vec<OwnerNumber> {
        self.disabled_owners.read().iter().copied().collect()
    }

    /// The owner of a tenant that a principal names, if there is one.
    #[must_use]
    pub fn owner_in(&self, tenant: TenantNumber, principal: &PrincipalName) -> Option<OwnerNumber> {
        let owners = self.owners_of_principal(principal.as_str());
        owners
            .into_iter()
            .find(|owner| self.tenant_of(*owner) == tenant)
    }
}

impl OwnerNumber {
    /// The owner's tenant and name.
    #[must_use]
    pub fn reference(self, directory: &Directory, names: &Interner) -> OwnerRef {
        let tenant = directory.tenant_of(self);
        OwnerRef {
            tenant: Tenant::trusted(Arc::clone(directory.tenant_name(tenant, names))),
            name: Owner::trusted(Arc::clone(directory.owner_name(self, names))),
        }
    }
}
