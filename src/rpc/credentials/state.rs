//! Locking, unlocking and revoking, one or all that a filter lets through.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::{Credentials, show, wire};
use crate::authority::Authority;
use crate::authority::command::SetState;
use crate::authority::list::Filter;
use crate::domain::credential::Set;
use crate::domain::id::CredentialId;
use crate::domain::permission::Permission;
use crate::proto::v1::{
    self, Credential, LockRequest, LockResponse, RevokeRequest, RevokeResponse, UnlockRequest,
    UnlockResponse, lock_request, revoke_request,
};
use crate::rpc::convert;
use crate::rpc::fence::Fencing;
use crate::rpc::permit::{Admitted, Permit, admitted};
use crate::rpc::status::{self, Violations};

pub(super) async fn lock(
    service: &Credentials,
    request: Request<LockRequest>,
) -> Result<Response<LockResponse>, Status> {
    let admitted = admitted(&request)?;
    let LockRequest {
        target,
        reason,
        dry_run,
        expected_revision,
        fence: is_fenced,
    } = request.into_inner();
    let ask = Ask {
        set: Set::Lock,
        target: target.map(TargetMessage::from),
        reason,
        dry_run,
        expected_revision,
        fence: is_fenced,
    };
    let outcomes = set_state(service, admitted, ask).await?;
    Ok(Response::new(LockResponse {
        credential: outcomes.credential,
        revision: Some(outcomes.revision),
        impact: Some(outcomes.impact),
        fence: outcomes.fence,
    }))
}

pub(super) async fn unlock(
    service: &Credentials,
    request: Request<UnlockRequest>,
) -> Result<Response<UnlockResponse>, Status> {
    let admitted = admitted(&request)?;
    let UnlockRequest {
        credential_id,
        reason,
    } = request.into_inner();
    let ask = Ask {
        set: Set::Unlock,
        target: Some(TargetMessage::One(credential_id)),
        reason,
        dry_run: false,
        expected_revision: None,
        fence: false,
    };
    let outcomes = set_state(service, admitted, ask).await?;
    Ok(Response::new(UnlockResponse {
        credential: outcomes.credential,
        revision: Some(outcomes.revision),
    }))
}

pub(super) async fn revoke(
    service: &Credentials,
    request: Request<RevokeRequest>,
) -> Result<Response<RevokeResponse>, Status> {
    let admitted = admitted(&request)?;
    let RevokeRequest {
        target,
        reason,
        dry_run,
        expected_revision,
        fence: is_fenced,
    } = request.into_inner();
    let ask = Ask {
        set: Set::Revoke,
        target: target.map(TargetMessage::from),
        reason,
        dry_run,
        expected_revision,
        fence: is_fenced,
    };
    let outcomes = set_state(service, admitted, ask).await?;
    Ok(Response::new(RevokeResponse {
        credential: outcomes.credential,
        revision: Some(outcomes.revision),
        impact: Some(outcomes.impact),
        fence: outcomes.fence,
    }))
}

/// Which credentials to lock or to revoke.
enum Target {
    One(CredentialId),
    All(Box<Filter>),
}

/// A change of state that somebody asks for.
struct Ask {
    set: Set,
    target: Option<TargetMessage>,
    reason: String,
    dry_run: bool,
    expected_revision: Option<v1::Revision>,
    fence: bool,
}

/// What a request says of its target.
enum TargetMessage {
    One(String),
    All(v1::CredentialFilter),
}

impl From<lock_request::Target> for TargetMessage {
    fn from(target: lock_request::Target) -> Self {
        match target {
            lock_request::Target::CredentialId(id) => Self::One(id),
            lock_request::Target::Filter(filter) => Self::All(filter),
        }
    }
}

impl From<revoke_request::Target> for TargetMessage {
    fn from(target: revoke_request::Target) -> Self {
        match target {
            revoke_request::Target::CredentialId(id) => Self::One(id),
            revoke_request::Target::Filter(filter) => Self::All(filter),
        }
    }
}

/// What a change of state came to.
struct Outcomes {
    credential: Option<Credential>,
    revision: v1::Revision,
    impact: v1::Impact,
    fence: Option<v1::Fence>,
}

async fn set_state(
    service: &Credentials,
    admitted: Admitted,
    ask: Ask,
) -> Result<Outcomes, Status> {
    let authority = service.0.authority()?;
    let Ask {
        set,
        target,
        reason,
        dry_run,
        expected_revision,
        fence,
    } = ask;
    let fencing = Fencing::asked(fence, dry_run);
    let mut violations = Violations::default();
    let is_one = !matches!(target, Some(TargetMessage::All(_)));
    let target = match target {
        None => {
            violations.add("target", "is required: `credential_id` or `filter`");
            None
        }
        Some(TargetMessage::One(id)) => {
            convert::credential_id(&id, &mut violations).map(Target::One)
        }
        Some(TargetMessage::All(filter)) => {
            let filter = convert::filter::narrow_filter(filter, &mut violations);
            filter.map(|filter| Target::All(Box::new(filter)))
        }
    };
    let reason = convert::reason(&reason, &mut violations);
    if expected_revision.is_some() && !is_one {
        violations.add("expected_revision", "must not be set with `filter`");
        return Err(violations.status());
    }
    let store = authority.store();
    let expected = convert::expected_revision(expected_revision, store, &mut violations);
    let (Some(target), Some(reason), Some(expected)) = (target, reason, expected) else {
        return Err(violations.status());
    };
    let set_state = |id, although_leaked| SetState {
        id,
        set,
        although_leaked,
        reason: reason.clone(),
        by: admitted.principal().clone(),
        expected,
    };
    match target {
        Target::One(id) => {
            let permit = admitted.on_credential(authority, id)?;
            let although_leaked = set == Set::Unlock && may_unlock_leaked(authority, &permit, id);
            let changed = authority
                .set_state(
                    set_state(id, although_leaked),
                    fencing.of(permit.how(dry_run)),
                )
                .await
                .map_err(|error| status::of_command(&error))?;
            tracing::info!(caller = %permit.principal(), ?set, credential = %id, dry_run, "set the state of a credential");
            Ok(Outcomes {
                credential: Some(show(authority, &changed.shown)),
                revision: wire(authority, changed.shown.stored.state_revision()),
                impact: convert::credential::impact(&changed.impact),
                fence: fencing.wait(&service.0, &permit.call).await?,
            })
        }
        Target::All(filter) => {
            let permit = admitted.on_whose(authority, &filter.whose)?;
            let ids = {
                let authority = Arc::clone(authority);
                let read = move || authority.matching(&filter);
                service.0.limits.read(read).await?
            };
            let how = fencing.of(permit.how(dry_run));
            let changed = authority
                .set_state_of_all(&ids, |id| set_state(id, false), &how)
                .await
                .map_err(|error| status::of_command(&error))?;
            tracing::info!(caller = %permit.principal(), ?set, changed = changed.impact.changed, dry_run, "set the state of credentials");
            Ok(Outcomes {
                credential: None,
                revision: wire(authority, changed.revision),
                impact: convert::credential::impact(&changed.impact),
                fence: fencing.wait(&service.0, &permit.call).await?,
            })
        }
    }
}

/// Whether a caller may unlock a credential by hand although it leaked.
fn may_unlock_leaked(authority: &Authority, permit: &Permit, id: CredentialId) -> bool {
    let reach = authority.reach(&permit.call.caller, Permission::UnlockLeaked);
    let (_, entry) = authority.index().read(|index| index.credential(id));
    entry.is_some_and(|entry| {
        let (directory, names) = (authority.index().directory(), authority.index().names());
        reach.has(directory.tenant_name(entry.tenant(), names))
    })
}
