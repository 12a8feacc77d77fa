//! Why a token is not believed. Nothing of the token stands in here.

use std::fmt;

use super::algorithm::Algorithm;

/// Why a token is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum JwtProblem {
    /// It has more than [`MAX_TOKEN`](super::MAX_TOKEN) bytes.
    #[error("the token is too long")]
    TooLong,
    /// It is no JWS in compact form, or a part of it is not what it should be.
    #[error("{0} of the token is malformed")]
    Malformed(Part),
    /// Its header has `crit`: an extension that must be understood, and credd
    /// knows none (RFC 7515 section 4.1.11).
    #[error("the token has critical extensions")]
    Critical,
    /// Its `typ` is not that of a JWT.
    #[error("the token is not of a type that is accepted")]
    Type,
    /// No issuer of this name is configured.
    #[error("the token is from an unknown issuer")]
    Issuer,
    /// Its `alg` is none that credd knows, such as `none` and all that are
    /// symmetric.
    #[error("the token is signed with an algorithm that is never accepted")]
    Algorithm,
    /// Its `alg` is not in the list of its issuer.
    #[error("the issuer is not configured for {0}")]
    AlgorithmNotAllowed(Algorithm),
    /// There are no keys of the issuer, or none that are recent enough to be
    /// trusted.
    #[error("there are no trustworthy keys of the issuer")]
    NoKeys,
    /// The issuer has no key that the token could be signed with.
    #[error("the issuer has no such key")]
    UnknownKey,
    /// The key that it names is not for its `alg`.
    #[error("the key that the token names is not for {0}")]
    KeyUnfit(Algorithm),
    /// More than one key could be meant.
    #[error("the token does not say with which of the issuer's keys it is signed")]
    KeyAmbiguous,
    /// The key did not sign this.
    #[error("the signature does not match")]
    Signature,
    /// A claim that must be there is not.
    #[error("the claim `{0}` is missing")]
    Missing(Claim),
    /// A claim is not of the form that it must have.
    #[error("the claim `{0}` is invalid")]
    Invalid(Claim),
    /// It is for somebody else.
    #[error("the token is for another audience")]
    Audience,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// Its time, or that of its issue, is yet to come.
    #[error("the token is not good yet: `{0}` lies ahead")]
    NotYet(Claim),
}

impl JwtProblem {
    /// Whether the same token may be good once the keys of its issuer are fetched
    /// anew.
    #[must_use]
    pub const fn is_for_want_of_keys(self) -> bool {
        matches!(self, Self::NoKeys | Self::UnknownKey)
    }
}

/// A part of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// Its division into three.
    Form,
    /// The first: the JOSE header.
    Header,
    /// The second: the claims.
    Claims,
    /// The third.
    Signature,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Form => "the form",
            Self::Header => "the header",
            Self::Claims => "the claims set",
            Self::Signature => "the signature",
        })
    }
}

/// A registered claim (RFC 7519 section 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Claim {
    /// Who issued the token.
    Iss,
    /// Whom it is about.
    Sub,
    /// Whom it is for.
    Aud,
    /// When it ends.
    Exp,
    /// When it begins.
    Nbf,
    /// When it was issued.
    Iat,
}

impl Claim {
    /// Its name in the claims set.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Iss => "iss",
            Self::Sub => "sub",
            Self::Aud => "aud",
            Self::Exp => "exp",
            Self::Nbf => "nbf",
            Self::Iat => "iat",
        }
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
