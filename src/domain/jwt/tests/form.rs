//! What a token must look like.

use serde_json::json;

use super::super::{JwtProblem, MAX_TOKEN, Part, is_compact};
use super::signer::{Signer, encode};
use super::*;

const MALFORMED_HEADER: JwtProblem = JwtProblem::Malformed(Part::Header);
const MALFORMED_CLAIMS: JwtProblem = JwtProblem::Malformed(Part::Claims);

#[test]
fn only_three_parts_are_a_token() {
    let world = World::of(Algorithm::Es256);
    let token = world.signer.token(&good_claims());
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let form = JwtProblem::Malformed(Part::Form);
    for not_three in [
        "",
        "x",
        signed,
        &format!("{token}."),
        &format!(".{token}"),
        &format!("{token}.{signature}"),
    ] {
        assert_eq!(problem(world.check(not_three)), form, "{not_three}");
        assert!(!is_compact(not_three));
    }
    assert!(is_compact(&token));
    assert_eq!(problem(world.check("..")), MALFORMED_HEADER);
    let unsigned = format!("{signed}.");
    assert_eq!(problem(world.check(&unsigned)), JwtProblem::Signature);
}

#[test]
fn a_part_is_canonical_base64url() {
    let world = World::of(Algorithm::EdDsa);
    let token = world.signer.token(&good_claims());
    // A signature of 64 bytes is 86 characters, of whose last 4 bits are zero.
    let next = |last: u8| match last {
        b'A' => 'B',
        b'Q' => 'R',
        b'g' => 'h',
        _ => 'x',
    };
    let (start, last) = token.split_at(token.len() - 1);
    let other = format!("{start}{}", next(last.as_bytes()[0]));
    assert_eq!(
        problem(world.check(&other)),
        JwtProblem::Malformed(Part::Signature)
    );
    for garbled in [
        format!("{token}="),
        format!("{token}=="),
        format!("{token} "),
        format!("{token}\n"),
        format!("{start}+"),
        format!("{start}ä"),
        start.to_owned(),
    ] {
        assert_eq!(
            problem(world.check(&garbled)),
            JwtProblem::Malformed(Part::Signature),
            "{garbled}"
        );
    }
    for garbled in [
        format!(" {token}"),
        format!("={token}"),
        format!("/{token}"),
    ] {
        assert_eq!(problem(world.check(&garbled)), MALFORMED_HEADER);
    }
}

#[test]
fn a_token_that_is_cut_off_anywhere_is_refused() {
    let world = World::of(Algorithm::Es256);
    let token = world.signer.token(&good_claims());
    for end in 0..token.len() {
        assert!(world.check(&token[..end]).is_err(), "{end}");
    }
    for begin in 1..token.len() {
        assert!(world.check(&token[begin..]).is_err(), "{begin}");
    }
}

#[test]
fn a_long_token_is_refused_before_it_is_looked_at() {
    let world = World::of(Algorithm::Es256);
    let padded = |pad: usize| {
        let claims = with(good_claims(), "pad", json!("x".repeat(pad)));
        world.signer.token(&claims)
    };
    let unpadded = padded(0).len();
    let pad = (MAX_TOKEN - unpadded) / 4 * 3;
    let longest = padded(pad);
    assert!((MAX_TOKEN - 4..=MAX_TOKEN).contains(&longest.len()));
    assert!(world.check(&longest).is_ok());
    assert_eq!(problem(world.check(&padded(pad + 6))), JwtProblem::TooLong);
    let garbage = "x".repeat(MAX_TOKEN + 1);
    assert_eq!(problem(world.check(&garbage)), JwtProblem::TooLong);
}

#[test]
fn header_and_claims_are_objects() {
    let world = World::of(Algorithm::Es256);
    let header = world.signer.header().to_string();
    let claims = good_claims().to_string();
    for text in [
        "",
        "null",
        "[]",
        "1",
        "\"x\"",
        "{",
        "{}x",
        "{'a':1}",
        "\u{feff}{}",
    ] {
        let token = world.signer.token_of(text, &claims);
        assert_eq!(problem(world.check(&token)), MALFORMED_HEADER, "{text}");
        let token = world.signer.token_of(&header, text);
        assert_eq!(problem(world.check(&token)), MALFORMED_CLAIMS, "{text}");
    }
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(4000), "]".repeat(4000));
    let token = world.signer.token_of(&header, &deep);
    assert_eq!(problem(world.check(&token)), MALFORMED_CLAIMS);

    let parts: Vec<_> = [&header, &claims].map(encode).into();
    let not_utf8 = format!("{}.{}.AA", parts[0], encode(b"{\"iss\":\"\xff\"}"));
    assert_eq!(problem(world.check(&not_utf8)), MALFORMED_CLAIMS);
}

#[test]
fn no_name_stands_twice_in_header_or_claims() {
    let world = World::of(Algorithm::Es256);
    let header = world.signer.header().to_string();
    let claims = good_claims().to_string();
    let twice = |text: &str, member: &str| format!("{{{member},{}", &text[1..]);
    for member in ["\"alg\":\"ES256\"", "\"kid\":\"k1\"", "\"typ\":\"JWT\""] {
        let token = world.signer.token_of(&twice(&header, member), &claims);
        assert_eq!(problem(world.check(&token)), MALFORMED_HEADER, "{member}");
    }
    for member in [
        "\"sub\":\"admin\"",
        "\"s\\u0075b\":\"admin\"",
        "\"aud\":\"credd\"",
        "\"exp\":9999999999",
        "\"iss\":\"https://issuer.example\"",
        "\"x\":1,\"x\":1",
    ] {
        let token = world.signer.token_of(&header, &twice(&claims, member));
        assert_eq!(problem(world.check(&token)), MALFORMED_CLAIMS, "{member}");
    }
}

#[test]
fn a_header_says_what_it_must_and_nothing_critical() {
    let world = World::of(Algorithm::Es256);
    for crit in [
        json!(["exp"]),
        json!(["b64"]),
        json!([]),
        json!("x"),
        json!(1),
    ] {
        assert_eq!(
            problem(world.header("crit", crit.clone())),
            JwtProblem::Critical,
            "{crit}"
        );
    }
    for good in [
        "JWT",
        "jwt",
        "at+jwt",
        "AT+JWT",
        "application/jwt",
        "application/at+jwt",
    ] {
        assert!(world.header("typ", json!(good)).is_ok(), "{good}");
    }
    assert!(world.header("typ", json!(null)).is_ok(), "it may be absent");
    for other in [
        "",
        "JWS",
        "JOSE",
        "dpop+jwt",
        "logout+jwt",
        "text/jwt",
        "jwt ",
    ] {
        assert_eq!(
            problem(world.header("typ", json!(other))),
            JwtProblem::Type,
            "{other}"
        );
    }
    for name in ["typ", "alg", "kid"] {
        for value in [json!(1), json!(["ES256"]), json!({}), json!(true)] {
            assert_eq!(
                problem(world.header(name, value)),
                MALFORMED_HEADER,
                "{name}"
            );
        }
    }
    assert_eq!(problem(world.header("alg", json!(null))), MALFORMED_HEADER);
    let explicit_null = world.signer.header().to_string().replace("\"k1\"", "null");
    let token = world
        .signer
        .token_of(&explicit_null, &good_claims().to_string());
    assert_eq!(problem(world.check(&token)), MALFORMED_HEADER);
}

#[test]
fn no_problem_quotes_a_token() {
    let world = World::of(Algorithm::Es256);
    let other = Signer::new(Algorithm::Es256, "quoted-kid");
    let header = json!({ "alg": "quoted-alg", "typ": "JWT" });
    for token in [
        other.token(&with(good_claims(), "sub", json!("quoted sub"))),
        world.signer.token_with(&header, &good_claims()),
        world
            .signer
            .token(&with(good_claims(), "iss", json!("quoted-iss"))),
        world
            .signer
            .token(&with(good_claims(), "sub", json!("quoted sub"))),
        world
            .signer
            .token(&with(good_claims(), "aud", json!("quoted-aud"))),
        "quoted.quoted.quoted".to_owned(),
    ] {
        let problem = problem(world.check(&token));
        let shown = format!("{problem} {problem:?}");
        assert!(!shown.contains("quoted"), "{shown}");
    }
}
