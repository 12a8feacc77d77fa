//! Records of credentials and of their uses.

use std::sync::Arc;

use bytes::Bytes;

use super::{family, shared, text, utf8};
use crate::authority::names::Interner;
use crate::domain::calendar::TimeZone;
use crate::domain::credential::{
    Action, Change, Credential, HeldSecret, Origin, Overlap, State, Use, Uses,
};
use crate::domain::id::CredentialId;
use crate::domain::keyring::{KeyVersion, Mac};
use crate::domain::language::Language;
use crate::domain::names::{
    AttributeKey, AttributeValue, Description, Label, Owner, Principal, PublicName, Reason, Role,
    Tenant,
};
use crate::domain::profile::ProfileRef;
use crate::domain::revision::Revision;
use crate::domain::time::Timestamp;
use crate::domain::token::{Generation, Kind};
use crate::proto::store::{
    AttributeRecord, ChangeRecord, CredentialRecord, SecretRecord, UseRecord, UsesRecord,
};
use crate::proto::v1;

pub(super) fn write(credential: &Credential) -> CredentialRecord {
    let Credential {
        id: _, // part of the key
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
        state,
        leaked_at,
        state_set,
        created_at,
        created_by,
        expires_at,
        expiry_told,
        secret,
        overlap,
        retired,
        sealed,
        last_change,
    } = credential;
    CredentialRecord {
        tenant: text(tenant.as_str()),
        owner: text(owner.as_str()),
        kind: v1::CredentialKind::from(*kind).into(),
        label: text(label.as_str()),
        description: text(description.as_str()),
        roles: roles.iter().map(|role| text(role.as_str())).collect(),
        state: v1::CredentialState::from(*state).into(),
        state_revision: state_set.map_or(0, Revision::number),
        created_at_ms: created_at.as_millis(),
        created_by: text(created_by.as_str()),
        expires_at_ms: expires_at.map(Timestamp::as_millis),
        secret: Some(write_secret(secret)),
        last_change: Some(write_change(last_change)),
        profile_tenant: text(profile.family.scope.as_str()),
        profile: text(profile.family.name.as_str()),
        profile_version: profile.version,
        attributes: attributes
            .iter()
            .map(|(key, value)| AttributeRecord {
                key: text(key.as_str()),
                value: text(value.as_str()),
            })
            .collect(),
        language: text(language.as_ref().map_or("", Language::as_str)),
        time_zone: text(time_zone.as_ref().map_or("", TimeZone::as_str)),
        leaked_at_ms: leaked_at.map_or(0, Timestamp::as_millis),
        previous: overlap
            .as_ref()
            .map(|overlap| write_secret(&overlap.secret)),
        overlap_ends_at_ms: overlap
            .as_ref()
            .map_or(0, |overlap| overlap.ends_at.as_millis()),
        retired: retired.iter().map(write_secret).collect(),
        sealed_secret: sealed
            .as_deref()
            .map(Bytes::copy_from_slice)
            .unwrap_or_default(),
        expiry_told: *expiry_told,
    }
}

fn write_secret(secret: &HeldSecret) -> SecretRecord {
    let HeldSecret {
        generation,
        mac,
        origin,
    } = secret;
    let (imported, public_name) = match origin {
        Origin::Native => (false, ""),
        Origin::Imported(name) => (true, name.as_ref().map_or("", PublicName::as_str)),
    };
    SecretRecord {
        generation: generation.number(),
        pepper_version: mac.pepper.0,
        mac: Bytes::copy_from_slice(&mac.tag),
        imported,
        public_name: text(public_name),
    }
}

fn write_change(change: &Change) -> ChangeRecord {
    let Change {
        action,
        at,
        by,
        reason,
    } = change;
    ChangeRecord {
        r#type: v1::ChangeType::from(*action).into(),
        at_ms: at.as_millis(),
        by: text(by.as_str()),
        reason: text(reason.as_str()),
    }
}

pub(super) fn read(
    id: CredentialId,
    record: CredentialRecord,
    names: &Interner,
) -> Result<Credential, String> {
    let CredentialRecord {
        tenant,
        owner,
        kind,
        label,
        description,
        roles,
        state,
        state_revision,
        created_at_ms,
        created_by,
        expires_at_ms,
        secret,
        last_change,
        profile_tenant,
        profile,
        profile_version,
        attributes,
        language,
        time_zone,
        leaked_at_ms,
        previous,
        overlap_ends_at_ms,
        retired,
        sealed_secret,
        expiry_told,
    } = record;
    let overlap = |secret| {
        Ok::<_, String>(Overlap {
            secret: read_secret(secret, names)?,
            ends_at: Timestamp::from_millis(overlap_ends_at_ms),
        })
    };
    Ok(Credential {
        id,
        tenant: Tenant::trusted(shared(&tenant, names)?),
        owner: Owner::trusted(shared(&owner, names)?),
        profile: ProfileRef {
            family: family(&profile_tenant, &profile, names)?,
            version: profile_version,
        },
        kind: kind_of(kind)?,
        label: Label::trusted(utf8(&label)?.into()),
        description: Description::trusted(shared(&description, names)?),
        roles: roles
            .iter()
            .map(|role| Ok(Role::trusted(shared(role, names)?)))
            .collect::<Result<_, String>>()?,
        attributes: attributes
            .iter()
            .map(|AttributeRecord { key, value }| {
                let key = AttributeKey::trusted(shared(key, names)?);
                Ok((key, AttributeValue::trusted(shared(value, names)?)))
            })
            .collect::<Result<_, String>>()?,
        language: optional(&language, names)?.map(Language::trusted),
        time_zone: optional(&time_zone, names)?.map(TimeZone::trusted),
        state: state_of(state)?,
        leaked_at: (leaked_at_ms != 0).then(|| Timestamp::from_millis(leaked_at_ms)),
        state_set: (state_revision != 0).then(|| Revision::new(state_revision)),
        created_at: Timestamp::from_millis(created_at_ms),
        created_by: Principal::trusted(shared(&created_by, names)?),
        expires_at: expires_at_ms.map(Timestamp::from_millis),
        expiry_told,
        secret: read_secret(secret.ok_or("no secret")?, names)?,
        overlap: previous.map(overlap).transpose()?,
        retired: retired
            .into_iter()
            .map(|secret| read_secret(secret, names))
            .collect::<Result<_, String>>()?,
        sealed: (!sealed_secret.is_empty()).then(|| Arc::from(&*sealed_secret)),
        last_change: read_change(last_change.ok_or("no last change")?, names)?,
    })
}

fn optional(bytes: &[u8], names: &Interner) -> Result<Option<Arc<str>>, String> {
    if bytes.is_empty() {
        return Ok(None);
    }
    shared(bytes, names).map(Some)
}

fn read_secret(record: SecretRecord, names: &Interner) -> Result<HeldSecret, String> {
    let SecretRecord {
        generation,
        pepper_version,
        mac,
        imported,
        public_name,
    } = record;
    Ok(HeldSecret {
        generation: Generation::new(generation),
        mac: Mac {
            pepper: KeyVersion(pepper_version),
            tag: (*mac).try_into().map_err(|_| "a MAC of another length")?,
        },
        origin: if imported {
            Origin::Imported(optional(&public_name, names)?.map(PublicName::trusted))
        } else {
            Origin::Native
        },
    })
}

fn read_change(record: ChangeRecord, names: &Interner) -> Result<Change, String> {
    let ChangeRecord {
        r#type,
        at_ms,
        by,
        reason,
    } = record;
    Ok(Change {
        action: action_of(r#type)?,
        at: Timestamp::from_millis(at_ms),
        by: Principal::trusted(shared(&by, names)?),
        reason: Reason::trusted(shared(&reason, names)?),
    })
}

pub(super) fn write_uses(uses: &Uses) -> UsesRecord {
    let uses = uses.iter().map(|Use { at, by, generation }| UseRecord {
        at_ms: at.as_millis(),
        by: text(by.as_str()),
        generation: generation.number(),
    });
    UsesRecord {
        uses: uses.collect(),
    }
}

pub(super) fn read_uses(record: UsesRecord, names: &Interner) -> Result<Uses, String> {
    let UsesRecord { uses } = record;
    let uses = uses.iter().map(|record| {
        let UseRecord {
            at_ms,
            by,
            generation,
        } = record;
        Ok(Use {
            at: Timestamp::from_millis(*at_ms),
            by: Principal::trusted(shared(by, names)?),
            generation: Generation::new(*generation),
        })
    });
    Ok(Uses::new(uses.collect::<Result<Vec<_>, String>>()?))
}

// The numbers of the contract's enums are also those in the store: they can
// never change either.

pub(super) fn kind_of(number: i32) -> Result<Kind, String> {
    match v1::CredentialKind::try_from(number) {
        Ok(v1::CredentialKind::ApiToken) => Ok(Kind::ApiToken),
        Ok(v1::CredentialKind::Basic) => Ok(Kind::Basic),
        Ok(v1::CredentialKind::KeyPair) => Ok(Kind::KeyPair),
        Ok(v1::CredentialKind::Unspecified) | Err(_) => Err(format!("unknown kind {number}")),
    }
}

fn state_of(number: i32) -> Result<State, String> {
    match v1::CredentialState::try_from(number) {
        Ok(v1::CredentialState::Active) => Ok(State::Active),
        Ok(v1::CredentialState::Locked) => Ok(State::Locked),
        Ok(v1::CredentialState::Revoked) => Ok(State::Revoked),
        Ok(v1::CredentialState::Unspecified | v1::CredentialState::Expired) | Err(_) => {
            Err(format!("unknown state {number}"))
        }
    }
}

fn action_of(number: i32) -> Result<Action, String> {
    match v1::ChangeType::try_from(number) {
        Ok(v1::ChangeType::Issued) => Ok(Action::Issue),
        Ok(v1::ChangeType::Locked) => Ok(Action::Lock),
        Ok(v1::ChangeType::Unlocked) => Ok(Action::Unlock),
        Ok(v1::ChangeType::Revoked) => Ok(Action::Revoke),
        Ok(v1::ChangeType::Updated) => Ok(Action::Update),
        Ok(v1::ChangeType::Rotated) => Ok(Action::Rotate),
        Ok(v1::ChangeType::Leaked) => Ok(Action::ReportLeak),
        Ok(v1::ChangeType::Imported) => Ok(Action::Import),
        Ok(v1::ChangeType::Expired) => Ok(Action::TellExpiry),
        Ok(v1::ChangeType::Removed) => Ok(Action::Remove),
        Ok(v1::ChangeType::Unspecified) | Err(_) => Err(format!("unknown change {number}")),
    }
}

impl From<Kind> for v1::CredentialKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::ApiToken => Self::ApiToken,
            Kind::Basic => Self::Basic,
            Kind::KeyPair => Self::KeyPair,
        }
    }
}

impl From<State> for v1::CredentialState {
    fn from(state: State) -> Self {
        match state {
            State::Active => Self::Active,
            State::Locked => Self::Locked,
            State::Revoked => Self::Revoked,
        }
    }
}

impl From<Action> for v1::ChangeType {
    fn from(action: Action) -> Self {
        match action {
            Action::Issue => Self::Issued,
            Action::Lock => Self::Locked,
            Action::Unlock => Self::Unlocked,
            Action::Revoke => Self::Revoked,
            Action::Update => Self::Updated,
            Action::Rotate => Self::Rotated,
            Action::ReportLeak => Self::Leaked,
            Action::Import => Self::Imported,
            Action::TellExpiry => Self::Expired,
            Action::Remove => Self::Removed,
        }
    }
}
