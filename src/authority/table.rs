//! Things that are numbered as they come up and never forgotten.

use std::hash::Hash;

use hashbrown::HashTable;
use parking_lot::RwLock;

/// What stands in a [`Table`]: something with a key of its own.
pub trait Keyed {
    /// The key.
    type Key: Hash + Eq + ?Sized;
    /// Asks whether the key, which never changes, is this one.
    fn has_key(&self, key: &Self::Key) -> bool;
    /// Gives the key to `hash`.
    fn hash_key(&self, hash: impl FnOnce(&Self::Key) -> u64) -> u64;
}

/// Things by number and numbers by key. There are far fewer of them than
/// credentials, and a number must mean the same to whoever still holds it.
/// Reading one by its number takes no lock.
#[derive(Debug)]
pub struct Table<T> {
    cells: boxcar::Vec<T>,
    numbers: RwLock<HashTable<u32>>,
    hasher: foldhash::fast::RandomState,
}

impl<T: Keyed> Table<T> {
    /// An empty table.
    #[must_use]
    pub fn new() -> Self {
        Self {
            cells: boxcar::Vec::new(),
            numbers: RwLock::default(),
            hasher: foldhash::fast::RandomState::default(),
        }
    }

    /// The number of a key, if it has one.
    #[must_use]
    pub fn find(&self, key: &T::Key) -> Option<u32> {
        let is_it = |number: &u32| self.get(*number).has_key(key);
        self.numbers.read().find(self.hash(key), is_it).copied()
    }

    /// The number of a key; a new one, of what `make` makes, if it has none.
    pub fn find_or_insert(&self, key: &T::Key, make: impl FnOnce() -> T) -> u32 {
        if let Some(number) = self.find(key) {
            return number;
        }
        let mut numbers = self.numbers.write();
        let entry = numbers.entry(
            self.hash(key),
            |&number| self.get(number).has_key(key),
            |&number| self.get(number).hash_key(|key| self.hash(key)),
        );
        let number = entry.or_insert_with(|| {
            let number = self.cells.push(make());
            let Ok(number) = u32::try_from(number) else {
                unreachable!("four billion of them do not fit the memory");
            };
            number
        });
        *number.get()
    }

    /// What has this number.
    #[must_use]
    pub fn get(&self, number: u32) -> &T {
        let Some(cell) = self.cells.get(number as usize) else {
            unreachable!("a number comes from its table");
        };
        cell
    }

    /// All of them, with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.cells
            .iter()
            .map(|(number, cell)| (u32::try_from(number).unwrap_or(u32::MAX), cell))
    }

    fn hash(&self, key: &T::Key) -> u64 {
        std::hash::BuildHasher::hash_one(&self.hasher, key)
    }
}

impl<T: Keyed> Default for Table<T> {
    fn default() -> Self {
        Self::new()
    }
}
