//! A panic anywhere is a defect, and ends the process: what is half done is
//! then finished or forgotten by the next start, never served.

use std::panic;
use std::process;

use super::supervise::current_name;
use super::telemetry;
use crate::store::sled::is_guarded;

/// The exit status after a panic: `EX_SOFTWARE` of sysexits.h.
pub const EXIT_STATUS: i32 = 70;

/// From now on a panic is logged, with the name of the task or thread and the
/// place, and ends the process. The one exception is a panic within sled, which
/// the store catches and treats as a failed disk. No core is dumped: it would
/// hold keys.
pub fn end_the_process() {
    panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string);
        let place = place.unwrap_or_default();
        let message = info.payload_as_str().unwrap_or("without a message");
        tracing::error!(task = current_name(), place, message, "panic");
        if !is_guarded() {
            telemetry::end();
            process::exit(EXIT_STATUS);
        }
    }));
}
