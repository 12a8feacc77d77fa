//! How long the log is kept.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::revision::Revision;
use crate::domain::time::{Clock, Timestamp};
use crate::store::{PageLimit, Store, StoreError};

/// How much of the log is kept: what is younger than `age`, but no more than
/// `commits`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Commits younger than this are kept.
    pub age: Duration,
    /// No more commits than this are kept, however young.
    pub commits: u64,
}

impl Default for Retention {
    /// A day, and at most a million commits.
    fn default() -> Self {
        Self {
            age: Duration::from_hours(24),
            commits: 1_000_000,
        }
    }
}

const PAGE: PageLimit = PageLimit {
    commits: 1024,
    bytes: 1 << 20,
};

/// Compacts what need not be kept. Blocks; returns up to where the log was
/// compacted, if it was.
///
/// # Errors
///
/// Those of [`Store::changes`] and [`Store::compact`].
pub fn compact(
    store: &Arc<dyn Store>,
    clock: &dyn Clock,
    retention: Retention,
) -> Result<Option<Revision>, StoreError> {
    let head = store.snapshot()?.revision;
    let oldest = clock.now().saturating_sub(retention.age);
    let least = head.number().saturating_sub(retention.commits);
    let through = outdated(store, oldest, Revision::new(least))?;
    if let Some(through) = through {
        store.compact(through)?;
    }
    Ok(through)
}

/// The last commit of those, from the first on, that are older than `oldest` or
/// up to `least`.
fn outdated(
    store: &Arc<dyn Store>,
    oldest: Timestamp,
    least: Revision,
) -> Result<Option<Revision>, StoreError> {
    let mut after = match store.changes(Revision::ZERO, PAGE, Duration::ZERO) {
        Err(StoreError::Compacted { floor }) => floor.revision,
        Ok(_) => Revision::ZERO,
        Err(error) => return Err(error),
    };
    let mut through = None;
    loop {
        let page = store.changes(after, PAGE, Duration::ZERO)?;
        for commit in &page.commits {
            let revision = commit.position.revision;
            if commit.at >= oldest && revision > least {
                return Ok(through);
            }
            through = Some(revision);
            after = revision;
        }
        if page.commits.is_empty() {
            return Ok(through);
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::domain::revision::StoreId;
    use crate::store::memory::MemoryStore;
    use crate::store::{Batch, Write};

    #[derive(Debug)]
    struct At(i64);

    impl Clock for At {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(self.0)
        }
    }

    fn store_with_commits_at(times: &[i64]) -> Arc<dyn Store> {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(StoreId::from_random([1; 16])));
        for &at in times {
            let batch = Batch {
                at: Timestamp::from_millis(at),
                writes: vec![Write {
                    key: Bytes::from_static(b"k"),
                    value: None,
                }],
                ..Batch::default()
            };
            store.commit(batch).unwrap();
        }
        store
    }

    fn first_kept(store: &Arc<dyn Store>) -> u64 {
        match store.changes(Revision::ZERO, PAGE, Duration::ZERO) {
            Err(StoreError::Compacted { floor }) => floor.revision.number() + 1,
            Ok(_) => 1,
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn what_is_young_is_kept_and_what_is_old_is_not() {
        let store = store_with_commits_at(&[0, 1000, 2000, 3000]);
        let retention = Retention {
            age: Duration::from_millis(1500),
            commits: 100,
        };
        assert_eq!(
            compact(&store, &At(2500), retention).unwrap(),
            Some(Revision::new(1))
        );
        assert_eq!(first_kept(&store), 2);
        assert_eq!(compact(&store, &At(2500), retention).unwrap(), None);
        assert_eq!(
            compact(&store, &At(9000), retention).unwrap(),
            Some(Revision::new(4))
        );
        assert_eq!(compact(&store, &At(9000), retention).unwrap(), None);
    }

    #[test]
    fn no_more_commits_are_kept_than_allowed() {
        let store = store_with_commits_at(&[10, 10, 10, 10]);
        let retention = Retention {
            age: Duration::from_mins(1),
            commits: 3,
        };
        assert_eq!(
            compact(&store, &At(10), retention).unwrap(),
            Some(Revision::new(1))
        );
        assert_eq!(first_kept(&store), 2);
    }
}
