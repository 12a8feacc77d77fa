//! JWTs of callers. The first byte, a digit, says what the rest is:
//!
//! | | |
//! | --- | --- |
//! | 0 | a token |
//! | 1 | edits of a good token |
//! | 2 | the header of a good token, instead of its own |
//! | 3 | its claims |
//! | 4 | its signature |
//! | 5 | a header, signed with good claims |
//! | 6 | claims, signed with a good header |
//!
//! What the issuer did not sign is never accepted. Of what it did sign is accepted
//! only what serde's derived reading of the same JSON finds good too.

#![no_main]

use std::sync::LazyLock;
use std::time::Duration;

use credd::domain::jwt::{Algorithm, IssuerRules, JwtCaller, JwtProblem, KeySet, check};
use credd::domain::time::Timestamp;
use data_encoding::BASE64URL_NOPAD;
use libfuzzer_sys::fuzz_target;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use serde::Deserialize;
use serde_json::{Value, json};

const ISSUER: &str = "https://issuer.example";
const AUDIENCE: &str = "credd";
/// 2027-01-01T00:00:00Z, in seconds.
const NOW: u32 = 1_798_761_600;
const LEEWAY: u32 = 30;

/// The private key of RFC 7515 appendix A.3: its point, and the number.
const EC: [&str; 3] = [
    "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI",
];
/// The modulus of RFC 7515 appendix A.2. Nothing is signed with this key: it is
/// there to be taken for another.
const RSA: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";

struct World {
    rules: IssuerRules,
    keys: KeySet,
    ed: Ed25519KeyPair,
    /// Signed with Ed25519: another signature of the same is never good.
    ed_token: String,
    /// Signed with ECDSA, which has a second signature for each.
    ec_token: String,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let random = SystemRandom::new();
    let ed = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let [x, y, d] = EC.map(decode);
    let ec = EcdsaKeyPair::from_private_key_and_public_key(
        &ECDSA_P256_SHA256_FIXED_SIGNING,
        &d,
        &[&[4][..], &x, &y].concat(),
        &random,
    )
    .unwrap();
    let keys = json!({ "keys": [
        { "kid": "ed", "kty": "OKP", "crv": "Ed25519", "x": encode(ed.public_key()) },
        { "kid": "ec", "kty": "EC", "crv": "P-256", "x": EC[0], "y": EC[1] },
        { "kid": "rsa", "kty": "RSA", "n": RSA, "e": "AQAB" },
    ]});
    let keys = KeySet::parse(keys.to_string().as_bytes()).unwrap();
    assert_eq!(keys.keys().len(), 3);
    let audiences = vec![AUDIENCE.to_owned(), "credd-too".to_owned()];
    let leeway = Duration::from_secs(LEEWAY.into());
    let rules = IssuerRules::new(ISSUER, audiences, Algorithm::ALL.to_vec(), leeway).unwrap();

    let claims = good_claims().to_string();
    let ed_token = signed_by(&ed, good_header().to_string(), &claims);
    let header = json!({ "alg": "ES256", "kid": "ec" }).to_string();
    let ec_signed = format!("{}.{}", encode(header), encode(&claims));
    let signature = ec.sign(&random, ec_signed.as_bytes()).unwrap();
    let ec_token = format!("{ec_signed}.{}", encode(signature));
    let world = World {
        rules,
        keys,
        ed,
        ed_token,
        ec_token,
    };
    assert!(world.check(&world.ed_token).is_ok());
    assert!(world.check(&world.ec_token).is_ok());
    world
});

fuzz_target!(|data: &[u8]| {
    let Some((mode, rest)) = data.split_first() else {
        return;
    };
    let world = &*WORLD;
    // Every byte is as good as some digit.
    match mode.wrapping_sub(b'0') % 7 {
        0 => world.expect_no_other(str::from_utf8(rest).unwrap_or_default()),
        1 => {
            for token in [&world.ed_token, &world.ec_token] {
                world.expect_no_other(&edited(token, rest));
            }
        }
        part @ 2..=4 => {
            for token in [&world.ed_token, &world.ec_token] {
                let mut parts: Vec<&str> = token.split('.').collect();
                let other = encode(rest);
                parts[usize::from(part) - 2] = &other;
                world.expect_no_other(&parts.join("."));
            }
        }
        5 => world.check_signed(rest, good_claims().to_string().as_bytes()),
        _ => world.check_signed(good_header().to_string().as_bytes(), rest),
    }
});

impl World {
    fn check(&self, token: &str) -> Result<JwtCaller, JwtProblem> {
        let now = Timestamp::from_millis(i64::from(NOW) * 1000);
        check(&self.rules, &self.keys, token, now)
    }

    fn expect_no_other(&self, token: &str) {
        let is_good = self.check(token).is_ok();
        if token == self.ed_token || token == self.ec_token {
            assert!(is_good);
        } else if is_good {
            let signed = |token: &str| token.rsplit_once('.').map(|(signed, _)| signed.to_owned());
            assert_eq!(signed(token), signed(&self.ec_token), "{token}");
        }
    }

    fn check_signed(&self, header: &[u8], claims: &[u8]) {
        let token = signed_by(&self.ed, header, claims);
        let Ok(caller) = self.check(&token) else {
            return;
        };
        let header: Header = serde_json::from_slice(header).unwrap();
        header.assert_good();
        let claims: Claims = serde_json::from_slice(claims).unwrap();
        claims.assert_good();
        let Claims { iss, sub, exp, .. } = claims;
        assert_eq!(caller.issuer(), iss);
        assert_eq!(caller.subject(), sub);
        assert_eq!(caller.principal().as_str(), format!("jwt:{iss}#{sub}"));
        #[expect(clippy::cast_precision_loss, reason = "no date has so many digits")]
        let expires_at = caller.expires_at().as_millis() as f64;
        assert!((expires_at - exp * 1000.0).abs() <= 1.0, "{expires_at}");
    }
}

/// A header as it may be.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    crit: Option<Value>,
}

impl Header {
    fn assert_good(self) {
        let Self {
            alg,
            kid,
            typ,
            crit,
        } = self;
        assert!(alg == "EdDSA" || alg == "Ed25519", "{alg}");
        assert!(kid.is_none_or(|kid| kid == "ed"));
        assert!(typ.is_none_or(|typ| typ.to_ascii_lowercase().ends_with("jwt")));
        assert!(crit.is_none());
    }
}

/// Claims as they may be. That a name stands twice is an error of serde's.
#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Audiences,
    exp: f64,
    nbf: Option<f64>,
    iat: Option<f64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audiences {
    One(String),
    Several(Vec<String>),
}

impl Claims {
    fn assert_good(&self) {
        let Self {
            iss,
            sub,
            aud,
            exp,
            nbf,
            iat,
        } = self;
        assert_eq!(iss, ISSUER);
        assert!(!sub.is_empty());
        let is_ours = |audience: &str| audience == AUDIENCE || audience == "credd-too";
        assert!(match aud {
            Audiences::One(one) => is_ours(one),
            Audiences::Several(all) => all.iter().any(|one| is_ours(one)),
        });
        let [now, leeway] = [NOW, LEEWAY].map(f64::from);
        assert!(exp + leeway > now, "{exp}");
        for from in [nbf, iat].into_iter().flatten() {
            assert!(*from <= now + leeway, "{from}");
        }
    }
}

fn good_header() -> Value {
    json!({ "typ": "JWT", "alg": "EdDSA", "kid": "ed" })
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

fn signed_by(key: &Ed25519KeyPair, header: impl AsRef<[u8]>, claims: impl AsRef<[u8]>) -> String {
    let signed = format!("{}.{}", encode(header), encode(claims));
    let signature = key.sign(signed.as_bytes());
    format!("{signed}.{}", encode(signature))
}

/// The token after edits of four bytes each: what is done, where (two bytes), and
/// a character.
fn edited(token: &str, edits: &[u8]) -> String {
    let mut token: Vec<char> = token.chars().collect();
    for edit in edits.chunks_exact(4) {
        let &[what, high, low, with] = edit else {
            unreachable!("they are chunks of four");
        };
        let at = usize::from(u16::from_be_bytes([high, low])) % token.len().max(1);
        let with = char::from(with);
        match what % 6 {
            0 => token.insert(at, with),
            1 if !token.is_empty() => drop(token.remove(at)),
            2 if !token.is_empty() => token[at] = with,
            3 => token.truncate(at),
            4 if !token.is_empty() => token.rotate_left(at),
            _ => token.push(with),
        }
    }
    token.into_iter().collect()
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    BASE64URL_NOPAD.encode(bytes.as_ref())
}

fn decode(text: &str) -> Vec<u8> {
    BASE64URL_NOPAD.decode(text.as_bytes()).unwrap()
}
