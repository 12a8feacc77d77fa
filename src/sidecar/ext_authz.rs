//! Envoy's external authorization (`envoy.service.auth.v3.Authorization`): each
//! request that comes to Envoy is let through with the credential that it presents,
//! or it is answered in the service's place.
//!
//! | outcome | Envoy answers |
//! | --- | --- |
//! | ACTIVE | nothing: the service gets the request, with what is known of the credential in `x-credd-*` headers and without its secret |
//! | no credential, INVALID, LOCKED, REVOKED, EXPIRED, `TENANT_DISABLED`, `OWNER_DISABLED` | 401 with `WWW-Authenticate` |
//! | FORBIDDEN, and every request of a route that does not say what it needs | 403 |
//! | anything that is not clear: the authority can't be asked or has failed, no profile is known yet, an answer that is none | 503 |
//!
//! 401 says that another credential may help, whatever has become of this one (RFC
//! 6750 section 3.1 has revoked and expired ones there too); 403 that this one is
//! good, and the request beyond it. LOCKED and the other verdicts that are told
//! only to one who has the right secret stand in the body; a stranger reads INVALID.
//!
//! What a route needs it says in its context extensions; see [`route`]. Every denial
//! is one that Envoy can't take for a failure of this service, so that
//! `failure_mode_allow` does not turn it into a yes.
//!
//! A header `x-credd-*` never passes as the client sent it, also not under a name
//! that a service may take for it: `X_Credd_Tenant`. Envoy tells of the headers only
//! if it is not configured otherwise: `allowed_headers` must stay unset.

use std::sync::Arc;
use std::time::Duration;

use tonic::{Code, Request, Response, Status};

use self::ask::{Asked, ask};
use self::denial::Denial;
use self::outcomes::Outcomes;
use self::route::Route;
use super::verifier::Verifier;
use crate::proto::envoy::auth::authorization_server::Authorization;
use crate::proto::envoy::auth::{CheckRequest, CheckResponse};
use crate::spans::{InContext as _, Parent, Tracer};

pub mod answer;
pub mod ask;
pub mod denial;
pub mod identity;
pub mod outcomes;
pub mod route;

/// The RPC by which Envoy asks.
const CHECK: &str = "envoy.service.auth.v3.Authorization/Check";

/// The service, on whoever answers for the authority.
#[derive(Debug)]
pub struct ExtAuthz<V> {
    verifier: Arc<V>,
    patience: Duration,
    outcomes: Arc<Outcomes>,
    tracer: Option<Tracer>,
}

impl<V: Verifier> ExtAuthz<V> {
    /// The service. A request on which there is no verdict after `patience` is
    /// answered with 503; Envoy's own timeout should be a little longer, since its
    /// answer says nothing.
    #[must_use]
    pub fn new(verifier: Arc<V>, patience: Duration) -> Self {
        Self {
            verifier,
            patience,
            outcomes: Arc::default(),
            tracer: None,
        }
    }

    /// The same, where each check is a span beneath that of Envoy, or, if Envoy makes
    /// none, of the request that is checked.
    #[must_use]
    pub fn traced(mut self, tracer: Option<Tracer>) -> Self {
        self.tracer = tracer;
        self
    }

    /// What its checks have come to.
    #[must_use]
    pub const fn outcomes(&self) -> &Arc<Outcomes> {
        &self.outcomes
    }

    async fn decide(&self, request: CheckRequest) -> CheckResponse {
        let checking = self.outcomes.begin();
        let attributes = request.attributes.unwrap_or_default();
        let route = Route::read(&attributes.context_extensions);
        let tenant = route.as_ref().ok().and_then(|route| route.tenant.clone());
        let rules = self.verifier.headers(tenant.as_deref());
        let asked = match (route, &rules) {
            (Err(unclear), _) => Err(unclear.into()),
            (Ok(_), None) => Err(Denial::Unavailable),
            (Ok(route), Some(rules)) => ask(attributes, route, rules),
        };
        let is_bearer = asked.as_ref().is_ok_and(|asked| asked.kept.is_bearer);
        let outcome = match asked {
            Ok(asked) => self.judge(asked).await,
            Err(denial) => Err(denial),
        };
        checking.end(&outcome);
        let rules = rules.unwrap_or_default();
        outcome.unwrap_or_else(|denial| denial.response(is_bearer, &rules))
    }

    async fn judge(&self, asked: Asked) -> Result<CheckResponse, Denial> {
        let Asked { question, kept } = asked;
        let verified = self.verifier.verify(question, self.patience);
        match tokio::time::timeout(self.patience, verified).await {
            Ok(Ok(verified)) => answer::let_through(&verified, &kept),
            Ok(Err(_)) | Err(_) => Err(Denial::Unavailable),
        }
    }
}

impl<V> Clone for ExtAuthz<V> {
    fn clone(&self) -> Self {
        Self {
            verifier: Arc::clone(&self.verifier),
            patience: self.patience,
            outcomes: Arc::clone(&self.outcomes),
            tracer: self.tracer.clone(),
        }
    }
}

#[tonic::async_trait]
impl<V: Verifier> Authorization for ExtAuthz<V> {
    async fn check(
        &self,
        request: Request<CheckRequest>,
    ) -> Result<Response<CheckResponse>, Status> {
        let Some(tracer) = &self.tracer else {
            return Ok(Response::new(self.decide(request.into_inner()).await));
        };
        let envoys = Parent::of(request.metadata().as_ref());
        let parent = envoys.or_else(|| ask::parent(request.get_ref()));
        let span = tracer.serve(CHECK, parent);
        let deciding = self.decide(request.into_inner());
        let answer = deciding.with_context(span.context().clone()).await;
        span.served(Code::Ok);
        Ok(Response::new(answer))
    }
}

#[cfg(test)]
mod tests;
