//! The record of a process that works on the store.

use std::time::Duration;

use bytes::Bytes;

use super::{Node, stored};
use crate::domain::keyring::{CheckValue, KeyChecks, KeyVersion};
use crate::domain::revision::Revision;
use crate::domain::time::Timestamp;

pub(super) fn write(node: &Node) -> stored::NodeRecord {
    let Node {
        lease,
        settled,
        started_at,
        format,
        keys: KeyChecks { peppers, sealing },
    } = node;
    let millis = lease.as_nanos().div_ceil(1_000_000);
    stored::NodeRecord {
        lease_ms: u64::try_from(millis).unwrap_or(u64::MAX),
        settled: settled.number(),
        started_at_ms: started_at.as_millis(),
        format: u32::from(*format),
        peppers: peppers.iter().map(write_key).collect(),
        sealing_keys: sealing.iter().map(write_key).collect(),
    }
}

fn write_key((version, check): &(KeyVersion, CheckValue)) -> stored::LoadedKeyRecord {
    stored::LoadedKeyRecord {
        version: version.0,
        check: Bytes::copy_from_slice(check),
    }
}

pub(super) fn read(record: stored::NodeRecord) -> Result<Node, String> {
    let stored::NodeRecord {
        lease_ms,
        settled,
        started_at_ms,
        format,
        peppers,
        sealing_keys,
    } = record;
    let read = |keys: Vec<stored::LoadedKeyRecord>| {
        let keys = keys.into_iter().map(read_key);
        keys.collect::<Result<Vec<_>, String>>()
    };
    Ok(Node {
        lease: Duration::from_millis(lease_ms),
        settled: Revision::new(settled),
        started_at: Timestamp::from_millis(started_at_ms),
        format: format.try_into().map_err(|_| "no format")?,
        keys: KeyChecks {
            peppers: read(peppers)?,
            sealing: read(sealing_keys)?,
        },
    })
}

fn read_key(record: stored::LoadedKeyRecord) -> Result<(KeyVersion, CheckValue), String> {
    let stored::LoadedKeyRecord { version, check } = record;
    let check = (*check).try_into();
    let check = check.map_err(|_| "a check value of another length")?;
    Ok((KeyVersion(version), check))
}
