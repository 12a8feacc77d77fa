//! Last use, written behind: Verify never waits for it, and a crash loses at
//! most the last seconds of it.
//!
//! A credential is reported at most once in [`PERIOD_SECONDS`]; what is
//! reported waits in a bounded queue, from which it is dropped when the queue
//! is full, and is committed every [`FLUSH`] or when there is enough of it.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::command::Command;
use super::committer::Commands;
use super::entry::Entry;
use crate::domain::credential::LastUse;
use crate::domain::id::CredentialId;
use crate::domain::names::Principal;
use crate::domain::time::Timestamp;

/// The least time between two reports of a credential's use.
pub const PERIOD_SECONDS: u32 = 10;

/// The longest time that a report waits to be written.
pub const FLUSH: Duration = Duration::from_secs(5);

const QUEUE: usize = 65_536;
const BATCH: usize = 512;

/// Where uses are reported.
#[derive(Clone, Debug)]
pub struct Uses(mpsc::Sender<(CredentialId, LastUse)>);

/// What writes them.
#[derive(Debug)]
pub struct UseWriter {
    reports: mpsc::Receiver<(CredentialId, LastUse)>,
    commands: Commands,
}

impl Uses {
    /// A queue of reports, and what writes them.
    #[must_use]
    pub fn new(commands: Commands) -> (Self, UseWriter) {
        let (sender, reports) = mpsc::channel(QUEUE);
        (Self(sender), UseWriter { reports, commands })
    }

    /// Reports that `by` asked for this credential and was told that it is
    /// good. Never waits.
    pub fn report(&self, entry: &Entry, now: Timestamp, by: &Principal) {
        if entry.claim_report(now, PERIOD_SECONDS) {
            let last_use = LastUse {
                at: now,
                by: by.clone(),
            };
            // A full queue drops the report; the next use makes another.
            let _ = self.0.try_send((entry.id(), last_use));
        }
    }
}

impl UseWriter {
    /// Writes reports until nobody can make more.
    pub async fn run(mut self) {
        while let Some(first) = self.reports.recv().await {
            let mut batch = vec![first];
            let deadline = Instant::now() + FLUSH;
            while batch.len() < BATCH
                && let Ok(Some(report)) = timeout_at(deadline, self.reports.recv()).await
            {
                batch.push(report);
            }
            let written = self.commands.run(Command::RecordUses(dedup(batch))).await;
            if let Err(error) = written {
                tracing::warn!(%error, "dropped records of last use");
            }
        }
    }
}

/// The latest report of each credential.
fn dedup(mut batch: Vec<(CredentialId, LastUse)>) -> Vec<(CredentialId, LastUse)> {
    batch.sort_by_key(|(id, last_use)| (*id, std::cmp::Reverse(last_use.at)));
    batch.dedup_by_key(|(id, _)| *id);
    batch
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(id: u8, at: i64) -> (CredentialId, LastUse) {
        let last_use = LastUse {
            at: Timestamp::from_millis(at),
            by: Principal::trusted(format!("by {at}").into()),
        };
        (CredentialId::from_bytes([id; 16]), last_use)
    }

    #[test]
    fn of_several_reports_the_latest_is_written() {
        let batch = vec![
            report(2, 5),
            report(1, 7),
            report(2, 9),
            report(1, 3),
            report(2, 6),
        ];
        assert_eq!(dedup(batch), [report(1, 7), report(2, 9)]);
    }
}
