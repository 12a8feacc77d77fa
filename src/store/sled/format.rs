//! What is stored under which key.
//!
//! All of it is in one tree, so that one batch of sled covers it. Numbers are
//! big-endian.
//!
//! | key | value |
//! | --- | --- |
//! | `0` `"format"` | format: 4, store id: 16 |
//! | `0` `"head"` | revision: 8, chain: 32, number of keys: 8, digest of the keys: 16 |
//! | `0` `"floor"` | revision: 8, chain: 32 |
//! | `1` key | revision that wrote it: 8, value |
//! | `2` revision: 8, part: 4 | a part of a commit (see [`super::log`]) |

use ::sled::IVec;
use bytes::Bytes;

use super::error::Fault;
use crate::domain::revision::{ChainHash, Position, Revision, StoreId};
use crate::store::{Contents, Entry, KeyRange};

/// The format that this version writes, and the latest that it reads.
pub(super) const FORMAT: u32 = 1;

pub(super) const FORMAT_KEY: &[u8] = b"\0format";
pub(super) const HEAD_KEY: &[u8] = b"\0head";
pub(super) const FLOOR_KEY: &[u8] = b"\0floor";

const DATA: u8 = 1;
const LOG: u8 = 2;

/// What the last commit left behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) position: Position,
    pub(super) contents: Contents,
}

impl Head {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = encode_position(&self.position);
        bytes.extend(self.contents.keys.to_be_bytes());
        bytes.extend(self.contents.digest.to_be_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Fault> {
        let mut reader = Reader::new("the head", bytes);
        let head = Self {
            position: reader.position()?,
            contents: Contents {
                keys: u64::from_be_bytes(reader.array()?),
                digest: u128::from_be_bytes(reader.array()?),
            },
        };
        reader.finish(head)
    }
}

/// The format number alone: the rest belongs to that format.
pub(super) fn decode_format_number(bytes: &[u8]) -> Result<u32, Fault> {
    Ok(u32::from_be_bytes(
        Reader::new("the format", bytes).array()?,
    ))
}

pub(super) fn encode_format(id: StoreId) -> Vec<u8> {
    let mut bytes = FORMAT.to_be_bytes().to_vec();
    bytes.extend(id.as_bytes());
    bytes
}

pub(super) fn decode_store_id(bytes: &[u8]) -> Result<StoreId, Fault> {
    let mut reader = Reader::new("the store id", bytes);
    let _number: [u8; 4] = reader.array()?;
    let id = StoreId::from_bytes(reader.array()?);
    reader.finish(id)
}

pub(super) fn encode_position(position: &Position) -> Vec<u8> {
    let mut bytes = position.revision.number().to_be_bytes().to_vec();
    bytes.extend(position.chain.0);
    bytes
}

pub(super) fn decode_position(bytes: &[u8]) -> Result<Position, Fault> {
    let mut reader = Reader::new("a position", bytes);
    let position = reader.position()?;
    reader.finish(position)
}

pub(super) fn data_key(key: &[u8]) -> Vec<u8> {
    [&[DATA], key].concat()
}

/// Where the data keys of a range begin and where they have ended.
pub(super) fn data_range(range: &KeyRange) -> (Vec<u8>, Vec<u8>) {
    let end = range.end.as_ref();
    (
        data_key(&range.start),
        end.map_or_else(|| vec![DATA + 1], |end| data_key(end)),
    )
}

pub(super) fn data_value(revision: Revision, value: &[u8]) -> Vec<u8> {
    [&revision.number().to_be_bytes(), value].concat()
}

/// The revision that a stored value begins with.
pub(super) fn decode_revision(value: &[u8]) -> Result<Revision, Fault> {
    let mut reader = Reader::new("a value", value);
    Ok(Revision::new(u64::from_be_bytes(reader.array()?)))
}

/// The entry of a pair from the [`data_range`]. It shares the bytes that sled
/// read, which are not those of any other pair.
pub(super) fn decode_entry(key: IVec, value: IVec) -> Result<Entry, Fault> {
    let revision = decode_revision(&value)?;
    let without = |bytes: IVec, prefix: usize| Bytes::from_owner(bytes).split_off(prefix);
    Ok(Entry {
        key: without(key, 1),
        revision,
        value: without(value, size_of::<u64>()),
    })
}

pub(super) fn log_key(revision: Revision, part: u32) -> Vec<u8> {
    let mut key = log_prefix(revision);
    key.extend(part.to_be_bytes());
    key
}

/// Before every part of this commit, and after every part of those before it.
pub(super) fn log_prefix(revision: Revision) -> Vec<u8> {
    let mut key = vec![LOG];
    key.extend(revision.number().to_be_bytes());
    key
}

pub(super) fn decode_log_key(key: &[u8]) -> Result<(Revision, u32), Fault> {
    let mut reader = Reader::new("a key of the log", key);
    let _log: [u8; 1] = reader.array()?;
    let revision = Revision::new(u64::from_be_bytes(reader.array()?));
    let part = u32::from_be_bytes(reader.array()?);
    reader.finish((revision, part))
}

/// Takes apart what has parts of fixed length.
struct Reader<'a> {
    what: &'static str,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn new(what: &'static str, bytes: &'a [u8]) -> Self {
        Self { what, rest: bytes }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let Some((array, rest)) = self.rest.split_first_chunk() else {
            return Err(Fault::Damaged(format!("{} is too short", self.what)));
        };
        self.rest = rest;
        Ok(*array)
    }

    fn position(&mut self) -> Result<Position, Fault> {
        Ok(Position {
            revision: Revision::new(u64::from_be_bytes(self.array()?)),
            chain: ChainHash(self.array()?),
        })
    }

    fn finish<T>(self, read: T) -> Result<T, Fault> {
        if self.rest.is_empty() {
            Ok(read)
        } else {
            Err(Fault::Damaged(format!("{} is too long", self.what)))
        }
    }
}
