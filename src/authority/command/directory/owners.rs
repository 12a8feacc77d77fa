//! Changing owners.

use std::sync::Arc;

use super::{DirectoryCommand, disable_or_enable, revision_of, tenants};
use crate::authority::command::{
    Answer, Decision, KnownRecord, Refusal, Thing, View, administrators, expect,
};
use crate::authority::record::Record;
use crate::domain::directory::{DirectoryAction, DirectoryChange, OwnerRecord, OwnerRef, RoleRef};
use crate::domain::names::{DisplayName, Group, Principal, PrincipalName, Reason, Role};
use crate::domain::time::Timestamp;

/// An owner to put.
#[derive(Clone, Debug)]
pub struct PutOwner {
    /// The owner.
    pub owner: OwnerRef,
    /// Its name for people.
    pub display_name: DisplayName,
    /// The callers who are this owner.
    pub principals: Vec<PrincipalName>,
    /// Its groups, in order.
    pub groups: Vec<Group>,
    /// Its roles, none twice, as they were given: they are sorted once they are
    /// checked.
    pub roles: Vec<Role>,
}

pub(super) fn put(
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
    tenants::live(view, &owner.tenant)?;
    let there = live(view, owner)?;
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
    Ok(write(owner, record))
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

pub(super) fn disable(
    view: &dyn View,
    ask: &DirectoryCommand,
    owner: &OwnerRef,
    disable: bool,
    now: Timestamp,
) -> Result<Decision, Refusal> {
    let there = live_or_nobody(view, owner)?;
    if there.record.disabled == disable {
        return Ok(Decision::nothing(Answer::Owner(there)));
    }
    expect(ask.expected, there.revision)?;
    if disable {
        administrators::keep_one_without(view, owner, now)?;
    }
    let record = OwnerRecord {
        disabled: disable,
        last_change: ask.change(disable_or_enable(disable), now),
        ..(*there.record).clone()
    };
    Ok(write(owner, record))
}

pub(super) fn set_default_source(
    view: &dyn View,
    ask: &DirectoryCommand,
    owner: &OwnerRef,
    source: Option<&Group>,
    now: Timestamp,
) -> Result<Decision, Refusal> {
    let there = live_or_nobody(view, owner)?;
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
    Ok(write(owner, record))
}

pub(super) fn delete(
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
        ..nobody(ask.change(DirectoryAction::Delete, now))
    };
    Ok(write(owner, record))
}

fn live(view: &dyn View, owner: &OwnerRef) -> Result<Option<KnownRecord<OwnerRecord>>, Refusal> {
    match view.owner(owner) {
        Some(there) if there.record.last_change.deleted() => Err(Refusal::Deleted(Thing::Owner)),
        there => Ok(there),
    }
}

/// The record of an owner; an empty one for an owner that has credentials and no
/// record.
fn live_or_nobody(view: &dyn View, owner: &OwnerRef) -> Result<KnownRecord<OwnerRecord>, Refusal> {
    match live(view, owner)? {
        Some(there) => Ok(there),
        None if view.owner_in_use(owner) => {
            let by_credd = DirectoryChange {
                action: DirectoryAction::Put,
                at: Timestamp::from_millis(0),
                by: Principal::system(),
                reason: Reason::trusted("".into()),
            };
            Ok(KnownRecord::pending(Arc::new(nobody(by_credd))))
        }
        None => Err(Refusal::Unknown(Thing::Owner)),
    }
}

/// An owner without anything.
fn nobody(last_change: DirectoryChange) -> OwnerRecord {
    OwnerRecord {
        display_name: DisplayName::default(),
        principals: Vec::new(),
        groups: Vec::new(),
        roles: Vec::new(),
        chosen_source: None,
        disabled: false,
        last_change,
    }
}

fn write(owner: &OwnerRef, record: OwnerRecord) -> Decision {
    let record = Arc::new(record);
    Decision {
        writes: vec![Record::Owner(owner.clone(), Some(Arc::clone(&record)))],
        answer: Answer::Owner(KnownRecord::pending(record)),
    }
}
