//! Which keys an entry's secrets need, and secrets made anew with newer ones.

use super::{Entry, REKEYED, Rare};
use crate::authority::key_use::Needs;
use crate::domain::credential::State;
use crate::domain::keyring::sealed_under;
use crate::domain::rekeyed::Rekeyed;

impl Entry {
    /// The keys without which its secrets can't be checked, or shown again. One
    /// that is revoked needs none.
    pub(in crate::authority) fn needs(&self) -> Needs {
        if self.standing == State::Revoked {
            return Needs::default();
        }
        let rare = self.rare.as_deref();
        let overlap = rare.and_then(|rare| rare.overlap.as_ref());
        let sealed = rare.and_then(|rare| rare.sealed.as_deref());
        Needs {
            current: Some(self.mac.pepper),
            overlap: overlap.map(|overlap| (overlap.secret.mac.pepper, overlap.ends_at)),
            sealing: sealed.and_then(sealed_under),
        }
    }

    /// Its secret, sealed, if it can be viewed again.
    #[must_use]
    pub fn sealed(&self) -> Option<&[u8]> {
        self.rare.as_ref()?.sealed.as_deref()
    }

    /// Whether a record beside its own says what was made anew of its secrets.
    #[must_use]
    pub const fn is_rekeyed(&self) -> bool {
        self.label_bytes & REKEYED != 0
    }

    /// Takes over what was made anew of its secrets, which are the same.
    pub(in crate::authority) fn rekey(&mut self, rekeyed: &Rekeyed) {
        self.label_bytes |= REKEYED;
        self.mac = rekeyed.current.mac;
        let Some(Rare {
            overlap, sealed, ..
        }) = self.rare.as_deref_mut()
        else {
            return;
        };
        if let Some(overlap) = overlap
            && let Some(mac) = rekeyed.mac(overlap.secret.generation)
        {
            overlap.secret.mac = mac;
        }
        if sealed.is_some() && rekeyed.sealed.is_some() {
            sealed.clone_from(&rekeyed.sealed);
        }
    }

    /// Another of the same, which knows of its uses what this one does.
    pub(in crate::authority) fn copy(&self) -> Self {
        let copy = Self {
            id: self.id,
            mac: self.mac,
            generation: self.generation,
            tenant: self.tenant,
            kind: self.kind,
            standing: self.standing,
            label_bytes: self.label_bytes,
            expires_at: self.expires_at,
            owner: self.owner,
            profile: self.profile,
            rare: self.rare.clone(),
            uses: super::UseCell::default(),
            roles: self.roles,
            created_by: self.created_by,
            texts: self.texts.clone(),
            created_at: self.created_at,
            revision: self.revision,
            state_revision: self.state_revision,
            last_change: self.last_change.clone(),
        };
        copy.inherit_uses(self);
        copy
    }
}
