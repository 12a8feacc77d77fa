//! The record of a request that was carried out.

use bytes::Bytes;

use super::{UnreadableRecord, envelope, id_of, open_envelope, stored};
use crate::domain::id::CredentialId;
use crate::domain::keyring::{KeyVersion, sealed_under};
use crate::domain::time::Timestamp;
use crate::domain::token::Generation;

/// A MAC of a caller and the id that it gave a request.
pub type RequestName = [u8; 32];

/// A request that was carried out, as credd keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestRecord {
    /// The version of the sealing key that its name is under.
    pub key: KeyVersion,
    /// A MAC of all that was asked.
    pub asked: [u8; 32],
    /// When it was carried out.
    pub at: Timestamp,
    /// The credential that it issued or rotated.
    pub credential: CredentialId,
    /// The number of the secret that it made.
    pub generation: Generation,
    /// The secret, sealed for who knows the request's id.
    pub sealed: Vec<u8>,
    /// The credentials that it replaced.
    pub replaced: Vec<CredentialId>,
}

impl RequestRecord {
    /// The versions of the sealing key without which it is of no use.
    pub fn keys(&self) -> impl Iterator<Item = KeyVersion> {
        let sealed = sealed_under(&self.sealed).filter(|sealed| *sealed != self.key);
        std::iter::once(self.key).chain(sealed)
    }
}

/// The value of a request without the secret that it was answered with.
///
/// # Errors
///
/// [`UnreadableRecord`] for what this version of credd can't have written.
pub fn without_answer(key: &[u8], value: &Bytes) -> Result<Bytes, UnreadableRecord> {
    let request = open_envelope::<stored::RequestRecord>(value);
    let request = request.map_err(|what| UnreadableRecord::at(key, what))?;
    let key_version = match request.key_version {
        0 => sealed_under(&request.sealed_secret).map_or(0, |version| version.0),
        version => version,
    };
    Ok(envelope(&stored::RequestRecord {
        sealed_secret: Bytes::new(),
        key_version,
        ..request
    }))
}

pub(super) fn write(record: &RequestRecord) -> stored::RequestRecord {
    let RequestRecord {
        key,
        asked,
        at,
        credential,
        generation,
        sealed,
        replaced,
    } = record;
    stored::RequestRecord {
        request_mac: Bytes::copy_from_slice(asked),
        at_ms: at.as_millis(),
        credential_id: Bytes::copy_from_slice(credential.as_bytes()),
        generation: generation.number(),
        sealed_secret: Bytes::copy_from_slice(sealed),
        replaced: replaced
            .iter()
            .map(|id| Bytes::copy_from_slice(id.as_bytes()))
            .collect(),
        key_version: key.0,
    }
}

pub(super) fn read(record: stored::RequestRecord) -> Result<RequestRecord, String> {
    let stored::RequestRecord {
        request_mac,
        at_ms,
        credential_id,
        generation,
        sealed_secret,
        replaced,
        key_version,
    } = record;
    let key = match key_version {
        0 => sealed_under(&sealed_secret).unwrap_or(KeyVersion(1)),
        version => KeyVersion(version),
    };
    Ok(RequestRecord {
        key,
        asked: (*request_mac)
            .try_into()
            .map_err(|_| "a MAC of another length")?,
        at: Timestamp::from_millis(at_ms),
        credential: id_of(&credential_id)?,
        generation: Generation::new(generation),
        sealed: sealed_secret.to_vec(),
        replaced: replaced
            .iter()
            .map(|id| id_of(id))
            .collect::<Result<_, _>>()?,
    })
}
