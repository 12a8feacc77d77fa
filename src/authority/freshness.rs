//! Catching up with a store that others commit to, before a call is answered from it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::timeout;

use super::background;
use super::feed::Feed;
use crate::store::Store;

/// How long a call waits for the store.
const WITHIN: Duration = Duration::from_secs(2);

/// The store could not be asked in time, or has more than was applied in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store does not answer")]
pub struct NotCaughtUp;

/// Asks the store how far it is, once for all who want to know at the same time.
#[derive(Debug)]
pub struct Freshness {
    feed: Arc<Feed>,
    store: Arc<dyn Store>,
    /// How many have asked.
    asked: AtomicU64,
    /// How many of them have got what they asked for. Held by who asks the store.
    served: Arc<Mutex<u64>>,
}

impl Freshness {
    pub(super) fn new(feed: Arc<Feed>, store: Arc<dyn Store>) -> Self {
        Self {
            feed,
            store,
            asked: AtomicU64::new(0),
            served: Arc::default(),
        }
    }

    /// Waits until what was acknowledged anywhere before this was called is applied
    /// here.
    ///
    /// # Errors
    ///
    /// [`NotCaughtUp`] after two seconds.
    pub async fn caught_up(&self) -> Result<(), NotCaughtUp> {
        if !self.store.is_shared() {
            return Ok(());
        }
        let number = self.asked.fetch_add(1, Ordering::AcqRel) + 1;
        let caught_up = async {
            let served = Arc::clone(&self.served).lock_owned().await;
            if *served >= number {
                return Ok(());
            }
            self.ask(served).await
        };
        timeout(WITHIN, caught_up).await.unwrap_or(Err(NotCaughtUp))
    }

    /// Asks for all who have asked by now. Goes on if nobody waits for it any more, so
    /// that the store is asked by one at a time.
    async fn ask(&self, mut served: OwnedMutexGuard<u64>) -> Result<(), NotCaughtUp> {
        let all = self.asked.load(Ordering::Acquire);
        let (feed, store) = (Arc::clone(&self.feed), Arc::clone(&self.store));
        let asking = tokio::spawn(async move {
            let catch_up = move || {
                let head = store.snapshot()?;
                feed.catch_up(Some(head.revision))
            };
            let done = background::work(catch_up).await;
            let is_done = matches!(done, Ok(Ok(())));
            if is_done {
                *served = all;
            }
            is_done
        });
        match asking.await {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(NotCaughtUp),
        }
    }
}
