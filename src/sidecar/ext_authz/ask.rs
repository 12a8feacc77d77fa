//! From what Envoy tells of a request to a question, or to a denial.

use std::collections::BTreeMap;

use super::denial::Denial;
use super::identity::is_ours;
use super::route::Route;
use crate::domain::audit::{ADDRESS_BYTES, REQUEST_ID_BYTES};
use crate::domain::header::HeaderRules;
use crate::proto::envoy::auth::attribute_context::{HttpRequest, Peer, Request};
use crate::proto::envoy::auth::{AttributeContext, CheckRequest};
use crate::proto::envoy::core::address::Address::SocketAddress;
use crate::proto::envoy::core::{HeaderMap, HeaderValue};
use crate::proto::v1;
use crate::proto::v1::presented::Credential;
use crate::proto::v1::raw_header::Value;
use crate::spans::{Parent, TRACEPARENT, TRACESTATE};

/// A question, and what its answer wants to know of the request.
pub struct Asked {
    /// The question.
    pub question: v1::VerifyRequest,
    /// The rest.
    pub kept: Kept,
}

/// What the answer wants to know of a request.
#[derive(Debug)]
pub struct Kept {
    /// The tenant whose credentials are accepted; `None`: any.
    pub tenant: Option<String>,
    /// The profiles that are accepted; empty: any.
    pub profiles: Vec<String>,
    /// The headers that must not reach the service as the client sent them: that of
    /// the credential, and all that pass for `x-credd-*`.
    pub remove: Vec<String>,
    /// Whether the credential came as a bearer token (RFC 6750 section 2.1).
    pub is_bearer: bool,
}

/// The most bytes that the value of a header may have in which a credential stands:
/// more than any that credd has issued or imported.
pub const LONGEST: usize = 4096;

/// What is to be asked about a request by this route, where credentials stand in the
/// headers of `rules`.
///
/// # Errors
///
/// [`Denial`], where nothing need be asked: there is not exactly one header with a
/// credential.
pub fn ask(
    attributes: AttributeContext,
    route: Route,
    rules: &HeaderRules,
) -> Result<Asked, Denial> {
    let AttributeContext {
        source,
        request,
        context_extensions: _,
    } = attributes;
    let Route {
        tenant,
        profiles,
        permissions,
    } = route;
    let Request { http } = request.unwrap_or_default();
    let HttpRequest {
        id,
        headers,
        header_map,
    } = http.ok_or(Denial::Invalid)?;

    let mut credential = None;
    let mut remove = Vec::new();
    let mut request_id = None;
    for (name, value) in all(headers, header_map) {
        let is_known = !rules.candidates(&name).is_empty();
        if name.eq_ignore_ascii_case("x-request-id") {
            request_id = Some(printable(&value, REQUEST_ID_BYTES));
        }
        if is_known || is_ours(&name) {
            remove.push(name.clone());
        }
        if is_known && credential.replace((name, value)).is_some() {
            return Err(Denial::Invalid);
        }
    }
    let (name, value) = credential.ok_or(Denial::Missing)?;
    if bytes(&value).len() > LONGEST {
        return Err(Denial::Invalid);
    }
    let is_bearer = is_bearer(&name, bytes(&value));
    let header = v1::RawHeader {
        name,
        value: Some(value),
    };
    let question = v1::VerifyRequest {
        presented: Some(v1::Presented {
            credential: Some(Credential::Header(header)),
        }),
        tenant: tenant.clone().unwrap_or_default(),
        any_tenant: tenant.is_none(),
        profiles: profiles.clone(),
        permissions,
        min_revision: None,
        client_address: client_address(source),
        request_id: request_id.unwrap_or_else(|| printable(&Value::Text(id), REQUEST_ID_BYTES)),
    };
    let kept = Kept {
        tenant,
        profiles,
        remove,
        is_bearer,
    };
    Ok(Asked { question, kept })
}

/// The span that the request is made on behalf of which is checked.
pub(super) fn parent(request: &CheckRequest) -> Option<Parent> {
    let request = request.attributes.as_ref()?.request.as_ref()?;
    let http = request.http.as_ref()?;
    let raw = http.header_map.iter().flat_map(|map| &map.headers);
    let raw = raw.map(
        |HeaderValue {
             key,
             value,
             raw_value,
         }| {
            let raw = std::str::from_utf8(raw_value).unwrap_or_default();
            (key, if value.is_empty() { raw } else { value })
        },
    );
    let joined = http.headers.iter();
    let all: Vec<_> = joined
        .map(|(name, value)| (name, value.as_str()))
        .chain(raw)
        .collect();
    let values = |wanted: &str| {
        let named = all
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
        named.map(|(_, value)| *value).collect::<Vec<_>>()
    };
    match values(TRACEPARENT)[..] {
        [parent] => Parent::read(parent, &values(TRACESTATE).join(",")),
        _ => None,
    }
}

/// All headers, in whichever way Envoy told of them.
fn all(
    headers: BTreeMap<String, String>,
    header_map: Option<HeaderMap>,
) -> impl Iterator<Item = (String, Value)> {
    let HeaderMap { headers: raw } = header_map.unwrap_or_default();
    let raw = raw.into_iter().map(|header| {
        let HeaderValue {
            key,
            value,
            raw_value,
        } = header;
        let value = match (value.is_empty(), raw_value.is_empty()) {
            (false, true) => Value::Text(value),
            (true, _) => Value::Raw(raw_value),
            // Envoy sets one of them. Which of two counts is not clear.
            (false, false) => Value::Raw(Vec::new()),
        };
        (key, value)
    });
    let joined = headers.into_iter();
    joined
        .map(|(name, value)| (name, Value::Text(value)))
        .chain(raw)
}

fn bytes(value: &Value) -> &[u8] {
    match value {
        Value::Text(text) => text.as_bytes(),
        Value::Raw(bytes) => bytes,
    }
}

fn is_bearer(name: &str, value: &[u8]) -> bool {
    const SCHEME: &[u8] = b"bearer ";

    let begin = value.trim_ascii_start().get(..SCHEME.len());
    name.eq_ignore_ascii_case("authorization")
        && begin.is_some_and(|begin| begin.eq_ignore_ascii_case(SCHEME))
}

/// The first bytes of a text, with `?` for what is not printable ASCII.
fn printable(value: &Value, most: usize) -> String {
    let bytes = bytes(value).iter().take(most);
    let printable = bytes.map(|byte| match byte {
        b' '..=b'~' => char::from(*byte),
        _ => '?',
    });
    printable.collect()
}

/// Where the request came from, as Envoy has it; empty if it is not an address.
fn client_address(source: Option<Peer>) -> String {
    let address = source.and_then(|Peer { address }| address?.address);
    let address = match address {
        Some(SocketAddress(socket)) => socket.address,
        None => String::new(),
    };
    let is_address =
        address.len() <= ADDRESS_BYTES && address.bytes().all(|b| b.is_ascii_graphic());
    if is_address { address } else { String::new() }
}
