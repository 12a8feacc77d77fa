//! Every kind of caller at every RPC, over TLS: what each may do stands in one
//! table, tenants are walls, rights never add up, and who loses them is cut off.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

#[path = "../support/calls.rs"]
mod calls;
#[path = "../support/clocked.rs"]
mod clocked;
#[path = "../support/pki.rs"]
mod pki;
#[path = "../support/mod.rs"]
mod support;
#[path = "../support/tls.rs"]
mod tls;

mod asks;
mod audit;
mod caller;
mod clock;
mod escalation;
mod frames;
mod lists;
mod odd;
mod parties;
mod questions;
mod race;
mod replays;
mod requests;
mod rights;
mod signer;
mod state;
mod streams;
mod table;
mod walls;
mod world;
