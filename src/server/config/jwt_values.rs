//! The types of the settings of JWT issuers.

use std::time::Duration;

use super::values::Scalar;
use crate::domain::jwt::{Algorithm, IssuerRules};
use crate::server::jwt::JwksUrl;

/// The name of an issuer: the claim `iss`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer(String);

impl Issuer {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Scalar for Issuer {
    const WHAT: &'static str = "at most 250 visible ASCII characters other than `#`";

    fn parse(text: &str) -> Result<Self, String> {
        // The rest of these rules is good: it is the name that is asked about.
        let (audiences, algorithms) = (vec!["-".to_owned()], usual_algorithms());
        match IssuerRules::new(text, audiences, algorithms, Duration::ZERO) {
            Ok(_) => Ok(Self(text.to_owned())),
            Err(error) => Err(error.to_string()),
        }
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}

/// Whom a token is for: one value of the claim `aud` (RFC 7519 section 4.1.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audience(String);

impl From<Audience> for String {
    fn from(audience: Audience) -> Self {
        audience.0
    }
}

impl Scalar for Audience {
    const WHAT: &'static str = "texts of 1 to 256 bytes without control characters";

    fn parse(text: &str) -> Result<Self, String> {
        if (1..=256).contains(&text.len()) && !text.chars().any(char::is_control) {
            Ok(Self(text.to_owned()))
        } else {
            Err("must be 1 to 256 bytes without control characters".to_owned())
        }
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}

/// The algorithms that issuers use most.
#[must_use]
pub fn usual_algorithms() -> Vec<Algorithm> {
    vec![Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa]
}

impl Scalar for Algorithm {
    const WHAT: &'static str = "RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384 or EdDSA";

    fn parse(text: &str) -> Result<Self, String> {
        text.parse()
            .map_err(|error: crate::domain::jwt::UnknownAlgorithm| error.to_string())
    }

    fn text(&self) -> String {
        self.name().to_owned()
    }
}

/// Where keys are fetched from, with the text that says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedFrom {
    text: String,
    url: JwksUrl,
}

impl From<FetchedFrom> for JwksUrl {
    fn from(from: FetchedFrom) -> Self {
        from.url
    }
}

impl Scalar for FetchedFrom {
    const WHAT: &'static str = "an https URL";

    fn parse(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(url) => Ok(Self {
                text: text.to_owned(),
                url,
            }),
            Err(error) => Err(crate::server::jwt::InvalidUrl::to_string(&error)),
        }
    }

    fn text(&self) -> String {
        self.text.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_can_stand_before_a_subject_in_a_callers_name() {
        for good in ["https://a.example", "kubernetes/serviceaccount", "x"] {
            assert!(Issuer::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "https://a#b", "a b", "ä", &"x".repeat(251)] {
            assert!(Issuer::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn no_algorithm_needs_a_shared_secret_or_nothing_at_all() {
        for bad in ["none", "None", "HS256", "HS384", "HS512", "rs256", ""] {
            assert!(<Algorithm as Scalar>::parse(bad).is_err(), "{bad}");
        }
        for known in Algorithm::ALL {
            assert_eq!(<Algorithm as Scalar>::parse(known.name()), Ok(known));
            assert!(Algorithm::WHAT.contains(known.name()));
        }
    }
}
