//! The public keys of an issuer (a JWK Set, RFC 7517 section 5).

use serde::Deserialize;
use serde_json::Value;

use super::algorithm::Algorithm;
use super::key::{Key, Unusable};
use super::problem::JwtProblem;

/// The most bytes of a key set.
pub const MAX_KEY_SET: usize = 1 << 20;
/// The most keys in a set, of whatever type.
pub const MAX_KEYS: usize = 100;

/// The keys of an issuer that tokens can be signed with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeySet {
    keys: Vec<Key>,
    unusable: Vec<Unusable>,
}

/// Why something is no key set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKeySet {
    /// It has more than [`MAX_KEY_SET`] bytes.
    #[error("the key set has more than {MAX_KEY_SET} bytes")]
    TooLong,
    /// It has more than [`MAX_KEYS`] keys.
    #[error("the key set has more than {MAX_KEYS} keys")]
    TooMany,
    /// It is no JSON object with an array `keys`.
    #[error("it is no key set: expected a JSON object with an array `keys`")]
    Form,
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<Value>,
}

impl KeySet {
    /// Reads a key set. Keys that are of no use are passed over (RFC 7517 section
    /// 5), so that an issuer may show keys for other purposes, and new types.
    ///
    /// # Errors
    ///
    /// [`InvalidKeySet`], if it is none.
    pub fn parse(json: &[u8]) -> Result<Self, InvalidKeySet> {
        if json.len() > MAX_KEY_SET {
            return Err(InvalidKeySet::TooLong);
        }
        // The derived reading would take an array of the members for the object.
        if !json.trim_ascii_start().starts_with(b"{") {
            return Err(InvalidKeySet::Form);
        }
        let document: Document = serde_json::from_slice(json).map_err(|_| InvalidKeySet::Form)?;
        if document.keys.len() > MAX_KEYS {
            return Err(InvalidKeySet::TooMany);
        }
        let mut set = Self::default();
        for jwk in &document.keys {
            match Key::parse(jwk) {
                Ok(key) if set.keys.contains(&key) => (),
                Ok(key) => set.keys.push(key),
                Err(why) => set.unusable.push(why),
            }
        }
        Ok(set)
    }

    /// The keys.
    #[must_use]
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// Why others were passed over, in their order.
    #[must_use]
    pub fn unusable(&self) -> &[Unusable] {
        &self.unusable
    }

    /// The key of this name, or the only key for the algorithm if there is no
    /// name. Keys of different types may share a name (RFC 7517 section 4.5);
    /// where two for the same algorithm do, neither is taken.
    ///
    /// # Errors
    ///
    /// [`JwtProblem::UnknownKey`], [`JwtProblem::KeyUnfit`] or
    /// [`JwtProblem::KeyAmbiguous`].
    pub fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Result<&Key, JwtProblem> {
        let named = || {
            let keys = self.keys.iter();
            keys.filter(|key| id.is_none() || key.id() == id)
        };
        let mut fitting = named().filter(|key| key.fits(algorithm));
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => Ok(key),
            (Some(_), Some(_)) => Err(JwtProblem::KeyAmbiguous),
            (None, _) if id.is_some() && named().next().is_some() => {
                Err(JwtProblem::KeyUnfit(algorithm))
            }
            (None, _) => Err(JwtProblem::UnknownKey),
        }
    }
}
