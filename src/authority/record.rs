//! What stands in the store: the keys, and the records as values.
//!
//! | key | value |
//! | --- | --- |
//! | `c` + id (16 bytes) | a [`CredentialRecord`] |
//! | `u` + id (16 bytes) | a [`LastUseRecord`] |
//! | `k` | a [`KeyringRecord`] |
//!
//! A value is one byte, the format of the record, and the message in it. A
//! record of a newer format is refused, never guessed at.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;

use super::names::Interner;
use crate::domain::credential::{Action, Change, Credential, LastUse, State};
use crate::domain::id::CredentialId;
use crate::domain::keyring::{CheckValue, KeyVersion, Mac};
use crate::domain::names::{Description, Label, Owner, Principal, Reason, Role, Tenant};
use crate::domain::revision::Revision;
use crate::domain::time::Timestamp;
use crate::domain::token::{Generation, Kind};
use crate::proto::store::{ChangeRecord, CredentialRecord, KeyCheck, KeyringRecord, LastUseRecord};
use crate::proto::v1;

/// The format in which records are written, and the newest that is read.
const FORMAT: u8 = 1;

const CREDENTIAL: u8 = b'c';
const LAST_USE: u8 = b'u';
const KEYRING: u8 = b'k';

/// A key and what it holds; `None`: it was deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A credential.
    Credential(CredentialId, Option<Arc<Credential>>),
    /// The last use of a credential.
    LastUse(CredentialId, Option<LastUse>),
    /// What the keyring must hold.
    Keyring(Option<KeyChecks>),
}

/// The check values of the keys that a store was used with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyChecks {
    /// Those of the peppers.
    pub peppers: Vec<(KeyVersion, CheckValue)>,
    /// Those of the sealing keys.
    pub sealing: Vec<(KeyVersion, CheckValue)>,
}

/// A key or a value that this version of credd can't have written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the record at key {key} can't be read: {what}")]
pub struct UnreadableRecord {
    /// The key, in hexadecimal.
    pub key: String,
    /// What is wrong with it.
    pub what: String,
}

/// The key of a credential.
#[must_use]
pub fn credential_key(id: CredentialId) -> Bytes {
    key_of(CREDENTIAL, id)
}

/// The key of a credential's last use.
#[must_use]
pub fn last_use_key(id: CredentialId) -> Bytes {
    key_of(LAST_USE, id)
}

/// The key of what the keyring must hold.
#[must_use]
pub const fn keyring_key() -> Bytes {
    Bytes::from_static(&[KEYRING])
}

impl Record {
    /// The key of this record.
    #[must_use]
    pub fn key(&self) -> Bytes {
        match self {
            Self::Credential(id, _) => credential_key(*id),
            Self::LastUse(id, _) => last_use_key(*id),
            Self::Keyring(_) => keyring_key(),
        }
    }

    /// The value to store under its key.
    #[must_use]
    pub fn encode(&self) -> Option<Bytes> {
        match self {
            Self::Credential(_, record) => {
                record.as_deref().map(|c| envelope(&credential_record(c)))
            }
            Self::LastUse(_, record) => record.as_ref().map(|last_use| {
                envelope(&LastUseRecord {
                    at_ms: last_use.at.as_millis(),
                    by: text(last_use.by.as_str()),
                })
            }),
            Self::Keyring(record) => record.as_ref().map(|checks| {
                envelope(&KeyringRecord {
                    peppers: key_checks(&checks.peppers),
                    sealing_keys: key_checks(&checks.sealing),
                })
            }),
        }
    }

    /// Reads a key and its value. Names that `names` knows are shared with it.
    ///
    /// # Errors
    ///
    /// [`UnreadableRecord`] for what this version of credd can't have written.
    pub fn decode(
        key: &[u8],
        value: Option<&Bytes>,
        names: &Interner,
    ) -> Result<Self, UnreadableRecord> {
        Self::parse(key, value, names).map_err(|what| UnreadableRecord {
            key: data_encoding::HEXLOWER.encode(key),
            what,
        })
    }

    fn parse(key: &[u8], value: Option<&Bytes>, names: &Interner) -> Result<Self, String> {
        let (&kind, rest) = key.split_first().ok_or("the key is empty")?;
        let id = || {
            let bytes = rest.try_into().map_err(|_| "the key has another length")?;
            Ok::<_, String>(CredentialId::from_bytes(bytes))
        };
        match kind {
            CREDENTIAL => {
                let id = id()?;
                let record = value
                    .map(|value| credential(id, open_envelope(value)?, names).map(Arc::new))
                    .transpose()?;
                Ok(Self::Credential(id, record))
            }
            LAST_USE => {
                let record = value.map(open_envelope::<LastUseRecord>).transpose()?;
                let last_use = record.map(|LastUseRecord { at_ms, by }| {
                    Ok::<_, String>(LastUse {
                        at: Timestamp::from_millis(at_ms),
                        by: Principal::trusted(shared(&by, names)?),
                    })
                });
                Ok(Self::LastUse(id()?, last_use.transpose()?))
            }
            KEYRING if rest.is_empty() => {
                let record = value.map(open_envelope::<KeyringRecord>).transpose()?;
                let checks = record.map(
                    |KeyringRecord {
                         peppers,
                         sealing_keys,
                     }| {
                        Ok::<_, String>(KeyChecks {
                            peppers: read_key_checks(peppers)?,
                            sealing: read_key_checks(sealing_keys)?,
                        })
                    },
                );
                Ok(Self::Keyring(checks.transpose()?))
            }
            _ => Err("a key of a kind that this version of credd does not know".to_owned()),
        }
    }
}

fn key_of(kind: u8, id: CredentialId) -> Bytes {
    let mut key = BytesMut::with_capacity(17);
    key.put_u8(kind);
    key.put_slice(id.as_bytes());
    key.freeze()
}

fn envelope(message: &impl Message) -> Bytes {
    let mut value = BytesMut::with_capacity(1 + message.encoded_len());
    value.put_u8(FORMAT);
    let Ok(()) = message.encode(&mut value) else {
        unreachable!("the buffer grows");
    };
    value.freeze()
}

fn open_envelope<M: Message + Default>(value: &Bytes) -> Result<M, String> {
    match value.first() {
        Some(&FORMAT) => M::decode(value.slice(1..)).map_err(|error| error.to_string()),
        Some(format) => Err(format!(
            "it has format {format}, and this version of credd reads format {FORMAT}"
        )),
        None => Err("it is empty".to_owned()),
    }
}

fn credential_record(credential: &Credential) -> CredentialRecord {
    let Credential {
        id: _, // part of the key
        tenant,
        owner,
        kind,
        label,
        description,
        roles,
        state,
        state_set,
        created_at,
        created_by,
        expires_at,
        generation,
        mac,
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
        generation: generation.number(),
        pepper_version: mac.pepper.0,
        mac: Bytes::copy_from_slice(&mac.tag),
        last_change: Some(change_record(last_change)),
    }
}

fn change_record(change: &Change) -> ChangeRecord {
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

fn credential(
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
        generation,
        pepper_version,
        mac,
        last_change,
    } = record;
    Ok(Credential {
        id,
        tenant: Tenant::trusted(shared(&tenant, names)?),
        owner: Owner::trusted(shared(&owner, names)?),
        kind: kind_of(kind)?,
        label: Label::trusted(utf8(&label)?.into()),
        description: Description::trusted(shared(&description, names)?),
        roles: roles
            .iter()
            .map(|role| Ok(Role::trusted(shared(role, names)?)))
            .collect::<Result<_, String>>()?,
        state: state_of(state)?,
        state_set: (state_revision != 0).then(|| Revision::new(state_revision)),
        created_at: Timestamp::from_millis(created_at_ms),
        created_by: Principal::trusted(shared(&created_by, names)?),
        expires_at: expires_at_ms.map(Timestamp::from_millis),
        generation: Generation::new(generation),
        mac: Mac {
            pepper: KeyVersion(pepper_version),
            tag: (*mac).try_into().map_err(|_| "a MAC of another length")?,
        },
        last_change: change(last_change.ok_or("no last change")?, names)?,
    })
}

fn change(record: ChangeRecord, names: &Interner) -> Result<Change, String> {
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

fn text(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn utf8(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes).map_err(|_| "a text that is not UTF-8".to_owned())
}

/// A text that other records are likely to have as well.
fn shared(bytes: &[u8], names: &Interner) -> Result<Arc<str>, String> {
    let text = utf8(bytes)?;
    let known = names.find(text).map(|symbol| names.resolve(symbol).clone());
    Ok(known.unwrap_or_else(|| text.into()))
}

fn key_checks(checks: &[(KeyVersion, CheckValue)]) -> Vec<KeyCheck> {
    checks
        .iter()
        .map(|(version, check)| KeyCheck {
            version: version.0,
            check: Bytes::copy_from_slice(check),
        })
        .collect()
}

fn read_key_checks(checks: Vec<KeyCheck>) -> Result<Vec<(KeyVersion, CheckValue)>, String> {
    checks
        .into_iter()
        .map(|KeyCheck { version, check }| {
            let check = (*check)
                .try_into()
                .map_err(|_| "a check value of another length")?;
            Ok((KeyVersion(version), check))
        })
        .collect()
}

// The numbers of the contract's enums are also those in the store: they can
// never change either.

fn kind_of(number: i32) -> Result<Kind, String> {
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
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
