//! Random operations, on every engine beside the oracle: whatever one answers
//! the other must, after each of them, restarts and rewrites included.
//!
//! `PROPTEST_CASES` sets how many sequences are tried (256 if it is not set).
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod store_support;
#[path = "support/tool.rs"]
mod tool;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use credd::domain::revision::Revision;
use credd::domain::time::Timestamp;
use credd::store::memory::MemoryStore;
use credd::store::{
    Batch, Expect, Guard, KeyRange, MAX_VALUE_BYTES, PageLimit, Store, StoreError, Write,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use store_support::counted::{Counted, none_yet};
use store_support::{Engine, Etcd, Memory, Sled, UNLIMITED, assert_consistent, scan_all, store_id};
use tool::tool;

/// A step, told without reference to the state, so that leaving out others
/// keeps its sense.
#[derive(Clone, Debug)]
enum Operation {
    Commit {
        at: i64,
        guards: Vec<(u8, Expectation)>,
        writes: Vec<(u8, Option<Value>)>,
    },
    Scan {
        start: u8,
        end: Option<u8>,
        limit: usize,
    },
    Changes {
        after: Place,
        commits: usize,
        bytes: usize,
    },
    Compact(Place),
    Restart,
    Rewrite,
}

/// What a guard expects, in terms of what it finds.
#[derive(Clone, Copy, Debug)]
enum Expectation {
    Absent,
    /// What is there, be it nothing.
    Truth,
    /// The revision before the one that is there.
    Earlier,
    /// The revision of the last commit.
    Head,
}

/// A value of this length, made of this byte.
#[derive(Clone, Copy, Debug)]
struct Value(usize, u8);

/// A revision, counted back from the next one.
#[derive(Clone, Copy, Debug)]
struct Place(u64);

fn operation() -> impl Strategy<Value = Operation> {
    let guards = vec((any_key(), expectation()), 0..3);
    let writes = vec((any_key(), option::weighted(0.7, any_value())), 0..6);
    let commit = (0..1000_i64, guards, writes).prop_map(|(at, guards, writes)| Operation::Commit {
        at,
        guards,
        writes,
    });
    let scan = (any_key(), option::of(any_key()), 0..8_usize)
        .prop_map(|(start, end, limit)| Operation::Scan { start, end, limit });
    let changes = (place(), 0..5_usize, 0..9000_usize).prop_map(|(after, commits, bytes)| {
        Operation::Changes {
            after,
            commits,
            bytes,
        }
    });
    prop_oneof![
        12 => commit,
        3 => scan,
        5 => changes,
        2 => place().prop_map(Operation::Compact),
        1 => Just(Operation::Restart),
        1 => Just(Operation::Rewrite),
    ]
}

fn any_key() -> impl Strategy<Value = u8> {
    0..12_u8
}

fn any_value() -> impl Strategy<Value = Value> {
    let length = prop_oneof![
        20 => 0..100_usize,
        2 => Just(MAX_VALUE_BYTES),
        1 => Just(MAX_VALUE_BYTES + 1),
    ];
    (length, any::<u8>()).prop_map(|(length, byte)| Value(length, byte))
}

fn expectation() -> impl Strategy<Value = Expectation> {
    prop_oneof![
        1 => Just(Expectation::Absent),
        6 => Just(Expectation::Truth),
        1 => Just(Expectation::Earlier),
        1 => Just(Expectation::Head),
    ]
}

fn place() -> impl Strategy<Value = Place> {
    (0..24_u64).prop_map(Place)
}

/// A one-byte or two-byte key, so that some are prefixes of others.
fn key(number: u8) -> Bytes {
    let (first, second) = (number / 3, number % 3);
    let key = [first, second];
    Bytes::copy_from_slice(&key[..if second == 0 { 1 } else { 2 }])
}

impl Operation {
    /// What the store answers, in a form that can be compared.
    fn apply(&self, store: &dyn Store, oracle: &dyn Store) -> Result<String, StoreError> {
        match self {
            Self::Commit { at, guards, writes } => {
                let batch = Batch {
                    at: Timestamp::from_millis(*at),
                    guards: guards.iter().map(|guard| resolve(*guard, oracle)).collect(),
                    writes: writes.iter().map(|write| spell_out(*write)).collect(),
                    vital: false,
                };
                store.commit(batch).map(|revision| revision.to_string())
            }
            Self::Scan { start, end, limit } => {
                let range = KeyRange {
                    start: key(*start),
                    end: end.map(key),
                };
                store.scan(&range, *limit).map(|page| format!("{page:?}"))
            }
            Self::Changes {
                after,
                commits,
                bytes,
            } => {
                let limit = PageLimit {
                    commits: *commits,
                    bytes: *bytes,
                };
                let page = store.changes(after.revision(oracle), limit, Duration::ZERO);
                page.map(|page| format!("{page:?}"))
            }
            Self::Compact(through) => store
                .compact(through.revision(oracle))
                .map(|()| String::new()),
            Self::Restart | Self::Rewrite => Ok(String::new()),
        }
    }
}

impl Place {
    fn revision(self, oracle: &dyn Store) -> Revision {
        let next = oracle.snapshot().unwrap().revision.next();
        Revision::new(next.number().saturating_sub(self.0))
    }
}

fn resolve((number, expectation): (u8, Expectation), oracle: &dyn Store) -> Guard {
    let key = key(number);
    let found = scan_all(oracle).into_iter().find(|entry| entry.key == key);
    let found = found.map(|entry| entry.revision);
    let head = oracle.snapshot().unwrap().revision;
    let earlier = |revision: Revision| Revision::new(revision.number() - 1);
    let expect = match expectation {
        Expectation::Absent => Expect::Absent,
        Expectation::Truth => found.map_or(Expect::Absent, Expect::Revision),
        Expectation::Earlier => Expect::Revision(found.map_or(head, earlier)),
        Expectation::Head => Expect::Revision(head),
    };
    Guard { key, expect }
}

fn spell_out((number, value): (u8, Option<Value>)) -> Write {
    Write {
        key: key(number),
        value: value.map(|Value(length, byte)| vec![byte; length].into()),
    }
}

/// All that a store shows.
fn everything(store: &dyn Store) -> impl PartialEq + std::fmt::Debug + use<> {
    let log = store.changes(Revision::ZERO, UNLIMITED, Duration::ZERO);
    let rest = match &log {
        Err(StoreError::Compacted { floor }) => {
            Some(store.changes(floor.revision, UNLIMITED, Duration::ZERO))
        }
        _ => None,
    };
    (
        store.snapshot(),
        store.contents(),
        scan_all(store),
        log,
        rest,
    )
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: Some(Box::new(FileFailurePersistence::Off)),
        ..ProptestConfig::default()
    })]

    #[test]
    fn sled_does_what_the_oracle_does(operations in vec(operation(), 1..40)) {
        let oracle = Memory::fresh();
        let mut engine = Sled::fresh();
        for operation in operations {
            // The oracle goes last: guards and places are told by its state.
            let answer = operation.apply(engine.store(), oracle.store());
            engine = match operation {
                Operation::Restart => engine.restarted(),
                Operation::Rewrite => engine.rewritten(),
                _ => engine,
            };
            prop_assert_eq!(answer, operation.apply(oracle.store(), oracle.store()));
            prop_assert_eq!(everything(engine.store()), everything(oracle.store()));
        }
        assert_consistent(engine.store());
    }
}

proptest! {
    // Each case takes a second.
    #![proptest_config(ProptestConfig {
        cases: 24,
        failure_persistence: Some(Box::new(FileFailurePersistence::Off)),
        ..ProptestConfig::default()
    })]

    #[test]
    fn etcd_does_what_the_oracle_does(operations in vec(operation(), 1..40)) {
        if tool("CREDD_TEST_ETCD").is_none() {
            return Ok(());
        }
        let oracle = Counted::new(Arc::new(MemoryStore::new(store_id())), &none_yet());
        let mut engine = Etcd::fresh();
        let numbers = none_yet();
        for operation in operations {
            if let Operation::Restart = operation {
                engine = engine.restarted();
            }
            let counted = Counted::new(engine.shared(), &numbers);
            // The oracle goes last: guards and places are told by its state.
            let answer = operation.apply(&counted, &oracle);
            prop_assert_eq!(answer, operation.apply(&oracle, &oracle));
            prop_assert_eq!(everything(&counted), everything(&oracle));
        }
        assert_consistent(engine.store());
    }
}
