//! The engine on a real etcd of three members, of which some are gone, and on the way to
//! which connections are cut: what was acknowledged is there, and once.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

#[path = "../support/etcd.rs"]
mod etcd;
#[path = "../support/tool.rs"]
mod tool;
#[path = "../support/way.rs"]
mod way;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use credd::domain::random::SystemRandom;
use credd::domain::revision::{Revision, StoreId};
use credd::store::etcd::{EtcdStore, Member, Options};
use credd::store::{Batch, Expect, Guard, KeyRange, PageLimit, Store, StoreError, Write};
use etcd::{Cluster, reach};
use rand::RngExt as _;
use tokio::runtime::Runtime;
use tool::tool;
use way::Way;

/// How often the counter is raised.
const COMMITS: u64 = 300;
const UNLIMITED: PageLimit = PageLimit {
    commits: usize::MAX,
    bytes: usize::MAX,
};

fn open(members: Vec<Member>) -> EtcdStore {
    open_forgetting(members, Duration::from_hours(1))
}

/// One that forgets processes that have not written for so long.
fn open_forgetting(members: Vec<Member>, forget_after: Duration) -> EtcdStore {
    let options = Options {
        members,
        credentials: None,
        prefix: "/credd/".to_owned(),
        forget_after,
        may_compact: true,
    };
    let id = Some(StoreId::from_random([7; 16]));
    EtcdStore::open(options, &SystemRandom::new(), id).unwrap()
}

/// What raises a counter that was written last by this commit, if by any.
fn raise(counter: &'static str, last: Option<Revision>, to: u64) -> Batch {
    let key = Bytes::from_static(counter.as_bytes());
    Batch {
        guards: vec![Guard {
            key: key.clone(),
            expect: last.map_or(Expect::Absent, Expect::Revision),
        }],
        writes: vec![Write {
            key,
            value: Some(to.to_be_bytes().to_vec().into()),
        }],
        ..Batch::default()
    }
}

fn counter(store: &dyn Store, name: &'static str) -> Option<(Revision, u64)> {
    let entries = store.scan(&KeyRange::prefix(name.as_bytes()), 1).unwrap();
    let entry = entries.first()?;
    let value = <[u8; 8]>::try_from(&entry.value[..]).unwrap();
    Some((entry.revision, u64::from_be_bytes(value)))
}

/// Kills members and cuts connections, until it is over. Two members are always there.
fn trouble(mut cluster: Cluster, ways: &[Way], over: &AtomicBool) -> Cluster {
    let (mut kills, mut cuts) = (0, 0);
    // Each kind once, at least.
    while !over.load(Ordering::SeqCst) || kills == 0 {
        let which = rand::rng().random_range(0..ways.len());
        if rand::rng().random_bool(0.03) {
            cluster.kill_member(which);
            thread::sleep(Duration::from_millis(300));
            cluster.start_member(which);
            // It catches up, before another goes.
            thread::sleep(Duration::from_secs(1));
            kills += 1;
        } else {
            ways[which].cut();
            cuts += 1;
            thread::sleep(Duration::from_millis(rand::rng().random_range(0..30)));
        }
    }
    println!("members killed {kills} times, connections cut {cuts} times");
    assert!(kills > 0 && cuts > 0);
    cluster
}

#[test]
fn a_commit_is_made_once_or_never_whatever_becomes_of_the_answer() {
    let Some(program) = tool("CREDD_TEST_ETCD") else {
        return;
    };
    let cluster = Cluster::start(&program);
    let runtime = Runtime::new().unwrap();
    let ways: Vec<_> = cluster
        .addresses()
        .into_iter()
        .map(|address| runtime.block_on(Way::to(address)))
        .collect();
    let store = open(ways.iter().map(|way| reach(way.address)).collect());
    let over = AtomicBool::new(false);
    let acknowledged = thread::scope(|scope| {
        let trouble = scope.spawn(|| trouble(cluster, &ways, &over));
        let (mut acknowledged, mut failed) = (Vec::new(), None);
        for to in 1..=COMMITS {
            let last = acknowledged.last().copied();
            match store.commit(raise("counter", last, to)) {
                Ok(revision) => acknowledged.push(revision),
                // It conflicts if one before it was made that was said not to be, or
                // the other way around.
                Err(error) => {
                    failed = Some((to, error));
                    break;
                }
            }
            // One after the other, through all that goes wrong.
            thread::sleep(Duration::from_millis(5));
        }
        over.store(true, Ordering::SeqCst);
        let cluster = trouble.join().unwrap();
        assert_eq!(failed, None);
        let last = acknowledged.last().copied();
        assert_eq!(counter(&store, "counter"), last.map(|at| (at, COMMITS)));
        drop(cluster);
        acknowledged
    });
    drop(store);
    assert!(acknowledged.is_sorted());
}

#[test]
fn what_two_write_at_once_is_told_to_both_in_one_order() {
    let Some(program) = tool("CREDD_TEST_ETCD") else {
        return;
    };
    let cluster = Cluster::start(Path::new(&program));
    let stores: Vec<_> = (0..2).map(|_| Arc::new(open(cluster.members()))).collect();
    assert_eq!(stores[0].id(), stores[1].id());
    let conflicts: usize = thread::scope(|scope| {
        let raise_often = |store: &Arc<EtcdStore>| {
            let mut conflicts = 0;
            for _ in 0..COMMITS {
                loop {
                    let last = counter(&**store, "shared");
                    let to = last.map_or(1, |(_, value)| value + 1);
                    match store.commit(raise("shared", last.map(|(at, _)| at), to)) {
                        Ok(_) => break,
                        Err(StoreError::Conflict { .. }) => conflicts += 1,
                        Err(other) => panic!("{other}"),
                    }
                }
            }
            conflicts
        };
        let writers: Vec<_> = stores
            .iter()
            .map(|store| scope.spawn(move || raise_often(store)))
            .collect();
        writers
            .into_iter()
            .map(|writer| writer.join().unwrap())
            .sum()
    });
    assert!(conflicts > 0, "they were not there at once");
    let logs: Vec<_> = stores
        .iter()
        .map(|store| {
            store
                .changes(Revision::ZERO, UNLIMITED, Duration::ZERO)
                .unwrap()
        })
        .collect();
    assert_eq!(logs[0], logs[1]);
    let values = logs[0].commits.iter().map(|commit| {
        let value = commit.writes[0].value.as_deref().unwrap();
        u64::from_be_bytes(value.try_into().unwrap())
    });
    assert!(values.eq(1..=2 * COMMITS));
}

#[test]
fn a_process_that_has_long_not_written_is_forgotten_and_one_that_writes_is_not() {
    let Some(program) = tool("CREDD_TEST_ETCD") else {
        return;
    };
    let cluster = Cluster::start(&program);
    let (silent, busy) = (open(cluster.members()), open(cluster.members()));
    let soon = Duration::from_millis(500);
    let newest = open_forgetting(cluster.members(), soon);
    let mut last = None;
    let began = std::time::Instant::now();
    while began.elapsed() < soon * 2 {
        last = Some(busy.commit(raise("busy", last, 1)).unwrap());
        thread::sleep(soon / 10);
    }
    let answer = silent.commit(raise("silent", None, 1));
    assert!(matches!(answer, Err(StoreError::Poisoned(_))), "{answer:?}");
    assert_eq!(counter(&newest, "silent"), None);
    busy.commit(raise("busy", last, 2)).unwrap();
    newest.commit(raise("newest", None, 1)).unwrap();
}
