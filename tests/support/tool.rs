//! Tools that a suite needs.

#![allow(
    unreachable_pub,
    dead_code,
    reason = "each suite is a crate that uses a part of it"
)]

use std::path::PathBuf;

/// A tool that a suite needs, from this environment variable; `None`: the suite
/// is skipped. With `CREDD_TEST_REQUIRE_TOOLS=1` a tool that is missing is a
/// failure.
pub fn tool(variable: &str) -> Option<PathBuf> {
    let path = std::env::var_os(variable).map(PathBuf::from);
    let required = std::env::var_os("CREDD_TEST_REQUIRE_TOOLS").is_some_and(|value| value == "1");
    assert!(path.is_some() || !required, "{variable} is not set");
    if path.is_none() {
        eprintln!("skipped: {variable} names no tool");
    }
    path
}
