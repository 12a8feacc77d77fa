//! What answers questions, for those who ask on behalf of somebody: `Verify` of the
//! sidecar itself, and Envoy's `Check`.

use std::sync::Arc;
use std::time::Duration;

use tonic::Status;

use crate::domain::header::HeaderRules;
use crate::proto::v1;

/// Answers questions by the contract of `VerificationService.Verify`.
pub trait Verifier: Send + Sync + 'static {
    /// Judges what was presented.
    ///
    /// # Errors
    ///
    /// Those of `Verify`; UNAVAILABLE where nobody who may answer can be reached.
    /// Whoever asks must take every error as a no.
    fn verify(
        &self,
        request: v1::VerifyRequest,
    ) -> impl Future<Output = Result<Verified, Status>> + Send;

    /// In which headers credentials can stand, by the profiles that are known now;
    /// none, until they are. It changes when profiles do.
    fn headers(&self) -> Arc<HeaderRules>;
}

/// An answer to a question.
#[derive(Clone, Debug)]
pub struct Verified {
    /// The answer as the authority gave it. Of its `revision` and `valid_for` those
    /// beside it stand in place.
    pub response: Arc<v1::VerifyResponse>,
    /// As of which revision it is known to be true.
    pub revision: Option<v1::Revision>,
    /// For how long it may be kept from now on; `None`: not at all.
    pub valid_for: Option<Duration>,
    /// Where it is from.
    pub served: Served,
}

/// Where an answer is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// Of an authority, which was asked.
    Asked,
    /// Of the cache, while its lease holds.
    Cached,
    /// Of the cache, although its lease has run out and nobody can be asked, because
    /// the operator allows it for the tenant. A change may have been missed.
    Stale,
}
