use std::hash::BuildHasher as _;

use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::domain::id::CredentialId;
use crate::domain::secret::Secret;
use crate::domain::token::{Generation, public_name, secret_text};

fn rule(name: &str, format: HeaderFormat) -> HeaderRule {
    let name = HeaderName::parse(name).unwrap();
    HeaderRule { name, format }
}

fn scheme(scheme: &str) -> HeaderFormat {
    HeaderFormat::Scheme(AuthScheme::parse(scheme).unwrap())
}

fn pair(public: &str, secret: &str) -> HeaderFormat {
    let parse = |name| ParameterName::parse(name).unwrap();
    HeaderFormat::Pair(PairNames::new(parse(public), parse(secret)).unwrap())
}

/// What is presented, in the order of its parts.
fn parts(presentable: &Presentable<'_>) -> Vec<String> {
    match presentable.presented() {
        Presented::Token(token) => vec![token.to_owned()],
        Presented::UsernamePassword(one, other) | Presented::KeyPair(one, other) => {
            vec![one.to_owned(), other.to_owned()]
        }
    }
}

fn read(format: &HeaderFormat, value: &str) -> Result<Vec<String>, Unreadable> {
    let presentable = rule("X-Key", format.clone()).read(value.as_bytes())?;
    Ok(parts(&presentable))
}

/// The name and the secret of a credential, as credd issues them.
fn credential(kind: Kind, id: u8) -> (String, String) {
    let (id, secret) = (CredentialId::from_bytes([id; 16]), Secret::new([id; 32]));
    let text = secret_text(kind, id, Generation::FIRST, &secret);
    let name = public_name(kind, id).unwrap_or_default();
    (name, text.expose().to_owned())
}

#[test]
fn a_header_name_is_a_token_and_some_can_carry_no_credential() {
    let longest = "x".repeat(64);
    for good in [
        "Authorization",
        "X-API-KEY",
        "api-secret-key",
        "X-ApiKeys",
        "a",
        "!#$%&'*+-.^_`|~",
        "X-Cookie",
        &longest,
    ] {
        assert_eq!(HeaderName::parse(good).unwrap().as_str(), good);
        assert!(HeaderName::parse_put(good).is_ok(), "{good}");
    }
    let too_long = "x".repeat(65);
    for bad in [
        "",
        ":authority",
        "X Key",
        "X-Key:",
        "X-Kéy",
        "X-Key\r\n",
        "\0",
        "(a)",
        &too_long,
    ] {
        assert!(HeaderName::parse(bad).is_err(), "{bad:?}");
        assert!(HeaderName::parse_put(bad).is_err(), "{bad:?}");
    }
    let is_refused = |name: &str| {
        assert!(
            HeaderName::parse(name).is_ok(),
            "{name}: it may stand in a store"
        );
        HeaderName::parse_put(name).is_err()
    };
    for refused in [
        "Host",
        "COOKIE",
        "content-Length",
        "Transfer-Encoding",
        "Connection",
        "Proxy-Authorization",
    ] {
        assert!(is_refused(refused), "{refused}");
    }
    for refused in HeaderName::REFUSED {
        assert!(is_refused(refused), "{refused}");
    }
    for prefix in HeaderName::REFUSED_PREFIXES {
        let name = format!("{prefix}Key").to_uppercase();
        assert!(is_refused(&name), "{name}");
        let cut = &prefix[..prefix.len() - 1];
        assert!(!is_refused(cut), "{cut}");
    }
}

#[test]
fn a_scheme_is_a_token_other_than_basic() {
    let longest = "x".repeat(32);
    for good in ["Bearer", "Token", "Basic2", "a", &longest] {
        assert_eq!(AuthScheme::parse(good).unwrap().as_str(), good);
    }
    let too_long = "x".repeat(33);
    for bad in [
        "", "Basic", "bASIC", "a b", "a ", "a,b", "a;b", "ä", &too_long,
    ] {
        assert!(AuthScheme::parse(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn the_two_parameters_of_a_pair_are_tokens_that_differ() {
    let longest = "x".repeat(32);
    for good in ["accessKey", "basic", "id", &longest] {
        assert_eq!(ParameterName::parse(good).unwrap().as_str(), good);
    }
    let too_long = "x".repeat(33);
    for bad in ["", "a=", "a;", "a b", "\"a\"", "ä", &too_long] {
        assert!(ParameterName::parse(bad).is_err(), "{bad:?}");
    }
    let names =
        |one, other| PairNames::new(ParameterName::trusted(one), ParameterName::trusted(other));
    assert!(names("id".into(), "key".into()).is_ok());
    assert!(names("id".into(), "id".into()).is_err());
    assert!(names("id".into(), "ID".into()).is_err());
}

#[test]
fn values_are_written_as_services_expect_them() {
    for (format, value) in [
        (HeaderFormat::Bare, "s_1"),
        (scheme("Bearer"), "Bearer s_1"),
        (scheme("token"), "token s_1"),
        (HeaderFormat::Basic, "Basic bjpzXzE="),
        (pair("accessKey", "secretKey"), "accessKey=n; secretKey=s_1"),
    ] {
        let written = rule("X-Key", format).write("n", "s_1");
        assert_eq!(written.expose(), value);
    }
}

#[test]
fn a_token_stands_alone_or_after_its_scheme() {
    use Unreadable::{Malformed, OtherFormat};
    let one = |token: &str| Ok(vec![token.to_owned()]);
    for (value, bare, bearer) in [
        ("abc", one("abc"), Err(OtherFormat)),
        (" \tabc\t ", one("abc"), Err(OtherFormat)),
        ("a.b-c_d~e+f/g==", one("a.b-c_d~e+f/g=="), Err(OtherFormat)),
        ("Bearer", one("Bearer"), Err(OtherFormat)),
        ("Bearer abc", Err(OtherFormat), one("abc")),
        ("bEARER abc", Err(OtherFormat), one("abc")),
        ("  Bearer    abc ", Err(OtherFormat), one("abc")),
        ("Token abc", Err(OtherFormat), Err(OtherFormat)),
        ("Bearers abc", Err(OtherFormat), Err(OtherFormat)),
        ("", Err(Malformed), Err(Malformed)),
        (" ", Err(Malformed), Err(Malformed)),
        ("=", Err(Malformed), Err(Malformed)),
        ("a=b", Err(Malformed), Err(Malformed)),
        ("a,b", Err(Malformed), Err(Malformed)),
        ("a, b", Err(Malformed), Err(Malformed)),
        (", a", Err(Malformed), Err(Malformed)),
        ("\"a\"", Err(Malformed), Err(Malformed)),
        ("a\0", Err(Malformed), Err(Malformed)),
        ("a\u{7f}", Err(Malformed), Err(Malformed)),
        ("é", Err(Malformed), Err(Malformed)),
        ("\u{a0}a", Err(Malformed), Err(Malformed)),
        ("Bearer\tabc", Err(Malformed), Err(Malformed)),
        ("Bearer \tabc", Err(Malformed), Err(Malformed)),
        ("Bearer a b", Err(Malformed), Err(Malformed)),
        ("Bearer Bearer a", Err(Malformed), Err(Malformed)),
        ("Bearer a,", Err(Malformed), Err(Malformed)),
        ("Bearer a, Bearer b", Err(Malformed), Err(Malformed)),
        ("Bearer a,Bearer b", Err(Malformed), Err(Malformed)),
        ("Bearer a;", Err(Malformed), Err(Malformed)),
        ("Bearer: a", Err(Malformed), Err(Malformed)),
        ("Bearer a\r\nX: b", Err(Malformed), Err(Malformed)),
    ] {
        assert_eq!(read(&HeaderFormat::Bare, value), bare, "{value:?}");
        assert_eq!(read(&scheme("Bearer"), value), bearer, "{value:?}");
    }
}

#[test]
fn basic_is_canonical_base64_that_splits_at_the_first_colon() {
    let named = |username: &str, password: &str| Ok(vec![username.into(), password.into()]);
    for (value, expected) in [
        ("Basic bjpz", named("n", "s")),
        ("bASIC   bjpz", named("n", "s")),
        ("Basic bjpzOnQ=", named("n", "s:t")),
        ("Basic Og==", named("", "")),
        ("Basic w6Q6eA==", named("ä", "x")),
        ("Bearer bjpz", Err(Unreadable::OtherFormat)),
        ("bjpz", Err(Unreadable::OtherFormat)),
        ("Basic bnM=", Err(Unreadable::Malformed)),
        ("Basic Og", Err(Unreadable::Malformed)),
        ("Basic Og=", Err(Unreadable::Malformed)),
        ("Basic Og===", Err(Unreadable::Malformed)),
        ("Basic Og======", Err(Unreadable::Malformed)),
        ("Basic Oh==", Err(Unreadable::Malformed)),
        ("Basic bjpz====", Err(Unreadable::Malformed)),
        ("Basic Og==Og==", Err(Unreadable::Malformed)),
        ("Basic On_-", Err(Unreadable::Malformed)),
        ("Basic bj pz", Err(Unreadable::Malformed)),
        ("Basic bjpz, Basic bjpz", Err(Unreadable::Malformed)),
        ("Basic bjoK", Err(Unreadable::Malformed)),
        ("Basic bjr/", Err(Unreadable::Malformed)),
        ("Basic ", Err(Unreadable::OtherFormat)),
    ] {
        assert_eq!(read(&HeaderFormat::Basic, value), expected, "{value:?}");
    }
}

#[test]
fn a_pair_has_each_parameter_once_in_either_order() {
    let format = pair("accessKey", "secretKey");
    for good in [
        "accessKey=credda_1; secretKey=credds_2",
        "secretKey=credds_2; accessKey=credda_1",
        "accessKey=credda_1;secretKey=credds_2;",
        "accessKey=credda_1;secretKey=credds_2 ; ",
        " ACCESSKEY=credda_1 \t;\t secretkey=credds_2",
    ] {
        let expected = vec!["credda_1".to_owned(), "credds_2".to_owned()];
        assert_eq!(read(&format, good), Ok(expected), "{good:?}");
    }
    // Those that were made elsewhere have no prefixes, or others.
    for (foreign, public, secret) in [
        ("accessKey=jo; secretKey=secret", "jo", "secret"),
        ("secretKey=secret; accessKey=jo", "jo", "secret"),
        ("accessKey=ak_1; secretKey=sk_2", "ak_1", "sk_2"),
        ("accessKey=jo; secretKey=credds_2", "jo", "credds_2"),
        ("accessKey=credda_1; secretKey=s", "credda_1", "s"),
    ] {
        let expected = vec![public.to_owned(), secret.to_owned()];
        assert_eq!(read(&format, foreign), Ok(expected), "{foreign:?}");
    }
    for malformed in [
        "accessKey=credda_1",
        "accessKey=credda_1;",
        ";",
        ";;",
        "; accessKey=credda_1; secretKey=credds_2",
        "accessKey=credda_1;; secretKey=credds_2",
        "accessKey=credda_1; secretKey=credds_2;;",
        "accessKey=credda_1; secretKey=credds_2; more=1",
        "accessKey=credda_1; secretKey=credds_2; secretKey=credds_2",
        "accessKey=credda_1; secretKey=credds_2, accessKey=credda_1; secretKey=credds_2",
        "accessKey=credda_1, secretKey=credds_2",
        "accessKey=credda_1 secretKey=credds_2",
        "accessKey=\"credda_1\"; secretKey=credds_2",
        "accessKey = credda_1; secretKey=credds_2",
        "accessKey=; secretKey=credds_2",
        "=credda_1; secretKey=credds_2",
        "accessKey=credda_1; secretKey=credds_2=",
        "accessKey; secretKey=credds_2",
        "Pair accessKey=credda_1; secretKey=credds_2",
    ] {
        assert_eq!(
            read(&format, malformed),
            Err(Unreadable::Malformed),
            "{malformed:?}"
        );
    }
    for other in [
        "accessKey=credda_1; accessKey=credda_1",
        "secretKey=credds_2; secretKey=credds_2",
        "accessKey=credda_1; secret=credds_2",
        "access=credda_1; secretKey=credds_2",
        "accessKey=credds_2; secretKey=credda_1",
        "accessKey=credda_1; secretKey=credda_1",
        "accessKey=credds_2; secretKey=credds_2",
        "credda_1",
    ] {
        assert_eq!(
            read(&format, other),
            Err(Unreadable::OtherFormat),
            "{other:?}"
        );
    }
}

#[test]
fn each_value_is_read_by_the_rule_whose_form_it_has() {
    let rules = [
        rule("Authorization", HeaderFormat::Bare),
        rule("Authorization", HeaderFormat::Basic),
        rule("Authorization", scheme("Bearer")),
        rule("Authorization", scheme("Token")),
        rule("X-Keys", pair("id", "key")),
        rule("X-Keys", pair("key", "id")),
    ];
    let known: HeaderRules = rules.iter().rev().cloned().collect();
    for (name, value, expected) in [
        ("authorization", "creddt_1", &rules[0]),
        ("authorization", "Basic bjpz", &rules[1]),
        ("AUTHORIZATION", "bearer creddt_1", &rules[2]),
        ("Authorization", "Token creddt_1", &rules[3]),
        ("x-keys", "id=credda_1; key=credds_1", &rules[4]),
        ("x-keys", "id=credds_1; key=credda_1", &rules[5]),
    ] {
        let reading = known.read(name, value.as_bytes()).unwrap();
        assert_eq!(reading.rule, expected, "{value}");
    }
    for (name, value, expected) in [
        ("X-Key", "creddt_1", Unreadable::UnknownHeader),
        ("Authorization ", "creddt_1", Unreadable::UnknownHeader),
        ("", "creddt_1", Unreadable::UnknownHeader),
        ("Authorization", "Digest a", Unreadable::OtherFormat),
        ("Authorization", "Basic !", Unreadable::Malformed),
        ("Authorization", "Basic a", Unreadable::Malformed),
        ("X-Keys", "creddt_1", Unreadable::OtherFormat),
    ] {
        let error = known.read(name, value.as_bytes()).err();
        assert_eq!(error, Some(expected), "{name}: {value}");
    }
    let none = HeaderRules::default().read("Authorization", b"a").err();
    assert_eq!(none, Some(Unreadable::UnknownHeader));
}

#[test]
fn rules_that_differ_in_case_alone_are_one() {
    let known: HeaderRules = [
        rule("X-Key", scheme("Token")),
        rule("x-key", scheme("TOKEN")),
        rule("X-KEY", HeaderFormat::Bare),
    ]
    .into_iter()
    .collect();
    assert_eq!(known.candidates("X-key").len(), 2);
    let name = known.candidates("x-key")[1].name.as_str();
    assert_eq!(name, "X-Key", "shown as it was first given");
}

#[test]
fn a_secret_never_shows_in_debug() {
    let known: HeaderRules = [rule("X-Key", HeaderFormat::Bare)].into_iter().collect();
    let shown = format!("{:?}", known.read("X-Key", b"creddt_1").unwrap());
    assert!(!shown.contains("creddt_1"), "{shown}");
}

/// Formats from few names, so that they often meet.
fn formats() -> impl Strategy<Value = HeaderFormat> {
    let words = || select(vec!["id", "key", "KEY", "Bearer", "bearer"]);
    prop_oneof![
        Just(HeaderFormat::Bare),
        Just(HeaderFormat::Basic),
        words().prop_map(scheme),
        (words(), words())
            .prop_filter("the names differ", |(a, b)| !a.eq_ignore_ascii_case(b))
            .prop_map(|(a, b)| pair(a, b)),
    ]
}

fn rules() -> impl Strategy<Value = HeaderRule> {
    let names = select(vec!["Authorization", "authorization", "X-Key", "X-Keys"]);
    (names, formats()).prop_map(|(name, format)| rule(name, format))
}

/// Values made of what values are made of.
fn values() -> impl Strategy<Value = String> {
    let pieces = select(vec![
        "id", "key", "Bearer", "basic", "bjpz", "Og==", "credda_1", "credds_1", "=", ";", " ",
        "\t", ",", "\"", "é",
    ]);
    let built = select(vec![
        "id=credda_1; key=credds_1",
        "key=credda_1;id=credds_1;",
        "bearer=credds_1; ID=credda_1",
        "id=credda_1; key=credda_1",
        "id=credds_1; key=credds_1",
        "id=jo; key=secret",
        "id=jo; key=credds_1",
        "Bearer creddt_1",
        "KEY creddt_1",
        "Basic bjpz",
        "creddt_1",
    ]);
    prop_oneof![
        proptest::collection::vec(pieces, 0..12).prop_map(|pieces| pieces.concat()),
        built.prop_map(str::to_owned),
    ]
}

/// The same text with the case of some letters changed.
fn recase(text: &str, mask: u64) -> String {
    let flip = |(at, c): (usize, char)| match (mask >> (at % 64)) & 1 {
        0 => c.to_ascii_lowercase(),
        _ => c.to_ascii_uppercase(),
    };
    text.chars().enumerate().map(flip).collect()
}

fn recase_rule(given: &HeaderRule, mask: u64) -> HeaderRule {
    let format = match &given.format {
        HeaderFormat::Scheme(named) => scheme(&recase(named.as_str(), mask)),
        HeaderFormat::Pair(names) => pair(
            &recase(names.public().as_str(), mask),
            &recase(names.secret().as_str(), mask),
        ),
        format @ (HeaderFormat::Bare | HeaderFormat::Basic) => format.clone(),
    };
    rule(&recase(given.name.as_str(), mask), format)
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_read_or_refused(rule in rules(), value: Vec<u8>) {
        if let Ok(presentable) = rule.read(&value) {
            prop_assert!(presentable.presented().parse().is_err());
        }
    }

    #[test]
    fn what_is_written_is_read_back_in_any_case(rule in rules(), id: u8, mask: u64) {
        let (name, secret) = credential(rule.format.kind(), id);
        let value = recase_rule(&rule, mask).write(&name, &secret);
        let value = format!(" {}\t", value.expose());
        let presentable = rule.read(value.as_bytes()).unwrap();
        let claim = presentable.presented().parse().unwrap();
        prop_assert_eq!(claim.kind, rule.format.kind());
        prop_assert_eq!(claim.id, CredentialId::from_bytes([id; 16]));
    }

    #[test]
    fn rules_are_the_same_in_any_case(one in rules(), other in rules(), mask: u64) {
        let hasher = foldhash::fast::FixedState::default();
        let recased = recase_rule(&one, mask);
        prop_assert_eq!(&one, &recased);
        prop_assert_eq!(hasher.hash_one(&one), hasher.hash_one(&recased));
        prop_assert_eq!(one == other, one.cmp(&other).is_eq());
        prop_assert_eq!(one.cmp(&other), recased.cmp(&other));
    }

    #[test]
    fn a_second_credential_anywhere_makes_a_value_unreadable(
        rule in rules(),
        second in rules(),
        separator in select(vec![",", ", ", ";", "; ", " ", "\t"]),
        at: prop::sample::Index,
    ) {
        let write = |rule: &HeaderRule, id| {
            let (name, secret) = credential(rule.format.kind(), id);
            rule.write(&name, &secret).expose().to_owned()
        };
        let mut value = write(&rule, 1);
        let second = format!("{separator}{}{separator}", write(&second, 2));
        value.insert_str(at.index(value.len() + 1), &second);
        let error = rule.read(value.as_bytes()).err();
        if separator == " " {
            prop_assert!(error.is_some(), "{}", value);
        } else {
            prop_assert_eq!(error, Some(Unreadable::Malformed), "{}", value);
        }
    }

    /// But for a key pair that was made elsewhere, whose keys do not tell which
    /// is which: of rules with the same two names, any may read it.
    #[test]
    fn at_most_one_rule_reads_a_value_and_it_is_the_one_found(
        rules in proptest::collection::vec(rules(), 0..12),
        name in select(vec!["authorization", "X-KEY", "x-keys", "Via"]),
        value in values(),
    ) {
        let named = || rules.iter().filter(|rule| rule.name.matches(name));
        let fitting: Vec<_> = named()
            .filter_map(|rule| Some((rule, parts(&rule.read(value.as_bytes()).ok()?))))
            .collect();
        let known: HeaderRules = rules.iter().cloned().collect();
        let found = known.read(name, value.as_bytes());
        match found {
            Ok(Reading { rule, credential }) => {
                let expected = (rule, parts(&credential));
                prop_assert!(fitting.contains(&expected));
                let own = [Kind::KeyPair.name_prefix().unwrap(), Kind::KeyPair.secret_prefix()];
                let is_foreign = matches!(rule.format, HeaderFormat::Pair(_))
                    && !expected.1.iter().any(|key| own.contains(&prefix(key)));
                let is_only = fitting.iter().all(|fitting| *fitting == expected);
                prop_assert!(is_only || is_foreign);
            }
            Err(error) => {
                prop_assert!(fitting.is_empty());
                prop_assert_eq!(error == Unreadable::UnknownHeader, named().count() == 0);
            }
        }
        let candidates = known.candidates(name);
        prop_assert!(named().all(|rule| candidates.contains(rule)));
        prop_assert!(candidates.iter().all(|rule| named().any(|named| named == rule)));
        prop_assert!(candidates.is_sorted_by(|a, b| a < b), "each stands once");
    }
}
