//! Whatever is changed of a good token, it is none any more.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::super::Unverified;
use super::*;

/// A good token of each algorithm.
static GOOD: LazyLock<Vec<(World, String)>> = LazyLock::new(|| {
    let all = Algorithm::ALL.into_iter();
    all.map(|algorithm| {
        let world = World::of(algorithm);
        let token = world.signer.token(&good_claims());
        assert!(world.check(&token).is_ok());
        (world, token)
    })
    .collect()
});

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_token_of_which_a_byte_was_changed_is_refused(
        which in 0..Algorithm::ALL.len(),
        position: prop::sample::Index,
        byte in 0..=0x7f_u8,
    ) {
        let (world, token) = &GOOD[which];
        let mut changed = token.clone().into_bytes();
        let position = position.index(changed.len());
        prop_assume!(changed[position] != byte);
        changed[position] = byte;
        let changed = String::from_utf8(changed).unwrap();
        prop_assert!(world.check(&changed).is_err());
    }

    #[test]
    fn a_token_into_which_something_was_put_or_of_which_something_was_taken_is_refused(
        which in 0..Algorithm::ALL.len(),
        position: prop::sample::Index,
        put in "[A-Za-z0-9_.=+/-]{0,3}",
        take in 0..4_usize,
    ) {
        let (world, token) = &GOOD[which];
        let begin = position.index(token.len());
        let end = (begin + take).min(token.len());
        let changed = format!("{}{put}{}", &token[..begin], &token[end..]);
        prop_assume!(changed != *token);
        prop_assert!(world.check(&changed).is_err());
    }

    #[test]
    fn no_text_upsets_the_reader(text in "\\PC*", header in "\\PC*", claims in "\\PC*") {
        let _ = Unverified::parse(&text);
        let parts = [header, claims, text].map(signer::encode);
        let _ = Unverified::parse(&parts.join("."));
    }
}

#[test]
fn each_bit_of_a_signature_and_of_what_was_signed_counts() {
    for (world, token) in GOOD.iter().filter(|(world, _)| !world.signer.is_rsa()) {
        let parts: Vec<Vec<u8>> = token.split('.').map(signer::decode).collect();
        for part in 0..3 {
            for bit in 0..parts[part].len() * 8 {
                let mut parts = parts.clone();
                parts[part][bit / 8] ^= 1 << (bit % 8);
                let changed: Vec<String> = parts.iter().map(signer::encode).collect();
                assert!(world.check(&changed.join(".")).is_err(), "{part} {bit}");
            }
        }
    }
}
