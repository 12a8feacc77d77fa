use super::*;
use crate::domain::keyring::KeyringState;
use crate::domain::revision::{ChainHash, Position, Revision};

fn keyring_of(keys: &[(u32, u8)]) -> Keyring {
    let keys: Vec<_> = keys
        .iter()
        .map(|(version, byte)| (KeyVersion(*version), zeroize::Zeroizing::new([*byte; 32])))
        .collect();
    Keyring::new(&keys, &keys).unwrap()
}

fn keyring(versions: &[u8]) -> Keyring {
    let keys: Vec<_> = versions.iter().map(|n| (u32::from(*n), *n)).collect();
    keyring_of(&keys)
}

/// The keys of a store that says this of them.
struct Fixture {
    index: Arc<Index>,
    keys: Keys,
    state: KeyringState,
}

impl Fixture {
    /// With the keys 1 and 2, of which 1 is active.
    fn new() -> Self {
        let index = Arc::new(Index::new());
        let keys = Keys::new(Arc::new(keyring(&[1, 2])), Arc::clone(&index));
        let state = KeyringState::default().noting(&keys.current().checks());
        let mut fixture = Self { index, keys, state };
        fixture.activate(1);
        fixture
    }

    fn activate(&mut self, version: u32) {
        let loaded = self.keys.current().checks();
        for kind in KeyKind::ALL {
            let version = KeyVersion(version);
            let check = *loaded.find(kind, version).unwrap();
            let keys = self.state.of_mut(kind);
            keys.activate(version, check, loaded.of(kind)).unwrap();
        }
        self.apply();
    }

    fn apply(&self) {
        let revision = self.index.applied().revision.next();
        let position = Position {
            revision,
            chain: ChainHash::default(),
        };
        let state = Some(Arc::new(self.state.clone()));
        self.index
            .apply(position, |writer| writer.set_keyring(state, revision));
        let _ = self.keys.follow();
    }

    fn active(&self) -> u32 {
        let current = self.keys.current();
        assert_eq!(
            current.active(KeyKind::Pepper),
            current.active(KeyKind::Sealing)
        );
        current.active(KeyKind::Pepper).0
    }

    fn loaded(&self) -> Vec<u32> {
        let checks = self.keys.current().checks();
        let versions = checks.peppers.iter().map(|(version, _)| version.0);
        versions.collect()
    }
}

#[test]
fn a_key_that_others_have_made_active_and_is_not_loaded_is_told() {
    let mut fixture = Fixture::new();
    let other = keyring(&[1, 2, 3]).checks();
    let check = *other.find(KeyKind::Pepper, KeyVersion(3)).unwrap();
    let activated = fixture.state.peppers.activate(KeyVersion(3), check, &[]);
    activated.unwrap();
    fixture.apply();
    let missing = KeyProblem::Missing(KeyKind::Pepper, KeyVersion(3));
    assert_eq!(fixture.keys.follow(), Err(missing));
    assert_eq!(fixture.active(), 1);
}

#[test]
fn the_store_says_which_key_is_active_and_not_the_order_of_the_file() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.active(), 1);
    fixture.activate(2);
    assert_eq!(fixture.active(), 2);
    fixture.activate(1);
    assert_eq!(fixture.active(), 1, "and back");
    let fresh = Keys::new(Arc::new(keyring(&[1, 2])), Arc::new(Index::new()));
    assert_eq!(fresh.current().active(KeyKind::Pepper), KeyVersion(2));
    let restarted = Keys::new(Arc::new(keyring(&[1, 2])), Arc::clone(&fixture.index));
    assert_eq!(restarted.current().active(KeyKind::Pepper), KeyVersion(1));
    assert_eq!(fixture.state.at(Revision::new(1)).peppers.iter().count(), 2);
}

#[test]
fn other_keys_are_taken_and_what_is_needed_is_kept() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.keys.take(&keyring(&[1, 2, 3])), Ok(vec![]));
    assert_eq!((fixture.loaded(), fixture.active()), (vec![1, 2, 3], 1));
    fixture.activate(3);
    // 2 was never active, 1 and 3 are needed.
    let kept = fixture.keys.take(&keyring(&[4])).unwrap();
    let kinds = KeyKind::ALL.into_iter();
    let expected = kinds.flat_map(|kind| [1, 3].map(|version| (kind, KeyVersion(version))));
    assert_eq!(kept, expected.collect::<Vec<_>>());
    assert_eq!((fixture.loaded(), fixture.active()), (vec![4, 1, 3], 3));
    for kind in KeyKind::ALL {
        fixture.state.of_mut(kind).retire(KeyVersion(1));
    }
    fixture.apply();
    assert_eq!(fixture.keys.take(&keyring(&[3, 4])), Ok(vec![]));
    assert_eq!((fixture.loaded(), fixture.active()), (vec![3, 4], 3));
}

#[test]
fn another_key_under_a_number_is_refused_and_nothing_changes() {
    let fixture = Fixture::new();
    fixture.keys.take(&keyring(&[1, 2, 3])).unwrap();
    for version in 1..=3 {
        let other: Vec<_> = (1..=4)
            .map(|n| {
                (
                    n,
                    if n == version {
                        9
                    } else {
                        u8::try_from(n).unwrap()
                    },
                )
            })
            .collect();
        let differs = KeyProblem::Differs(KeyKind::Pepper, KeyVersion(version));
        assert_eq!(fixture.keys.take(&keyring_of(&other)), Err(differs));
        assert_eq!((fixture.loaded(), fixture.active()), (vec![1, 2, 3], 1));
    }
    // 2 is gone from memory, and known to the store all the same.
    fixture.keys.take(&keyring(&[1])).unwrap();
    let differs = KeyProblem::Differs(KeyKind::Pepper, KeyVersion(2));
    let other = keyring_of(&[(1, 1), (2, 9)]);
    assert_eq!(fixture.keys.take(&other), Err(differs));
}
