//! What the process does with the audit log beside serving it: it copies it to a
//! file or to standard output, and removes its oldest part.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::supervise::Failure;
use crate::authority::Authority;
use crate::authority::audit::EraseError;
use crate::authority::committer::CommandError;
use crate::authority::hub::LogError;

mod export;
mod line;
mod output;

pub use export::export;
pub use output::Output;

/// How often the oldest part is looked at.
const RETENTION_PERIOD: Duration = Duration::from_mins(10);

/// Removes, from time to time, the events that need not be kept.
///
/// # Errors
///
/// The store can't be read.
pub async fn keep_short(
    authority: Arc<Authority>,
    keep: Duration,
    stopping: CancellationToken,
) -> Result<(), Failure> {
    let mut ticks = tokio::time::interval(RETENTION_PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stopping.run_until_cancelled(ticks.tick()).await.is_some() {
        if !authority.leads() {
            continue;
        }
        match authority.trim_audit(keep).await {
            Ok(0) => (),
            Ok(removed) => tracing::info!(removed, "removed the oldest events of the audit log"),
            // The committer ends the process.
            Err(
                EraseError::Command(CommandError::StoreFailed | CommandError::Stopping)
                | EraseError::Log(LogError::Stopping),
            ) => return Ok(()),
            Err(EraseError::Log(error)) => return Err(error.into()),
            Err(EraseError::Command(error)) => {
                tracing::warn!(%error, "the audit log is shortened the next time");
            }
        }
    }
    Ok(())
}
