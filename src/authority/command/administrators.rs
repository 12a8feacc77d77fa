//! Those who can manage credd: there is always one.
//!
//! An administrator is a principal to whom a binding gives the role
//! `administrator` on all tenants. One known by a credential of credd's own counts
//! while such a credential is active; of one known otherwise credd can't tell, and
//! takes the binding's word.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::{Known, Refusal, View};
use crate::domain::credential::{Credential, State};
use crate::domain::directory::OwnerRef;
use crate::domain::names::{Owner, Principal, Role, Tenant};
use crate::domain::rights::{Binding, Reach};
use crate::domain::time::Timestamp;

/// Refuses a change after which nobody could administer credd for as long as before it:
/// by a credential that is active, does not expire sooner, and whose owner is not
/// disabled, or as a principal that needs none.
///
/// `before` is a credential as it is, `after` as it would be; `None`: gone.
pub(super) fn keep_one(
    view: &dyn View,
    before: &Credential,
    after: Option<&Credential>,
    now: Timestamp,
) -> Result<(), Refusal> {
    if !before.tenant.is_credd() {
        return Ok(());
    }
    let administrators = bound(view);
    if !administers(&administrators, before, now) {
        return Ok(());
    }
    let keeps = after
        .is_some_and(|after| administers(&administrators, after, now) && end(after) >= end(before));
    let until = end(before);
    if keeps || any_until(view, &administrators, (now, until), |it| it.id != before.id) {
        return Ok(());
    }
    Err(Refusal::LastAdministrator(before.id))
}

/// When a credential expires.
fn end(credential: &Credential) -> Timestamp {
    credential.expires_at.unwrap_or(Timestamp::MAX)
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
    let administrators = bound(view);
    let callers = view.callers();
    let theirs = callers
        .iter()
        .map(Known::credential)
        .filter(|held| held.owner == owner.name && administers(&administrators, held, now));
    let Some(last) = theirs.max_by_key(|held| (end(held), Reverse(held.id))) else {
        return Ok(());
    };
    let during = (now, end(last));
    if any_until(view, &administrators, during, |it| it.owner != owner.name) {
        return Ok(());
    }
    Err(Refusal::LastAdministrator(last.id))
}

/// Refuses to delete a binding without which nobody could administer credd.
pub(super) fn keep_one_unbound(
    view: &dyn View,
    binding: &Binding,
    now: Timestamp,
) -> Result<(), Refusal> {
    if binding.role.as_str() != Role::ADMINISTRATOR || binding.reach != Reach::All {
        return Ok(());
    }
    let mut others = bound(view);
    others.remove(binding.principal.as_str());
    match administers_until(view, binding.principal.as_str(), now) {
        Some(until) if !any_until(view, &others, (now, until), |_| true) => {
            Err(Refusal::LastBinding)
        }
        _ => Ok(()),
    }
}

/// Until when a principal that is bound can administer credd; `None`: it can't now.
fn administers_until(view: &dyn View, principal: &str, now: Timestamp) -> Option<Timestamp> {
    if !is_owner(principal) {
        return Some(Timestamp::MAX);
    }
    let only = BTreeSet::from([principal.to_owned()]);
    let callers = view.callers();
    let credentials = callers.iter().map(Known::credential);
    let theirs = credentials.filter(|credential| administers(&only, credential, now));
    theirs.map(end).max()
}

/// Whether a principal is known by credentials of credd's own.
fn is_owner(principal: &str) -> bool {
    let scheme = principal.split_once(':').map(|(scheme, _)| scheme);
    scheme == Some(Tenant::CREDD)
}

/// The principals to whom a binding gives the role.
fn bound(view: &dyn View) -> BTreeSet<String> {
    let all = view.bound_everywhere(Role::ADMINISTRATOR).into_iter();
    all.map(|binding| binding.principal.to_string()).collect()
}

/// Whether one can administer credd from now until then.
fn any_until(
    view: &dyn View,
    administrators: &BTreeSet<String>,
    (now, until): (Timestamp, Timestamp),
    among: impl Fn(&Credential) -> bool,
) -> bool {
    if !administrators.iter().all(|name| is_owner(name)) {
        return true;
    }
    let callers = view.callers();
    callers.iter().map(Known::credential).any(|credential| {
        among(credential)
            && administers(administrators, credential, now)
            && end(credential) >= until
            && !is_disabled(view, &credential.owner)
    })
}

fn is_disabled(view: &dyn View, owner: &Owner) -> bool {
    let owner = OwnerRef {
        tenant: Tenant::credd(),
        name: owner.clone(),
    };
    let known = view.owner(&owner);
    known.is_some_and(|known| known.record.disabled)
}

fn administers(administrators: &BTreeSet<String>, credential: &Credential, now: Timestamp) -> bool {
    let mut roles = credential.roles.iter();
    credential.tenant.is_credd()
        && credential.standing() == State::Active
        && !credential.is_expired(now)
        && (credential.roles.is_empty() || roles.any(|role| role.as_str() == Role::ADMINISTRATOR))
        && administrators.contains(Principal::credd(&credential.owner).as_str())
}
