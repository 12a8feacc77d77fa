//! What credd changes of its own accord.

use std::sync::Arc;

use super::{Answer, Decision, Refusal, View, credential_record};
use crate::authority::record::{Incarnation, Node, Record, RequestName};
use crate::domain::credential::{Action, Change, Credential, HeldSecret, Origin, State, Use};
use crate::domain::id::CredentialId;
use crate::domain::names::{Description, Label, Principal, Reason};
use crate::domain::revision::Revision;
use crate::domain::time::Timestamp;

pub(super) fn beat(name: Incarnation, node: &Arc<Node>) -> Decision {
    Decision {
        writes: vec![Record::Node(name, Some(Arc::clone(node)))],
        answer: Answer::Nothing,
    }
}

pub(super) fn bury(view: &dyn View, nodes: &[(Incarnation, Revision)]) -> Decision {
    let is_same = |(name, at): &&(_, _)| view.node_revision(*name) == Some(*at);
    let nodes = nodes.iter().filter(is_same);
    Decision {
        writes: nodes.map(|(name, _)| Record::Node(*name, None)).collect(),
        answer: Answer::Nothing,
    }
}

/// Has records written in a format, if all who read them can read it.
pub(super) fn upgrade(view: &dyn View, to: u8) -> Result<Decision, Refusal> {
    let servers = view.too_old_for(to);
    if servers > 0 {
        return Err(Refusal::FormatUnread {
            format: to,
            servers,
        });
    }
    let is_newer = to > view.format();
    Ok(Decision {
        writes: is_newer.then_some(Record::Format(to)).into_iter().collect(),
        answer: Answer::Nothing,
    })
}

pub(super) fn record_uses(view: &dyn View, uses: &[(CredentialId, Use)]) -> Decision {
    let mut writes = Vec::new();
    let same = |a: &(CredentialId, Use), b: &(CredentialId, Use)| a.0 == b.0;
    for reported in uses.chunk_by(same) {
        let id = reported[0].0;
        if view.exists(id) {
            let mut all = view.uses(id);
            for (_, one) in reported {
                all.add(one.clone());
            }
            writes.push(Record::Uses(id, Some(all)));
        }
    }
    Decision {
        writes,
        answer: Answer::Nothing,
    }
}

pub(super) fn tell_expiry(view: &dyn View, ids: &[CredentialId], now: Timestamp) -> Decision {
    let told = ids.iter().filter_map(|id| {
        let known = view.credential(*id)?;
        let credential = known.credential();
        let is_due = credential.is_expired(now)
            && !credential.expiry_told
            && credential.state != State::Revoked;
        is_due.then(|| Credential {
            expiry_told: true,
            ..credential.with_change(known.state_revision(), by_credd(Action::TellExpiry, now))
        })
    });
    write_all(told)
}

/// What is left is a tombstone with nothing but whose it was: it tells those who
/// follow the log that the credential is gone.
pub(super) fn remove(view: &dyn View, ids: &[CredentialId], now: Timestamp) -> Decision {
    let removed = ids.iter().filter_map(|id| {
        let known = view.credential(*id)?;
        let credential = known.credential();
        let is_over = credential.state == State::Revoked || credential.is_expired(now);
        is_over.then(|| Credential {
            label: Label::trusted("".into()),
            description: Description::trusted("".into()),
            roles: Vec::new(),
            attributes: Vec::new(),
            language: None,
            time_zone: None,
            state: State::Revoked,
            leaked_at: None,
            created_by: Principal::system(),
            expires_at: None,
            expiry_told: false,
            secret: HeldSecret {
                origin: Origin::Native,
                mac: crate::domain::keyring::Mac {
                    tag: [0; 32],
                    ..credential.secret.mac
                },
                ..credential.secret.clone()
            },
            overlap: None,
            retired: Vec::new(),
            sealed: None,
            ..credential.with_change(known.state_revision(), by_credd(Action::Remove, now))
        })
    });
    let mut decision = write_all(removed);
    let uses: Vec<_> = decision
        .writes
        .iter()
        .filter_map(|record| match record {
            Record::Credential(id, _) => Some(Record::Uses(*id, None)),
            _ => None,
        })
        .collect();
    decision.writes.extend(uses);
    decision
}

pub(super) fn forget(credentials: &[CredentialId], requests: &[RequestName]) -> Decision {
    let credentials = credentials.iter().map(|id| Record::Credential(*id, None));
    let requests = requests.iter().map(|name| Record::Request(*name, None));
    Decision {
        writes: credentials.chain(requests).collect(),
        answer: Answer::Nothing,
    }
}

fn write_all(credentials: impl Iterator<Item = Credential>) -> Decision {
    Decision {
        writes: credentials
            .map(|credential| credential_record(&Arc::new(credential)))
            .collect(),
        answer: Answer::Nothing,
    }
}

fn by_credd(action: Action, now: Timestamp) -> Change {
    Change {
        action,
        at: now,
        by: Principal::system(),
        reason: Reason::trusted("".into()),
    }
}
