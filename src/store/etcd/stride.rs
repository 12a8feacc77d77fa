//! How far to read at once.
//!
//! etcd counts all keys of the range that it is asked for, however few of them are to be
//! told: whoever reads a million keys a thousand at a time has it count a million keys a
//! thousand times. So what is asked for ends not far behind what is expected to be
//! told, by how far apart the keys were that were told last.

use bytes::Bytes;

/// How many bytes of a key count.
const BYTES: usize = size_of::<u128>();
/// By how much more is asked for than is expected, and by how much more again where too
/// little was there.
const MARGIN: u128 = 2;
const WIDER: u128 = 16;

/// How far apart so many keys are; a guess.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stride(u128);

impl Stride {
    /// Nothing is known.
    pub(super) const fn new() -> Self {
        Self(u128::MAX)
    }

    /// Where to end who reads from a key; `None`: at the end of what is to be read. Keys
    /// are what follows what all keys begin with.
    pub(super) fn end(self, start: &[u8]) -> Option<Bytes> {
        let end = place(start).checked_add(self.0)?;
        Some(Bytes::copy_from_slice(&end.to_be_bytes()))
    }

    /// So many keys were told, up to this one, and there were more: the next time `most`
    /// are to be told.
    pub(super) fn told(&mut self, (start, last): (&[u8], &[u8]), count: usize, most: usize) {
        let whole = |count: usize| u128::try_from(count).unwrap_or(u128::MAX).max(1);
        let each = place(last).saturating_sub(place(start)) / whole(count);
        let expected = each.saturating_mul(whole(most)).saturating_mul(MARGIN);
        self.0 = expected.max(1);
    }

    /// There was too little.
    pub(super) const fn widen(&mut self) {
        self.0 = self.0.saturating_mul(WIDER);
    }
}

/// Where a key is among all that there can be.
fn place(key: &[u8]) -> u128 {
    let mut bytes = [0; BYTES];
    let length = key.len().min(BYTES);
    bytes[..length].copy_from_slice(&key[..length]);
    u128::from_be_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::collection::{btree_set, vec};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_end_is_behind_the_start_whatever_is_known() {
        let mut stride = Stride::new();
        assert_eq!(stride.end(&[7]), None);
        assert!(stride.end(b"").unwrap() > b""[..]);
        stride.told((b"a", b"a"), 1000, 1000);
        let start = [9; 40];
        assert!(stride.end(&start).unwrap() > start[..]);
        assert_eq!(stride.end(&[255; 40]), None);
    }

    proptest! {
        /// As whoever reads does it: page by page.
        #[test]
        fn every_key_is_told_once_and_few_are_counted(
            keys in btree_set(vec(any::<u8>(), 1..20), 0..500),
            page in 1_usize..20,
        ) {
            let mut stride = Stride::new();
            let mut start = Vec::new();
            let mut told = BTreeSet::new();
            let mut requests = 0;
            loop {
                let end = stride.end(&start);
                let within = keys.range(start.clone()..);
                let within: Vec<_> = within
                    .take_while(|key| end.as_ref().is_none_or(|end| key[..] < end[..]))
                    .collect();
                requests += 1;
                prop_assert!(requests < 100 * (keys.len() + 1));
                let told_now = &within[..page.min(within.len())];
                told.extend(told_now.iter().copied().cloned());
                match (within.len() > page, end) {
                    (true, _) => {
                        let last = told_now[page - 1];
                        stride.told((&start, last), page, page);
                        start = [&last[..], &[0]].concat();
                    }
                    (false, Some(end)) => {
                        stride.widen();
                        start = end.to_vec();
                    }
                    (false, None) => break,
                }
            }
            prop_assert_eq!(told, keys);
        }
    }
}
