//! What the layer around the services tells of calls: the audit log of all that was
//! refused, and all that was answered and changed nothing, since of a change the commit
//! tells; and the log of every one.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use http::{Request, Response};
use tonic::body::Body;
use tonic::transport::server::TcpConnectInfo;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::calls::code_name;
use super::ending::{Ending, UntilEnd};
use super::identify::bearer_of;
use super::limits::Load;
use super::methods::Method;
use super::peer::Peer;
use super::policy::load;
use super::{Shared, log, status};
use crate::authority::Authority;
use crate::authority::audit::Trace;
use crate::authority::caller::{Call, Caller};
use crate::domain::audit::{Event, OK, REQUEST_ID_BYTES, bounded};

/// The name of the metadata in which a caller may give a call an id of its own.
pub const REQUEST_ID: &str = "x-request-id";

/// The outcome of a call that ended before it was answered. If it changed something
/// all the same, the commit tells of that.
const CANCELLED: &str = "CANCELLED";
/// The RPCs that judge what clients present. Their answers are not noted: there are
/// many of them, and of those that count the judge tells.
const VERIFY: [&str; 2] = [
    "credd.v1.VerificationService/Verify",
    "credd.v1.VerificationService/VerifyStream",
];

/// What is noted of a call from the beginning.
pub(super) fn trace(request: &Request<Body>, began: Instant) -> Trace {
    let id = request.headers().get(REQUEST_ID);
    let id = id.and_then(|id| id.to_str().ok()).unwrap_or_default();
    // All of it is ASCII.
    let id = &id[..id.len().min(REQUEST_ID_BYTES)];
    let rpc = Method::of(request.uri().path());
    // Others are none of credd's own.
    let rpc = if rpc.is_credds() {
        rpc
    } else {
        Method::UNKNOWN
    };
    Trace::new(rpc.name(), began, address(request), id)
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
    (request, began): (&Request<Body>, Instant),
    caller: Option<&Caller>,
    status: &Status,
) {
    let trace = trace(request, began);
    log::ended(&trace, caller, status);
    let Ok(authority) = shared.authority() else {
        return;
    };
    let event = Event {
        address: trace.address(),
        request_id: trace.request_id().to_owned(),
        ..Event::new(trace.rpc(), &outcome(status), authority.now())
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

    /// Notes how it was answered, unless a commit tells of it. Of one that goes on as a
    /// stream the log is told later.
    pub(super) fn answered(mut self, response: &Response<Body>) {
        let Some(call) = self.call.take() else {
            return;
        };
        let refusal = refusal(response);
        if refusal.is_some() || !is_stream(&call) {
            log::ended_with(&call.trace, Some(&call.caller), refusal.as_ref());
        }
        note(self.shared, &call, refusal.as_ref());
    }
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        let Some(call) = self.call.take() else {
            return;
        };
        log::ended(
            &call.trace,
            Some(&call.caller),
            &Status::new(Code::Cancelled, ""),
        );
        if !call.trace.is_told()
            && !VERIFY.contains(&call.trace.rpc())
            && let Ok(authority) = self.shared.authority()
        {
            authority.note_call(&call, CANCELLED);
        }
    }
}

/// Notes how a call was answered that is no stream, unless a commit tells of it.
pub(super) fn answered(shared: &Shared, call: &Call, response: &Response<Body>) {
    let refusal = refusal(response);
    log::ended_with(&call.trace, Some(&call.caller), refusal.as_ref());
    note(shared, call, refusal.as_ref());
}

/// With what a call was refused.
fn refusal(response: &Response<Body>) -> Option<Status> {
    let status = Status::from_header_map(response.headers());
    status.filter(|status| status.code() != Code::Ok)
}

fn note(shared: &Shared, call: &Call, refusal: Option<&Status>) {
    let refusal = refusal.map(outcome);
    let is_told = call.trace.is_told() || VERIFY.contains(&call.trace.rpc());
    if refusal.is_none() && is_told {
        return;
    }
    if let Ok(authority) = shared.authority() {
        authority.note_call(call, refusal.as_deref().unwrap_or(OK));
    }
}

/// The answer, whose end the log is told where it is a stream.
pub(super) fn until_end(call: Arc<Call>, answer: Response<Body>) -> Response<Body> {
    if answer.headers().contains_key("grpc-status") || !is_stream(&call) {
        return answer;
    }
    answer.map(|body| Body::new(UntilEnd::new(body, Told(call))))
}

/// Tells the log how a stream ended.
struct Told(Arc<Call>);

impl Ending for Told {
    fn end(self, status: &Status) {
        let Self(call) = self;
        log::ended(&call.trace, Some(&call.caller), status);
    }
}

fn is_stream(call: &Call) -> bool {
    load(call.trace.rpc()) == Load::Stream
}

/// The end of a stream whose caller is no longer good, which is noted.
pub(super) fn cut_off(authority: &Authority, call: &Call) -> Status {
    let status = status::unauthenticated();
    authority.note_call(call, &outcome(&status));
    status
}

/// The stable reason of a refusal; `None`: it was not credd that refused.
pub(super) fn reason(status: &Status) -> Option<String> {
    let details = status.get_error_details();
    let info = details.error_info()?;
    Some(bounded(info.reason.clone(), 64))
}

/// What a refusal is in the audit log: its reason, or else its code.
pub(super) fn outcome(status: &Status) -> String {
    reason(status).unwrap_or_else(|| code_name(status.code()).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_has_the_reason_that_it_was_answered_with() {
        let status = status::permission_denied("credd.audit.read");
        assert_eq!(reason(&status).unwrap(), "PERMISSION_MISSING");
        assert_eq!(outcome(&status), "PERMISSION_MISSING");
        let of_the_library = Status::internal("else");
        assert_eq!(reason(&of_the_library), None);
        assert_eq!(outcome(&of_the_library), "INTERNAL");
    }
}
