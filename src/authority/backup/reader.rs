//! Reading a backup.

use std::io::Read;

use bytes::Bytes;
use prost::Message as _;
use ring::digest::{Context, SHA256};

use super::error::{BackupError, InvalidBackup, Problem};
use super::frame::{FORMAT, Frame, Kind, MAGIC, fill};
use super::{End, Header, Item, Purpose};
use crate::authority::record::keyring;
use crate::domain::keyring::KeyVersion;
use crate::domain::revision::{ChainHash, Position, Revision, StoreId};
use crate::domain::time::Timestamp;
use crate::proto::store as stored;
use crate::store::{MAX_KEY_BYTES, MAX_VALUE_BYTES};

/// Reads a backup, a part at a time. What it gives was as it was written, but for the
/// order of parts: that is known only when the end was reached.
pub struct Reader<R> {
    input: R,
    hash: Context,
    header: Header,
    /// How much was read.
    at: u64,
    items: u64,
    latest: Revision,
    end: Option<End>,
}

impl<R: Read> Reader<R> {
    /// Reads the beginning of a backup.
    ///
    /// # Errors
    ///
    /// [`BackupError`] if it is none, or none that this version of credd reads.
    pub fn open(mut input: R) -> Result<Self, BackupError> {
        let mut begin = [0; MAGIC.len() + size_of::<u32>()];
        let filled = fill(&mut input, &mut begin)?;
        let (magic, format) = begin.split_at(MAGIC.len());
        let is_ours = magic.starts_with(&MAGIC[..filled.min(MAGIC.len())]);
        if !is_ours || filled == 0 {
            return Err(Problem::NotABackup.at(0).into());
        }
        if filled < begin.len() {
            return Err(Problem::Cut.at(0).into());
        }
        let mut number = [0; 4];
        number.copy_from_slice(format);
        match u32::from_be_bytes(number) {
            FORMAT => (),
            0 => return Err(Problem::Changed.at(0).into()),
            newer => return Err(Problem::NewerFormat(newer).at(0).into()),
        }
        let at = begin.len() as u64;
        let frame = Frame::read(&mut input, at)?;
        let frame = frame.ok_or(Problem::Cut.at(at))?;
        if frame.kind != Kind::Header {
            return Err(Problem::Misplaced.at(at).into());
        }
        let header = read_header(frame.message()).map_err(|what| Problem::Garbled(what).at(at))?;
        let mut hash = Context::new(&SHA256);
        hash.update(&begin);
        hash.update(frame.bytes());
        Ok(Self {
            input,
            hash,
            header,
            at: at + frame.bytes().len() as u64,
            items: 0,
            latest: Revision::ZERO,
            end: None,
        })
    }

    /// What it is of.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// How many bytes were read.
    pub const fn read_bytes(&self) -> u64 {
        self.at
    }

    /// How it ends, once that was reached.
    pub const fn end(&self) -> Option<&End> {
        self.end.as_ref()
    }

    /// The next keys, and where they stand; `None`: that was all, and all of it is as
    /// it was written.
    ///
    /// # Errors
    ///
    /// [`BackupError`]; there is nothing to go on to.
    pub fn next_part(&mut self) -> Result<Option<(u64, Vec<Item>)>, BackupError> {
        if self.end.is_some() {
            return Ok(None);
        }
        let at = self.at;
        let frame = Frame::read(&mut self.input, at)?;
        let frame = frame.ok_or(Problem::Cut.at(at))?;
        self.at += frame.bytes().len() as u64;
        match frame.kind {
            Kind::Header => Err(Problem::Misplaced.at(at).into()),
            Kind::Part => {
                self.hash.update(frame.bytes());
                let items = self.part(&frame)?;
                Ok(Some((at, items)))
            }
            Kind::Trailer => {
                self.trailer(&frame)?;
                Ok(None)
            }
        }
    }

    fn part(&mut self, frame: &Frame) -> Result<Vec<Item>, InvalidBackup> {
        let garbled = |what| Problem::Garbled(what).at(frame.at);
        let message = Bytes::copy_from_slice(frame.message());
        let part = stored::BackupPart::decode(message).map_err(|_| garbled(NO_MESSAGE))?;
        let stored::BackupPart { items } = part;
        if items.is_empty() {
            return Err(garbled("it has no keys"));
        }
        let mut read = Vec::with_capacity(items.len());
        for item in items {
            let stored::BackupItem {
                key,
                revision,
                value,
            } = item;
            let length = value.as_ref().map_or(0, Bytes::len);
            if key.is_empty() || key.len() > MAX_KEY_BYTES || length > MAX_VALUE_BYTES {
                return Err(garbled("a key or a value has a length that none has"));
            }
            let revision = Revision::new(revision);
            if revision == Revision::ZERO {
                return Err(garbled("no commit wrote a key"));
            }
            self.latest = self.latest.max(revision);
            self.items += 1;
            read.push(Item {
                key,
                revision,
                value,
            });
        }
        Ok(read)
    }

    fn trailer(&mut self, frame: &Frame) -> Result<(), BackupError> {
        let at = frame.at;
        let end = read_trailer(frame.message()).map_err(|what| Problem::Garbled(what).at(at))?;
        let hash = self.hash.clone().finish();
        if hash.as_ref() != end.sha256 || self.items != end.items {
            return Err(Problem::Sum.at(at).into());
        }
        if self.latest > end.position.revision {
            let what = "a key is of a later commit than the backup";
            return Err(Problem::Garbled(what).at(at).into());
        }
        if fill(&mut self.input, &mut [0])? > 0 {
            return Err(Problem::More.at(self.at).into());
        }
        self.end = Some(end);
        Ok(())
    }
}

const NO_MESSAGE: &str = "it is no message";

fn read_header(message: &[u8]) -> Result<Header, &'static str> {
    let message = Bytes::copy_from_slice(message);
    let stored::BackupHeader {
        store_id,
        at_ms,
        begun_at,
        keyring,
        export,
    } = stored::BackupHeader::decode(message).map_err(|_| NO_MESSAGE)?;
    let store = (*store_id).try_into().map_err(|_| "the id of its store")?;
    let keyring = keyring.map(keyring::read).transpose();
    Ok(Header {
        purpose: if export {
            Purpose::Export
        } else {
            Purpose::Backup
        },
        store: StoreId::from_bytes(store),
        at: Timestamp::from_millis(at_ms),
        begun_at: Revision::new(begun_at),
        keyring: keyring.map_err(|_| "the keys that it needs")?,
    })
}

fn read_trailer(message: &[u8]) -> Result<End, &'static str> {
    let message = Bytes::copy_from_slice(message);
    let stored::BackupTrailer {
        revision,
        chain,
        items,
        sha256,
        key_version,
        mac,
    } = stored::BackupTrailer::decode(message).map_err(|_| NO_MESSAGE)?;
    let hash = |bytes: &[u8]| bytes.try_into().map_err(|_| "a hash of another length");
    Ok(End {
        position: Position {
            revision: Revision::new(revision),
            chain: ChainHash(hash(&chain)?),
        },
        items,
        sha256: hash(&sha256)?,
        key: KeyVersion(key_version),
        mac: hash(&mac)?,
    })
}

impl<R> std::fmt::Debug for Reader<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader")
            .field("header", &self.header)
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}
