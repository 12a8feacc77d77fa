//! Opening a data directory: keyring, store, index; and the first start.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::administrator::{self, AdministratorError};
use super::config::Settings;
use super::data_dir::{DataDir, DirLock, FileError};
use super::etcd;
use super::keyring_file::{self, InvalidKeyringFile};
use super::keyring_source::KeyringSource;
use crate::authority::committer::CommandError;
use crate::authority::feed::{Feed, FeedError};
use crate::authority::hub::RingSize;
use crate::authority::index::Index;
use crate::authority::{Authority, Parts};
use crate::domain::keyring::{KeyKind, KeyProblem, Keyring};
use crate::domain::random::{self, RandomUnavailable, SystemRandom};
use crate::domain::revision::StoreId;
use crate::domain::time::{Clock as _, SystemClock, Timestamp};
use crate::store::etcd::OpenError as EtcdOpenError;
use crate::store::sled::{OpenError as StoreOpenError, Options, SledStore};
use crate::store::{Store, StoreError};

const MIB: u64 = 1 << 20;

/// Why a data directory can't be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is no store, and none is to be created.
    #[error(
        "there is no store in {0}: create one with `credd init`, or, if there was one, find out where it went"
    )]
    NoStore(PathBuf),
    /// The same, in etcd.
    #[error(
        "there is no store in etcd under {0}: create one with `credd init`, or, if there was one, find out where it went"
    )]
    NoStoreInEtcd(String),
    /// There is a store where one is to be created.
    #[error("there is a store in {0} already")]
    Exists(PathBuf),
    /// The same, in etcd.
    #[error("there is a store in etcd under {0} already")]
    ExistsInEtcd(String),
    /// The file of the password for etcd can't be read.
    #[error("{path} can't be read")]
    Password {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Another process has the directory open.
    #[error("{0} is in use by another process")]
    InUse(PathBuf),
    /// A restore or an import was cut short.
    #[error(
        "what filled {0} was cut short: do it again, with the same `credd restore --from` or `credd import --from`"
    )]
    Restoring(PathBuf),
    /// The store was exported.
    #[error(
        "the store was exported, and what is true stands where that was imported; if it was imported nowhere, and will not be, `credd export --take-back` opens this one again"
    )]
    Exported,
    /// A file can't be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The store can't be opened.
    #[error("the store can't be opened")]
    Store(#[from] StoreOpenError),
    /// The store in etcd can't be opened.
    #[error("the store in etcd can't be opened")]
    Etcd(#[from] EtcdOpenError),
    /// The store has no keyring beside it.
    #[error("{0} is missing: the store can't be used without the keyring that it was made with")]
    NoKeyring(PathBuf),
    /// The keyring can't be read.
    #[error("{path}")]
    Keyring {
        /// The file.
        path: PathBuf,
        /// Why.
        source: InvalidKeyringFile,
    },
    /// The keyring is not the one that the store was used with.
    #[error("{path} is not the keyring of this store: {problem}")]
    WrongKeyring {
        /// The file.
        path: PathBuf,
        /// Which version of which key.
        problem: KeyProblem,
    },
    /// The store can't be loaded.
    #[error("the store can't be loaded")]
    Load(#[from] FeedError),
    /// The system has no random bytes.
    #[error(transparent)]
    Random(#[from] RandomUnavailable),
}

impl From<StoreError> for OpenError {
    fn from(error: StoreError) -> Self {
        Self::Load(error.into())
    }
}

/// Whether a store may be created where there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfMissing {
    /// It may.
    Create,
    /// It may not: an empty volume must not look like a first start.
    Refuse,
}

/// A data directory that was opened.
#[derive(Debug)]
pub struct Opened {
    /// The directory.
    pub directory: DataDir,
    /// What an authority is made of.
    pub parts: Parts,
    /// Where the keys come from.
    pub keyring: Arc<KeyringSource>,
    /// How many keys the store held.
    pub keys: u64,
    /// Held so that nobody else makes a keyring for the same store.
    _lock: DirLock,
}

/// Opens a data directory. Blocks.
///
/// # Errors
///
/// [`OpenError`]. A store that can't be opened is left as it is.
pub fn open(settings: &Settings, if_missing: IfMissing) -> Result<Opened, OpenError> {
    let (directory, lock) = existing(settings, if_missing)?;
    let opened = open_locked(settings, if_missing, directory, lock)?;
    opened.parts.feed.serve();
    match opened.parts.feed.index().closed() {
        None => Ok(opened),
        Some(_) => Err(OpenError::Exported),
    }
}

/// Opens a data directory of which the store may have been exported. Blocks.
///
/// # Errors
///
/// [`OpenError`].
pub(super) fn open_to_export(settings: &Settings) -> Result<Opened, OpenError> {
    let (directory, lock) = existing(settings, IfMissing::Refuse)?;
    open_locked(settings, IfMissing::Refuse, directory, lock)
}

/// The data directory, taken for this process alone, which holds no store that is not
/// whole.
fn existing(settings: &Settings, if_missing: IfMissing) -> Result<(DataDir, DirLock), OpenError> {
    let directory = DataDir::new(settings.store.data_dir.clone());
    let is_elsewhere = settings.etcd.is_some();
    if if_missing == IfMissing::Create || is_elsewhere {
        directory.create()?;
    } else if !directory.path().exists() {
        return Err(OpenError::NoStore(directory.path().to_owned()));
    }
    let lock = lock(&directory)?;
    if !is_elsewhere && directory.restoring().exists() {
        return Err(OpenError::Restoring(directory.path().to_owned()));
    }
    Ok((directory, lock))
}

/// Takes a data directory for this process alone.
pub(super) fn lock(directory: &DataDir) -> Result<DirLock, OpenError> {
    let lock = directory.lock()?;
    lock.ok_or_else(|| OpenError::InUse(directory.path().to_owned()))
}

/// How the store of a data directory is opened.
pub(super) fn options(settings: &Settings) -> Options {
    Options {
        cache_bytes: settings.store.cache_mib.saturating_mul(MIB),
        reserve_bytes: settings.store.disk_reserve_mib.saturating_mul(MIB),
        ..Options::default()
    }
}

/// Where the keyring is.
pub(super) fn keyring_path(settings: &Settings, directory: &DataDir) -> PathBuf {
    let path = settings.keyring.file.clone();
    path.unwrap_or_else(|| directory.keyring())
}

/// The same, of a directory that was taken, whatever is being restored there.
pub(super) fn open_locked(
    settings: &Settings,
    if_missing: IfMissing,
    directory: DataDir,
    lock: DirLock,
) -> Result<Opened, OpenError> {
    let keyring_path = keyring_path(settings, &directory);
    let random = SystemRandom::new();
    let exists = exists(settings, &directory)?;
    if !exists && if_missing == IfMissing::Refuse {
        return Err(match &settings.etcd {
            Some(etcd) => OpenError::NoStoreInEtcd(etcd.prefix.as_str().to_owned()),
            None => OpenError::NoStore(directory.path().to_owned()),
        });
    }
    // Before the store: a store without its keyring would be a loss.
    let (keyring, source) = read_keyring(&directory, &keyring_path, exists, &random)?;
    let new = if exists {
        None
    } else {
        Some(StoreId::from_random(random::bytes(&random)?))
    };
    let store = open_store(settings, &directory, &random, new)?;
    let loaded = Feed::load(Arc::clone(&store), RingSize::default())?;
    let index = loaded.feed.index();
    check_keyring(&keyring, index, SystemClock.now()).map_err(|problem| {
        OpenError::WrongKeyring {
            path: source.path().to_owned(),
            problem,
        }
    })?;
    let configured = settings.configured.clone();
    index.directory().configure(configured, index.names());
    let (revision, credentials) = loaded.feed.index().read(|index| index.len());
    tracing::info!(store = %store.id(), %revision, credentials, "loaded the store");
    Ok(Opened {
        directory,
        _lock: lock,
        keyring: Arc::new(source),
        keys: loaded.keys,
        parts: Parts {
            store,
            feed: Arc::new(loaded.feed),
            keyring: Arc::new(keyring),
            clock: Arc::new(SystemClock),
            random: Arc::new(random),
            quotas: settings.limits.quotas(),
            leases: settings.fence.leases(),
        },
    })
}

/// Whether there is a store.
pub(super) fn exists(settings: &Settings, directory: &DataDir) -> Result<bool, OpenError> {
    match &settings.etcd {
        Some(settings) => etcd::exists(settings),
        None => Ok(SledStore::exists(&directory.store())?),
    }
}

/// Opens the store, or creates it under this identity.
fn open_store(
    settings: &Settings,
    directory: &DataDir,
    random: &SystemRandom,
    new: Option<StoreId>,
) -> Result<Arc<dyn Store>, OpenError> {
    let path = directory.store();
    Ok(match (&settings.etcd, new) {
        (Some(settings), new) => Arc::new(etcd::open(settings, random, new)?),
        (None, None) => {
            if settings.store.rewrite_at_start {
                SledStore::rewrite(&path, &options(settings))?;
            }
            Arc::new(SledStore::open(&path, &options(settings))?)
        }
        (None, Some(id)) => Arc::new(SledStore::create(&path, &options(settings), id)?),
    })
}

pub(super) fn read_keyring(
    directory: &DataDir,
    path: &Path,
    store_exists: bool,
    random: &SystemRandom,
) -> Result<(Keyring, KeyringSource), OpenError> {
    let text = match directory.read(path)? {
        Some(text) => text,
        None if store_exists => return Err(OpenError::NoKeyring(path.to_owned())),
        None => {
            let text = keyring_file::generate(random)?;
            directory.write(path, &text)?;
            text
        }
    };
    let path = path.to_owned();
    match keyring_file::parse(&text) {
        Ok(keyring) => Ok((keyring, KeyringSource::read_before(directory, path, &text))),
        Err(source) => Err(OpenError::Keyring { path, source }),
    }
}

/// Whether the keyring has every key that the store needs, by what it says of its
/// keys and by what it holds.
fn check_keyring(keyring: &Keyring, index: &Index, now: Timestamp) -> Result<(), KeyProblem> {
    let loaded = keyring.checks();
    let (_, (state, used)) = index.read(|index| {
        let used = KeyKind::ALL.map(|kind| {
            let versions = index.versions_used(kind).into_iter();
            let used =
                versions.filter(|version| !index.remaining(kind, *version, now).is_nothing());
            (kind, used.collect::<Vec<_>>())
        });
        (index.keyring(), used)
    });
    if let Some((state, _)) = state {
        state.admits(&loaded)?;
    }
    for (kind, versions) in used {
        let mut versions = versions.into_iter();
        if let Some(missing) = versions.find(|version| loaded.find(kind, *version).is_none()) {
            return Err(KeyProblem::Missing(kind, missing));
        }
    }
    Ok(())
}

/// What a fresh store still lacks could not be added.
#[derive(Debug, thiserror::Error)]
pub enum FirstStartError {
    /// The keyring was not recorded.
    #[error("the keyring was not recorded")]
    Keyring(#[from] CommandError),
    /// There is no first administrator.
    #[error(transparent)]
    Administrator(#[from] AdministratorError),
}

impl Opened {
    /// Whether the store was restored, and it was not yet said what was revoked since.
    #[must_use]
    pub fn is_unsettled(&self) -> bool {
        let (_, restored) = self.parts.feed.index().read(|index| index.restored());
        restored.is_some_and(|restored| !restored.settled)
    }

    /// Records the keyring where that is new, and makes the first administrator
    /// where there is none: what a first start does, and what is left of one that
    /// was interrupted.
    ///
    /// # Errors
    ///
    /// [`FirstStartError`].
    pub async fn complete(&self, authority: &Authority) -> Result<(), FirstStartError> {
        authority.note_keys().await?;
        if let Some(path) = administrator::first(&self.directory, authority).await? {
            tracing::info!(path = %path.display(), "the first administrator's token is in a file");
        }
        Ok(())
    }
}
