//! Following what is committed, and reading what was.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::History;
use super::connection::{Connection, Events};
use super::layout::Layout;
use super::log::{Assembler, Commits, Log};
use crate::proto::etcdserverpb::WatchResponse;
use crate::store::{PageLimit, StoreError};

/// How long after a stream that ended another is begun.
const PAUSE: Duration = Duration::from_millis(100);
/// How often the server is asked to say something, and how long it may be silent.
const HEARTBEAT: Duration = Duration::from_secs(1);
const SILENCE: Duration = Duration::from_secs(5);

/// Why a stream of events ended.
#[derive(Debug)]
enum End {
    /// What was at the revision where it is to begin is not kept.
    Compacted(i64),
    /// It can be tried again.
    Broken(Status),
}

/// Tells the log what is committed, until `closing`.
pub(super) async fn follow(
    connection: Arc<Connection>,
    layout: Arc<Layout>,
    log: Arc<Log>,
    history: History,
    closing: CancellationToken,
) {
    let follow = async {
        loop {
            match follow_once(&connection, &layout, &log, history).await {
                // What came before it is read again by who needs it.
                End::Compacted(floor) => log.forget(floor),
                End::Broken(status) => connection.tell(&status, "no longer follows etcd"),
            }
            sleep(PAUSE).await;
        }
    };
    closing.run_until_cancelled(follow).await;
}

async fn follow_once(connection: &Connection, layout: &Layout, log: &Log, history: History) -> End {
    let reached = log.reached();
    let mut assembler = Assembler::new(history, reached);
    // Of the revision itself too: that of what is deleted in it would be missing if it
    // was the last that etcd has forgotten.
    let mut events = match connection.watch(layout.all(), reached.max(1)).await {
        Ok(events) => events,
        Err(status) => return End::Broken(status),
    };
    loop {
        let mut commits = Commits::new();
        let mut last = 0;
        match next(&mut events, || log.hear()).await {
            Ok(response) => {
                for event in response.events {
                    last = event.kv.as_ref().map_or(last, |kv| kv.mod_revision);
                    match assembler.event(layout, event) {
                        Ok(commit) => commits.extend(commit),
                        Err(error) => return End::Broken(Status::data_loss(error.to_string())),
                    }
                }
            }
            Err(end) => return end,
        }
        // The last transaction may have more events than have come.
        log.take(commits, (last - 1).max(assembler.after()));
    }
}

/// The commits after a revision, up to another at which there is one, as many as fit
/// into a page.
pub(super) async fn read(
    connection: &Connection,
    layout: &Layout,
    history: History,
    (after, through): (i64, i64),
    limit: PageLimit,
) -> Result<Commits, StoreError> {
    loop {
        match read_once(connection, layout, history, (after, through), limit).await {
            Ok(commits) => return Ok(commits),
            Err(End::Compacted(floor)) => {
                return Err(StoreError::Compacted {
                    floor: history.position(floor),
                });
            }
            Err(End::Broken(status)) => {
                connection.tell(&status, "can't read the log from etcd");
                sleep(PAUSE).await;
            }
        }
    }
}

async fn read_once(
    connection: &Connection,
    layout: &Layout,
    history: History,
    (after, through): (i64, i64),
    limit: PageLimit,
) -> Result<Commits, End> {
    let mut assembler = Assembler::new(history, after);
    let events = connection.watch(layout.all(), after.max(1)).await;
    let mut events = events.map_err(End::Broken)?;
    let (mut commits, mut bytes) = (Commits::new(), 0_usize);
    loop {
        for event in next(&mut events, || ()).await?.events {
            let commit = assembler.event(layout, event);
            let commit = commit.map_err(|it| End::Broken(Status::data_loss(it.to_string())))?;
            let Some(commit) = commit else { continue };
            bytes = bytes.saturating_add(commit.payload_bytes());
            commits.push(commit);
            if assembler.after() >= through || commits.len() > limit.commits || bytes > limit.bytes
            {
                return Ok(commits);
            }
        }
    }
}

/// The next message that is not empty. `heard` is called for each that comes.
async fn next(events: &mut Events, heard: impl Fn()) -> Result<WatchResponse, End> {
    let mut silent_for = Duration::ZERO;
    loop {
        let message = timeout(HEARTBEAT, events.next()).await;
        if let Ok(Ok(_)) = message {
            heard();
        }
        match message {
            Ok(Ok(response)) if response.compact_revision > 0 => {
                return Err(End::Compacted(response.compact_revision));
            }
            Ok(Ok(response)) if response.canceled => {
                return Err(End::Broken(Status::unavailable(response.cancel_reason)));
            }
            Ok(Ok(response)) if response.events.is_empty() => silent_for = Duration::ZERO,
            Ok(Ok(response)) => return Ok(response),
            Ok(Err(status)) => return Err(End::Broken(status)),
            Err(_) if silent_for >= SILENCE => {
                return Err(End::Broken(Status::deadline_exceeded("etcd is silent")));
            }
            Err(_) => {
                silent_for += HEARTBEAT;
                events.ask();
            }
        }
    }
}
