//! Getting a key set, from a file or from a server.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use zeroize::Zeroizing;

use super::{JwksSource, http};
use crate::domain::jwt::{InvalidKeySet, KeySet, MAX_KEY_SET};

/// Why there is no key set to be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    /// It took too long.
    #[error("it took more than {0:?}")]
    TooSlow(Duration),
    /// A file can't be read.
    #[error("can't read `{path}`: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The server does not answer with a key set.
    #[error(transparent)]
    Http(#[from] http::HttpError),
    /// What was read is no key set.
    #[error(transparent)]
    Invalid(#[from] InvalidKeySet),
}

/// Gets a key set.
pub(super) async fn fetch(source: &JwksSource) -> Result<KeySet, FetchError> {
    let json = match source {
        JwksSource::File(path) => read(path).await?.to_vec(),
        JwksSource::Url {
            url,
            ca_file,
            token_file,
        } => {
            let ca = match ca_file {
                Some(path) => Some(read(path).await?),
                None => None,
            };
            let token = match token_file {
                Some(path) => Some(read(path).await?),
                None => None,
            };
            http::get(url, ca.as_ref().map(|pem| &***pem), token, MAX_KEY_SET).await?
        }
    };
    Ok(KeySet::parse(&json)?)
}

/// A whole file, or its first [`MAX_KEY_SET`] bytes and one more.
async fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, FetchError> {
    let file = path.to_owned();
    let reading = tokio::task::spawn_blocking(move || {
        let mut bytes = Zeroizing::new(Vec::new());
        let file = std::fs::File::open(file)?;
        file.take(MAX_KEY_SET as u64 + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    });
    let read = reading.await.map_err(io::Error::other).flatten();
    read.map_err(|source| FetchError::File {
        path: path.to_owned(),
        source,
    })
}
