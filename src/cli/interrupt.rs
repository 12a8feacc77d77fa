//! An interrupt, such as Ctrl-C, at any time: whatever is waited for ends as a failure, so
//! that what was begun is taken away, and said.
//!
//! What is waited for goes through [`or`] or [`wait`]. A second interrupt ends the process
//! wherever it is.

use std::sync::LazyLock;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::failure::{Failure, INTERRUPTED};

/// How often somebody who waits looks whether there was one.
const LOOK: Duration = Duration::from_millis(50);

/// Whether there was one.
static IS_TOLD: LazyLock<watch::Sender<bool>> = LazyLock::new(|| watch::Sender::new(false));

/// Listens from now on, on a thread of the runtime.
pub(super) fn listen(runtime: &Runtime) {
    let _inside = runtime.enter();
    let Ok(mut interrupts) = signal(SignalKind::interrupt()) else {
        // One ends the process, as if nobody listened.
        return;
    };
    runtime.spawn(async move {
        interrupts.recv().await;
        IS_TOLD.send_replace(true);
        interrupts.recv().await;
        std::process::exit(INTERRUPTED.into());
    });
}

/// What comes of something, if it comes before an interrupt.
pub(super) async fn or<T>(awaited: impl Future<Output = T>) -> Result<T, Failure> {
    let mut told = IS_TOLD.subscribe();
    tokio::select! {
        biased;
        it = awaited => Ok(it),
        _ = told.wait_for(|it| *it) => Err(Failure::Interrupted),
    }
}

/// The same, of what holds up its thread: it has one of its own, which is left to itself
/// after an interrupt.
pub(super) fn wait<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    let (done, ended) = mpsc::channel();
    let thread = thread::Builder::new();
    let started = thread.spawn(move || {
        // Nobody takes it after an interrupt.
        let _ = done.send(work());
    });
    started.map_err(|error| Failure::Other(error.to_string()))?;
    loop {
        match ended.recv_timeout(LOOK) {
            Ok(it) => return Ok(it),
            Err(RecvTimeoutError::Timeout) if *IS_TOLD.borrow() => {
                return Err(Failure::Interrupted);
            }
            Err(RecvTimeoutError::Timeout) => (),
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Failure::Other("a thread ended too early".to_owned()));
            }
        }
    }
}
