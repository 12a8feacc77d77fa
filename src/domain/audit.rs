//! The audit log: who did what, in a chain of hashes that shows whatever is done
//! to it.
//!
//! A record of the log is a header and a payload. The header holds the record's
//! number, its time, the hash of the record before it, and a hash of the payload
//! with a random salt; the record's own hash covers all of these (`chain`).
//! So a payload that names a person can be erased, with its salt, and the chain
//! is what it was: nobody can guess the payload from the hash that stays.
//!
//! `verifier` walks a chain and names the first record that is not as it was
//! written. What a chain alone can't show, that its end was cut off or that all
//! of it was set back, shows against a [`Head`] that was kept elsewhere.

mod chain;
mod event;
mod filter;
mod verifier;

pub use chain::{ChainNumber, Entry, Hash, Head, NotAHash, Payload, SALT_BYTES};
pub use event::{
    ADDRESS_BYTES, DETAILS_BYTES, Event, KnownBy, MOST_CREDENTIALS, MOST_ERASED, OK,
    REQUEST_ID_BYTES, RETIRED_SECRET, Subject, USES, bounded, holds_secret, redacted,
};
pub use filter::{Filter, Named};
pub use verifier::{Broken, Flaw, Verified, Verifier};
