//! The sidecar: a process beside a service that answers from what it keeps, and
//! follows an authority so that it may.

pub mod verifier;

pub use verifier::{Served, Verified, Verifier};
