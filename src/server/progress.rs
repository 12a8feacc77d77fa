//! How far long work has come, on a terminal.

use std::io::{self, IsTerminal as _, Write as _};

/// A line on standard error that says how much is done; nothing, if that is no
/// terminal.
#[derive(Debug)]
pub struct Progress {
    what: &'static str,
    total: u64,
    /// The last percentage that was shown.
    shown: Option<u64>,
    is_terminal: bool,
}

impl Progress {
    /// Nothing is done of so much.
    #[must_use]
    pub fn new(what: &'static str, total: u64) -> Self {
        Self {
            what,
            total,
            shown: None,
            is_terminal: io::stderr().is_terminal(),
        }
    }

    /// So much is done.
    pub fn at(&mut self, done: u64) {
        let percent = done.min(self.total) * 100 / self.total.max(1);
        if self.is_terminal && self.shown != Some(percent) {
            self.shown = Some(percent);
            // That nobody sees it is no failure.
            let _ = write!(io::stderr(), "\r{} {percent:>3} %", self.what);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown.is_some() {
            let _ = writeln!(io::stderr());
        }
    }
}
