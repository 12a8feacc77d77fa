//! What applies the commits of other processes, where there are others.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::feed::{Feed, FeedError};

/// Follows a store that others commit to.
#[derive(Debug)]
pub struct Follower {
    pub(super) feed: Arc<Feed>,
    pub(super) is_shared: bool,
    pub(super) ending: CancellationToken,
}

impl Follower {
    /// Applies commits until the authority is gone. Blocks: run it on a thread of its
    /// own.
    ///
    /// # Errors
    ///
    /// [`FeedError`] if the log can't be read: the process must end.
    pub fn run(self) -> Result<(), FeedError> {
        const WAIT: Duration = Duration::from_millis(100);

        if self.is_shared {
            while !self.ending.is_cancelled() {
                self.feed.follow(WAIT)?;
            }
        }
        Ok(())
    }

    /// The same as a task, for a store that does not block: one in memory. It looks
    /// every so often.
    ///
    /// # Errors
    ///
    /// [`FeedError`] if the log can't be read: the process must end.
    pub async fn run_as_task(self, every: Duration) -> Result<(), FeedError> {
        if self.is_shared {
            let mut ticks = tokio::time::interval(every);
            while self
                .ending
                .run_until_cancelled(ticks.tick())
                .await
                .is_some()
            {
                self.feed.catch_up(None)?;
            }
        }
        Ok(())
    }
}
