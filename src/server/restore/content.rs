//! A backup or an export, as a file.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use super::RestoreError;
use crate::authority::backup::{BackupError, Item, Purpose, Reader, Verified, verify};
use crate::authority::record::{Record, closed_key};
use crate::domain::audit::{ChainNumber, Head};
use crate::domain::keyring::Keyring;
use crate::domain::restored::Restored;
use crate::domain::time::{Clock as _, SystemClock};
use crate::server::progress::Progress;

/// A file that was found good.
#[derive(Debug)]
pub(super) struct Content {
    path: PathBuf,
    verified: Verified,
}

impl Content {
    /// Reads all of it.
    pub(super) fn check(
        path: &Path,
        purpose: Purpose,
        keyring: &Keyring,
    ) -> Result<Self, RestoreError> {
        let wrong = |source| RestoreError::Backup {
            path: path.to_owned(),
            source,
        };
        let (reader, length) = open(path).map_err(wrong)?;
        match (reader.header().purpose, purpose) {
            (Purpose::Export, Purpose::Backup) => return Err(RestoreError::Export(path.into())),
            (Purpose::Backup, Purpose::Export) => return Err(RestoreError::NoExport(path.into())),
            _ => (),
        }
        let mut progress = Progress::new("checking the file", length);
        let verified = verify(reader, keyring, |done| progress.at(done)).map_err(wrong)?;
        let restored = verified.restored.as_ref();
        if purpose == Purpose::Export && restored.is_some_and(|restored| !restored.settled) {
            return Err(RestoreError::Unsettled(path.into()));
        }
        Ok(Self {
            path: path.to_owned(),
            verified,
        })
    }

    /// How it ends.
    pub(super) const fn verified(&self) -> &Verified {
        &self.verified
    }

    /// What the store that is filled with it says of that.
    pub(super) fn mark(&self) -> Restored {
        let Verified {
            header,
            end,
            audit,
            restored,
        } = &self.verified;
        let origin = restored
            .as_ref()
            .map_or(header.store, |before| before.origin);
        let genesis = || Head::genesis(origin, ChainNumber::FIRST);
        Restored {
            origin,
            from: header.store,
            revision: end.position.revision,
            backed_up_at: header.at,
            restored_at: SystemClock.now(),
            audit: audit.unwrap_or_else(genesis),
            settled: header.purpose == Purpose::Export,
        }
    }

    /// Gives everything that is in it to `put`, and then what is to be said of that.
    pub(super) fn each<E>(
        &self,
        mark: &Restored,
        mut put: impl FnMut(Item) -> Result<(), E>,
    ) -> Result<(), RestoreError>
    where
        RestoreError: From<E>,
    {
        let wrong = |source| RestoreError::Backup {
            path: self.path.clone(),
            source,
        };
        let (mut reader, length) = open(&self.path).map_err(wrong)?;
        let mut progress = Progress::new("writing the store", length);
        while let Some((_, items)) = reader.next_part().map_err(wrong)? {
            for item in items {
                put(item)?;
            }
            progress.at(reader.read_bytes());
        }
        let end = &self.verified.end;
        if reader.end() != Some(end) {
            let changed = io::Error::other("it was changed while it was read");
            return Err(wrong(changed.into()));
        }
        let record = Record::Restored(Some(mark.clone().into()));
        for (key, value) in [(record.key(), record.encode()), (closed_key(), None)] {
            put(Item {
                key,
                revision: end.position.revision,
                value,
            })?;
        }
        Ok(())
    }
}

fn open(path: &Path) -> Result<(Reader<BufReader<File>>, u64), BackupError> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        let no_file = "this is no regular file, and all of it is read before anything is written";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, no_file).into());
    }
    let length = metadata.len();
    let reader = Reader::open(BufReader::with_capacity(1 << 20, file))?;
    Ok((reader, length))
}
