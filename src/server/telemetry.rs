//! What the process says of itself: pretty on a terminal, JSON lines otherwise,
//! on standard error.
//!
//! What is let through follows the configuration while the process runs: its file is
//! read again every few seconds, and on SIGHUP at once.
//!
//! Whoever reads standard error may be slow, or stop. What serves others must not wait for
//! it: its lines wait in a bounded queue for a thread of their own, and those that find no
//! room are dropped and counted.

use std::error::Error;
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};
use tracing::Subscriber;
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::{EnvFilter, Registry, reload};

use super::config::{LogDirectives, Problems};
use super::supervise::Failure;

/// How often it is looked what is to be let through.
const LOOK: Duration = Duration::from_secs(10);
/// The most lines that wait to be written: those of a second of calls that are refused one
/// after the other, and a few megabytes.
const WAITING: usize = 8192;
/// How long the end of the process waits for room in the queue.
const ROOM: Duration = Duration::from_secs(1);
/// How often it looks for it.
const ROOM_LOOK: Duration = Duration::from_millis(10);

/// What changes what is let through.
type Filter = reload::Handle<EnvFilter, Registry>;
/// What says what is to be let through.
pub type Reread<'a> = dyn Fn() -> Result<LogDirectives, Problems> + Send + Sync + 'a;

static FILTER: OnceLock<Filter> = OnceLock::new();
static QUEUE: OnceLock<Queue> = OnceLock::new();

/// Who writes the lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writing {
    /// Whoever logs, and waits for whoever reads.
    Here,
    /// A thread, for which nobody waits.
    Apart,
}

/// Lines that wait for the thread that writes them.
struct Queue {
    lines: NonBlocking,
    /// While it is there, the thread goes on.
    guard: Mutex<Option<WorkerGuard>>,
}

/// Starts logging what `directives` let through; directives that can't be read
/// are left out, with a warning on standard error. The second call does nothing.
pub fn start(directives: &str, writing: Writing) {
    let is_terminal = io::stderr().is_terminal();
    match writing {
        Writing::Here => begin(log(directives, is_terminal, io::stderr)),
        Writing::Apart => {
            let (lines, guard) = NonBlockingBuilder::default()
                .buffered_lines_limit(WAITING)
                .thread_name("log")
                .finish(io::stderr());
            begin(log(directives, is_terminal, lines.clone()));
            let guard = Mutex::new(Some(guard));
            let _ = QUEUE.set(Queue { lines, guard });
        }
    }
}

fn begin((log, filter): (impl Subscriber + Send + Sync, Filter)) {
    if tracing::subscriber::set_global_default(log).is_ok() {
        let _ = FILTER.set(filter);
    }
}

/// How many lines were dropped because too many waited to be written.
#[must_use]
pub fn dropped_lines() -> u64 {
    QUEUE.get().map_or(0, Queue::dropped)
}

/// Has the lines written that wait, for about two seconds at most: the last ones say why
/// the process ends. What is logged afterwards is lost.
pub fn end() {
    if let Some(queue) = QUEUE.get() {
        queue.end();
    }
}

impl Queue {
    fn dropped(&self) -> u64 {
        self.lines.error_counter().dropped_lines() as u64
    }

    /// Whether there is room for a line.
    fn has_room(&self) -> bool {
        let before = self.dropped();
        // One that is nothing.
        let _ = self.lines.clone().write(&[]);
        self.dropped() == before
    }

    fn end(&self) {
        let until = Instant::now() + ROOM;
        // A guard that finds no room says so on standard output, where audit events may go.
        while !self.has_room() {
            if Instant::now() >= until {
                return;
            }
            thread::sleep(ROOM_LOOK);
        }
        // It waits a second at most.
        let guard = self.guard.lock().take();
        drop(guard);
    }
}

/// Does something, and meanwhile lets through what `reread` says.
///
/// # Errors
///
/// That of `main`; or SIGHUP can't be waited for.
pub async fn following(
    reread: &Reread<'_>,
    main: impl Future<Output = Result<(), Failure>>,
) -> Result<(), Failure> {
    let hangup = signal(SignalKind::hangup())?;
    tokio::select! {
        outcome = main => outcome,
        () = follow(reread, hangup) => Ok(()),
    }
}

/// Goes on for ever.
async fn follow(reread: &Reread<'_>, mut hangup: Signal) {
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // It has just been read.
    let mut current = reread().ok();
    let mut told = None;
    loop {
        tokio::select! {
            _ = ticks.tick() => (),
            _ = hangup.recv() => told = None,
        }
        match reread() {
            Ok(directives) => {
                told = None;
                if current.as_ref() == Some(&directives) {
                    continue;
                }
                if let Some(handle) = FILTER.get() {
                    let _ = handle.reload(filter(directives.as_str()));
                }
                tracing::info!(log = directives.as_str(), "what is logged has changed");
                current = Some(directives);
            }
            Err(problems) => {
                let problems = problems.to_string();
                if told.as_ref() != Some(&problems) {
                    tracing::warn!(
                        problems,
                        "the configuration can't be read again: what is logged stays as it is"
                    );
                    told = Some(problems);
                }
            }
        }
    }
}

fn filter(directives: &str) -> EnvFilter {
    EnvFilter::builder().parse_lossy(directives)
}

/// What writes the lines that are let through, and what changes which those are.
pub(super) fn log<W>(directives: &str, is_terminal: bool, writer: W) -> (impl Subscriber, Filter)
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let (filter, handle) = reload::Layer::new(filter(directives));
    let lines = fmt::layer().with_writer(writer);
    let lines = if is_terminal {
        lines.boxed()
    } else {
        lines.json().flatten_event(true).boxed()
    };
    (Registry::default().with(filter).with(lines), handle)
}

/// An error and its sources, in one line.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        // Writing to a String does not fail.
        let _ = write!(text, ": {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logged::Logged;

    /// What is written of an event of each level, before and after the levels change.
    fn written(is_terminal: bool) -> [String; 2] {
        let written = Logged::default();
        let writer = written.clone();
        let (log, handle) = log("info", is_terminal, move || writer.clone());
        tracing::subscriber::with_default(log, || {
            let say = || {
                tracing::debug!(outcome = "OK", "quiet");
                tracing::info!(outcome = "OK", "loud");
                written.take()
            };
            let before = say();
            handle.reload(filter("warn,credd=debug")).unwrap();
            [before, say()]
        })
    }

    #[test]
    fn lines_are_json_unless_somebody_reads_them_on_a_terminal() {
        let [before, after] = written(false);
        let parsed: serde_json::Value = serde_json::from_str(before.trim_end()).unwrap();
        assert_eq!(parsed["message"], "loud");
        assert_eq!(parsed["outcome"], "OK");
        assert_eq!(parsed["level"], "INFO");
        let lines: Vec<_> = after.lines().collect();
        assert_eq!(lines.len(), 2);
        assert!(lines[0].contains("\"message\":\"quiet\""), "{after}");
    }

    #[test]
    fn a_terminal_gets_the_same_lines_for_people() {
        let [before, after] = written(true);
        assert!(
            before.contains("loud") && !before.contains("quiet"),
            "{before}"
        );
        assert!(serde_json::from_str::<serde_json::Value>(before.trim_end()).is_err());
        assert!(after.contains("loud") && after.contains("quiet"), "{after}");
    }
}
