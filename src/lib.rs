//! credd, a credential authority: it issues, lists, locks and revokes API
//! credentials, tells other services whether one is good, and streams every
//! change to those that cache the answer.
//!
//! The layers, each used only by those below it:
//!
//! | module | holds |
//! | --- | --- |
//! | [`counts`] | numbers that grow, which the others count and `/metrics` shows |
//! | [`spans`] | spans of traces, which `rpc` and the client make |
//! | [`domain`] | types, rules and verdicts; pure, with time and randomness passed in |
//! | [`store`] | the [`store::Store`] contract and its engines |
//! | [`authority`] | commands, the committer, the feed, the index and the hub |
//! | [`rpc`] | the gRPC services, the policy table and the status table |
//! | [`server`] | configuration, the data directory, telemetry and supervision |
//! | [`client`] | what asks an authority, keeps its answers and follows its changes |
//! | [`sidecar`] | a process beside a service that serves what the client knows |
//! | [`cli`] | the command line: what runs a server, and what asks one |

pub mod authority;
pub mod cli;
pub mod client;
pub mod counts;
pub mod domain;
#[cfg(test)]
mod logged;
pub mod proto;
pub mod rpc;
pub mod server;
pub mod sidecar;
pub mod spans;
pub mod store;
