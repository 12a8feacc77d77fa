//! The contract of [`Store`], promise by promise, for every engine.
//!
//! To put another engine to the test: implement [`Engine`] for it and name it
//! at the end.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod store_support;
#[path = "support/tool.rs"]
mod tool;

use std::sync::{Barrier, OnceLock};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use credd::domain::revision::{Position, Revision};
use credd::domain::time::Timestamp;
use credd::store::{
    Batch, Entry, KeyRange, MAX_KEY_BYTES, MAX_VALUE_BYTES, PageLimit, StoreError, Write, chain,
};
use store_support::{
    AGES, Engine, Etcd, Memory, SHORT, Sled, UNLIMITED, absent, assert_consistent, batch, changes,
    commit, commit_each, delete, head, key, put, scan_all, store_id, unchanged, value,
};
use tool::tool;

fn an_empty_store_is_at_the_start<E: Engine>() {
    let engine = E::fresh();
    let store = engine.store();
    assert_eq!(store.id(), store_id());
    assert_eq!(head(store), Position::START);
    assert_eq!(scan_all(store), []);
    let log = changes(store, Revision::ZERO).unwrap();
    assert_eq!((log.from, log.commits.len()), (Position::START, 0));
    assert_consistent(store);
}

fn a_batch_takes_effect_as_a_whole<E: Engine>() {
    let engine = E::fresh();
    let store = engine.store();
    commit(store, [put("b", "old"), put("c", "old")]);
    let revision = commit(store, [put("a", "new"), put("b", "new"), delete("c")]);
    let entry = |name, text| Entry {
        key: key(name),
        revision,
        value: key(text),
    };
    assert_eq!(scan_all(store), [entry("a", "new"), entry("b", "new")]);
    assert_consistent(store);
}

fn a_failed_guard_is_named_and_nothing_is_written<E: Engine>() {
    let engine = E::fresh();
    let store = engine.store();
    let revision = commit(store, [put("here", "1")]);
    let (keys, position) = (scan_all(store), head(store));
    for (guards, failing) in [
        (vec![absent("here")], "here"),
        (vec![absent("gone"), absent("here")], "here"),
        (vec![unchanged("here", revision.next())], "here"),
        (vec![unchanged("here", Revision::ZERO)], "here"),
        (vec![unchanged("gone", revision)], "gone"),
    ] {
        let refused = store.commit(batch(guards, [put("here", "2"), put("new", "2")]));
        assert_eq!(refused, Err(StoreError::Conflict { key: key(failing) }));
        assert_eq!((scan_all(store), head(store)), (keys.clone(), position));
    }
}

fn guards_that_hold_let_a_batch_through<E: Engine>() {
    let engine = E::fresh();
    let store = engine.store();
    let first = store
        .commit(batch([absent("a"), absent("b")], [put("a", "1")]))
        .unwrap();
    let second = store
        .commit(batch([unchanged("a", first)], [put("a", "2")]))
        .unwrap();
    // A guard may name a key that is not written.
    store
        .commit(batch([unchanged("a", second)], [put("b", "1")]))
        .unwrap();
    store
        .commit(batch([unchanged("a", second)], [delete("a")]))
        .unwrap();
    store.commit(batch([absent("a")], [put("a", "3")])).unwrap();
    assert_eq!(value(store, "a"), Some(key("3")));
    assert_consistent(store);
}

fn deleting_what_is_not_there_is_a_commit<E: Engine>() {
    let engine = E::fresh();
    let store = engine.store();
    let revision = commit(store, [delete("gone")]);
    assert_eq!(head(store).revision, revision);
    let log = changes(store, Revision::ZERO).unwrap();
    assert_eq!(log.commits[0].writes, [delete("gone")]);
    assert_consistent(store);
}

fn an_invalid_batch_is_refused<E: Engine>() {
    let engine = E::fresh();
    let store = engine.store();
    let long_key = "k".repeat(MAX_KEY_BYTES + 1);
    let long_value = "v".repeat(MAX_VALUE_BYTES + 1);
    for invalid in [
        batch([], []),
        batch([absent("a")], []),
        batch([], [put("a", "1"), put("a", "2")]),
        batch([], [put("a", "1"), delete("a")]),
        batch([], [put("", "1")]),
        batch([], [put(&long_key, "1")]),
        batch([], [put("a", &long_value)]),
        batch([absent("")], [put("a", "1")]),
        batch([absent(&long_key)], [put("a", "1")]),
    ] {
        let refused = store.commit(invalid.clone());
        assert!(
            matches!(refused, Err(StoreError::Invalid(_))),
            "{invalid:?}: {refused:?}"
        );
    }
    assert_eq!(head(store), Position::START);
    assert_eq!(scan_all(store), []);
}

fn any_bytes_within_the_limits_are_kept<E: Engine>() {
    let engine = E::fresh();
    let writes = [
        (vec![0], vec![]),
        (vec![0, 0], vec![0; MAX_VALUE_BYTES]),
        (vec![1], vec![1]),
        (vec![2, 255], vec![255; 2]),
        (vec![255; MAX_KEY_BYTES], vec![255; MAX_VALUE_BYTES]),
    ]
    .map(|(key, value)| Write {
        key: key.into(),
        value: Some(value.into()),
    });
    let revision = commit(engine.store(), writes.clone());
    let engine = engine.restarted();
    let expected = writes.clone().map(|Write { key, value }| Entry {
        key,
        revision,
        value: value.unwrap(),
    });
    assert_eq!(scan_all(engine.store()), expected);
    let log = changes(engine.store(), Revision::ZERO).unwrap();
    assert_eq!(log.commits[0].writes, writes);
    assert_consistent(engine.store());
}

fn a_commit_may_be_far_larger_than_a_value<E: Engine>() {
    let engine = E::fresh();
    let most = engine.store().limits().writes.min(400);
    let writes: Vec<_> = (0..most)
        .map(|n| put(&format!("key-{n:03}"), &"v".repeat(MAX_VALUE_BYTES - n)))
        .collect();
    commit(engine.store(), writes.clone());
    commit_each(engine.store(), 0..3);
    let engine = engine.restarted();
    let log = changes(engine.store(), Revision::ZERO).unwrap();
    assert_eq!(log.commits[0].writes, writes);
    assert_eq!(scan_all(engine.store()).len(), most + 3);
    commit(engine.store(), writes);
    engine
        .store()
        .compact(head(engine.store()).revision)
        .unwrap();
    assert_consistent(engine.store());
}

fn revisions_rise_and_none_is_used_twice<E: Engine>() {
    let mut engine = E::fresh();
    let mut last = Revision::ZERO;
    for round in 0..4 {
        let store = engine.store();
        for write in [put("a", "1"), delete("a"), put("b", "1"), put("b", "1")] {
            let revision = commit(store, [write]);
            assert!(revision > last);
            last = revision;
        }
        let _conflict = store.commit(batch([absent("b")], [put("b", "2")]));
        if round == 2 {
            store.compact(last).unwrap();
        }
        assert_eq!(head(store).revision, last);
        engine = engine.restarted();
    }
}

fn commits_outlive_a_restart<E: Engine>() {
    let mut engine = E::fresh();
    for round in 0..3 {
        commit_each(engine.store(), round * 10..round * 10 + 10);
        commit(engine.store(), [delete("key-3")]);
        let before = (scan_all(engine.store()), head(engine.store()));
        let log = changes(engine.store(), Revision::ZERO).unwrap();
        engine = engine.restarted();
        assert_eq!((scan_all(engine.store()), head(engine.store())), before);
        assert_eq!(changes(engine.store(), Revision::ZERO).unwrap(), log);
        assert_eq!(engine.store().id(), store_id());
        assert_consistent(engine.store());
    }
}

fn changes_are_the_commits_whole_and_in_order<E: Engine>() {
    let engine = E::fresh();
    let store = engine.store();
    let batches = [
        vec![put("b", "1"), put("a", "1"), delete("c")],
        vec![delete("a"), put("c", "2")],
        vec![put("a", "3")],
    ];
    let mut expected = Position::START;
    for (millis, writes) in (5..).zip(&batches) {
        let at = Timestamp::from_millis(millis);
        let committed = Batch {
            at,
            writes: writes.clone(),
            ..Batch::default()
        };
        store.commit(committed).unwrap();
    }
    let log = changes(store, Revision::ZERO).unwrap();
    assert_eq!(log.commits.len(), batches.len());
    for ((millis, writes), commit) in (5..).zip(batches).zip(log.commits) {
        let revision = commit.position.revision;
        let at = Timestamp::from_millis(millis);
        assert!(revision > expected.revision);
        let chain = chain(&expected.chain, revision, at, &writes);
        expected = commit.position;
        // Who keeps no count keeps no hashes.
        if store.contents().unwrap().is_some() {
            assert_eq!(expected, Position { revision, chain });
        }
        assert_eq!(commit.at, at);
        assert_eq!(commit.writes, writes);
    }
    assert_eq!(head(store), expected);
}

fn changes_start_after_any_revision<E: Engine>() {
    let mut engine = E::fresh();
    commit_each(engine.store(), 0..20);
    for _ in 0..2 {
        let all = changes(engine.store(), Revision::ZERO).unwrap().commits;
        for (n, commit) in all.iter().enumerate() {
            let rest = changes(engine.store(), commit.position.revision).unwrap();
            assert_eq!(rest.from, commit.position);
            assert_eq!(rest.commits, all[n + 1..]);
        }
        engine = engine.restarted();
    }
}

fn changes_keep_to_the_limit_and_always_progress<E: Engine>() {
    let engine = E::fresh();
    let store = engine.store();
    // Ten bytes each.
    for n in 0..10 {
        commit(store, [put(&format!("key-{n}"), "value")]);
    }
    let page = |commits, bytes| {
        let limit = PageLimit { commits, bytes };
        let page = store.changes(Revision::ZERO, limit, Duration::ZERO);
        page.unwrap().commits.len()
    };
    assert_eq!(page(3, usize::MAX), 3);
    assert_eq!(page(10, usize::MAX), 10);
    assert_eq!(page(usize::MAX, 30), 3);
    assert_eq!(page(usize::MAX, 39), 3);
    assert_eq!(page(usize::MAX, 40), 4);
    assert_eq!(page(2, 40), 2);
    assert_eq!(page(1, 0), 1);
    assert_eq!(page(0, usize::MAX), 1);
    assert_eq!(page(0, 0), 1);
}

fn changes_without_news_are_empty<E: Engine>() {
    let engine = E::fresh();
    let store = engine.store();
    let revision = commit(store, [put("a", "1")]);
    for wait in [Duration::ZERO, Duration::from_millis(1)] {
        let none = store.changes(revision, UNLIMITED, wait).unwrap();
        assert_eq!((none.from, none.commits.len()), (head(store), 0));
    }
}

fn changes_wait_for_a_commit<E: Engine>() {
    let engine = E::fresh();
    let store = engine.store();
    for _ in 0..20 {
        let after = head(store).revision;
        let started = Barrier::new(2);
        thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                started.wait();
                store.changes(after, UNLIMITED, AGES).unwrap()
            });
            started.wait();
            let revision = commit(store, [put("a", "1")]);
            let woken = waiting.join().unwrap();
            assert_eq!(woken.commits[0].position.revision, revision);
        });
    }
}

fn a_wait_may_be_longer_than_time<E: Engine>() {
    let engine = E::fresh();
    commit(engine.store(), [put("a", "1")]);
    let log = engine
        .store()
        .changes(Revision::ZERO, UNLIMITED, Duration::MAX);
    assert_eq!(log.unwrap().commits.len(), 1);
}

fn changes_beyond_the_last_commit_are_of_another_history<E: Engine>() {
    let engine = E::fresh();
    let store = engine.store();
    let revision = commit(store, [put("a", "1")]);
    let head = head(store);
    for beyond in [revision.next(), Revision::new(u64::MAX)] {
        let refused = store.changes(beyond, UNLIMITED, AGES);
        assert_eq!(refused, Err(StoreError::Ahead { head }));
        assert_eq!(store.compact(beyond), Err(StoreError::Ahead { head }));
    }
}

fn compacting_forgets_commits_and_keeps_keys<E: Engine>() {
    let mut engine = E::fresh();
    commit_each(engine.store(), 0..30);
    let all = changes(engine.store(), Revision::ZERO).unwrap().commits;
    let keys = scan_all(engine.store());
    let floor = all[9].position;
    engine.store().compact(floor.revision).unwrap();
    for _ in 0..2 {
        let store = engine.store();
        for before in [
            Revision::ZERO,
            all[0].position.revision,
            all[8].position.revision,
        ] {
            assert_eq!(changes(store, before), Err(StoreError::Compacted { floor }));
        }
        let rest = changes(store, floor.revision).unwrap();
        assert_eq!((rest.from, &*rest.commits), (floor, &all[10..]));
        assert_eq!(scan_all(store), keys);
        assert_consistent(store);
        engine = engine.restarted();
    }
}

fn compacting_again_or_earlier_changes_nothing<E: Engine>() {
    let engine = E::fresh();
    let store = engine.store();
    store.compact(Revision::ZERO).unwrap();
    commit_each(store, 0..5);
    let floor = changes(store, Revision::ZERO).unwrap().commits[2].position;
    for through in [
        floor.revision,
        floor.revision,
        Revision::new(1),
        Revision::ZERO,
    ] {
        store.compact(through).unwrap();
        assert_eq!(changes(store, floor.revision).unwrap().commits.len(), 2);
        assert_eq!(
            changes(store, Revision::ZERO),
            Err(StoreError::Compacted { floor })
        );
    }
}

fn everything_may_be_compacted<E: Engine>() {
    let mut engine = E::fresh();
    commit_each(engine.store(), 0..5);
    let last = head(engine.store());
    engine.store().compact(last.revision).unwrap();
    for _ in 0..2 {
        assert_eq!(head(engine.store()), last);
        let none = changes(engine.store(), last.revision).unwrap();
        assert_eq!((none.from, none.commits.len()), (last, 0));
        engine = engine.restarted();
    }
    let next = commit(engine.store(), [put("a", "1")]);
    assert!(next > last.revision);
    assert_eq!(
        changes(engine.store(), last.revision)
            .unwrap()
            .commits
            .len(),
        1
    );
    assert_consistent(engine.store());
}

fn a_scan_gives_a_range_in_order_up_to_the_limit<E: Engine>() {
    let engine = E::fresh();
    let store = engine.store();
    let names = ["a", "aa", "ab", "b", "ba", "c"];
    commit(store, names.map(|name| put(name, name)));
    let scan = |start: &str, end: Option<&str>, limit| -> Vec<Bytes> {
        let range = KeyRange {
            start: key(start),
            end: end.map(key),
        };
        let found = store.scan(&range, limit).unwrap();
        found.into_iter().map(|entry| entry.key).collect()
    };
    assert_eq!(scan("", None, 10), names);
    assert_eq!(scan("", None, 2), ["a", "aa"]);
    assert_eq!(scan("", None, 0), [""; 0]);
    assert_eq!(scan("aa", Some("ba"), 10), ["aa", "ab", "b"]);
    assert_eq!(scan("abc", None, 2), ["b", "ba"]);
    assert_eq!(scan("b", Some("b"), 10), [""; 0]);
    assert_eq!(scan("c", Some("a"), 10), [""; 0]);
    assert_eq!(scan("d", None, 10), [""; 0]);
    assert_eq!(scan("", Some(""), 10), [""; 0]);
}

fn pages_of_a_scan_join_up<E: Engine>() {
    let engine = E::fresh();
    let store = engine.store();
    for n in 0..200 {
        commit(store, [put(&format!("{:02}/{n}", n % 7), "v")]);
    }
    for range in [KeyRange::all(), KeyRange::prefix(b"03/")] {
        let whole = store.scan(&range, usize::MAX).unwrap();
        let mut pages = Vec::new();
        let mut rest = range;
        loop {
            let page = store.scan(&rest, 3).unwrap();
            let Some(last) = page.last() else { break };
            rest = rest.after(&last.key);
            pages.extend(page);
        }
        assert_eq!(pages, whole);
    }
}

fn a_prefix_is_a_range<E: Engine>() {
    let engine = E::fresh();
    let store = engine.store();
    let keys: [&[u8]; 6] = [&[1], &[1, 255], &[1, 255, 7], &[2], &[255], &[255, 255, 1]];
    commit(
        store,
        keys.map(|key| Write {
            key: Bytes::copy_from_slice(key),
            value: Some(Bytes::new()),
        }),
    );
    let count = |prefix: &[u8]| {
        let found = store.scan(&KeyRange::prefix(prefix), 10).unwrap();
        assert!(found.iter().all(|entry| entry.key.starts_with(prefix)));
        found.len()
    };
    assert_eq!(count(&[]), 6);
    assert_eq!(count(&[1]), 3);
    assert_eq!(count(&[1, 255]), 2);
    assert_eq!(count(&[255]), 2);
    assert_eq!(count(&[255, 255]), 1);
    assert_eq!(count(&[3]), 0);
}

fn one_of_many_writers_wins_each_revision<E: Engine>() {
    const WRITERS: usize = 4;
    const ROUNDS: usize = 25;

    let engine = E::fresh();
    let store = engine.store();
    let mut current = commit(store, [put("shared", "0")]);
    let start = Barrier::new(WRITERS);
    for _ in 0..ROUNDS {
        let outcomes: Vec<_> = thread::scope(|scope| {
            let compete = || {
                start.wait();
                let mine = put("shared", &format!("{:?}", thread::current().id()));
                store.commit(batch([unchanged("shared", current)], [mine]))
            };
            let writers: Vec<_> = (0..WRITERS).map(|_| scope.spawn(compete)).collect();
            let joined = writers.into_iter().map(|writer| writer.join().unwrap());
            joined.collect()
        });
        let conflict = Err(StoreError::Conflict { key: key("shared") });
        let (lost, won): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(|o| *o == conflict);
        assert_eq!((lost.len(), won.len()), (WRITERS - 1, 1));
        current = won[0].clone().unwrap();
    }
    assert_consistent(store);
}

fn writers_and_readers_at_once_agree_on_one_order<E: Engine>() {
    const WRITERS: u32 = 4;
    const EACH: u32 = 40;

    let engine = E::fresh();
    let store = engine.store();
    let total = usize::try_from(WRITERS * EACH).unwrap();
    thread::scope(|scope| {
        let follow = || {
            let limit = PageLimit {
                commits: 3,
                bytes: 40,
            };
            let mut seen = Vec::new();
            let mut reached = Position::START;
            while seen.len() < total {
                let page = store.changes(reached.revision, limit, AGES).unwrap();
                assert_eq!(page.from, reached);
                // What is shown is durable, and so is in the snapshot.
                let last = page.commits.last().unwrap().position;
                assert!(head(store).revision >= last.revision);
                reached = last;
                seen.extend(page.commits);
            }
            seen
        };
        let readers = [scope.spawn(follow), scope.spawn(follow)];
        for writer in 0..WRITERS {
            scope.spawn(move || {
                let mine = (0..EACH).map(|n| writer * EACH + n);
                commit_each(store, mine);
            });
        }
        let [first, second] = readers.map(|reader| reader.join().unwrap());
        assert_eq!(first, second);
    });
    assert_eq!(scan_all(store).len(), total);
    assert_consistent(store);
}

fn commits_and_changes_go_on_while_the_log_is_compacted<E: Engine>() {
    const COMMITS: u32 = 150;

    let engine = E::fresh();
    let store = engine.store();
    let last = OnceLock::new();
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            commit_each(store, 0..COMMITS);
            last.set(commit(store, [put("last", "1")])).unwrap();
        });
        let reader = scope.spawn(|| {
            let mut reached = Position::START;
            while last.get().is_none_or(|last| reached.revision < *last) {
                match store.changes(reached.revision, UNLIMITED, SHORT) {
                    Ok(page) => reached = page.commits.last().map_or(page.from, |it| it.position),
                    Err(StoreError::Compacted { floor }) => {
                        assert!(floor.revision > reached.revision);
                        reached = floor;
                    }
                    Err(other) => panic!("{other}"),
                }
            }
            reached
        });
        while !writer.is_finished() {
            store.compact(head(store).revision).unwrap();
        }
        assert_eq!(reader.join().unwrap(), head(store));
    });
    assert_consistent(store);
}

/// Runs every promise on an engine.
macro_rules! contract {
    ($name:ident: $engine:ty) => {
        mod $name {
            use super::*;

            contract!($engine =>
                an_empty_store_is_at_the_start,
                a_batch_takes_effect_as_a_whole,
                a_failed_guard_is_named_and_nothing_is_written,
                guards_that_hold_let_a_batch_through,
                deleting_what_is_not_there_is_a_commit,
                an_invalid_batch_is_refused,
                any_bytes_within_the_limits_are_kept,
                a_commit_may_be_far_larger_than_a_value,
                revisions_rise_and_none_is_used_twice,
                commits_outlive_a_restart,
                changes_are_the_commits_whole_and_in_order,
                changes_start_after_any_revision,
                changes_keep_to_the_limit_and_always_progress,
                changes_without_news_are_empty,
                changes_wait_for_a_commit,
                a_wait_may_be_longer_than_time,
                changes_beyond_the_last_commit_are_of_another_history,
                compacting_forgets_commits_and_keeps_keys,
                compacting_again_or_earlier_changes_nothing,
                everything_may_be_compacted,
                a_scan_gives_a_range_in_order_up_to_the_limit,
                pages_of_a_scan_join_up,
                a_prefix_is_a_range,
                one_of_many_writers_wins_each_revision,
                writers_and_readers_at_once_agree_on_one_order,
                commits_and_changes_go_on_while_the_log_is_compacted,
            );
        }
    };
    ($engine:ty => $($promise:ident,)*) => {
        $(
            #[test]
            fn $promise() {
                if <$engine>::TOOL.is_some_and(|it| tool(it).is_none()) {
                    return;
                }
                super::$promise::<$engine>();
            }
        )*
    };
}

contract!(memory: Memory);
contract!(sled: Sled);
contract!(etcd: Etcd);
