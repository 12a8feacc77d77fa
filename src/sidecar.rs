//! The sidecar: a process beside a service that answers in the place of an authority,
//! which it follows.
//!
//! It serves `VerificationService` by the authority's very contract: `Verify` and
//! `VerifyStream` from what it keeps, or by asking ([`crate::client`]); `Watch` by
//! passing on what it follows ([`relay`]), so that a sidecar may follow a sidecar. For
//! that it lists the profiles too that its own token lets it read ([`profiles`]).
//!
//! | state | answers |
//! | --- | --- |
//! | Cold, Syncing | by asking |
//! | Live | from the cache, or by asking |
//! | Stale | by asking; if nobody answers UNAVAILABLE, or from the cache, where the configuration allows it for the tenant: such an answer carries `credd-served: stale` in its metadata, but not in a `VerifyStream`; its `valid_for` is zero, as that of all that nobody may keep |
//!
//! Whoever reaches it may ask: at its Unix socket those whom the permissions of the
//! file let write to it, at a loopback address everybody on the machine, at others
//! whoever has a certificate that it trusts. Its reach is that of its own bindings at
//! the authority, which nobody who asks it can widen; the audit log names the sidecar.
//!
//! It may follow several authorities, each of which has tenants of its own ([`cells`]).
//!
//! Its health is SERVING while it can answer, as far as it knows; that of the service
//! `started` is, as long as the process is up. Of several cells one that it can answer for
//! is enough, and `cell:NAME` is the health of one.

pub mod cells;
pub mod ext_authz;
mod listen;
mod metrics;
pub mod profiles;
mod readiness;
pub mod relay;
mod run;
pub mod service;
pub mod verifier;

pub use listen::{Listeners, Socket};
pub use run::{process, run};
pub use verifier::{Served, Verified, Verifier};
