//! By what a store knows its own history and contents again.

use ring::digest::{Context, SHA256};

use super::Write;
use crate::domain::revision::{ChainHash, Revision};
use crate::domain::time::Timestamp;

/// The hash of a commit that follows `before`: SHA-256 over the hash before
/// it and the bytes of the commit, each of fixed length or preceded by its
/// length.
#[must_use]
pub fn chain(before: &ChainHash, revision: Revision, at: Timestamp, writes: &[Write]) -> ChainHash {
    let mut context = Context::new(&SHA256);
    context.update(b"credd.log.v1");
    context.update(&before.0);
    context.update(&revision.number().to_be_bytes());
    context.update(&at.as_millis().to_be_bytes());
    for write in writes {
        context.update(&(write.key.len() as u64).to_be_bytes());
        context.update(&write.key);
        match &write.value {
            Some(value) => {
                context.update(&(value.len() as u64).to_be_bytes());
                context.update(value);
            }
            None => context.update(&u64::MAX.to_be_bytes()),
        }
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    ChainHash(hash)
}

/// How many keys a store holds, and a digest of which commit wrote each.
///
/// Two stores of one history with the same contents hold the same keys, each
/// with the value of the same commit: what was lost and what is stale both
/// show. The digest is the sum modulo 2^128 of a hash of each key with its
/// revision, so that a commit changes it by what it writes and a scan finds it
/// in any order. It is meant against damage, not against a forger: that is what
/// the chain of the log is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// The number of keys.
    pub keys: u64,
    /// The sum of the hashes.
    pub digest: u128,
}

impl Contents {
    /// Counts a key that this commit wrote last.
    pub fn add(&mut self, key: &[u8], revision: Revision) {
        self.keys = self.keys.wrapping_add(1);
        self.digest = self.digest.wrapping_add(Self::hash(key, revision));
    }

    /// Takes away what [`add`](Self::add) counted.
    pub fn remove(&mut self, key: &[u8], revision: Revision) {
        self.keys = self.keys.wrapping_sub(1);
        self.digest = self.digest.wrapping_sub(Self::hash(key, revision));
    }

    /// The first half of SHA-256 over revision and key.
    fn hash(key: &[u8], revision: Revision) -> u128 {
        let mut context = Context::new(&SHA256);
        context.update(&revision.number().to_be_bytes());
        context.update(key);
        let mut half = [0; 16];
        half.copy_from_slice(&context.finish().as_ref()[..16]);
        u128::from_be_bytes(half)
    }
}
