//! What keeps the process's own lease: a commit every third of it. It also tells the
//! other processes that work on the store which fenced changes are settled here, and
//! removes the records of those that are no more.

use std::sync::Arc;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::command::Command;
use super::committer::{CommandError, Commands, How};
use super::keys::Keys;
use super::sessions::Sessions;
use crate::domain::time::Timestamp;

/// Commits from time to time.
#[derive(Debug)]
pub struct Heart {
    pub(super) commands: Commands,
    pub(super) sessions: Arc<Sessions>,
    pub(super) keys: Arc<Keys>,
    pub(super) started_at: Timestamp,
    pub(super) ending: CancellationToken,
}

/// How long it waits after a commit that came to nothing: a part of a lease.
const RETRY_PART: u32 = 20;
/// How many records are removed at a time.
const MOST_BURIED: usize = 32;
/// How often it beats in a lease.
const BEATS: u32 = 3;

impl Heart {
    /// Beats until the authority is gone or the committer has ended.
    pub async fn run(self) {
        loop {
            let length = self.sessions.length();
            let is_going_on = match self.beat().await {
                Ok(()) => tokio::select! {
                    () = self.ending.cancelled() => false,
                    () = sleep(length / BEATS) => true,
                    () = self.sessions.has_more_to_tell() => true,
                },
                // The committer ends the process, and says why.
                Err(CommandError::StoreFailed | CommandError::Stopping) => {
                    self.ending.cancelled().await;
                    false
                }
                Err(error) => {
                    tracing::warn!(%error, "the process's lease is not renewed");
                    tokio::select! {
                        () = self.ending.cancelled() => false,
                        () = sleep(length / RETRY_PART) => true,
                    }
                }
            };
            if !is_going_on {
                return;
            }
        }
    }

    async fn beat(&self) -> Result<(), CommandError> {
        let node = self
            .sessions
            .node(self.started_at, self.keys.current().checks());
        let beat = Command::Beat(self.sessions.incarnation(), Arc::new(node));
        self.commands.run(beat, How::BY_CREDD).await?;
        self.bury().await;
        Ok(())
    }

    /// Removes records of processes that are no more: some of them, each time.
    async fn bury(&self) {
        let mut over = self.sessions.over();
        over.truncate(MOST_BURIED);
        if !over.is_empty()
            && let Err(error) = self.commands.run(Command::Bury(over), How::BY_CREDD).await
        {
            tracing::debug!(%error, "records of processes that are gone stay for now");
        }
    }
}
