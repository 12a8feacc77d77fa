//! `credd restore`: a new store from a backup, and what was revoked since.
//!
//! A store is made in an empty directory, under an id of its own. Until it is whole the
//! directory has a mark, with which nobody opens it, and another restore begins anew.
//! Then it is marked as restored: of what was revoked after the backup it says that it
//! is good, so that nobody is answered before those revocations were given, or given up.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use clap::Args;

use super::config::Settings;
use super::data_dir::{DataDir, FileError};
use super::open::{
    IfMissing, OpenError, Opened, keyring_path, lock, open_locked, options, read_keyring,
};
use super::progress::Progress;
use super::supervise::Failure;
use crate::authority::Authority;
use crate::authority::backup::{BackupError, Reader, Verified, verify};
use crate::authority::committer::CommandError;
use crate::domain::audit::{ChainNumber, Head};
use crate::domain::random::{self, SystemRandom};
use crate::domain::restored::Restored;
use crate::domain::revision::StoreId;
use crate::domain::time::{Clock as _, SystemClock};
use crate::store::Write;
use crate::store::sled::{OpenError as StoreOpenError, SledStore};

mod lines;
mod lost;

pub use lines::LinesError;
use lines::Since;

/// What to restore.
#[derive(Clone, Debug, Args)]
#[group(required = true, multiple = true)]
pub struct Given {
    /// The backup, as `OperationsService.Backup` has given it. It goes into an empty
    /// data directory, or one with nothing but the keyring.
    #[arg(long, value_name = "FILE")]
    pub from: Option<PathBuf>,
    /// Lines of the audit log, as `--audit-file` writes them, that tell what was done
    /// after the backup: what was denied then is denied again. May be given several
    /// times, in order.
    #[arg(long, value_name = "FILE")]
    pub revocations: Vec<PathBuf>,
    /// Goes without the revocations since the backup, or without those of which no line
    /// tells: what was revoked is good again.
    #[arg(long)]
    pub accept_lost_revocations: bool,
}

/// Why nothing is restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The directory can't be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The store is in etcd.
    #[error("a backup can't be restored into etcd: store.engine must be `sled`")]
    IntoEtcd,
    /// There is something where the store is to be.
    #[error("{0} is there: a backup is restored into an empty data directory")]
    NotEmpty(PathBuf),
    /// The backup can't be restored.
    #[error("{path}")]
    Backup {
        /// The file.
        path: PathBuf,
        /// Why.
        source: BackupError,
    },
    /// The lines can't be taken.
    #[error(transparent)]
    Lines(#[from] LinesError),
    /// There is nothing to settle.
    #[error("the store in {0} was not restored, or the revocations since were given")]
    Settled(PathBuf),
}

impl From<FileError> for RestoreError {
    fn from(error: FileError) -> Self {
        Self::Open(error.into())
    }
}

impl From<StoreOpenError> for RestoreError {
    fn from(error: StoreOpenError) -> Self {
        Self::Open(error.into())
    }
}

/// What is still to be done to a store.
#[derive(Debug)]
pub(super) struct Steps {
    /// What it was just restored from; `None`: it was before.
    mark: Option<Restored>,
    /// What came since; `None`: nothing was said of that.
    since: Option<Since>,
}

/// Fills a store, or opens the one that was. Blocks. Before all that is given was found
/// good, nothing is written.
///
/// # Errors
///
/// [`RestoreError`].
pub(super) fn prepare(settings: &Settings, given: &Given) -> Result<(Opened, Steps), RestoreError> {
    let Some(file) = &given.from else {
        let opened = super::open::open(settings, IfMissing::Refuse)?;
        let (_, restored) = opened.parts.feed.index().read(|index| index.restored());
        let restored = restored.filter(|restored| !restored.settled);
        let restored =
            restored.ok_or_else(|| RestoreError::Settled(opened.directory.path().to_owned()))?;
        let since = since(given, restored.from, restored.audit)?;
        return Ok((opened, Steps { mark: None, since }));
    };
    if settings.etcd.is_some() {
        return Err(RestoreError::IntoEtcd);
    }
    let directory = DataDir::new(settings.store.data_dir.clone());
    directory.create()?;
    let lock = lock(&directory)?;
    let is_again = directory.restoring().exists();
    if !is_again && let Some(path) = directory.anything()? {
        return Err(RestoreError::NotEmpty(path));
    }
    let path = keyring_path(settings, &directory);
    let (keyring, _) = read_keyring(&directory, &path, true, &SystemRandom::new())?;
    let wrong = |source| RestoreError::Backup {
        path: file.clone(),
        source,
    };
    let (reader, length) = open_backup(file).map_err(wrong)?;
    let mut progress = Progress::new("checking the backup", length);
    let verified = verify(reader, &keyring, |done| progress.at(done)).map_err(wrong)?;
    drop(progress);
    let mark = mark(&verified);
    let since = since(given, mark.from, mark.audit)?;

    directory.write(&directory.restoring(), "")?;
    directory.remove_store()?;
    let store = fill(settings, &directory, file, &verified)?;
    tracing::info!(
        %store,
        from = %verified.header.store,
        revision = %verified.end.position.revision,
        "restored the backup"
    );
    let opened = open_locked(settings, IfMissing::Refuse, directory, lock)?;
    let mark = Some(mark);
    Ok((opened, Steps { mark, since }))
}

fn open_backup(path: &Path) -> Result<(Reader<BufReader<File>>, u64), BackupError> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    Ok((
        Reader::open(BufReader::with_capacity(1 << 20, file))?,
        length,
    ))
}

fn since(given: &Given, store: StoreId, after: Head) -> Result<Option<Since>, LinesError> {
    let Given {
        from: _,
        revocations,
        accept_lost_revocations,
    } = given;
    if revocations.is_empty() {
        return Ok(accept_lost_revocations.then(Since::default));
    }
    lines::read(revocations, store, after, *accept_lost_revocations).map(Some)
}

/// Makes the store, which has an id of its own.
fn fill(
    settings: &Settings,
    directory: &DataDir,
    file: &Path,
    verified: &Verified,
) -> Result<StoreId, RestoreError> {
    let wrong = |source| RestoreError::Backup {
        path: file.to_owned(),
        source,
    };
    let entropy = random::bytes(&SystemRandom::new()).map_err(OpenError::Random)?;
    let id = StoreId::from_random(entropy);
    let position = verified.end.position;
    let store = directory.store();
    SledStore::import(&store, &options(settings), id, position, |import| {
        let (mut reader, length) = open_backup(file).map_err(wrong)?;
        let mut progress = Progress::new("writing the store  ", length);
        while let Some((_, items)) = reader.next_part().map_err(wrong)? {
            for item in items {
                let write = Write {
                    key: item.key,
                    value: item.value,
                };
                import.write(&write, item.revision)?;
            }
            progress.at(reader.read_bytes());
        }
        if reader.end() == Some(&verified.end) {
            Ok(())
        } else {
            let changed = std::io::Error::other("it was changed while it was read");
            Err(wrong(changed.into()))
        }
    })?;
    Ok(id)
}

fn mark(verified: &Verified) -> Restored {
    let Verified { header, end, audit } = verified;
    Restored {
        origin: header.store,
        from: header.store,
        revision: end.position.revision,
        backed_up_at: header.at,
        restored_at: SystemClock.now(),
        audit: audit.unwrap_or_else(|| Head::genesis(header.store, ChainNumber::FIRST)),
        settled: false,
    }
}

/// Marks a store, and settles it if it was said what came since. What is left undone
/// may be asked for again.
///
/// # Errors
///
/// Whatever keeps it from that.
pub(super) async fn finish(
    opened: &Opened,
    authority: &Authority,
    steps: Steps,
) -> Result<(), Failure> {
    let Steps { mark, since } = steps;
    let is_new = mark.is_some();
    if let Some(mark) = mark {
        authority.mark_restored(mark).await?;
    }
    if let Some(since) = since {
        settle(authority, since).await?;
    } else {
        tracing::warn!(
            "nobody is answered yet: give the revocations since the backup with `credd restore --revocations`, or give them up with `credd restore --accept-lost-revocations`"
        );
    }
    if is_new {
        // From now on it is a store.
        let directory = &opened.directory;
        directory.remove(&directory.restoring())?;
    }
    Ok(())
}

/// Denies what was denied since.
async fn settle(authority: &Authority, since: Since) -> Result<(), CommandError> {
    let Since {
        lost,
        through,
        erasures,
        missing,
    } = since;
    let denied = authority.deny_lost(lost).await?;
    let details = match &through {
        Some((sequence, at)) => {
            format!(
                "the revocations up to event {sequence} of {at} were given: {denied} denied; {missing} events are missing"
            )
        }
        None => "no revocations since the backup were given".to_owned(),
    };
    authority.settle_restored(details.clone()).await?;
    if erasures > 0 {
        tracing::warn!(
            erasures,
            "events were erased after the backup, and are back: erase them again"
        );
    }
    tracing::info!(denied, missing, "{details}");
    Ok(())
}
