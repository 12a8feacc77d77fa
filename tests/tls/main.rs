//! TLS from end to end: who is let in, how certificates are replaced under load,
//! and that nobody who says nothing holds up others.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

#[path = "../support/pki.rs"]
mod pki;

#[path = "../support/tls.rs"]
mod tls;

mod broken;
mod handshakes;
mod health;
mod log;
mod rotation;
mod silence;
mod strangers;
