//! `credd export`: all that a store holds, as one file, to go on elsewhere.
//!
//! The store is closed first, so that nobody answers from it what is no longer true when
//! the other has changed. Other servers that work on it end when they see that.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::open::Opened;
use super::progress::Progress;
use super::supervise::Failure;
use crate::authority::Authority;
use crate::authority::backup::{End, Header, Purpose, TakeError, take_with};
use crate::domain::revision::Revision;

/// What to do with the store.
#[derive(Clone, Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Wanted {
    /// Writes the export to this file, which must not exist, and closes the store. May be
    /// repeated.
    #[arg(long, value_name = "FILE")]
    pub to: Option<PathBuf>,
    /// Opens the store again: the export was imported nowhere, and will not be.
    #[arg(long)]
    pub take_back: bool,
}

/// Why there is no export.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The file can't be written.
    #[error("{path}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The store can't be read.
    #[error(transparent)]
    Take(#[from] TakeError),
    /// It was restored, and it was not said what was revoked since.
    #[error(
        "the store was restored, and not settled: give the revocations since the backup first, or give them up, with `credd restore`"
    )]
    Unsettled,
    /// The store was opened again while it was read.
    #[error("the store was opened again while it was exported")]
    Reopened,
    /// The store is not closed.
    #[error("the store was not exported, or that was taken back")]
    Open,
}

/// Exports a store, or opens it again.
///
/// # Errors
///
/// Whatever keeps it from that.
pub(super) async fn run(
    opened: &Opened,
    authority: &Authority,
    wanted: &Wanted,
) -> Result<(), Failure> {
    let is_closed = authority.index().closed().is_some();
    let Some(path) = &wanted.to else {
        if !is_closed {
            return Err(ExportError::Open.into());
        }
        authority.open_again().await?;
        tracing::info!("the store can be served again");
        return Ok(());
    };
    if opened.is_unsettled() {
        return Err(ExportError::Unsettled.into());
    }
    let wrong = |source| ExportError::File {
        path: path.clone(),
        source,
    };
    // Before the store is closed: a name that can't be written is the likeliest fault.
    let partial = path.with_added_extension("partial");
    let file = create(path, &partial).map_err(wrong)?;
    if !is_closed {
        authority.close().await?;
    }
    let (_, keyring) = authority.index().read(|index| index.keyring());
    let header = Header {
        purpose: Purpose::Export,
        store: authority.store(),
        at: authority.now(),
        begun_at: Revision::ZERO,
        keyring: keyring.map(|(state, _)| (*state).clone()),
    };
    let (store, keys) = (Arc::clone(&opened.parts.store), authority.keys().current());
    let mut progress = Progress::new("writing the export", opened.keys);
    let work = move || -> Result<(File, End), TakeError> {
        let output = BufWriter::with_capacity(1 << 20, file);
        let each = |read| progress.at(read);
        let (output, end) = take_with(&*store, header, &keys, output, each)?;
        let file = output
            .into_inner()
            .map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        Ok((file, end))
    };
    let since = authority.index().closed();
    let (_, end) = tokio::task::spawn_blocking(work).await??;
    let feed = Arc::clone(&opened.parts.feed);
    tokio::task::spawn_blocking(move || feed.catch_up(None)).await??;
    if authority.index().closed() != since {
        return Err(ExportError::Reopened.into());
    }
    publish(&partial, path).map_err(wrong)?;
    tracing::info!(
        store = %authority.store(),
        revision = %end.position.revision,
        items = end.items,
        path = %path.display(),
        "exported the store, which is closed now"
    );
    Ok(())
}

/// The file, under another name until it is whole.
pub(crate) fn create(path: &Path, partial: &Path) -> io::Result<File> {
    if fs::symlink_metadata(path).is_ok() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    match fs::remove_file(partial) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => (),
    }
    // Nobody else's, and behind no link.
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(partial)
}

/// Gives the file its name, durably, if there is none of that name.
pub(crate) fn publish(partial: &Path, path: &Path) -> io::Result<()> {
    match renameat_with(CWD, partial, CWD, path, RenameFlags::NOREPLACE) {
        // Not every file system can do that.
        Err(Errno::INVAL | Errno::NOSYS) => {
            fs::hard_link(partial, path)?;
            fs::remove_file(partial)?;
        }
        renamed => renamed?,
    }
    let parent = path.parent().filter(|parent| *parent != Path::new(""));
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}
