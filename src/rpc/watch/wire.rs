//! What a Watch tells, as messages.

use crate::authority::directory::KnownProfile;
use crate::authority::entry::Entry;
use crate::authority::hub::{CredentialEvent, Event};
use crate::authority::index::Index;
use crate::authority::watch::{Body, Message, ResetReason, ResumePoint};
use crate::domain::directory::DirectoryChange;
use crate::domain::revision::{Revision, StoreId};
use crate::proto::v1;
use crate::proto::v1::watch_response::Message as Wire;
use crate::proto::v1::{DirectoryChangeType, WatchResponse};
use crate::rpc::{convert, resume_token};

/// A message of a subscription.
pub(super) fn response(message: &Message, store: StoreId, index: &Index) -> WatchResponse {
    let Message {
        position,
        resumable,
        fenced,
        body,
    } = message;
    let point = ResumePoint {
        store,
        position: *position,
    };
    WatchResponse {
        revision: Some(convert::revision(store, position.revision)),
        fenced: *fenced,
        coverage: None,
        resume_token: if *resumable {
            resume_token::encode(&point)
        } else {
            String::new()
        },
        message: Some(match body {
            Body::Events(events) => Wire::Commit(v1::Commit {
                events: events
                    .iter()
                    .map(|event| wire_event(event, store, index))
                    .collect(),
            }),
            Body::Bookmark => Wire::Bookmark(v1::Bookmark {}),
            Body::Reset(reason) => Wire::Reset(v1::Reset {
                reason: wire_reason(*reason).into(),
            }),
            Body::Snapshot {
                denied,
                owners,
                tenants,
                complete,
            } => Wire::SnapshotPart(v1::SnapshotPart {
                denied: denied
                    .iter()
                    .map(|entry| wire_denied(entry, index))
                    .collect(),
                disabled_owners: owners
                    .iter()
                    .map(|owner| {
                        let owner = owner.reference(index.directory(), index.names());
                        v1::DisabledOwner {
                            tenant: owner.tenant.to_string(),
                            owner: owner.name.to_string(),
                        }
                    })
                    .collect(),
                disabled_tenants: tenants
                    .iter()
                    .map(|tenant| index.directory().tenant_name(*tenant, index.names()))
                    .map(ToString::to_string)
                    .collect(),
                complete: *complete,
            }),
        }),
    }
}

fn wire_event(event: &Event, store: StoreId, index: &Index) -> v1::Event {
    use v1::event::Subject;

    let kind = |change: &DirectoryChange| DirectoryChangeType::from(change.action).into();
    let at = |change: &DirectoryChange| Some(convert::timestamp(change.at));
    let subject = match event {
        Event::Credential(event) => Subject::Credential(credential_event(event)),
        Event::Tenant(tenant, record) => Subject::Tenant(v1::TenantEvent {
            tenant: tenant.to_string(),
            r#type: kind(&record.last_change),
            disabled: record.disabled,
            at: at(&record.last_change),
        }),
        Event::Owner(owner, record) => Subject::Owner(v1::OwnerEvent {
            tenant: owner.tenant.to_string(),
            owner: owner.name.to_string(),
            r#type: kind(&record.last_change),
            disabled: record.disabled,
            at: at(&record.last_change),
        }),
        Event::Role(role, record) => Subject::Role(v1::RoleEvent {
            tenant: role.tenant.to_string(),
            role: role.name.to_string(),
            r#type: kind(&record.last_change),
            at: at(&record.last_change),
        }),
        Event::Profile(reference, record) => {
            let known = KnownProfile {
                reference: reference.clone(),
                profile: record.profile.clone(),
                stored: Some((record.last_change.clone(), Revision::ZERO)),
            };
            let (directory, names) = (index.directory(), index.names());
            Subject::Profile(v1::ProfileEvent {
                r#type: kind(&record.last_change),
                profile: Some(v1::Profile {
                    revision: None, // that of the message
                    ..convert::directory::known_profile(&known, directory, names, store)
                }),
                at: at(&record.last_change),
            })
        }
    };
    v1::Event {
        subject: Some(subject),
    }
}

fn credential_event(event: &CredentialEvent) -> v1::CredentialEvent {
    let CredentialEvent {
        id,
        tenant,
        owner,
        action,
        state,
        generation,
        overlap_ends_at,
        at,
    } = event;
    v1::CredentialEvent {
        credential_id: id.to_string(),
        tenant: tenant.as_str().to_owned(),
        owner: owner.as_str().to_owned(),
        r#type: v1::ChangeType::from(*action).into(),
        state: v1::CredentialState::from(*state).into(),
        generation: generation.number(),
        at: Some(convert::timestamp(*at)),
        overlap_ends_at: overlap_ends_at.map(convert::timestamp),
    }
}

fn wire_denied(entry: &Entry, index: &Index) -> v1::DeniedCredential {
    let (names, directory) = (index.names(), index.directory());
    v1::DeniedCredential {
        credential_id: entry.id().to_string(),
        tenant: directory.tenant_name(entry.tenant(), names).to_string(),
        owner: directory.owner_name(entry.owner(), names).to_string(),
        state: v1::CredentialState::from(entry.standing()).into(),
    }
}

const fn wire_reason(reason: ResetReason) -> v1::ResetReason {
    match reason {
        ResetReason::OtherStore => v1::ResetReason::OtherStore,
        ResetReason::Compacted => v1::ResetReason::Compacted,
        ResetReason::OtherHistory => v1::ResetReason::OtherHistory,
    }
}
