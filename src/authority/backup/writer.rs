//! Writing a backup.

use std::io::{self, Write};

use bytes::Bytes;
use prost::Message as _;
use ring::digest::{Context, SHA256};

use super::frame::{FORMAT, Kind, MAGIC, frame};
use super::{End, Header, Item, Purpose, said};
use crate::authority::record::keyring;
use crate::domain::keyring::Keyring;
use crate::domain::revision::Position;
use crate::proto::store as stored;

/// How many bytes of keys and values make a part, and how many keys.
const PART_BYTES: usize = 256 << 10;
const PART_ITEMS: usize = 1024;

/// Writes a backup, a part at a time.
pub struct Writer<W> {
    output: W,
    hash: Context,
    part: stored::BackupPart,
    bytes: usize,
    items: u64,
}

impl<W: Write> Writer<W> {
    /// Begins a backup.
    ///
    /// # Errors
    ///
    /// Those of the output.
    pub fn begin(output: W, header: &Header) -> io::Result<Self> {
        let Header {
            purpose,
            store,
            at,
            begun_at,
            keyring,
        } = header;
        let message = stored::BackupHeader {
            store_id: Bytes::copy_from_slice(store.as_bytes()),
            at_ms: at.as_millis(),
            begun_at: begun_at.number(),
            keyring: keyring.as_ref().map(keyring::write),
            export: *purpose == Purpose::Export,
        };
        let mut writer = Self {
            output,
            hash: Context::new(&SHA256),
            part: stored::BackupPart::default(),
            bytes: 0,
            items: 0,
        };
        writer.write(MAGIC)?;
        writer.write(&FORMAT.to_be_bytes())?;
        writer.write(&frame(Kind::Header, &message.encode_to_vec()))?;
        Ok(writer)
    }

    /// Adds a key.
    ///
    /// # Errors
    ///
    /// Those of the output.
    pub fn put(&mut self, item: Item) -> io::Result<()> {
        let Item {
            key,
            revision,
            value,
        } = item;
        self.bytes += key.len() + value.as_ref().map_or(0, Bytes::len);
        self.items += 1;
        self.part.items.push(stored::BackupItem {
            key,
            revision: revision.number(),
            value,
        });
        if self.bytes >= PART_BYTES || self.part.items.len() >= PART_ITEMS {
            self.end_part()?;
        }
        Ok(())
    }

    /// Ends the backup: it is the store as of this position. Returns the output.
    ///
    /// # Errors
    ///
    /// Those of the output.
    pub fn finish(mut self, position: Position, keyring: &Keyring) -> io::Result<(W, End)> {
        self.end_part()?;
        let Self {
            mut output,
            hash,
            items,
            ..
        } = self;
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(hash.finish().as_ref());
        let (key, mac) = keyring.mac_of_backup(&said(&position, items, &sha256));
        let message = stored::BackupTrailer {
            revision: position.revision.number(),
            chain: Bytes::copy_from_slice(&position.chain.0),
            items,
            sha256: Bytes::copy_from_slice(&sha256),
            key_version: key.0,
            mac: Bytes::copy_from_slice(&mac),
        };
        output.write_all(&frame(Kind::Trailer, &message.encode_to_vec()))?;
        output.flush()?;
        let end = End {
            position,
            items,
            sha256,
            key,
            mac,
        };
        Ok((output, end))
    }

    fn end_part(&mut self) -> io::Result<()> {
        let part = std::mem::take(&mut self.part);
        self.bytes = 0;
        if part.items.is_empty() {
            return Ok(());
        }
        self.write(&frame(Kind::Part, &part.encode_to_vec()))
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hash.update(bytes);
        self.output.write_all(bytes)
    }
}

impl<W> std::fmt::Debug for Writer<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer")
            .field("items", &self.items)
            .finish_non_exhaustive()
    }
}
