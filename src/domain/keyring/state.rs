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
                key.set = Some(key.set.map_or(revision, |set| set.min(revision)));
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn check(version: u32, other: bool) -> CheckValue {
        let [_, _, _, last] = version.to_be_bytes();
        [if other { !last } else { last }; 32]
    }

    fn loaded(versions: impl IntoIterator<Item = u32>) -> KeyChecks {
        let versions = versions.into_iter();
        let checks: Vec<_> = versions
            .map(|version| (KeyVersion(version), check(version, false)))
            .collect();
        KeyChecks {
            peppers: checks.clone(),
            sealing: checks,
        }
    }

    fn states(state: &KeyringState) -> Vec<(u32, KeyState)> {
        let peppers = state.peppers.iter();
        peppers.map(|key| (key.version.0, key.state)).collect()
    }

    fn activate(state: &mut KeyringState, version: u32, loaded: &KeyChecks) {
        let keys = state.of_mut(KeyKind::Pepper);
        keys.activate(KeyVersion(version), check(version, false), &loaded.peppers)
            .unwrap();
    }

    #[test]
    fn one_is_active_those_before_are_old_and_what_is_retired_stays_so() {
        use KeyState::{Active, Old, Retired, Unused};

        let all = loaded(1..=3);
        let mut state = KeyringState::default().noting(&all);
        assert_eq!(state.peppers.active(), None);
        activate(&mut state, 1, &all);
        activate(&mut state, 2, &all);
        state.peppers.retire(KeyVersion(1));
        state.peppers.retire(KeyVersion(3));
        assert_eq!(states(&state), [(1, Retired), (2, Active), (3, Retired)]);
        assert_eq!(state.peppers.active(), Some(KeyVersion(2)));
        let state = state.noting(&loaded(1..=4));
        let mut state = state.at(Revision::new(7));
        activate(&mut state, 4, &loaded(1..=4));
        assert_eq!(
            states(&state),
            [(1, Retired), (2, Old), (3, Retired), (4, Active)]
        );
        let set: Vec<_> = state.peppers.iter().map(|key| key.set).collect();
        let earlier = Some(Revision::new(7));
        assert_eq!(set, [earlier, None, earlier, None]);
        activate(&mut state, 2, &loaded(1..=4));
        assert_eq!(state.peppers.active(), Some(KeyVersion(2)), "and back");
        let noted = state.clone().noting(&loaded([9]));
        assert_eq!(states(&noted).last(), Some(&(9, Unused)));
    }

    #[test]
    fn a_needed_version_that_is_missing_and_another_key_are_named() {
        let all = loaded(1..=3);
        let mut state = KeyringState::default().noting(&all);
        activate(&mut state, 1, &all);
        activate(&mut state, 2, &all);
        let missing = |version| Err(KeyProblem::Missing(KeyKind::Pepper, KeyVersion(version)));
        assert_eq!(state.admits(&all), Ok(()));
        assert_eq!(state.admits(&loaded([1, 2])), Ok(()), "3 was never active");
        assert_eq!(state.admits(&loaded([2])), missing(1));
        assert_eq!(state.admits(&loaded([1])), missing(2));
        state.peppers.retire(KeyVersion(1));
        assert_eq!(state.admits(&loaded([2])), Ok(()));
        for version in 1..=3 {
            for kind in KeyKind::ALL {
                let mut other = loaded(1..=3);
                let keys = match kind {
                    KeyKind::Pepper => &mut other.peppers,
                    KeyKind::Sealing => &mut other.sealing,
                };
                let at = keys.iter().position(|(held, _)| held.0 == version).unwrap();
                keys[at].1 = check(version, true);
                let differs = Err(KeyProblem::Differs(kind, KeyVersion(version)));
                assert_eq!(state.admits(&other), differs, "whatever its state");
                assert_eq!(state.same_keys(&other), differs);
            }
        }
    }

    #[test]
    fn what_is_neither_loaded_nor_needed_gives_way() {
        let most = u32::try_from(MOST_VERSIONS).unwrap();
        let full = loaded(1..=most);
        let mut state = KeyringState::default().noting(&full);
        activate(&mut state, 1, &full);
        let more = KeyVersion(most + 1);
        let beside = loaded(1..=most + 1);
        let keys = state.of_mut(KeyKind::Pepper);
        assert_eq!(
            keys.activate(more, check(more.0, false), &beside.peppers),
            Err(NoRoom)
        );
        assert_eq!(state.clone().noting(&beside), state);
        // 2 is no longer loaded.
        let without = loaded(std::iter::once(1).chain(3..=most + 1));
        activate(&mut state, more.0, &without);
        assert_eq!(state.peppers.iter().count(), MOST_VERSIONS);
        assert_eq!(state.peppers.get(KeyVersion(2)), None);
        assert_eq!(state.peppers.active(), Some(more));
    }

    proptest! {
        #[test]
        fn whatever_is_done_one_version_is_active_and_the_state_stays_small(
            steps in prop::collection::vec((0..3_u8, 1..60_u32), 1..200)
        ) {
            let mut state = KeyringState::default();
            for (step, version) in steps {
                let here = loaded([version]);
                match step {
                    0 => state = state.noting(&here),
                    1 => {
                        let keys = state.of_mut(KeyKind::Pepper);
                        let known = keys.get(KeyVersion(version));
                        if known.is_none_or(|known| known.state != KeyState::Retired) {
                            let check = check(version, false);
                            let _ = keys.activate(KeyVersion(version), check, &here.peppers);
                        }
                    }
                    _ => {
                        let keys = state.of_mut(KeyKind::Pepper);
                        if keys.active() != Some(KeyVersion(version)) {
                            keys.retire(KeyVersion(version));
                        }
                    }
                }
                let states = states(&state);
                let active = states.iter().filter(|(_, state)| *state == KeyState::Active);
                prop_assert!(active.count() <= 1);
                prop_assert!(states.len() <= MOST_VERSIONS);
                prop_assert!(states.is_sorted());
            }
        }
    }
}
