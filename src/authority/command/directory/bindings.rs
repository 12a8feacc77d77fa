//! Changing bindings.

use std::sync::Arc;

use super::{DirectoryCommand, revision_of};
use crate::authority::command::{
    Answer, Decision, KnownRecord, Refusal, Thing, View, administrators, expect,
};
use crate::authority::record::Record;
use crate::domain::directory::{DirectoryAction, RoleRef};
use crate::domain::names::Tenant;
use crate::domain::revision::Revision;
use crate::domain::rights::{Binding, BindingRecord};
use crate::domain::time::Timestamp;

pub(super) fn put(
    view: &dyn View,
    ask: &DirectoryCommand,
    binding: &Binding,
    now: Timestamp,
) -> Result<Decision, Refusal> {
    let role = RoleRef {
        tenant: Tenant::credd(),
        name: binding.role.clone(),
    };
    match view.role(&role) {
        Some(role) if !role.record.last_change.deleted() => (),
        _ => return Err(Refusal::Unknown(Thing::Role)),
    }
    let there = view.binding(binding);
    if let Some(there) = &there
        && !there.record.last_change.deleted()
    {
        return Ok(Decision::nothing(Answer::Binding(there.clone())));
    }
    expect(ask.expected, revision_of(there.as_ref()))?;
    Ok(write(ask, binding, DirectoryAction::Put, now))
}

pub(super) fn delete(
    view: &dyn View,
    ask: &DirectoryCommand,
    binding: &Binding,
    now: Timestamp,
) -> Result<Decision, Refusal> {
    let there = view
        .binding(binding)
        .ok_or(Refusal::Unknown(Thing::Binding))?;
    if there.revision == Some(Revision::ZERO) {
        return Err(Refusal::BuiltIn(Thing::Binding));
    }
    if there.record.last_change.deleted() {
        return Ok(Decision::nothing(Answer::Binding(there)));
    }
    expect(ask.expected, there.revision)?;
    administrators::keep_one_unbound(view, binding, now)?;
    Ok(write(ask, binding, DirectoryAction::Delete, now))
}

fn write(
    ask: &DirectoryCommand,
    binding: &Binding,
    action: DirectoryAction,
    now: Timestamp,
) -> Decision {
    let record = Arc::new(BindingRecord {
        last_change: ask.change(action, now),
    });
    Decision {
        writes: vec![Record::Binding(binding.clone(), Some(Arc::clone(&record)))],
        answer: Answer::Binding(KnownRecord::pending(record)),
    }
}
