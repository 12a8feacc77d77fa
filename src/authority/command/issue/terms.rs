//! What a credential says, and the rules that it has to follow.

use crate::authority::command::View;
use crate::authority::directory::KnownProfile;
use crate::domain::calendar::TimeZone;
use crate::domain::credential::{Change, Credential, HeldSecret, State};
use crate::domain::directory::{OwnerRef, RoleRef};
use crate::domain::expiry::Wish;
use crate::domain::id::CredentialId;
use crate::domain::language::Language;
use crate::domain::names::{Attributes, Description, Label, MAX_CREDENTIAL_TEXTS, Role};
use crate::domain::profile::{Profile, Required, RoleRule};
use crate::domain::time::Timestamp;

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

/// Fields that are not what they should be, each with its rule.
pub(super) type Wrong = Vec<(String, String)>;

/// What a credential is issued with, once it follows the rules.
pub(super) struct Terms {
    texts: Texts,
    label: Label,
    expires_at: Option<Timestamp>,
}

impl Terms {
    pub(super) fn of(
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

    pub(super) fn credential(
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

/// When a credential expires by the rule of its profile; notes what is wrong with
/// what was said of it.
pub(in crate::authority::command) fn resolve(
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
pub(in crate::authority::command) fn check_texts(
    texts: &Texts,
    profile: &Profile,
    wrong: &mut Wrong,
) {
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
pub(in crate::authority::command) fn check_roles(
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
