//! One line of the log for each call that has ended: of Verify, where it came to what was
//! asked for, only at the level `debug`.
//!
//! What stands there is who called what, and how it ended: nothing of what was asked or
//! answered.

use tonic::{Code, Status};
use tracing::Level;

use super::calls::code_name;
use super::methods::Method;
use super::noting::reason;
use crate::authority::audit::Trace;
use crate::authority::caller::Caller;
use crate::domain::audit::redacted;
use crate::spans;

/// What the lines are filtered by.
const TARGET: &str = "credd::calls";

/// A call ended with a status.
pub(super) fn ended(trace: &Trace, caller: Option<&Caller>, status: &Status) {
    ended_with(
        trace,
        caller,
        Some(status).filter(|it| it.code() != Code::Ok),
    );
}

/// A call ended with a status other than OK; `None`: with OK.
pub(super) fn ended_with(trace: &Trace, caller: Option<&Caller>, status: Option<&Status>) {
    let code = status.map_or(Code::Ok, Status::code);
    let is_verify = [Method::VERIFY, Method::VERIFY_STREAM]
        .iter()
        .any(|method| method.name() == trace.rpc());
    let is_quiet = is_verify && matches!(code, Code::Ok | Code::Cancelled);
    if is_quiet && !tracing::enabled!(target: TARGET, Level::DEBUG) {
        return;
    }
    let request_id = match trace.request_id() {
        "" => uuid::Builder::from_random_bytes(rand::random())
            .into_uuid()
            .to_string(),
        given => redacted(given.to_owned()),
    };
    let trace_id = spans::current_trace();
    let on_behalf_of = caller.and_then(|caller| caller.on_behalf_of.as_ref());
    let on_behalf_of = on_behalf_of.map(|party| redacted(party.principal.to_string()));
    let caller = caller.map(|caller| caller.party.principal.as_str());
    let reason = status.and_then(reason);
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                target: TARGET,
                method = trace.rpc(),
                outcome = code_name(code),
                reason = reason.as_deref(),
                caller,
                on_behalf_of = on_behalf_of.as_deref(),
                request_id,
                trace_id = trace_id.as_deref(),
                duration_us = u64::try_from(trace.elapsed().as_micros()).unwrap_or(u64::MAX),
                "call"
            )
        };
    }
    if is_quiet {
        line!(debug);
    } else {
        line!(info);
    }
}
