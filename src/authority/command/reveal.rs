//! Showing a secret again. It changes nothing but the audit log, which tells of it
//! before the secret is answered.

use super::request::made;
use super::{Answer, Context, Decision, Refusal, Thing, View, sealing_context};
use crate::domain::credential::ShownState;
use crate::domain::directory::OwnerRef;
use crate::domain::id::CredentialId;
use crate::domain::names::Reason;
use crate::domain::secret::Secret;

/// A secret to show again.
#[derive(Clone, Debug)]
pub struct Reveal {
    /// The credential.
    pub id: CredentialId,
    /// Why.
    pub reason: Reason,
}

/// Why a secret is not shown again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotRevealed {
    /// Its state is another than ACTIVE.
    #[error("its state is another than ACTIVE")]
    State(ShownState),
    /// Its owner or its tenant is disabled.
    #[error("the {} is disabled", .0.name())]
    Disabled(Thing),
    /// It is kept nowhere.
    #[error("it is kept nowhere")]
    NotViewable,
    /// It can't be opened: the store or the keyring is not what it was.
    #[error("it can't be opened")]
    Unreadable,
}

pub(super) fn reveal(
    view: &dyn View,
    ask: &Reveal,
    context: &Context<'_>,
) -> Result<Decision, Refusal> {
    let known = view.credential(ask.id).ok_or(Refusal::NotFound(ask.id))?;
    let credential = known.credential();
    let refuse = |why| Err(Refusal::NotRevealed(ask.id, why));
    match credential.shown_state(context.now) {
        ShownState::Active => (),
        state => return refuse(NotRevealed::State(state)),
    }
    if view
        .tenant(&credential.tenant)
        .is_some_and(|tenant| tenant.record.disabled)
    {
        return refuse(NotRevealed::Disabled(Thing::Tenant));
    }
    let owner = OwnerRef {
        tenant: credential.tenant.clone(),
        name: credential.owner.clone(),
    };
    if view
        .owner(&owner)
        .is_some_and(|owner| owner.record.disabled)
    {
        return refuse(NotRevealed::Disabled(Thing::Owner));
    }
    let Some(sealed) = &credential.sealed else {
        return refuse(NotRevealed::NotViewable);
    };
    let purpose = sealing_context(ask.id, credential.secret.generation);
    let opened = context.keyring.open(&purpose, sealed).ok();
    let Some(bytes) = opened.and_then(|bytes| bytes.as_slice().try_into().ok()) else {
        return refuse(NotRevealed::Unreadable);
    };
    let secret = Secret::new(bytes);
    let shown = made(known, secret, Vec::new());
    Ok(Decision::nothing(Answer::Secret(Box::new(shown))))
}
