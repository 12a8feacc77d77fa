//! A token, before and after it is believed.

use std::fmt;
use std::sync::Arc;

use data_encoding::BASE64URL_NOPAD;
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::algorithm::Algorithm;
use super::key::Key;
use super::key_set::KeySet;
use super::problem::{Claim, JwtProblem, Part};
use super::rules::IssuerRules;
use crate::domain::names::{Principal, PrincipalName};
use crate::domain::time::Timestamp;

/// The most bytes of a token.
pub const MAX_TOKEN: usize = 16 << 10;

/// The values of `typ` that a JWT may have, with or without `application/` before
/// them, in any case (RFC 7515 section 4.1.9; RFC 7519 section 5.1; RFC 9068
/// section 2.1).
const TYPES: [&str; 2] = ["jwt", "at+jwt"];

/// Whether a text has the form of a JWS in compact form (RFC 7515 section 7.1): it
/// may be a JWT, and it is no token of credd's, which have no dots.
#[must_use]
pub fn is_compact(text: &str) -> bool {
    text.bytes().filter(|byte| *byte == b'.').count() == 2
}

/// Whom a token is from and about, if it is good now.
///
/// # Errors
///
/// [`JwtProblem`] says what keeps it from being believed.
pub fn check(
    rules: &IssuerRules,
    keys: &KeySet,
    token: &str,
    now: Timestamp,
) -> Result<JwtCaller, JwtProblem> {
    Unverified::parse(token)?.check(rules, keys, now)
}

/// A caller, known by a token that was good when it was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtCaller {
    issuer: Arc<str>,
    principal: Principal,
    expires_at: Timestamp,
}

impl JwtCaller {
    /// Who says so: the `iss`.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Who it is: the `sub`.
    #[must_use]
    pub fn subject(&self) -> &str {
        let text = self.principal.as_str();
        text.split_once('#').map_or("", |(_, subject)| subject)
    }

    /// The name that stands in records, `jwt:ISSUER#SUBJECT`.
    #[must_use]
    pub const fn principal(&self) -> &Principal {
        &self.principal
    }

    /// When the token ends: the `exp`, without any leeway.
    #[must_use]
    pub const fn expires_at(&self) -> Timestamp {
        self.expires_at
    }

    /// Until when the token is good: before the `exp` that it has (RFC 7519 section
    /// 4.1.4), and a leeway later where the clocks of those who are under these
    /// rules may differ.
    #[must_use]
    pub fn good_until(&self, rules: &IssuerRules) -> Timestamp {
        let end = self.expires_at.checked_add(rules.leeway());
        // What would end after the last date never ends.
        end.unwrap_or(Timestamp::MAX)
    }
}

/// A token that was taken apart, of which nothing is to be believed.
///
/// There is no `Debug`: the token is a secret.
#[expect(missing_debug_implementations, reason = "the token is a secret")]
pub struct Unverified<'a> {
    algorithm: Algorithm,
    key_id: Option<String>,
    issuer: String,
    claims: Map<String, Value>,
    /// Header and claims, as they were signed (RFC 7515 section 5.2).
    signed: &'a [u8],
    signature: Vec<u8>,
}

impl<'a> Unverified<'a> {
    /// Takes a token apart.
    ///
    /// # Errors
    ///
    /// [`JwtProblem`], if no issuer's rules or keys would make it good.
    pub fn parse(token: &'a str) -> Result<Self, JwtProblem> {
        if token.len() > MAX_TOKEN {
            return Err(JwtProblem::TooLong);
        }
        let malformed = JwtProblem::Malformed;
        let (signed, signature) = token.rsplit_once('.').ok_or(malformed(Part::Form))?;
        let (header, claims) = signed.split_once('.').ok_or(malformed(Part::Form))?;
        if claims.contains('.') {
            return Err(malformed(Part::Form));
        }
        let header = object(header).ok_or(malformed(Part::Header))?;
        let claims = object(claims).ok_or(malformed(Part::Claims))?;
        let signature = decode(signature).ok_or(malformed(Part::Signature))?;

        if header.contains_key("crit") {
            return Err(JwtProblem::Critical);
        }
        check_type(&header)?;
        let algorithm = match header.get("alg") {
            Some(Value::String(name)) => name.parse().map_err(|_| JwtProblem::Algorithm)?,
            _ => return Err(malformed(Part::Header)),
        };
        let key_id = match header.get("kid") {
            None => None,
            Some(Value::String(id)) => Some(id.clone()),
            Some(_) => return Err(malformed(Part::Header)),
        };
        let issuer = match claims.get(Claim::Iss.name()) {
            Some(Value::String(issuer)) => issuer.clone(),
            Some(_) => return Err(JwtProblem::Invalid(Claim::Iss)),
            None => return Err(JwtProblem::Missing(Claim::Iss)),
        };
        Ok(Self {
            algorithm,
            key_id,
            issuer,
            claims,
            signed: signed.as_bytes(),
            signature,
        })
    }

    /// Whom the token says that it is from.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Whom the token is from and about, if it is good now.
    ///
    /// # Errors
    ///
    /// [`JwtProblem`] says what keeps it from being believed.
    pub fn check(
        &self,
        rules: &IssuerRules,
        keys: &KeySet,
        now: Timestamp,
    ) -> Result<JwtCaller, JwtProblem> {
        if self.issuer != **rules.issuer() {
            return Err(JwtProblem::Issuer);
        }
        if !rules.allows(self.algorithm) {
            return Err(JwtProblem::AlgorithmNotAllowed(self.algorithm));
        }
        let key = self.key(keys)?;
        if !key.verifies(self.algorithm, self.signed, &self.signature) {
            return Err(JwtProblem::Signature);
        }
        self.check_audience(rules)?;
        let caller = JwtCaller {
            issuer: Arc::clone(rules.issuer()),
            principal: self.principal()?,
            expires_at: self.expiry()?,
        };
        if now >= caller.good_until(rules) {
            return Err(JwtProblem::Expired);
        }
        let latest = now.checked_add(rules.leeway()).unwrap_or(Timestamp::MAX);
        for claim in [Claim::Nbf, Claim::Iat] {
            if self.time(claim, f64::ceil)?.is_some_and(|at| at > latest) {
                return Err(JwtProblem::NotYet(claim));
            }
        }
        Ok(caller)
    }

    /// The key that it says it was signed with.
    ///
    /// # Errors
    ///
    /// As [`KeySet::find`].
    pub fn key<'k>(&self, keys: &'k KeySet) -> Result<&'k Key, JwtProblem> {
        keys.find(self.key_id.as_deref(), self.algorithm)
    }

    /// RFC 7519 section 4.1.3: one text, or several.
    fn check_audience(&self, rules: &IssuerRules) -> Result<(), JwtProblem> {
        let is_ours = match self.claims.get(Claim::Aud.name()) {
            None => return Err(JwtProblem::Missing(Claim::Aud)),
            Some(Value::String(audience)) => rules.is_audience(audience),
            Some(Value::Array(audiences)) => {
                let audiences: Option<Vec<&str>> = audiences.iter().map(Value::as_str).collect();
                let audiences = audiences.ok_or(JwtProblem::Invalid(Claim::Aud))?;
                audiences.into_iter().any(|it| rules.is_audience(it))
            }
            Some(_) => return Err(JwtProblem::Invalid(Claim::Aud)),
        };
        if is_ours {
            Ok(())
        } else {
            Err(JwtProblem::Audience)
        }
    }

    fn principal(&self) -> Result<Principal, JwtProblem> {
        let subject = match self.claims.get(Claim::Sub.name()) {
            Some(Value::String(subject)) => subject,
            Some(_) => return Err(JwtProblem::Invalid(Claim::Sub)),
            None => return Err(JwtProblem::Missing(Claim::Sub)),
        };
        let name = format!("jwt:{}#{subject}", self.issuer);
        PrincipalName::parse(&name)
            .map(|name| Principal::trusted(Arc::clone(name.as_arc())))
            .map_err(|_| JwtProblem::Invalid(Claim::Sub))
    }

    fn expiry(&self) -> Result<Timestamp, JwtProblem> {
        let expiry = self.time(Claim::Exp, f64::floor)?;
        expiry.ok_or(JwtProblem::Missing(Claim::Exp))
    }

    /// A `NumericDate` (RFC 7519 section 2), a fraction of a millisecond rounded so
    /// that the token is good for no longer than it says.
    fn time(&self, claim: Claim, round: fn(f64) -> f64) -> Result<Option<Timestamp>, JwtProblem> {
        match self.claims.get(claim.name()) {
            None => Ok(None),
            Some(Value::Number(seconds)) => moment(seconds, round)
                .map(Some)
                .ok_or(JwtProblem::Invalid(claim)),
            Some(_) => Err(JwtProblem::Invalid(claim)),
        }
    }
}

/// The moment so many seconds after the epoch, if it is a date of the years 1970
/// to 9999.
fn moment(seconds: &Number, round: fn(f64) -> f64) -> Option<Timestamp> {
    let millis = if let Some(whole) = seconds.as_i64() {
        whole.checked_mul(1000)?
    } else {
        let millis = round(seconds.as_f64()? * 1000.0);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "what is out of range saturates, which is out of range below"
        )]
        let millis = millis as i64;
        millis
    };
    let range = 0..=Timestamp::MAX.as_millis();
    range
        .contains(&millis)
        .then(|| Timestamp::from_millis(millis))
}

fn check_type(header: &Map<String, Value>) -> Result<(), JwtProblem> {
    let Some(value) = header.get("typ") else {
        return Ok(());
    };
    let value = value.as_str().ok_or(JwtProblem::Malformed(Part::Header))?;
    let value = value.to_ascii_lowercase();
    let value = value.strip_prefix("application/").unwrap_or(&value);
    if TYPES.contains(&value) {
        Ok(())
    } else {
        Err(JwtProblem::Type)
    }
}

/// Base64url without padding (RFC 7515 section 2); only the canonical form, so that
/// no two texts are the same token.
fn decode(text: &str) -> Option<Vec<u8>> {
    BASE64URL_NOPAD.decode(text.as_bytes()).ok()
}

fn object(encoded: &str) -> Option<Map<String, Value>> {
    let object: Object = serde_json::from_slice(&decode(encoded)?).ok()?;
    Some(object.0)
}

/// A JSON object in which no name stands twice (RFC 7515 section 4, RFC 7519
/// section 4).
struct Object(Map<String, Value>);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor)
    }
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Object;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Object, A::Error> {
        let mut object = Map::new();
        while let Some((name, value)) = members.next_entry()? {
            if object.insert(name, value).is_some() {
                return Err(de::Error::custom("a name stands twice"));
            }
        }
        Ok(Object(object))
    }
}
