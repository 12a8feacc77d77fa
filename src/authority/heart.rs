//! What keeps the process's own lease: a commit every third of it, where there is no
//! other.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::command::{Beat, Command, Refusal};
use super::committer::{CommandError, Commands, How};
use super::sessions::Sessions;

/// Commits from time to time.
#[derive(Debug)]
pub struct Heart {
    commands: Commands,
    sessions: Arc<Sessions>,
    ending: CancellationToken,
}

/// Another process works on the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("another process works on the store")]
pub struct Superseded;

/// How long it waits after a commit that came to nothing: a part of a lease.
const RETRY_PART: u32 = 20;

impl Heart {
    /// A heart that beats until `ending`.
    #[must_use]
    pub const fn new(
        commands: Commands,
        sessions: Arc<Sessions>,
        ending: CancellationToken,
    ) -> Self {
        Self {
            commands,
            sessions,
            ending,
        }
    }

    /// Takes the store over, then beats until the authority is gone or the committer
    /// has ended.
    ///
    /// # Errors
    ///
    /// [`Superseded`] if another process has taken over the store: this one must end.
    pub async fn run(self) -> Result<(), Superseded> {
        let mut takes_over = true;
        loop {
            let beat = Command::Beat(Beat {
                node: self.sessions.node(),
                takes_over,
            });
            let pause = match self.commands.run(beat, How::BY_CREDD).await {
                Ok(_) => {
                    takes_over = false;
                    self.until_next()
                }
                Err(CommandError::Refused(Refusal::Superseded)) => return Err(Superseded),
                // The committer ends the process, and says why.
                Err(CommandError::StoreFailed | CommandError::Stopping) => {
                    self.ending.cancelled().await;
                    return Ok(());
                }
                Err(error) => {
                    tracing::warn!(%error, "the process's lease is not renewed");
                    self.sessions.length() / RETRY_PART
                }
            };
            if !self.pause(pause).await {
                return Ok(());
            }
        }
    }

    /// How long until a third of the lease is over that other commits renew too.
    fn until_next(&self) -> Duration {
        let length = self.sessions.length();
        let ends_at = self.sessions.own_end().unwrap_or_default();
        let left = ends_at.since(self.sessions.now());
        left.saturating_sub(length * 2 / 3)
    }

    /// Waits for so long, and on while other commits renew the lease, but not once there
    /// is less to say of leases of before; `false`: there is nothing to beat for.
    async fn pause(&self, first: Duration) -> bool {
        let earlier_run_for = self.sessions.earlier_run_for();
        let earlier = async {
            match earlier_run_for {
                Some(left) => sleep(left).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(earlier);
        let mut wait = first;
        loop {
            tokio::select! {
                () = self.ending.cancelled() => return false,
                () = sleep(wait) => (),
                () = &mut earlier => return true,
            }
            wait = self.until_next();
            if wait.is_zero() {
                return true;
            }
        }
    }
}
