//! What a restore does to the store that it has filled: it marks it, denies again
//! what was denied after the backup, and settles it. And what an export and an import
//! do: the one closes a store, the other marks the one that takes its place.
//!
//! What is known of those changes is what the audit log said of them. Where that says
//! enough, the change is made again. Where it does not (a secret was changed for one
//! that is lost; roles, principals or permissions may have been taken away), what it
//! was about is denied until somebody looks. Nothing is allowed that the backup does
//! not allow, and nobody is kept for being the last administrator: there is `credd
//! admin recover`.

use std::sync::Arc;

use bytes::Bytes;

use super::{Answer, Decision, Known, KnownRecord, View, credential_record};
use crate::authority::audit::told::{of_record, of_secret};
use crate::authority::record::{
    Record, binding_key, closed_key, credential_key, owner_key, restored_key, role_key, tenant_key,
};
use crate::domain::audit::{DETAILS_BYTES, Subject, redacted};
use crate::domain::closed::Closed;
use crate::domain::credential::{Action, Change, Credential, State};
use crate::domain::directory::{
    DirectoryAction, DirectoryChange, OwnerRecord, OwnerRef, Permissions, RoleRecord, RoleRef,
    TenantRecord,
};
use crate::domain::id::CredentialId;
use crate::domain::names::{Description, DisplayName, Principal, Reason, Tenant};
use crate::domain::restored::Restored;
use crate::domain::rights::{Binding, BindingRecord};
use crate::domain::time::Timestamp;
use crate::domain::token::Generation;

/// A step of a restore.
#[derive(Clone, Debug)]
pub enum Restore {
    /// The store was restored from this.
    Mark(Restored),
    /// This was denied after the backup.
    Deny(Lost),
    /// The revocations since were given, or given up: what is told of that.
    Settle(String),
    /// The store is exported, and nobody is to be answered from it any more.
    Export,
    /// The export is given up: the store is to be served again.
    TakeBack,
    /// The store was imported from this, which is closed.
    Import(Restored),
}

/// A change after a backup that may have denied something.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Lost {
    /// A credential was revoked.
    Revoked(CredentialId),
    /// A credential was locked.
    Locked(CredentialId),
    /// The secret of a credential was to be good no more; it got this one, if that is
    /// known.
    Ended(CredentialId, Option<Generation>),
    /// A credential was updated: what was told of it then.
    Updated(CredentialId, String),
    /// A tenant was disabled or deleted.
    TenantDisabled(Tenant),
    /// An owner was disabled or deleted.
    OwnerDisabled(OwnerRef),
    /// An owner was put: what was told of it then.
    OwnerPut(OwnerRef, String),
    /// A role was put or deleted: what was told of it then.
    RolePut(RoleRef, String),
    /// A binding was deleted.
    Unbound(Binding),
}

/// What is told of an export that was given up.
pub(crate) const TAKEN_BACK: &str = "the export was given up";
/// What a restore is called in the audit log.
pub(crate) const RESTORE: &str = "credd.restore";
/// What an import is called there.
pub(crate) const IMPORT: &str = "credd.import";
/// What stands there before the store that this one was restored from.
pub(crate) const RESTORED_FROM: &str = "restored from a backup of store ";
/// What stands there before the store that this one was imported from.
pub(crate) const IMPORTED_FROM: &str = "imported from store ";

const REASON: &str = "changed after the backup that the store was restored from";

impl Restore {
    pub(super) fn subjects(&self) -> Vec<Bytes> {
        vec![match self {
            Self::Mark(_) | Self::Settle(_) | Self::Import(_) => restored_key(),
            Self::Export | Self::TakeBack => closed_key(),
            Self::Deny(lost) => match lost {
                Lost::Revoked(id)
                | Lost::Locked(id)
                | Lost::Ended(id, _)
                | Lost::Updated(id, _) => credential_key(*id),
                Lost::TenantDisabled(tenant) => tenant_key(tenant),
                Lost::OwnerDisabled(owner) | Lost::OwnerPut(owner, _) => owner_key(owner),
                Lost::RolePut(role, _) => role_key(role),
                Lost::Unbound(binding) => binding_key(binding),
            },
        }]
    }

    pub(super) const fn is_first(&self) -> bool {
        matches!(
            self,
            Self::Deny(Lost::TenantDisabled(_) | Lost::OwnerDisabled(_) | Lost::OwnerPut(..))
        )
    }

    /// What it is called in the audit log.
    pub(in crate::authority) const fn action(&self) -> &'static str {
        match self {
            Self::Mark(_) | Self::Deny(_) | Self::Settle(_) => RESTORE,
            Self::Export | Self::TakeBack => "credd.export",
            Self::Import(_) => IMPORT,
        }
    }

    /// What is told of it, besides the credential that it is about.
    pub(in crate::authority) fn subject(&self) -> Subject {
        let of_tenant = |tenant: &Tenant| Subject {
            tenant: tenant.to_string(),
            ..Subject::default()
        };
        match self {
            Self::Mark(_)
            | Self::Settle(_)
            | Self::Export
            | Self::TakeBack
            | Self::Import(_)
            | Self::Deny(
                Lost::Revoked(_) | Lost::Locked(_) | Lost::Ended(..) | Lost::Updated(..),
            ) => Subject::default(),
            Self::Deny(Lost::TenantDisabled(tenant)) => of_tenant(tenant),
            Self::Deny(Lost::OwnerDisabled(owner) | Lost::OwnerPut(owner, _)) => Subject {
                owner: owner.name.to_string(),
                ..of_tenant(&owner.tenant)
            },
            Self::Deny(Lost::RolePut(role, _)) => Subject {
                role: role.name.to_string(),
                ..of_tenant(&role.tenant)
            },
            Self::Deny(Lost::Unbound(binding)) => Subject {
                tenant: binding.reach.to_string(),
                role: binding.role.to_string(),
                principal: binding.principal.to_string(),
                ..Subject::default()
            },
        }
    }

    /// The same, for people.
    pub(in crate::authority) fn details(&self) -> String {
        let what = match self {
            Self::Mark(restored) => {
                let Restored {
                    from,
                    revision,
                    backed_up_at,
                    audit,
                    ..
                } = restored;
                return format!(
                    "{RESTORED_FROM}{from} as of revision {revision} and event {}, made at {} ms",
                    audit.sequence,
                    backed_up_at.as_millis()
                );
            }
            Self::Settle(details) => return details.clone(),
            Self::Export => return "exported, and closed".to_owned(),
            Self::TakeBack => return TAKEN_BACK.to_owned(),
            Self::Import(Restored {
                from,
                revision,
                audit,
                ..
            }) => {
                return format!(
                    "{IMPORTED_FROM}{from} as of revision {revision} and event {}",
                    audit.sequence
                );
            }
            Self::Deny(lost) => match lost {
                Lost::Revoked(_) => "it was revoked: revoked",
                Lost::Locked(_) => "it was locked: locked",
                Lost::Ended(..) => "its secret was ended: locked until it is rotated",
                Lost::Updated(..) => "it was updated: locked",
                Lost::TenantDisabled(_) | Lost::OwnerDisabled(_) => "it was disabled: disabled",
                Lost::OwnerPut(..) => "it was put: disabled",
                Lost::RolePut(..) => "it was put or deleted: without permissions",
                Lost::Unbound(_) => "it was deleted: deleted",
            },
        };
        format!("after the backup {what}")
    }
}

pub(super) fn decide(view: &dyn View, ask: &Restore, now: Timestamp) -> Decision {
    match ask {
        Restore::Mark(restored) | Restore::Import(restored) => mark(view, restored),
        Restore::Export => close(view, Some(Closed::Exported { at: now })),
        Restore::TakeBack => close(view, None),
        Restore::Settle(_) => settle(view),
        Restore::Deny(lost) => deny(view, lost, now),
    }
}

/// The audit log of a backup of a restored store began in another store still.
fn mark(view: &dyn View, restored: &Restored) -> Decision {
    let before = view.restored();
    let restored = Restored {
        origin: before.map_or(restored.origin, |before| before.origin),
        ..restored.clone()
    };
    Decision {
        writes: vec![Record::Restored(Some(Arc::new(restored)))],
        answer: Answer::Nothing,
    }
}

/// Closes a store, or opens it again. One that is being filled is somebody else's.
fn close(view: &dyn View, closed: Option<Closed>) -> Decision {
    let is_change = match view.closed() {
        Some(Closed::Filling) => false,
        before => before.is_some() != closed.is_some(),
    };
    Decision {
        writes: is_change
            .then_some(Record::Closed(closed))
            .into_iter()
            .collect(),
        answer: Answer::Nothing,
    }
}

fn settle(view: &dyn View) -> Decision {
    let unsettled = view.restored().filter(|restored| !restored.settled);
    let settled = unsettled.map(|restored| Restored {
        settled: true,
        ..(*restored).clone()
    });
    Decision {
        writes: settled
            .map(|restored| Record::Restored(Some(Arc::new(restored))))
            .into_iter()
            .collect(),
        answer: Answer::Nothing,
    }
}

fn deny(view: &dyn View, lost: &Lost, now: Timestamp) -> Decision {
    let denied = match lost {
        Lost::Revoked(id) => on_credential(view, *id, |known| {
            let change = change(Action::Revoke, now);
            Some(known.credential().with_state(State::Revoked, change))
        }),
        Lost::Locked(id) => on_credential(view, *id, |known| locked(known, now)),
        Lost::Ended(id, to) => on_credential(view, *id, |known| {
            let held = known.credential().secret.generation;
            let is_before = to.is_none_or(|to| held < to);
            is_before.then(|| ended(known, now)).flatten()
        }),
        Lost::Updated(id, told) => on_credential(view, *id, |known| {
            let said = of_secret(known.credential());
            (!is_same(&said, told))
                .then(|| locked(known, now))
                .flatten()
        }),
        Lost::TenantDisabled(tenant) => disable_tenant(view, tenant, now),
        Lost::OwnerDisabled(owner) => disable_owner(view, owner, None, now),
        Lost::OwnerPut(owner, told) => disable_owner(view, owner, Some(told), now),
        Lost::RolePut(role, told) => empty_role(view, role, told, now),
        Lost::Unbound(binding) => unbind(view, binding, now),
    };
    denied.unwrap_or_else(|| Decision::nothing(Answer::Nothing))
}

/// A change of a credential that is not revoked. Its requests were in no backup.
fn on_credential(
    view: &dyn View,
    id: CredentialId,
    deny: impl FnOnce(&Known) -> Option<Credential>,
) -> Option<Decision> {
    let known = view.credential(id)?;
    if known.credential().state == State::Revoked {
        return None;
    }
    let after = Arc::new(deny(&known)?);
    Some(Decision {
        writes: vec![credential_record(&after)],
        answer: Answer::Credential(Known::Pending(after)),
    })
}

fn locked(known: &Known, now: Timestamp) -> Option<Credential> {
    let credential = known.credential();
    let change = change(Action::Lock, now);
    (credential.state == State::Active).then(|| credential.with_state(State::Locked, change))
}

/// Locked as one that leaked: no secret that it had is good again, but a new one is.
fn ended(known: &Known, now: Timestamp) -> Option<Credential> {
    let credential = known.credential();
    if credential.leaked_at.is_some() {
        return None;
    }
    let change = change(Action::ReportLeak, now);
    let after = match credential.state {
        State::Locked => credential.with_change(known.state_revision(), change),
        state => credential.with_state(state, change),
    };
    Some(Credential {
        // 0 stands for: it did not.
        leaked_at: Some(now.max(Timestamp::from_millis(1))),
        ..after
    })
}

fn disable_tenant(view: &dyn View, tenant: &Tenant, now: Timestamp) -> Option<Decision> {
    let there = view.tenant(tenant);
    let is_denied = there.as_ref().is_some_and(|there| there.record.disabled);
    if is_denied || tenant.is_credd() || there.is_none() && !view.tenant_exists(tenant) {
        return None;
    }
    let (display_name, description) = there.map_or_else(
        || (DisplayName::default(), Description::default()),
        |there| {
            let record = &there.record;
            (record.display_name.clone(), record.description.clone())
        },
    );
    let record = Arc::new(TenantRecord {
        display_name,
        description,
        disabled: true,
        last_change: directory_change(DirectoryAction::Disable, now),
    });
    Some(Decision {
        writes: vec![Record::Tenant(tenant.clone(), Some(Arc::clone(&record)))],
        answer: Answer::Tenant(KnownRecord::pending(record)),
    })
}

/// Disables an owner, unless what was told of it is what it is.
fn disable_owner(
    view: &dyn View,
    owner: &OwnerRef,
    told: Option<&String>,
    now: Timestamp,
) -> Option<Decision> {
    let there = view.owner(owner);
    let last_change = directory_change(DirectoryAction::Disable, now);
    let record = match there {
        Some(there) if there.record.disabled => return None,
        Some(there) => {
            let said = of_record(&Record::Owner(
                owner.clone(),
                Some(Arc::clone(&there.record)),
            ));
            if told.is_some_and(|told| is_same(&said.unwrap_or_default(), told)) {
                return None;
            }
            OwnerRecord {
                disabled: true,
                last_change,
                ..(*there.record).clone()
            }
        }
        // It has no rights but by its credentials.
        None if !view.owner_in_use(owner) => return None,
        None => OwnerRecord {
            display_name: DisplayName::default(),
            principals: Vec::new(),
            groups: Vec::new(),
            roles: Vec::new(),
            chosen_source: None,
            disabled: true,
            last_change,
        },
    };
    let record = Arc::new(record);
    Some(Decision {
        writes: vec![Record::Owner(owner.clone(), Some(Arc::clone(&record)))],
        answer: Answer::Owner(KnownRecord::pending(record)),
    })
}

/// Takes everything from a role, unless what was told of it is what it is.
fn empty_role(view: &dyn View, role: &RoleRef, told: &str, now: Timestamp) -> Option<Decision> {
    let there = view.role(role)?;
    let said = of_record(&Record::Role(role.clone(), Some(Arc::clone(&there.record))));
    let is_empty = there.record.permissions.texts().next().is_none();
    if is_empty || is_same(&said.unwrap_or_default(), told) {
        return None;
    }
    let record = Arc::new(RoleRecord {
        description: there.record.description.clone(),
        permissions: match &there.record.permissions {
            Permissions::Tenant(_) => Permissions::Tenant(Vec::new()),
            Permissions::Credd(_) => Permissions::Credd(Vec::new()),
        },
        last_change: directory_change(DirectoryAction::Put, now),
    });
    Some(Decision {
        writes: vec![Record::Role(role.clone(), Some(Arc::clone(&record)))],
        answer: Answer::Role(KnownRecord::pending(record)),
    })
}

fn unbind(view: &dyn View, binding: &Binding, now: Timestamp) -> Option<Decision> {
    let there = view.binding(binding)?;
    if there.record.last_change.deleted() {
        return None;
    }
    let record = Arc::new(BindingRecord {
        last_change: directory_change(DirectoryAction::Delete, now),
    });
    Some(Decision {
        writes: vec![Record::Binding(binding.clone(), Some(Arc::clone(&record)))],
        answer: Answer::Binding(KnownRecord::pending(record)),
    })
}

/// Whether what would be told is what was told. What was cut says too little.
fn is_same(said: &str, told: &str) -> bool {
    said.len() <= DETAILS_BYTES && redacted(said.to_owned()) == told
}

fn change(action: Action, now: Timestamp) -> Change {
    Change {
        action,
        at: now,
        by: Principal::system(),
        reason: Reason::trusted(REASON.into()),
    }
}

fn directory_change(action: DirectoryAction, now: Timestamp) -> DirectoryChange {
    DirectoryChange {
        action,
        at: now,
        by: Principal::system(),
        reason: Reason::trusted(REASON.into()),
    }
}
