//! What a store knows of its keys: which versions there were, which one of each
//! kind is active, and which are retired.
//!
//! ```text
//! unused --activate--> active --another is activated--> old --retire--> retired
//!    |                    ^------------activate----------'                 ^
//!    '-----------------------------retire----------------------------------'
//! ```
//!
//! A number means one key for ever: another key under a number that was ever
//! loaded is refused, whatever the state of that version.

use super::{CheckValue, KeyChecks, KeyKind, KeyProblem, KeyVersion, MOST_VERSIONS};
use crate::domain::revision::Revision;

/// What a store knows of its keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyringState {
    /// The peppers.
    pub peppers: KeyStates,
    /// The sealing keys.
    pub sealing: KeyStates,
}

/// The versions of a kind of key, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyStates(Vec<KnownKey>);

/// A version of a key that was loaded once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownKey {
    /// Its number.
    pub version: KeyVersion,
    /// What tells it from another under the same number.
    pub check: CheckValue,
    /// What it is used for.
    pub state: KeyState,
    /// The commit that set the state; `None`: the one that wrote this.
    pub set: Option<Revision>,
}

/// What a version of a key is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyState {
    /// It was loaded, and never active.
    Unused,
    /// What is new is made with it.
    Active,
    /// It was active: what is there may have been made with it.
    Old,
    /// Nothing needs it any more.
    Retired,
}

/// There are as many versions as may be, and all are loaded or in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRoom;

impl KeyState {
    /// Whether a server can't do without it.
    #[must_use]
    pub const fn is_needed(self) -> bool {
        match self {
            Self::Active | Self::Old => true,
            Self::Unused | Self::Retired => false,
        }
    }
}

impl KeyringState {
    /// The versions of a kind.
    #[must_use]
    pub const fn of(&self, kind: KeyKind) -> &KeyStates {
        match kind {
            KeyKind::Pepper => &self.peppers,
            KeyKind::Sealing => &self.sealing,
        }
    }

    /// The same, to change them.
    pub const fn of_mut(&mut self, kind: KeyKind) -> &mut KeyStates {
        match kind {
            KeyKind::Pepper => &mut self.peppers,
            KeyKind::Sealing => &mut self.sealing,
        }
    }

    /// Whether a server with these keys can work on the store.
    ///
    /// # Errors
    ///
    /// [`KeyProblem`]: a version that is needed is missing, or a version that was
    /// ever loaded is another key.
    pub fn admits(&self, loaded: &KeyChecks) -> Result<(), KeyProblem> {
        self.same_keys(loaded)?;
        for kind in KeyKind::ALL {
            let mut needed = self.of(kind).iter().filter(|key| key.state.is_needed());
            let missing = needed.find(|key| loaded.find(kind, key.version).is_none());
            if let Some(key) = missing {
                return Err(KeyProblem::Missing(kind, key.version));
            }
        }
        Ok(())
    }

    /// Whether what is loaded are the keys that the store knows under their
    /// numbers.
    ///
    /// # Errors
    ///
    /// [`KeyProblem::Differs`].
    pub fn same_keys(&self, loaded: &KeyChecks) -> Result<(), KeyProblem> {
        for kind in KeyKind::ALL {
            for (version, check) in loaded.of(kind) {
                let known = self.of(kind).get(*version);
                if known.is_some_and(|known| known.check != *check) {
                    return Err(KeyProblem::Differs(kind, *version));
                }
            }
        }
        Ok(())
    }

    /// The state with what is loaded added to it, as far as there is room.
    #[must_use]
    pub fn noting(mut self, loaded: &KeyChecks) -> Self {
        for kind in KeyKind::ALL {
            for (version, check) in loaded.of(kind) {
                // What has no room is noted when it is activated, or refused then.
                let _ = self.of_mut(kind).note(*version, *check, loaded.of(kind));
            }
        }
        self
    }

    /// The same, as a commit left it that wrote it.
    #[must_use]
    pub fn at(mut self, revision: Revision) -> Self {
        for kind in KeyKind::ALL {
            for key in &mut self.of_mut(kind).0 {
                key.set.get_or_insert(revision);
            }
        }
        self
    }
}

impl KeyStates {
    /// These versions.
    #[must_use]
    pub fn new(mut keys: Vec<KnownKey>) -> Self {
        keys.sort_by_key(|key| key.version);
        Self(keys)
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = &KnownKey> {
        self.0.iter()
    }

    /// A version.
    #[must_use]
    pub fn get(&self, version: KeyVersion) -> Option<&KnownKey> {
        self.0.iter().find(|key| key.version == version)
    }

    /// The active version; `None`: none was ever activated.
    #[must_use]
    pub fn active(&self) -> Option<KeyVersion> {
        let mut keys = self.0.iter();
        let active = keys.find(|key| key.state == KeyState::Active);
        active.map(|key| key.version)
    }

    /// Makes a version the active one, which is among `loaded`.
    ///
    /// # Errors
    ///
    /// [`NoRoom`] if it is new, and can't be noted.
    pub fn activate(
        &mut self,
        version: KeyVersion,
        check: CheckValue,
        loaded: &[(KeyVersion, CheckValue)],
    ) -> Result<(), NoRoom> {
        self.note(version, check, loaded)?;
        for key in &mut self.0 {
            let state = match key.state {
                _ if key.version == version => KeyState::Active,
                KeyState::Active => KeyState::Old,
                state => state,
            };
            key.set_state(state);
        }
        Ok(())
    }

    /// Says that nothing needs a version any more.
    pub fn retire(&mut self, version: KeyVersion) {
        let retired = self.0.iter_mut().find(|key| key.version == version);
        if let Some(key) = retired {
            key.set_state(KeyState::Retired);
        }
    }

    /// Notes a version that is among `loaded`. Of those that are neither loaded
    /// nor needed the first gives way.
    fn note(
        &mut self,
        version: KeyVersion,
        check: CheckValue,
        loaded: &[(KeyVersion, CheckValue)],
    ) -> Result<(), NoRoom> {
        if self.get(version).is_some() {
            return Ok(());
        }
        if self.0.len() >= MOST_VERSIONS {
            let is_loaded = |key: &KnownKey| loaded.iter().any(|(held, _)| *held == key.version);
            let mut keys = self.0.iter();
            let spare = keys.position(|key| !key.state.is_needed() && !is_loaded(key));
            self.0.remove(spare.ok_or(NoRoom)?);
        }
        let at = self.0.partition_point(|key| key.version < version);
        self.0.insert(
            at,
            KnownKey {
                version,
                check,
                state: KeyState::Unused,
                set: None,
            },
        );
        Ok(())
    }
}

impl KnownKey {
    fn set_state(&mut self, state: KeyState) {
        if self.state != state {
            self.state = state;
            self.set = None;
        }
    }
}
