//! JSON Web Tokens as callers of credd: who has signed one, for whom, and until
//! when it is good.
//!
//! Pure: the keys of an issuer, the rules for it and the time are arguments. A
//! token is believed only if everything below holds; each rule has a
//! [`JwtProblem`] of its own.
//!
//! - It is a JWS in compact form (RFC 7515 section 7.1) of at most [`MAX_TOKEN`]
//!   bytes, canonically encoded, whose header and claims have no name twice
//!   (RFC 7519 section 4).
//! - Its `alg` is in the list of its issuer and is what the key is for. There are
//!   only asymmetric signatures ([`Algorithm`]): `none` and the `HS` family are
//!   no values of the type.
//! - The key is one of its issuer's key set ([`KeySet`], RFC 7517). What the header
//!   says of keys itself (`jwk`, `jku`, `x5c`, `x5u`) is not read.
//! - It has no `crit` (RFC 7515 section 4.1.11), and its `typ`, if any, is that of
//!   a JWT.
//! - `iss`, `aud`, `sub`, `exp` are there and are good, and so are `nbf` and `iat`
//!   if they are there (RFC 7519 section 4.1).

mod algorithm;
mod key;
mod key_set;
mod problem;
mod rules;
mod token;

pub use algorithm::{Algorithm, UnknownAlgorithm};
pub use key::{Key, Unusable};
pub use key_set::{InvalidKeySet, KeySet, MAX_KEY_SET, MAX_KEYS};
pub use problem::{Claim, JwtProblem, Part};
pub use rules::{InvalidRules, IssuerRules, MAX_LEEWAY};
pub use token::{JwtCaller, MAX_TOKEN, Unverified, check, is_compact};

#[cfg(test)]
pub(crate) mod tests;
