//! Names that many credentials share, kept once.

use std::sync::Arc;

use hashbrown::HashTable;
use parking_lot::RwLock;

/// A name in an [`Interner`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Symbol(u32);

impl Symbol {
    /// A number of four bytes that stands for it.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }

    /// The symbol of that number.
    #[must_use]
    pub const fn from_number(number: u32) -> Self {
        Self(number)
    }
}

/// Names by number and numbers by name.
///
/// Names are never forgotten: there are far fewer than credentials, and a
/// number must mean the same to whoever still holds it. Reading a name takes no
/// lock.
#[derive(Debug)]
pub struct Interner {
    names: boxcar::Vec<Arc<str>>,
    numbers: RwLock<HashTable<u32>>,
    hasher: foldhash::fast::RandomState,
}

impl Interner {
    /// The symbol of the empty name, which is always there.
    pub const EMPTY: Symbol = Symbol(0);

    /// An interner that knows the empty name.
    #[must_use]
    pub fn new() -> Self {
        let interner = Self {
            names: boxcar::Vec::new(),
            numbers: RwLock::default(),
            hasher: foldhash::fast::RandomState::default(),
        };
        interner.intern(&Arc::from(""));
        interner
    }

    /// The symbol of a name, a new one if it has none.
    pub fn intern(&self, name: &Arc<str>) -> Symbol {
        if let Some(symbol) = self.find(name) {
            return symbol;
        }
        let mut numbers = self.numbers.write();
        let number = numbers
            .entry(
                self.hash(name),
                |&number| self.name(number) == &**name,
                |&number| self.hash(self.name(number)),
            )
            .or_insert_with(|| {
                let number = self.names.push(Arc::clone(name));
                let Ok(number) = u32::try_from(number) else {
                    unreachable!("four billion names do not fit the memory");
                };
                number
            });
        Symbol(*number.get())
    }

    /// The symbol of a name, if it has one.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Symbol> {
        self.numbers
            .read()
            .find(self.hash(name), |&number| self.name(number) == name)
            .copied()
            .map(Symbol)
    }

    /// The name of a symbol of this interner.
    #[must_use]
    pub fn resolve(&self, symbol: Symbol) -> &Arc<str> {
        let Some(name) = self.names.get(symbol.0 as usize) else {
            unreachable!("a symbol comes from its interner");
        };
        name
    }

    fn name(&self, number: u32) -> &str {
        self.resolve(Symbol(number))
    }

    fn hash(&self, name: &str) -> u64 {
        std::hash::BuildHasher::hash_one(&self.hasher, name)
    }
}

impl Default for Interner {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_symbol_and_a_symbol_one_name() {
        let interner = Interner::new();
        assert_eq!(interner.find(""), Some(Interner::EMPTY));
        let symbols: Vec<_> = (0..1000)
            .map(|n| interner.intern(&format!("name {n}").into()))
            .collect();
        for (n, symbol) in symbols.iter().enumerate() {
            let name = format!("name {n}");
            assert_eq!(interner.find(&name), Some(*symbol));
            assert_eq!(interner.intern(&name.as_str().into()), *symbol);
            assert_eq!(&**interner.resolve(*symbol), name);
        }
        assert_eq!(interner.find("another"), None);
    }
}
