//! Records of the keys, and of what was made anew with them.

use bytes::Bytes;

use super::stored;
use crate::domain::keyring::{
    KeyKind, KeyState, KeyStates, KeyVersion, KeyringState, KnownKey, Mac,
};
use crate::domain::rekeyed::{Rekeyed, RekeyedSecret};
use crate::domain::revision::Revision;
use crate::domain::token::Generation;
use crate::proto::v1;

pub(in crate::authority) fn write(state: &KeyringState) -> stored::KeyringRecord {
    let write = |kind| {
        let keys = state.of(kind).iter();
        keys.map(write_key).collect()
    };
    stored::KeyringRecord {
        peppers: write(KeyKind::Pepper),
        sealing_keys: write(KeyKind::Sealing),
    }
}

fn write_key(key: &KnownKey) -> stored::KeyRecord {
    let KnownKey {
        version,
        check,
        state,
        set,
    } = key;
    stored::KeyRecord {
        version: version.0,
        check: Bytes::copy_from_slice(check),
        state: v1::KeyState::from(*state).into(),
        state_revision: set.map_or(0, Revision::number),
    }
}

pub(in crate::authority) fn read(record: stored::KeyringRecord) -> Result<KeyringState, String> {
    let stored::KeyringRecord {
        peppers,
        sealing_keys,
    } = record;
    let read = |keys: Vec<stored::KeyRecord>| {
        let keys: Result<_, String> = keys.into_iter().map(read_key).collect();
        Ok::<_, String>(KeyStates::new(keys?))
    };
    Ok(KeyringState {
        peppers: read(peppers)?,
        sealing: read(sealing_keys)?,
    })
}

fn read_key(record: stored::KeyRecord) -> Result<KnownKey, String> {
    let stored::KeyRecord {
        version,
        check,
        state,
        state_revision,
    } = record;
    Ok(KnownKey {
        version: KeyVersion(version),
        check: (*check)
            .try_into()
            .map_err(|_| "a check value of another length")?,
        state: match v1::KeyState::try_from(state) {
            Ok(v1::KeyState::Unused) => KeyState::Unused,
            Ok(v1::KeyState::Active) => KeyState::Active,
            // One that was recorded before there were states.
            Ok(v1::KeyState::Old | v1::KeyState::Unspecified) => KeyState::Old,
            Ok(v1::KeyState::Retired) => KeyState::Retired,
            Err(_) => return Err(format!("unknown state {state} of a key")),
        },
        set: (state_revision != 0).then(|| Revision::new(state_revision)),
    })
}

pub(super) fn write_rekeyed(rekeyed: &Rekeyed) -> stored::RekeyedRecord {
    let Rekeyed {
        current,
        previous,
        sealed,
    } = rekeyed;
    stored::RekeyedRecord {
        current: Some(write_secret(current)),
        previous: previous.as_ref().map(write_secret),
        sealed_secret: sealed
            .as_deref()
            .map(Bytes::copy_from_slice)
            .unwrap_or_default(),
    }
}

fn write_secret(secret: &RekeyedSecret) -> stored::RekeyedSecretRecord {
    let RekeyedSecret { generation, mac } = secret;
    stored::RekeyedSecretRecord {
        generation: generation.number(),
        pepper_version: mac.pepper.0,
        mac: Bytes::copy_from_slice(&mac.tag),
    }
}

pub(super) fn read_rekeyed(record: stored::RekeyedRecord) -> Result<Rekeyed, String> {
    let stored::RekeyedRecord {
        current,
        previous,
        sealed_secret,
    } = record;
    Ok(Rekeyed {
        current: read_secret(&current.ok_or("no secret")?)?,
        previous: previous.as_ref().map(read_secret).transpose()?,
        sealed: (!sealed_secret.is_empty()).then(|| (*sealed_secret).into()),
    })
}

fn read_secret(record: &stored::RekeyedSecretRecord) -> Result<RekeyedSecret, String> {
    let stored::RekeyedSecretRecord {
        generation,
        pepper_version,
        mac,
    } = record;
    Ok(RekeyedSecret {
        generation: Generation::new(*generation),
        mac: Mac {
            pepper: KeyVersion(*pepper_version),
            tag: (**mac).try_into().map_err(|_| "a MAC of another length")?,
        },
    })
}

impl From<KeyState> for v1::KeyState {
    fn from(state: KeyState) -> Self {
        match state {
            KeyState::Unused => Self::Unused,
            KeyState::Active => Self::Active,
            KeyState::Old => Self::Old,
            KeyState::Retired => Self::Retired,
        }
    }
}
