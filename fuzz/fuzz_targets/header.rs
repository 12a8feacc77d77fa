//! Raw headers: a line with the name, then the value. Each value is also read as
//! that of every header that a built-in profile has, and behind `Basic` in base64.
//!
//! What a rule reads stands in the value, and written by the same rule is read
//! as the same.

#![no_main]

use std::sync::{Arc, LazyLock};

use credd::authority::directory::Directory;
use credd::authority::names::Interner;
use credd::domain::header::{HeaderRules, Presentable, Reading};
use credd::domain::profile::built_in;
use credd::domain::token::Presented;
use data_encoding::BASE64;
use libfuzzer_sys::fuzz_target;

static RULES: LazyLock<Arc<HeaderRules>> =
    LazyLock::new(|| Directory::new(&Interner::new()).headers());

static NAMES: LazyLock<Vec<&str>> = LazyLock::new(|| {
    let profiles = built_in::all().iter().map(|it| &it.profile);
    let headers = profiles.flat_map(|profile| &profile.headers);
    let mut names: Vec<_> = headers.map(|rule| rule.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    names
});

fuzz_target!(|data: &[u8]| {
    let end = data.iter().position(|byte| *byte == b'\n');
    let (name, value) = end.map_or((&b""[..], data), |end| (&data[..end], &data[end + 1..]));
    let name = String::from_utf8_lossy(name);
    for name in NAMES.iter().copied().chain([&*name]) {
        check(name, value);
    }
    let basic = format!("Basic {}", BASE64.encode(value));
    check("Authorization", basic.as_bytes());
});

fn check(name: &str, value: &[u8]) {
    let is_known = NAMES.iter().any(|known| known.eq_ignore_ascii_case(name));
    let first = RULES.read(name, value);
    let Ok(readings) = RULES.readings(name, value) else {
        assert!(first.is_err());
        return;
    };
    assert!(is_known, "a header that no profile has was read");
    let readings: Vec<_> = readings.collect();
    assert!(readings.len() <= 1, "a value has two meanings");
    assert_eq!(first.is_ok(), readings.iter().any(Result::is_ok));
    for reading in readings.iter().flatten() {
        check_reading(reading, name, value);
    }
}

fn check_reading(reading: &Reading<'_, '_>, name: &str, value: &[u8]) {
    let Reading { rule, credential } = reading;
    assert!(rule.name.matches(name));
    let (public, secret) = parts(credential);
    match credential.presented() {
        Presented::Token(token) => {
            assert!(is_one_word(token));
            assert!(contains(value, token));
        }
        Presented::UsernamePassword(username, password) => {
            assert!(!username.contains(':'));
            assert!(![username, password].concat().contains(char::is_control));
            let pair = BASE64.encode(format!("{username}:{password}").as_bytes());
            assert!(contains(value, &pair));
        }
        Presented::KeyPair(access_key, secret_key) => {
            assert!(is_one_word(access_key) && is_one_word(secret_key));
            assert!(contains(value, access_key) && contains(value, secret_key));
        }
    }
    if let Ok(claim) = credential.presented().parse() {
        assert_eq!(claim.kind, rule.format.kind());
    }
    let written = rule.write(public, secret);
    let Ok(again) = rule.read(written.expose().as_bytes()) else {
        panic!("what was written is not read");
    };
    assert_eq!(parts(&again), (public, secret));
}

/// The username or access key, and the secret.
fn parts<'a>(credential: &'a Presentable<'_>) -> (&'a str, &'a str) {
    match credential.presented() {
        Presented::Token(token) => ("", token),
        Presented::UsernamePassword(public, secret) | Presented::KeyPair(public, secret) => {
            (public, secret)
        }
    }
}

/// Whether nothing in the text could separate it from something else.
fn is_one_word(text: &str) -> bool {
    let separates = |c: char| c.is_whitespace() || c.is_control() || ",;\"".contains(c);
    !text.is_empty() && !text.contains(separates)
}

fn contains(value: &[u8], text: &str) -> bool {
    let mut windows = value.windows(text.len());
    windows.any(|window| window == text.as_bytes())
}
