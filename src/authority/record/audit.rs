//! Records of the audit log.
//!
//! Only who reads the log reads them: to the index and to Watch they are bytes.

use bytes::Bytes;
use prost::Message as _;

use super::{envelope, id_of, open_envelope, text, utf8};
use crate::domain::audit::{ChainNumber, Entry, Event, Hash, Head, KnownBy, Payload, Subject};
use crate::domain::id::CredentialId;
use crate::domain::revision::Revision;
use crate::domain::time::Timestamp;
use crate::proto::store as stored;
use crate::proto::v1::AuditKnownBy;

/// What the keys of the audit log begin with.
pub(super) const AUDIT: u8 = b'a';

/// A key of the audit log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditKey {
    /// Where a chain begins.
    Anchor(ChainNumber),
    /// A record of a chain, by its number.
    Entry(ChainNumber, u64),
}

/// A record of the audit log, with what the store says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRecord {
    /// The record.
    pub entry: Entry,
    /// The commit that wrote it first, if it was written again: it was erased.
    pub revision: Option<Revision>,
}

impl AuditKey {
    /// Its bytes.
    #[must_use]
    pub fn to_bytes(self) -> Bytes {
        match self {
            Self::Anchor(chain) => super::key_of(AUDIT, &[&chain.0.to_be_bytes()]),
            Self::Entry(chain, sequence) => {
                super::key_of(AUDIT, &[&chain.0.to_be_bytes(), &sequence.to_be_bytes()])
            }
        }
    }

    /// The key of these bytes, if they are those of the audit log.
    #[must_use]
    pub fn of(key: &[u8]) -> Option<Self> {
        match key.split_first() {
            Some((&AUDIT, rest)) => Self::parse(rest).ok(),
            _ => None,
        }
    }

    pub(super) fn parse(rest: &[u8]) -> Result<Self, String> {
        let number = |bytes: &[u8; 8]| u64::from_be_bytes(*bytes);
        let (chain, rest) = rest.split_first_chunk().ok_or(super::OTHER_LENGTH)?;
        let chain = ChainNumber(number(chain));
        match rest {
            [] => Ok(Self::Anchor(chain)),
            rest => {
                let sequence = rest.try_into().map_err(|_| super::OTHER_LENGTH)?;
                Ok(Self::Entry(chain, u64::from_be_bytes(sequence)))
            }
        }
    }
}

/// The value of a record.
#[must_use]
pub fn write_entry(record: &AuditRecord) -> Bytes {
    let AuditRecord { entry, revision } = record;
    let Entry {
        sequence,
        at,
        previous,
        payload_hash,
        hash,
        payload,
    } = entry;
    let (salt, payload) = payload.as_ref().map_or_else(
        || (Bytes::new(), Bytes::new()),
        |payload| (Bytes::copy_from_slice(&payload.salt), payload.bytes.clone()),
    );
    envelope(&stored::AuditRecord {
        sequence: *sequence,
        at_ms: at.as_millis(),
        previous_hash: Bytes::copy_from_slice(&previous.0),
        payload_hash: Bytes::copy_from_slice(&payload_hash.0),
        hash: Bytes::copy_from_slice(&hash.0),
        salt,
        payload,
        revision: revision.map_or(0, Revision::number),
    })
}

/// The record of a value.
///
/// # Errors
///
/// What is wrong with it.
pub fn read_entry(value: &Bytes) -> Result<AuditRecord, String> {
    let stored::AuditRecord {
        sequence,
        at_ms,
        previous_hash,
        payload_hash,
        hash,
        salt,
        payload,
        revision,
    } = open_envelope(value)?;
    let payload = if salt.is_empty() && payload.is_empty() {
        None
    } else {
        let salt = (*salt).try_into().map_err(|_| "a salt of another length")?;
        Some(Payload {
            salt,
            bytes: payload,
        })
    };
    Ok(AuditRecord {
        entry: Entry {
            sequence,
            at: Timestamp::from_millis(at_ms),
            previous: read_hash(&previous_hash)?,
            payload_hash: read_hash(&payload_hash)?,
            hash: read_hash(&hash)?,
            payload,
        },
        revision: (revision != 0).then(|| Revision::new(revision)),
    })
}

/// The value of the place where a chain begins.
#[must_use]
pub fn write_anchor(anchor: &Head) -> Bytes {
    envelope(&stored_anchor(anchor))
}

/// The place of a value.
///
/// # Errors
///
/// What is wrong with it.
pub fn read_anchor(value: &Bytes) -> Result<Head, String> {
    anchor_of(open_envelope(value)?)
}

pub(super) fn stored_anchor(anchor: &Head) -> stored::AuditAnchorRecord {
    let Head { sequence, hash } = anchor;
    stored::AuditAnchorRecord {
        sequence: *sequence,
        hash: Bytes::copy_from_slice(&hash.0),
    }
}

pub(super) fn anchor_of(record: stored::AuditAnchorRecord) -> Result<Head, String> {
    let stored::AuditAnchorRecord { sequence, hash } = record;
    Ok(Head {
        sequence,
        hash: read_hash(&hash)?,
    })
}

fn read_hash(bytes: &[u8]) -> Result<Hash, String> {
    let hash = bytes.try_into().map_err(|_| "a hash of another length")?;
    Ok(Hash(hash))
}

/// An event as the payload of a record.
#[must_use]
pub fn write_event(event: &Event) -> Bytes {
    let Event {
        action,
        principal,
        on_behalf_of,
        known_by,
        address,
        request_id,
        subject,
        reason,
        outcome,
        dry_run,
        details,
        client_address,
        client_request_id,
        count,
        first,
        last,
        erased,
        begins,
    } = event;
    let Subject {
        tenant,
        owner,
        profile,
        role,
        principal: bound_principal,
        credentials,
    } = subject;
    let id = |id: &CredentialId| Bytes::copy_from_slice(id.as_bytes());
    let (known_by, caller) = match known_by {
        KnownBy::Nobody => (AuditKnownBy::Unspecified, Bytes::new()),
        KnownBy::System => (AuditKnownBy::System, Bytes::new()),
        KnownBy::Credential(by) => (AuditKnownBy::Credential, id(by)),
        KnownBy::Token => (AuditKnownBy::Token, Bytes::new()),
        KnownBy::Certificate => (AuditKnownBy::Certificate, Bytes::new()),
    };
    let payload = stored::AuditPayload {
        action: text(action),
        principal: text(principal),
        on_behalf_of: text(on_behalf_of),
        known_by: known_by.into(),
        caller_credential_id: caller,
        address: text(address),
        request_id: text(request_id),
        tenant: text(tenant),
        owner: text(owner),
        profile: text(profile),
        role: text(role),
        bound_principal: text(bound_principal),
        credential_ids: credentials.iter().map(id).collect(),
        reason: text(reason),
        outcome: text(outcome),
        dry_run: *dry_run,
        details: text(details),
        client_address: text(client_address),
        client_request_id: text(client_request_id),
        count: *count,
        first_at_ms: first.as_millis(),
        last_at_ms: last.as_millis(),
        erased: erased.clone(),
        begins: begins.as_ref().map(stored_anchor),
    };
    payload.encode_to_vec().into()
}

/// The event of a payload.
///
/// # Errors
///
/// What is wrong with it.
pub fn read_event(payload: &Bytes) -> Result<Event, String> {
    let payload = stored::AuditPayload::decode(payload.clone());
    let stored::AuditPayload {
        action,
        principal,
        on_behalf_of,
        known_by,
        caller_credential_id,
        address,
        request_id,
        tenant,
        owner,
        profile,
        role,
        bound_principal,
        credential_ids,
        reason,
        outcome,
        dry_run,
        details,
        client_address,
        client_request_id,
        count,
        first_at_ms,
        last_at_ms,
        erased,
        begins,
    } = payload.map_err(|error| error.to_string())?;
    let text = |bytes: &Bytes| utf8(bytes).map(str::to_owned);
    let known_by = match AuditKnownBy::try_from(known_by) {
        Ok(AuditKnownBy::Unspecified) => KnownBy::Nobody,
        Ok(AuditKnownBy::System) => KnownBy::System,
        Ok(AuditKnownBy::Credential) => KnownBy::Credential(id_of(&caller_credential_id)?),
        Ok(AuditKnownBy::Token) => KnownBy::Token,
        Ok(AuditKnownBy::Certificate) => KnownBy::Certificate,
        Err(_) => return Err("a way to know a caller that is none".to_owned()),
    };
    let credentials = credential_ids.iter().map(|id| id_of(id));
    Ok(Event {
        action: text(&action)?,
        principal: text(&principal)?,
        on_behalf_of: text(&on_behalf_of)?,
        known_by,
        address: text(&address)?,
        request_id: text(&request_id)?,
        subject: Subject {
            tenant: text(&tenant)?,
            owner: text(&owner)?,
            profile: text(&profile)?,
            role: text(&role)?,
            principal: text(&bound_principal)?,
            credentials: credentials.collect::<Result<_, _>>()?,
        },
        reason: text(&reason)?,
        outcome: text(&outcome)?,
        dry_run,
        details: text(&details)?,
        client_address: text(&client_address)?,
        client_request_id: text(&client_request_id)?,
        count,
        first: Timestamp::from_millis(first_at_ms),
        last: Timestamp::from_millis(last_at_ms),
        erased,
        begins: begins.map(anchor_of).transpose()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::audit::{MOST_CREDENTIALS, MOST_ERASED};
    use crate::store::MAX_VALUE_BYTES;

    /// An event in which everything is longer than it may be.
    fn largest() -> Event {
        let long = || "é".repeat(2000);
        let event = Event::new(&long(), &long(), Timestamp::MAX);
        Event {
            principal: long(),
            on_behalf_of: long(),
            known_by: KnownBy::Credential(CredentialId::MAX),
            address: long(),
            request_id: long(),
            subject: Subject {
                tenant: long(),
                owner: long(),
                profile: long(),
                role: long(),
                principal: long(),
                credentials: vec![CredentialId::MAX; 2 * MOST_CREDENTIALS],
            },
            reason: long(),
            dry_run: true,
            details: long(),
            client_address: long(),
            client_request_id: long(),
            count: u64::MAX,
            ..event
        }
    }

    #[test]
    fn the_largest_event_fits_in_a_value_and_is_read_as_it_was_written() {
        fits(largest());
        fits(Event {
            erased: vec![u64::MAX; 2 * MOST_ERASED],
            ..largest()
        });
        let begins = Head {
            sequence: u64::MAX,
            hash: Hash([0xff; 32]),
        };
        fits(Event {
            begins: Some(begins),
            ..largest()
        });
    }

    fn fits(event: Event) {
        let event = event.fit();
        let bytes = write_event(&event);
        assert_eq!(read_event(&bytes), Ok(event));
        let head = Head {
            sequence: u64::MAX - 1,
            hash: Hash([0xff; 32]),
        };
        let payload = Payload {
            salt: [0xff; 32],
            bytes,
        };
        let entry = Entry::after(ChainNumber(u64::MAX), &head, Timestamp::MAX, payload);
        let record = AuditRecord {
            entry,
            revision: Some(Revision::new(u64::MAX)),
        };
        let value = write_entry(&record);
        assert!(value.len() <= MAX_VALUE_BYTES, "{} bytes", value.len());
        assert_eq!(read_entry(&value), Ok(record.clone()));
        let erased = AuditRecord {
            entry: record.entry.erased(),
            ..record
        };
        assert_eq!(read_entry(&write_entry(&erased)), Ok(erased));
    }

    #[test]
    fn the_anchor_comes_before_the_records_of_its_chain_and_after_those_before() {
        let (first, second) = (ChainNumber(0), ChainNumber(1));
        let keys = [
            AuditKey::Anchor(first),
            AuditKey::Entry(first, 0),
            AuditKey::Entry(first, 255),
            AuditKey::Entry(first, u64::MAX),
            AuditKey::Anchor(second),
            AuditKey::Entry(second, 1),
        ];
        let bytes = keys.map(AuditKey::to_bytes);
        assert!(bytes.is_sorted());
        for (key, bytes) in keys.iter().zip(&bytes) {
            assert_eq!(AuditKey::of(bytes), Some(*key));
        }
        for none in [&b"a"[..], b"a1234567", b"a123456789", b"b12345678", b""] {
            assert_eq!(AuditKey::of(none), None);
        }
        let anchor = Head {
            sequence: 7,
            hash: Hash([1; 32]),
        };
        assert_eq!(read_anchor(&write_anchor(&anchor)), Ok(anchor));
    }
}
