//! Whom a token is from, about and for, and when it is good.

use serde_json::json;

use super::super::{Claim, InvalidRules, MAX_LEEWAY};
use super::*;
use crate::domain::names::PrincipalName;

#[test]
fn a_token_ends_at_its_exp_and_begins_at_its_nbf_and_iat() {
    let world = World::of(Algorithm::Es256);
    let expired = Err(JwtProblem::Expired);
    assert!(world.claim("exp", json!(NOW + 1)).is_ok());
    assert_eq!(world.claim("exp", json!(NOW)), expired);
    assert_eq!(world.claim("exp", json!(NOW - 1)), expired);
    for (claim, name) in [(Claim::Nbf, "nbf"), (Claim::Iat, "iat")] {
        assert!(world.claim(name, json!(NOW - 1)).is_ok());
        assert!(world.claim(name, json!(NOW)).is_ok());
        let early = Err(JwtProblem::NotYet(claim));
        assert_eq!(world.claim(name, json!(NOW + 1)), early);
    }
}

#[test]
fn a_millisecond_counts() {
    let world = World::of(Algorithm::Es256);
    let token = world.signer.token(&with(good_claims(), "nbf", json!(NOW)));
    let check_at = |millis: i64| {
        let now = Timestamp::from_millis(millis);
        check(&world.rules, &world.keys, &token, now).map(|_| ())
    };
    assert_eq!(
        check_at(NOW * 1000 - 1),
        Err(JwtProblem::NotYet(Claim::Nbf))
    );
    assert_eq!(check_at(NOW * 1000), Ok(()));
    assert_eq!(check_at((NOW + 600) * 1000 - 1), Ok(()));
    assert_eq!(check_at((NOW + 600) * 1000), Err(JwtProblem::Expired));
}

#[test]
fn the_leeway_is_for_the_difference_of_clocks_on_either_side() {
    let world = World::with_leeway();
    assert!(world.claim("exp", json!(NOW - LEEWAY + 1)).is_ok());
    assert_eq!(
        world.claim("exp", json!(NOW - LEEWAY)),
        Err(JwtProblem::Expired)
    );
    for (claim, name) in [(Claim::Nbf, "nbf"), (Claim::Iat, "iat")] {
        assert!(world.claim(name, json!(NOW + LEEWAY)).is_ok());
        assert_eq!(
            world.claim(name, json!(NOW + LEEWAY + 1)),
            Err(JwtProblem::NotYet(claim))
        );
    }
    let caller = world.claim("exp", json!(NOW)).unwrap();
    assert_eq!(caller.expires_at(), at(NOW), "without the leeway");
    assert_eq!(caller.good_until(&world.rules), at(NOW + LEEWAY));
}

#[test]
fn times_may_have_fractions_and_are_never_rounded_in_favour_of_the_token() {
    let world = World::of(Algorithm::Es256);
    #[allow(clippy::cast_precision_loss, reason = "it fits")]
    let now = NOW as f64;
    assert!(world.claim("exp", json!(now + 0.5)).is_ok());
    assert_eq!(
        world.claim("exp", json!(now + 0.000_9)),
        Err(JwtProblem::Expired)
    );
    assert!(world.claim("nbf", json!(now - 0.5)).is_ok());
    assert_eq!(
        world.claim("nbf", json!(now + 0.000_1)),
        Err(JwtProblem::NotYet(Claim::Nbf))
    );
    assert!(world.claim("exp", json!(1.9e9)).is_ok());
}

#[test]
fn a_time_is_a_number_that_is_a_date() {
    let world = World::of(Algorithm::Es256);
    for claim in [Claim::Exp, Claim::Nbf, Claim::Iat] {
        for value in [
            json!("1798761600"),
            json!(true),
            json!([NOW]),
            json!({}),
            json!(-1),
            json!(-0.5),
            json!(1e300),
            json!(i64::MAX),
            json!(u64::MAX),
            json!(253_402_300_800_i64),
        ] {
            assert_eq!(
                world.claim(claim.name(), value.clone()),
                Err(JwtProblem::Invalid(claim)),
                "{value}"
            );
        }
        let text = good_claims().to_string();
        let null = format!("{{\"{claim}\":null,{}", &text[1..]);
        let null = null.replace(&format!(",\"{claim}\":1"), ",\"other\":1");
        let token = world
            .signer
            .token_of(&world.signer.header().to_string(), &null);
        assert_eq!(world.check(&token), Err(JwtProblem::Invalid(claim)));
    }
    assert!(world.claim("exp", json!(253_402_300_799_i64)).is_ok());
    assert!(world.claim("nbf", json!(0)).is_ok());
    assert_eq!(
        world.claim("exp", json!(null)),
        Err(JwtProblem::Missing(Claim::Exp))
    );
    assert!(world.claim("nbf", json!(null)).is_ok());
    assert!(world.claim("iat", json!(null)).is_ok());
}

#[test]
fn a_token_is_for_credd_if_one_of_its_audiences_is() {
    let world = World::of(Algorithm::Es256);
    for ours in [
        json!("credd"),
        json!("credd-too"),
        json!(["credd"]),
        json!(["other", "credd-too"]),
        json!(["credd", "credd"]),
    ] {
        assert!(world.claim("aud", ours.clone()).is_ok(), "{ours}");
    }
    for others in [
        json!(""),
        json!("Credd"),
        json!("credd "),
        json!("cred"),
        json!("credd/"),
        json!("other,credd"),
        json!([]),
        json!([""]),
        json!(["other"]),
    ] {
        assert_eq!(
            world.claim("aud", others.clone()),
            Err(JwtProblem::Audience),
            "{others}"
        );
    }
    let invalid = Err(JwtProblem::Invalid(Claim::Aud));
    for invalid_ones in [
        json!(1),
        json!({ "credd": 1 }),
        json!(["credd", 1]),
        json!([["credd"]]),
    ] {
        assert_eq!(
            world.claim("aud", invalid_ones.clone()),
            invalid,
            "{invalid_ones}"
        );
    }
    assert_eq!(
        world.claim("aud", json!(null)),
        Err(JwtProblem::Missing(Claim::Aud))
    );
}

#[test]
fn an_issuer_is_compared_exactly() {
    let world = World::of(Algorithm::Es256);
    for other in [
        "",
        "https://issuer.example/",
        "https://ISSUER.example",
        "https://issuer.example#",
        "issuer.example",
    ] {
        assert_eq!(
            world.claim("iss", json!(other)),
            Err(JwtProblem::Issuer),
            "{other}"
        );
    }
    for value in [json!([ISSUER]), json!(1)] {
        assert_eq!(
            world.claim("iss", value),
            Err(JwtProblem::Invalid(Claim::Iss))
        );
    }
    assert_eq!(
        world.claim("iss", json!(null)),
        Err(JwtProblem::Missing(Claim::Iss))
    );
}

#[test]
fn a_subject_makes_a_principal_that_an_owner_can_have() {
    let world = World::of(Algorithm::Es256);
    let longest = "x".repeat(256 - "jwt:#".len() - ISSUER.len());
    for good in [
        "0",
        "auth0|5f7c8ec7",
        "system:serviceaccount:ns:name",
        "a#b",
        &longest,
    ] {
        let caller = world.claim("sub", json!(good)).unwrap();
        assert_eq!(caller.subject(), good);
        assert!(PrincipalName::parse(caller.principal().as_str()).is_ok());
    }
    for bad in [
        "",
        "a b",
        " a",
        "a\n",
        "a\0",
        "ä",
        "a\u{200b}",
        &format!("{longest}x"),
    ] {
        assert_eq!(
            world.claim("sub", json!(bad)),
            Err(JwtProblem::Invalid(Claim::Sub)),
            "{bad:?}"
        );
    }
    for value in [json!(1), json!(["jo"]), json!({})] {
        assert_eq!(
            world.claim("sub", value),
            Err(JwtProblem::Invalid(Claim::Sub))
        );
    }
    assert_eq!(
        world.claim("sub", json!(null)),
        Err(JwtProblem::Missing(Claim::Sub))
    );
}

#[test]
fn rules_that_would_let_in_nobody_or_the_wrong_one_are_none() {
    let new = |issuer: &str, audiences: &[&str], algorithms: &[Algorithm], leeway| {
        let audiences = audiences.iter().map(|it| (*it).to_owned()).collect();
        IssuerRules::new(issuer, audiences, algorithms.to_vec(), leeway).err()
    };
    let (one, zero) = (&[Algorithm::Es256][..], Duration::ZERO);
    assert_eq!(new(ISSUER, &["a"], one, MAX_LEEWAY), None);
    assert_eq!(new("accounts.example", &["a"], one, zero), None);
    // `https://a#b` and `c` would be the principal of `https://a` and `b#c`.
    for issuer in ["", "https://a#b", "a b", "ä", &"x".repeat(251)] {
        assert_eq!(new(issuer, &["a"], one, zero), Some(InvalidRules::Issuer));
    }
    assert_eq!(new(&"x".repeat(250), &["a"], one, zero), None);
    assert_eq!(new(ISSUER, &[], one, zero), Some(InvalidRules::Audiences));
    assert_eq!(
        new(ISSUER, &["a", ""], one, zero),
        Some(InvalidRules::Audiences)
    );
    assert_eq!(
        new(ISSUER, &["a"], &[], zero),
        Some(InvalidRules::Algorithms)
    );
    let long = MAX_LEEWAY + Duration::from_secs(1);
    assert_eq!(new(ISSUER, &["a"], one, long), Some(InvalidRules::Leeway));
}
