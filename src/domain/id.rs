//! The identity of a credential.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

/// The id of a credential: a version 7 UUID (RFC 9562 section 5.7), so that ids
/// in order are credentials in the order in which they were issued.
///
/// Never reused. Not a secret: it is part of what is listed and logged.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CredentialId([u8; 16]);

impl CredentialId {
    /// The id stored as these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes to store.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The least id: before all others.
    pub const MIN: Self = Self([0; 16]);

    /// The greatest id: after all others.
    pub const MAX: Self = Self([0xff; 16]);
}

impl fmt::Display for CredentialId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Uuid::from_bytes(self.0).hyphenated().fmt(f)
    }
}

impl fmt::Debug for CredentialId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is not a credential's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a UUID of 36 lower-case characters with hyphens")]
pub struct NotACredentialId;

impl FromStr for CredentialId {
    type Err = NotACredentialId;

    /// Reads the one form in which an id is shown; other forms of a UUID are
    /// refused, so that an id has one text.
    fn from_str(text: &str) -> Result<Self, NotACredentialId> {
        let uuid = Uuid::try_parse(text).map_err(|_| NotACredentialId)?;
        let id = Self(uuid.into_bytes());
        let mut shown = Uuid::encode_buffer();
        if uuid.hyphenated().encode_lower(&mut shown) == text {
            Ok(id)
        } else {
            Err(NotACredentialId)
        }
    }
}

/// The id that a caller gives a request, so that it can be sent again safely: a
/// random UUID (version 4, RFC 9562 section 5.4). A secret between the caller and
/// credd: who knows it can read the answer from a disk.
#[derive(Clone, PartialEq, Eq, zeroize::Zeroize, zeroize::ZeroizeOnDrop)]
pub struct RequestId([u8; 16]);

impl RequestId {
    /// Reads an id.
    ///
    /// # Errors
    ///
    /// What it must be; reads as the end of "`FIELD` ...".
    pub fn parse(text: &str) -> Result<Self, super::names::InvalidText> {
        let hyphenated = text.len() == uuid::fmt::Hyphenated::LENGTH;
        let uuid = Uuid::try_parse(text).ok().filter(|_| hyphenated);
        let is_random = |uuid: &Uuid| {
            uuid.get_version_num() == 4 && uuid.get_variant() == uuid::Variant::RFC4122
        };
        uuid.filter(is_random)
            .map(|uuid| Self(uuid.into_bytes()))
            .ok_or(super::names::InvalidText(
                "must be a random UUID (version 4)",
            ))
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RequestId(..)")
    }
}
