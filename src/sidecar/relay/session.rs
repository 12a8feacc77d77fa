//! Leases of one stream that is passed on.

use tonic::Status;

use super::{Relay, SessionId};
use crate::domain::cache::{At, Use};
use crate::domain::revision::Revision;
use crate::domain::time::Timestamp;
use crate::domain::token::Generation;
use crate::proto::v1;
use crate::rpc::convert;
use crate::rpc::status::{self, Violations};

/// The most uses that a renewal reports.
const MAX_USES: usize = 256;

/// The session of a stream, once it asks for a lease.
#[derive(Debug)]
pub(super) struct Leases {
    wanted: Option<SessionId>,
    session: Option<SessionId>,
}

impl Leases {
    pub(super) fn new(wanted: &str) -> Self {
        Self {
            wanted: SessionId::parse(wanted),
            session: None,
        }
    }

    /// Answers a renewal of a stream that is told of the ring of this epoch, if of one.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT`, naming every field that is not what it should be.
    pub(super) fn renew(
        &mut self,
        relay: &Relay,
        epoch: Option<u64>,
        renewal: v1::Renewal,
    ) -> Result<v1::Grant, Status> {
        // It has arrived; nothing is asked for after this.
        let now = relay.machine.now();
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
        let applied = applied.as_ref().and_then(position);
        let acknowledged = match &acknowledged {
            None => applied,
            Some(acknowledged) => position(acknowledged),
        };
        let uses = read_uses(uses, now.wall, &mut violations);
        if !violations.is_empty() {
            return Err(violations.status());
        }
        if let Some(client) = relay.client() {
            client.note_uses(uses);
        }
        let session = if let Some(session) = self.session {
            session
        } else {
            let session = relay.connect(self.wanted);
            let session = session.map_err(|error| status::internal(&error))?;
            *self.session.insert(session)
        };
        let lease = match (epoch, applied, acknowledged) {
            (Some(epoch), Some(applied), Some(acknowledged))
                if applied.store == acknowledged.store =>
            {
                relay.grant(session, epoch, applied, acknowledged.revision, now.boot)
            }
            _ => None,
        };
        Ok(v1::Grant {
            sequence,
            lease: lease.map(convert::short_duration),
            session_id: session.to_string(),
        })
    }
}

/// A revision; `None`: of no store that there can be.
fn position(revision: &v1::Revision) -> Option<At> {
    let v1::Revision { store_id, number } = revision;
    Some(At {
        store: store_id.parse().ok()?,
        revision: Revision::new(*number),
    })
}

fn read_uses(uses: Vec<v1::Use>, now: Timestamp, violations: &mut Violations) -> Vec<Use> {
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
            Ok(credential) => read.push(Use {
                credential,
                generation: Generation::new(generation),
                used_at: used_at.as_ref().map_or(now, timestamp),
            }),
            Err(_) => violations.add(
                &format!("renewal.uses[{at}].credential_id"),
                "must be the id of a credential",
            ),
        }
    }
    read
}

fn timestamp(timestamp: &prost_types::Timestamp) -> Timestamp {
    let prost_types::Timestamp { seconds, nanos } = timestamp;
    let millis = seconds.saturating_mul(1000);
    Timestamp::from_millis(millis.saturating_add(i64::from(*nanos / 1_000_000)))
}
