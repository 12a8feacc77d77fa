//! Work that may wait while verdicts are asked for.
//!
//! It is done on threads of a lower priority. A thread of the system's runs for
//! milliseconds before another of its priority gets its turn, and a verdict takes
//! some microseconds: so those who give verdicts are to come first.

use std::cell::Cell;

use tokio::task::JoinError;

/// How much nicer to others the threads are (nice(2)): next to one that gives
/// verdicts and never rests, one of these has a tenth of a core.
const NICENESS: i32 = 10;

thread_local! {
    static IS_IN_PLACE: Cell<bool> = const { Cell::new(false) };
}

/// From now on what this thread is asked to have done elsewhere it does itself, at
/// once. For a simulation, where everything happens in one order.
pub fn work_in_place() {
    IS_IN_PLACE.set(true);
}

/// Does on another thread what blocks or takes long.
///
/// # Errors
///
/// [`JoinError`] if it panics, or does not begin before the process ends.
pub async fn work<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, JoinError> {
    if IS_IN_PLACE.get() {
        return Ok(work());
    }
    let work = move || {
        lower_priority();
        work()
    };
    tokio::task::spawn_blocking(work).await
}

/// Lowers the priority of the thread that this runs on, for as long as it lives.
pub fn lower_priority() {
    thread_local! {
        static IS_LOW: Cell<bool> = const { Cell::new(false) };
    }
    if !IS_LOW.replace(true) {
        // On Linux it is the thread's alone. Where it is refused, all are alike.
        let _ = rustix::process::nice(NICENESS);
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::getpriority_process;

    use super::*;

    #[tokio::test]
    async fn it_lowers_the_priority_of_its_own_thread_once() {
        let before = getpriority_process(None).unwrap();
        let lowered = work(|| {
            lower_priority();
            getpriority_process(None).unwrap()
        });
        let most = 19;
        assert_eq!(lowered.await.unwrap(), (before + NICENESS).min(most));
        assert_eq!(getpriority_process(None).unwrap(), before);
    }
}
