//! Whether a backup can be restored.

use std::io::Read;
use std::sync::Arc;

use bytes::Bytes;

use super::error::{BackupError, InvalidBackup, Problem};
use super::reader::Reader;
use super::{End, Header, Item, Purpose, said};
use crate::authority::names::Interner;
use crate::authority::record::audit::{AuditKey, read_entry};
use crate::authority::record::{NEWEST_FORMAT, Record};
use crate::domain::audit::{ChainNumber, Head};
use crate::domain::keyring::Keyring;
use crate::domain::restored::Restored;

/// A backup that can be restored with a keyring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// What it is of.
    pub header: Header,
    /// How it ends.
    pub end: End,
    /// The last event of its audit log; `None`: it has none.
    pub audit: Option<Head>,
    /// What its store was restored from itself, if it was.
    pub restored: Option<Arc<Restored>>,
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
    let mut found = Found::of(reader.header().purpose);
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
        restored: found.restored,
    })
}

/// What went by.
struct Found {
    /// What the file is made for.
    purpose: Purpose,
    /// What names there are is nothing to remember.
    names: Interner,
    /// The last record of keys, and where it stands.
    keyring: Option<(u64, Record)>,
    /// The last of what the store was restored from.
    restored: Option<Arc<Restored>>,
    /// The number of the last event, its record, and where that stands.
    audit: Option<(u64, Bytes, u64)>,
}

impl Found {
    fn of(purpose: Purpose) -> Self {
        Self {
            purpose,
            names: Interner::default(),
            keyring: None,
            restored: None,
            audit: None,
        }
    }

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
        let record = Record::decode(key, value.as_ref(), &self.names);
        match record.map_err(|error| error.to_string())? {
            Record::Audit(AuditKey::Entry(ChainNumber::FIRST, sequence), Some(value)) => {
                let last = self.audit.as_ref().map_or(0, |(last, ..)| *last);
                if sequence >= last {
                    self.audit = Some((sequence, value, at));
                }
            }
            Record::Request(_, request)
                if self.purpose == Purpose::Backup
                    || request
                        .as_ref()
                        .is_some_and(|request| !request.sealed.is_empty()) =>
            {
                let what = "a request stands in it, as in none that credd makes";
                return Err(what.to_owned());
            }
            record @ Record::Keyring(_) => self.keyring = Some((at, record)),
            Record::Format(format) if format > NEWEST_FORMAT => {
                return Err(format!(
                    "records of format {format}, and this version of credd reads up to format {NEWEST_FORMAT}"
                ));
            }
            Record::Restored(restored) => self.restored = restored,
            _ => (),
        }
        Ok(())
    }
}
