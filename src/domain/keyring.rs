//! The server's own keys: peppers, under which secrets are hashed, and sealing
//! keys, under which small texts are encrypted.
//!
//! A keyring holds several versions of each; one of each is active, and what
//! is stored names the version that it was made with.

use std::fmt;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac;

use super::id::CredentialId;
use super::random::{self, Random, RandomUnavailable};
use super::secret::Secret;
use super::token::{Generation, Kind};

/// The number of a key in the keyring; 1 for the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyVersion(pub u32);

impl fmt::Display for KeyVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What credd keeps of a secret: its HMAC-SHA-256 under a version of the
/// pepper, over label, kind, id, generation and secret, each of fixed width.
/// 55 bytes in all, so that they fill one block of SHA-256 with its padding.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Mac {
    /// The version of the pepper.
    pub pepper: KeyVersion,
    /// The tag.
    pub tag: [u8; 32],
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mac(pepper {})", self.pepper)
    }
}

/// Computes and compares MACs. A trait so that a test can count them.
pub trait Macs {
    /// Whether `mac` is that of this secret: computes exactly one MAC, and
    /// compares it in constant time. Without `mac` it does the same work with
    /// the active pepper and a tag that matches nothing.
    fn matches(&self, claim: &SecretOf<'_>, mac: Option<&Mac>) -> bool;
}

/// A secret with all that its MAC covers besides.
#[derive(Clone, Copy, Debug)]
pub struct SecretOf<'a> {
    /// The shape of the credential.
    pub kind: Kind,
    /// The credential.
    pub id: CredentialId,
    /// Which of its secrets.
    pub generation: Generation,
    /// The secret.
    pub secret: &'a Secret,
}

/// The bytes of a key, before they are one.
pub type KeyBytes = zeroize::Zeroizing<[u8; 32]>;

/// A value by which a key is told from another under the same number, without
/// revealing it: HMAC-SHA-256 of a fixed text.
pub type CheckValue = [u8; 32];

/// The peppers and sealing keys of a server.
pub struct Keyring {
    peppers: Vec<(KeyVersion, hmac::Key, CheckValue)>,
    sealing: Vec<(KeyVersion, LessSafeKey, CheckValue)>,
}

/// Why keys make no keyring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKeyring {
    /// There is no pepper.
    #[error("it has no pepper")]
    NoPepper,
    /// There is no sealing key.
    #[error("it has no sealing key")]
    NoSealingKey,
    /// A version stands twice, or is 0.
    #[error("version {0} of a key stands twice or is 0")]
    Version(KeyVersion),
}

/// A sealed text can't be opened: it was changed, is of another purpose, or its
/// key is not in the keyring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the sealed text can't be opened")]
pub struct NotSealedHere;

impl Keyring {
    /// The keyring of these keys. The last of each is active.
    ///
    /// # Errors
    ///
    /// [`InvalidKeyring`] if one of each is missing or a version stands twice.
    pub fn new(
        peppers: &[(KeyVersion, KeyBytes)],
        sealing: &[(KeyVersion, KeyBytes)],
    ) -> Result<Self, InvalidKeyring> {
        if peppers.is_empty() {
            return Err(InvalidKeyring::NoPepper);
        }
        if sealing.is_empty() {
            return Err(InvalidKeyring::NoSealingKey);
        }
        for keys in [peppers, sealing] {
            for (at, (version, _)) in keys.iter().enumerate() {
                if version.0 == 0 || keys[..at].iter().any(|(earlier, _)| earlier == version) {
                    return Err(InvalidKeyring::Version(*version));
                }
            }
        }
        Ok(Self {
            peppers: peppers
                .iter()
                .map(|(version, key)| {
                    let check = check_value(b"credd pepper", key);
                    (*version, hmac::Key::new(hmac::HMAC_SHA256, &**key), check)
                })
                .collect(),
            sealing: sealing
                .iter()
                .map(|(version, bytes)| {
                    let Ok(key) = UnboundKey::new(&AES_256_GCM, &**bytes) else {
                        unreachable!("a key of AES-256-GCM has 32 bytes");
                    };
                    let check = check_value(b"credd sealing key", bytes);
                    (*version, LessSafeKey::new(key), check)
                })
                .collect(),
        })
    }

    /// The MAC of a secret under the active pepper.
    #[must_use]
    pub fn mac(&self, of: &SecretOf<'_>) -> Mac {
        let (pepper, key, _) = self.active_pepper();
        let mut tag = [0; 32];
        tag.copy_from_slice(hmac::sign(key, &*message(of)).as_ref());
        Mac {
            pepper: *pepper,
            tag,
        }
    }

    /// The check value of each pepper.
    pub fn pepper_checks(&self) -> impl Iterator<Item = (KeyVersion, CheckValue)> + '_ {
        self.peppers
            .iter()
            .map(|(version, _, check)| (*version, *check))
    }

    /// The check value of each sealing key.
    pub fn sealing_checks(&self) -> impl Iterator<Item = (KeyVersion, CheckValue)> + '_ {
        self.sealing
            .iter()
            .map(|(version, _, check)| (*version, *check))
    }

    /// Encrypts a text with AES-256-GCM under the active sealing key and a
    /// random 96-bit nonce. Only `open` with the same `context` (which is not
    /// part of the result) reads it.
    ///
    /// # Errors
    ///
    /// [`RandomUnavailable`] if there is no nonce to be had.
    pub fn seal(
        &self,
        context: &[u8],
        text: &[u8],
        random: &dyn Random,
    ) -> Result<Vec<u8>, RandomUnavailable> {
        let Some((version, key, _)) = self.sealing.last() else {
            unreachable!("a keyring has a sealing key");
        };
        let nonce: [u8; NONCE_LEN] = random::bytes(random)?;
        let mut sealed = version.0.to_be_bytes().to_vec();
        sealed.extend_from_slice(&nonce);
        let mut body = text.to_vec();
        let Ok(()) = key.seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(context),
            &mut body,
        ) else {
            unreachable!("only texts of 64 GiB can't be sealed");
        };
        sealed.extend_from_slice(&body);
        Ok(sealed)
    }

    /// Decrypts what `seal` made with the same context.
    ///
    /// # Errors
    ///
    /// [`NotSealedHere`] for anything else.
    pub fn open(&self, context: &[u8], sealed: &[u8]) -> Result<Vec<u8>, NotSealedHere> {
        let (version, rest) = sealed.split_first_chunk().ok_or(NotSealedHere)?;
        let (nonce, body) = rest.split_first_chunk().ok_or(NotSealedHere)?;
        let version = KeyVersion(u32::from_be_bytes(*version));
        let (_, key, _) = self
            .sealing
            .iter()
            .find(|(held, _, _)| *held == version)
            .ok_or(NotSealedHere)?;
        let mut body = body.to_vec();
        let text = key
            .open_in_place(
                Nonce::assume_unique_for_key(*nonce),
                Aad::from(context),
                &mut body,
            )
            .map_err(|_| NotSealedHere)?;
        Ok(text.to_vec())
    }

    fn active_pepper(&self) -> &(KeyVersion, hmac::Key, CheckValue) {
        let Some(active) = self.peppers.last() else {
            unreachable!("a keyring has a pepper");
        };
        active
    }

    fn pepper(&self, version: KeyVersion) -> Option<&hmac::Key> {
        self.peppers
            .iter()
            .find(|(held, _, _)| *held == version)
            .map(|(_, key, _)| key)
    }
}

impl Macs for Keyring {
    fn matches(&self, claim: &SecretOf<'_>, mac: Option<&Mac>) -> bool {
        let held = mac.and_then(|mac| Some((self.pepper(mac.pepper)?, &mac.tag)));
        let (key, tag) = held.unwrap_or((&self.active_pepper().1, &[0; 32]));
        let equal = hmac::verify(key, &*message(claim), tag).is_ok();
        equal & held.is_some()
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keyring(..)")
    }
}

const LABEL: [u8; 2] = *b"c1";
const MESSAGE: usize = 2 + 1 + 16 + 4 + 32;

/// The bytes that a MAC covers.
fn message(of: &SecretOf<'_>) -> zeroize::Zeroizing<[u8; MESSAGE]> {
    let mut message = zeroize::Zeroizing::new([0; MESSAGE]);
    message[..2].copy_from_slice(&LABEL);
    message[2] = match of.kind {
        Kind::ApiToken => 1,
        Kind::Basic => 2,
        Kind::KeyPair => 3,
    };
    message[3..19].copy_from_slice(of.id.as_bytes());
    message[19..23].copy_from_slice(&of.generation.number().to_be_bytes());
    message[23..].copy_from_slice(of.secret.expose());
    message
}

fn check_value(purpose: &[u8], key: &KeyBytes) -> CheckValue {
    let key = hmac::Key::new(hmac::HMAC_SHA256, &**key);
    let mut context = hmac::Context::with_key(&key);
    context.update(b"check value of a ");
    context.update(purpose);
    let mut value = [0; 32];
    value.copy_from_slice(context.sign().as_ref());
    value
}

#[cfg(test)]
mod tests {
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
        assert_eq!(
            ring.open(b"here", &sealed).as_deref(),
            Ok(b"text".as_slice())
        );
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
}
