//! Types, rules and verdicts.
//!
//! Nothing in here reads a clock, touches a disk or a socket, or knows a
//! runtime: time is an argument ([`time::Timestamp`]) and randomness a trait
//! ([`random::Random`]), so that every rule can be reached by a property test.

pub mod audit;
pub mod base62;
pub mod cache;
pub mod calendar;
pub mod closed;
pub mod credential;
pub mod directory;
pub mod expiry;
pub mod header;
pub mod id;
pub mod judge;
pub mod jwt;
pub mod keyring;
pub mod language;
pub mod lease;
pub mod names;
pub mod permission;
pub mod profile;
pub mod random;
pub mod recent;
pub mod rekeyed;
pub mod restored;
pub mod revision;
pub mod rights;
pub mod secret;
pub mod time;
pub mod token;
