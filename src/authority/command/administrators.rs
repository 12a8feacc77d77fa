//! Those who can manage credd: there is always one.

use super::{Refusal, View};
use crate::domain::credential::{Credential, State};
use crate::domain::directory::OwnerRef;
use crate::domain::id::CredentialId;
use crate::domain::names::Role;
use crate::domain::time::Timestamp;

/// Refuses a change after which nobody could administer credd for good: by a
/// credential that is active, does not expire, and whose owner is not disabled.
///
/// `before` is a credential as it is, `after` as it would be; `None`: gone.
pub(super) fn keep_one(
    view: &dyn View,
    before: &Credential,
    after: Option<&Credential>,
    now: Timestamp,
) -> Result<(), Refusal> {
    if !administers(before, now) {
        return Ok(());
    }
    let keeps = after.is_some_and(|after| {
        administers(after, now) && (after.expires_at.is_none() || before.expires_at.is_some())
    });
    if keeps || !for_good(view, now, |other| other.id != before.id).is_empty() {
        return Ok(());
    }
    Err(Refusal::LastAdministrator(before.id))
}

/// Refuses to deny an owner without whom nobody could administer credd.
pub(super) fn keep_one_without(
    view: &dyn View,
    owner: &OwnerRef,
    now: Timestamp,
) -> Result<(), Refusal> {
    if !owner.tenant.is_credd() {
        return Ok(());
    }
    let theirs = view.callers();
    let theirs = theirs
        .iter()
        .map(super::Known::credential)
        .find(|credential| credential.owner == owner.name && administers(credential, now));
    match theirs {
        Some(last) if for_good(view, now, |other| other.owner != owner.name).is_empty() => {
            Err(Refusal::LastAdministrator(last.id))
        }
        _ => Ok(()),
    }
}

fn for_good(
    view: &dyn View,
    now: Timestamp,
    among: impl Fn(&Credential) -> bool,
) -> Vec<CredentialId> {
    let callers = view.callers();
    callers
        .iter()
        .map(super::Known::credential)
        .filter(|credential| {
            among(credential) && administers(credential, now) && credential.expires_at.is_none()
        })
        .filter(|credential| {
            let owner = OwnerRef {
                tenant: credential.tenant.clone(),
                name: credential.owner.clone(),
            };
            !view
                .owner(&owner)
                .is_some_and(|known| known.record.disabled)
        })
        .map(|credential| credential.id)
        .collect()
}

fn administers(credential: &Credential, now: Timestamp) -> bool {
    credential.tenant.is_credd()
        && credential.standing() == State::Active
        && !credential.is_expired(now)
        && credential
            .roles
            .iter()
            .any(|role| role.as_str() == Role::ADMINISTRATOR)
}
