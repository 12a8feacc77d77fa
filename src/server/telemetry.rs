//! What the process says of itself: pretty on a terminal, JSON lines otherwise,
//! on standard error.

use std::error::Error;
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

/// Starts logging what `directives` let through; directives that can't be read
/// are left out, with a warning on standard error. The second call does nothing.
pub fn start(directives: &str) {
    let filter = EnvFilter::builder().parse_lossy(directives);
    let builder = fmt().with_env_filter(filter).with_writer(io::stderr);
    let _ = if io::stderr().is_terminal() {
        builder.try_init()
    } else {
        builder.json().flatten_event(true).try_init()
    };
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
