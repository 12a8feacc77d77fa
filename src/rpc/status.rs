//! From errors to gRPC statuses: the one table.
//!
//! A status carries a stable reason (`google.rpc.ErrorInfo`, domain `credd`),
//! the fields at fault (`BadRequest`) and, where a retry helps, how long to
//! wait for it (`RetryInfo`). Inner context stays in the log.

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::reason::{OfThing, Reason};
use crate::authority::backup::TakeError;
use crate::authority::command::{NotRevealed, Refusal, Thing};
use crate::authority::committer::CommandError;
use crate::authority::hub::LogError;
use crate::authority::manage::IssueError;
use crate::authority::sessions::FenceOpen;
use crate::domain::credential::ShownState;
use crate::domain::id::CredentialId;
use crate::domain::jwt::JwtProblem;
use crate::domain::names::InvalidText;
use crate::domain::revision::StoreId;
use crate::store::StoreError;

const DOMAIN: &str = "credd";

/// How many fields a status names at most: it travels in HTTP/2 headers, of
/// which some clients take no more than 8 KiB.
const MOST_NAMED: usize = 10;

/// The fields of a request that are not what they should be.
#[derive(Debug, Default)]
pub struct Violations(Vec<(String, String)>);

impl Violations {
    /// Notes that a field is not what it should be; `rule` reads as the end of
    /// "`FIELD` ...".
    pub fn add(&mut self, field: &str, rule: impl Into<String>) {
        self.0.push((field.to_owned(), rule.into()));
    }

    /// The value, or `None` after noting why there is none.
    pub fn check<T>(&mut self, field: &str, parsed: Result<T, InvalidText>) -> Option<T> {
        parsed
            .map_err(|InvalidText(rule)| self.add(field, rule))
            .ok()
    }

    /// Whether nothing was noted.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The status that names the fields noted, the first ten of them.
    #[must_use]
    pub fn status(self) -> Status {
        let mut details = ErrorDetails::new();
        let mut problems = Vec::new();
        let more = self.0.len().saturating_sub(MOST_NAMED);
        for (field, rule) in self.0.into_iter().take(MOST_NAMED) {
            problems.push(format!("{field} {rule}"));
            details.add_bad_request_violation(field, rule);
        }
        if more > 0 {
            problems.push(format!("and {more} more"));
        }
        let message = format!("invalid request: {}", problems.join("; "));
        with_details(Reason::InvalidFields, message, details, HashMap::new())
    }
}

/// The status for one field that is not what it should be.
#[must_use]
pub fn invalid(field: &str, rule: impl Into<String>) -> Status {
    let mut violations = Violations::default();
    violations.add(field, rule);
    violations.status()
}

/// A text that is no page token of this list.
#[must_use]
pub fn bad_page_token() -> Status {
    invalid(
        "page_token",
        "must be the `next_page_token` of a page of the same list, given to the same caller",
    )
}

/// No caller is known by what was presented.
#[must_use]
pub fn unauthenticated() -> Status {
    with_reason(
        Reason::CallerUnknown,
        "present a good credential of credd's own tenant or a token of a trusted issuer as `authorization: Bearer TOKEN`, or a certificate that names you",
    )
}

/// The token of another issuer names no caller.
#[must_use]
pub fn bad_token(problem: &JwtProblem) -> Status {
    with_reason(
        Reason::CallerUnknown,
        format!("the token names no caller: {problem}"),
    )
}

/// The caller lacks a permission.
#[must_use]
pub fn permission_denied(permission: &str) -> Status {
    with_reason(
        Reason::PermissionMissing,
        format!("this needs the permission `{permission}`"),
    )
}

/// There is no place for another call.
#[must_use]
pub fn overloaded(after: Duration) -> Status {
    with_retry(
        Reason::Overloaded,
        "too many calls are being answered",
        after,
    )
}

/// A request is too large.
#[must_use]
pub fn too_large() -> Status {
    let mut details = ErrorDetails::new();
    details.add_bad_request_violation("request", "must be smaller");
    let message = "the request is larger than a message may be";
    with_details(Reason::MessageTooLarge, message, details, HashMap::new())
}

/// A request did not arrive in time.
#[must_use]
pub fn too_slow() -> Status {
    with_reason(
        Reason::RequestTooSlow,
        "the request took too long to arrive",
    )
}

/// The caller makes too many calls.
#[must_use]
pub fn rate_limited(after: Duration) -> Status {
    with_retry(
        Reason::RateLimited,
        "you make more calls than a caller may",
        after,
    )
}

/// There is no such RPC.
#[must_use]
pub fn unimplemented() -> Status {
    with_reason(Reason::RpcUnknown, "there is no such RPC")
}

/// The index is being loaded.
#[must_use]
pub fn starting() -> Status {
    with_retry(
        Reason::Starting,
        "the server is loading its store",
        Duration::from_secs(1),
    )
}

/// The store was restored, and what was revoked since the backup is good in it.
#[must_use]
pub fn restored() -> Status {
    with_reason(
        Reason::Restored,
        "the store was restored from a backup: give the revocations since with `credd restore --revocations`, or give them up",
    )
}

/// Somebody else makes a backup.
#[must_use]
pub fn backup_running() -> Status {
    with_retry(
        Reason::BackupRunning,
        "another backup is being made: there is one at a time",
        Duration::from_secs(10),
    )
}

/// The status of a backup that came to nothing.
#[must_use]
pub fn of_backup(error: &TakeError) -> Status {
    match error {
        TakeError::Store(StoreError::Compacted { .. }) => too_slow_a_backup(),
        TakeError::Store(error) => {
            tracing::error!(%error, "a backup was not made");
            of_command(&CommandError::StoreFailed)
        }
        TakeError::Output(error) if error.kind() == io::ErrorKind::TimedOut => too_slow_a_backup(),
        TakeError::Output(error) => internal(error),
        TakeError::Unreadable(error) => internal(error),
    }
}

fn too_slow_a_backup() -> Status {
    with_reason(
        Reason::BackupTooSlow,
        "the backup was taken too slowly, and is no good: begin again",
    )
}

/// The server is stopping.
#[must_use]
pub fn stopping() -> Status {
    with_retry(
        Reason::Stopping,
        "the server is stopping",
        Duration::from_secs(1),
    )
}

/// A change was made, and some sessions have not applied it before the call's deadline.
#[must_use]
pub fn fence_open(open: &FenceOpen, store: StoreId) -> Status {
    let FenceOpen {
        revision,
        fenced,
        callers,
        nodes,
    } = open;
    let callers: Vec<_> = callers.iter().map(ToString::to_string).collect();
    let metadata = HashMap::from([
        ("store_id".to_owned(), store.to_string()),
        ("revision".to_owned(), revision.to_string()),
        ("acknowledged".to_owned(), fenced.acknowledged.to_string()),
        ("expired".to_owned(), fenced.ran_out.to_string()),
        ("awaited".to_owned(), fenced.awaited.to_string()),
        ("awaited_callers".to_owned(), callers.join(" ")),
        ("awaited_servers".to_owned(), nodes.to_string()),
    ]);
    let servers = match nodes {
        0 => String::new(),
        nodes => format!(", and {nodes} other servers or who follows them,"),
    };
    let message = format!(
        "the change was made at revision {revision}, but {} of those who follow{servers} have not applied \
         it yet: send the request again to wait for them",
        fenced.awaited
    );
    with_details(Reason::FenceOpen, message, ErrorDetails::new(), metadata)
}

/// The process can't tell whether it still is the one that works on the store.
#[must_use]
pub fn lapsed() -> Status {
    with_retry(
        Reason::LeaseLapsed,
        "the server could not write to its store for too long to say that anything is good",
        Duration::from_secs(1),
    )
}

/// The server has not reached a revision that an answer must have.
#[must_use]
pub fn behind() -> Status {
    with_retry(
        Reason::Behind,
        "the server has not reached the revision that is asked for",
        Duration::from_secs(1),
    )
}

/// The store does not say what there is.
#[must_use]
pub fn no_store() -> Status {
    with_retry(
        Reason::StoreUnavailable,
        "the server's store does not answer",
        Duration::from_secs(1),
    )
}

/// A Watch must be taken up anew: its caller may see more.
#[must_use]
pub fn reach_changed() -> Status {
    with_retry(
        Reason::ReachChanged,
        "you may watch more tenants than when the stream began: take it up again",
        Duration::ZERO,
    )
}

/// A revision of another store is asked for.
#[must_use]
pub fn other_store() -> Status {
    with_reason(
        Reason::OtherStore,
        "`min_revision` is of another store: this one was restored or replaced",
    )
}

/// The server is stopping, and a Watch can be taken up at `resume_token`.
#[must_use]
pub fn stopping_at(resume_token: String, revision: u64) -> Status {
    let metadata = HashMap::from([
        ("resume_token".to_owned(), resume_token),
        ("revision".to_owned(), revision.to_string()),
    ]);
    let mut details = ErrorDetails::new();
    details.set_retry_info(Some(Duration::from_secs(1)));
    let message = format!("the server is stopping; the stream has reached revision {revision}");
    with_details(Reason::Stopping, message, details, metadata)
}

/// Something that is not the caller's fault went wrong; `context` stays in the
/// log.
#[must_use]
pub fn internal(context: &dyn std::fmt::Display) -> Status {
    tracing::error!(error = %context, "answered INTERNAL");
    with_reason(Reason::Internal, "the server has a defect")
}

/// The status of a command that came to nothing.
#[must_use]
pub fn of_command(error: &CommandError) -> Status {
    match error {
        CommandError::Refused(refusal) => of_refusal(refusal),
        CommandError::Overloaded => with_retry(
            Reason::Overloaded,
            error.to_string(),
            Duration::from_millis(100),
        ),
        CommandError::DiskFull => {
            with_retry(Reason::DiskFull, error.to_string(), Duration::from_mins(1))
        }
        CommandError::Stopping => stopping(),
        CommandError::StoreFailed => with_reason(Reason::StoreFailed, error.to_string()),
    }
}

/// The status of a credential that was not issued.
#[must_use]
pub fn of_issue(error: &IssueError) -> Status {
    match error {
        IssueError::Command(error) => of_command(error),
        IssueError::Random(error) => internal(error),
    }
}

/// The status of a log that can't be read.
#[must_use]
pub fn of_log(error: &LogError) -> Status {
    match error {
        LogError::Stopping => stopping(),
        LogError::Behind => behind(),
        LogError::Store(_) | LogError::Unreadable(_) => internal(error),
    }
}

/// A status as a message.
#[must_use]
pub fn wire(status: &Status) -> tonic_types::Status {
    prost::Message::decode(status.details()).unwrap_or_else(|_| tonic_types::Status {
        code: status.code().into(),
        message: status.message().to_owned(),
        details: Vec::new(),
    })
}

/// What credd answers where tonic would answer in its own way: an oversized
/// message, and one that is missing, cut, or not what the contract says.
///
/// tonic calls the first `OUT_OF_RANGE`, where gRPC's own libraries say
/// `RESOURCE_EXHAUSTED`, and the others INTERNAL, although the caller erred.
#[must_use]
pub fn refined(status: Status) -> Status {
    const UNDECODABLE: &str = "failed to decode Protobuf message: ";
    match status.code() {
        Code::OutOfRange => too_large(),
        Code::Internal => match status.message().strip_prefix(UNDECODABLE) {
            // `Inner.field: Message.field: what`
            Some(cause) => {
                let mut path: Vec<&str> = cause.split(": ").collect();
                let what = path.pop().unwrap_or_default().to_owned();
                let fields: Vec<&str> = path
                    .iter()
                    .rev()
                    .filter_map(|step| step.split_once('.').map(|(_, field)| field))
                    .collect();
                let field = match fields.as_slice() {
                    [] => "request".to_owned(),
                    fields => fields.join("."),
                };
                invalid(&field, format!("can't be read: {what}"))
            }
            None => match status.message() {
                "Missing request message." => invalid("request", "is required"),
                "Unexpected EOF decoding stream." => invalid("request", "ends within a message"),
                of_the_frame if of_the_frame.starts_with("protocol error: ") => {
                    invalid("request", "is marked as compressed, which is not supported")
                }
                _ => status,
            },
        },
        _ => status,
    }
}

fn of_refusal(refusal: &Refusal) -> Status {
    let reason = match refusal {
        Refusal::Invalid(fields) => {
            let mut violations = Violations::default();
            for (field, rule) in fields {
                violations.add(field, rule.as_str());
            }
            return violations.status();
        }
        Refusal::NotFound(_) | Refusal::NotOurs => Reason::CredentialNotFound,
        Refusal::Revoked(_) => Reason::CredentialRevoked,
        Refusal::Expired(_) => Reason::CredentialExpired,
        Refusal::Leaked(_) => Reason::CredentialLeaked,
        Refusal::Exists(_) => Reason::IdTaken,
        Refusal::OneOnly(id) => {
            return with_id(Reason::CredentialExists, refusal, *id);
        }
        Refusal::OverlapRunning(_) => Reason::OverlapRunning,
        Refusal::SecretExists(_) => Reason::SecretExists,
        Refusal::LastAdministrator(_) | Refusal::LastBinding => Reason::LastAdministrator,
        Refusal::Exceeds(_) => Reason::PermissionExceeded,
        Refusal::CallerGone => return unauthenticated(),
        Refusal::NotPermitted(permission) => return permission_denied(permission.name()),
        Refusal::NotForOwners => Reason::PermissionMissing,
        Refusal::RevisionMismatch(_) => Reason::RevisionMismatch,
        Refusal::RequestDone(id) => return with_id(Reason::RequestDone, refusal, *id),
        Refusal::RequestIdReused => Reason::RequestIdReused,
        Refusal::Unknown(thing) => return unknown(*thing),
        Refusal::Deleted(thing) => return of_thing(OfThing::Deleted, *thing, refusal),
        Refusal::Disabled(thing) => {
            return of_thing(OfThing::Disabled, *thing, refusal);
        }
        Refusal::InUse(thing) => return of_thing(OfThing::InUse, *thing, refusal),
        Refusal::BuiltIn(thing) => {
            return of_thing(OfThing::BuiltIn, *thing, refusal);
        }
        Refusal::ProfileExists => Reason::ProfileExists,
        Refusal::PrincipalTaken(_) => Reason::PrincipalTaken,
        Refusal::QuotaExceeded(_) => Reason::QuotaExceeded,
        Refusal::NotRevealed(id, why) => return not_revealed(*id, *why),
        Refusal::Crowded => {
            return with_retry(
                Reason::Overloaded,
                refusal.to_string(),
                Duration::from_millis(100),
            );
        }
        Refusal::KeyNotFound(..) => Reason::KeyNotFound,
        Refusal::KeyNotLoaded(..) => Reason::KeyNotLoaded,
        Refusal::KeyRetired(..) => Reason::KeyRetired,
        Refusal::KeyActive(..) => Reason::KeyActive,
        Refusal::KeyInUse(_, _, remaining) => {
            let remaining = remaining.secrets + remaining.requests;
            let metadata = HashMap::from([("remaining".to_owned(), remaining.to_string())]);
            let message = refusal.to_string();
            return with_details(Reason::KeyInUse, message, ErrorDetails::new(), metadata);
        }
        Refusal::TooManyKeys => Reason::TooManyKeys,
        Refusal::FormatUnread { .. } => Reason::FormatUnread,
        Refusal::TooManyVersions(_) => Reason::TooManyVersions,
        Refusal::TooLarge => Reason::TooLarge,
        Refusal::Random(error) => return internal(error),
    };
    with_reason(reason, refusal.to_string())
}

/// No credential has that id.
#[must_use]
pub fn not_found(id: CredentialId) -> Status {
    of_refusal(&Refusal::NotFound(id))
}

/// There is no such tenant, owner, role or profile.
#[must_use]
pub fn unknown(thing: Thing) -> Status {
    of_thing(OfThing::NotFound, thing, &Refusal::Unknown(thing))
}

/// A secret that is not shown again.
fn not_revealed(id: CredentialId, error: NotRevealed) -> Status {
    let failed = |reason: Reason, why: &str| {
        with_reason(
            reason,
            format!("the secret of credential {id} is not shown: {why}"),
        )
    };
    match error {
        NotRevealed::State(ShownState::Locked) => failed(Reason::CredentialLocked, "it is locked"),
        NotRevealed::State(ShownState::Revoked) => {
            failed(Reason::CredentialRevoked, "it is revoked")
        }
        NotRevealed::State(ShownState::Expired | ShownState::Active) => {
            failed(Reason::CredentialExpired, "it has expired")
        }
        NotRevealed::Disabled(thing) => {
            let refusal = Refusal::Disabled(thing);
            of_thing(OfThing::Disabled, thing, &refusal)
        }
        NotRevealed::NotViewable => failed(Reason::NotViewable, "it is kept nowhere"),
        NotRevealed::Unreadable => internal(&"a sealed secret can't be opened"),
    }
}

fn of_thing(why: OfThing, thing: Thing, refusal: &Refusal) -> Status {
    let mut details = ErrorDetails::new();
    details.set_error_info(why.name(thing), DOMAIN, HashMap::new());
    Status::with_error_details(why.code(), refusal.to_string(), details)
}

fn with_id(reason: Reason, refusal: &Refusal, id: CredentialId) -> Status {
    let metadata = HashMap::from([("credential_id".to_owned(), id.to_string())]);
    with_details(reason, refusal.to_string(), ErrorDetails::new(), metadata)
}

fn with_reason(reason: Reason, message: impl Into<String>) -> Status {
    with_details(reason, message, ErrorDetails::new(), HashMap::new())
}

/// A status that helps to be asked for again after a while.
pub(crate) fn with_retry(reason: Reason, message: impl Into<String>, after: Duration) -> Status {
    let mut details = ErrorDetails::new();
    details.set_retry_info(Some(after));
    with_details(reason, message, details, HashMap::new())
}

fn with_details(
    reason: Reason,
    message: impl Into<String>,
    mut details: ErrorDetails,
    metadata: HashMap<String, String>,
) -> Status {
    details.set_error_info(reason.name(), DOMAIN, metadata);
    Status::with_error_details(reason.code(), message, details)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field_of(status: &Status) -> String {
        let details = status.get_error_details();
        let request = details.bad_request().expect("a BadRequest");
        request.field_violations[0].field.clone()
    }

    #[test]
    fn what_tonic_says_of_a_bad_message_becomes_the_callers_fault() {
        let too_large = refined(Status::out_of_range(
            "Error, decoded message length too large",
        ));
        assert_eq!(too_large.code(), Code::ResourceExhausted);
        assert_eq!(field_of(&too_large), "request");

        let utf8 = "failed to decode Protobuf message: IssueRequest.label: invalid string value: data is not UTF-8 encoded";
        let utf8 = refined(Status::internal(utf8));
        assert_eq!(utf8.code(), Code::InvalidArgument);
        assert_eq!(field_of(&utf8), "label");

        let inner = "failed to decode Protobuf message: Presented.credential: VerifyRequest.presented: what";
        let inner = refined(Status::internal(inner));
        assert_eq!(field_of(&inner), "presented.credential");

        let garbage = "failed to decode Protobuf message: invalid wire type value: 7";
        let garbage = refined(Status::internal(garbage));
        assert_eq!(garbage.code(), Code::InvalidArgument);

        for frame in [
            "Missing request message.",
            "Unexpected EOF decoding stream.",
            "protocol error: received message with invalid compression flag: 7 (valid flags are 0 and 1), while sending request",
        ] {
            let refused = refined(Status::internal(frame));
            assert_eq!(refused.code(), Code::InvalidArgument, "{frame}");
            assert_eq!(field_of(&refused), "request");
        }

        assert_eq!(refined(Status::internal("else")).code(), Code::Internal);
        assert_eq!(refined(Status::not_found("else")).code(), Code::NotFound);
    }

    #[test]
    fn every_field_at_fault_is_named() {
        let mut violations = Violations::default();
        violations.add("tenant", "is required");
        assert_eq!(violations.check("x", Ok(1)), Some(1));
        assert_eq!(
            violations.check::<()>("label", Err(InvalidText("must be short"))),
            None
        );
        let status = violations.status();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(
            status.message(),
            "invalid request: tenant is required; label must be short"
        );
        assert_eq!(
            status
                .get_error_details()
                .bad_request()
                .unwrap()
                .field_violations
                .len(),
            2
        );
    }
}
