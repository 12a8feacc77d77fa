//! The record of the process that works on the store.

use std::time::Duration;

use bytes::Bytes;

use super::{Incarnation, Node, stored};

pub(super) fn write(node: &Node) -> stored::NodeRecord {
    let Node {
        incarnation: Incarnation(incarnation),
        longest_lease,
    } = node;
    let millis = longest_lease.as_nanos().div_ceil(1_000_000);
    stored::NodeRecord {
        incarnation: Bytes::copy_from_slice(incarnation),
        longest_lease_ms: u64::try_from(millis).unwrap_or(u64::MAX),
    }
}

pub(super) fn read(record: &stored::NodeRecord) -> Result<Node, String> {
    let stored::NodeRecord {
        incarnation,
        longest_lease_ms,
    } = record;
    let incarnation = (**incarnation)
        .try_into()
        .map_err(|_| "a name of a process of another length")?;
    Ok(Node {
        incarnation: Incarnation(incarnation),
        longest_lease: Duration::from_millis(*longest_lease_ms),
    })
}
