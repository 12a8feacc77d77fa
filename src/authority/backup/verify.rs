//! Whether a backup can be restored.

use std::io::Read;

use bytes::Bytes;

use super::error::{BackupError, InvalidBackup, Problem};
use super::reader::Reader;
use super::{End, Header, Item, said};
use crate::authority::names::Interner;
use crate::authority::record::audit::{AuditKey, read_entry};
use crate::authority::record::{Record, is_in_backup};
use crate::domain::audit::{ChainNumber, Head};
use crate::domain::keyring::Keyring;

/// A backup that can be restored with a keyring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// What it is of.
    pub header: Header,
    /// How it ends.
    pub end: End,
    /// The last event of its audit log; `None`: it has none.
    pub audit: Option<Head>,
}

/// Reads all of a backup: it is as it was written, with a key of this keyring, which
/// has every key that is needed, and all can be read that a server reads when it loads
/// a store: of the audit log, the last event alone. (A record of it that is damaged is
/// for `VerifyChain` to tell, and keeps nobody from a restore.) `each` is told after
/// every part how many bytes were read.
///
/// # Errors
///
/// [`BackupError`], which says what is wrong and where.
pub fn verify<R: Read>(
    mut reader: Reader<R>,
    keyring: &Keyring,
    mut each: impl FnMut(u64),
) -> Result<Verified, BackupError> {
    let loaded = keyring.checks();
    let wrong = |at, problem| Problem::Keyring(problem).at(at);
    if let Some(needed) = &reader.header().keyring {
        needed
            .admits(&loaded)
            .map_err(|problem| wrong(0, problem))?;
    }
    let mut found = Found::default();
    while let Some((at, items)) = reader.next_part()? {
        for item in &items {
            found
                .see(at, item)
                .map_err(|what| Problem::Record(what).at(at))?;
        }
        each(reader.read_bytes());
    }
    let at = reader.read_bytes();
    let end = reader.end().cloned().ok_or(Problem::Cut.at(at))?;
    if let Some((at, Record::Keyring(Some(needed)))) = &found.keyring {
        needed
            .admits(&loaded)
            .map_err(|problem| wrong(*at, problem))?;
    }
    let said = said(&end.position, end.items, &end.sha256);
    let is_ours = keyring.is_mac_of_backup(end.key, &said, &end.mac);
    if !is_ours.map_err(|problem| wrong(at, problem))? {
        return Err(Problem::Mac.at(at).into());
    }
    Ok(Verified {
        header: reader.header().clone(),
        end,
        audit: found.last_event()?,
    })
}

/// What went by.
#[derive(Default)]
struct Found {
    /// What names there are is nothing to remember.
    names: Interner,
    /// The last record of keys, and where it stands.
    keyring: Option<(u64, Record)>,
    /// The number of the last event, its record, and where that stands.
    audit: Option<(u64, Bytes, u64)>,
}

impl Found {
    fn last_event(&self) -> Result<Option<Head>, InvalidBackup> {
        let Some((sequence, value, at)) = &self.audit else {
            return Ok(None);
        };
        let record = read_entry(value).map_err(|what| Problem::Record(what).at(*at))?;
        Ok(Some(Head {
            sequence: *sequence,
            hash: record.entry.hash,
        }))
    }

    fn see(&mut self, at: u64, item: &Item) -> Result<(), String> {
        let Item { key, value, .. } = item;
        if !is_in_backup(key) {
            return Err("a request stands in the backup, as in none that credd makes".to_owned());
        }
        let record = Record::decode(key, value.as_ref(), &self.names);
        match record.map_err(|error| error.to_string())? {
            Record::Audit(AuditKey::Entry(ChainNumber::FIRST, sequence), Some(value)) => {
                let last = self.audit.as_ref().map_or(0, |(last, ..)| *last);
                if sequence >= last {
                    self.audit = Some((sequence, value, at));
                }
            }
            record @ Record::Keyring(_) => self.keyring = Some((at, record)),
            _ => (),
        }
        Ok(())
    }
}
