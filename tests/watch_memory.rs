//! What a Watch that nobody reads costs in memory: a bounded amount, however
//! much is committed meanwhile. A program of its own, because it counts every
//! allocation.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

#[path = "support/history.rs"]
mod history;

#[path = "support/in_process.rs"]
mod in_process;

use std::sync::Arc;

use credd::authority::Authority;
use credd::authority::committer::How;
use credd::authority::hub::RingSize;
use credd::authority::manage::Asked;
use credd::domain::credential::Set;
use credd::domain::id::CredentialId;
use credd::domain::revision::{Revision, StoreId};
use credd::proto::v1;
use credd::store::memory::MemoryStore;
use history::Recorder;
use in_process::{InProcess, SMALL_RING, new_credential, set_state};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use std::alloc::System;
use tokio::task::JoinSet;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// The allocator counts for all tests together: one at a time.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

const CONNECTIONS: usize = 10;
const STALLED: usize = 200;

/// What a stalled session may hold in all, on both sides: 16 KiB in the client,
/// a buffer of tonic's and one of hyper's, a page of commits.
const BOUND: usize = 128 << 10;

/// The same where a commit has 200 events, a message of 45 KB: a few of them,
/// in one buffer or another.
const BOUND_AMONG_LARGE: usize = 512 << 10;

/// How much more it may hold after four times as many commits: nothing, but for
/// what the allocator and the timing of tasks bring about.
const SLACK: usize = 8 << 10;

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_session_holds_no_more_after_four_times_as_many_commits() {
    const COMMITS: usize = 1000;

    let _alone = ALONE.lock().await;

    // Once, so that what is allocated once for all is there.
    held(COMMITS, 1).await;
    let once = a_session(COMMITS).await;
    let four_times = a_session(4 * COMMITS).await;
    eprintln!(
        "a stalled session holds {once} bytes, after four times as many commits {four_times}"
    );
    assert!(once < BOUND && four_times < BOUND);
    assert!(four_times < once + SLACK);
}

/// What each of many stalled sessions holds after this many commits: the
/// difference to the same without them.
async fn a_session(commits: usize) -> usize {
    let with = held(commits, STALLED).await;
    let without = held(commits, 0).await;
    with.saturating_sub(without) / STALLED
}

/// What is held after this many commits by a server with this many sessions
/// that do not read, and one that does.
async fn held(commits: usize, stalled: usize) -> usize {
    let before = in_use();
    let store = Arc::new(MemoryStore::new(StoreId::from_random([4; 16])));
    let server = InProcess::start(store, SMALL_RING).await;
    let mut sessions = Vec::new();
    for session in 0..stalled {
        if session % (STALLED / CONNECTIONS) == 0 {
            sessions.push((server.slow_client().await, Vec::new()));
        }
        let (client, recorders) = sessions.last_mut().unwrap();
        let mut recorder = Recorder::start(client, v1::WatchRequest::default()).await;
        recorder.next().await.unwrap();
        recorders.push(recorder);
    }
    let reader = server.slow_client().await;
    let mut reader = Recorder::start(&reader, v1::WatchRequest::default()).await;
    let id = issue(&server.authority).await;
    let mut last = Revision::ZERO;
    for n in 0..commits {
        last = toggle(&server.authority, id, n % 2 == 0).await;
    }
    reader.reach(last.number()).await;
    drop(reader);
    let held = settled().await - before;
    drop(sessions);
    server.stop().await.unwrap();
    held
}

async fn issue(authority: &Authority) -> CredentialId {
    let issued = authority
        .issue(new_credential("acme"), Asked::by_credd())
        .await;
    issued.unwrap().shown.stored.credential.id
}

async fn toggle(authority: &Authority, id: CredentialId, lock: bool) -> Revision {
    let set = if lock { Set::Lock } else { Set::Unlock };
    let changed = authority.set_state(set_state(id, set), How::BY_CREDD).await;
    changed.unwrap().shown.stored.revision
}

/// How many bytes are allocated.
fn in_use() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

/// What is allocated once it no longer changes.
async fn settled() -> usize {
    let mut last = in_use();
    let mut same = 0;
    while same < 20 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        let now = in_use();
        same = if now.abs_diff(last) < 1024 {
            same + 1
        } else {
            0
        };
        last = now;
    }
    last
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_session_holds_no_more_when_commits_are_large() {
    const SESSIONS: usize = 10;
    const CREDENTIALS: usize = 200;
    const ROUNDS: usize = 100;

    let _alone = ALONE.lock().await;

    let store = Arc::new(MemoryStore::new(StoreId::from_random([4; 16])));
    let server = InProcess::start(store, RingSize::default()).await;
    let mut ids = Vec::new();
    for _ in 0..CREDENTIALS {
        ids.push(issue(&server.authority).await);
    }
    // Each stalls somewhere else, so that what it holds is held by it alone.
    let mut sessions = Vec::new();
    for _ in 0..SESSIONS {
        let client = server.slow_client().await;
        let mut now = Recorder::start(&client, v1::WatchRequest::default()).await;
        now.next().await.unwrap();
        let request = v1::WatchRequest {
            resume_token: now.token(),
            ..Default::default()
        };
        drop(now);
        for round in 0..ROUNDS {
            let mut commands = JoinSet::new();
            for &id in &ids {
                let authority = Arc::clone(&server.authority);
                commands.spawn(async move { toggle(&authority, id, round % 2 == 0).await });
            }
            commands.join_all().await;
        }
        // It has all of that before it when it stalls.
        let mut recorder = Recorder::start(&client, request).await;
        recorder.next().await.unwrap();
        sessions.push((client, recorder));
    }
    let with = settled().await;
    drop(sessions);
    let without = settled().await;
    let session = with.saturating_sub(without) / SESSIONS;
    eprintln!("a session that stalled among large commits holds {session} bytes");
    assert!(session < BOUND_AMONG_LARGE);
    server.stop().await.unwrap();
}
