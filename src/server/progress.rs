//! How far long work has come, on a terminal.

use std::io::{self, IsTerminal as _, Write as _};

use rustix::termios::tcgetwinsize;

/// How many characters the bar has at most.
const BAR: usize = 24;
/// The columns of a terminal that does not say how many it has.
const COLUMNS: usize = 80;

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
        let shown = line(self.what, done, self.total, columns());
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

/// How many columns the terminal has now.
fn columns() -> usize {
    match tcgetwinsize(io::stderr()) {
        Ok(size) if size.ws_col > 0 => usize::from(size.ws_col),
        _ => COLUMNS,
    }
}

/// What is shown, in so many columns at most: a line that is wrapped is not written over.
fn line(what: &str, done: u64, total: Option<u64>, columns: usize) -> String {
    let shown = if let Some(total) = total {
        let part = |of: u64| done.min(total).saturating_mul(of) / total.max(1);
        // Beside it are two spaces and the share.
        let length = BAR.min(columns.saturating_sub(what.len() + 7)) as u64;
        let bar: String = (0..length)
            .map(|at| if at < part(length) { '█' } else { '░' })
            .collect();
        format!("{what} {bar} {:>3} %", part(100))
    } else {
        // Wide enough to hide what was there before.
        format!("{what} {:<12}", bytes(done))
    };
    shown.chars().take(columns).collect()
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
            assert_eq!(line("working", done, Some(250), 80), shown);
        }
        let none = |total| line("working", 0, Some(total), 80);
        assert_eq!(none(0), none(250));
    }

    #[test]
    fn a_bar_is_no_wider_than_the_terminal() {
        for columns in 0..60 {
            for total in [None, Some(250)] {
                let shown = line("writing the backup", 250, total, columns);
                assert!(shown.chars().count() <= columns, "{columns}: {shown}");
            }
        }
        assert_eq!(
            line("working", 125, Some(250), 24),
            "working █████░░░░░  50 %"
        );
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
