//! A backup is the store at one revision, whole or refused; and a store that was
//! restored from one denies what was denied since.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

#[path = "../support/calls.rs"]
mod calls;
mod damage;
mod kin;
mod leases;
mod load;
mod place;
mod revocations;
#[path = "../support/secrets.rs"]
mod secrets;
mod secrets_in_backups;
mod stream;
#[path = "../support/mod.rs"]
mod support;
