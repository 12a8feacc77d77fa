//! Changing tenants.

use std::sync::Arc;

use super::{DirectoryCommand, disable_or_enable, revision_of};
use crate::authority::command::{Answer, Decision, KnownRecord, Refusal, Thing, View, expect};
use crate::authority::record::Record;
use crate::domain::directory::{DirectoryAction, TenantRecord};
use crate::domain::names::{Description, DisplayName, Tenant};
use crate::domain::time::Timestamp;

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

pub(super) fn put(
    view: &dyn View,
    ask: &DirectoryCommand,
    put: &PutTenant,
    now: Timestamp,
) -> Result<Decision, Refusal> {
    let there = live(view, &put.name)?;
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
    Ok(write(&put.name, record))
}

pub(super) fn disable(
    view: &dyn View,
    ask: &DirectoryCommand,
    tenant: &Tenant,
    disable: bool,
    now: Timestamp,
) -> Result<Decision, Refusal> {
    if tenant.is_credd() && disable {
        return Err(Refusal::invalid("name", "must not be `credd`"));
    }
    let there = live(view, tenant)?;
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
        last_change: ask.change(disable_or_enable(disable), now),
    };
    Ok(write(tenant, record))
}

pub(super) fn delete(
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
    Ok(write(tenant, record))
}

pub(super) fn live(
    view: &dyn View,
    tenant: &Tenant,
) -> Result<Option<KnownRecord<TenantRecord>>, Refusal> {
    match view.tenant(tenant) {
        Some(there) if there.record.last_change.deleted() => Err(Refusal::Deleted(Thing::Tenant)),
        there => Ok(there),
    }
}

fn write(tenant: &Tenant, record: TenantRecord) -> Decision {
    let record = Arc::new(record);
    Decision {
        writes: vec![Record::Tenant(tenant.clone(), Some(Arc::clone(&record)))],
        answer: Answer::Tenant(KnownRecord::pending(record)),
    }
}
