//! Records that cover one another.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use data_encoding::HEXLOWER;
use ring::digest::{Context, SHA256};

use crate::domain::revision::StoreId;
use crate::domain::time::Timestamp;

const GENESIS_LABEL: &[u8] = b"credd.audit.genesis.v1";
const RECORD_LABEL: &[u8] = b"credd.audit.record.v1";
const PAYLOAD_LABEL: &[u8] = b"credd.audit.payload.v1";

/// How long a salt is: as long as the hash, so that it can't be guessed either.
pub const SALT_BYTES: usize = 32;

/// The number of a chain. A store has one, however many servers write to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChainNumber(pub u64);

impl ChainNumber {
    /// The one that every store has.
    pub const FIRST: Self = Self(0);
}

/// A SHA-256 hash of the chain.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Hash(pub [u8; 32]);

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is not a hash as it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected 64 lower-case hexadecimal digits")]
pub struct NotAHash;

impl FromStr for Hash {
    type Err = NotAHash;

    fn from_str(text: &str) -> Result<Self, NotAHash> {
        let bytes = HEXLOWER.decode(text.as_bytes()).map_err(|_| NotAHash)?;
        bytes.try_into().map(Self).map_err(|_| NotAHash)
    }
}

/// Up to where a chain reaches: the number of a record and its hash, which covers
/// every record up to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The number of the record; 0: before the first.
    pub sequence: u64,
    /// Its hash.
    pub hash: Hash,
}

impl Head {
    /// Where a chain of a store begins. No two stores' chains begin alike, so that
    /// no record of one passes for one of another.
    #[must_use]
    pub fn genesis(store: StoreId, chain: ChainNumber) -> Self {
        let hash = hash(&[GENESIS_LABEL, store.as_bytes(), &chain.0.to_be_bytes()]);
        Self { sequence: 0, hash }
    }
}

/// What a record says, and the salt that keeps it from being guessed from its hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// Random bytes, for this payload alone.
    pub salt: [u8; SALT_BYTES],
    /// What it says.
    pub bytes: Bytes,
}

impl Payload {
    fn hash(&self) -> Hash {
        hash(&[PAYLOAD_LABEL, &self.salt, &self.bytes])
    }
}

/// A record of the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number: one more than that of the record before it.
    pub sequence: u64,
    /// When it was written.
    pub at: Timestamp,
    /// The hash of the record before it.
    pub previous: Hash,
    /// The hash of its payload and salt; it stays when they are erased.
    pub payload_hash: Hash,
    /// Its own hash, over all of the above and the number of the chain.
    pub hash: Hash,
    /// `None`: it was erased.
    pub payload: Option<Payload>,
}

impl Entry {
    /// The record that follows a head.
    #[must_use]
    pub fn after(chain: ChainNumber, head: &Head, at: Timestamp, payload: Payload) -> Self {
        let mut entry = Self {
            sequence: head.sequence + 1,
            at,
            previous: head.hash,
            payload_hash: payload.hash(),
            hash: Hash::default(),
            payload: Some(payload),
        };
        entry.hash = entry.computed(chain);
        entry
    }

    /// The head of a chain that ends with it.
    #[must_use]
    pub const fn head(&self) -> Head {
        Head {
            sequence: self.sequence,
            hash: self.hash,
        }
    }

    /// The same record without its payload.
    #[must_use]
    pub fn erased(self) -> Self {
        Self {
            payload: None,
            ..self
        }
    }

    /// Whether its hash is that of its header.
    #[must_use]
    pub fn header_holds(&self, chain: ChainNumber) -> bool {
        self.hash == self.computed(chain)
    }

    /// Whether its payload, if it has one, is what was written.
    #[must_use]
    pub fn payload_holds(&self) -> bool {
        let payload = self.payload.as_ref();
        payload.is_none_or(|payload| payload.hash() == self.payload_hash)
    }

    fn computed(&self, chain: ChainNumber) -> Hash {
        hash(&[
            RECORD_LABEL,
            &chain.0.to_be_bytes(),
            &self.sequence.to_be_bytes(),
            &self.previous.0,
            &self.at.as_millis().to_be_bytes(),
            &self.payload_hash.0,
        ])
    }
}

/// SHA-256 of parts, all of which but the last have a fixed length.
fn hash(parts: &[&[u8]]) -> Hash {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    Hash(hash)
}
