//! Looking for secrets where they should not be, in every form in which one could
//! stand there.

#![allow(dead_code, reason = "each suite uses a part of it")]

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use credd::domain::token::Claim;
use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD, HEXLOWER, HEXUPPER};

/// How much of a needle is looked for by its hash first.
const WINDOW: usize = 12;

/// What is looked for: bytes, each with a name.
#[derive(Default)]
pub(crate) struct Needles {
    all: Vec<(String, Vec<u8>)>,
    by_start: HashMap<[u8; WINDOW], Vec<usize>>,
}

impl Needles {
    /// Looks for these bytes. Needles are as long as a half of 32 bytes in hex at
    /// least, or 12 bytes.
    pub(crate) fn add(&mut self, name: &str, bytes: &[u8]) {
        let start = *bytes.first_chunk().unwrap();
        let number = self.all.len();
        self.all.push((name.to_owned(), bytes.to_vec()));
        self.by_start.entry(start).or_default().push(number);
    }

    /// Looks for a secret: whole, in halves, and all that in base64 and in hex; of
    /// one that credd made, also for its 32 bytes. What of it is no secret, up
    /// to the generation, is left out.
    pub(crate) fn add_secret(&mut self, text: &str) {
        match Claim::of_secret(text) {
            Ok(claim) => {
                // The prefix, the id and the generation are shown; the checksum is
                // of all of it.
                self.add_encoded("the secret's digits", &text.as_bytes()[36..79]);
                self.add_encoded("the secret's bytes", claim.secret.expose());
                self.add("the secret, whole", text.as_bytes());
                let half = text.len() / 2;
                self.add("the second half", &text.as_bytes()[half..]);
                self.add_base64("the secret, whole", text.as_bytes());
            }
            Err(_) => self.add_encoded("an imported secret", text.as_bytes()),
        }
    }

    /// Looks for bytes whole and in halves, plain, in base64 and in hex.
    pub(crate) fn add_encoded(&mut self, name: &str, bytes: &[u8]) {
        let (first, second) = bytes.split_at(bytes.len() / 2);
        let parts = [
            ("whole", bytes),
            ("first half", first),
            ("second half", second),
        ];
        for (which, part) in parts {
            let name = format!("{name}, {which}");
            self.add(&name, part);
            self.add(&format!("{name}, in hex"), HEXLOWER.encode(part).as_bytes());
            self.add(
                &format!("{name}, in upper hex"),
                HEXUPPER.encode(part).as_bytes(),
            );
            self.add_base64(&name, part);
        }
    }

    fn add_base64(&mut self, name: &str, bytes: &[u8]) {
        let forms = [BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD];
        for form in forms {
            self.add(&format!("{name}, in base64"), form.encode(bytes).as_bytes());
        }
        // Within something longer it may begin at another bit: all but the ends.
        for skipped in 0..3 {
            if let Some(rest) = bytes.get(skipped..bytes.len() - (bytes.len() - skipped) % 3)
                && rest.len() >= 9
            {
                for form in [BASE64, BASE64URL] {
                    self.add(
                        &format!("{name}, within base64"),
                        form.encode(rest).as_bytes(),
                    );
                }
            }
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// The names of those that stand in these bytes.
    pub(crate) fn found_in(&self, bytes: &[u8]) -> Vec<String> {
        let mut found = Vec::new();
        for (at, window) in bytes.windows(WINDOW).enumerate() {
            let window: &[u8; WINDOW] = window.try_into().unwrap();
            for &number in self.by_start.get(window).into_iter().flatten() {
                let (name, needle) = &self.all[number];
                if bytes[at..].starts_with(needle) {
                    found.push(format!("{name} at {at}"));
                }
            }
        }
        found
    }

    /// The same, of every file in a directory but `admin.token`.
    pub(crate) fn found_in_directory(&self, directory: &Path) -> Vec<String> {
        let mut found = Vec::new();
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                found.extend(self.found_in_directory(&path));
            } else if path.file_name().is_some_and(|name| name != "admin.token") {
                let bytes = fs::read(&path).unwrap_or_default();
                let here = self.found_in(&bytes).into_iter();
                found.extend(here.map(|what| format!("{}: {what}", path.display())));
            }
        }
        found
    }
}

#[test]
fn a_needle_is_found_in_every_form() {
    let mut needles = Needles::default();
    let secret = "0123456789abcdefghijklmnopqrstuvwxyz";
    needles.add_secret(secret);
    for (name, needle) in &needles.all {
        let hay = [b"some hay ".as_slice(), needle, b" and more"].concat();
        assert!(!needles.found_in(&hay).is_empty(), "{name}");
    }
    for before in ["", "1", "12", "123"] {
        let hay = BASE64.encode(format!("{before}{secret}{before}").as_bytes());
        assert!(!needles.found_in(hay.as_bytes()).is_empty(), "{before}");
    }
    assert!(
        needles
            .found_in(b"nothing but some hay and straw")
            .is_empty()
    );
}
