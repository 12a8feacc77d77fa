//! How long events are kept.

use std::time::Duration;

use super::erasing::EraseError;
use super::told::Trimming;
use crate::authority::Authority;
use crate::authority::command::Command;
use crate::domain::audit::Head;

/// How many records are removed by one commit, at most.
pub const REMOVED_AT_ONCE: usize = 512;

impl Authority {
    /// Removes the oldest part of the log, up to the first record that is younger than
    /// `keep`. Where it begins then is known, and an event that is not removed with
    /// them tells of it, so that the rest can be checked. Returns how many were removed.
    ///
    /// # Errors
    ///
    /// [`EraseError`]; the rest is removed the next time.
    pub async fn trim_audit(&self, keep: Duration) -> Result<u64, EraseError> {
        let log = self.audit().log();
        let _undisturbed = log.undisturbed().await;
        let before = self.now().saturating_sub(keep);
        let end = log.head().borrow().sequence;
        let mut removed = 0;
        loop {
            let first = log.start().await?.sequence + 1;
            let most = REMOVED_AT_ONCE.min(self.commands.most_writes());
            let page = log.records(first, end).await?;
            // What is broken is evidence, and stays.
            let old = page.iter().zip(first..).take_while(|(record, expected)| {
                record.sequence == *expected && record.at().is_some_and(|at| at < before)
            });
            let old = old.filter_map(|(record, _)| record.record.as_ref().ok());
            let old = old.take(most).zip(1..).map(|(record, n)| (n, record));
            let (Some((count, last)), Some(found)) = (old.last(), page.first()) else {
                return Ok(removed);
            };
            let last = &last.entry;
            let trimming = Trimming {
                sequences: first..=last.sequence,
                written: found.written,
                anchor: Head {
                    sequence: last.sequence,
                    hash: last.hash,
                },
            };
            removed += count;
            self.run(Command::TrimAudit(trimming)).await?;
        }
    }
}
