//! One public key (a JWK, RFC 7517 section 4).

use data_encoding::BASE64URL_NOPAD;
use ring::signature::{
    self, ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RsaParameters,
    RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde_json::{Map, Value};

use super::algorithm::Algorithm;

/// The most bytes of a key's name.
const MAX_ID: usize = 256;
/// How many bits the modulus of an RSA key has, at least (RFC 7518 section 3.3)
/// and at most (as many as ring takes).
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;
/// The most bytes of a public exponent: ring takes 33 bits.
const RSA_EXPONENT_BYTES: usize = 5;

/// A public key that an issuer signs with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    id: Option<String>,
    /// The only algorithm that it is for, if it says so.
    algorithm: Option<Algorithm>,
    material: Material,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Material {
    /// Big-endian, without leading zeros.
    Rsa { modulus: Vec<u8>, exponent: Vec<u8> },
    /// An uncompressed point (SEC 1 section 2.3.3).
    P256(Vec<u8>),
    /// The same.
    P384(Vec<u8>),
    /// RFC 8032 section 5.1.5.
    Ed25519(Vec<u8>),
}

/// Why a JWK is of no use for signatures of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// It is no object, or a member is missing or not of the form that it has.
    Malformed,
    /// Its `kty` or its `crv` is none that credd knows.
    Type,
    /// Its `use` or its `key_ops` is something else.
    Use,
    /// Its `alg` is something else.
    Algorithm,
    /// It is an RSA key of fewer than 2,048 bits, or of more than 8,192.
    Size,
}

impl Key {
    /// Reads a JWK. What it has beyond a public key is not looked at.
    ///
    /// # Errors
    ///
    /// [`Unusable`] if no token can be signed with it.
    pub fn parse(jwk: &Value) -> Result<Self, Unusable> {
        let jwk = jwk.as_object().ok_or(Unusable::Malformed)?;
        let material = material(jwk)?;
        check_use(jwk)?;
        let algorithm = match text(jwk, "alg")? {
            None => None,
            Some(name) => Some(name.parse().map_err(|_| Unusable::Algorithm)?),
        };
        let id = text(jwk, "kid")?;
        if id.is_some_and(|id| id.len() > MAX_ID) {
            return Err(Unusable::Malformed);
        }
        let key = Self {
            id: id.map(str::to_owned),
            algorithm,
            material,
        };
        if algorithm.is_some_and(|algorithm| !key.fits(algorithm)) {
            return Err(Unusable::Algorithm);
        }
        Ok(key)
    }

    /// Its name, the `kid`, if it has one.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Whether it is for signatures of this algorithm.
    #[must_use]
    pub fn fits(&self, algorithm: Algorithm) -> bool {
        self.algorithm.is_none_or(|only| only == algorithm)
            && match self.material {
                Material::Rsa { .. } => rsa(algorithm).is_some(),
                Material::P256(_) => algorithm == Algorithm::Es256,
                Material::P384(_) => algorithm == Algorithm::Es384,
                Material::Ed25519(_) => algorithm == Algorithm::EdDsa,
            }
    }

    /// Whether its private key signed this message with this algorithm. ECDSA
    /// signatures are two numbers of fixed width (RFC 7518 section 3.4).
    #[must_use]
    pub fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        let unparsed = |how: &'static dyn signature::VerificationAlgorithm, key: &[u8]| {
            UnparsedPublicKey::new(how, key)
                .verify(message, signature)
                .is_ok()
        };
        self.fits(algorithm)
            && match &self.material {
                Material::Rsa { modulus, exponent } => rsa(algorithm).is_some_and(|how| {
                    let key = RsaPublicKeyComponents {
                        n: modulus,
                        e: exponent,
                    };
                    key.verify(how, message, signature).is_ok()
                }),
                Material::P256(point) => unparsed(&ECDSA_P256_SHA256_FIXED, point),
                Material::P384(point) => unparsed(&ECDSA_P384_SHA384_FIXED, point),
                Material::Ed25519(point) => unparsed(&ED25519, point),
            }
    }
}

/// What ring needs to know of an algorithm, if it is one of RSA.
const fn rsa(algorithm: Algorithm) -> Option<&'static RsaParameters> {
    match algorithm {
        Algorithm::Rs256 => Some(&signature::RSA_PKCS1_2048_8192_SHA256),
        Algorithm::Rs384 => Some(&signature::RSA_PKCS1_2048_8192_SHA384),
        Algorithm::Rs512 => Some(&signature::RSA_PKCS1_2048_8192_SHA512),
        Algorithm::Ps256 => Some(&signature::RSA_PSS_2048_8192_SHA256),
        Algorithm::Ps384 => Some(&signature::RSA_PSS_2048_8192_SHA384),
        Algorithm::Ps512 => Some(&signature::RSA_PSS_2048_8192_SHA512),
        Algorithm::Es256 | Algorithm::Es384 | Algorithm::EdDsa => None,
    }
}

/// RFC 7518 section 6, RFC 8037 section 2.
fn material(jwk: &Map<String, Value>) -> Result<Material, Unusable> {
    let curve = || text(jwk, "crv")?.ok_or(Unusable::Malformed);
    match text(jwk, "kty")?.ok_or(Unusable::Malformed)? {
        "RSA" => {
            let (modulus, exponent) = (number(jwk, "n")?, number(jwk, "e")?);
            let first = modulus.first().map_or(0, |byte| byte.leading_zeros());
            let bits = modulus.len() * 8 - first as usize;
            if !RSA_BITS.contains(&bits) {
                return Err(Unusable::Size);
            }
            let is_odd_and_not_one = exponent != [1] && exponent.last().is_some_and(|b| b % 2 == 1);
            if !is_odd_and_not_one || exponent.len() > RSA_EXPONENT_BYTES {
                return Err(Unusable::Malformed);
            }
            Ok(Material::Rsa { modulus, exponent })
        }
        "EC" => match curve()? {
            "P-256" => Ok(Material::P256(point(jwk, 32)?)),
            "P-384" => Ok(Material::P384(point(jwk, 48)?)),
            _ => Err(Unusable::Type),
        },
        "OKP" => match curve()? {
            "Ed25519" => Ok(Material::Ed25519(octets(jwk, "x", 32)?)),
            _ => Err(Unusable::Type),
        },
        _ => Err(Unusable::Type),
    }
}

/// RFC 7517 sections 4.2 and 4.3.
fn check_use(jwk: &Map<String, Value>) -> Result<(), Unusable> {
    if text(jwk, "use")?.is_some_and(|purpose| purpose != "sig") {
        return Err(Unusable::Use);
    }
    match jwk.get("key_ops") {
        None => Ok(()),
        Some(Value::Array(operations)) if operations.iter().any(|it| it == "verify") => Ok(()),
        Some(Value::Array(_)) => Err(Unusable::Use),
        Some(_) => Err(Unusable::Malformed),
    }
}

fn text<'a>(jwk: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, Unusable> {
    match jwk.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Unusable::Malformed),
    }
}

fn bytes(jwk: &Map<String, Value>, name: &str) -> Result<Vec<u8>, Unusable> {
    let text = text(jwk, name)?.ok_or(Unusable::Malformed)?;
    BASE64URL_NOPAD
        .decode(text.as_bytes())
        .map_err(|_| Unusable::Malformed)
}

/// A big-endian number. Some issuers put a zero before it, though they must not
/// (RFC 7518 section 6.3.1.1).
fn number(jwk: &Map<String, Value>, name: &str) -> Result<Vec<u8>, Unusable> {
    let bytes = bytes(jwk, name)?;
    let begin = bytes.iter().position(|byte| *byte != 0);
    Ok(bytes[begin.unwrap_or(bytes.len())..].to_vec())
}

fn octets(jwk: &Map<String, Value>, name: &str, length: usize) -> Result<Vec<u8>, Unusable> {
    let bytes = bytes(jwk, name)?;
    if bytes.len() == length {
        Ok(bytes)
    } else {
        Err(Unusable::Malformed)
    }
}

fn point(jwk: &Map<String, Value>, length: usize) -> Result<Vec<u8>, Unusable> {
    let mut point = vec![0x04];
    point.extend(octets(jwk, "x", length)?);
    point.extend(octets(jwk, "y", length)?);
    Ok(point)
}
