//! A store moves: what was exported is imported elsewhere, between an embedded store and
//! etcd, and goes on as it was. Nobody answers from where it has been.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

#[path = "../support/calls.rs"]
mod calls;
mod contents;
mod embedded;
#[path = "../support/etcd.rs"]
mod etcd;
mod place;
#[allow(dead_code, reason = "a part of it is used")]
#[path = "../everywhere/processes.rs"]
mod processes;
#[path = "../support/mod.rs"]
mod support;
mod to_etcd;
