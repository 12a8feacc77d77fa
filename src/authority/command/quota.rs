//! How many credentials tenants and owners may have.

use super::{Refusal, Thing, View};
use crate::domain::directory::OwnerRef;

/// The most credentials that are not revoked. Expired ones count until they are
/// removed; those of credd's own tenant never do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quotas {
    /// Of a tenant; `None`: any number.
    pub per_tenant: Option<u64>,
    /// Of an owner; `None`: any number.
    pub per_owner: Option<u64>,
}

/// Refuses credentials that would be too many, when others are revoked in their
/// favour.
pub(super) fn check(
    view: &dyn View,
    quotas: Quotas,
    owner: &OwnerRef,
    added: u64,
    revoked: u64,
) -> Result<(), Refusal> {
    if owner.tenant.is_credd() {
        return Ok(());
    }
    let fits = |quota: Option<u64>, count: &dyn Fn() -> u64| {
        quota.is_none_or(|quota| count().saturating_sub(revoked).saturating_add(added) <= quota)
    };
    if !fits(quotas.per_owner, &|| view.count_of_owner(owner)) {
        return Err(Refusal::QuotaExceeded(Thing::Owner));
    }
    if !fits(quotas.per_tenant, &|| view.count_of_tenant(&owner.tenant)) {
        return Err(Refusal::QuotaExceeded(Thing::Tenant));
    }
    Ok(())
}
