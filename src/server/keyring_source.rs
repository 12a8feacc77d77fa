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

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;
    use crate::domain::keyring::KeyKind;
    use crate::domain::random::SystemRandom;

    fn text() -> String {
        let text = keyring_file::generate(&SystemRandom::new()).unwrap();
        text.to_string()
    }

    fn write(path: &Path, text: &str) {
        let _ = fs::remove_file(path);
        fs::write(path, text).unwrap();
        fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
    }

    #[test]
    fn a_change_is_read_once_and_a_problem_is_told_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keyring.toml");
        let data_dir = DataDir::new(directory.path().to_owned());
        let first = text();
        write(&path, &first);
        let source = Arc::new(KeyringSource::read_before(&data_dir, path.clone(), &first));
        assert!(source.read().unwrap().is_none());
        let set_mode = |mode| fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let steps: [(&dyn Fn(), bool); 6] = [
            (&|| write(&path, "no keyring"), false),
            (&|| fs::remove_file(&path).unwrap(), false),
            (&|| write(&path, &text()), true),
            (&|| set_mode(0o644), false),
            (&|| set_mode(0o440), true),
            (&|| write(&path, &first), true),
        ];
        for (number, (step, is_good)) in steps.into_iter().enumerate() {
            step();
            let read = source.read();
            assert_eq!(read.is_ok_and(|keys| keys.is_some()), is_good, "{number}");
            assert!(source.read().unwrap().is_none(), "{number}: once");
        }
    }

    /// As Kubernetes changes a mounted Secret.
    #[test]
    fn a_swap_of_links_is_a_change() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let (first, second) = (text(), text());
        for (name, text) in [("..1", &first), ("..2", &second)] {
            fs::create_dir(at(name)).unwrap();
            write(&at(name).join("keyring.toml"), text);
        }
        symlink("..1", at("..data")).unwrap();
        symlink("..data/keyring.toml", at("keyring.toml")).unwrap();
        let data_dir = DataDir::new(directory.path().to_owned());
        let path = at("keyring.toml");
        let source = Arc::new(KeyringSource::read_before(&data_dir, path, &first));
        assert!(source.read().unwrap().is_none());
        symlink("..2", at("..data_tmp")).unwrap();
        fs::rename(at("..data_tmp"), at("..data")).unwrap();
        let read = source.read().unwrap().unwrap();
        let expected = keyring_file::parse(&second).unwrap();
        assert_eq!(read.checks(), expected.checks());
        assert_eq!(
            read.active(KeyKind::Pepper),
            expected.active(KeyKind::Pepper)
        );
    }
}
