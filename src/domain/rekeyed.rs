//! What was made anew of a credential's secrets with newer keys.
//!
//! It stands beside the credential's record, which it leaves as it is: nobody who
//! follows the credential need know of it.

use std::sync::Arc;

use super::credential::Credential;
use super::keyring::Mac;
use super::token::Generation;

/// The MACs and the sealed text that a credential has in the place of those in its
/// record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rekeyed {
    /// Of the current secret.
    pub current: RekeyedSecret,
    /// Of the secret before it, while it is good too.
    pub previous: Option<RekeyedSecret>,
    /// The current secret, sealed, if it can be viewed again.
    pub sealed: Option<Arc<[u8]>>,
}

/// The MAC of a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RekeyedSecret {
    /// The secret.
    pub generation: Generation,
    /// Its MAC.
    pub mac: Mac,
}

impl Rekeyed {
    /// What a credential has.
    #[must_use]
    pub fn of(credential: &Credential) -> Self {
        let rekeyed = |secret: &super::credential::HeldSecret| RekeyedSecret {
            generation: secret.generation,
            mac: secret.mac,
        };
        let overlap = credential.overlap.as_ref();
        Self {
            current: rekeyed(&credential.secret),
            previous: overlap.map(|overlap| rekeyed(&overlap.secret)),
            sealed: credential.sealed.clone(),
        }
    }

    /// The MAC of the secret of this number.
    #[must_use]
    pub fn mac(&self, generation: Generation) -> Option<Mac> {
        let mut secrets = std::iter::once(&self.current).chain(&self.previous);
        secrets
            .find(|secret| secret.generation == generation)
            .map(|secret| secret.mac)
    }
}
