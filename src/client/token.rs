//! The bearer token that a client is known by, as its file has it now.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tonic::metadata::{Ascii, MetadataValue};
use zeroize::Zeroizing;

/// A token in a file that may be replaced at any time.
#[derive(Debug)]
pub(super) struct Token {
    file: Option<PathBuf>,
    loaded: Mutex<Loaded>,
}

#[derive(Debug, Default)]
struct Loaded {
    /// Shows nothing of itself.
    value: Option<MetadataValue<Ascii>>,
    /// How often it was another.
    changes: u64,
    looked: Option<Instant>,
    is_failing: bool,
}

/// How often the file is looked at, at most. It is small, and on a disk of this
/// machine: reading it takes some microseconds.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The most bytes of a token.
const MAX_BYTES: u64 = 64 << 10;

impl Token {
    pub(super) fn new(file: Option<PathBuf>) -> Self {
        Self {
            file,
            loaded: Mutex::new(Loaded::default()),
        }
    }

    /// What stands in `authorization`, if anything, and how often it was another
    /// before.
    pub(super) fn authorization(&self) -> (Option<MetadataValue<Ascii>>, u64) {
        let Some(file) = self.file.as_deref() else {
            return (None, 0);
        };
        let mut loaded = self.loaded.lock();
        if loaded.looked.is_none_or(|at| at.elapsed() >= LOOK_EVERY) {
            loaded.looked = Some(Instant::now());
            match read(file) {
                Ok(value) => {
                    if loaded.value.as_ref() != Some(&value) {
                        loaded.value = Some(value);
                        loaded.changes += 1;
                    }
                    loaded.is_failing = false;
                }
                // What was there before stays: the file is being replaced.
                Err(error) if !loaded.is_failing => {
                    loaded.is_failing = true;
                    tracing::warn!(file = %file.display(), error, "can't read the token");
                }
                Err(_) => (),
            }
        }
        (loaded.value.clone(), loaded.changes)
    }

    /// The file is to be looked at the next time, whenever that is.
    pub(super) fn doubt(&self) {
        self.loaded.lock().looked = None;
    }
}

/// What stands in `authorization` for the token in a file. The errors quote nothing of the
/// file.
pub(crate) fn read(path: &Path) -> Result<MetadataValue<Ascii>, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let mut text = Zeroizing::new(String::new());
    let read = file.take(MAX_BYTES + 1).read_to_string(&mut text);
    let bytes = read.map_err(|error| error.to_string())? as u64;
    let value = Some(text).filter(|_| bytes <= MAX_BYTES);
    let value = value.and_then(|text| bearer(&text));
    value.ok_or_else(|| "it holds no token".to_owned())
}

/// What stands in `authorization` for a token; `None`: it is none.
pub(crate) fn bearer(text: &str) -> Option<MetadataValue<Ascii>> {
    let token = text.trim();
    if token.is_empty() || !token.bytes().all(|it| it.is_ascii_graphic()) {
        return None;
    }
    let bearer = Zeroizing::new(format!("Bearer {token}"));
    let mut value = MetadataValue::try_from(bearer.as_str()).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_that_of_the_file_now_and_shows_nothing_of_itself() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("token");
        let token = Token::new(Some(file.clone()));
        assert_eq!(token.authorization(), (None, 0));
        for (text, value, changes) in [
            ("one\n", "Bearer one", 1),
            ("one", "Bearer one", 1),
            ("two", "Bearer two", 2),
            ("", "Bearer two", 2),
            ("a b", "Bearer two", 2),
        ] {
            std::fs::write(&file, text).unwrap();
            token.doubt();
            let (found, changed) = token.authorization();
            assert_eq!((found.unwrap(), changed), (value.parse().unwrap(), changes));
            assert!(!format!("{token:?}").contains("two"), "{token:?}");
        }
        assert_eq!(Token::new(None).authorization(), (None, 0));
    }
}
