//! The log: every commit since the floor, whole, under its revision.
//!
//! A commit is a [`Record`] (a protobuf message), preceded by its length in 8
//! bytes, and cut into parts of at most [`PART_BYTES`]: sled keeps up to a few
//! dozen values in a page, and a page of 128 KiB or more would become a file
//! of its own that it never syncs. Commits are numbered without gaps, so a
//! missing one is noticed, as is a missing part by the length and a changed one
//! by the chain.

use std::cmp::Ordering;
use std::ops::ControlFlow;

use ::sled::Batch;
use bytes::Bytes;
use prost::Message;

use super::database::Database;
use super::error::Fault;
use super::format::{decode_log_key, log_key, log_prefix};
use crate::domain::revision::{ChainHash, Position, Revision};
use crate::domain::time::Timestamp;
use crate::store::{Commit, Write, chain};

/// The most bytes that one part has.
pub(super) const PART_BYTES: usize = 4000;

/// The most parts that are removed at once.
const FORGET_PARTS: usize = 512;

/// A commit as it is stored.
#[derive(Clone, PartialEq, Message)]
struct Record {
    /// The hash of the log up to and including this commit.
    #[prost(bytes = "bytes", tag = "1")]
    chain: Bytes,
    /// Milliseconds since the Unix epoch.
    #[prost(sint64, tag = "2")]
    at: i64,
    #[prost(message, repeated, tag = "3")]
    writes: Vec<RecordedWrite>,
}

#[derive(Clone, PartialEq, Message)]
struct RecordedWrite {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
    /// Absent for a delete.
    #[prost(bytes = "bytes", optional, tag = "2")]
    value: Option<Bytes>,
}

/// Adds a commit's parts to a batch.
pub(super) fn append(batch: &mut Batch, commit: &Commit) {
    let record = encode(commit);
    for (number, part) in (0_u32..).zip(record.chunks(PART_BYTES)) {
        batch.insert(log_key(commit.position.revision, number), part);
    }
}

/// Gives the commits after `from`, up to and including `through`, to `each`
/// until it breaks, and returns the position of the last one given. Each is
/// known to follow the one before it, by number and by chain.
pub(super) fn read<E>(
    database: &Database,
    from: Position,
    through: Revision,
    mut each: E,
) -> Result<Position, Fault>
where
    E: FnMut(Commit) -> Result<ControlFlow<()>, Fault>,
{
    let mut reached = from;
    let mut record = Assembly::default();
    let (first, last) = (log_prefix(from.revision.next()), log_prefix(through.next()));
    let mut stopped = false;
    database.range(&first, &last, |key, part| {
        let (revision, number) = decode_log_key(&key)?;
        if revision != reached.revision.next() {
            return Err(missing(reached.revision.next()));
        }
        let Some(record) = record.add(revision, number, &part)? else {
            return Ok(ControlFlow::Continue(()));
        };
        let commit = decode(revision, &record)?;
        let follows = chain(&reached.chain, revision, commit.at, &commit.writes);
        if follows != commit.position.chain {
            return Err(Fault::Damaged(format!(
                "commit {revision} of the log does not follow from the one before it"
            )));
        }
        reached = commit.position;
        let flow = each(commit)?;
        stopped = flow.is_break();
        Ok(flow)
    })?;
    if stopped || reached.revision >= through {
        Ok(reached)
    } else {
        Err(missing(reached.revision.next()))
    }
}

/// The position of a commit that is not before the floor.
pub(super) fn position(
    database: &Database,
    floor: Position,
    revision: Revision,
) -> Result<Position, Fault> {
    if revision == floor.revision {
        return Ok(floor);
    }
    let mut record = Assembly::default();
    let mut found = None;
    let (first, last) = (log_prefix(revision), log_prefix(revision.next()));
    database.range(&first, &last, |key, part| {
        let (_, number) = decode_log_key(&key)?;
        let Some(record) = record.add(revision, number, &part)? else {
            return Ok(ControlFlow::Continue(()));
        };
        found = Some(decode(revision, &record)?.position);
        Ok(ControlFlow::Break(()))
    })?;
    found.ok_or_else(|| missing(revision))
}

/// Removes parts of the commits up to and including `through`, oldest first,
/// but no more than [`FORGET_PARTS`]; whether that was all. Not durable before
/// the next sync.
pub(super) fn forget(database: &Database, through: Revision) -> Result<bool, Fault> {
    let mut batch = Batch::default();
    let mut parts = 0;
    let (first, last) = (log_prefix(Revision::ZERO), log_prefix(through.next()));
    database.range(&first, &last, |key, _| {
        batch.remove(key);
        parts += 1;
        Ok(if parts < FORGET_PARTS {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        })
    })?;
    if parts > 0 {
        database.apply(batch)?;
    }
    Ok(parts < FORGET_PARTS)
}

fn encode(commit: &Commit) -> Vec<u8> {
    let recorded = |write: &Write| RecordedWrite {
        key: write.key.clone(),
        value: write.value.clone(),
    };
    let record = Record {
        chain: Bytes::copy_from_slice(&commit.position.chain.0),
        at: commit.at.as_millis(),
        writes: commit.writes.iter().map(recorded).collect(),
    };
    let mut bytes = (record.encoded_len() as u64).to_be_bytes().to_vec();
    bytes.extend(record.encode_to_vec());
    bytes
}

fn decode(revision: Revision, record: &Bytes) -> Result<Commit, Fault> {
    let garbled = || Fault::Damaged(format!("commit {revision} of the log is garbled"));
    let Record { chain, at, writes } = Record::decode(record.clone()).map_err(|_| garbled())?;
    let chain = <[u8; 32]>::try_from(&*chain).map_err(|_| garbled())?;
    Ok(Commit {
        position: Position {
            revision,
            chain: ChainHash(chain),
        },
        at: Timestamp::from_millis(at),
        writes: writes
            .into_iter()
            .map(|RecordedWrite { key, value }| Write { key, value })
            .collect(),
    })
}

fn missing(revision: Revision) -> Fault {
    Fault::Damaged(format!("the log lacks commit {revision}"))
}

/// Puts the parts of one commit after another together.
#[derive(Default)]
struct Assembly {
    record: Vec<u8>,
    length: u64,
    next: u32,
}

impl Assembly {
    /// Adds a part, and returns the record if it was the last.
    fn add(&mut self, revision: Revision, part: u32, bytes: &[u8]) -> Result<Option<Bytes>, Fault> {
        let incomplete = || {
            Fault::Damaged(format!(
                "commit {revision} of the log has not the parts that it should"
            ))
        };
        if part != self.next {
            return Err(incomplete());
        }
        let mut bytes = bytes;
        if part == 0 {
            let (length, rest) = bytes.split_first_chunk().ok_or_else(incomplete)?;
            self.length = u64::from_be_bytes(*length);
            bytes = rest;
        }
        self.record.extend_from_slice(bytes);
        self.next += 1;
        match (self.record.len() as u64).cmp(&self.length) {
            Ordering::Less => Ok(None),
            Ordering::Equal => Ok(Some(std::mem::take(self).record.into())),
            Ordering::Greater => Err(incomplete()),
        }
    }
}
