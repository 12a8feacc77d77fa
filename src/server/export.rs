//! `credd export`: all that a store holds, as one file, to go on elsewhere.
//!
//! The store is closed first, so that nobody answers from it what is no longer true when
//! the other has changed. Other servers that work on it end when they see that.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use rustix::fs::{CWD, FlockOperation, OFlags, RenameFlags, flock, renameat_with};
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
    let (file, end) = tokio::task::spawn_blocking(work).await??;
    let feed = Arc::clone(&opened.parts.feed);
    tokio::task::spawn_blocking(move || feed.catch_up(None)).await??;
    if authority.index().closed() != since {
        return Err(ExportError::Reopened.into());
    }
    publish(&partial, path).map_err(wrong)?;
    drop(file);
    tracing::info!(
        store = %authority.store(),
        revision = %end.position.revision,
        items = end.items,
        path = %path.display(),
        "exported the store, which is closed now"
    );
    Ok(())
}

/// The file, under another name until it is whole. While it is open nobody else writes
/// it; what an earlier attempt left there is removed.
pub(crate) fn create(path: &Path, partial: &Path) -> io::Result<File> {
    if fs::symlink_metadata(path).is_ok() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    loop {
        // Nobody else's, and behind no link.
        let mut options = OpenOptions::new();
        let options = options.write(true).mode(0o600);
        let made = options.clone().create_new(true).open(partial);
        let (file, is_new) = match made {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let flags = OFlags::NOFOLLOW.bits().cast_signed();
                (options.custom_flags(flags).open(partial)?, false)
            }
            made => (made?, true),
        };
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => return Err(io::ErrorKind::ResourceBusy.into()),
            locked => locked?,
        }
        // It may have been taken for what an earlier attempt left.
        let is_there = match fs::symlink_metadata(partial) {
            Ok(there) => there.ino() == file.metadata()?.ino(),
            Err(_) => false,
        };
        match (is_there, is_new) {
            (true, true) => return Ok(file),
            (true, false) => fs::remove_file(partial)?,
            (false, _) => (),
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_one_writer_who_takes_away_what_an_earlier_one_left() {
        let directory = tempfile::tempdir().unwrap();
        let (path, partial) = (
            directory.path().join("x"),
            directory.path().join("x.partial"),
        );
        fs::write(&partial, "left").unwrap();
        let file = create(&path, &partial).unwrap();
        assert_eq!(file.metadata().unwrap().len(), 0);
        let second = create(&path, &partial).unwrap_err();
        assert_eq!(second.kind(), io::ErrorKind::ResourceBusy);
        publish(&partial, &path).unwrap();
        drop(file);
        let third = create(&path, &partial).unwrap_err();
        assert_eq!(third.kind(), io::ErrorKind::AlreadyExists);
        assert!(!partial.exists());
    }
}
