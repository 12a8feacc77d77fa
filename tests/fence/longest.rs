//! What the store tells of processes that are no more.

use std::sync::Arc;
use std::time::{Duration, Instant};

use credd::domain::revision::StoreId;
use credd::store::memory::MemoryStore;

use crate::in_process::InProcess;
use crate::support::{token_request, until};

#[tokio::test(flavor = "multi_thread")]
async fn the_record_of_a_process_stays_until_its_lease_is_over_however_many_follow_it() {
    let store = Arc::new(MemoryStore::new(StoreId::from_random([3; 16])));
    let (long, short) = (Duration::from_secs(4), Duration::from_secs(2));
    let before = InProcess::start_leasing(Arc::clone(&store) as _, long).await;
    before.stop().await.unwrap();
    // One that is there for too short a time to see the end of the first.
    let between = InProcess::start_leasing(Arc::clone(&store) as _, short).await;
    between.stop().await.unwrap();
    let began = Instant::now();
    let server = InProcess::start_leasing(store, short).await;
    let leases = || {
        let (_, nodes) = server.authority.index().read(|index| index.nodes());
        nodes
            .values()
            .map(|(node, _)| node.lease)
            .collect::<Vec<_>>()
    };
    assert!(leases().contains(&long));
    assert_eq!(leases().len(), 3);
    until("only its own record to be left", || async {
        server.admin.issue(token_request("acme")).await.unwrap();
        leases() == [short]
    })
    .await;
    assert!(began.elapsed() >= long);
    server.stop().await.unwrap();
}
