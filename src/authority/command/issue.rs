//! Issuing credentials, and bringing them from elsewhere.

use std::sync::Arc;

use super::{
    Answer, Context, Decision, Known, NewId, Refusal, Request, Thing, View, administrators,
    credential_record, expect, life, request,
};
use crate::authority::directory::KnownProfile;
use crate::domain::calendar::TimeZone;
use crate::domain::credential::{Action, Change, Credential, HeldSecret, Origin, Set, State};
use crate::domain::directory::{OwnerRef, RoleRef};
use crate::domain::expiry::Wish;
use crate::domain::id::CredentialId;
use crate::domain::keyring::{SecretOf, Sha256};
use crate::domain::language::Language;
use crate::domain::names::{
    Attributes, Description, Label, MAX_CREDENTIAL_TEXTS, Owner, Principal, ProfileName,
    PublicName, Reason, Role, Tenant,
};
use crate::domain::profile::{Multiplicity, Profile, Required, RoleRule, Visibility, built_in};
use crate::domain::revision::Revision;
use crate::domain::secret::Secret;
use crate::domain::time::Timestamp;
use crate::domain::token::{Generation, Kind};

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

/// What a credential says.
#[derive(Clone, Debug, Default)]
pub struct Texts {
    /// A short name; `None`: the profile's default.
    pub label: Option<Label>,
    /// A longer text.
    pub description: Description,
    /// Its roles, none twice, as they were given: they are sorted once they are
    /// checked.
    pub roles: Vec<Role>,
    /// What else is noted.
    pub attributes: Attributes,
    /// The language of its holder.
    pub language: Option<Language>,
    /// The time zone of its holder.
    pub time_zone: Option<TimeZone>,
}

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

type Wrong = Vec<(String, String)>;

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
    let ended = replaced
        .iter()
        .flat_map(|known| request::destroyed(view, known.credential().id, ask.request.as_ref()));
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

pub(super) fn import(
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
                    if is_held(view, &item.secret.sha256, &imported, context) {
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
    Ok(Decision {
        writes: imported.iter().map(credential_record).collect(),
        answer: Answer::Credentials(imported.into_iter().map(Known::Pending).collect()),
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

/// Whether a secret that was made elsewhere is held already, or among those that
/// are brought before it. Of whatever kind and pepper: a secret that is reported
/// as leaked is one credential's, and never another's too.
fn is_held(
    view: &dyn View,
    sha256: &Sha256,
    imported: &[Arc<Credential>],
    context: &Context<'_>,
) -> bool {
    let kinds = Kind::ALL.into_iter();
    let mut macs = kinds.flat_map(|kind| context.keyring.macs_of_imported(kind, sha256));
    macs.any(|mac| {
        imported.iter().any(|other| other.secret.mac == mac) || view.holds_imported(&mac)
    })
}

/// What a credential is issued with, once it follows the rules.
struct Terms {
    texts: Texts,
    label: Label,
    expires_at: Option<Timestamp>,
}

impl Terms {
    fn of(
        view: &dyn View,
        owner: &OwnerRef,
        profile: &Profile,
        texts: &Texts,
        wish: &Wish,
        now: Timestamp,
        wrong: &mut Wrong,
    ) -> Option<Self> {
        check_texts(texts, profile, wrong);
        check_roles(view, owner, &texts.roles, &texts.roles, wrong);
        let zone = texts.time_zone.clone().unwrap_or_else(TimeZone::utc);
        let expires_at = resolve(profile, wish, &zone, now, wrong);
        let label = texts
            .label
            .clone()
            .or_else(|| profile.default_label.clone());
        Some(Self {
            texts: texts.clone(),
            label: label?,
            expires_at,
        })
    }

    fn credential(
        self,
        id: CredentialId,
        owner: OwnerRef,
        known: &KnownProfile,
        secret: HeldSecret,
        issue: Change,
    ) -> Credential {
        let Texts {
            label: _, // or the default
            description,
            mut roles,
            attributes,
            language,
            time_zone,
        } = self.texts;
        roles.sort_unstable();
        Credential {
            id,
            tenant: owner.tenant,
            owner: owner.name,
            profile: known.reference.clone(),
            kind: known.profile.kind,
            label: self.label,
            description,
            roles,
            attributes,
            language,
            time_zone,
            state: State::Active,
            leaked_at: None,
            state_set: None,
            created_at: issue.at,
            created_by: issue.by.clone(),
            expires_at: self.expires_at,
            expiry_told: false,
            secret,
            overlap: None,
            retired: Vec::new(),
            sealed: None,
            last_change: issue,
        }
    }
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

/// When a credential expires by the rule of its profile; notes what is wrong with
/// what was said of it.
pub(super) fn resolve(
    profile: &Profile,
    wish: &Wish,
    zone: &TimeZone,
    now: Timestamp,
    wrong: &mut Wrong,
) -> Option<Timestamp> {
    match profile.expiry.resolve(wish, zone, now) {
        Ok(expires_at) => expires_at,
        Err(refused) => {
            wrong.push((wish.field().to_owned(), refused.to_string()));
            None
        }
    }
}

/// Notes what of the texts does not follow the rules of the profile.
pub(super) fn check_texts(texts: &Texts, profile: &Profile, wrong: &mut Wrong) {
    let Texts {
        label,
        description,
        roles,
        attributes,
        language,
        time_zone,
    } = texts;
    let mut require = |holds: bool, field: &str, rule: String| {
        if !holds {
            wrong.push((field.to_owned(), rule));
        }
    };
    let Required {
        label: label_required,
        description: description_required,
        language: language_required,
        time_zone: time_zone_required,
    } = profile.required;
    let is_required = || "is required by the profile".to_owned();
    let has_label = label.is_some() || (!label_required && profile.default_label.is_some());
    require(has_label, "label", is_required());
    require(
        !description_required || !description.as_str().is_empty(),
        "description",
        is_required(),
    );
    require(
        !language_required || language.is_some(),
        "language",
        is_required(),
    );
    require(
        !time_zone_required || time_zone.is_some(),
        "time_zone",
        is_required(),
    );
    let RoleRule {
        allowed,
        least,
        most,
    } = &profile.roles;
    require(
        (*least..=*most).contains(&roles.len()),
        "roles",
        match (least, most) {
            (least, most) if least == most => format!("must be {least} by the profile"),
            (least, most) => format!("must be {least} to {most} by the profile"),
        },
    );
    for (at, role) in roles.iter().enumerate() {
        require(
            allowed.is_empty() || allowed.contains(role),
            &format!("roles[{at}]"),
            "must be one that the profile allows".to_owned(),
        );
    }
    let label = label.as_ref().or(profile.default_label.as_ref());
    let bytes = label.map_or(0, |label| label.as_str().len())
        + description.as_str().len()
        + roles.iter().map(|role| role.as_str().len()).sum::<usize>()
        + attributes
            .iter()
            .map(|(key, value)| key.as_str().len() + value.as_str().len())
            .sum::<usize>();
    require(
        bytes <= MAX_CREDENTIAL_TEXTS,
        "description",
        "must leave label, description, attributes and roles at most 2,048 bytes together"
            .to_owned(),
    );
}

/// Notes which of `new` are not roles that the owner has; their places are those
/// in `all`.
pub(super) fn check_roles(
    view: &dyn View,
    owner: &OwnerRef,
    new: &[Role],
    all: &[Role],
    wrong: &mut Wrong,
) {
    if new.is_empty() {
        return;
    }
    let held = view.owner(owner).map(|known| known.record.roles.clone());
    let held = held.unwrap_or_default();
    for (at, role) in all
        .iter()
        .enumerate()
        .filter(|(_, role)| new.contains(role))
    {
        let reference = RoleRef {
            tenant: owner.tenant.clone(),
            name: role.clone(),
        };
        let exists = view
            .role(&reference)
            .is_some_and(|known| !known.record.last_change.deleted());
        // The callers of credd have the roles that their credentials name.
        if !exists || !(owner.tenant.is_credd() || held.contains(role)) {
            wrong.push((
                format!("roles[{at}]"),
                format!("must be a role that the owner has: `{role}` is none"),
            ));
        }
    }
}
