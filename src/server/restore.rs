//! `credd restore`: a new store from a backup, and what was revoked since. And `credd
//! import`: one from an export, which is all of a store that nobody answers from any
//! more.
//!
//! A store is made where there is none, under an id of its own. Until it is whole it has
//! a mark, with which nobody opens it, and another attempt begins anew. One that was
//! restored says of what was revoked after the backup that it is good, so that nobody is
//! answered before those revocations were given, or given up.

use std::path::{Path, PathBuf};

use clap::Args;

use super::config::Settings;
use super::data_dir::FileError;
use super::open::{IfMissing, OpenError, Opened, keyring_path, open_locked, read_keyring};
use super::supervise::Failure;
use crate::authority::Authority;
use crate::authority::backup::{BackupError, Purpose};
use crate::authority::committer::CommandError;
use crate::domain::audit::Head;
use crate::domain::random::SystemRandom;
use crate::domain::restored::Restored;
use crate::domain::revision::StoreId;
use crate::store::StoreError;
use crate::store::sled::OpenError as StoreOpenError;

mod content;
mod lines;
mod lost;
mod target;

use content::Content;
pub use lines::LinesError;
use lines::{Since, Through};
use target::Target;

/// What to restore.
#[derive(Clone, Debug, Args)]
#[group(required = true, multiple = true)]
pub struct Given {
    /// The backup, as `OperationsService.Backup` has given it. It goes where no store is:
    /// into an empty data directory, or one with nothing but the keyring; or into etcd,
    /// under a prefix with nothing.
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
    /// There is something where the store is to be.
    #[error("{0} is there: the data directory must be empty, or have nothing but the keyring")]
    NotEmpty(PathBuf),
    /// The same, in etcd.
    #[error(
        "there is a store in etcd under {0} already; if it was restored and is not settled, give the revocations without `--from`"
    )]
    NotEmptyInEtcd(String),
    /// The store can't be written.
    #[error("the store can't be written")]
    Store(#[from] StoreError),
    /// It is an export of a store of which is not known what was revoked.
    #[error("{0} is an export of a store that was restored and not settled")]
    Unsettled(PathBuf),
    /// It is an export, which is imported.
    #[error("{0} is an export, and no backup: `credd import` takes it")]
    Export(PathBuf),
    /// It is a backup, which is restored.
    #[error("{0} is a backup, and no export: `credd restore` takes it")]
    NoExport(PathBuf),
    /// The file can't be used.
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
    /// What it was just filled from, and for what that was made; `None`: it was before.
    mark: Option<(Purpose, Restored)>,
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
    if let Some(file) = &given.from {
        return fill(settings, file, Purpose::Backup, |mark| {
            since(given, mark.from, mark.audit)
        });
    }
    let opened = super::open::open(settings, IfMissing::Refuse)?;
    let (_, restored) = opened.parts.feed.index().read(|index| index.restored());
    let restored = restored.filter(|restored| !restored.settled);
    let restored =
        restored.ok_or_else(|| RestoreError::Settled(opened.directory.path().to_owned()))?;
    let since = since(given, restored.from, restored.audit)?;
    Ok((opened, Steps { mark: None, since }))
}

/// Fills a store with an export. Blocks. Before that was found good, nothing is written.
///
/// # Errors
///
/// [`RestoreError`].
pub(super) fn import(settings: &Settings, file: &Path) -> Result<(Opened, Steps), RestoreError> {
    fill(settings, file, Purpose::Export, |_| Ok(None))
}

fn fill(
    settings: &Settings,
    file: &Path,
    purpose: Purpose,
    since: impl FnOnce(&Restored) -> Result<Option<Since>, LinesError>,
) -> Result<(Opened, Steps), RestoreError> {
    let target = Target::take(settings)?;
    let directory = target.directory();
    let path = keyring_path(settings, directory);
    let (keyring, _) = read_keyring(directory, &path, true, &SystemRandom::new())?;
    let content = Content::check(file, purpose, &keyring)?;
    let mark = content.mark();
    let since = since(&mark)?;
    let store = target.fill(settings, &content, &mark)?;
    tracing::info!(%store, from = %mark.from, revision = %mark.revision, "filled the store");
    let (directory, lock) = target.into_parts();
    let opened = open_locked(settings, IfMissing::Refuse, directory, lock)?;
    let mark = Some((purpose, mark));
    Ok((opened, Steps { mark, since }))
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
    let is_settled = match mark {
        Some((Purpose::Export, mark)) => {
            authority.mark_imported(mark).await?;
            true
        }
        Some((Purpose::Backup, mark)) => {
            authority.mark_restored(mark).await?;
            false
        }
        None => false,
    };
    if let Some(since) = since {
        settle(authority, since).await?;
    } else if !is_settled {
        tracing::warn!(
            "nobody is answered yet: give the revocations since the backup with `credd restore --revocations`, or give them up with `credd restore --accept-lost-revocations`"
        );
    }
    if is_new {
        // From now on it is a store.
        let directory = &opened.directory;
        if !opened.parts.store.is_shared() && directory.restoring().exists() {
            directory.remove(&directory.restoring())?;
        }
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
        Some(Through { sequence, at, .. }) => {
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
