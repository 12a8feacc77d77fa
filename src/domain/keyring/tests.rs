use super::*;
use crate::domain::random::SystemRandom;

fn key(byte: u8) -> KeyBytes {
    zeroize::Zeroizing::new([byte; 32])
}

fn keyring(versions: &[u32]) -> Keyring {
    let keys: Vec<_> = versions
        .iter()
        .map(|&v| (KeyVersion(v), key(u8::try_from(v).unwrap())))
        .collect();
    Keyring::new(&keys, &keys).unwrap()
}

#[test]
fn a_mac_covers_every_part_and_the_pepper() {
    let ring = keyring(&[1]);
    let (secret, other) = (Secret::new([1; 32]), Secret::new([2; 32]));
    let of = SecretOf {
        kind: Kind::ApiToken,
        id: CredentialId::from_bytes([3; 16]),
        generation: Generation::FIRST,
        secret: &secret,
    };
    let mac = ring.mac(&of);
    assert!(ring.matches(&of, Some(&mac)));
    assert!(!ring.matches(&of, None));
    assert!(!ring.matches(
        &SecretOf {
            kind: Kind::Basic,
            ..of
        },
        Some(&mac)
    ));
    assert!(!ring.matches(
        &SecretOf {
            id: CredentialId::MIN,
            ..of
        },
        Some(&mac)
    ));
    let second = Generation::new(2);
    assert!(!ring.matches(
        &SecretOf {
            generation: second,
            ..of
        },
        Some(&mac)
    ));
    assert!(!ring.matches(
        &SecretOf {
            secret: &other,
            ..of
        },
        Some(&mac)
    ));
    assert!(
        !keyring(&[2]).matches(&of, Some(&mac)),
        "a pepper that is not held"
    );
    assert!(keyring(&[1, 2]).matches(&of, Some(&mac)), "an older pepper");
    assert_eq!(
        keyring(&[1, 2]).mac(&of).pepper,
        KeyVersion(2),
        "the last is active"
    );
}

#[test]
fn a_sealed_text_opens_only_in_its_context_and_unchanged() {
    let random = SystemRandom::new();
    let ring = keyring(&[1]);
    let sealed = ring.seal(b"here", b"text", &random).unwrap();
    assert_eq!(&**ring.open(b"here", &sealed).unwrap(), b"text");
    assert_eq!(ring.open(b"there", &sealed), Err(NotSealedHere));
    assert!(keyring(&[1, 2]).open(b"here", &sealed).is_ok());
    assert_eq!(keyring(&[2]).open(b"here", &sealed), Err(NotSealedHere));
    for at in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[at] ^= 1;
        assert_eq!(
            ring.open(b"here", &changed),
            Err(NotSealedHere),
            "byte {at}"
        );
        assert_eq!(ring.open(b"here", &sealed[..at]), Err(NotSealedHere));
    }
}

#[test]
fn a_keyring_needs_both_keys_and_distinct_versions() {
    let one = (KeyVersion(1), key(1));
    let new = |p: &[_], s: &[_]| Keyring::new(p, s).err();
    assert_eq!(
        new(&[], std::slice::from_ref(&one)),
        Some(InvalidKeyring::NoPepper)
    );
    assert_eq!(
        new(std::slice::from_ref(&one), &[]),
        Some(InvalidKeyring::NoSealingKey)
    );
    let twice = [one.clone(), one.clone()];
    assert_eq!(
        new(&twice, &twice),
        Some(InvalidKeyring::Version(KeyVersion(1)))
    );
    let zero = [(KeyVersion(0), key(1))];
    assert_eq!(
        new(&zero, &twice[..1]),
        Some(InvalidKeyring::Version(KeyVersion(0)))
    );
}
