//! What lies under a store, without credd.

use std::path::{Path, PathBuf};

use credd::store::sled::Options;

/// sled as credd opens it.
pub fn open_sled(path: &Path) -> sled::Db {
    let config = sled::Config::new().path(path).flush_every_ms(None);
    let cache = Options::default().cache_bytes;
    config.cache_capacity(cache).open().unwrap()
}

/// Where sled's files are in a store.
pub fn database(store: &Path) -> PathBuf {
    let entries = std::fs::read_dir(store)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut databases = entries.filter(|path| path.join("db").exists());
    databases.next().unwrap()
}
