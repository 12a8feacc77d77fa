//! Bringing credentials from elsewhere.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::terms::{Terms, Texts, Wrong};
use super::{may_have_credentials, new_id, profile_of};
use crate::authority::command::{
    Answer, Context, Decision, Known, NewId, Quotas, Refusal, View, credential_record, quota,
};
use crate::domain::credential::{Action, Change, Credential, HeldSecret, Origin};
use crate::domain::directory::OwnerRef;
use crate::domain::expiry::Wish;
use crate::domain::keyring::Sha256;
use crate::domain::names::{Owner, Principal, ProfileName, PublicName, Reason, Tenant};
use crate::domain::profile::{Multiplicity, Profile};
use crate::domain::token::{Generation, Kind};

/// Credentials from elsewhere.
#[derive(Clone, Debug)]
pub struct Import {
    /// The tenant.
    pub tenant: Tenant,
    /// The credentials.
    pub items: Vec<ImportItem>,
    /// Why.
    pub reason: Reason,
    /// Who asks.
    pub by: Principal,
}

/// A credential from elsewhere.
#[derive(Clone, Debug)]
pub struct ImportItem {
    /// The owner.
    pub owner: Owner,
    /// The name of its profile.
    pub profile: ProfileName,
    /// What it says.
    pub texts: Texts,
    /// When it is to expire.
    pub expiry: Wish,
    /// Its secret.
    pub secret: ImportedSecret,
    /// Its id.
    pub id: NewId,
}

/// A secret that was made elsewhere.
#[derive(Clone)]
pub struct ImportedSecret {
    /// The username or access key that goes with it.
    pub name: Option<PublicName>,
    /// Its SHA-256.
    pub sha256: Sha256,
}

impl std::fmt::Debug for ImportedSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ImportedSecret(..)")
    }
}

pub(in crate::authority::command) fn import(
    view: &dyn View,
    ask: &Import,
    context: &mut Context<'_>,
) -> Result<Decision, Refusal> {
    let mut wrong = Vec::new();
    let mut imported: Vec<Arc<Credential>> = Vec::new();
    for (at, item) in ask.items.iter().enumerate() {
        let owner = OwnerRef {
            tenant: ask.tenant.clone(),
            name: item.owner.clone(),
        };
        may_have_credentials(view, &owner)?;
        let mut of_item = Vec::new();
        match profile_of(view, &ask.tenant, &item.profile) {
            Err(Refusal::Invalid(rules)) => of_item.extend(rules),
            Err(refusal) => return Err(refusal),
            Ok(known) => {
                check_import(item, &known.profile, &mut of_item);
                let terms = Terms::of(
                    view,
                    &owner,
                    &known.profile,
                    &item.texts,
                    &item.expiry,
                    context.now,
                    &mut of_item,
                );
                if let Some(terms) = terms.filter(|_| of_item.is_empty()) {
                    let secret = held(item, known.profile.kind, context);
                    if is_held(view, ask, &item.secret.sha256, &imported, context) {
                        return Err(Refusal::SecretExists(at));
                    }
                    let change = Change {
                        action: Action::Import,
                        at: context.now,
                        by: ask.by.clone(),
                        reason: ask.reason.clone(),
                    };
                    let id = new_id(view, item.id, context)?;
                    imported.push(Arc::new(
                        terms.credential(id, owner, &known, secret, change),
                    ));
                }
            }
        }
        let fields = of_item
            .into_iter()
            .map(|(field, rule)| (format!("credentials[{at}].{field}"), rule));
        wrong.extend(fields);
    }
    if !wrong.is_empty() {
        return Err(Refusal::Invalid(wrong));
    }
    check_quotas(view, &imported, context)?;
    Ok(Decision {
        writes: imported.iter().map(credential_record).collect(),
        answer: Answer::Credentials(imported.into_iter().map(Known::Pending).collect()),
    })
}

/// Refuses what would be too many for an owner, or together for the tenant.
fn check_quotas(
    view: &dyn View,
    imported: &[Arc<Credential>],
    context: &Context<'_>,
) -> Result<(), Refusal> {
    let mut of_owners: BTreeMap<OwnerRef, u64> = BTreeMap::new();
    for credential in imported {
        let owner = OwnerRef {
            tenant: credential.tenant.clone(),
            name: credential.owner.clone(),
        };
        *of_owners.entry(owner).or_default() += 1;
    }
    for (owner, added) in &of_owners {
        let per_owner = Quotas {
            per_tenant: None,
            ..context.quotas
        };
        quota::check(view, per_owner, owner, *added, 0)?;
    }
    let per_tenant = Quotas {
        per_owner: None,
        ..context.quotas
    };
    of_owners.keys().next().map_or(Ok(()), |owner| {
        quota::check(view, per_tenant, owner, imported.len() as u64, 0)
    })
}

fn check_import(item: &ImportItem, profile: &Profile, wrong: &mut Wrong) {
    let mut add = |field: &str, rule: &str| wrong.push((field.to_owned(), rule.to_owned()));
    if profile.multiplicity != Multiplicity::Many {
        add(
            "profile",
            "must be one that allows an owner any number of credentials",
        );
    }
    match (profile.kind, &item.secret.name) {
        (Kind::ApiToken, Some(_)) => add("public_name", "must be empty for an API token"),
        (Kind::Basic | Kind::KeyPair, None) => add("public_name", "is required for this profile"),
        _ => (),
    }
}

fn held(item: &ImportItem, kind: Kind, context: &Context<'_>) -> HeldSecret {
    HeldSecret {
        generation: Generation::FIRST,
        mac: context.keyring.mac_of_imported(kind, &item.secret.sha256),
        origin: Origin::Imported(item.secret.name.clone()),
    }
}

/// Whether the tenant has a secret that was made elsewhere already, or it is among
/// those that are brought before it. Of whatever kind and pepper: a secret is one
/// credential's of a tenant, and never another's too. Of other tenants nobody is
/// told whether they have it.
fn is_held(
    view: &dyn View,
    ask: &Import,
    sha256: &Sha256,
    imported: &[Arc<Credential>],
    context: &Context<'_>,
) -> bool {
    let kinds = Kind::ALL.into_iter();
    let mut macs = kinds.flat_map(|kind| context.keyring.macs_of_imported(kind, sha256));
    macs.any(|mac| {
        imported.iter().any(|other| other.secret.mac == mac)
            || view.holds_imported(&ask.tenant, &mac)
    })
}
