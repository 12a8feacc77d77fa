//! What the layer around the services tells the audit log of calls: all that was
//! refused, and all that was answered and changed nothing. Of a change the commit
//! tells.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

use http::{Request, Response};
use prost::Message as _;
use tonic::body::Body;
use tonic::transport::server::TcpConnectInfo;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::identify::bearer_of;
use super::peer::Peer;
use super::{Shared, status};
use crate::authority::Authority;
use crate::authority::audit::Trace;
use crate::authority::caller::{Call, Caller};
use crate::domain::audit::{Event, OK, REQUEST_ID_BYTES, bounded};
use crate::proto::FILE_DESCRIPTOR_SET;

/// The name of the metadata in which a caller may give a call an id of its own.
pub const REQUEST_ID: &str = "x-request-id";

/// The action of a call of an RPC that there is not.
const UNKNOWN_RPC: &str = "credd.unknown-rpc";
/// The outcome of a call that ended before it was answered. If it changed something
/// all the same, the commit tells of that.
const CANCELLED: &str = "CANCELLED";
/// The RPCs that judge what clients present. Their answers are not noted: there are
/// many of them, and of those that count the judge tells.
const VERIFY: [&str; 2] = [
    "credd.v1.VerificationService/Verify",
    "credd.v1.VerificationService/VerifyStream",
];

/// The full names of all RPCs of the contract.
static RPCS: LazyLock<HashSet<String, foldhash::fast::RandomState>> = LazyLock::new(|| {
    let set = prost_types::FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap_or_default();
    let files = set.file.iter();
    let names = files.flat_map(|file| {
        file.service.iter().flat_map(|service| {
            let methods = service.method.iter();
            methods.map(|method| {
                let (package, service) = (file.package(), service.name());
                format!("{package}.{service}/{}", method.name())
            })
        })
    });
    names.collect()
});

/// The full name of the RPC at a path.
fn rpc(path: &str) -> &'static str {
    let name = path.strip_prefix('/').and_then(|name| RPCS.get(name));
    name.map_or(UNKNOWN_RPC, String::as_str)
}

/// What is noted of a call from the beginning.
pub(super) fn trace(request: &Request<Body>) -> Trace {
    let id = request.headers().get(REQUEST_ID);
    let id = id.and_then(|id| id.to_str().ok()).unwrap_or_default();
    // All of it is ASCII.
    let id = &id[..id.len().min(REQUEST_ID_BYTES)];
    Trace::new(rpc(request.uri().path()), address(request), id)
}

/// The address that a request came from.
fn address(request: &Request<Body>) -> Option<IpAddr> {
    let extensions = request.extensions();
    let peer = extensions.get::<Peer>().map(|peer| peer.address);
    let tcp = || extensions.get::<TcpConnectInfo>()?.remote_addr();
    peer.or_else(tcp).map(|address| address.ip())
}

/// Notes that a call was refused before it was let in.
pub(super) fn refused(
    shared: &Shared,
    request: &Request<Body>,
    caller: Option<&Caller>,
    status: &Status,
) {
    let Ok(authority) = shared.authority() else {
        return;
    };
    let trace = trace(request);
    let event = Event {
        address: trace.address(),
        request_id: trace.request_id().to_owned(),
        ..Event::new(trace.rpc(), &reason(status), authority.now())
    };
    let token = bearer_of(request.headers()).ok().flatten();
    let token = token.filter(|_| status.code() == Code::Unauthenticated);
    let is_noted = token.is_some_and(|token| authority.note_caller(token, &event));
    if !is_noted {
        authority.note_refusal(event, caller);
    }
}

/// A call that is not answered yet. How it is, is noted; and, if it is dropped before,
/// that it was: who hangs up in time would do in secret what is refused.
#[derive(Debug)]
pub(super) struct Unanswered<'a> {
    shared: &'a Shared,
    call: Option<Arc<Call>>,
}

impl<'a> Unanswered<'a> {
    /// A call that was let in.
    pub(super) fn new(shared: &'a Shared, call: &Arc<Call>) -> Self {
        Self {
            shared,
            call: Some(Arc::clone(call)),
        }
    }

    /// Notes how it was answered, unless a commit tells of it.
    pub(super) fn answered(mut self, response: &Response<Body>) {
        if let Some(call) = self.call.take() {
            answered(self.shared, &call, response);
        }
    }
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        if let Some(call) = self.call.take()
            && !call.trace.is_told()
            && !VERIFY.contains(&call.trace.rpc())
            && let Ok(authority) = self.shared.authority()
        {
            authority.note_call(&call, CANCELLED);
        }
    }
}

/// Notes how a call was answered, unless a commit tells of it.
pub(super) fn answered(shared: &Shared, call: &Call, response: &Response<Body>) {
    let refusal = match Status::from_header_map(response.headers()) {
        Some(status) if status.code() != Code::Ok => Some(reason(&status)),
        _ => None,
    };
    let is_told = call.trace.is_told() || VERIFY.contains(&call.trace.rpc());
    if refusal.is_none() && is_told {
        return;
    }
    if let Ok(authority) = shared.authority() {
        authority.note_call(call, refusal.as_deref().unwrap_or(OK));
    }
}

/// The end of a stream whose caller is no longer good, which is noted.
pub(super) fn cut_off(authority: &Authority, call: &Call) -> Status {
    let status = status::unauthenticated();
    authority.note_call(call, &reason(&status));
    status
}

/// The stable reason of a refusal.
pub(super) fn reason(status: &Status) -> String {
    let details = status.get_error_details();
    let reason = details.error_info().map(|info| info.reason.clone());
    bounded(reason.unwrap_or_else(|| format!("{:?}", status.code())), 64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rpc_has_its_full_name_and_what_is_none_has_not() {
        for name in VERIFY {
            assert_eq!(rpc(&format!("/{name}")), name);
        }
        assert_eq!(
            rpc("/credd.v1.AuditService/ListEvents"),
            "credd.v1.AuditService/ListEvents"
        );
        for none in ["", "/", "credd.v1.AuditService/ListEvents", "/x/y"] {
            assert_eq!(rpc(none), UNKNOWN_RPC);
        }
    }

    #[test]
    fn a_refusal_has_the_reason_that_it_was_answered_with() {
        let status = status::permission_denied("credd.audit.read");
        assert_eq!(reason(&status), "PERMISSION_MISSING");
        assert_eq!(reason(&Status::internal("else")), "Internal");
    }
}
