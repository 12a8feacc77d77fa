//! Sealing keys: AES-256-GCM, and what else is derived from them.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac;
use zeroize::Zeroizing;

use super::versions::Versioned;
use super::{CheckValue, KeyBytes, KeyVersion, NotSealedHere, check_value};
use crate::domain::random::{self, Random, RandomUnavailable};

/// A version of the sealing key.
pub(super) struct SealingKey {
    pub(super) version: KeyVersion,
    check: CheckValue,
    aead: LessSafeKey,
    /// Under which the names of requests are hashed, and keys for their answers
    /// derived.
    requests: hmac::Key,
    /// Under which backups are hashed.
    backups: hmac::Key,
}

impl Versioned for SealingKey {
    fn version(&self) -> KeyVersion {
        self.version
    }

    fn check(&self) -> &CheckValue {
        &self.check
    }
}

impl SealingKey {
    pub(super) fn new(version: KeyVersion, bytes: &KeyBytes) -> Self {
        let root = hmac::Key::new(hmac::HMAC_SHA256, &**bytes);
        let requests = hmac::sign(&root, b"credd key for requests");
        let backups = hmac::sign(&root, b"credd key for backups");
        Self {
            version,
            check: check_value(b"credd sealing key", bytes),
            aead: aead_key(bytes),
            requests: hmac::Key::new(hmac::HMAC_SHA256, requests.as_ref()),
            backups: hmac::Key::new(hmac::HMAC_SHA256, backups.as_ref()),
        }
    }

    /// The MAC of what is said of a backup.
    pub(super) fn mac_of_backup(&self, said: &[u8]) -> [u8; 32] {
        let mut mac = [0; 32];
        mac.copy_from_slice(hmac::sign(&self.backups, said).as_ref());
        mac
    }

    /// Whether this is that MAC, compared in constant time.
    pub(super) fn is_mac_of_backup(&self, said: &[u8], mac: &[u8; 32]) -> bool {
        hmac::verify(&self.backups, said, mac).is_ok()
    }

    /// A name for what was asked, which does not tell it.
    pub(super) fn request_name(&self, parts: &[&[u8]]) -> [u8; 32] {
        keyed_hash(&self.requests, b"name", parts)
    }

    /// Encrypts: the version of the key, the nonce, and the text with its tag.
    pub(super) fn seal(
        &self,
        context: &[u8],
        text: &[u8],
        random: &dyn Random,
    ) -> Result<Vec<u8>, RandomUnavailable> {
        self.seal_under(&self.aead, context, text, random)
    }

    /// The same, under a key that only who knows `password` can have.
    pub(super) fn seal_with(
        &self,
        password: &[u8],
        context: &[u8],
        text: &[u8],
        random: &dyn Random,
    ) -> Result<Vec<u8>, RandomUnavailable> {
        self.seal_under(&self.derived(password), context, text, random)
    }

    /// Decrypts what [`SealingKey::seal`] made, without the version.
    pub(super) fn open(
        &self,
        context: &[u8],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, NotSealedHere> {
        self.open_under(&self.aead, context, sealed)
    }

    /// Decrypts what [`SealingKey::seal_with`] made, without the version.
    pub(super) fn open_with(
        &self,
        password: &[u8],
        context: &[u8],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, NotSealedHere> {
        self.open_under(&self.derived(password), context, sealed)
    }

    fn derived(&self, password: &[u8]) -> LessSafeKey {
        let derived = Zeroizing::new(keyed_hash(&self.requests, b"key", &[password]));
        aead_key(&derived)
    }

    fn seal_under(
        &self,
        key: &LessSafeKey,
        context: &[u8],
        text: &[u8],
        random: &dyn Random,
    ) -> Result<Vec<u8>, RandomUnavailable> {
        let nonce: [u8; NONCE_LEN] = random::bytes(random)?;
        let length = size_of::<u32>() + NONCE_LEN + text.len() + AES_256_GCM.tag_len();
        // Never moved while the text stands in it in clear.
        let mut sealed = Vec::with_capacity(length);
        sealed.extend_from_slice(&self.version.0.to_be_bytes());
        sealed.extend_from_slice(&nonce);
        let start = sealed.len();
        sealed.extend_from_slice(text);
        let sealing = key.seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(self.covered(context)),
            &mut sealed[start..],
        );
        let Ok(tag) = sealing else {
            unreachable!("only texts of 64 GiB can't be sealed");
        };
        sealed.extend_from_slice(tag.as_ref());
        Ok(sealed)
    }

    fn open_under(
        &self,
        key: &LessSafeKey,
        context: &[u8],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, NotSealedHere> {
        let (nonce, body) = sealed.split_first_chunk().ok_or(NotSealedHere)?;
        let mut body = Zeroizing::new(body.to_vec());
        let text = key
            .open_in_place(
                Nonce::assume_unique_for_key(*nonce),
                Aad::from(self.covered(context)),
                &mut body,
            )
            .map_err(|_| NotSealedHere)?;
        let length = text.len();
        body.truncate(length);
        Ok(body)
    }

    /// What the tag covers besides the text: the version is part of it.
    fn covered(&self, context: &[u8]) -> Vec<u8> {
        let mut covered = self.version.0.to_be_bytes().to_vec();
        covered.extend_from_slice(context);
        covered
    }
}

/// A keyed hash of several parts, in a form in which no two lists are alike: each
/// part is preceded by its length.
fn keyed_hash(key: &hmac::Key, purpose: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut context = hmac::Context::with_key(key);
    for part in std::iter::once(&purpose).chain(parts) {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.sign().as_ref());
    hash
}

fn aead_key(bytes: &[u8; 32]) -> LessSafeKey {
    let Ok(key) = UnboundKey::new(&AES_256_GCM, bytes) else {
        unreachable!("a key of AES-256-GCM has 32 bytes");
    };
    LessSafeKey::new(key)
}
