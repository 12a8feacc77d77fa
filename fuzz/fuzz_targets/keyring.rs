//! The keyring file: the text of one, or, behind a zero byte, what a file is made
//! of, so that it is known whether it is good.
//!
//! Whatever is said of a file quotes none of its keys. To a good one a key can be
//! added, unless there are as many as may be or the text ends where none can follow.

#![no_main]

use std::collections::BTreeSet;
use std::fmt::Write as _;

use credd::domain::keyring::{InvalidKeyring, KeyKind, Keyring, MOST_VERSIONS};
use credd::domain::random::{Random, RandomUnavailable};
use credd::server::keyring_file::{AddError, InvalidKeyringFile, add, parse};
use data_encoding::{HEXLOWER, HEXUPPER};
use libfuzzer_sys::fuzz_target;

/// As many digits of a key in a row are a part of it and no coincidence.
const TOO_MANY: usize = 8;
/// How many keys are made of an input: more than a file may have of a kind.
const MOST_KEYS: usize = MOST_VERSIONS + 8;

/// The same bytes each time, so that an input does the same each time.
#[derive(Debug)]
struct Fixed;

impl Random for Fixed {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomUnavailable> {
        bytes.fill(0x5a);
        Ok(())
    }
}

fuzz_target!(|data: &[u8]| {
    if let [0, keys @ ..] = data {
        let mut file = File::default();
        for chunk in keys.chunks(6).take(MOST_KEYS) {
            file.add(chunk);
        }
        assert_eq!(check(&file.text), file.is_good());
    } else if let Ok(text) = str::from_utf8(data) {
        check(text);
    }
});

/// Whether the file is good.
fn check(text: &str) -> bool {
    match parse(text) {
        Ok(keyring) => {
            assert_quotes_nothing(&format!("{keyring:?}"), text);
            for kind in KeyKind::ALL {
                check_add(text, kind, &keyring);
            }
            true
        }
        Err(error) => {
            assert_quotes_nothing(&shown(&error), text);
            false
        }
    }
}

fn check_add(text: &str, kind: KeyKind, keyring: &Keyring) {
    let before = keyring.checks();
    let versions = before.of(kind);
    assert!((1..=MOST_VERSIONS).contains(&versions.len()));
    match add(text, kind, &Fixed) {
        Ok((added, version)) => {
            assert!(added.starts_with(text));
            let after = parse(&added).unwrap().checks();
            let ((last, _), rest) = after.of(kind).split_last().unwrap();
            assert_eq!((*last, rest), (version, versions));
            let greatest = versions.iter().map(|(held, _)| held.0).max();
            assert_eq!(greatest, version.0.checked_sub(1));
            for other in KeyKind::ALL.into_iter().filter(|it| *it != kind) {
                assert_eq!(after.of(other), before.of(other));
            }
        }
        Err(AddError::LastVersion) => {
            assert!(versions.iter().any(|(held, _)| held.0 == u32::MAX));
        }
        Err(AddError::Invalid(error)) => {
            match &error {
                InvalidKeyringFile::Keys(InvalidKeyring::TooMany) => {
                    assert_eq!(versions.len(), MOST_VERSIONS);
                }
                InvalidKeyringFile::Form { .. } => (),
                _ => panic!("the key that was added is refused: {error:?}"),
            }
            assert_quotes_nothing(&shown(&error), text);
        }
        Err(AddError::Random(RandomUnavailable)) => unreachable!("there are always bytes"),
    }
}

fn assert_quotes_nothing(shown: &str, text: &str) {
    let (shown, text) = (shown.to_ascii_lowercase(), text.to_ascii_lowercase());
    for run in shown.as_bytes().windows(TOO_MANY) {
        if run.iter().all(u8::is_ascii_hexdigit) {
            let run = str::from_utf8(run).unwrap();
            assert!(!text.contains(run), "{run} of the file is shown: {shown}");
        }
    }
}

/// All that is said of the error, without a version of so many digits that it could
/// be taken for a part of a key.
fn shown(error: &InvalidKeyringFile) -> String {
    let shown = format!("{error} {error:?}");
    let version = match error {
        InvalidKeyringFile::Key { version, .. } => version.to_string(),
        InvalidKeyringFile::Keys(InvalidKeyring::Version(version)) => version.to_string(),
        _ => return shown,
    };
    if version.len() < TOO_MANY {
        return shown;
    }
    shown.replace(&version, "VERSION")
}

#[derive(Default)]
struct File {
    text: String,
    peppers: BTreeSet<u32>,
    sealing: BTreeSet<u32>,
    is_broken: bool,
}

impl File {
    /// Adds a key: a byte of what is wrong with it, one that it is made of, and its
    /// version.
    fn add(&mut self, chunk: &[u8]) {
        let mut bytes = [0; 6];
        bytes[..chunk.len()].copy_from_slice(chunk);
        let [flags, fill, version @ ..] = bytes;
        let version = u32::from_be_bytes(version);
        let (kind, versions) = if flags & 1 == 0 {
            ("pepper", &mut self.peppers)
        } else {
            ("sealing", &mut self.sealing)
        };
        let mut key = [0; 32];
        for (at, byte) in (0..).zip(&mut key) {
            *byte = fill.wrapping_mul(31).wrapping_add(at);
        }
        let mut key = if flags & 2 == 0 {
            HEXLOWER.encode(&key)
        } else {
            HEXUPPER.encode(&key)
        };
        match flags >> 2 & 7 {
            0 => key.push('0'),
            1 => key.truncate(63),
            2 => key.replace_range(40..41, "g"),
            _ => (),
        }
        let is_new = versions.insert(version);
        self.is_broken |= flags >> 2 & 7 < 3 || version == 0 || !is_new;
        write!(
            self.text,
            "[[{kind}]]\nversion = {version}\nkey = \"{key}\"\n"
        )
        .unwrap();
    }

    fn is_good(&self) -> bool {
        let is_count = |versions: &BTreeSet<u32>| (1..=MOST_VERSIONS).contains(&versions.len());
        !self.is_broken && is_count(&self.peppers) && is_count(&self.sealing)
    }
}
