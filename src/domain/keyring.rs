//! The server's own keys: peppers, under which secrets are hashed, and sealing
//! keys, under which small texts are encrypted.
//!
//! A keyring holds several versions of each; one of each is active, and what
//! is stored names the version that it was made with. Which one is active, which
//! were and which are retired is known to the store ([`KeyringState`]): the keys
//! themselves never are.

use std::fmt;

use ring::hmac;
use zeroize::Zeroizing;

use super::id::CredentialId;
use super::random::{Random, RandomUnavailable};
use super::secret::Secret;
use super::token::{Generation, Kind};

mod sealing;
mod state;
mod versions;

use sealing::SealingKey;
pub use state::{KeyState, KeyStates, KeyringState, KnownKey, NoRoom};
use versions::{Versioned, Versions};

/// The number of a key in the keyring; 1 for the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyVersion(pub u32);

impl fmt::Display for KeyVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyKind {
    /// Secrets are hashed under it.
    Pepper,
    /// Texts are encrypted under it.
    Sealing,
}

impl KeyKind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Pepper, Self::Sealing];

    /// Its name: that of its tables in a keyring file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pepper => "pepper",
            Self::Sealing => "sealing",
        }
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
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

/// The check values of the keys that a server has loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyChecks {
    /// Those of the peppers.
    pub peppers: Vec<(KeyVersion, CheckValue)>,
    /// Those of the sealing keys.
    pub sealing: Vec<(KeyVersion, CheckValue)>,
}

impl KeyChecks {
    /// Those of a kind.
    #[must_use]
    pub fn of(&self, kind: KeyKind) -> &[(KeyVersion, CheckValue)] {
        match kind {
            KeyKind::Pepper => &self.peppers,
            KeyKind::Sealing => &self.sealing,
        }
    }

    /// That of a version, if it is loaded.
    #[must_use]
    pub fn find(&self, kind: KeyKind, version: KeyVersion) -> Option<&CheckValue> {
        let mut all = self.of(kind).iter();
        all.find(|(held, _)| *held == version)
            .map(|(_, check)| check)
    }
}

/// What is wrong with keys for a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyProblem {
    /// A key that the store needs is not there.
    #[error("{0} version {1} is missing")]
    Missing(KeyKind, KeyVersion),
    /// Another key is there under its number.
    #[error("{0} version {1} is another key")]
    Differs(KeyKind, KeyVersion),
}

/// The peppers and sealing keys of a server. Cloning it copies no key.
#[derive(Clone)]
pub struct Keyring {
    peppers: Versions<Pepper>,
    sealing: Versions<SealingKey>,
}

/// How many versions of a kind there may be.
pub const MOST_VERSIONS: usize = 32;

/// A version of the pepper.
struct Pepper {
    version: KeyVersion,
    check: CheckValue,
    key: hmac::Key,
}

impl Versioned for Pepper {
    fn version(&self) -> KeyVersion {
        self.version
    }

    fn check(&self) -> &CheckValue {
        &self.check
    }
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
    /// There are more versions than may be.
    #[error("it has more than {MOST_VERSIONS} versions of a key: take out those that are retired")]
    TooMany,
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
    /// [`InvalidKeyring`] if one of each is missing, if a version stands twice, or
    /// if there are more than [`MOST_VERSIONS`].
    pub fn new(
        peppers: &[(KeyVersion, KeyBytes)],
        sealing: &[(KeyVersion, KeyBytes)],
    ) -> Result<Self, InvalidKeyring> {
        for keys in [peppers, sealing] {
            for (at, (version, _)) in keys.iter().enumerate() {
                if version.0 == 0 || keys[..at].iter().any(|(earlier, _)| earlier == version) {
                    return Err(InvalidKeyring::Version(*version));
                }
            }
            if keys.len() > MOST_VERSIONS {
                return Err(InvalidKeyring::TooMany);
            }
        }
        let peppers = peppers.iter().map(|(version, key)| Pepper {
            version: *version,
            check: check_value(b"credd pepper", key),
            key: hmac::Key::new(hmac::HMAC_SHA256, &**key),
        });
        let sealing = sealing
            .iter()
            .map(|(version, bytes)| SealingKey::new(*version, bytes));
        Ok(Self {
            peppers: Versions::new(peppers).ok_or(InvalidKeyring::NoPepper)?,
            sealing: Versions::new(sealing).ok_or(InvalidKeyring::NoSealingKey)?,
        })
    }

    /// The same keys, of which these are active.
    ///
    /// # Errors
    ///
    /// [`KeyProblem::Missing`].
    pub fn activating(&self, pepper: KeyVersion, sealing: KeyVersion) -> Result<Self, KeyProblem> {
        let missing = KeyProblem::Missing;
        Ok(Self {
            peppers: self
                .peppers
                .activating(pepper)
                .ok_or_else(|| missing(KeyKind::Pepper, pepper))?,
            sealing: self
                .sealing
                .activating(sealing)
                .ok_or_else(|| missing(KeyKind::Sealing, sealing))?,
        })
    }

    /// The keys of `new`, and of these what `keeps` names and `new` does not have.
    /// What is active stays so, and is kept.
    #[must_use]
    pub fn replaced_by(&self, new: &Self, keeps: impl Fn(KeyKind, KeyVersion) -> bool) -> Self {
        Self {
            peppers: self
                .peppers
                .replaced_by(&new.peppers, |version| keeps(KeyKind::Pepper, version)),
            sealing: self
                .sealing
                .replaced_by(&new.sealing, |version| keeps(KeyKind::Sealing, version)),
        }
    }

    /// The active version of a kind.
    #[must_use]
    pub fn active(&self, kind: KeyKind) -> KeyVersion {
        match kind {
            KeyKind::Pepper => self.peppers.active().version,
            KeyKind::Sealing => self.sealing.active().version,
        }
    }

    /// The check value of each key.
    #[must_use]
    pub fn checks(&self) -> KeyChecks {
        KeyChecks {
            peppers: self.peppers.checks(),
            sealing: self.sealing.checks(),
        }
    }

    /// The MAC of a secret under the active pepper.
    #[must_use]
    pub fn mac(&self, of: &SecretOf<'_>) -> Mac {
        let pepper = self.peppers.active();
        let mut tag = [0; 32];
        tag.copy_from_slice(hmac::sign(&pepper.key, &*message(of)).as_ref());
        Mac {
            pepper: pepper.version,
            tag,
        }
    }

    /// The MAC of a secret that was made elsewhere, of which only the SHA-256
    /// need be known, under the active pepper. It covers no id: the credential is
    /// found by it.
    #[must_use]
    pub fn mac_of_imported(&self, kind: Kind, sha256: &Sha256) -> Mac {
        self.peppers.active().mac_of_imported(kind, sha256)
    }

    /// The MACs that a secret that was made elsewhere has under each pepper.
    pub fn macs_of_imported(&self, kind: Kind, sha256: &Sha256) -> impl Iterator<Item = Mac> {
        let peppers = self.peppers.iter();
        peppers.map(move |pepper| pepper.mac_of_imported(kind, sha256))
    }

    /// Names for what was asked under an id of the caller's choice: one for each
    /// sealing key, that of the active one first. They tell neither.
    #[must_use]
    pub fn request_names(&self, parts: &[&[u8]]) -> Vec<(KeyVersion, [u8; 32])> {
        let active = self.sealing.active();
        let others = self.sealing.iter();
        let others = others.filter(|key| key.version != active.version);
        std::iter::once(active)
            .chain(others)
            .map(|key| (key.version, key.request_name(parts)))
            .collect()
    }

    /// The MAC of what is said of a backup, with the active sealing key.
    #[must_use]
    pub fn mac_of_backup(&self, said: &[u8]) -> (KeyVersion, [u8; 32]) {
        let key = self.sealing.active();
        (key.version, key.mac_of_backup(said))
    }

    /// Whether this is the MAC that a version of the sealing key makes of what is said
    /// of a backup.
    ///
    /// # Errors
    ///
    /// [`KeyProblem::Missing`] if the version is not there.
    pub fn is_mac_of_backup(
        &self,
        version: KeyVersion,
        said: &[u8],
        mac: &[u8; 32],
    ) -> Result<bool, KeyProblem> {
        let key = self.sealing.get(version);
        let key = key.ok_or(KeyProblem::Missing(KeyKind::Sealing, version))?;
        Ok(key.is_mac_of_backup(said, mac))
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
        self.sealing
            .active()
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
        self.sealing.active().seal(context, text, random)
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
        let (version, rest) = split_sealed(sealed).ok_or(NotSealedHere)?;
        let key = self.sealing.get(version).ok_or(NotSealedHere)?;
        Ok((key, rest))
    }
}

/// The version of the sealing key that a sealed text names.
#[must_use]
pub fn sealed_under(sealed: &[u8]) -> Option<KeyVersion> {
    split_sealed(sealed).map(|(version, _)| version)
}

fn split_sealed(sealed: &[u8]) -> Option<(KeyVersion, &[u8])> {
    let (version, rest) = sealed.split_first_chunk()?;
    Some((KeyVersion(u32::from_be_bytes(*version)), rest))
}

impl Macs for Keyring {
    fn matches(&self, claim: &SecretOf<'_>, mac: Option<&Mac>) -> bool {
        let held = mac.and_then(|mac| Some((self.peppers.get(mac.pepper)?, &mac.tag)));
        let (pepper, tag) = held.unwrap_or((self.peppers.active(), &[0; 32]));
        let equal = hmac::verify(&pepper.key, &*message(claim), tag).is_ok();
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

impl Pepper {
    fn mac_of_imported(&self, kind: Kind, sha256: &Sha256) -> Mac {
        let mut message = [0; 2 + 1 + 32];
        message[..2].copy_from_slice(&IMPORTED_LABEL);
        message[2] = kind_byte(kind);
        message[3..].copy_from_slice(sha256);
        let mut tag = [0; 32];
        tag.copy_from_slice(hmac::sign(&self.key, &message).as_ref());
        Mac {
            pepper: self.version,
            tag,
        }
    }
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
