//! Credentials, their secrets, and what changes touch.

use super::{revision, timestamp};
use crate::authority::directory::Directory;
use crate::authority::impact::Impact;
use crate::authority::manage::Shown;
use crate::authority::names::Interner;
use crate::authority::verify::Found;
use crate::domain::calendar::TimeZone;
use crate::domain::credential::{
    Change, Credential, HeldSecret, Origin, Overlap, ShownState, Stored, Uses,
};
use crate::domain::header::HeaderRule;
use crate::domain::id::CredentialId;
use crate::domain::language::Language;
use crate::domain::names::{AttributeKey, AttributeValue, PublicName};
use crate::domain::permission::Grant;
use crate::domain::revision::StoreId;
use crate::domain::secret::Secret;
use crate::domain::time::Timestamp;
use crate::domain::token::{self, Kind};
use crate::proto::v1;

/// A credential as it is shown at this time.
#[must_use]
pub fn credential(shown: &Shown, store: StoreId, now: Timestamp) -> v1::Credential {
    let Shown {
        stored,
        uses,
        profile: known,
    } = shown;
    let state_revision = revision(store, stored.state_revision());
    let Stored {
        credential,
        revision: record_revision,
    } = stored;
    let state = credential.shown_state(now);
    let Credential {
        id,
        tenant,
        owner,
        profile,
        kind,
        label,
        description,
        roles,
        attributes,
        language,
        time_zone,
        state: _, // shown with what leaked counted in
        leaked_at,
        state_set: _, // in `state_revision`
        created_at,
        created_by,
        expires_at,
        expiry_told: _,
        secret,
        overlap,
        retired: _,
        sealed,
        last_change,
    } = credential;
    v1::Credential {
        id: id.to_string(),
        tenant: tenant.as_str().to_owned(),
        owner: owner.as_str().to_owned(),
        profile: profile.family.name.as_str().to_owned(),
        profile_display_name: known.as_ref().map_or_else(String::new, |known| {
            known.profile.display_name.as_str().to_owned()
        }),
        kind: v1::CredentialKind::from(*kind).into(),
        label: label.as_str().to_owned(),
        description: description.as_str().to_owned(),
        roles: roles.iter().map(|role| role.as_str().to_owned()).collect(),
        attributes: attribute_map(attributes),
        language: text(language.as_ref().map(Language::as_str)),
        time_zone: text(time_zone.as_ref().map(TimeZone::as_str)),
        state: shown_state(state).into(),
        leaked_at: leaked_at.map(timestamp),
        public_part: Some(public_part(*kind, *id, secret)),
        secrets: secrets(secret, overlap.as_ref(), uses, now),
        viewable: sealed.is_some(),
        created_at: Some(timestamp(*created_at)),
        created_by: created_by.as_str().to_owned(),
        expires_at: expires_at.map(timestamp),
        days_left: expires_at.map(|expiry| days_left(expiry, now)),
        last_used_at: uses.latest().map(|used| timestamp(used.at)),
        last_used_by: text(uses.latest().map(|used| used.by.as_str())),
        last_change: Some(change(last_change)),
        state_revision: Some(state_revision),
        revision: Some(revision(store, *record_revision)),
    }
}

/// The secrets that are a credential's own at a time.
fn secrets(
    secret: &HeldSecret,
    overlap: Option<&Overlap>,
    uses: &Uses,
    now: Timestamp,
) -> Vec<v1::SecretInfo> {
    let info = |secret: &HeldSecret, ends_at: Option<Timestamp>| v1::SecretInfo {
        generation: secret.generation.number(),
        ends_at: ends_at.map(timestamp),
        last_used_at: uses.of(secret.generation).map(|used| timestamp(used.at)),
        imported: secret.origin != Origin::Native,
    };
    let running = overlap.filter(|overlap| overlap.ends_at > now);
    let running = running.map(|overlap| info(&overlap.secret, Some(overlap.ends_at)));
    std::iter::once(info(secret, None)).chain(running).collect()
}

/// A secret in every form in which it is used.
#[must_use]
pub fn secret(shown: &Shown, secret: &Secret) -> v1::IssuedSecret {
    use v1::issued_secret::Secret as Wire;

    let Credential {
        id,
        kind,
        secret: HeldSecret { generation, .. },
        ..
    } = &shown.stored.credential;
    let text = token::secret_text(*kind, *id, *generation, secret);
    let name = token::public_name(*kind, *id).unwrap_or_default();
    let header = |rule: &HeaderRule| v1::HttpHeader {
        name: rule.name.as_str().to_owned(),
        value: rule.write(&name, text.expose()).expose().to_owned(),
    };
    let rules = shown.profile.as_ref().map(|known| &known.profile.headers);
    v1::IssuedSecret {
        headers: rules.into_iter().flatten().map(header).collect(),
        secret: Some(match kind {
            Kind::ApiToken => Wire::Token(text.expose().to_owned()),
            Kind::Basic => Wire::UsernamePassword(v1::UsernamePassword {
                username: name.clone(),
                password: text.expose().to_owned(),
            }),
            Kind::KeyPair => Wire::KeyPair(v1::KeyPair {
                access_key: name.clone(),
                secret_key: text.expose().to_owned(),
            }),
        }),
    }
}

/// What a change touches.
#[must_use]
pub fn impact(impact: &Impact) -> v1::Impact {
    let services = impact.services().into_iter();
    v1::Impact {
        matched: impact.matched,
        changed: impact.changed,
        services: services
            .map(|(service, at, credentials)| v1::ServiceUse {
                service: service.as_str().to_owned(),
                last_used_at: Some(timestamp(at)),
                credentials,
            })
            .collect(),
    }
}

/// Whose credential was found, and what it carries.
#[must_use]
pub fn identity(found: &Found, names: &Interner, directory: &Directory) -> v1::Identity {
    let Found {
        entry,
        generation,
        owner,
        roles,
    } = found;
    let groups = owner.iter().flat_map(|owner| &owner.groups);
    let source = owner.as_ref().and_then(|owner| owner.default_source());
    let mut permissions: Vec<_> = found.grants().map(Grant::as_str).collect();
    permissions.sort_unstable();
    permissions.dedup();
    let family = directory.family_of(entry.profile());
    v1::Identity {
        credential_id: entry.id().to_string(),
        generation: generation.number(),
        tenant: directory.tenant_name(entry.tenant(), names).to_string(),
        owner: directory.owner_name(entry.owner(), names).to_string(),
        profile: directory.family_name(family, names).to_string(),
        kind: v1::CredentialKind::from(entry.kind()).into(),
        roles: roles
            .iter()
            .map(|(role, _)| role.as_str().to_owned())
            .collect(),
        permissions: permissions.into_iter().map(str::to_owned).collect(),
        groups: groups.map(|group| group.as_str().to_owned()).collect(),
        default_source: text(source.map(crate::domain::names::Group::as_str)),
        attributes: attribute_map(entry.attributes()),
        language: text(entry.language().map(Language::as_str)),
        time_zone: text(entry.time_zone().map(TimeZone::as_str)),
        expires_at: entry.expires_at().map(timestamp),
    }
}

fn text(text: Option<&str>) -> String {
    text.unwrap_or_default().to_owned()
}

fn attribute_map(
    attributes: &[(AttributeKey, AttributeValue)],
) -> std::collections::BTreeMap<String, String> {
    attributes
        .iter()
        .map(|(key, value)| (key.as_str().to_owned(), value.as_str().to_owned()))
        .collect()
}

fn public_part(kind: Kind, id: CredentialId, secret: &HeldSecret) -> v1::PublicPart {
    use v1::public_part::Part;

    let name = match &secret.origin {
        Origin::Native => token::public_name(kind, id).unwrap_or_default(),
        Origin::Imported(name) => text(name.as_ref().map(PublicName::as_str)),
    };
    v1::PublicPart {
        part: Some(match (kind, &secret.origin) {
            (Kind::ApiToken, Origin::Native) => Part::TokenStart(token::token_start(kind, id)),
            (Kind::ApiToken, Origin::Imported(_)) => Part::TokenStart(String::new()),
            (Kind::Basic, _) => Part::Username(name),
            (Kind::KeyPair, _) => Part::AccessKey(name),
        }),
    }
}

fn change(change: &Change) -> v1::CredentialChange {
    let Change {
        action,
        at,
        by,
        reason,
    } = change;
    v1::CredentialChange {
        r#type: v1::ChangeType::from(*action).into(),
        at: Some(timestamp(*at)),
        by: by.as_str().to_owned(),
        reason: reason.as_str().to_owned(),
    }
}

const fn shown_state(state: ShownState) -> v1::CredentialState {
    match state {
        ShownState::Active => v1::CredentialState::Active,
        ShownState::Locked => v1::CredentialState::Locked,
        ShownState::Revoked => v1::CredentialState::Revoked,
        ShownState::Expired => v1::CredentialState::Expired,
    }
}

fn days_left(expiry: Timestamp, now: Timestamp) -> u32 {
    const DAY: u64 = 24 * 60 * 60;
    u32::try_from(expiry.since(now).as_secs() / DAY).unwrap_or(u32::MAX)
}

/// A credential that is not there yet: without what only its issue gives it.
#[must_use]
pub fn not_issued(shown: v1::Credential) -> v1::Credential {
    v1::Credential {
        id: String::new(),
        public_part: None,
        revision: None,
        state_revision: None,
        ..shown
    }
}
