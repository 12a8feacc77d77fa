//! Locking, unlocking, revoking, changing and rotating credentials, and locking
//! those that leaked.

use std::sync::Arc;
use std::time::Duration;

use super::issue::{self, Texts};
use super::{
    Answer, Context, Decision, Known, Refusal, Request, View, administrators, credential_record,
    expect, request,
};
use crate::domain::calendar::TimeZone;
use crate::domain::credential::{
    Action, Change, Credential, HeldSecret, Origin, Set, State, Transition,
};
use crate::domain::directory::OwnerRef;
use crate::domain::expiry::Wish;
use crate::domain::id::CredentialId;
use crate::domain::keyring::SecretOf;
use crate::domain::language::Language;
use crate::domain::names::{Attributes, Description, Label, Principal, Reason, Role};
use crate::domain::profile::{Multiplicity, Visibility};
use crate::domain::revision::Revision;
use crate::domain::secret::Secret;
use crate::domain::time::Timestamp;
use crate::domain::token::Generation;

/// A change of a credential's state.
#[derive(Clone, Debug)]
pub struct SetState {
    /// The credential.
    pub id: CredentialId,
    /// Lock, unlock or revoke.
    pub set: Set,
    /// Whether it may be unlocked although it leaked.
    pub although_leaked: bool,
    /// Why.
    pub reason: Reason,
    /// Who asks.
    pub by: Principal,
    /// The revision of the credential that the caller knows.
    pub expected: Option<Revision>,
}

/// A secret that was found where it should not be.
#[derive(Clone, Debug)]
pub struct ReportLeak {
    /// Its credential.
    pub id: CredentialId,
    /// Its number.
    pub generation: Generation,
    /// Where it was found.
    pub reason: Reason,
    /// Who asks.
    pub by: Principal,
}

/// A change of what a credential says.
#[derive(Clone, Debug)]
pub struct Update {
    /// The credential.
    pub id: CredentialId,
    /// What to change.
    pub changes: Changes,
    /// Why.
    pub reason: Reason,
    /// Who asks.
    pub by: Principal,
    /// Whether the caller may do this only as the owner.
    pub as_owner: bool,
    /// The revision of the credential that the caller knows.
    pub expected: Option<Revision>,
}

/// What to change; `None`: it stays as it is.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// The label.
    pub label: Option<Label>,
    /// The description.
    pub description: Option<Description>,
    /// The attributes.
    pub attributes: Option<Attributes>,
    /// The roles, none twice, as they were given.
    pub roles: Option<Vec<Role>>,
    /// The language, which may be none.
    pub language: Option<Option<Language>>,
    /// The time zone, which may be none.
    pub time_zone: Option<Option<TimeZone>>,
    /// The expiry.
    pub expiry: Option<Wish>,
}

/// A new secret for a credential.
#[derive(Clone, Debug)]
pub struct Rotate {
    /// The credential.
    pub id: CredentialId,
    /// The secret.
    pub secret: Secret,
    /// For how long the old one is to work beside it.
    pub overlap: Duration,
    /// Whether an overlap that is running ends.
    pub end_overlap: bool,
    /// What makes it safe to send again.
    pub request: Option<Request>,
    /// Why.
    pub reason: Reason,
    /// Who asks.
    pub by: Principal,
    /// Whether the caller may do this only as the owner.
    pub as_owner: bool,
    /// The revision of the credential that the caller knows.
    pub expected: Option<Revision>,
}

pub(super) fn set_state(
    view: &dyn View,
    ask: &SetState,
    now: Timestamp,
) -> Result<Decision, Refusal> {
    let known = view.credential(ask.id).ok_or(Refusal::NotFound(ask.id))?;
    let credential = known.credential();
    let lifts_leak = ask.set == Set::Unlock && credential.leaked_at.is_some();
    let state = match credential.state.on(ask.set) {
        Transition::IsRevoked => return Err(Refusal::Revoked(ask.id)),
        _ if lifts_leak && !ask.although_leaked => return Err(Refusal::Leaked(ask.id)),
        Transition::To(state) => state,
        Transition::Already if lifts_leak => credential.state,
        Transition::Already => return Ok(Decision::nothing(Answer::Credential(known))),
    };
    expect(ask.expected, known.revision())?;
    let change = Change {
        action: ask.set.into(),
        at: now,
        by: ask.by.clone(),
        reason: ask.reason.clone(),
    };
    let mut after = credential.with_state(state, change);
    if lifts_leak {
        after.leaked_at = None;
    }
    administrators::keep_one(view, credential, Some(&after), now)?;
    let mut decision = Decision::write(after);
    if state == State::Revoked {
        decision
            .writes
            .extend(request::destroyed(view, ask.id, None));
    }
    Ok(decision)
}

pub(super) fn report_leak(
    view: &dyn View,
    ask: &ReportLeak,
    now: Timestamp,
) -> Result<Decision, Refusal> {
    let known = view.credential(ask.id).ok_or(Refusal::NotOurs)?;
    let credential = known.credential();
    let overlap = credential.running_overlap(now);
    let is_good = credential.secret.generation == ask.generation
        || overlap.is_some_and(|overlap| overlap.secret.generation == ask.generation);
    if !is_good {
        return Err(Refusal::NotOurs);
    }
    if credential.state == State::Revoked {
        return Err(Refusal::Revoked(ask.id));
    }
    if credential.leaked_at.is_some() {
        return Ok(Decision::nothing(Answer::Credential(known)));
    }
    let change = Change {
        action: Action::ReportLeak,
        at: now,
        by: ask.by.clone(),
        reason: ask.reason.clone(),
    };
    // What is locked by hand stays that, since when it was.
    let after = match credential.state {
        State::Locked => credential.with_change(known.state_revision(), change),
        state => credential.with_state(state, change),
    };
    let after = Credential {
        // 0 stands for: it did not.
        leaked_at: Some(now.max(Timestamp::from_millis(1))),
        ..after
    };
    administrators::keep_one(view, credential, Some(&after), now)?;
    Ok(Decision::write(after))
}

pub(super) fn update(view: &dyn View, ask: &Update, now: Timestamp) -> Result<Decision, Refusal> {
    let known = view.credential(ask.id).ok_or(Refusal::NotFound(ask.id))?;
    let credential = known.credential();
    if credential.state == State::Revoked {
        return Err(Refusal::Revoked(ask.id));
    }
    let after = changed(view, ask, &known, now)?;
    let same = Credential {
        last_change: credential.last_change.clone(),
        state_set: credential.state_set,
        ..after.clone()
    };
    if same == *credential {
        return Ok(Decision::nothing(Answer::Credential(known)));
    }
    expect(ask.expected, known.revision())?;
    administrators::keep_one(view, credential, Some(&after), now)?;
    if credential.is_expired(now) && !after.is_expired(now) {
        only_one(view, &after, now)?;
    }
    Ok(Decision::write(after))
}

/// Refuses to bring back a credential where the profile allows an owner one, and
/// there is another by now.
fn only_one(view: &dyn View, back: &Credential, now: Timestamp) -> Result<(), Refusal> {
    let profile = view.profile(&back.profile);
    let multiplicity = profile.map(|known| known.profile.multiplicity);
    if multiplicity == Some(Multiplicity::Many) {
        return Ok(());
    }
    let owner = OwnerRef {
        tenant: back.tenant.clone(),
        name: back.owner.clone(),
    };
    let others = view.of_owner(&owner, &back.profile.family);
    let live = others.iter().map(Known::credential).find(|other| {
        other.id != back.id && other.state != State::Revoked && !other.is_expired(now)
    });
    match live {
        Some(other) => Err(Refusal::OneOnly(other.id)),
        None => Ok(()),
    }
}

/// The credential as it would be.
fn changed(
    view: &dyn View,
    ask: &Update,
    known: &Known,
    now: Timestamp,
) -> Result<Credential, Refusal> {
    let credential = known.credential();
    let profile = view.profile(&credential.profile);
    let profile = profile.ok_or(Refusal::Unknown(super::Thing::Profile))?;
    // What a credential of credd's own may do is not up to its owner.
    if ask.as_owner && (credential.tenant.is_credd() || !profile.profile.owner_may_issue) {
        return Err(Refusal::NotForOwners);
    }
    let Changes {
        label,
        description,
        attributes,
        roles,
        language,
        time_zone,
        expiry,
    } = ask.changes.clone();
    let texts = Texts {
        label: Some(label.unwrap_or_else(|| credential.label.clone())),
        description: description.unwrap_or_else(|| credential.description.clone()),
        roles: roles.clone().unwrap_or_else(|| credential.roles.clone()),
        attributes: attributes.unwrap_or_else(|| credential.attributes.clone()),
        language: language.unwrap_or_else(|| credential.language.clone()),
        time_zone: time_zone.unwrap_or_else(|| credential.time_zone.clone()),
    };
    let owner = OwnerRef {
        tenant: credential.tenant.clone(),
        name: credential.owner.clone(),
    };
    let mut wrong = Vec::new();
    // Roles that it names already may stay, whatever the owner has by now.
    let new_roles = texts
        .roles
        .iter()
        .filter(|role| !credential.roles.contains(role));
    let new_roles: Vec<_> = new_roles.cloned().collect();
    issue::check_texts(&texts, &profile.profile, &mut wrong);
    issue::check_roles(view, &owner, &new_roles, &texts.roles, &mut wrong);
    let zone = texts.time_zone.clone().unwrap_or_else(TimeZone::utc);
    let expires_at = match expiry {
        None => credential.expires_at,
        Some(_) if profile.profile.expiry.fixed => {
            wrong.push((
                "expiry".to_owned(),
                "can't be changed: the profile fixes it at the issue".to_owned(),
            ));
            None
        }
        Some(wish) => issue::resolve(&profile.profile, &wish, &zone, now, &mut wrong),
    };
    if !wrong.is_empty() {
        return Err(Refusal::Invalid(wrong));
    }
    let change = Change {
        action: Action::Update,
        at: now,
        by: ask.by.clone(),
        reason: ask.reason.clone(),
    };
    let Texts {
        label,
        description,
        mut roles,
        attributes,
        language,
        time_zone,
    } = texts;
    roles.sort_unstable();
    let same_expiry = expires_at == credential.expires_at;
    Ok(Credential {
        label: label.unwrap_or_else(|| credential.label.clone()),
        description,
        roles,
        attributes,
        language,
        time_zone,
        expires_at,
        expiry_told: credential.expiry_told && same_expiry,
        ..credential.with_change(known.state_revision(), change)
    })
}

pub(super) fn rotate(
    view: &dyn View,
    ask: &Rotate,
    context: &mut Context<'_>,
) -> Result<Decision, Refusal> {
    if let Some(request) = &ask.request
        && let Some(done) = request::replay(view, request, context)?
    {
        return Ok(Decision::nothing(Answer::Secret(Box::new(done))));
    }
    let now = context.now;
    let known = view.credential(ask.id).ok_or(Refusal::NotFound(ask.id))?;
    let credential = known.credential();
    if credential.state == State::Revoked {
        return Err(Refusal::Revoked(ask.id));
    }
    if credential.is_expired(now) {
        return Err(Refusal::Expired(ask.id));
    }
    let profile = view.profile(&credential.profile);
    let profile = profile.ok_or(Refusal::Unknown(super::Thing::Profile))?;
    if ask.as_owner && !profile.profile.owner_may_issue {
        return Err(Refusal::NotForOwners);
    }
    let overlap_ends_at = overlap_end(ask, credential, profile.profile.max_overlap, now)?;
    if credential.running_overlap(now).is_some() && !ask.end_overlap {
        return Err(Refusal::OverlapRunning(ask.id));
    }
    expect(ask.expected, known.revision())?;
    let generation = credential.secret.generation.next();
    let generation = generation.ok_or(Refusal::Revoked(ask.id))?;
    let secret = HeldSecret {
        generation,
        mac: context.keyring.mac(&SecretOf {
            kind: credential.kind,
            id: ask.id,
            generation,
            secret: &ask.secret,
        }),
        origin: Origin::Native,
    };
    let sealed = match profile.profile.visibility {
        Visibility::Once => None,
        Visibility::Again => Some(seal(ask.id, generation, &ask.secret, context)?),
    };
    let change = Change {
        action: Action::Rotate,
        at: now,
        by: ask.by.clone(),
        reason: ask.reason.clone(),
    };
    // What leaked is locked until its secret ends, which is now.
    let after = match credential.leaked_at {
        Some(_) if credential.state == State::Active => {
            credential.with_state(State::Active, change)
        }
        _ => credential.with_change(known.state_revision(), change),
    };
    let after = Arc::new(Credential {
        leaked_at: None,
        ..after.with_secret(secret, sealed, overlap_ends_at)
    });
    let mut writes = vec![credential_record(&after)];
    let request = ask.request.as_ref();
    let written = request.map(|request| request.name(context.keyring));
    writes.extend(request::destroyed(view, ask.id, written));
    if let Some(request) = &ask.request {
        writes.push(request::record(request, &after, &ask.secret, &[], context)?);
    }
    let made = request::made(Known::Pending(after), ask.secret.clone(), Vec::new());
    Ok(Decision {
        writes,
        answer: Answer::Secret(Box::new(made)),
    })
}

/// When the old secret ends; `None`: at once.
fn overlap_end(
    ask: &Rotate,
    credential: &Credential,
    most: Duration,
    now: Timestamp,
) -> Result<Option<Timestamp>, Refusal> {
    if ask.overlap.is_zero() {
        return Ok(None);
    }
    if credential.leaked_at.is_some() {
        let rule = "must be zero for a credential that leaked: its secret ends at once";
        return Err(Refusal::invalid("overlap", rule));
    }
    if ask.overlap > most {
        let rule = match most.as_secs() {
            0 => "must be zero: the profile allows no overlap".to_owned(),
            seconds => format!("must be at most {seconds} s: the profile allows no more"),
        };
        return Err(Refusal::invalid("overlap", rule));
    }
    Ok(now.checked_add(ask.overlap))
}

/// A secret that can be viewed again, sealed.
pub(super) fn seal(
    id: CredentialId,
    generation: Generation,
    secret: &Secret,
    context: &Context<'_>,
) -> Result<Arc<[u8]>, Refusal> {
    let purpose = sealing_context(id, generation);
    let sealed = context
        .keyring
        .seal(&purpose, secret.expose(), context.random)?;
    Ok(sealed.into())
}

/// What a secret that can be viewed again is sealed for.
#[must_use]
pub fn sealing_context(id: CredentialId, generation: Generation) -> Vec<u8> {
    let mut context = b"credd viewable secret".to_vec();
    context.extend_from_slice(id.as_bytes());
    context.extend_from_slice(&generation.number().to_be_bytes());
    context
}
