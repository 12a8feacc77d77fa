//! Credentials as they are presented: a line with the username or access key,
//! then the secret. The secret is read as it is, and with the right checksum
//! after its first 79 bytes, which no mutation would find.
//!
//! Whatever is accepted is the only text for what was read, and no other
//! checksum would do.

#![no_main]

use credd::domain::base62::{U32_DIGITS, encode_u32};
use credd::domain::token::{
    Claim, Kind, Presented, SECRET_LENGTH, public_name, secret_text, token_start,
};
use libfuzzer_sys::fuzz_target;

const CHECKSUM: usize = SECRET_LENGTH - U32_DIGITS;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    let (name, secret) = text.split_once('\n').unwrap_or(("", text));
    check(name, secret);
    if let Some(head) = secret.get(..CHECKSUM) {
        let secret = sealed(head);
        check(name, &secret);
        if let Ok(claim) = Claim::of_secret(&secret) {
            check_checksum(&secret);
            check(
                &public_name(claim.kind, claim.id).unwrap_or_default(),
                &secret,
            );
        }
    }
});

fn check(name: &str, secret: &str) {
    let of_secret = Claim::of_secret(secret);
    if let Ok(claim) = &of_secret {
        assert_is_only_text(claim, secret);
    }
    for kind in Kind::ALL {
        let presented = match kind {
            Kind::ApiToken => Presented::Token(secret),
            Kind::Basic => Presented::UsernamePassword(name, secret),
            Kind::KeyPair => Presented::KeyPair(name, secret),
        };
        let expected = of_secret.as_ref().is_ok_and(|claim| {
            let named = public_name(kind, claim.id);
            claim.kind == kind && named.is_none_or(|named| named == name)
        });
        let claim = presented.parse();
        assert_eq!(claim.is_ok(), expected, "{kind:?}");
        if let Ok(claim) = claim {
            assert_eq!(claim.kind, kind);
            assert_is_only_text(&claim, secret);
        }
    }
}

fn assert_is_only_text(claim: &Claim, text: &str) {
    let Claim {
        kind,
        id,
        generation,
        secret,
    } = claim;
    assert_eq!(secret_text(*kind, *id, *generation, secret).expose(), text);
    assert!(text.starts_with(&token_start(*kind, *id)));
}

fn check_checksum(secret: &str) {
    for at in CHECKSUM..SECRET_LENGTH {
        for other in ["0", "1", "z", "_"] {
            if secret[at..=at] != *other {
                let mut changed = secret.to_owned();
                changed.replace_range(at..=at, other);
                assert!(Claim::of_secret(&changed).is_err(), "{changed}");
                assert!(Presented::Token(&changed).parse().is_err(), "{changed}");
            }
        }
    }
}

fn sealed(head: &str) -> String {
    let mut digits = [0; U32_DIGITS];
    encode_u32(crc32fast::hash(head.as_bytes()), &mut digits);
    let digits = digits.map(char::from);
    head.chars().chain(digits).collect()
}
