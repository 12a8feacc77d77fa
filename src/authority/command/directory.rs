//! Changing tenants, owners, roles, profiles and bindings.

use bytes::Bytes;

use super::{Decision, KnownRecord, Refusal, View};
use crate::authority::record::{binding_key, owner_key, role_key, tenant_key};
use crate::domain::directory::{DirectoryAction, DirectoryChange, OwnerRef, RoleRef};
use crate::domain::names::{Group, Principal, Reason, Tenant};
use crate::domain::profile::{ProfileFamily, Scope};
use crate::domain::revision::Revision;
use crate::domain::rights::{Binding, Reach};
use crate::domain::time::Timestamp;

mod bindings;
mod owners;
mod profiles;
mod roles;
mod tenants;

pub use owners::PutOwner;
pub use profiles::PutProfile;
pub use roles::PutRole;
pub use tenants::PutTenant;

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
    /// Puts a binding.
    PutBinding(Binding),
    /// Deletes a binding.
    DeleteBinding(Binding),
}

impl What {
    /// Where the permission to do it must reach.
    #[must_use]
    pub fn reach(&self) -> Reach {
        let of_profile = |family: &ProfileFamily| match &family.scope {
            Scope::All => Reach::All,
            Scope::Tenant(tenant) => Reach::Tenant(tenant.clone()),
        };
        let tenant = match self {
            Self::PutTenant(put) => &put.name,
            Self::DisableTenant(tenant, _) | Self::DeleteTenant(tenant) => tenant,
            Self::PutOwner(put) => &put.owner.tenant,
            Self::DisableOwner(owner, _)
            | Self::SetDefaultSource(owner, _)
            | Self::DeleteOwner(owner) => &owner.tenant,
            Self::PutRole(put) => &put.role.tenant,
            Self::DeleteRole(role) => &role.tenant,
            Self::PutProfile(PutProfile(profile)) => return of_profile(&profile.family()),
            Self::DeleteProfile(family) => return of_profile(family),
            Self::PutBinding(binding) | Self::DeleteBinding(binding) => {
                return binding.reach.clone();
            }
        };
        Reach::Tenant(tenant.clone())
    }
}

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
            What::PutBinding(binding) | What::DeleteBinding(binding) => binding_key(binding),
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
            | What::DeleteProfile(_)
            | What::PutBinding(_)
            | What::DeleteBinding(_) => true,
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
        What::PutTenant(put) => tenants::put(view, ask, put, now),
        What::DisableTenant(tenant, disable) => tenants::disable(view, ask, tenant, *disable, now),
        What::DeleteTenant(tenant) => tenants::delete(view, ask, tenant, now),
        What::PutOwner(put) => owners::put(view, ask, put, now),
        What::DisableOwner(owner, disable) => owners::disable(view, ask, owner, *disable, now),
        What::SetDefaultSource(owner, source) => {
            owners::set_default_source(view, ask, owner, source.as_ref(), now)
        }
        What::DeleteOwner(owner) => owners::delete(view, ask, owner, now),
        What::PutRole(put) => roles::put(view, ask, put, now),
        What::DeleteRole(role) => roles::delete(view, ask, role, now),
        What::PutProfile(PutProfile(profile)) => profiles::put(view, ask, profile, now),
        What::DeleteProfile(profile) => profiles::delete(view, ask, profile, now),
        What::PutBinding(binding) => bindings::put(view, ask, binding, now),
        What::DeleteBinding(binding) => bindings::delete(view, ask, binding, now),
    }
}

const fn disable_or_enable(disable: bool) -> DirectoryAction {
    if disable {
        DirectoryAction::Disable
    } else {
        DirectoryAction::Enable
    }
}

fn revision_of<T>(known: Option<&KnownRecord<T>>) -> Option<Revision> {
    known.and_then(|known| known.revision)
}
