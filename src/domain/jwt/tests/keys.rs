//! Which key a token is held against, and what a key set is.

use proptest::prelude::*;
use serde_json::json;

use super::super::{InvalidKeySet, Key, KeySet, MAX_KEY_SET, MAX_KEYS, Unusable};
use super::signer::{Signer, decode, encode};
use super::*;

/// What is said of a token of this signer, with or without the name of its key.
fn outcome(keys: &KeySet, signer: &Signer, named: bool) -> Result<(), JwtProblem> {
    let header = if named {
        signer.header()
    } else {
        with(signer.header(), "kid", json!(null))
    };
    let token = signer.token_with(&header, &good_claims());
    check(&rules(&Algorithm::ALL, 0), keys, &token, at(NOW)).map(|_| ())
}

#[test]
fn a_token_that_names_a_key_is_held_against_that_key_only() {
    let [a, b] = ["a", "b"].map(|id| Signer::new(Algorithm::Es256, id));
    let keys = key_set(&[a.jwk(), b.jwk()]);
    assert_eq!(outcome(&keys, &a, true), Ok(()));
    assert_eq!(outcome(&keys, &b, true), Ok(()));
    let only_b = key_set(&[b.jwk()]);
    assert_eq!(outcome(&only_b, &a, true), Err(JwtProblem::UnknownKey));
    let header = with(a.header(), "kid", json!("b"));
    let token = a.token_with(&header, &good_claims());
    assert_eq!(
        check(&rules(&Algorithm::ALL, 0), &keys, &token, at(NOW)),
        Err(JwtProblem::Signature),
        "signed by `a`, says `b`"
    );
    for id in ["", "A", "a ", "c"] {
        let header = with(a.header(), "kid", json!(id));
        let token = a.token_with(&header, &good_claims());
        let outcome = check(&rules(&Algorithm::ALL, 0), &keys, &token, at(NOW));
        assert_eq!(outcome, Err(JwtProblem::UnknownKey), "{id}");
    }
}

#[test]
fn a_token_that_names_no_key_is_held_against_the_only_one_for_its_algorithm() {
    let es = Signer::new(Algorithm::Es256, "es");
    let another = Signer::new(Algorithm::Es256, "another");
    let ed = Signer::new(Algorithm::EdDsa, "ed");
    let keys = key_set(&[es.jwk(), ed.jwk()]);
    assert_eq!(outcome(&keys, &es, false), Ok(()));
    assert_eq!(outcome(&keys, &ed, false), Ok(()));
    let keys = key_set(&[es.jwk(), another.jwk()]);
    assert_eq!(outcome(&keys, &es, false), Err(JwtProblem::KeyAmbiguous));
    let keys = key_set(&[another.jwk()]);
    assert_eq!(outcome(&keys, &es, false), Err(JwtProblem::Signature));
    let keys = key_set(&[ed.jwk()]);
    assert_eq!(outcome(&keys, &es, false), Err(JwtProblem::UnknownKey));
    assert_eq!(
        outcome(&KeySet::default(), &es, false),
        Err(JwtProblem::UnknownKey)
    );
    let nameless = key_set(&[with(es.jwk(), "kid", json!(null))]);
    assert_eq!(outcome(&nameless, &es, false), Ok(()));
    assert_eq!(
        outcome(&nameless, &es, true),
        Err(JwtProblem::UnknownKey),
        "a key without a name has none that could be guessed"
    );
}

#[test]
fn a_key_is_not_used_for_what_it_is_not_for() {
    let signer = Signer::new(Algorithm::Rs256, "k1");
    let said = |name: &str, value: Value| {
        let keys = key_set(&[with(signer.jwk(), name, value)]);
        (outcome(&keys, &signer, true), keys.unusable().to_vec())
    };
    let good = (Ok(()), vec![]);
    assert_eq!(said("alg", json!("RS256")), good);
    assert_eq!(said("use", json!("sig")), good);
    assert_eq!(said("key_ops", json!(["sign", "verify"])), good);
    let unfit = Err(JwtProblem::KeyUnfit(Algorithm::Rs256));
    assert_eq!(said("alg", json!("RS384")), (unfit, vec![]));
    assert_eq!(said("alg", json!("PS256")), (unfit, vec![]));
    for (name, value, why) in [
        ("alg", json!("RSA-OAEP"), Unusable::Algorithm),
        ("alg", json!("HS256"), Unusable::Algorithm),
        ("alg", json!("none"), Unusable::Algorithm),
        ("alg", json!("ES256"), Unusable::Algorithm),
        ("alg", json!(1), Unusable::Malformed),
        ("use", json!("enc"), Unusable::Use),
        ("use", json!(["sig"]), Unusable::Malformed),
        ("key_ops", json!([]), Unusable::Use),
        ("key_ops", json!(["encrypt"]), Unusable::Use),
        ("key_ops", json!("verify"), Unusable::Malformed),
        ("kid", json!(1), Unusable::Malformed),
        ("kid", json!("x".repeat(257)), Unusable::Malformed),
        ("kty", json!("oct"), Unusable::Type),
        ("kty", json!("AKP"), Unusable::Type),
        ("kty", json!("rsa"), Unusable::Type),
        ("kty", json!(null), Unusable::Malformed),
    ] {
        let expected = (Err(JwtProblem::UnknownKey), vec![why]);
        assert_eq!(said(name, value.clone()), expected, "{name} {value}");
    }
}

#[test]
fn a_key_verifies_nothing_under_an_algorithm_that_it_is_not_for() {
    for made in Algorithm::ALL {
        let signer = Signer::new(made, "k1");
        let signature = signer.sign(b"message");
        let key = Key::parse(&signer.jwk()).unwrap();
        for said in Algorithm::ALL {
            let verifies = key.verifies(said, b"message", &signature);
            assert_eq!(verifies, said == made, "{made} {said}");
        }
    }
    let signer = Signer::new(Algorithm::Ps256, "k1");
    let key = Key::parse(&with(signer.jwk(), "alg", json!("RS256"))).unwrap();
    assert!(!key.verifies(Algorithm::Ps256, b"message", &signer.sign(b"message")));
}

#[test]
fn two_keys_of_one_name_are_told_apart_by_type_or_not_used() {
    let es = Signer::new(Algorithm::Es256, "same");
    let es_too = Signer::new(Algorithm::Es256, "same");
    let ed = Signer::new(Algorithm::EdDsa, "same");
    for keys in [[es.jwk(), es_too.jwk()], [es_too.jwk(), es.jwk()]] {
        let keys = key_set(&keys);
        assert_eq!(outcome(&keys, &es, true), Err(JwtProblem::KeyAmbiguous));
        assert_eq!(outcome(&keys, &es_too, true), Err(JwtProblem::KeyAmbiguous));
    }
    let keys = key_set(&[es.jwk(), ed.jwk()]);
    assert_eq!(outcome(&keys, &es, true), Ok(()));
    assert_eq!(outcome(&keys, &ed, true), Ok(()));
    let keys = key_set(&[es.jwk(), es.jwk()]);
    assert_eq!(outcome(&keys, &es, true), Ok(()), "it is the same key");
    assert_eq!(keys.keys().len(), 1);
}

#[test]
fn an_rsa_key_has_2048_to_8192_bits_and_an_odd_exponent() {
    let rsa = |modulus: &[u8], exponent: &[u8]| {
        let (n, e) = (encode(modulus), encode(exponent));
        Key::parse(&json!({ "kty": "RSA", "n": n, "e": e })).map(|_| ())
    };
    let modulus = |bytes: usize, first: u8| {
        let mut modulus = vec![0xff; bytes];
        modulus[0] = first;
        modulus
    };
    let e = [1, 0, 1];
    assert_eq!(rsa(&modulus(256, 0x80), &e), Ok(()));
    assert_eq!(rsa(&modulus(256, 0x7f), &e), Err(Unusable::Size));
    assert_eq!(rsa(&modulus(128, 0xff), &e), Err(Unusable::Size));
    assert_eq!(rsa(&[0; 256], &e), Err(Unusable::Size));
    assert_eq!(rsa(&[], &e), Err(Unusable::Size));
    assert_eq!(rsa(&modulus(1024, 0xff), &e), Ok(()));
    assert_eq!(rsa(&modulus(1025, 0x01), &e), Err(Unusable::Size));
    for exponent in [&[][..], &[0], &[1], &[2], &[1, 0, 0], &[1; 6]] {
        assert_eq!(rsa(&modulus(256, 0xff), exponent), Err(Unusable::Malformed));
    }
    assert_eq!(rsa(&modulus(256, 0xff), &[3]), Ok(()));

    let signer = Signer::new(Algorithm::Rs256, "k1");
    let jwk = signer.jwk();
    let modulus = decode(jwk["n"].as_str().unwrap());
    let padded = encode([&[0], &modulus[..]].concat());
    let keys = key_set(&[with(jwk, "n", json!(padded))]);
    assert_eq!(outcome(&keys, &signer, true), Ok(()), "a zero before it");
}

#[test]
fn a_point_has_the_width_of_its_curve() {
    let es = Signer::new(Algorithm::Es256, "k1").jwk();
    let ed = Signer::new(Algorithm::EdDsa, "k1").jwk();
    let key = |jwk: &Value, name: &str, value: Value| {
        Key::parse(&with(jwk.clone(), name, value)).map(|_| ())
    };
    for name in ["x", "y"] {
        for width in [0, 31, 33, 48] {
            let value = json!(encode(vec![1; width]));
            assert_eq!(key(&es, name, value), Err(Unusable::Malformed));
        }
        assert_eq!(key(&es, name, json!(null)), Err(Unusable::Malformed));
        assert_eq!(key(&es, name, json!("!")), Err(Unusable::Malformed));
    }
    for width in [0, 31, 33, 57] {
        let value = json!(encode(vec![1; width]));
        assert_eq!(key(&ed, "x", value), Err(Unusable::Malformed));
    }
    for curve in ["P-521", "secp256k1", "p-256", "X25519", "Ed448"] {
        assert_eq!(key(&es, "crv", json!(curve)), Err(Unusable::Type));
        assert_eq!(key(&ed, "crv", json!(curve)), Err(Unusable::Type));
    }
    assert_eq!(key(&es, "crv", json!("P-384")), Err(Unusable::Malformed));
    assert_eq!(key(&es, "crv", json!(null)), Err(Unusable::Malformed));

    let signer = Signer::new(Algorithm::Es256, "k1");
    let off_curve = with(signer.jwk(), "y", json!(encode([1; 32])));
    let keys = key_set(&[off_curve]);
    assert_eq!(outcome(&keys, &signer, true), Err(JwtProblem::Signature));
}

#[test]
fn what_is_of_no_use_is_passed_over() {
    let signer = Signer::new(Algorithm::Es256, "k1");
    let keys = key_set(&[
        json!({ "kty": "oct", "k": "AAAA", "kid": "k1", "alg": "HS256" }),
        json!("no object"),
        json!({ "kty": "new", "kid": "k1" }),
        signer.jwk(),
        json!({}),
    ]);
    assert_eq!(keys.keys().len(), 1);
    assert_eq!(
        keys.unusable(),
        [
            Unusable::Type,
            Unusable::Malformed,
            Unusable::Type,
            Unusable::Malformed
        ]
    );
    assert_eq!(outcome(&keys, &signer, true), Ok(()));
}

#[test]
fn a_key_set_is_an_object_with_keys_and_bounded() {
    let parse = |text: &str| KeySet::parse(text.as_bytes()).map(|set| set.keys().len());
    assert_eq!(parse("{\"keys\":[],\"more\":{}}"), Ok(0));
    assert_eq!(parse(" \t\r\n{\"keys\":[]}\n"), Ok(0));
    for none in [
        "",
        "[]",
        "[[]]",
        "\n[[{}]]",
        "{}",
        "null",
        "{\"keys\":{}}",
        "{\"keys\":null}",
        "{\"keys\":[]}x",
        "{\"keys\":[],\"keys\":[]}",
        "<html>",
    ] {
        assert_eq!(parse(none), Err(InvalidKeySet::Form), "{none}");
    }
    let many = |count: usize| json!({ "keys": vec![json!({}); count] }).to_string();
    assert_eq!(parse(&many(MAX_KEYS)), Ok(0));
    assert_eq!(parse(&many(MAX_KEYS + 1)), Err(InvalidKeySet::TooMany));
    let long = |length: usize| format!("{}{}", "{\"keys\":[]}", " ".repeat(length - 11));
    assert_eq!(parse(&long(MAX_KEY_SET)), Ok(0));
    assert_eq!(parse(&long(MAX_KEY_SET + 1)), Err(InvalidKeySet::TooLong));
}

proptest! {
    #[test]
    fn no_bytes_upset_the_reader_of_key_sets(bytes: Vec<u8>, text in "\\PC*") {
        let _ = KeySet::parse(&bytes);
        let _ = KeySet::parse(text.as_bytes());
        let quoted = json!({ "keys": [{ "kty": text, "n": text, "e": text }] });
        let _ = KeySet::parse(quoted.to_string().as_bytes());
    }
}
