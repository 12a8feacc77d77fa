mod claims;
mod confusion;
mod form;
mod keys;
mod mutation;
pub(crate) mod signer;
mod vectors;

use std::time::Duration;

use serde_json::{Value, json};
use signer::Signer;

use super::{Algorithm, IssuerRules, JwtCaller, JwtProblem, KeySet, check};
use crate::domain::time::Timestamp;

const ISSUER: &str = "https://issuer.example";
const AUDIENCE: &str = "credd";
/// 2027-01-01T00:00:00Z, in seconds.
const NOW: i64 = 1_798_761_600;
const LEEWAY: i64 = 30;

/// The issuer's keys and rules, and somebody who signs for it.
struct World {
    rules: IssuerRules,
    keys: KeySet,
    signer: Signer,
}

impl World {
    /// An issuer with one key, `k1`, for this algorithm, and no leeway.
    fn of(algorithm: Algorithm) -> Self {
        let signer = Signer::new(algorithm, "k1");
        Self {
            rules: rules(&Algorithm::ALL, 0),
            keys: key_set(&[signer.jwk()]),
            signer,
        }
    }

    fn with_leeway() -> Self {
        Self {
            rules: rules(&Algorithm::ALL, LEEWAY),
            ..Self::of(Algorithm::Es256)
        }
    }

    fn check(&self, token: &str) -> Result<JwtCaller, JwtProblem> {
        check(&self.rules, &self.keys, token, at(NOW))
    }

    /// What is said of a token with these claims, signed as it should be.
    fn claims(&self, claims: &Value) -> Result<JwtCaller, JwtProblem> {
        self.check(&self.signer.token(claims))
    }

    /// What is said of a token with this claim instead of the good one; without
    /// it, if it is null.
    fn claim(&self, name: &str, value: Value) -> Result<JwtCaller, JwtProblem> {
        self.claims(&with(good_claims(), name, value))
    }

    /// The same for the header.
    fn header(&self, name: &str, value: Value) -> Result<JwtCaller, JwtProblem> {
        let header = with(self.signer.header(), name, value);
        self.check(&self.signer.token_with(&header, &good_claims()))
    }
}

fn rules(algorithms: &[Algorithm], leeway: i64) -> IssuerRules {
    let audiences = vec![AUDIENCE.to_owned(), "credd-too".to_owned()];
    let leeway = Duration::from_secs(leeway.try_into().unwrap());
    IssuerRules::new(ISSUER, audiences, algorithms.to_vec(), leeway).unwrap()
}

fn key_set(keys: &[Value]) -> KeySet {
    KeySet::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
}

fn good_claims() -> Value {
    json!({
        "iss": ISSUER,
        "sub": "jo@example.com",
        "aud": AUDIENCE,
        "exp": NOW + 600,
        "nbf": NOW - 600,
        "iat": NOW - 600,
    })
}

fn with(mut object: Value, name: &str, value: Value) -> Value {
    let members = object.as_object_mut().unwrap();
    if value.is_null() {
        members.remove(name);
    } else {
        members.insert(name.to_owned(), value);
    }
    object
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

fn problem(outcome: Result<JwtCaller, JwtProblem>) -> JwtProblem {
    outcome.unwrap_err()
}

#[test]
fn a_good_token_names_its_caller_whatever_its_algorithm() {
    for algorithm in Algorithm::ALL {
        let world = World::of(algorithm);
        let caller = world.claims(&good_claims()).unwrap();
        assert_eq!(caller.issuer(), ISSUER);
        assert_eq!(caller.subject(), "jo@example.com");
        assert_eq!(
            caller.principal().as_str(),
            "jwt:https://issuer.example#jo@example.com"
        );
        assert_eq!(caller.expires_at(), at(NOW + 600));
    }
}
