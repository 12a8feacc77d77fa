//! The keyring file of a running server: read again when its content has changed,
//! by whatever way (Kubernetes swaps symbolic links above a mounted Secret).

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::data_dir::DataDir;
use super::keyring_file;
use super::supervise::Failure;
use crate::authority::Authority;
use crate::authority::committer::CommandError;
use crate::authority::keys::KeySource;
use crate::domain::keyring::{Keyring, Sha256, sha256};

/// How often the file is looked at.
const PERIOD: Duration = Duration::from_secs(3);

/// A keyring file.
#[derive(Debug)]
pub struct KeyringSource {
    directory: DataDir,
    path: PathBuf,
    seen: Mutex<Seen>,
}

/// What was found at the last look.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    /// A file with this hash.
    Content(Sha256),
    /// No file.
    Missing,
    /// A file that can't be read, for this reason.
    Unreadable(String),
}

/// There is no file.
#[derive(Debug, thiserror::Error)]
#[error("{0} is missing")]
struct Missing(PathBuf);

/// The file is no keyring.
#[derive(Debug, thiserror::Error)]
#[error("{path}")]
struct Invalid {
    path: PathBuf,
    source: keyring_file::InvalidKeyringFile,
}

impl KeyringSource {
    /// A file that had this content when the server started.
    #[must_use]
    pub fn read_before(directory: &DataDir, path: PathBuf, content: &str) -> Self {
        Self {
            directory: directory.clone(),
            path,
            seen: Mutex::new(Seen::Content(sha256(content.as_bytes()))),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl KeySource for Arc<KeyringSource> {
    fn read(&self) -> Result<Option<Keyring>, Box<dyn Error + Send + Sync>> {
        let read = self.directory.read(&self.path);
        let found = match &read {
            Ok(Some(text)) => Seen::Content(sha256(text.as_bytes())),
            Ok(None) => Seen::Missing,
            Err(error) => Seen::Unreadable(error.source.to_string()),
        };
        {
            let mut seen = self.seen.lock();
            if *seen == found {
                return Ok(None);
            }
            *seen = found;
        }
        let text = read?.ok_or_else(|| Missing(self.path.clone()))?;
        let keyring = keyring_file::parse(&text).map_err(|source| Invalid {
            path: self.path.clone(),
            source,
        })?;
        Ok(Some(keyring))
    }
}

/// Takes the keys of a changed file, and notes in the store those that are new,
/// until `stopping`.
///
/// # Errors
///
/// None: a store that fails ends the process by itself.
pub async fn follow(authority: Arc<Authority>, stopping: CancellationToken) -> Result<(), Failure> {
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stopping.run_until_cancelled(ticks.tick()).await.is_some() {
        authority.refresh_keys().await;
        match authority.note_keys().await {
            Ok(()) => (),
            // The committer ends the process.
            Err(CommandError::StoreFailed | CommandError::Stopping) => return Ok(()),
            Err(error) => tracing::warn!(%error, "new keys are noted the next time"),
        }
    }
    Ok(())
}
