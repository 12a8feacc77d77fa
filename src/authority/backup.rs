//! Backups: everything that a store holds, at one revision, as one file.
//!
//! ```text
//! store -> take -> Writer -> file -> Reader -> a new store
//! ```
//!
//! A file is a list of keys, as they were put and deleted, that leads to the state at
//! one revision when it is gone through in order. So it can be made while others
//! write, in one pass and without much memory: it is a scan, which may show what is
//! changed meanwhile, and the commits since before it began, each after the part of
//! the scan that may lack it ([`take()`]). What stands in it is what stands in the store:
//! MACs and sealed secrets as they are, worth nothing without the keyring. What is kept
//! for requests that are sent again is left out.
//!
//! A file is read whole or not at all: each frame has a checksum, by which damage is
//! found where it is, and the last one has a hash of everything and a MAC of that
//! ([`Reader`], [`verify()`]). The frames are written down in
//! `proto/credd/store/v1/backup.proto`.

use bytes::Bytes;

use crate::domain::keyring::{KeyVersion, KeyringState};
use crate::domain::revision::{Position, Revision, StoreId};
use crate::domain::time::Timestamp;

mod error;
mod fill;
mod frame;
mod reader;
mod running;
mod take;
mod verify;
mod writer;

#[cfg(test)]
mod tests;

pub use error::{BackupError, InvalidBackup, Problem};
pub use fill::{FillError, Filling};
pub use reader::Reader;
pub(super) use running::Backups;
pub use running::{BeginError, CHUNK_BYTES, Next, Running};
pub use take::{TakeError, take, take_with};
pub use verify::{Verified, verify};
pub use writer::Writer;

/// What a file is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To be restored some day: without what is kept for requests that are sent again.
    Backup,
    /// To go on elsewhere at once: a request that is sent again is remembered there,
    /// without the secret that it was answered with.
    Export,
}

/// What a backup is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// What it is made for.
    pub purpose: Purpose,
    /// The store.
    pub store: StoreId,
    /// When it was begun.
    pub at: Timestamp,
    /// The last commit when it was begun.
    pub begun_at: Revision,
    /// The keys that the store was used with, as of then; `None`: it does not say.
    pub keyring: Option<KeyringState>,
}

/// A key, as a commit put or deleted it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The key.
    pub key: Bytes,
    /// The commit.
    pub revision: Revision,
    /// Its value; `None`: it was deleted.
    pub value: Option<Bytes>,
}

/// How a backup ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// The commit as of which it is the store.
    pub position: Position,
    /// How many items it has.
    pub items: u64,
    /// SHA-256 of all before it.
    pub sha256: [u8; 32],
    /// The version of the sealing key that made the MAC.
    pub key: KeyVersion,
    /// A MAC of all of this.
    pub mac: [u8; 32],
}

/// What the MAC of a backup is over: each of a fixed length.
fn said(position: &Position, items: u64, sha256: &[u8; 32]) -> Vec<u8> {
    [
        &b"credd.backup.v1"[..],
        &position.revision.number().to_be_bytes(),
        &position.chain.0,
        &items.to_be_bytes(),
        sha256,
    ]
    .concat()
}
