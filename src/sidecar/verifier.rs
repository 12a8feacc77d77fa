//! What answers questions, for those who ask on behalf of somebody: `Verify` of the
//! sidecar itself, and Envoy's `Check`.

use std::sync::Arc;
use std::time::Duration;

use tonic::Status;

use crate::client::Client;
pub use crate::client::{Served, Verified};
use crate::domain::header::HeaderRules;
use crate::proto::v1;

/// Answers questions by the contract of `VerificationService.Verify`.
pub trait Verifier: Send + Sync + 'static {
    /// Judges what was presented, within `patience`. [`Verified::into_message`] is the
    /// answer as the authority would give it.
    ///
    /// # Errors
    ///
    /// Those of `Verify`; UNAVAILABLE where nobody who may answer can be reached.
    /// Whoever asks must take every error as a no.
    fn verify(
        &self,
        request: v1::VerifyRequest,
        patience: Duration,
    ) -> impl Future<Output = Result<Verified, Status>> + Send;

    /// In which headers credentials of a tenant, or of any (`None`), can stand, by the
    /// profiles that are known now; `None` until they are. It changes when profiles do.
    fn headers(&self, tenant: Option<&str>) -> Option<Arc<HeaderRules>>;
}

impl Verifier for Client {
    async fn verify(
        &self,
        request: v1::VerifyRequest,
        patience: Duration,
    ) -> Result<Verified, Status> {
        self.verify_within(&request, patience).await
    }

    fn headers(&self, tenant: Option<&str>) -> Option<Arc<HeaderRules>> {
        Self::headers(self, tenant)
    }
}
