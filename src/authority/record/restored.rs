//! The record of a store that was restored.

use bytes::Bytes;

use super::audit::{anchor_of, stored_anchor};
use super::stored;
use crate::domain::restored::Restored;
use crate::domain::revision::{Revision, StoreId};
use crate::domain::time::Timestamp;

pub(super) fn write(restored: &Restored) -> stored::RestoredRecord {
    let Restored {
        origin,
        from,
        revision,
        backed_up_at,
        restored_at,
        audit,
        settled,
    } = restored;
    let id = |id: &StoreId| Bytes::copy_from_slice(id.as_bytes());
    stored::RestoredRecord {
        origin: id(origin),
        from: id(from),
        revision: revision.number(),
        backed_up_at_ms: backed_up_at.as_millis(),
        restored_at_ms: restored_at.as_millis(),
        audit: Some(stored_anchor(audit)),
        settled: *settled,
    }
}

pub(super) fn read(record: &stored::RestoredRecord) -> Result<Restored, String> {
    let stored::RestoredRecord {
        origin,
        from,
        revision,
        backed_up_at_ms,
        restored_at_ms,
        audit,
        settled,
    } = record;
    let id = |bytes: &Bytes| {
        let id = (**bytes).try_into();
        id.map(StoreId::from_bytes)
            .map_err(|_| "the id of a store of another length")
    };
    Ok(Restored {
        origin: id(origin)?,
        from: id(from)?,
        revision: Revision::new(*revision),
        backed_up_at: Timestamp::from_millis(*backed_up_at_ms),
        restored_at: Timestamp::from_millis(*restored_at_ms),
        audit: anchor_of(audit.clone().ok_or("no place in the audit log")?)?,
        settled: *settled,
    })
}
