//! Requests that are safe to send again.

use std::sync::Arc;
use std::time::Duration;

use super::{Context, Known, Record, Refusal, View, WithSecret};
use crate::authority::record::{RequestName, RequestRecord};
use crate::domain::credential::{Credential, State};
use crate::domain::id::{CredentialId, RequestId};
use crate::domain::keyring::{KeyKind, KeyVersion, Keyring};
use crate::domain::revision::Revision;
use crate::domain::secret::Secret;
use crate::domain::token::Generation;

/// For how long a request is answered as it was the first time.
pub const REPLAYED_FOR: Duration = Duration::from_mins(10);
/// For how long after that it is refused.
pub const REFUSED_FOR: Duration = Duration::from_hours(24);

/// How many replaced credentials are told again.
const MOST_REPLACED: usize = 100;

/// A request that may be sent again.
#[derive(Clone, Debug)]
pub struct Request {
    /// The id that the caller gave it.
    pub id: RequestId,
    /// The names under which it may be kept: of the caller and the id, one for each
    /// version of the sealing key, the active one first.
    pub names: Vec<(KeyVersion, RequestName)>,
    /// What was asked: a MAC of tenant, RPC and request, one for each name.
    pub asked: Vec<[u8; 32]>,
}

impl Request {
    /// The name to keep it under, and what was asked under the same key, which is the
    /// active one unless another was activated meanwhile that was not even loaded
    /// when the request came.
    fn place(&self, keyring: &Keyring) -> (KeyVersion, RequestName, [u8; 32]) {
        let active = keyring.active(KeyKind::Sealing);
        let mut places = self.names.iter().zip(&self.asked);
        let first = places.clone().next();
        let place = places.find(|((version, _), _)| *version == active);
        let Some(((version, name), asked)) = place.or(first) else {
            unreachable!("a keyring has a sealing key, and a request a name under it");
        };
        (*version, *name, *asked)
    }

    /// The name to keep it under.
    pub(super) fn name(&self, keyring: &Keyring) -> RequestName {
        self.place(keyring).1
    }
}

/// What there is to say to a request that was carried out before.
///
/// `None`: it was not, or so long ago that nobody remembers.
pub(super) fn replay(
    view: &dyn View,
    request: &Request,
    context: &Context<'_>,
) -> Result<Option<WithSecret>, Refusal> {
    let found = request.names.iter().zip(&request.asked);
    let found = found.filter_map(|((_, name), asked)| Some((view.request(name)?, asked)));
    let remembered = found
        .filter(|((record, _), _)| context.now.since(record.at) < REPLAYED_FOR + REFUSED_FOR)
        .map(|((record, revision), asked)| (record, revision, asked));
    let Some((record, revision, asked)) = remembered.into_iter().next() else {
        return Ok(None);
    };
    if record.asked != *asked {
        return Err(Refusal::RequestIdReused);
    }
    let done = Refusal::RequestDone(record.credential);
    if context.now.since(record.at) >= REPLAYED_FOR {
        return Err(done);
    }
    let known = view.credential(record.credential).ok_or(done.clone())?;
    let credential = known.credential();
    // What was locked and unlocked since is active, too.
    let state_was_set = match &known {
        Known::Committed(stored) => stored.state_revision() > revision,
        Known::Pending(credential) => credential.state_set.is_none_or(|set| set > revision),
    };
    if state_was_set
        || credential.standing() != State::Active
        || credential.secret.generation != record.generation
    {
        return Err(done);
    }
    let secret = open(request, &record, context).ok_or(done)?;
    let replaced = record.replaced.iter();
    Ok(Some(WithSecret {
        credential: known,
        secret,
        made: Some(revision),
        replaced: replaced.filter_map(|id| view.credential(*id)).collect(),
    }))
}

/// The record of a request that made a secret of a credential.
pub(super) fn record(
    request: &Request,
    credential: &Credential,
    secret: &Secret,
    replaced: &[Known],
    context: &Context<'_>,
) -> Result<Record, Refusal> {
    let generation = credential.secret.generation;
    let sealed = context.keyring.seal_with(
        request.id.as_bytes(),
        &sealing_context(credential.id, generation),
        secret.expose(),
        context.random,
    )?;
    let (key, name, asked) = request.place(context.keyring);
    let record = RequestRecord {
        key,
        asked,
        at: context.now,
        credential: credential.id,
        generation,
        sealed,
        replaced: replaced
            .iter()
            .map(|known| known.credential().id)
            .take(MOST_REPLACED)
            .collect(),
    };
    Ok(Record::Request(name, Some(Arc::new(record))))
}

fn open(request: &Request, record: &RequestRecord, context: &Context<'_>) -> Option<Secret> {
    let opened = context.keyring.open_with(
        request.id.as_bytes(),
        &sealing_context(record.credential, record.generation),
        &record.sealed,
    );
    let opened = opened.ok()?;
    Some(Secret::new(opened.as_slice().try_into().ok()?))
}

fn sealing_context(id: CredentialId, generation: Generation) -> Vec<u8> {
    let mut context = b"credd answer to a request".to_vec();
    context.extend_from_slice(id.as_bytes());
    context.extend_from_slice(&generation.number().to_be_bytes());
    context
}

/// The records of the requests that made secrets of a credential, without the
/// secrets: they have ended. But for that of this name, which is written anew.
pub(super) fn destroyed(
    view: &dyn View,
    id: CredentialId,
    written: Option<RequestName>,
) -> Vec<Record> {
    let requests = view.requests_of(id).into_iter();
    requests
        .filter(|(name, record)| !record.sealed.is_empty() && Some(*name) != written)
        .map(|(name, record)| {
            let emptied = RequestRecord {
                sealed: Vec::new(),
                ..(*record).clone()
            };
            Record::Request(name, Some(Arc::new(emptied)))
        })
        .collect()
}

/// What a request made, once that is decided.
pub(super) fn made(credential: Known, secret: Secret, replaced: Vec<Known>) -> WithSecret {
    WithSecret {
        credential,
        secret,
        made: None::<Revision>,
        replaced,
    }
}
