//! How far long work has come, on a terminal.

use std::io::{self, IsTerminal as _, Write as _};

/// How many characters the bar has.
const BAR: u64 = 24;

/// A bar on standard error that says how much is done; nothing, if that is no
/// terminal.
#[derive(Debug)]
pub struct Progress {
    what: &'static str,
    /// `None`: that is not known.
    total: Option<u64>,
    /// What was shown last.
    shown: String,
    is_terminal: bool,
}

impl Progress {
    /// Nothing is done of so much.
    #[must_use]
    pub fn new(what: &'static str, total: u64) -> Self {
        Self::of(what, Some(total))
    }

    /// Nothing is done of so many bytes as there are.
    #[must_use]
    pub fn of_bytes(what: &'static str) -> Self {
        Self::of(what, None)
    }

    fn of(what: &'static str, total: Option<u64>) -> Self {
        Self {
            what,
            total,
            shown: String::new(),
            is_terminal: io::stderr().is_terminal(),
        }
    }

    /// So much is done.
    pub fn at(&mut self, done: u64) {
        if !self.is_terminal {
            return;
        }
        let shown = line(self.what, done, self.total);
        if self.shown != shown {
            // That nobody sees it is no failure.
            let _ = write!(io::stderr(), "\r{shown}");
            self.shown = shown;
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if !self.shown.is_empty() {
            let _ = writeln!(io::stderr());
        }
    }
}

fn line(what: &str, done: u64, total: Option<u64>) -> String {
    let Some(total) = total else {
        // Wide enough to hide what was there before.
        return format!("{what} {:<12}", bytes(done));
    };
    let part = |of: u64| done.min(total).saturating_mul(of) / total.max(1);
    let bar: String = (0..BAR)
        .map(|at| if at < part(BAR) { '█' } else { '░' })
        .collect();
    format!("{what} {bar} {:>3} %", part(100))
}

fn bytes(count: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let unit = units.into_iter().find(|(size, _)| count >= *size);
    let Some((size, name)) = unit else {
        return format!("{count} B");
    };
    format!("{}.{} {name}", count / size, count % size * 10 / size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_fills_as_the_work_is_done() {
        for (done, shown) in [
            (0, "working ░░░░░░░░░░░░░░░░░░░░░░░░   0 %"),
            (125, "working ████████████░░░░░░░░░░░░  50 %"),
            (249, "working ███████████████████████░  99 %"),
            (250, "working ████████████████████████ 100 %"),
            (251, "working ████████████████████████ 100 %"),
        ] {
            assert_eq!(line("working", done, Some(250)), shown);
        }
        assert_eq!(line("working", 0, Some(0)), line("working", 0, Some(250)));
    }

    #[test]
    fn bytes_are_told_in_the_largest_unit() {
        for (count, told) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (5 << 19, "2.5 MiB"),
            (u64::MAX, "17179869183.9 GiB"),
        ] {
            assert_eq!(bytes(count), told);
        }
    }
}
