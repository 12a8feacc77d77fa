//! Last use, where several write it: seldom, and together.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use credd::authority::uses::Pace;
use credd::domain::revision::StoreId;
use credd::proto::v1;
use credd::store::memory::MemoryStore;
use credd::store::{PageLimit, Store as _, Write};

use crate::in_process::{InProcess, PACE};
use crate::support::{Client, until};
use crate::{LONG, stop};

/// All commits of a store.
const ALL: PageLimit = PageLimit {
    commits: usize::MAX,
    bytes: usize::MAX,
};

/// The credentials of which a commit writes uses.
fn used(writes: &[Write]) -> Vec<Bytes> {
    let uses = writes.iter().filter(|write| write.key.starts_with(b"u"));
    uses.map(|write| write.key.clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn uses_are_written_once_a_shard_in_a_while_and_shown_by_all_nodes() {
    let store = Arc::new(MemoryStore::shared(StoreId::from_random([7; 16])));
    let one = InProcess::start_leasing(Arc::clone(&store) as _, LONG).await;
    let other = InProcess::start_leasing(Arc::clone(&store) as _, LONG).await;
    let mut issued = Vec::new();
    for _ in 0..60 {
        issued.push(one.admin.issue_token("acme").await);
    }
    let (_, verifier) = one.admin.issue_verifier("at-one").await;
    let at_one = Client::connect(one.address, &verifier).await;
    let begin = Instant::now();
    let from = store.snapshot().unwrap().revision;
    // At both nodes, and by another service at each.
    for _ in 0..3 {
        for (_, token) in &issued {
            assert_eq!(at_one.verdict(token).await, v1::Verdict::Active);
            assert_eq!(other.admin.verdict(token).await, v1::Verdict::Active);
        }
    }
    for (id, _) in &issued {
        until("the use to be shown by both", || async {
            let shown = [one.admin.get(id).await, other.admin.get(id).await];
            shown.map(|it| it.unwrap().last_used_at.is_some()) == [true, true]
        })
        .await;
    }
    let changes = store.changes(from, ALL, Duration::ZERO).unwrap();
    let Pace { shards, every } = PACE;
    let rounds = begin.elapsed().as_millis() / every.as_millis() + 1;
    let commits = changes.commits.iter();
    let commits: Vec<_> = commits.map(|commit| used(&commit.writes)).collect();
    let of_uses = commits.iter().filter(|keys| !keys.is_empty());
    let most = rounds * 2 * u128::from(shards);
    assert!(of_uses.clone().count() as u128 <= most, "{commits:?}");
    // And of several credentials at once.
    assert!(of_uses.clone().any(|keys| keys.len() > 1), "{commits:?}");
    // Within one commit each credential stands once.
    let mut written = BTreeMap::<_, usize>::new();
    for key in of_uses.flatten() {
        *written.entry(key.clone()).or_default() += 1;
    }
    assert_eq!(written.len(), 60 + 2, "and those of who asked: {written:?}");
    stop([one, other]).await;
}
