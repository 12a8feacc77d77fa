//! Follows the chain and copies what is new.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::line::{Place, line};
use super::output::Output;
use crate::authority::audit::{AuditLog, Order};
use crate::authority::hub::LogError;
use crate::domain::audit::Filter;
use crate::domain::rights::Tenants;
use crate::server::config::AuditFile;
use crate::server::supervise::Failure;

/// How many events are written at once.
const BATCH: usize = 256;
/// How long after a failure it is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// Copies events, from the one after the last that stands in the output (to standard
/// output: from now on), until nobody can add to the log any more.
///
/// A failure to write is logged and tried again. Every event is copied once; only if
/// the output ends with an event that the log does not have, the whole log is copied
/// behind it: the store was replaced or set back, which is logged as an error.
///
/// # Errors
///
/// The log can't be read.
pub async fn export(log: Arc<AuditLog>, output: Output) -> Result<(), Failure> {
    let mut head = log.head();
    let is_file = matches!(output.0, AuditFile::Path(_));
    let mut next = (!is_file).then(|| head.borrow().sequence + 1);
    let mut is_failing = false;
    loop {
        let is_over = head.has_changed().is_err();
        let end = head.borrow_and_update().sequence;
        match copy(&log, &output, &mut next, end).await {
            Ok(()) => {
                if is_failing {
                    tracing::info!(?output, "events are copied again");
                }
                is_failing = false;
                if is_over {
                    return Ok(());
                }
                // An error is the end: what is left is copied once more.
                let _ = head.changed().await;
            }
            Err(CopyError::Output(error)) => {
                if !is_failing {
                    tracing::error!(?output, %error, "events can't be copied: it is tried again");
                }
                is_failing = true;
                if is_over {
                    return Ok(());
                }
                // Perhaps a part was written.
                if is_file {
                    next = None;
                }
                sleep(PAUSE).await;
            }
            Err(CopyError::Log(LogError::Stopping)) => return Ok(()),
            Err(CopyError::Log(error)) => return Err(error.into()),
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum CopyError {
    #[error(transparent)]
    Output(#[from] io::Error),
    #[error(transparent)]
    Log(#[from] LogError),
}

/// Copies the events from `next` on, up to `end`.
async fn copy(
    log: &AuditLog,
    output: &Output,
    next: &mut Option<u64>,
    end: u64,
) -> Result<(), CopyError> {
    let mut from = if let Some(next) = *next {
        next
    } else {
        let last = blocking(output, Output::last).await?;
        first_to_copy(log, last).await?
    };
    let all = Filter::all(Tenants::All);
    while from <= end {
        let page = log
            .list(&all, Order::OldestFirst, Some(from), BATCH)
            .await?;
        let lines = page.listed.iter().map(|listed| line(listed, log.store()));
        let lines = lines.collect::<Vec<_>>().concat();
        if !lines.is_empty() {
            blocking(output, move |output| output.write(&lines)).await?;
        }
        let last = page.listed.last().map(|listed| listed.sequence + 1);
        from = page.next.or(last).unwrap_or(end + 1);
        *next = Some(from);
    }
    *next = Some(from);
    Ok(())
}

/// The first event that is not there yet, after this last one.
async fn first_to_copy(log: &AuditLog, last: Option<Place>) -> Result<u64, LogError> {
    let start = log.start().await?;
    let Some(last) = last else {
        return Ok(start.sequence + 1);
    };
    let is_ours = if last.store != log.store().to_string() {
        false
    } else if last.sequence < start.sequence {
        // Those between were removed before they could be copied.
        tracing::warn!(
            from = last.sequence + 1,
            through = start.sequence,
            "events were removed by retention before they were copied"
        );
        return Ok(start.sequence + 1);
    } else if last.sequence == start.sequence {
        last.hash == start.hash.to_string()
    } else {
        let all = Filter::all(Tenants::All);
        let page = log
            .list(&all, Order::OldestFirst, Some(last.sequence), 1)
            .await?;
        let held = page.listed.first();
        let held = held.filter(|listed| listed.sequence == last.sequence);
        let hash = held.and_then(|listed| listed.header.as_ref());
        hash.is_some_and(|header| header.hash.to_string() == last.hash)
    };
    if is_ours {
        return Ok(last.sequence + 1);
    }
    tracing::error!(
        store = last.store,
        sequence = last.sequence,
        hash = last.hash,
        "the last event that was copied is not in the audit log: the store was replaced or set back; all of its events follow"
    );
    Ok(start.sequence + 1)
}

/// Does what blocks where it may.
async fn blocking<T: Send + 'static>(
    output: &Output,
    work: impl FnOnce(&Output) -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let output = output.clone();
    let worked = tokio::task::spawn_blocking(move || work(&output)).await;
    worked.map_err(io::Error::other)?
}
