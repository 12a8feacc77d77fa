//! Changing keys, and what hangs on them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Answer, Context, Decision, Known, Refusal, SetState, View, expect, life};
use crate::authority::key_use::Needs;
use crate::authority::record::Record;
use crate::domain::credential::{Action, Change, Credential, Set, State};
use crate::domain::id::CredentialId;
use crate::domain::keyring::{
    KeyChecks, KeyKind, KeyState, KeyVersion, KeyringState, Mac, NoRoom, sealed_under,
};
use crate::domain::names::{Principal, Reason};
use crate::domain::rekeyed::Rekeyed;
use crate::domain::revision::Revision;
use crate::domain::time::Timestamp;
use crate::domain::token::Generation;

/// Keys that a server has loaded.
#[derive(Clone, Debug)]
pub struct NoteKeys {
    /// All of them.
    pub loaded: KeyChecks,
    /// The pepper to activate if none is.
    pub pepper: KeyVersion,
    /// The sealing key to activate if none is.
    pub sealing: KeyVersion,
}

/// A version of a key to activate.
#[derive(Clone, Debug)]
pub struct RotateKey {
    /// Of which kind.
    pub kind: KeyKind,
    /// Which version.
    pub version: KeyVersion,
    /// The keys that each live node has loaded.
    pub nodes: Vec<KeyChecks>,
    /// Why.
    pub reason: Reason,
    /// Who asks.
    pub by: Principal,
    /// The revision of what the store says of its keys that the caller knows.
    pub expected: Option<Revision>,
}

/// A version of a key to retire.
#[derive(Clone, Debug)]
pub struct RetireKey {
    /// Of which kind.
    pub kind: KeyKind,
    /// Which version.
    pub version: KeyVersion,
    /// Whether what remains on it is no obstacle: to find out whether there are
    /// others.
    pub although_in_use: bool,
    /// Why.
    pub reason: Reason,
    /// Who asks.
    pub by: Principal,
    /// The revision of what the store says of its keys that the caller knows.
    pub expected: Option<Revision>,
}

/// A credential whose secrets that need a version of the pepper are to end.
#[derive(Clone, Debug)]
pub struct EndSecrets {
    /// The credential.
    pub id: CredentialId,
    /// The version.
    pub pepper: KeyVersion,
    /// Why.
    pub reason: Reason,
    /// Who asks.
    pub by: Principal,
}

/// What was made anew of a secret with an active key.
#[derive(Clone, Debug)]
pub struct Rekey {
    /// The credential.
    pub id: CredentialId,
    /// Which of its secrets.
    pub generation: Generation,
    /// What was made.
    pub made: Remade,
}

/// What can be made anew of a secret.
#[derive(Clone, Debug)]
pub enum Remade {
    /// Its MAC.
    Mac(Mac),
    /// Its sealed text.
    Sealed(Arc<[u8]>),
}

fn state_of(view: &dyn View) -> (KeyringState, Revision) {
    let (state, revision) = view.keyring().unwrap_or_default();
    ((*state).clone().at(revision), revision)
}

fn write(state: KeyringState, answer: Answer) -> Decision {
    Decision {
        writes: vec![Record::Keyring(Some(Arc::new(state)))],
        answer,
    }
}

pub(super) fn note(view: &dyn View, ask: &NoteKeys) -> Result<Decision, Refusal> {
    let NoteKeys {
        loaded,
        pepper,
        sealing,
    } = ask;
    let (before, _) = state_of(view);
    let mut state = before.clone();
    for (kind, version) in [(KeyKind::Pepper, *pepper), (KeyKind::Sealing, *sealing)] {
        let check = loaded.find(kind, version);
        if let (None, Some(check)) = (state.of(kind).active(), check) {
            let activated = state
                .of_mut(kind)
                .activate(version, *check, loaded.of(kind));
            activated.map_err(|NoRoom| Refusal::TooManyKeys)?;
        }
    }
    let state = state.noting(loaded);
    if state == before {
        return Ok(Decision::nothing(Answer::Nothing));
    }
    Ok(write(state, Answer::Nothing))
}

pub(super) fn rotate(view: &dyn View, ask: &RotateKey) -> Result<Decision, Refusal> {
    let RotateKey {
        kind,
        version,
        nodes,
        expected,
        reason: _,
        by: _,
    } = ask;
    let (mut state, revision) = state_of(view);
    let known = state.of(*kind).get(*version).copied();
    match known.map(|known| (known.state, known.set)) {
        Some((KeyState::Active, set)) => return Ok(Decision::nothing(Answer::Key(set))),
        Some((KeyState::Retired, _)) => return Err(Refusal::KeyRetired(*kind, *version)),
        Some((KeyState::Unused | KeyState::Old, _)) | None => (),
    }
    let first = nodes.first().and_then(|node| node.find(*kind, *version));
    let check = first.ok_or(Refusal::KeyNotLoaded(*kind, *version))?;
    let is_everywhere = nodes
        .iter()
        .all(|node| node.find(*kind, *version) == Some(check))
        && known.is_none_or(|known| known.check == *check);
    if !is_everywhere {
        return Err(Refusal::KeyNotLoaded(*kind, *version));
    }
    expect(*expected, Some(revision))?;
    for node in nodes {
        let loaded = node.of(*kind);
        let activated = state.of_mut(*kind).activate(*version, *check, loaded);
        activated.map_err(|NoRoom| Refusal::TooManyKeys)?;
        state = state.noting(node);
    }
    Ok(write(state, Answer::Key(None)))
}

pub(super) fn retire(
    view: &dyn View,
    ask: &RetireKey,
    now: Timestamp,
) -> Result<Decision, Refusal> {
    let RetireKey {
        kind,
        version,
        although_in_use,
        expected,
        reason: _,
        by: _,
    } = ask;
    let (mut state, revision) = state_of(view);
    let known = state.of(*kind).get(*version);
    let known = known.ok_or(Refusal::KeyNotFound(*kind, *version))?;
    match known.state {
        KeyState::Retired => return Ok(Decision::nothing(Answer::Key(known.set))),
        KeyState::Active => return Err(Refusal::KeyActive(*kind, *version)),
        KeyState::Unused | KeyState::Old => (),
    }
    expect(*expected, Some(revision))?;
    let remaining = view.remaining(*kind, *version, now);
    if !remaining.is_nothing() && !although_in_use {
        return Err(Refusal::KeyInUse(*kind, *version, remaining));
    }
    state.of_mut(*kind).retire(*version);
    Ok(write(state, Answer::Key(None)))
}

/// Revokes a credential whose current secret needs the pepper. Of another the
/// overlap ends, if that is what needs it.
pub(super) fn end_secrets(
    view: &dyn View,
    ask: &EndSecrets,
    now: Timestamp,
) -> Result<Decision, Refusal> {
    let known = view.credential(ask.id).ok_or(Refusal::NotFound(ask.id))?;
    let credential = known.credential();
    let needs = Needs::of(credential);
    if needs.current == Some(ask.pepper) {
        let revoke = SetState {
            id: ask.id,
            set: Set::Revoke,
            although_leaked: false,
            reason: ask.reason.clone(),
            by: ask.by.clone(),
            expected: None,
        };
        return life::set_state(view, &revoke, now);
    }
    if !needs.pepper(ask.pepper, now) {
        return Ok(Decision::nothing(Answer::Credential(known)));
    }
    let change = Change {
        action: Action::Update,
        at: now,
        by: ask.by.clone(),
        reason: ask.reason.clone(),
    };
    let after = credential.with_change(known.state_revision(), change);
    Ok(Decision::write(after.without_overlap()))
}

/// Takes over what was made anew, of those credentials whose secrets are still
/// those. One that the group changes is left for another time.
pub(super) fn rekey(view: &dyn View, made: &[Rekey], context: &Context<'_>) -> Decision {
    let mut changed: BTreeMap<CredentialId, Credential> = BTreeMap::new();
    for one in made {
        let before = match changed.get(&one.id) {
            Some(before) => before.clone(),
            None => match view.credential(one.id) {
                Some(Known::Committed(stored)) => stored.credential,
                Some(Known::Pending(_)) | None => continue,
            },
        };
        if let Some(after) = rekeyed(before, one, context) {
            changed.insert(one.id, after);
        }
    }
    let writes = changed
        .iter()
        .map(|(id, credential)| Record::Rekeyed(*id, Some(Arc::new(Rekeyed::of(credential)))));
    Decision {
        writes: writes.collect(),
        answer: Answer::Nothing,
    }
}

fn rekeyed(mut credential: Credential, rekey: &Rekey, context: &Context<'_>) -> Option<Credential> {
    if credential.state == State::Revoked {
        return None;
    }
    match &rekey.made {
        Remade::Mac(mac) => {
            let overlap = credential.overlap.as_mut();
            let overlapping = overlap.map(|overlap| &mut overlap.secret);
            let mut secrets = std::iter::once(&mut credential.secret).chain(overlapping);
            let held = secrets.find(|held| held.generation == rekey.generation)?;
            if mac.pepper != context.keyring.active(KeyKind::Pepper)
                || held.mac.pepper == mac.pepper
            {
                return None;
            }
            held.mac = *mac;
        }
        Remade::Sealed(sealed) => {
            let active = Some(context.keyring.active(KeyKind::Sealing));
            let held = credential.sealed.as_deref()?;
            if credential.secret.generation != rekey.generation
                || sealed_under(sealed) != active
                || sealed_under(held) == active
            {
                return None;
            }
            credential.sealed = Some(Arc::clone(sealed));
        }
    }
    Some(credential)
}

/// Adds that what was made anew of a credential's secrets is deleted with the
/// record that it stands beside: a record that is written has it in itself.
pub(super) fn drop_rekeyed(view: &dyn View, decision: &mut Decision) {
    let written = decision.writes.iter().filter_map(|record| match record {
        Record::Credential(id, _) if view.is_rekeyed(*id) => Some(Record::Rekeyed(*id, None)),
        _ => None,
    });
    let dropped: Vec<_> = written.collect();
    decision.writes.extend(dropped);
}
