//! Names that many credentials share, kept once.

use std::sync::Arc;

use super::table::{Keyed, Table};

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

impl Keyed for Arc<str> {
    type Key = str;
    fn has_key(&self, key: &str) -> bool {
        **self == *key
    }
    fn hash_key(&self, hash: impl FnOnce(&str) -> u64) -> u64 {
        hash(self)
    }
}

/// Names by number and numbers by name.
#[derive(Debug)]
pub struct Interner(Table<Arc<str>>);

impl Interner {
    /// The symbol of the empty name, which is always there.
    pub const EMPTY: Symbol = Symbol(0);

    /// An interner that knows the empty name.
    #[must_use]
    pub fn new() -> Self {
        let interner = Self(Table::new());
        interner.intern(&Arc::from(""));
        interner
    }

    /// The symbol of a name, a new one if it has none.
    pub fn intern(&self, name: &Arc<str>) -> Symbol {
        Symbol(self.0.find_or_insert(name, || Arc::clone(name)))
    }

    /// The symbol of a name, if it has one.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Symbol> {
        self.0.find(name).map(Symbol)
    }

    /// The name of a symbol of this interner.
    #[must_use]
    pub fn resolve(&self, symbol: Symbol) -> &Arc<str> {
        self.0.get(symbol.0)
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
