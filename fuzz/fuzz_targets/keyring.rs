//! The keyring file: the text of one, or, behind a zero byte, what a file is made
//! of, so that it is known whether it is good.
//!
//! Whatever is said of a file quotes none of its keys.

#![no_main]

use std::collections::BTreeSet;
use std::fmt::Write as _;

use credd::domain::keyring::InvalidKeyring;
use credd::server::keyring_file::{InvalidKeyringFile, parse};
use data_encoding::{HEXLOWER, HEXUPPER};
use libfuzzer_sys::fuzz_target;

/// As many digits of a key in a row are a part of it and no coincidence.
const TOO_MANY: usize = 8;
/// How many keys are made of an input.
const MOST_KEYS: usize = 8;

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
    let (shown, is_good) = match parse(text) {
        Ok(keyring) => {
            assert!(keyring.pepper_checks().next().is_some());
            assert!(keyring.sealing_checks().next().is_some());
            (format!("{keyring:?}"), true)
        }
        Err(error) => {
            let shown = format!("{error} {error:?}");
            (without_version(&shown, &error), false)
        }
    };
    let text = text.to_ascii_lowercase();
    let shown = shown.to_ascii_lowercase();
    for run in shown.as_bytes().windows(TOO_MANY) {
        if run.iter().all(u8::is_ascii_hexdigit) {
            let run = str::from_utf8(run).unwrap();
            assert!(!text.contains(run), "{run} of the file is shown: {shown}");
        }
    }
    is_good
}

/// The text without the number of a key, which may be shown and may have as many
/// digits.
fn without_version(shown: &str, error: &InvalidKeyringFile) -> String {
    match error {
        InvalidKeyringFile::Form { .. } => shown.to_owned(),
        InvalidKeyringFile::Key { version, .. } => shown.replace(&version.to_string(), "VERSION"),
        InvalidKeyringFile::Keys(InvalidKeyring::Version(version)) => {
            shown.replace(&version.to_string(), "VERSION")
        }
        InvalidKeyringFile::Keys(InvalidKeyring::NoPepper | InvalidKeyring::NoSealingKey) => {
            shown.to_owned()
        }
    }
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
        let key = std::array::from_fn(|at: usize| fill.wrapping_mul(31).wrapping_add(at as u8));
        let key: &[u8; 32] = &key;
        let mut key = if flags & 2 == 0 {
            HEXLOWER.encode(key)
        } else {
            HEXUPPER.encode(key)
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
        !self.is_broken && !self.peppers.is_empty() && !self.sealing.is_empty()
    }
}
