//! Renewals of a session's lease, on the wire.

use std::time::Duration;

use tokio::time::Instant;
use tonic::Status;

use super::convert;
use super::status::{self, Violations};
use crate::authority::Authority;
use crate::authority::caller::Call;
use crate::authority::sessions::{Renewed, Session, SessionId};
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
    owed: Option<Owed>,
}

/// An answer that was not sent yet.
#[derive(Debug)]
struct Owed {
    grant: v1::Grant,
    due: Instant,
}

/// Which part of a lease an answer waits at most while a fence may wait for what
/// others say, and how long at most: what there is to do for it comes after what
/// there is to do for the fence. A lease does not run from its answer.
const HOLD_PART: u32 = 64;
const HOLD_LIMIT: Duration = Duration::from_millis(250);

/// What a message after the first says.
pub(crate) fn later(request: v1::WatchRequest) -> Result<v1::Renewal, Status> {
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
            owed: None,
        }
    }

    /// When there is an answer to send; `None`: there is none.
    pub(super) fn due_at(&self) -> Option<Instant> {
        self.owed.as_ref().map(|owed| owed.due)
    }

    /// The answer that is to be sent now.
    pub(super) fn due(&mut self) -> Option<v1::Grant> {
        let owed = self.owed.take_if(|owed| owed.due <= Instant::now());
        owed.map(|owed| owed.grant)
    }

    /// Notes an answer. It stands for one that is owed yet, unless it takes a lease
    /// away from it: that is returned, and must be sent.
    fn owe(&mut self, grant: v1::Grant, hold: Duration) -> Option<v1::Grant> {
        let earlier = self.owed.take();
        let due = earlier.as_ref().map(|earlier| earlier.due);
        let due = due.unwrap_or_else(|| Instant::now() + hold);
        let has_less = grant.lease.is_none();
        self.owed = Some(Owed { grant, due });
        let earlier = earlier.map(|earlier| earlier.grant);
        earlier.filter(|earlier| has_less && earlier.lease.is_some())
    }

    /// Takes a renewal. Returns an answer to one before it that must go first.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT`, naming every field that is not what it should be.
    pub(super) fn renew(
        &mut self,
        authority: &Authority,
        call: &Call,
        renewal: v1::Renewal,
    ) -> Result<Option<v1::Grant>, Status> {
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
        // Who is there, in whoever's name: names are not what there is room for.
        let caller = &call.caller.party.principal;
        if self.session.is_none() {
            let sessions = authority.sessions();
            let session = sessions.connect(caller, self.wanted, authority.random());
            self.session = session.map_err(|error| status::internal(&error))?;
        }
        let Renewed {
            lease,
            others_behind,
        } = match (&self.session, applied, acknowledged) {
            (Some(session), Some(applied), Some(acknowledged)) => {
                session.renew(applied, acknowledged)
            }
            // There is no room for it, or it has not seen yet that this is another store.
            _ => Renewed::default(),
        };
        let grant = v1::Grant {
            sequence,
            lease: lease.map(convert::short_duration),
            session_id: self.session.as_ref().map(name).unwrap_or_default(),
        };
        let hold = if others_behind {
            (authority.sessions().length() / HOLD_PART).min(HOLD_LIMIT)
        } else {
            Duration::ZERO
        };
        Ok(self.owe(grant, hold))
    }
}

fn name(session: &Session) -> String {
    session.id().to_string()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(sequence: u64, has_lease: bool) -> v1::Grant {
        v1::Grant {
            sequence,
            lease: has_lease.then(|| convert::short_duration(Duration::from_secs(10))),
            session_id: String::new(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_waits_is_given_in_time_or_with_a_later_one_and_no_lease_is_lost() {
        const HOLD: Duration = Duration::from_millis(100);

        let mut leases = Leases::new(None);
        assert_eq!(leases.due_at(), None);
        assert_eq!(leases.owe(grant(1, true), Duration::ZERO), None);
        assert_eq!(leases.due(), Some(grant(1, true)));
        assert_eq!(leases.due(), None);

        // A later one stands for those before it, and is due when the first was.
        let begin = Instant::now();
        assert_eq!(leases.owe(grant(2, true), HOLD), None);
        tokio::time::advance(HOLD / 2).await;
        assert_eq!(leases.owe(grant(3, true), HOLD), None);
        assert_eq!(leases.due_at(), Some(begin + HOLD));
        assert_eq!(leases.due(), None);
        tokio::time::advance(HOLD / 2).await;
        assert_eq!(leases.due(), Some(grant(3, true)));

        // But none without a lease for one with.
        assert_eq!(leases.owe(grant(4, true), HOLD), None);
        assert_eq!(leases.owe(grant(5, false), HOLD), Some(grant(4, true)));
        assert_eq!(leases.owe(grant(6, false), HOLD), None);
        assert_eq!(leases.owe(grant(7, true), HOLD), None);
        tokio::time::advance(HOLD).await;
        assert_eq!(leases.due(), Some(grant(7, true)));
    }
}
