//! Nobody in who should not be: a layer around every service that finds the
//! caller and looks up what the RPC needs, before the request is read.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{HeaderMap, Request, Response, header};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};

use super::policy::{Access, access};
use super::stopping::EndsWhenStopping;
use super::{Shared, status};
use crate::authority::Authority;
use crate::authority::caller::Caller;
use crate::authority::entry::Entry;

/// The layer.
#[derive(Clone, Debug)]
pub struct AccessLayer(Arc<Shared>);

impl AccessLayer {
    /// A layer that asks this authority who calls.
    #[must_use]
    pub fn new(shared: Shared) -> Self {
        Self(Arc::new(shared))
    }
}

impl<S> Layer<S> for AccessLayer {
    type Service = AccessService<S>;

    fn layer(&self, inner: S) -> AccessService<S> {
        AccessService {
            shared: Arc::clone(&self.0),
            inner,
        }
    }
}

/// A service that is called only by those who may.
#[derive(Clone, Debug)]
pub struct AccessService<S> {
    /// Behind one pointer: the service is cloned for each request, and a clone
    /// of what it shares takes a lock (of the token for stopping).
    shared: Arc<Shared>,
    inner: S,
}

impl<S> Service<Request<Body>> for AccessService<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        match admit(&self.shared, &request) {
            Ok(Some(admitted)) => {
                request.extensions_mut().insert(admitted);
                let answer = self.inner.call(request);
                Box::pin(async move { Ok(refine(answer.await?)) })
            }
            Ok(None) => {
                let ending = self.shared.ending.clone();
                let answer = self.inner.call(request);
                Box::pin(async move {
                    let answer = refine(answer.await?);
                    Ok(answer.map(|body| Body::new(EndsWhenStopping::new(body, &ending))))
                })
            }
            Err(status) => Box::pin(std::future::ready(Ok(status.into_http()))),
        }
    }
}

/// A caller whom the layer let through.
#[derive(Clone, Debug)]
pub struct Admitted {
    /// Who it is.
    pub caller: Arc<Caller>,
    /// Whether the caller has the permission that the RPC needs. Otherwise the
    /// caller is an owner, and may do this to what is the owner's.
    pub permitted: bool,
}

/// The caller, if the RPC needs one, and if they may call it.
fn admit(shared: &Shared, request: &Request<Body>) -> Result<Option<Admitted>, Status> {
    let access = access(request.uri().path()).ok_or_else(status::unimplemented)?;
    check_metadata(request.headers())?;
    let (permission, owners_may) = match access {
        Access::Open => return Ok(None),
        Access::Needs(permission) => (permission, false),
        Access::OwnerOr(permission) => (permission, true),
    };
    let authority = shared.authority()?;
    let (mut caller, entry) = authenticate(authority, request.headers())?;
    let permitted = authority.permits(&entry, permission.name());
    caller.permission = permitted.then(|| permission.name());
    let is_some_owner = || {
        let directory = authority.index().directory();
        !directory
            .owners_of_principal(caller.principal.as_str())
            .is_empty()
    };
    if permitted || owners_may && is_some_owner() {
        Ok(Some(Admitted {
            caller: Arc::new(caller),
            permitted,
        }))
    } else {
        Err(status::permission_denied(permission.name()))
    }
}

fn authenticate(
    authority: &Authority,
    headers: &HeaderMap,
) -> Result<(Caller, Arc<Entry>), Status> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(status::unauthenticated());
    };
    value
        .to_str()
        .ok()
        .and_then(bearer)
        .and_then(|token| authority.authenticate(token))
        .ok_or_else(status::unauthenticated)
}

/// The token of `Bearer TOKEN`; the scheme in any case (RFC 9110 section 11.1).
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}

/// The values of metadata are printable ASCII, unless their name ends in `-bin`
/// (the gRPC protocol over HTTP/2, "Custom-Metadata").
fn check_metadata(headers: &HeaderMap) -> Result<(), Status> {
    // Without an early end, so that many bytes are looked at at once.
    let printable = |good, byte: &u8| good & (0x20..=0x7e).contains(byte);
    for (name, value) in headers {
        if !value.as_bytes().iter().fold(true, printable) && !name.as_str().ends_with("-bin") {
            return Err(status::invalid(
                &format!("metadata.{name}"),
                "must be printable ASCII: the names of binary metadata end in `-bin`",
            ));
        }
    }
    Ok(())
}

/// Replaces what tonic answered by itself, before any service saw the request.
fn refine(response: Response<Body>) -> Response<Body> {
    let Some(status) = Status::from_header_map(response.headers()) else {
        return response;
    };
    match status.code() {
        Code::OutOfRange | Code::Internal => status::refined(status).into_http(),
        _ => response,
    }
}

/// The caller of a request that the layer let through.
///
/// # Errors
///
/// UNAUTHENTICATED if the layer let nobody through: the service was built
/// without it.
pub fn caller_of<T>(request: &tonic::Request<T>) -> Result<Arc<Caller>, Status> {
    Ok(admitted(request)?.caller)
}

/// The same, and whether the caller has the permission.
///
/// # Errors
///
/// As [`caller_of`].
pub fn admitted<T>(request: &tonic::Request<T>) -> Result<Admitted, Status> {
    let admitted = request.extensions().get::<Admitted>();
    admitted.cloned().ok_or_else(status::unauthenticated)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_is_found_whatever_the_case_of_its_scheme() {
        assert_eq!(bearer("Bearer x"), Some("x"));
        assert_eq!(bearer("bEARER x"), Some("x"));
        assert_eq!(bearer("Basic x"), None);
        assert_eq!(bearer("Bearer"), None);
        assert_eq!(bearer(""), None);
    }
}
