//! Changing roles.

use std::sync::Arc;

use super::{DirectoryCommand, revision_of, tenants};
use crate::authority::command::{Answer, Decision, KnownRecord, Refusal, Thing, View, expect};
use crate::authority::record::Record;
use crate::domain::directory::{DirectoryAction, Permissions, RoleRecord, RoleRef};
use crate::domain::names::Description;
use crate::domain::revision::Revision;
use crate::domain::time::Timestamp;

/// A role to put.
#[derive(Clone, Debug)]
pub struct PutRole {
    /// The role.
    pub role: RoleRef,
    /// A longer text.
    pub description: Description,
    /// What it permits.
    pub permissions: Permissions,
}

pub(super) fn put(
    view: &dyn View,
    ask: &DirectoryCommand,
    put: &PutRole,
    now: Timestamp,
) -> Result<Decision, Refusal> {
    let PutRole {
        role,
        description,
        permissions,
    } = put;
    tenants::live(view, &role.tenant)?;
    let there = view.role(role);
    match &there {
        Some(there) if is_built_in(there) => return Err(Refusal::BuiltIn(Thing::Role)),
        Some(there) if there.record.last_change.deleted() => {
            return Err(Refusal::Deleted(Thing::Role));
        }
        Some(there)
            if there.record.description == *description
                && there.record.permissions == *permissions =>
        {
            return Ok(Decision::nothing(Answer::Role(there.clone())));
        }
        _ => (),
    }
    expect(ask.expected, revision_of(there.as_ref()))?;
    let record = RoleRecord {
        description: description.clone(),
        permissions: permissions.clone(),
        last_change: ask.change(DirectoryAction::Put, now),
    };
    Ok(write(role, record))
}

pub(super) fn delete(
    view: &dyn View,
    ask: &DirectoryCommand,
    role: &RoleRef,
    now: Timestamp,
) -> Result<Decision, Refusal> {
    let there = view.role(role).ok_or(Refusal::Unknown(Thing::Role))?;
    if is_built_in(&there) {
        return Err(Refusal::BuiltIn(Thing::Role));
    }
    if there.record.last_change.deleted() {
        return Ok(Decision::nothing(Answer::Role(there)));
    }
    if view.role_in_use(role) {
        return Err(Refusal::InUse(Thing::Role));
    }
    expect(ask.expected, there.revision)?;
    let permissions = match &there.record.permissions {
        Permissions::Tenant(_) => Permissions::Tenant(Vec::new()),
        Permissions::Credd(_) => Permissions::Credd(Vec::new()),
    };
    let record = RoleRecord {
        description: Description::default(),
        permissions,
        last_change: ask.change(DirectoryAction::Delete, now),
    };
    Ok(write(role, record))
}

/// Those that are built in were written by no commit.
fn is_built_in(role: &KnownRecord<RoleRecord>) -> bool {
    role.revision == Some(Revision::ZERO)
}

fn write(role: &RoleRef, record: RoleRecord) -> Decision {
    let record = Arc::new(record);
    Decision {
        writes: vec![Record::Role(role.clone(), Some(Arc::clone(&record)))],
        answer: Answer::Role(KnownRecord::pending(record)),
    }
}
