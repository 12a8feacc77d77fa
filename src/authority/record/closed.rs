//! The record of a store that is not to be served.

use super::stored;
use super::stored::closed_record::Why;
use crate::domain::closed::Closed;
use crate::domain::time::Timestamp;

pub(super) const fn write(closed: &Closed) -> stored::ClosedRecord {
    stored::ClosedRecord {
        why: match closed {
            Closed::Exported { at } => Some(Why::ExportedAtMs(at.as_millis())),
            Closed::Filling => None,
        },
    }
}

pub(super) fn read(record: &stored::ClosedRecord) -> Closed {
    match record.why {
        Some(Why::ExportedAtMs(at)) => Closed::Exported {
            at: Timestamp::from_millis(at),
        },
        None => Closed::Filling,
    }
}
