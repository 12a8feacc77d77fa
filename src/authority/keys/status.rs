//! The keys as they are shown.

use std::collections::BTreeSet;
use std::iter;

use crate::authority::Authority;
use crate::authority::key_use::Remaining;
use crate::domain::keyring::{CheckValue, KeyChecks, KeyKind, KeyState, KeyVersion};
use crate::domain::revision::Revision;

/// The keys of a server.
#[derive(Clone, Debug)]
pub struct KeyringStatus {
    /// The commit that last changed what the store says of them.
    pub revision: Revision,
    /// The peppers, by number.
    pub peppers: Vec<KeyStatus>,
    /// The sealing keys, by number.
    pub sealing: Vec<KeyStatus>,
}

/// A version of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyStatus {
    /// Its number.
    pub version: KeyVersion,
    /// What tells it from another under the same number.
    pub check: CheckValue,
    /// What it is used for.
    pub state: KeyState,
    /// Whether every live node has loaded it.
    pub loaded: bool,
    /// What remains on it.
    pub remaining: Remaining,
}

impl KeyringStatus {
    /// The versions of a kind.
    #[must_use]
    pub fn of(&self, kind: KeyKind) -> &[KeyStatus] {
        match kind {
            KeyKind::Pepper => &self.peppers,
            KeyKind::Sealing => &self.sealing,
        }
    }
}

impl Authority {
    /// The keys that each live node has loaded, this one first. Of a store that is not
    /// shared there is no other: a record that is not this one's is of one before it.
    #[must_use]
    pub fn loaded_keys(&self) -> Vec<KeyChecks> {
        let (_, nodes) = self.index.read(|index| index.nodes());
        let own = self.sessions.incarnation();
        let is_other = |name| self.is_shared && name != own;
        let others = nodes.iter().filter(|(name, _)| is_other(**name));
        let others = others.map(|(_, (node, _))| node.keys.clone());
        iter::once(self.keys.current().checks())
            .chain(others)
            .collect()
    }

    /// The keys, and what remains on them.
    #[must_use]
    pub fn keyring_status(&self) -> KeyringStatus {
        let now = self.now();
        let nodes = self.loaded_keys();
        let (_, status) = self.index.read(|index| {
            let (state, revision) = index.keyring().unwrap_or_default();
            let of = |kind| {
                let loaded = nodes.iter().flat_map(|node| node.of(kind));
                let known = state.of(kind).iter().map(|key| (key.version, key.check));
                let all: BTreeSet<_> = loaded.copied().chain(known).collect();
                all.into_iter()
                    .map(|(version, check)| KeyStatus {
                        version,
                        check,
                        state: state
                            .of(kind)
                            .get(version)
                            .map_or(KeyState::Unused, |known| known.state),
                        loaded: nodes
                            .iter()
                            .all(|node| node.find(kind, version) == Some(&check)),
                        remaining: index.remaining(kind, version, now),
                    })
                    .collect()
            };
            KeyringStatus {
                revision,
                peppers: of(KeyKind::Pepper),
                sealing: of(KeyKind::Sealing),
            }
        });
        status
    }
}
