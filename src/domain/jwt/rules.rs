//! What is asked of the tokens of an issuer.

use std::sync::Arc;
use std::time::Duration;

use super::algorithm::Algorithm;
use crate::domain::names::PrincipalName;

/// The most by which the clocks of an issuer and of credd may differ: RFC 7519
/// section 4.1.4 speaks of no more than a few minutes.
pub const MAX_LEEWAY: Duration = Duration::from_mins(5);

/// What is asked of the tokens of an issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerRules {
    issuer: Arc<str>,
    audiences: Vec<String>,
    algorithms: Vec<Algorithm>,
    leeway: Duration,
}

/// Why rules are none; reads as the end of "the issuer `NAME` ...".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRules {
    /// No caller `jwt:ISSUER#SUBJECT` could be told apart from all others.
    #[error("must be visible ASCII characters without `#`, at most 250 of them")]
    Issuer,
    /// Nobody's tokens would be accepted, or everybody's.
    #[error("must have audiences, none of them empty")]
    Audiences,
    /// No token would be accepted.
    #[error("must have algorithms")]
    Algorithms,
    /// Expired tokens would be good for too long.
    #[error("must have a leeway of at most five minutes")]
    Leeway,
}

impl IssuerRules {
    /// Rules for the tokens whose `iss` is exactly `issuer`: their `aud` has one of
    /// `audiences`, their `alg` is one of `algorithms`, and the clocks may differ
    /// by `leeway`.
    ///
    /// # Errors
    ///
    /// [`InvalidRules`] if the issuer is no name that can stand in a principal, if
    /// a list is empty, or if the leeway is more than [`MAX_LEEWAY`].
    pub fn new(
        issuer: &str,
        audiences: Vec<String>,
        algorithms: Vec<Algorithm>,
        leeway: Duration,
    ) -> Result<Self, InvalidRules> {
        // With a `#` in an issuer, two callers could have one principal.
        let can_name = PrincipalName::parse(&format!("jwt:{issuer}#x")).is_ok();
        if !can_name || issuer.contains('#') {
            return Err(InvalidRules::Issuer);
        }
        if audiences.is_empty() || audiences.iter().any(String::is_empty) {
            return Err(InvalidRules::Audiences);
        }
        if algorithms.is_empty() {
            return Err(InvalidRules::Algorithms);
        }
        if leeway > MAX_LEEWAY {
            return Err(InvalidRules::Leeway);
        }
        Ok(Self {
            issuer: issuer.into(),
            audiences,
            algorithms,
            leeway,
        })
    }

    /// The issuer, exactly as it stands in `iss`.
    #[must_use]
    pub const fn issuer(&self) -> &Arc<str> {
        &self.issuer
    }

    /// By how much the clocks may differ.
    #[must_use]
    pub const fn leeway(&self) -> Duration {
        self.leeway
    }

    /// Whether a token may be signed in this way.
    #[must_use]
    pub fn allows(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }

    /// Whether a token for this audience is for credd.
    #[must_use]
    pub fn is_audience(&self, audience: &str) -> bool {
        self.audiences.iter().any(|known| known == audience)
    }
}
