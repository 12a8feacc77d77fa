//! Who calls: by a credential of credd's own, by a token of a configured issuer,
//! or by the certificate of the connection.
//!
//! What stands in `authorization` names the caller, and nothing else does then: a
//! bad token is not made good by a certificate, and rights never add up.

use std::fmt::Debug;
use std::pin::Pin;
use std::sync::Arc;

use http::{HeaderMap, Request, header};
use tonic::Status;
use tonic::body::Body;

use super::peer::Peer;
use super::{Shared, status};
use crate::authority::Authority;
use crate::authority::caller::{KnownBy, Party, Trust};
use crate::authority::entry::Entry;
use crate::domain::jwt::{JwtProblem, is_compact};
use crate::domain::names::Principal;
use crate::domain::time::Timestamp;

/// Finds out whom tokens of other issuers name.
pub trait Tokens: Debug + Send + Sync {
    /// By the keys that are known.
    ///
    /// # Errors
    ///
    /// [`JwtProblem`]; if it is for want of keys, [`Tokens::named`] may have
    /// another answer.
    fn named_now(&self, token: &str) -> Result<Named, JwtProblem>;

    /// The same; waits for keys to be fetched, if that is needed.
    fn named<'a>(&'a self, token: &'a str) -> Checking<'a>;
}

/// Whom a token names.
#[derive(Clone, Debug)]
pub struct Named {
    /// Who it is.
    pub principal: Principal,
    /// Until when the token is good.
    pub until: Timestamp,
    /// Whether its key is its issuer's still.
    pub trust: Trust,
}

/// A token that is being checked.
pub type Checking<'a> = Pin<Box<dyn Future<Output = Result<Named, JwtProblem>> + Send + 'a>>;

/// Who calls, and the entry of the credential by which that is known.
pub(super) type Identified = (Party, Option<Arc<Entry>>);

/// What was found of a caller without waiting.
pub(super) enum Identity {
    /// Who it is.
    Known(Identified),
    /// It shows once keys have been fetched for this token.
    Awaited(String),
}

/// Who calls.
///
/// # Errors
///
/// UNAUTHENTICATED.
pub(super) fn identify(
    shared: &Shared,
    authority: &Authority,
    request: &Request<Body>,
) -> Result<Identity, Status> {
    let Some(token) = bearer_of(request.headers())? else {
        return of_connection(authority, request).map(|party| Identity::Known((party, None)));
    };
    if !is_compact(token) {
        let known = authority.authenticate(token);
        let (party, entry) = known.ok_or_else(status::unauthenticated)?;
        return Ok(Identity::Known((party, Some(entry))));
    }
    let tokens = shared.tokens().ok_or_else(status::unauthenticated)?;
    match tokens.named_now(token) {
        Err(problem) if problem.is_for_want_of_keys() => Ok(Identity::Awaited(token.to_owned())),
        outcome => {
            let named = outcome.map_err(|problem| status::bad_token(&problem))?;
            Ok(Identity::Known((of_token(authority, named), None)))
        }
    }
}

/// Who presents a token, once the keys for it have been fetched.
///
/// # Errors
///
/// UNAUTHENTICATED.
pub(super) async fn await_identity(shared: &Shared, token: &str) -> Result<Identified, Status> {
    let tokens = shared.tokens().ok_or_else(status::unauthenticated)?;
    let named = tokens.named(token).await;
    let named = named.map_err(|problem| status::bad_token(&problem))?;
    Ok((of_token(shared.authority()?, named), None))
}

fn of_token(authority: &Authority, named: Named) -> Party {
    let Named {
        principal,
        until,
        trust,
    } = named;
    Party {
        trust: Some(trust),
        ..authority.party(principal, KnownBy::Until(until))
    }
}

fn of_connection(authority: &Authority, request: &Request<Body>) -> Result<Party, Status> {
    let peer = request.extensions().get::<Peer>();
    let certificate = peer.and_then(|peer| peer.certificate.as_ref());
    let named = certificate.and_then(|shown| Some((shown.principal.as_deref()?, shown)));
    let (principal, shown) = named.ok_or_else(status::unauthenticated)?;
    let (until, now) = (shown.until, authority.now());
    if now >= until || !shown.trust.holds(now) {
        return Err(status::unauthenticated());
    }
    let principal = Principal::trusted(principal.into());
    Ok(Party {
        trust: Some(shown.trust.clone()),
        ..authority.party(principal, KnownBy::Until(until))
    })
}

/// The token of the one `authorization: Bearer TOKEN`; `None` without the header.
pub(super) fn bearer_of(headers: &HeaderMap) -> Result<Option<&str>, Status> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = match (values.next(), values.next()) {
        (None, _) => return Ok(None),
        (Some(value), None) => value,
        (Some(_), Some(_)) => return Err(status::unauthenticated()),
    };
    let token = value.to_str().ok().and_then(bearer);
    token.map(Some).ok_or_else(status::unauthenticated)
}

/// The token of `Bearer TOKEN`; the scheme in any case (RFC 9110 section 11.1).
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
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
