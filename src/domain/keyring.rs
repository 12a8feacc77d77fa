//! The server's own keys: peppers, under which secrets are hashed, and sealing
//! keys, under which small texts are encrypted.
//!
//! A keyring holds several versions of each; one of each is active, and what
//! is stored names the version that it was made with.

use std::fmt;

use ring::hmac;
use zeroize::Zeroizing;

use super::id::CredentialId;
use super::random::{Random, RandomUnavailable};
use super::secret::Secret;
use super::token::{Generation, Kind};

mod sealing;

use sealing::SealingKey;

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
pub type KeyBytes = Zeroizing<[u8; 32]>;

/// A SHA-256 hash.
pub type Sha256 = [u8; 32];

/// A value by which a key is told from another under the same number, without
/// revealing it: HMAC-SHA-256 of a fixed text.
pub type CheckValue = [u8; 32];

/// The peppers and sealing keys of a server.
pub struct Keyring {
    peppers: Vec<(KeyVersion, hmac::Key, CheckValue)>,
    sealing: Vec<SealingKey>,
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
                .map(|(version, bytes)| SealingKey::new(*version, bytes))
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
        self.sealing.iter().map(|key| (key.version, key.check))
    }

    /// The MAC of a secret that was made elsewhere, of which only the SHA-256
    /// need be known, under the active pepper. It covers no id: the credential is
    /// found by it.
    #[must_use]
    pub fn mac_of_imported(&self, kind: Kind, sha256: &Sha256) -> Mac {
        let (pepper, key, _) = self.active_pepper();
        Mac {
            pepper: *pepper,
            tag: imported_tag(key, kind, sha256),
        }
    }

    /// The MACs that a secret that was made elsewhere has under each pepper.
    pub fn macs_of_imported(&self, kind: Kind, sha256: &Sha256) -> impl Iterator<Item = Mac> {
        self.peppers.iter().map(move |(pepper, key, _)| Mac {
            pepper: *pepper,
            tag: imported_tag(key, kind, sha256),
        })
    }

    /// Names for what was asked under an id of the caller's choice: one for each
    /// sealing key, that of the active one first. They tell neither.
    #[must_use]
    pub fn request_names(&self, parts: &[&[u8]]) -> Vec<[u8; 32]> {
        let keys = self.sealing.iter().rev();
        keys.map(|key| key.request_name(parts)).collect()
    }

    /// Encrypts as [`Keyring::seal`] does, under a key that only who knows
    /// `password` can have: what is stored is useless without it.
    ///
    /// # Errors
    ///
    /// [`RandomUnavailable`] if there is no nonce to be had.
    pub fn seal_with(
        &self,
        password: &[u8],
        context: &[u8],
        text: &[u8],
        random: &dyn Random,
    ) -> Result<Vec<u8>, RandomUnavailable> {
        self.active_sealing()
            .seal_with(password, context, text, random)
    }

    /// Decrypts what [`Keyring::seal_with`] made with the same password and
    /// context.
    ///
    /// # Errors
    ///
    /// [`NotSealedHere`] for anything else.
    pub fn open_with(
        &self,
        password: &[u8],
        context: &[u8],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, NotSealedHere> {
        let (key, rest) = self.sealed_with(sealed)?;
        key.open_with(password, context, rest)
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
        self.active_sealing().seal(context, text, random)
    }

    /// Decrypts what `seal` made with the same context.
    ///
    /// # Errors
    ///
    /// [`NotSealedHere`] for anything else.
    pub fn open(&self, context: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, NotSealedHere> {
        let (key, rest) = self.sealed_with(sealed)?;
        key.open(context, rest)
    }

    /// The key that a sealed text names, and the rest of the text.
    fn sealed_with<'a>(&self, sealed: &'a [u8]) -> Result<(&SealingKey, &'a [u8]), NotSealedHere> {
        let (version, rest) = sealed.split_first_chunk().ok_or(NotSealedHere)?;
        let version = KeyVersion(u32::from_be_bytes(*version));
        let key = self.sealing.iter().find(|key| key.version == version);
        Ok((key.ok_or(NotSealedHere)?, rest))
    }

    fn active_sealing(&self) -> &SealingKey {
        let Some(active) = self.sealing.last() else {
            unreachable!("a keyring has a sealing key");
        };
        active
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

const fn kind_byte(kind: Kind) -> u8 {
    match kind {
        Kind::ApiToken => 1,
        Kind::Basic => 2,
        Kind::KeyPair => 3,
    }
}

const LABEL: [u8; 2] = *b"c1";
const MESSAGE: usize = 2 + 1 + 16 + 4 + 32;

/// The bytes that a MAC covers.
fn message(of: &SecretOf<'_>) -> Zeroizing<[u8; MESSAGE]> {
    let mut message = Zeroizing::new([0; MESSAGE]);
    message[..2].copy_from_slice(&LABEL);
    message[2] = kind_byte(of.kind);
    message[3..19].copy_from_slice(of.id.as_bytes());
    message[19..23].copy_from_slice(&of.generation.number().to_be_bytes());
    message[23..].copy_from_slice(of.secret.expose());
    message
}

const IMPORTED_LABEL: [u8; 2] = *b"i1";

fn imported_tag(key: &hmac::Key, kind: Kind, sha256: &Sha256) -> [u8; 32] {
    let mut message = [0; 2 + 1 + 32];
    message[..2].copy_from_slice(&IMPORTED_LABEL);
    message[2] = kind_byte(kind);
    message[3..].copy_from_slice(sha256);
    let mut tag = [0; 32];
    tag.copy_from_slice(hmac::sign(key, &message).as_ref());
    tag
}

/// The SHA-256 of a text.
#[must_use]
pub fn sha256(text: &[u8]) -> Sha256 {
    let mut hash = [0; 32];
    hash.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, text).as_ref());
    hash
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
mod tests;
