//! Signatures that are none, or another's, or of another kind.

use data_encoding::BASE64;
use ring::hmac;
use serde_json::json;

use super::signer::{Signer, decode, encode};
use super::*;

const EVERY: [Algorithm; 9] = Algorithm::ALL;

/// A token of the header's algorithm, signed by whatever `sign` does.
fn forged(header: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let signed = format!(
        "{}.{}",
        encode(header.to_string()),
        encode(good_claims().to_string())
    );
    let signature = encode(sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

fn pem(label: &str, der: &[u8]) -> String {
    let lines: Vec<String> = BASE64
        .encode(der)
        .as_bytes()
        .chunks(64)
        .map(|line| String::from_utf8(line.to_vec()).unwrap())
        .collect();
    let lines = lines.join("\n");
    format!("-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n")
}

#[test]
fn alg_none_is_refused_however_it_is_written_and_signed() {
    let world = World::of(Algorithm::Rs256);
    for none in ["none", "None", "NONE", "nOnE", "", " none", "none\0"] {
        let header = json!({ "alg": none, "kid": "k1" });
        for token in [
            forged(&header, |_| vec![]),
            forged(&header, |_| vec![0; 256]),
            forged(&header, |message| world.signer.sign(message)),
        ] {
            assert_eq!(
                problem(world.check(&token)),
                JwtProblem::Algorithm,
                "{none}"
            );
        }
    }
}

#[test]
fn hmac_with_the_public_key_in_any_form_is_refused() {
    for algorithm in [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa] {
        let world = World::of(algorithm);
        let der = world.signer.der().to_vec();
        let jwk = world.signer.jwk();
        let secrets = [
            der.clone(),
            pem("RSA PUBLIC KEY", &der).into_bytes(),
            pem("PUBLIC KEY", &der).into_bytes(),
            pem("PUBLIC KEY", &der).trim_end().to_owned().into_bytes(),
            jwk.to_string().into_bytes(),
            jwk["n"].as_str().unwrap_or_default().into(),
            jwk["x"].as_str().unwrap_or_default().into(),
            vec![],
        ];
        for secret in secrets {
            for (name, hash) in [
                ("HS256", hmac::HMAC_SHA256),
                ("HS384", hmac::HMAC_SHA384),
                ("HS512", hmac::HMAC_SHA512),
            ] {
                let key = hmac::Key::new(hash, &secret);
                let sign = |message: &[u8]| hmac::sign(&key, message).as_ref().to_vec();
                let token = forged(&json!({ "alg": name, "kid": "k1" }), sign);
                assert_eq!(problem(world.check(&token)), JwtProblem::Algorithm);
                // The same under the name of the algorithm that is expected.
                let token = forged(&world.signer.header(), sign);
                assert_eq!(problem(world.check(&token)), JwtProblem::Signature);
            }
        }
    }
}

#[test]
fn an_algorithm_that_credd_does_not_know_is_refused() {
    let world = World::of(Algorithm::Es256);
    for name in [
        "ES256K", "ES512", "Ed448", "RS1", "es256", "Es256", "ES256 ", "HS256", "A128KW", "dir",
        "RSA-OAEP",
    ] {
        assert_eq!(
            problem(world.header("alg", json!(name))),
            JwtProblem::Algorithm,
            "{name}"
        );
    }
}

#[test]
fn a_signature_counts_only_under_the_algorithm_that_made_it() {
    for made in EVERY {
        let world = World::of(made);
        for said in EVERY {
            let header = with(world.signer.header(), "alg", json!(said.name()));
            let token = world.signer.token_with(&header, &good_claims());
            let outcome = world.check(&token).map(|_| ());
            let same_type = world.keys.keys()[0].fits(said);
            match (made == said, same_type) {
                (true, _) => assert_eq!(outcome, Ok(())),
                (false, true) => assert_eq!(outcome, Err(JwtProblem::Signature), "{made} {said}"),
                (false, false) => {
                    assert_eq!(outcome, Err(JwtProblem::KeyUnfit(said)), "{made} {said}");
                }
            }
        }
    }
}

#[test]
fn only_the_algorithms_of_the_list_are_accepted() {
    for algorithm in EVERY {
        let others: Vec<_> = EVERY.into_iter().filter(|it| *it != algorithm).collect();
        let world = World {
            rules: rules(&others, 0),
            ..World::of(algorithm)
        };
        assert_eq!(
            world.claims(&good_claims()),
            Err(JwtProblem::AlgorithmNotAllowed(algorithm))
        );
    }
}

#[test]
fn ed25519_is_another_name_of_eddsa() {
    let world = World::of(Algorithm::EdDsa);
    assert!(world.header("alg", json!("Ed25519")).is_ok());
}

#[test]
fn a_signature_of_the_wrong_length_or_form_is_refused() {
    for algorithm in EVERY {
        let world = World::of(algorithm);
        let good = world.signer.token(&good_claims());
        let (signed, signature) = good.rsplit_once('.').unwrap();
        let signature = decode(signature);
        let mut variants: Vec<Vec<u8>> = vec![
            vec![],
            vec![0; signature.len()],
            signature[1..].to_vec(),
            signature[..signature.len() - 1].to_vec(),
            [&signature[..], &[0]].concat(),
            [&[0], &signature[..]].concat(),
            [&signature[..], &signature[..]].concat(),
        ];
        if matches!(algorithm, Algorithm::Es256 | Algorithm::Es384) {
            variants.push(world.signer.sign_asn1(signed.as_bytes()));
        }
        for variant in variants {
            let token = format!("{signed}.{}", encode(&variant));
            let length = variant.len();
            assert_eq!(
                problem(world.check(&token)),
                JwtProblem::Signature,
                "{algorithm} {length}"
            );
        }
    }
}

#[test]
fn a_key_that_the_token_brings_along_is_not_used() {
    let world = World::of(Algorithm::Es256);
    let mallory = Signer::new(Algorithm::Es256, "k1");
    for (name, value) in [
        ("jwk", mallory.jwk()),
        ("jku", json!("https://mallory.example/jwks")),
        ("x5u", json!("https://mallory.example/cert")),
        ("x5c", json!(["AAAA"])),
    ] {
        let header = with(mallory.header(), name, value);
        let token = mallory.token_with(&header, &good_claims());
        assert_eq!(
            problem(world.check(&token)),
            JwtProblem::Signature,
            "{name}"
        );
    }
}

#[test]
fn a_signature_over_other_claims_is_refused() {
    let world = World::of(Algorithm::Es256);
    let mine = world.signer.token(&good_claims());
    let theirs = world
        .signer
        .token(&with(good_claims(), "sub", json!("admin")));
    let mine: Vec<&str> = mine.split('.').collect();
    let theirs: Vec<&str> = theirs.split('.').collect();
    let mixed = [mine[0], theirs[1], mine[2]].join(".");
    assert_eq!(problem(world.check(&mixed)), JwtProblem::Signature);
}
