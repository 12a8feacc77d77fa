use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::domain::audit::{Hash, Payload};
use crate::domain::revision::StoreId;
use crate::domain::time::Timestamp;

const CHAIN: ChainNumber = ChainNumber::FIRST;

fn genesis() -> Head {
    Head::genesis(StoreId::from_random([3; 16]), CHAIN)
}

fn payload(n: u64, text: &str) -> Payload {
    let mut salt = [0; 32];
    salt[..8].copy_from_slice(&n.to_be_bytes());
    Payload {
        salt,
        bytes: Bytes::from(format!("{text} {n}")),
    }
}

fn chain_after(head: Head, length: u64, text: &str) -> Vec<Entry> {
    let mut head = head;
    let next = |_| {
        let at = Timestamp::from_millis(i64::try_from(1000 + head.sequence).unwrap());
        let entry = Entry::after(CHAIN, &head, at, payload(head.sequence, text));
        head = entry.head();
        entry
    };
    (0..length).map(next).collect()
}

fn chain(length: u64) -> Vec<Entry> {
    chain_after(genesis(), length, "event")
}

type At = Vec<(u64, Entry)>;

/// Each at its key.
fn at_keys(entries: Vec<Entry>) -> At {
    let at = entries.into_iter();
    at.map(|entry| (entry.sequence, entry)).collect()
}

fn verify_from(start: Head, entries: &At, expected: &[Head]) -> Result<Verified, Broken> {
    let mut verifier = Verifier::new(CHAIN, start, expected.to_vec())?;
    for (at, entry) in entries {
        verifier.read(*at, Some(entry))?;
    }
    verifier.told_removed(&start);
    verifier.finish()
}

fn verify(entries: &At, expected: &[Head]) -> Result<Verified, Broken> {
    verify_from(genesis(), entries, expected)
}

fn flaw(sequence: u64, flaw: Flaw) -> Result<Verified, Broken> {
    Err(Broken { sequence, flaw })
}

#[test]
fn a_chain_that_nobody_touched_is_verified() {
    for length in [0, 1, 20] {
        let entries = chain(length);
        let heads: Vec<_> = entries.iter().map(Entry::head).collect();
        let verified = verify(&at_keys(entries), &heads).unwrap();
        assert_eq!(verified.records, length);
        assert_eq!(verified.head, heads.last().copied().unwrap_or(genesis()));
        assert_eq!((verified.erased, verified.unchecked), (0, 0));
    }
}

#[test]
fn chains_of_other_stores_and_numbers_begin_otherwise() {
    let other = Head::genesis(StoreId::from_random([4; 16]), CHAIN);
    assert_ne!(genesis(), other);
    let entries = at_keys(chain(3));
    assert_eq!(verify_from(other, &entries, &[]), flaw(1, Flaw::Unlinked));
    let second = Head::genesis(StoreId::from_random([3; 16]), ChainNumber(1));
    assert_ne!(genesis(), second);
    let mut verifier = Verifier::new(ChainNumber(1), genesis(), Vec::new()).unwrap();
    let read = verifier.read(1, Some(&entries[0].1));
    assert_eq!(read.unwrap_err().flaw, Flaw::HeaderChanged);
}

#[test]
fn what_cannot_be_read_is_named() {
    let entries = at_keys(chain(3));
    let mut verifier = Verifier::new(CHAIN, genesis(), Vec::new()).unwrap();
    verifier.read(1, Some(&entries[0].1)).unwrap();
    let broken = verifier.read(2, None).unwrap_err();
    assert_eq!((broken.sequence, broken.flaw), (2, Flaw::Unreadable));
}

type Change = fn(&mut Entry);

/// Every way to change one record.
fn changes() -> Vec<(Change, Flaw)> {
    vec![
        (|e| e.at = Timestamp::from_millis(0), Flaw::HeaderChanged),
        (|e| e.previous.0[31] ^= 1, Flaw::HeaderChanged),
        (|e| e.payload_hash.0[0] ^= 128, Flaw::HeaderChanged),
        (|e| e.hash.0[7] ^= 1, Flaw::HeaderChanged),
        (
            |e| e.payload.as_mut().unwrap().salt[5] ^= 1,
            Flaw::PayloadChanged,
        ),
        (
            |e| e.payload.as_mut().unwrap().bytes = Bytes::from("another"),
            Flaw::PayloadChanged,
        ),
        (
            |e| e.payload.as_mut().unwrap().bytes = Bytes::new(),
            Flaw::PayloadChanged,
        ),
    ]
}

proptest! {
    #[test]
    fn a_record_that_was_changed_is_named(length in 1_u64..30, which: prop::sample::Index) {
        for (change, expected) in changes() {
            let mut entries = at_keys(chain(length));
            let which = which.index(entries.len());
            change(&mut entries[which].1);
            prop_assert_eq!(verify(&entries, &[]), flaw(which as u64 + 1, expected));
        }
    }

    #[test]
    fn a_record_that_was_removed_is_named(length in 2_u64..30, which: prop::sample::Index) {
        let mut entries = at_keys(chain(length));
        let which = which.index(entries.len() - 1);
        entries.remove(which);
        prop_assert_eq!(verify(&entries, &[]), flaw(which as u64 + 1, Flaw::Missing));
    }

    #[test]
    fn the_first_of_two_that_were_swapped_is_named(
        length in 2_u64..30,
        one: prop::sample::Index,
        other: prop::sample::Index,
    ) {
        let mut entries = chain(length);
        let (one, other) = (one.index(entries.len()), other.index(entries.len()));
        prop_assume!(one != other);
        entries.swap(one, other);
        let swapped = (1..).zip(entries).collect();
        let (first, last) = (one.min(other) as u64 + 1, one.max(other) as u64 + 1);
        prop_assert_eq!(verify(&swapped, &[]), flaw(first, Flaw::Misplaced(last)));
    }

    #[test]
    fn a_tail_that_was_cut_is_found_by_a_head_that_was_kept(
        length in 1_u64..30,
        left: prop::sample::Index,
    ) {
        let mut entries = chain(length);
        let head = entries.last().unwrap().head();
        let left = left.index(entries.len());
        entries.truncate(left);
        let cut = at_keys(entries);
        prop_assert!(verify(&cut, &[]).is_ok());
        prop_assert_eq!(verify(&cut, &[head]), flaw(left as u64 + 1, Flaw::Cut));
    }

    #[test]
    fn a_chain_that_was_set_back_and_has_grown_since_is_found_by_a_head_that_was_kept(
        length in 1_u64..30,
        left: prop::sample::Index,
        grown in 0_u64..40,
    ) {
        let mut entries = chain(length);
        let kept: Vec<Head> = entries.iter().map(Entry::head).collect();
        let left = left.index(entries.len());
        entries.truncate(left);
        let back = entries.last().map_or(genesis(), Entry::head);
        entries.extend(chain_after(back, grown, "another event"));
        let entries = at_keys(entries);
        prop_assert!(verify(&entries, &[]).is_ok());
        for head in &kept {
            let found = verify(&entries, &[*head]);
            let expected = match head.sequence {
                sequence if sequence <= left as u64 => {
                    prop_assert!(found.is_ok());
                    continue;
                }
                sequence if sequence <= left as u64 + grown => flaw(sequence, Flaw::OtherHash),
                _ => flaw(left as u64 + grown + 1, Flaw::Cut),
            };
            prop_assert_eq!(found, expected);
        }
        // Of many, the first.
        let first = if grown > 0 { Flaw::OtherHash } else { Flaw::Cut };
        prop_assert_eq!(verify(&entries, &kept), flaw(left as u64 + 1, first));
    }

    #[test]
    fn a_record_that_was_forged_with_its_hash_is_found_at_the_next(
        length in 2_u64..30,
        which: prop::sample::Index,
    ) {
        let mut entries = chain(length);
        let which = which.index(entries.len() - 1);
        let before = which.checked_sub(1).map_or(genesis(), |at| entries[at].head());
        let at = entries[which].at;
        entries[which] = Entry::after(CHAIN, &before, at, payload(0, "forged"));
        let found = verify(&at_keys(entries), &[]);
        prop_assert_eq!(found, flaw(which as u64 + 2, Flaw::Unlinked));
    }

    #[test]
    fn erasing_leaves_the_chain_valid(length in 1_u64..30, erased: Vec<prop::sample::Index>) {
        let mut entries = chain(length);
        let head = entries.last().unwrap().head();
        let mut which = std::collections::BTreeSet::new();
        for index in erased {
            let index = index.index(entries.len());
            which.insert(index);
            entries[index] = entries[index].clone().erased();
        }
        let entries = at_keys(entries);
        let mut verifier = Verifier::new(CHAIN, genesis(), vec![head]).unwrap();
        for (at, entry) in &entries {
            verifier.read(*at, Some(entry)).unwrap();
        }
        let told: Vec<u64> = which.iter().map(|index| *index as u64 + 1).collect();
        verifier.told_erased(&told);
        let verified = verifier.finish().unwrap();
        prop_assert_eq!(verified.erased, which.len() as u64);
        prop_assert_eq!(verified.head, head);
        // Of what nobody tells, the first is named.
        let found = verify(&entries, &[head]);
        match told.first() {
            Some(first) => prop_assert_eq!(found, flaw(*first, Flaw::Blanked)),
            None => prop_assert!(found.is_ok()),
        }
    }

    #[test]
    fn a_chain_whose_oldest_part_is_gone_is_verified_from_there(
        length in 1_u64..30,
        gone: prop::sample::Index,
    ) {
        let entries = chain(length);
        let kept: Vec<Head> = entries.iter().map(Entry::head).collect();
        let gone = gone.index(entries.len());
        let start = gone.checked_sub(1).map_or(genesis(), |at| kept[at]);
        let rest = at_keys(entries[gone..].to_vec());
        let verified = verify_from(start, &rest, &kept).unwrap();
        prop_assert_eq!(verified.records, length - gone as u64);
        prop_assert_eq!(verified.unchecked, (gone as u64).saturating_sub(1));
        // Somebody must tell of it, and of this very place.
        let untold = |told: Option<Head>| {
            let mut verifier = Verifier::new(CHAIN, start, kept.clone())?;
            for (at, entry) in &rest {
                verifier.read(*at, Some(entry))?;
            }
            if let Some(told) = told {
                verifier.told_removed(&told);
            }
            verifier.finish()
        };
        for told in [None, gone.checked_sub(2).map(|at| kept[at])] {
            let found = untold(told);
            if gone == 0 {
                prop_assert!(found.is_ok());
            } else {
                prop_assert_eq!(found, flaw(start.sequence, Flaw::Removed));
            }
        }
        // The beginning can't be moved: the first that is kept follows from it.
        let moved = Head { sequence: start.sequence, hash: Hash([9; 32]) };
        let found = verify_from(moved, &rest, &[]);
        prop_assert_eq!(found, flaw(start.sequence + 1, Flaw::Unlinked));
        let found = verify_from(moved, &rest, &kept);
        if gone > 0 {
            prop_assert_eq!(found, flaw(start.sequence, Flaw::OtherHash));
        }
    }
}
