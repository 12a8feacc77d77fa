//! Where the audit log ends, found on the way of what is read anyway.

use crate::authority::record::audit::{AuditKey, read_anchor, read_entry};
use crate::authority::record::{Record, UnreadableRecord};
use crate::domain::audit::{ChainNumber, Head};
use crate::domain::revision::StoreId;
use crate::store::Entry;

/// The last key of the chain, while all keys of a store go by in order. It looks at
/// no value but that of the last.
#[derive(Debug, Default)]
pub(in crate::authority) struct LastSeen(Option<(AuditKey, Entry)>);

impl LastSeen {
    /// Whether a key is one of the audit log, which the index has no part in.
    pub(in crate::authority) fn is_audit(entry: &Entry) -> bool {
        AuditKey::of(&entry.key).is_some()
    }

    /// Goes on with a page of keys.
    pub(in crate::authority) fn see(&mut self, page: &[Entry]) {
        let is_ours = |key: &AuditKey| match key {
            AuditKey::Anchor(chain) | AuditKey::Entry(chain, _) => *chain == ChainNumber::FIRST,
        };
        let from_the_end = page.iter().rev();
        let mut found = from_the_end.filter_map(|entry| Some((AuditKey::of(&entry.key)?, entry)));
        if let Some((key, entry)) = found.find(|(key, _)| is_ours(key)) {
            self.0 = Some((key, entry.clone()));
        }
    }

    /// Where the chain ends.
    ///
    /// # Errors
    ///
    /// [`UnreadableRecord`] for a last record that can't be read: nothing can follow
    /// from it.
    pub(in crate::authority) fn head(self, store: StoreId) -> Result<Head, UnreadableRecord> {
        let Some((key, entry)) = self.0 else {
            return Ok(Head::genesis(store, ChainNumber::FIRST));
        };
        let read = match key {
            AuditKey::Anchor(_) => read_anchor(&entry.value),
            AuditKey::Entry(_, sequence) => read_entry(&entry.value).map(|record| Head {
                sequence,
                hash: record.entry.hash,
            }),
        };
        read.map_err(|what| unreadable(key, what))
    }
}

/// Where the chain ends after a commit of these records, if it wrote any of it.
///
/// # Errors
///
/// [`UnreadableRecord`] for a last record that can't be read.
pub(in crate::authority) fn after(records: &[Record]) -> Result<Option<Head>, UnreadableRecord> {
    let written = records.iter().rev().find_map(|record| match record {
        Record::Audit(key @ AuditKey::Entry(ChainNumber::FIRST, sequence), Some(value)) => {
            Some((*key, *sequence, value))
        }
        _ => None,
    });
    let Some((key, sequence, value)) = written else {
        return Ok(None);
    };
    let record = read_entry(value).map_err(|what| unreadable(key, what))?;
    Ok(Some(Head {
        sequence,
        hash: record.entry.hash,
    }))
}

fn unreadable(key: AuditKey, what: String) -> UnreadableRecord {
    UnreadableRecord {
        key: data_encoding::HEXLOWER.encode(&key.to_bytes()),
        what,
    }
}
