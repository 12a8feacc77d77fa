//! What ends a node that follows a store, and keeps one from starting.

use std::sync::Arc;

use credd::authority::feed::{Feed, FeedError};
use credd::authority::hub::RingSize;
use credd::authority::record::{NEWEST_FORMAT, Record};
use credd::domain::closed::Closed;
use credd::domain::revision::StoreId;
use credd::domain::time::Timestamp;
use credd::store::memory::MemoryStore;
use credd::store::{Batch, Store, Write};

fn load(store: &Arc<MemoryStore>) -> Result<Feed, FeedError> {
    let loaded = Feed::load(Arc::clone(store) as _, RingSize::default())?;
    Ok(loaded.feed)
}

/// What another node commits.
fn commit(store: &MemoryStore, record: &Record) {
    let batch = Batch {
        writes: vec![Write {
            key: record.key(),
            value: record.encode(),
        }],
        ..Batch::default()
    };
    store.commit(batch).unwrap();
}

fn store() -> Arc<MemoryStore> {
    Arc::new(MemoryStore::shared(StoreId::from_random([7; 16])))
}

#[test]
fn a_format_that_is_not_read_here_ends_a_node_and_keeps_one_from_starting() {
    let store = store();
    let running = load(&store).unwrap();
    commit(&store, &Record::Format(NEWEST_FORMAT));
    running.catch_up(None).unwrap();
    assert_eq!(running.index().format(), NEWEST_FORMAT);
    commit(&store, &Record::Format(NEWEST_FORMAT + 1));
    for ended in [
        running.catch_up(None).unwrap_err(),
        load(&store).unwrap_err(),
    ] {
        assert!(
            matches!(ended, FeedError::NewerFormat { found } if found == NEWEST_FORMAT + 1),
            "{ended}"
        );
    }
}

#[test]
fn a_store_that_is_closed_ends_those_who_serve_it() {
    let store = store();
    let (serving, exporting) = (load(&store).unwrap(), load(&store).unwrap());
    serving.serve();
    let exported = Closed::Exported {
        at: Timestamp::from_millis(1),
    };
    commit(&store, &Record::Closed(Some(exported)));
    exporting.catch_up(None).unwrap();
    assert_eq!(exporting.index().closed(), Some(exported));
    let ended = serving.catch_up(None).unwrap_err();
    assert!(matches!(ended, FeedError::Closed), "{ended}");
    commit(&store, &Record::Closed(None));
    assert_eq!(load(&store).unwrap().index().closed(), None);
}

#[test]
fn a_store_that_is_being_filled_is_loaded_by_nobody() {
    let store = store();
    commit(&store, &Record::Closed(Some(Closed::Filling)));
    let refused = load(&store).unwrap_err();
    assert!(matches!(refused, FeedError::Filling), "{refused}");
}
