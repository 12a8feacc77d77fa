//! A thousand at once.

use std::sync::Arc;

use credd::domain::revision::StoreId;
use credd::proto::v1;
use credd::store::memory::MemoryStore;
use tokio::task::JoinSet;

use crate::history::{Recorder, atomic, bookmarked, ordered, reliable, unique};
use crate::in_process::{InProcess, SMALL_RING};
use crate::support::token_request;
use crate::writers::write;

const CONNECTIONS: usize = 20;
const READERS: usize = 40;
const STALLED: usize = 10;

/// Enough that those who follow everything get thousands of events, and few
/// enough that the test is quick: of the readers of a connection two follow
/// everything, and the others a tenant in which little happens.
const COMMANDS: usize = 2400;

#[tokio::test(flavor = "multi_thread")]
async fn of_a_thousand_watchers_all_that_read_get_everything_although_others_do_not_read() {
    let store = Arc::new(MemoryStore::new(StoreId::from_random([3; 16])));
    let server = InProcess::start(store, SMALL_RING).await;
    let mut readers = Vec::new();
    let mut stalled = Vec::new();
    for _ in 0..CONNECTIONS {
        let client = server.slow_client().await;
        for n in 0..READERS + STALLED {
            let follows_all = !(2..READERS).contains(&n);
            let request = v1::WatchRequest {
                tenants: if follows_all {
                    vec![]
                } else {
                    vec!["quiet".to_owned()]
                },
                ..Default::default()
            };
            let mut recorder = Recorder::start(&client, request).await;
            recorder.next().await.unwrap();
            if n < READERS {
                readers.push(recorder);
            } else {
                stalled.push(recorder);
            }
        }
    }
    assert_eq!(readers.len() + stalled.len(), 1000);

    let mut history = write(&server.admin, 17, 4, COMMANDS / 4).await;
    for _ in 0..10 {
        let issued = server.admin.issue(token_request("quiet")).await.unwrap();
        history.note(&issued.credential.unwrap());
    }
    let history = Arc::new(history);
    let mut reading = JoinSet::new();
    for mut recorder in readers {
        let history = Arc::clone(&history);
        reading.spawn(async move {
            recorder.reach(history.last()).await;
            for promise in [ordered, atomic, unique, reliable, bookmarked] {
                assert_eq!(promise(&recorder.stream, &history), Ok(()));
            }
            assert!(!recorder.stream.has_reset());
        });
    }
    while let Some(read) = reading.join_next().await {
        read.unwrap();
    }
    // They too, once they read again.
    let mut late = stalled.swap_remove(0);
    late.reach(history.last()).await;
    assert_eq!(reliable(&late.stream, &history), Ok(()));
    drop((stalled, late));
    server.stop().await.unwrap();
}
