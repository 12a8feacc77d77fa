//! What the process does from its start to its end.

use std::error::Error;
use std::path::Path;

use super::administrator;
use super::config::{Fence, Settings};
use super::data_dir::DataDir;
use super::export::{self, Wanted};
use super::incoming;
use super::listeners::Listeners;
use super::open::{self, IfMissing, OpenError, Opened, open};
use super::restore::{self, Given};
use super::run::{run, start_authority};
use super::supervise::{Failure, Supervisor};
use super::telemetry::{self, Reread};
use crate::authority::Authority;
use crate::authority::directory::Configured;
use crate::authority::feed::FeedError;
use crate::authority::record::NEWEST_FORMAT;
use crate::store::StoreError;

/// Serves until the process is told to stop by SIGTERM or SIGINT, and logs what
/// `reread` says.
///
/// # Errors
///
/// Whatever keeps the server from starting or from going on.
pub fn serve(settings: &Settings, reread: &Reread<'_>) -> Result<(), Failure> {
    incoming::raise_descriptor_limit();
    block_on(telemetry::following(reread, async {
        let mut stop = Box::pin(stop_signal()?);
        loop {
            let listeners = Listeners::bind(settings).await?;
            match run(settings, listeners, &mut stop).await {
                Err(error) if has_lost_the_log(&*error) => {
                    tracing::warn!(
                        "the store has forgotten changes that were not applied here yet: it is loaded anew"
                    );
                }
                ended => return ended,
            }
        }
    }))
}

/// Whether the server ended because it lagged behind what the store keeps of its log.
fn has_lost_the_log(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(FeedError::Store(StoreError::Compacted { .. })) = error.downcast_ref() {
            return true;
        }
        next = error.source();
    }
    false
}

/// Creates a store, with what it needs. With a time, only until then, and where there is
/// a store already that is well.
///
/// # Errors
///
/// [`OpenError::Exists`] and [`OpenError::ExistsInEtcd`] without a time, if there is a
/// store; [`TooLate`]; whatever else keeps it from being created.
pub fn init(settings: &Settings, until: Option<jiff::Timestamp>) -> Result<(), Failure> {
    let directory = DataDir::new(settings.store.data_dir.clone());
    let Some(until) = until else {
        if open::exists(settings, &directory)? {
            return Err(already(settings, &directory).into());
        }
        return create(settings);
    };
    if !open::exists(settings, &directory)? {
        if jiff::Timestamp::now() > until {
            return Err(TooLate(until).into());
        }
        match create(settings) {
            // Somebody else was faster.
            Err(_) if settings.etcd.is_some() && open::exists(settings, &directory)? => (),
            done => return done,
        }
    }
    tracing::info!("{}", already(settings, &directory));
    Ok(())
}

/// There is no store, and none is to be made any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is no store, and it was to be created until {0}: an empty volume now is no first start; restore a backup, or say a later time if there was never anything to lose"
)]
pub struct TooLate(pub jiff::Timestamp);

fn already(settings: &Settings, directory: &DataDir) -> OpenError {
    match &settings.etcd {
        Some(etcd) => OpenError::ExistsInEtcd(etcd.prefix.as_str().to_owned()),
        None => OpenError::Exists(directory.path().to_owned()),
    }
}

fn create(settings: &Settings) -> Result<(), Failure> {
    let opened = open(settings, IfMissing::Create)?;
    with_authority(opened, async |opened, authority| {
        Ok(opened.complete(authority).await?)
    })
}

/// Makes another administrator, where nobody can administer credd any more: writes
/// a token to the data directory, which no server may have open.
///
/// # Errors
///
/// [`OpenError::InUse`] while a server runs; whatever else keeps it from that.
pub fn recover(settings: &Settings) -> Result<(), Failure> {
    // What is configured may be what is wrong.
    let opened = open(&stored_only(settings), IfMissing::Refuse)?;
    with_authority(opened, async |opened, authority| {
        let (owner, path) = administrator::recover(&opened.directory, authority).await?;
        tracing::warn!(%owner, path = %path.display(), "made an administrator, whose token is in a file");
        Ok(())
    })
}

/// Restores a backup into an empty data directory, or says of one that was restored
/// what was revoked since. No server may have it open.
///
/// # Errors
///
/// [`RestoreError`](super::restore::RestoreError); whatever else keeps it from that.
pub fn restore(settings: &Settings, given: &Given) -> Result<(), Failure> {
    // Leases may have been longer after the backup than it tells: the first fences wait
    // for the longest that there can be, which is on record as one of this process.
    let settings = Settings {
        fence: Fence {
            lease_ms: Fence::LONGEST_MS,
        },
        ..stored_only(settings)
    };
    let (opened, steps) = restore::prepare(&settings, given)?;
    with_authority(opened, async |opened, authority| {
        restore::finish(opened, authority, steps).await
    })
}

/// Writes all that a store holds to a file, and closes it; or opens it again.
///
/// # Errors
///
/// [`ExportError`](super::export::ExportError); whatever else keeps it from that.
pub fn export(settings: &Settings, wanted: &Wanted) -> Result<(), Failure> {
    let opened = open::open_to_export(&stored_only(settings))?;
    with_authority(opened, async |opened, authority| {
        export::run(opened, authority, wanted).await
    })
}

/// Makes a store of an export.
///
/// # Errors
///
/// [`RestoreError`](super::restore::RestoreError); whatever else keeps it from that.
pub fn import(settings: &Settings, from: &Path) -> Result<(), Failure> {
    let (opened, steps) = restore::import(&stored_only(settings), from)?;
    with_authority(opened, async |opened, authority| {
        restore::finish(opened, authority, steps).await
    })
}

/// Has records of a store written in the newest format.
///
/// # Errors
///
/// Whatever keeps it from that: a server that does not read it.
pub fn upgrade(settings: &Settings) -> Result<(), Failure> {
    let opened = open(&stored_only(settings), IfMissing::Refuse)?;
    with_authority(opened, async |_, authority| {
        if authority.upgrade(NEWEST_FORMAT).await? {
            tracing::info!(
                format = NEWEST_FORMAT,
                "records are written in the newest format now"
            );
        } else {
            tracing::info!(
                format = NEWEST_FORMAT,
                "records are written in the newest format already"
            );
        }
        Ok(())
    })
}

/// The same settings, with nothing of the directory: only what is stored is looked at.
fn stored_only(settings: &Settings) -> Settings {
    Settings {
        configured: Configured::default(),
        ..settings.clone()
    }
}

/// Does something with what a data directory holds, and ends when all of it is
/// written.
fn with_authority(
    opened: Opened,
    act: impl AsyncFnOnce(&Opened, &Authority) -> Result<(), Failure>,
) -> Result<(), Failure> {
    block_on(async {
        let mut supervisor = Supervisor::new();
        let authority = start_authority(&opened, &mut supervisor)?;
        let done = act(&opened, &authority).await;
        drop((authority, opened));
        supervisor.all_ends().await;
        done
    })
}

/// Runs the process's one runtime. What still blocks a thread at the end, such
/// as a store being loaded, is not waited for.
pub(crate) fn block_on(main: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_name("rpc")
        .enable_all()
        .build()?;
    let outcome = runtime.block_on(main);
    runtime.shutdown_background();
    outcome
}

/// Done when the process is told to stop.
pub(crate) fn stop_signal() -> std::io::Result<impl Future<Output = ()> + Send> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => (),
            _ = interrupt.recv() => (),
        }
    })
}
