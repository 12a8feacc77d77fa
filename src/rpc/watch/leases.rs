//! Renewals of a session's lease, on the wire.

use tonic::Status;

use super::convert;
use super::status::{self, Violations};
use crate::authority::Authority;
use crate::authority::caller::Call;
use crate::authority::sessions::{Session, SessionId};
use crate::domain::id::CredentialId;
use crate::domain::revision::Revision;
use crate::domain::time::Timestamp;
use crate::domain::token::Generation;
use crate::proto::v1;

/// The most uses that a renewal reports.
const MAX_USES: usize = 256;

/// The session of a stream, once it asks for a lease.
#[derive(Debug)]
pub(super) struct Leases {
    wanted: Option<SessionId>,
    session: Option<Session>,
}

/// What a message after the first says.
pub(super) fn later(request: v1::WatchRequest) -> Result<v1::Renewal, Status> {
    let v1::WatchRequest {
        resume_token,
        snapshot,
        tenants,
        heartbeat,
        session_id,
        renewal,
    } = request;
    let mut violations = Violations::default();
    let mut first = |field: &str, is_set: bool| {
        if is_set {
            violations.add(field, "must be set in the first message only");
        }
    };
    first("resume_token", !resume_token.is_empty());
    first("snapshot", snapshot);
    first("tenants", !tenants.is_empty());
    first("heartbeat", heartbeat.is_some());
    first("session_id", !session_id.is_empty());
    if renewal.is_none() {
        violations.add("renewal", "is required after the first message");
    }
    match renewal {
        Some(renewal) if violations.is_empty() => Ok(renewal),
        _ => Err(violations.status()),
    }
}

impl Leases {
    pub(super) const fn new(wanted: Option<SessionId>) -> Self {
        Self {
            wanted,
            session: None,
        }
    }

    /// Answers a renewal.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT`, naming every field that is not what it should be.
    pub(super) fn renew(
        &mut self,
        authority: &Authority,
        call: &Call,
        renewal: v1::Renewal,
    ) -> Result<v1::Grant, Status> {
        let v1::Renewal {
            sequence,
            applied,
            acknowledged,
            uses,
        } = renewal;
        let mut violations = Violations::default();
        if applied.is_none() {
            violations.add("renewal.applied", "is required");
        }
        let applied = position(authority, "renewal.applied", applied, &mut violations);
        let acknowledged = match acknowledged {
            None => applied,
            acknowledged => {
                let field = "renewal.acknowledged";
                position(authority, field, acknowledged, &mut violations)
            }
        };
        let uses = read_uses(uses, &mut violations);
        if !violations.is_empty() {
            return Err(violations.status());
        }
        for (id, generation, at) in uses {
            authority.report_use(call, id, generation, at);
        }
        let session = match &mut self.session {
            Some(session) => session,
            none => {
                let sessions = authority.sessions();
                let caller = call.caller.principal();
                let session = sessions.connect(caller, self.wanted, authority.random());
                none.insert(session.map_err(|error| status::internal(&error))?)
            }
        };
        let lease = match (applied, acknowledged) {
            (Some(applied), Some(acknowledged)) => session.renew(applied, acknowledged),
            // It has not seen yet that this is another store.
            _ => None,
        };
        Ok(v1::Grant {
            sequence,
            lease: lease.map(convert::short_duration),
            session_id: session.id().to_string(),
        })
    }
}

/// Reads up to where a session has applied changes; `None`: of another store, or after
/// noting that there is no such revision yet.
fn position(
    authority: &Authority,
    field: &str,
    revision: Option<v1::Revision>,
    violations: &mut Violations,
) -> Option<Revision> {
    let v1::Revision { store_id, number } = revision?;
    if store_id != authority.store().to_string() {
        return None;
    }
    let revision = Revision::new(number);
    if revision > authority.index().revision() {
        violations.add(field, "must not be later than what the stream has reached");
    }
    Some(revision)
}

fn read_uses(
    uses: Vec<v1::Use>,
    violations: &mut Violations,
) -> Vec<(CredentialId, Generation, Option<Timestamp>)> {
    if uses.len() > MAX_USES {
        violations.add("renewal.uses", "must be at most 256");
        return Vec::new();
    }
    let mut read = Vec::with_capacity(uses.len());
    for (at, used) in uses.into_iter().enumerate() {
        let v1::Use {
            credential_id,
            generation,
            used_at,
        } = used;
        match credential_id.parse() {
            Ok(id) => read.push((
                id,
                Generation::new(generation),
                used_at.and_then(convert::read_timestamp),
            )),
            Err(_) => violations.add(
                &format!("renewal.uses[{at}].credential_id"),
                "must be the id of a credential",
            ),
        }
    }
    read
}
