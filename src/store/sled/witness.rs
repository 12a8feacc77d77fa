//! The witness: a second opinion on how far the store had come.
//!
//! sled, on finding a damaged record at the end of its file, takes it for a
//! write that a crash cut short and drops it with all that follows. If the
//! record had been synced, commits that were acknowledged are gone, and
//! nothing in sled's file says so. So after each durable commit its position is
//! also written to a small file of its own, in place, without a sync.
//!
//! **The witness is never ahead of an undamaged store.** It is written only
//! after the commit's sync returned, so whatever of it a crash or a power cut
//! leaves is a position that was durable before. It may be *behind*, since it
//! is not synced: then it says less, not something wrong. It may be *torn*,
//! though it is shorter than a sector: its checksum tells, and then it says
//! nothing and is made anew from the store. Therefore
//!
//! * a store that ends before its witness has lost acknowledged commits,
//! * a store whose log has another hash at that revision, or another id, is not
//!   the store that the witness saw,
//!
//! and neither is opened. Restoring a backup makes a new store, with a witness
//! of its own.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::domain::revision::{ChainHash, Position, Revision, StoreId};

/// Store id, revision, chain hash, CRC-32 of these.
const LENGTH: usize = 16 + 8 + 32 + 4;

/// The witness of an open store.
#[derive(Debug)]
pub(super) struct Witness {
    id: StoreId,
    file: File,
}

/// What a witness file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Testimony {
    /// This store was durable up to here.
    Saw(StoreId, Position),
    /// Nothing: the file is absent or torn.
    Nothing,
}

impl Witness {
    /// Opens the witness, or makes one, and has it say this.
    pub(super) fn open(path: &Path, id: StoreId, position: &Position) -> io::Result<Self> {
        let mut options = File::options();
        let file = options
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)?;
        let witness = Self { id, file };
        witness.note(position)?;
        witness.file.sync_all()?;
        Ok(witness)
    }

    /// Notes that the store is durable up to here.
    pub(super) fn note(&self, position: &Position) -> io::Result<()> {
        self.file.write_all_at(&encode(self.id, position), 0)
    }
}

/// Reads what the witness says.
pub(super) fn hear(path: &Path) -> io::Result<Testimony> {
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(LENGTH as u64).read_to_end(&mut bytes)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Testimony::Nothing),
        Err(error) => return Err(error),
    };
    Ok(decode(&bytes).unwrap_or(Testimony::Nothing))
}

fn encode(id: StoreId, position: &Position) -> Vec<u8> {
    let mut bytes = id.as_bytes().to_vec();
    bytes.extend(position.revision.number().to_be_bytes());
    bytes.extend(position.chain.0);
    bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
    bytes
}

fn decode(bytes: &[u8]) -> Option<Testimony> {
    let (content, checksum) = bytes.split_last_chunk()?;
    if crc32fast::hash(content) != u32::from_be_bytes(*checksum) {
        return None;
    }
    let (id, rest) = content.split_first_chunk()?;
    let (revision, rest) = rest.split_first_chunk()?;
    let chain = ChainHash(rest.try_into().ok()?);
    let revision = Revision::new(u64::from_be_bytes(*revision));
    Some(Testimony::Saw(
        StoreId::from_bytes(*id),
        Position { revision, chain },
    ))
}
