//! The longest lease that the store tells of.

use std::sync::Arc;
use std::time::Duration;

use credd::domain::revision::StoreId;
use credd::store::memory::MemoryStore;

use crate::in_process::InProcess;
use crate::support::{token_request, until};

#[tokio::test(flavor = "multi_thread")]
async fn it_is_no_longer_than_leases_that_may_run_however_much_is_written() {
    let store = Arc::new(MemoryStore::new(StoreId::from_random([3; 16])));
    let (long, short) = (Duration::from_secs(4), Duration::from_secs(2));
    let before = InProcess::start_leasing(Arc::clone(&store) as _, long).await;
    before.stop().await.unwrap();
    let server = InProcess::start_leasing(store, short).await;
    let longest = || {
        let (_, node) = server.authority.index().read(|index| index.node());
        node.unwrap().0.longest_lease
    };
    assert_eq!(longest(), long);
    let admin = &server.admin;
    // Every commit renews the process's own lease, so that it need not beat.
    until("the store to tell of short leases alone", || async {
        admin.issue(token_request("acme")).await.unwrap();
        longest() == short
    })
    .await;
    server.stop().await.unwrap();
}
