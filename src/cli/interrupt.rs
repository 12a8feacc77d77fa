//! A signal to end, such as Ctrl-C, at any time: whatever is waited for ends as a failure,
//! so that what was begun is taken away, and said.
//!
//! What is waited for goes through [`or`] or [`wait`]. Where that does not end the process
//! soon, a second signal does, wherever it is.

use std::fs;
use std::sync::LazyLock;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::sleep;

use super::failure::Failure;
use super::terminal;

/// How often somebody who waits looks whether there was one.
const LOOK: Duration = Duration::from_millis(50);
/// How long what was begun may take to be taken away after a second signal: the first may
/// have come just before, as from a terminal that is closed and from its shell.
const GRACE: Duration = Duration::from_secs(1);

/// The exit code of the first; `None`: there was none.
static IS_TOLD: LazyLock<watch::Sender<Option<u8>>> = LazyLock::new(|| watch::Sender::new(None));

/// Listens from now on, on a thread of the runtime, to those signals that are not ignored,
/// as `nohup` has it.
pub(super) fn listen(runtime: &Runtime) {
    let _inside = runtime.enter();
    let ignored = ignored();
    for kind in [
        SignalKind::interrupt(),
        SignalKind::terminate(),
        SignalKind::hangup(),
        SignalKind::quit(),
    ] {
        let number = u8::try_from(kind.as_raw_value()).unwrap_or(0);
        let is_ignored = ignored >> number.saturating_sub(1) & 1 == 1;
        // One that is not heard ends the process, as if nobody listened.
        if !is_ignored && let Ok(mut signals) = signal(kind) {
            runtime.spawn(async move {
                while signals.recv().await.is_some() {
                    hear(128 + number).await;
                }
            });
        }
    }
}

/// Which signals are ignored, the first of them in the lowest bit, as proc(5) has it.
fn ignored() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.unwrap_or(0)
}

async fn hear(code: u8) {
    let is_first = IS_TOLD.send_if_modified(|told| {
        let is_first = told.is_none();
        told.get_or_insert(code);
        is_first
    });
    if !is_first {
        sleep(GRACE).await;
        terminal::restore();
        std::process::exit(code.into());
    }
}

/// What comes of something, if it comes before a signal to end.
pub(super) async fn or<T>(awaited: impl Future<Output = T>) -> Result<T, Failure> {
    let mut told = IS_TOLD.subscribe();
    let told = async move {
        let code = told.wait_for(Option::is_some).await;
        code.ok().and_then(|code| *code)
    };
    tokio::select! {
        biased;
        it = awaited => Ok(it),
        Some(code) = told => Err(Failure::Interrupted(code)),
    }
}

/// The same, of what holds up its thread: it has one of its own, which is left to itself
/// after a signal.
pub(super) fn wait<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    let (done, ended) = mpsc::channel();
    let thread = thread::Builder::new();
    let started = thread.spawn(move || {
        // Nobody takes it after a signal.
        let _ = done.send(work());
    });
    started.map_err(|error| Failure::Other(error.to_string()))?;
    loop {
        match ended.recv_timeout(LOOK) {
            Ok(it) => return Ok(it),
            Err(RecvTimeoutError::Timeout) => {
                if let Some(code) = *IS_TOLD.borrow() {
                    return Err(Failure::Interrupted(code));
                }
            }
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Failure::Other("a thread ended too early".to_owned()));
            }
        }
    }
}
