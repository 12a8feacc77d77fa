//! `CredentialService`.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::access::caller_of;
use super::status::{self, Violations};
use super::{Shared, convert, page_token};
use crate::authority::command::SetState;
use crate::authority::{Authority, Caller, Shown};
use crate::domain::credential::Action;
use crate::domain::id::CredentialId;
use crate::domain::names::Reason;
use crate::proto::v1::credential_service_server::CredentialService;
use crate::proto::v1::{
    Credential, GetRequest, GetResponse, IssueRequest, IssueResponse, ListRequest, ListResponse,
    LockRequest, LockResponse, Revision, RevokeRequest, RevokeResponse, UnlockRequest,
    UnlockResponse,
};

/// The service.
#[derive(Clone, Debug)]
pub struct Credentials(Shared);

impl Credentials {
    /// The service on this authority.
    #[must_use]
    pub const fn new(shared: Shared) -> Self {
        Self(shared)
    }

    async fn set_state(
        &self,
        caller: Arc<Caller>,
        action: Action,
        credential_id: String,
        reason: String,
    ) -> Result<(Credential, Revision), Status> {
        let authority = self.0.authority()?;
        let mut violations = Violations::default();
        let id = convert::credential_id(&credential_id, &mut violations);
        let reason = violations.check("reason", Reason::parse(&reason));
        let (Some(id), Some(reason)) = (id, reason) else {
            return Err(violations.status());
        };
        let set_state = SetState {
            id,
            action,
            reason,
            by: caller.principal.clone(),
        };
        let shown = authority
            .set_state(set_state)
            .await
            .map_err(|error| status::of_command(&error))?;
        tracing::info!(caller = %caller.principal, ?action, credential = %id, "changed a credential");
        let revision = convert::revision(authority.store(), shown.stored.state_revision());
        Ok((show(authority, &shown), revision))
    }
}

fn show(authority: &Authority, shown: &Shown) -> Credential {
    convert::credential(shown, authority.store(), authority.now())
}

#[tonic::async_trait]
impl CredentialService for Credentials {
    async fn issue(
        &self,
        request: Request<IssueRequest>,
    ) -> Result<Response<IssueResponse>, Status> {
        let authority = self.0.authority()?;
        let caller = caller_of(&request)?;
        let mut violations = Violations::default();
        let request = request.into_inner();
        let Some(new) = convert::new_credential(request, authority.now(), &mut violations) else {
            return Err(violations.status());
        };
        let issued = authority
            .issue(new, &caller.principal)
            .await
            .map_err(|error| status::of_issue(&error))?;
        let secret = convert::issued_secret(&issued);
        let shown = Shown {
            stored: issued.stored,
            last_use: None,
        };
        let id = shown.stored.credential.id;
        tracing::info!(caller = %caller.principal, credential = %id, "issued a credential");
        Ok(Response::new(IssueResponse {
            credential: Some(show(authority, &shown)),
            secret: Some(secret),
            revision: Some(convert::revision(authority.store(), shown.stored.revision)),
        }))
    }

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<GetResponse>, Status> {
        let authority = self.0.authority()?;
        let GetRequest { credential_id } = request.into_inner();
        let mut violations = Violations::default();
        let Some(id) = convert::credential_id(&credential_id, &mut violations) else {
            return Err(violations.status());
        };
        let (revision, shown) = authority.get(id);
        let shown = shown.ok_or_else(|| status::not_found(id))?;
        Ok(Response::new(GetResponse {
            credential: Some(show(authority, &shown)),
            revision: Some(convert::revision(authority.store(), revision)),
        }))
    }

    async fn list(&self, request: Request<ListRequest>) -> Result<Response<ListResponse>, Status> {
        let authority = self.0.authority()?;
        let caller = caller_of(&request)?;
        let ListRequest {
            tenant,
            owner,
            kind,
            states,
            page_size,
            page_token,
        } = request.into_inner();
        let mut violations = Violations::default();
        let filter = convert::filter(&tenant, &owner, kind, &states, &mut violations);
        let limit = convert::page_size(page_size, &mut violations);
        let (Some(filter), Some(limit)) = (filter, limit) else {
            return Err(violations.status());
        };
        let keyring = authority.keyring();
        let after = if page_token.is_empty() {
            CredentialId::MIN
        } else {
            page_token::open(keyring, &caller.principal, &filter, &page_token).map_err(|_| {
                let rule = "must be the `next_page_token` of a page of the same list, given to the same caller";
                status::invalid("page_token", rule)
            })?
        };
        let page = authority.list(&filter, after, limit);
        let next_page_token = match page.next {
            Some(next) => page_token::seal(
                keyring,
                authority.random(),
                &caller.principal,
                &filter,
                next,
            )
            .map_err(|error| status::internal(&error))?,
            None => String::new(),
        };
        Ok(Response::new(ListResponse {
            credentials: page
                .entries
                .iter()
                .map(|entry| show(authority, &authority.show(entry)))
                .collect(),
            next_page_token,
            revision: Some(convert::revision(authority.store(), page.revision)),
        }))
    }

    async fn lock(&self, request: Request<LockRequest>) -> Result<Response<LockResponse>, Status> {
        let caller = caller_of(&request)?;
        let LockRequest {
            credential_id,
            reason,
        } = request.into_inner();
        let (credential, revision) = self
            .set_state(caller, Action::Lock, credential_id, reason)
            .await?;
        Ok(Response::new(LockResponse {
            credential: Some(credential),
            revision: Some(revision),
        }))
    }

    async fn unlock(
        &self,
        request: Request<UnlockRequest>,
    ) -> Result<Response<UnlockResponse>, Status> {
        let caller = caller_of(&request)?;
        let UnlockRequest {
            credential_id,
            reason,
        } = request.into_inner();
        let (credential, revision) = self
            .set_state(caller, Action::Unlock, credential_id, reason)
            .await?;
        Ok(Response::new(UnlockResponse {
            credential: Some(credential),
            revision: Some(revision),
        }))
    }

    async fn revoke(
        &self,
        request: Request<RevokeRequest>,
    ) -> Result<Response<RevokeResponse>, Status> {
        let caller = caller_of(&request)?;
        let RevokeRequest {
            credential_id,
            reason,
        } = request.into_inner();
        let (credential, revision) = self
            .set_state(caller, Action::Revoke, credential_id, reason)
            .await?;
        Ok(Response::new(RevokeResponse {
            credential: Some(credential),
            revision: Some(revision),
        }))
    }
}
