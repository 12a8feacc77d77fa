//! Where a store is made.

use std::sync::Arc;

use super::RestoreError;
use super::content::Content;
use crate::authority::backup::{FillError, Filling, Item};
use crate::authority::feed::Feed;
use crate::domain::random::{self, SystemRandom};
use crate::domain::restored::Restored;
use crate::domain::revision::StoreId;
use crate::domain::time::{Clock as _, SystemClock};
use crate::server::config::{EtcdSettings, Settings};
use crate::server::data_dir::{DataDir, DirLock};
use crate::server::etcd;
use crate::server::open::{OpenError, lock, options};
use crate::store::sled::SledStore;
use crate::store::{Store, Write};

/// A place that is empty, or has what an earlier attempt left.
#[derive(Debug)]
pub(super) struct Target {
    directory: DataDir,
    lock: DirLock,
}

impl Target {
    /// Takes the place for this process alone.
    pub(super) fn take(settings: &Settings) -> Result<Self, RestoreError> {
        let directory = DataDir::new(settings.store.data_dir.clone());
        directory.create()?;
        let lock = lock(&directory)?;
        if let Some(etcd) = &settings.etcd {
            if etcd::exists(etcd)? {
                let store = etcd::open(etcd, &SystemRandom::new(), None)?;
                Filling::check(&store).map_err(|error| not_filled(etcd, error))?;
            }
        } else if !directory.restoring().exists()
            && let Some(path) = directory.anything()?
        {
            return Err(RestoreError::NotEmpty(path));
        }
        Ok(Self { directory, lock })
    }

    /// The data directory.
    pub(super) const fn directory(&self) -> &DataDir {
        &self.directory
    }

    /// The data directory, and the lock on it.
    pub(super) fn into_parts(self) -> (DataDir, DirLock) {
        (self.directory, self.lock)
    }

    /// Makes the store, which has an id of its own.
    pub(super) fn fill(
        &self,
        settings: &Settings,
        content: &Content,
        mark: &Restored,
    ) -> Result<StoreId, RestoreError> {
        let random = SystemRandom::new();
        let entropy = random::bytes(&random).map_err(OpenError::Random)?;
        let id = StoreId::from_random(entropy);
        if let Some(etcd) = &settings.etcd {
            let store: Arc<dyn Store> = Arc::new(etcd::open(etcd, &random, Some(id))?);
            let filling = Filling::begin(&*store, SystemClock.now());
            let mut filling = filling.map_err(|error| not_filled(etcd, error))?;
            content.each(mark, |item| filling.write(write(item)))?;
            filling.finish(|| Feed::check_filled(Arc::clone(&store)).map_err(OpenError::from))?;
            return Ok(store.id());
        }
        let directory = &self.directory;
        directory.write(&directory.restoring(), "")?;
        directory.remove_store()?;
        let position = content.verified().end.position;
        let path = directory.store();
        SledStore::import(&path, &options(settings), id, position, |import| {
            content.each(mark, |item| {
                let revision = item.revision;
                import.write(&write(item), revision)
            })
        })?;
        Ok(id)
    }
}

fn write(item: Item) -> Write {
    Write {
        key: item.key,
        value: item.value,
    }
}

fn not_filled(etcd: &EtcdSettings, error: FillError) -> RestoreError {
    match error {
        FillError::NotEmpty => RestoreError::NotEmptyInEtcd(etcd.prefix.as_str().to_owned()),
        FillError::Store(error) => error.into(),
    }
}
