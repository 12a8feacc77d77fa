//! Records of tenants, owners, roles and bindings.

use std::sync::Arc;

use bytes::Bytes;

use super::{shared, text};
use crate::authority::names::Interner;
use crate::domain::directory::{
    DirectoryAction, DirectoryChange, OwnerRecord, Permissions, RoleRecord, TenantRecord,
};
use crate::domain::names::{
    Description, DisplayName, Group, Principal, PrincipalName, Reason, Role,
};
use crate::domain::permission::{CreddGrant, Grant};
use crate::domain::rights::BindingRecord;
use crate::domain::time::Timestamp;
use crate::proto::store::{self as stored, ChangeRecord};
use crate::proto::v1::DirectoryChangeType;

pub(super) fn write_tenant(record: &TenantRecord) -> stored::TenantRecord {
    let TenantRecord {
        display_name,
        description,
        disabled,
        last_change,
    } = record;
    stored::TenantRecord {
        display_name: text(display_name.as_str()),
        description: text(description.as_str()),
        disabled: *disabled,
        last_change: Some(write_change(last_change)),
    }
}

pub(super) fn read_tenant(
    record: stored::TenantRecord,
    names: &Interner,
) -> Result<TenantRecord, String> {
    let stored::TenantRecord {
        display_name,
        description,
        disabled,
        last_change,
    } = record;
    Ok(TenantRecord {
        display_name: DisplayName::trusted(shared(&display_name, names)?),
        description: Description::trusted(shared(&description, names)?),
        disabled,
        last_change: read_change(last_change, names)?,
    })
}

pub(super) fn write_owner(record: &OwnerRecord) -> stored::OwnerRecord {
    let OwnerRecord {
        display_name,
        principals,
        groups,
        roles,
        chosen_source,
        disabled,
        last_change,
    } = record;
    stored::OwnerRecord {
        display_name: text(display_name.as_str()),
        principals: texts(principals.iter().map(PrincipalName::as_str)),
        groups: texts(groups.iter().map(Group::as_str)),
        roles: texts(roles.iter().map(Role::as_str)),
        chosen_source: text(chosen_source.as_ref().map_or("", Group::as_str)),
        disabled: *disabled,
        last_change: Some(write_change(last_change)),
    }
}

pub(super) fn read_owner(
    record: stored::OwnerRecord,
    names: &Interner,
) -> Result<OwnerRecord, String> {
    let stored::OwnerRecord {
        display_name,
        principals,
        groups,
        roles,
        chosen_source,
        disabled,
        last_change,
    } = record;
    let chosen = (!chosen_source.is_empty()).then(|| shared(&chosen_source, names));
    Ok(OwnerRecord {
        display_name: DisplayName::trusted(shared(&display_name, names)?),
        principals: read_texts(&principals, names, PrincipalName::trusted)?,
        groups: read_texts(&groups, names, Group::trusted)?,
        roles: read_texts(&roles, names, Role::trusted)?,
        chosen_source: chosen.transpose()?.map(Group::trusted),
        disabled,
        last_change: read_change(last_change, names)?,
    })
}

pub(super) fn write_role(record: &RoleRecord) -> stored::RoleRecord {
    let RoleRecord {
        description,
        permissions,
        last_change,
    } = record;
    stored::RoleRecord {
        description: text(description.as_str()),
        permissions: texts(permissions.texts()),
        last_change: Some(write_change(last_change)),
    }
}

pub(super) fn read_role(
    record: stored::RoleRecord,
    is_credd: bool,
    names: &Interner,
) -> Result<RoleRecord, String> {
    let stored::RoleRecord {
        description,
        permissions,
        last_change,
    } = record;
    Ok(RoleRecord {
        description: Description::trusted(shared(&description, names)?),
        permissions: if is_credd {
            Permissions::Credd(read_texts(&permissions, names, CreddGrant::trusted)?)
        } else {
            Permissions::Tenant(read_texts(&permissions, names, Grant::trusted)?)
        },
        last_change: read_change(last_change, names)?,
    })
}

pub(super) fn write_binding(record: &BindingRecord) -> stored::BindingRecord {
    let BindingRecord { last_change } = record;
    stored::BindingRecord {
        last_change: Some(write_change(last_change)),
    }
}

pub(super) fn read_binding(
    record: stored::BindingRecord,
    names: &Interner,
) -> Result<BindingRecord, String> {
    let stored::BindingRecord { last_change } = record;
    Ok(BindingRecord {
        last_change: read_change(last_change, names)?,
    })
}

pub(super) fn write_change(change: &DirectoryChange) -> ChangeRecord {
    let DirectoryChange {
        action,
        at,
        by,
        reason,
    } = change;
    ChangeRecord {
        r#type: DirectoryChangeType::from(*action).into(),
        at_ms: at.as_millis(),
        by: text(by.as_str()),
        reason: text(reason.as_str()),
    }
}

pub(super) fn read_change(
    record: Option<ChangeRecord>,
    names: &Interner,
) -> Result<DirectoryChange, String> {
    let ChangeRecord {
        r#type,
        at_ms,
        by,
        reason,
    } = record.ok_or("no last change")?;
    Ok(DirectoryChange {
        action: action_of(r#type)?,
        at: Timestamp::from_millis(at_ms),
        by: Principal::trusted(shared(&by, names)?),
        reason: Reason::trusted(shared(&reason, names)?),
    })
}

fn texts<'a>(all: impl Iterator<Item = &'a str>) -> Vec<Bytes> {
    all.map(text).collect()
}

fn read_texts<T>(
    all: &[Bytes],
    names: &Interner,
    trusted: impl Fn(Arc<str>) -> T,
) -> Result<Vec<T>, String> {
    all.iter()
        .map(|bytes| Ok(trusted(shared(bytes, names)?)))
        .collect()
}

fn action_of(number: i32) -> Result<DirectoryAction, String> {
    match DirectoryChangeType::try_from(number) {
        Ok(DirectoryChangeType::Put) => Ok(DirectoryAction::Put),
        Ok(DirectoryChangeType::Disabled) => Ok(DirectoryAction::Disable),
        Ok(DirectoryChangeType::Enabled) => Ok(DirectoryAction::Enable),
        Ok(DirectoryChangeType::Deleted) => Ok(DirectoryAction::Delete),
        Ok(DirectoryChangeType::Unspecified) | Err(_) => Err(format!("unknown change {number}")),
    }
}

impl From<DirectoryAction> for DirectoryChangeType {
    fn from(action: DirectoryAction) -> Self {
        match action {
            DirectoryAction::Put => Self::Put,
            DirectoryAction::Disable => Self::Disabled,
            DirectoryAction::Enable => Self::Enabled,
            DirectoryAction::Delete => Self::Deleted,
        }
    }
}
