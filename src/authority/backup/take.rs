//! Making a backup of a store that others write to.

use std::io::{self, Write};
use std::time::Duration;

use super::{End, Header, Item, Purpose, Writer};
use crate::authority::record::{UnreadableRecord, is_request, without_answer};
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
    /// What stands in it can't be read.
    #[error(transparent)]
    Unreadable(#[from] UnreadableRecord),
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
    take_with(store, header, keyring, output, |_| ())
}

/// The same; `each` is told now and then how many keys of the store were read.
///
/// # Errors
///
/// [`TakeError`]; what was written then is no backup.
pub fn take_with<W: Write>(
    store: &dyn Store,
    header: Header,
    keyring: &Keyring,
    output: W,
    mut each: impl FnMut(u64),
) -> Result<(W, End), TakeError> {
    let begin = store.snapshot()?;
    let header = Header {
        begun_at: begin.revision,
        ..header
    };
    let mut taking = Taking {
        store,
        purpose: header.purpose,
        writer: Writer::begin(output, &header)?,
        reached: begin,
    };
    let mut newest = begin.revision;
    let mut range = KeyRange::all();
    let mut read = 0;
    loop {
        let page = store.scan(&range, SCAN_PAGE)?;
        let Some(last) = page.last() else { break };
        range = range.after(&last.key);
        read += page.len() as u64;
        for entry in page {
            newest = newest.max(entry.revision);
            taking.put(Item {
                key: entry.key,
                revision: entry.revision,
                value: Some(entry.value),
            })?;
        }
        each(read);
        // Not later: the log may be shortened.
        taking.follow(store.snapshot()?.revision)?;
    }
    taking.follow(newest.max(store.snapshot()?.revision))?;
    Ok(taking.writer.finish(taking.reached, keyring)?)
}

struct Taking<'a, W> {
    store: &'a dyn Store,
    purpose: Purpose,
    writer: Writer<W>,
    /// Up to where the log was written.
    reached: Position,
}

impl<W: Write> Taking<'_, W> {
    fn put(&mut self, mut item: Item) -> Result<(), TakeError> {
        if is_request(&item.key) {
            match self.purpose {
                Purpose::Backup => return Ok(()),
                Purpose::Export => {
                    let value = item.value.as_ref();
                    let value = value.map(|value| without_answer(&item.key, value));
                    item.value = value.transpose()?;
                }
            }
        }
        Ok(self.writer.put(item)?)
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

    fn commit(&mut self, commit: &Commit) -> Result<(), TakeError> {
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
