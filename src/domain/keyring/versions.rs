//! The versions of one kind of key, of which one is active.

use std::sync::Arc;

use super::{CheckValue, KeyVersion};

/// A key with a number.
pub(super) trait Versioned {
    /// Its number.
    fn version(&self) -> KeyVersion;
    /// What tells it from another under the same number.
    fn check(&self) -> &CheckValue;
}

/// Versions of a key, none twice.
pub(super) struct Versions<K> {
    active: Arc<K>,
    /// The active one among them.
    keys: Vec<Arc<K>>,
}

impl<K> Clone for Versions<K> {
    fn clone(&self) -> Self {
        Self {
            active: Arc::clone(&self.active),
            keys: self.keys.clone(),
        }
    }
}

impl<K: Versioned> Versions<K> {
    /// These keys, the last of which is active; `None`: there are none.
    pub(super) fn new(keys: impl Iterator<Item = K>) -> Option<Self> {
        let keys: Vec<_> = keys.map(Arc::new).collect();
        let active = Arc::clone(keys.last()?);
        Some(Self { active, keys })
    }

    pub(super) fn active(&self) -> &K {
        &self.active
    }

    pub(super) fn get(&self, version: KeyVersion) -> Option<&K> {
        // Most secrets are under the active one.
        if self.active.version() == version {
            return Some(&self.active);
        }
        self.find(version).map(|key| &**key)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &K> {
        self.keys.iter().map(|key| &**key)
    }

    pub(super) fn checks(&self) -> Vec<(KeyVersion, CheckValue)> {
        let checks = self.iter().map(|key| (key.version(), *key.check()));
        checks.collect()
    }

    /// The same keys with another active one; `None`: it is not among them.
    pub(super) fn activating(&self, version: KeyVersion) -> Option<Self> {
        Some(Self {
            active: Arc::clone(self.find(version)?),
            keys: self.keys.clone(),
        })
    }

    /// The keys of `new`, and those of these that are not among them and that are
    /// to be kept. What is active stays so.
    pub(super) fn replaced_by(&self, new: &Self, keeps: impl Fn(KeyVersion) -> bool) -> Self {
        let mut keys = new.keys.clone();
        let kept = self.keys.iter().filter(|key| {
            let version = key.version();
            let is_active = version == self.active.version();
            new.find(version).is_none() && (is_active || keeps(version))
        });
        keys.extend(kept.cloned());
        Self {
            active: Arc::clone(&self.active),
            keys,
        }
    }

    fn find(&self, version: KeyVersion) -> Option<&Arc<K>> {
        self.keys.iter().find(|key| key.version() == version)
    }
}
