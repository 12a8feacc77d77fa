//! The files as they are at one moment.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use ring::digest::{Context, SHA256};
use zeroize::Zeroizing;

use super::TlsSettings;

/// The most bytes of a file. It bounds what a path that was mistaken costs.
const MAX_BYTES: u64 = 1 << 20;

/// A file could not be read.
#[derive(Debug, thiserror::Error)]
#[error("{path} can't be read")]
pub struct FilesError {
    /// Which.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

/// What the files hold.
pub(super) struct Files {
    pub(super) certificate: Zeroizing<Vec<u8>>,
    pub(super) key: Zeroizing<Vec<u8>>,
    pub(super) client_ca: Option<Zeroizing<Vec<u8>>>,
}

/// What tells contents apart, so that they need not be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Digest(Vec<u8>);

impl Files {
    pub(super) fn read(settings: &TlsSettings) -> Result<Self, FilesError> {
        let client_ca = settings.client_ca.as_deref();
        Ok(Self {
            certificate: read(&settings.certificate)?,
            key: read(&settings.key)?,
            client_ca: client_ca.map(read).transpose()?,
        })
    }

    pub(super) fn digest(&self) -> Digest {
        let Self {
            certificate,
            key,
            client_ca,
        } = self;
        let mut context = Context::new(&SHA256);
        for contents in [Some(certificate), Some(key), client_ca.as_ref()] {
            let contents = contents.map_or(&[][..], |contents| contents);
            context.update(&contents.len().to_be_bytes());
            context.update(contents);
        }
        Digest(context.finish().as_ref().to_vec())
    }
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, FilesError> {
    let contents = || {
        let file = File::open(path)?;
        let bytes = file.metadata()?.len().min(MAX_BYTES);
        // No more is needed, and no copy is left behind, unless the file grows.
        let capacity = usize::try_from(bytes).unwrap_or(0) + 1;
        let mut contents = Zeroizing::new(Vec::with_capacity(capacity));
        if file.take(MAX_BYTES + 1).read_to_end(&mut contents)? as u64 > MAX_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(contents)
    };
    contents().map_err(|source| FilesError {
        path: path.to_owned(),
        source,
    })
}
