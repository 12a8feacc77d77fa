//! Which keys of etcd's a store has.

use bytes::Bytes;

use crate::store::KeyRange;

/// The keys under one prefix.
#[derive(Debug)]
pub(super) struct Layout {
    prefix: Bytes,
}

/// From a key, inclusive, to another, exclusive.
#[derive(Clone, Debug)]
pub(super) struct Range {
    pub(super) start: Bytes,
    pub(super) end: Bytes,
}

/// Whose keys they are, by their first byte after the prefix.
mod kind {
    pub(super) const DATA: u8 = b'd';
    pub(super) const ID: u8 = b'i';
    pub(super) const LOG: u8 = b'l';
    pub(super) const NODE: u8 = b'n';
}

impl Layout {
    pub(super) fn new(prefix: &[u8]) -> Self {
        Self {
            prefix: Bytes::copy_from_slice(prefix),
        }
    }

    fn key(&self, kind: u8, rest: &[u8]) -> Bytes {
        let mut key = Vec::with_capacity(self.prefix.len() + 1 + rest.len());
        key.extend_from_slice(&self.prefix);
        key.push(kind);
        key.extend_from_slice(rest);
        key.into()
    }

    /// The key that every commit overwrites last.
    pub(super) fn log(&self) -> Bytes {
        self.key(kind::LOG, &[])
    }

    /// The key of the store's identity.
    pub(super) fn id(&self) -> Bytes {
        self.key(kind::ID, &[])
    }

    /// The key of a process.
    pub(super) fn node(&self, name: [u8; 16]) -> Bytes {
        self.key(kind::NODE, &name)
    }

    /// All keys of processes.
    pub(super) fn nodes(&self) -> Range {
        Range {
            start: self.key(kind::NODE, &[]),
            end: self.key(kind::NODE + 1, &[]),
        }
    }

    /// The key of a key of the store's.
    pub(super) fn data(&self, key: &[u8]) -> Bytes {
        self.key(kind::DATA, key)
    }

    /// What of a key follows what all keys begin with; all of it, if it is none.
    pub(super) fn rest<'a>(&self, key: &'a [u8]) -> &'a [u8] {
        key.strip_prefix(&self.prefix[..]).unwrap_or(key)
    }

    /// The key of which this is what follows.
    pub(super) fn with_rest(&self, rest: &[u8]) -> Bytes {
        [&self.prefix[..], rest].concat().into()
    }

    /// The key of the store's that a key of etcd's is, if it is one.
    pub(super) fn data_key(&self, key: &Bytes) -> Option<Bytes> {
        let rest = key.strip_prefix(&self.prefix[..])?;
        let (&kind, rest) = rest.split_first()?;
        (kind == kind::DATA).then(|| key.slice_ref(rest))
    }

    /// A range of keys of the store's.
    pub(super) fn data_range(&self, range: &KeyRange) -> Range {
        Range {
            start: self.data(&range.start),
            end: match &range.end {
                Some(end) => self.data(end),
                None => self.key(kind::DATA + 1, &[]),
            },
        }
    }

    /// All keys.
    pub(super) fn all(&self) -> Range {
        Range {
            start: self.key(kind::DATA, &[]),
            end: self.key(kind::NODE + 1, &[]),
        }
    }
}

/// The first key after one.
pub(super) fn after(key: &[u8]) -> Bytes {
    let mut after = Vec::with_capacity(key.len() + 1);
    after.extend_from_slice(key);
    after.push(0);
    after.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_keep_their_order_and_come_back_and_no_other_is_one() {
        let layout = Layout::new(b"/credd/");
        let keys: [&[u8]; 5] = [&[0], &[0, 0], &[1], &[255], &[255, 255]];
        let data = keys.map(|key| layout.data(key));
        assert!(data.is_sorted());
        let whole = layout.data_range(&KeyRange::all());
        let (others, all) = (
            [layout.id(), layout.log(), layout.node([255; 16])],
            layout.all(),
        );
        for (key, data) in keys.iter().zip(&data) {
            assert_eq!(layout.data_key(data).as_deref(), Some(*key));
            assert!(whole.start <= *data && *data < whole.end);
            assert!(all.start <= *data && *data < all.end);
        }
        for other in &others {
            assert_eq!(layout.data_key(other), None);
            assert!(!(whole.start <= *other && *other < whole.end));
            assert!(all.start <= *other && *other < all.end);
        }
        for foreign in [&b"/cred"[..], b"/credd/", b"/other/d"] {
            assert_eq!(layout.data_key(&Bytes::copy_from_slice(foreign)), None);
        }
    }
}
