//! Making a backup of a store that others write to.

use std::io::{self, Write};
use std::time::Duration;

use super::{End, Header, Item, Writer};
use crate::authority::record::is_in_backup;
use crate::domain::keyring::Keyring;
use crate::domain::revision::{Position, Revision};
use crate::store::{Commit, KeyRange, PageLimit, Store, StoreError};

/// How many keys, and how much of the log, are read at once: at most 2 MiB each.
const SCAN_PAGE: usize = 512;
const LOG_PAGE: PageLimit = PageLimit {
    commits: 64,
    bytes: 1 << 20,
};
/// How long to wait for a commit that was seen to be durable, before one looks again.
const WAIT: Duration = Duration::from_secs(1);

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
pub enum TakeError {
    /// The store can't be read; [`StoreError::Compacted`]: the log was shortened before
    /// what came of it was taken, and it may be tried again.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Nobody takes what is written.
    #[error(transparent)]
    Output(#[from] io::Error),
}

/// Writes a backup of a store as of a commit that is not before those of its call.
/// Blocks; commits go on meanwhile.
///
/// The scan shows any key at least as of when its page was read, and what was
/// committed since before that page follows it. So whoever applies everything in order
/// has, for each key, what the last commit of the backup left there. A page may show
/// what is not durable yet: the end waits for it.
///
/// # Errors
///
/// [`TakeError`]; what was written then is no backup.
pub fn take<W: Write>(
    store: &dyn Store,
    header: Header,
    keyring: &Keyring,
    output: W,
) -> Result<(W, End), TakeError> {
    let begin = store.snapshot()?;
    let header = Header {
        begun_at: begin.revision,
        ..header
    };
    let mut taking = Taking {
        store,
        writer: Writer::begin(output, &header)?,
        reached: begin,
    };
    let mut newest = begin.revision;
    let mut range = KeyRange::all();
    loop {
        let page = store.scan(&range, SCAN_PAGE)?;
        let Some(last) = page.last() else { break };
        range = range.after(&last.key);
        for entry in page {
            newest = newest.max(entry.revision);
            taking.put(Item {
                key: entry.key,
                revision: entry.revision,
                value: Some(entry.value),
            })?;
        }
        // Not later: the log may be shortened.
        taking.follow(store.snapshot()?.revision)?;
    }
    taking.follow(newest.max(store.snapshot()?.revision))?;
    Ok(taking.writer.finish(taking.reached, keyring)?)
}

struct Taking<'a, W> {
    store: &'a dyn Store,
    writer: Writer<W>,
    /// Up to where the log was written.
    reached: Position,
}

impl<W: Write> Taking<'_, W> {
    fn put(&mut self, item: Item) -> io::Result<()> {
        if is_in_backup(&item.key) {
            self.writer.put(item)?;
        }
        Ok(())
    }

    /// Writes the commits up to this one, and perhaps a few more.
    fn follow(&mut self, through: Revision) -> Result<(), TakeError> {
        while self.reached.revision < through {
            let after = self.reached.revision;
            let changes = self.store.changes(after, LOG_PAGE, WAIT)?;
            for commit in &changes.commits {
                self.commit(commit)?;
            }
        }
        Ok(())
    }

    fn commit(&mut self, commit: &Commit) -> io::Result<()> {
        let revision = commit.position.revision;
        for write in &commit.writes {
            self.put(Item {
                key: write.key.clone(),
                revision,
                value: write.value.clone(),
            })?;
        }
        self.reached = commit.position;
        Ok(())
    }
}
