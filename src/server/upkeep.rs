//! What is done from time to time, and nobody asks for.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::supervise::Failure;
use crate::authority::committer::CommandError;
use crate::authority::retention::{self, Retention};
use crate::authority::sweep::{Keep, Swept};
use crate::authority::{Authority, Parts, background};
use crate::rpc::limits::Limits;
use crate::store::StoreError;

/// How often the log is looked at for what need not be kept.
const RETENTION_PERIOD: Duration = Duration::from_mins(1);
/// How often it is looked for what has expired and what is over.
const SWEEP_PERIOD: Duration = Duration::from_secs(10);

/// Ends what has expired, and removes what is over.
pub(super) async fn sweep(
    authority: Arc<Authority>,
    keep: Keep,
    stopping: CancellationToken,
) -> Result<(), Failure> {
    let mut ticks = tokio::time::interval(SWEEP_PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut swept = Swept::default();
    while stopping.run_until_cancelled(ticks.tick()).await.is_some() {
        if !authority.leads() {
            continue;
        }
        match authority.sweep(&mut swept, keep).await {
            Ok(()) => (),
            // The committer ends the process.
            Err(CommandError::StoreFailed | CommandError::Stopping) => return Ok(()),
            Err(error) => tracing::warn!(%error, "the upkeep waits for the next time"),
        }
    }
    Ok(())
}

/// Forgets who has not called for long.
pub(super) async fn forget_idle_callers(
    limits: Arc<Limits>,
    stopping: CancellationToken,
) -> Result<(), Failure> {
    let mut ticks = tokio::time::interval(SWEEP_PERIOD);
    while stopping.run_until_cancelled(ticks.tick()).await.is_some() {
        limits.forget_idle();
    }
    Ok(())
}

/// Removes from the log of changes what need not be kept.
pub(super) async fn keep_log_short(
    authority: Arc<Authority>,
    parts: Parts,
    retention: Retention,
    stopping: CancellationToken,
) -> Result<(), Failure> {
    let mut ticks = tokio::time::interval(RETENTION_PERIOD);
    while stopping.run_until_cancelled(ticks.tick()).await.is_some() {
        if !authority.leads() {
            continue;
        }
        let (store, clock) = (Arc::clone(&parts.store), Arc::clone(&parts.clock));
        let compact = move || retention::compact(&store, &*clock, retention);
        match background::work(compact).await? {
            Ok(Some(through)) => tracing::info!(%through, "compacted the log"),
            // Or somebody else has compacted it meanwhile.
            Ok(None) | Err(StoreError::Compacted { .. } | StoreError::Ahead { .. }) => (),
            // It is no worse than before, and Verify and Watch go on.
            Err(StoreError::Full { free, reserve }) => {
                tracing::warn!(
                    free,
                    reserve,
                    "the log is not compacted: the disk is nearly full"
                );
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
