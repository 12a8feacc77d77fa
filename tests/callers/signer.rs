//! An issuer of JWTs.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use credd::domain::jwt::{Algorithm, IssuerRules};
use credd::server::jwt::{IssuerSettings, JwksSource};
use data_encoding::BASE64URL_NOPAD;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};

/// What the issuer calls itself.
pub(crate) const ISSUER: &str = "https://idp.credd.test";
/// For whom its tokens are.
pub(crate) const AUDIENCE: &str = "credd";

pub(crate) struct Signer(Ed25519KeyPair);

impl Signer {
    pub(crate) fn new() -> Self {
        let der = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self(Ed25519KeyPair::from_pkcs8(der.as_ref()).unwrap())
    }

    /// Publishes its key in this file; returns what makes a server trust it.
    pub(crate) fn publish(&self, path: &Path) -> IssuerSettings {
        let x = BASE64URL_NOPAD.encode(self.0.public_key().as_ref());
        let key = json!({ "kty": "OKP", "crv": "Ed25519", "kid": "k1", "x": x });
        std::fs::write(path, json!({ "keys": [key] }).to_string()).unwrap();
        let audiences = vec![AUDIENCE.to_owned()];
        let algorithms = Algorithm::ALL.to_vec();
        let rules = IssuerRules::new(ISSUER, audiences, algorithms, Duration::ZERO);
        IssuerSettings {
            rules: rules.unwrap(),
            source: JwksSource::File(path.to_owned()),
            refresh: Duration::from_mins(5),
        }
    }

    /// A token for credd that is good for so long.
    pub(crate) fn token(&self, subject: &str, seconds: i64) -> String {
        self.token_of(&json!({
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": subject,
            "exp": now() + seconds,
        }))
    }

    /// A token of these claims.
    pub(crate) fn token_of(&self, claims: &Value) -> String {
        let encode = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
        let header = json!({ "typ": "JWT", "alg": "EdDSA", "kid": "k1" });
        let signed = format!("{}.{}", encode(&header), encode(claims));
        let signature = BASE64URL_NOPAD.encode(self.0.sign(signed.as_bytes()).as_ref());
        format!("{signed}.{signature}")
    }
}

/// Seconds since the epoch.
pub(crate) fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(now.as_secs()).unwrap()
}

/// The principal that a token with this subject names.
pub(crate) fn principal(subject: &str) -> String {
    format!("jwt:{ISSUER}#{subject}")
}
