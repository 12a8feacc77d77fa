//! Issuing credentials, and bringing them from elsewhere.

use std::sync::Arc;

use super::{
    Answer, Context, Decision, Known, NewId, Refusal, Request, Thing, View, administrators,
    credential_record, expect, life, quota, request,
};
use crate::authority::directory::KnownProfile;
use crate::domain::credential::{Action, Change, Credential, HeldSecret, Origin, Set, State};
use crate::domain::directory::OwnerRef;
use crate::domain::expiry::Wish;
use crate::domain::id::CredentialId;
use crate::domain::keyring::SecretOf;
use crate::domain::names::{Owner, Principal, ProfileName, Reason, Tenant};
use crate::domain::profile::{Multiplicity, Visibility, built_in};
use crate::domain::revision::Revision;
use crate::domain::secret::Secret;
use crate::domain::time::Timestamp;
use crate::domain::token::Generation;

mod import;
mod terms;

pub(super) use import::import;
pub use import::{Import, ImportItem, ImportedSecret};
use terms::Terms;
pub use terms::Texts;
pub(super) use terms::{check_roles, check_texts, resolve};

/// A credential to issue.
#[derive(Clone, Debug)]
pub struct Issue {
    /// The tenant.
    pub tenant: Tenant,
    /// The owner.
    pub owner: Owner,
    /// The name of its profile.
    pub profile: ProfileName,
    /// What it says.
    pub texts: Texts,
    /// When it is to expire.
    pub expiry: Wish,
    /// Its secret.
    pub secret: Secret,
    /// Its id.
    pub id: NewId,
    /// What makes it safe to send again.
    pub request: Option<Request>,
    /// Why.
    pub reason: Reason,
    /// Who asks.
    pub by: Principal,
    /// Whether the caller may do this only as the owner.
    pub as_owner: bool,
    /// The revision, as the caller knows it, of the credential that this one is to
    /// replace.
    pub expected: Option<Revision>,
}

pub(super) fn issue(
    view: &dyn View,
    ask: &Issue,
    context: &mut Context<'_>,
) -> Result<Decision, Refusal> {
    if let Some(request) = &ask.request
        && let Some(done) = request::replay(view, request, context)?
    {
        return Ok(Decision::nothing(Answer::Secret(Box::new(done))));
    }
    let owner = OwnerRef {
        tenant: ask.tenant.clone(),
        name: ask.owner.clone(),
    };
    may_have_credentials(view, &owner)?;
    let known = profile_of(view, &ask.tenant, &ask.profile)?;
    let profile = &known.profile;
    // What a credential of credd's own may do is not up to its owner.
    if ask.as_owner && (ask.tenant.is_credd() || !profile.owner_may_issue) {
        return Err(Refusal::NotForOwners);
    }
    let mut wrong = Vec::new();
    let terms = Terms::of(
        view,
        &owner,
        profile,
        &ask.texts,
        &ask.expiry,
        context.now,
        &mut wrong,
    );
    let terms = terms
        .filter(|_| wrong.is_empty())
        .ok_or(Refusal::Invalid(wrong))?;
    let replaced = displaced(view, &owner, &known, ask, context.now)?;
    quota::check(view, context.quotas, &owner, 1, replaced.len() as u64)?;
    let id = new_id(view, ask.id, context)?;
    let generation = Generation::FIRST;
    let sealed = match profile.visibility {
        Visibility::Once => None,
        Visibility::Again => Some(life::seal(id, generation, &ask.secret, context)?),
    };
    let secret = HeldSecret {
        generation,
        mac: context.keyring.mac(&SecretOf {
            kind: profile.kind,
            id,
            generation,
            secret: &ask.secret,
        }),
        origin: Origin::Native,
    };
    let change = Change {
        action: Action::Issue,
        at: context.now,
        by: ask.by.clone(),
        reason: ask.reason.clone(),
    };
    let issued = Credential {
        sealed,
        ..terms.credential(id, owner, &known, secret, change)
    };
    let issued = Arc::new(issued);
    let mut writes = vec![credential_record(&issued)];
    writes.extend(replaced.iter().map(|known| {
        let change = Change {
            action: Set::Revoke.into(),
            at: context.now,
            by: ask.by.clone(),
            reason: Reason::trusted(format!("replaced by {id}").into()),
        };
        credential_record(&Arc::new(
            known.credential().with_state(State::Revoked, change),
        ))
    }));
    let request = ask.request.as_ref();
    let written = request.map(|request| request.name(context.keyring));
    let ended = replaced
        .iter()
        .flat_map(|known| request::destroyed(view, known.credential().id, written));
    writes.extend(ended);
    if let Some(request) = &ask.request {
        writes.push(request::record(
            request,
            &issued,
            &ask.secret,
            &replaced,
            context,
        )?);
    }
    let made = request::made(Known::Pending(issued), ask.secret.clone(), replaced);
    Ok(Decision {
        writes,
        answer: Answer::Secret(Box::new(made)),
    })
}

/// Whether a tenant and an owner may get credentials.
fn may_have_credentials(view: &dyn View, owner: &OwnerRef) -> Result<(), Refusal> {
    if let Some(tenant) = view.tenant(&owner.tenant) {
        if tenant.record.last_change.deleted() {
            return Err(Refusal::Deleted(Thing::Tenant));
        }
        if tenant.record.disabled {
            return Err(Refusal::Disabled(Thing::Tenant));
        }
    }
    if let Some(owner) = view.owner(owner) {
        if owner.record.last_change.deleted() {
            return Err(Refusal::Deleted(Thing::Owner));
        }
        if owner.record.disabled {
            return Err(Refusal::Disabled(Thing::Owner));
        }
    }
    Ok(())
}

fn profile_of(
    view: &dyn View,
    tenant: &Tenant,
    name: &ProfileName,
) -> Result<Arc<KnownProfile>, Refusal> {
    if tenant.is_credd() && name.as_str() != built_in::API_TOKEN {
        let rule = "must be `api-token` in the tenant `credd`: its callers present bearer tokens";
        return Err(Refusal::invalid("profile", rule));
    }
    view.profile_for(tenant, name)
        .filter(|known| !known.deleted())
        .ok_or_else(|| {
            Refusal::invalid(
                "profile",
                "must be a profile that the tenant has, or a built-in one",
            )
        })
}

/// The credentials in whose place the new one comes.
fn displaced(
    view: &dyn View,
    owner: &OwnerRef,
    known: &KnownProfile,
    ask: &Issue,
    now: Timestamp,
) -> Result<Vec<Known>, Refusal> {
    let live = || {
        let all = view.of_owner(owner, &known.reference.family);
        all.into_iter()
            .filter(|known| known.credential().state != State::Revoked)
    };
    let displaced = match known.profile.multiplicity {
        Multiplicity::Many => Vec::new(),
        Multiplicity::OneReject => {
            let mut live = live().filter(|known| !known.credential().is_expired(now));
            match live.next() {
                Some(there) => return Err(Refusal::OneOnly(there.credential().id)),
                None => Vec::new(),
            }
        }
        Multiplicity::OneReplace => live().collect(),
    };
    if ask.expected.is_some() {
        expect(ask.expected, displaced.first().and_then(Known::revision))?;
    }
    for known in &displaced {
        administrators::keep_one(view, known.credential(), None, now)?;
    }
    Ok(displaced)
}

fn new_id(view: &dyn View, id: NewId, context: &mut Context<'_>) -> Result<CredentialId, Refusal> {
    match id {
        NewId::Next(entropy) => Ok(context.ids.next(context.now, entropy)),
        NewId::Given(id) if view.exists(id) => Err(Refusal::Exists(id)),
        NewId::Given(id) => {
            context.ids.skip_to(id);
            Ok(id)
        }
    }
}
