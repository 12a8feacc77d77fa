//! `CredentialService`.

use tonic::{Request, Response, Status};

use super::{Shared, convert};
use crate::authority::Authority;
use crate::authority::manage::Shown;
use crate::domain::revision::Revision;
use crate::proto::v1::credential_service_server::CredentialService;
use crate::proto::v1::{self, Credential};

mod import;
mod leak;
mod secrets;
mod state;
mod view;

/// The service.
#[derive(Clone, Debug)]
pub struct Credentials(Shared);

impl Credentials {
    /// The service on this authority.
    #[must_use]
    pub const fn new(shared: Shared) -> Self {
        Self(shared)
    }
}

#[tonic::async_trait]
impl CredentialService for Credentials {
    async fn issue(
        &self,
        request: Request<v1::IssueRequest>,
    ) -> Result<Response<v1::IssueResponse>, Status> {
        secrets::issue(self, request).await
    }

    async fn get(
        &self,
        request: Request<v1::GetRequest>,
    ) -> Result<Response<v1::GetResponse>, Status> {
        view::get(self, request)
    }

    async fn list(
        &self,
        request: Request<v1::ListRequest>,
    ) -> Result<Response<v1::ListResponse>, Status> {
        view::list(self, request).await
    }

    async fn update(
        &self,
        request: Request<v1::UpdateRequest>,
    ) -> Result<Response<v1::UpdateResponse>, Status> {
        view::update(self, request).await
    }

    async fn rotate(
        &self,
        request: Request<v1::RotateRequest>,
    ) -> Result<Response<v1::RotateResponse>, Status> {
        secrets::rotate(self, request).await
    }

    async fn reveal(
        &self,
        request: Request<v1::RevealRequest>,
    ) -> Result<Response<v1::RevealResponse>, Status> {
        secrets::reveal(self, request).await
    }

    async fn lock(
        &self,
        request: Request<v1::LockRequest>,
    ) -> Result<Response<v1::LockResponse>, Status> {
        state::lock(self, request).await
    }

    async fn unlock(
        &self,
        request: Request<v1::UnlockRequest>,
    ) -> Result<Response<v1::UnlockResponse>, Status> {
        state::unlock(self, request).await
    }

    async fn revoke(
        &self,
        request: Request<v1::RevokeRequest>,
    ) -> Result<Response<v1::RevokeResponse>, Status> {
        state::revoke(self, request).await
    }

    async fn report_leak(
        &self,
        request: Request<v1::ReportLeakRequest>,
    ) -> Result<Response<v1::ReportLeakResponse>, Status> {
        leak::report_leak(self, request).await
    }

    async fn import_credentials(
        &self,
        request: Request<v1::ImportCredentialsRequest>,
    ) -> Result<Response<v1::ImportCredentialsResponse>, Status> {
        import::import_credentials(self, request).await
    }
}

fn show(authority: &Authority, shown: &Shown) -> Credential {
    convert::credential::credential(shown, authority.store(), authority.now())
}

fn wire(authority: &Authority, revision: Revision) -> v1::Revision {
    convert::revision(authority.store(), revision)
}
