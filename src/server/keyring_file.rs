//! The keyring as a file, in TOML:
//!
//! ```toml
//! [[pepper]]
//! version = 1
//! key = "64 hexadecimal digits"
//!
//! [[sealing]]
//! version = 1
//! key = "64 hexadecimal digits"
//! ```
//!
//! A store that knows of no active keys takes the last of each. No error quotes the
//! file: it is all secrets.

use std::fmt::{self, Write as _};
use std::marker::PhantomData;

use data_encoding::HEXLOWER_PERMISSIVE;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use zeroize::Zeroizing;

use crate::domain::keyring::{InvalidKeyring, KeyBytes, KeyKind, KeyVersion, Keyring};
use crate::domain::random::{self, Random, RandomUnavailable};

/// Why a file is no keyring.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKeyringFile {
    /// It is not TOML of this form.
    #[error("it is no keyring: {problem} (line {line})")]
    Form {
        /// What is wrong.
        problem: &'static str,
        /// Where, counted from 1.
        line: usize,
    },
    /// A key is not 32 bytes in hexadecimal.
    #[error("the key of {kind} version {version} is not 64 hexadecimal digits")]
    Key {
        /// `pepper` or `sealing`.
        kind: &'static str,
        /// Which.
        version: u32,
    },
    /// The keys make no keyring.
    #[error(transparent)]
    Keys(#[from] InvalidKeyring),
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct FileForm {
    #[serde(default)]
    pepper: Vec<InTable<KeyForm>>,
    #[serde(default)]
    sealing: Vec<InTable<KeyForm>>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyForm {
    version: u32,
    key: Zeroizing<String>,
}

/// What is a table. The derived reading would take an array of its values for one.
struct InTable<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for InTable<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(TableVisitor(PhantomData))
    }
}

struct TableVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for TableVisitor<T> {
    type Value = InTable<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table")
    }

    fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<InTable<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(table)).map(InTable)
    }
}

/// Reads a keyring.
///
/// # Errors
///
/// [`InvalidKeyringFile`], which says where and never what the file holds.
pub fn parse(text: &str) -> Result<Keyring, InvalidKeyringFile> {
    let file: FileForm = toml::from_str(text).map_err(|error| InvalidKeyringFile::Form {
        problem: "expected tables `pepper` and `sealing` with `version` and `key`",
        line: error.span().map_or(1, |span| {
            let before = text.get(..span.start).unwrap_or(text);
            before.matches('\n').count() + 1
        }),
    })?;
    let FileForm { pepper, sealing } = file;
    let peppers = keys("pepper", &pepper)?;
    let sealing = keys("sealing", &sealing)?;
    Ok(Keyring::new(&peppers, &sealing)?)
}

/// A keyring of one fresh key of each kind, as the text of a file.
///
/// # Errors
///
/// [`RandomUnavailable`] if there are no keys to be had.
pub fn generate(random: &dyn Random) -> Result<Zeroizing<String>, RandomUnavailable> {
    let mut text = Zeroizing::new(String::with_capacity(1024));
    text.push_str(
        "# The keys of a credd server. Whoever has this file and the store can check\n\
         # guesses at secrets; without it no credential of the store works.\n\
         # Back it up, apart from the store.\n",
    );
    for kind in KeyKind::ALL {
        write_key(&mut text, kind, KeyVersion(1), random)?;
    }
    Ok(text)
}

/// The text of a keyring file with a fresh key added to it: the next version of its
/// kind.
///
/// # Errors
///
/// [`AddError`] if the text is no keyring, if it holds as many versions as may be, or
/// if there is no key to be had.
pub fn add(
    text: &str,
    kind: KeyKind,
    random: &dyn Random,
) -> Result<(Zeroizing<String>, KeyVersion), AddError> {
    let checks = parse(text)?.checks();
    let versions = checks.of(kind).iter().map(|(version, _)| version.0);
    let next = versions.max().and_then(|greatest| greatest.checked_add(1));
    let next = KeyVersion(next.ok_or(AddError::LastVersion)?);
    // Never moved while keys stand in it.
    let mut added = Zeroizing::new(String::with_capacity(text.len() + 256));
    added.push_str(text);
    if !text.ends_with('\n') {
        added.push('\n');
    }
    write_key(&mut added, kind, next, random)?;
    parse(&added)?;
    Ok((added, next))
}

/// Why a key is not added to a file.
#[derive(Debug, thiserror::Error)]
pub enum AddError {
    /// The file is none, or would be none.
    #[error(transparent)]
    Invalid(#[from] InvalidKeyringFile),
    /// There is no greater number.
    #[error("the greatest version is in use")]
    LastVersion,
    /// There is no key to be had.
    #[error(transparent)]
    Random(#[from] RandomUnavailable),
}

fn write_key(
    text: &mut String,
    kind: KeyKind,
    version: KeyVersion,
    random: &dyn Random,
) -> Result<(), RandomUnavailable> {
    let key = Zeroizing::new(random::bytes::<32>(random)?);
    let key = Zeroizing::new(HEXLOWER_PERMISSIVE.encode(&*key));
    // Writing to a String does not fail.
    let _ = write!(
        text,
        "\n[[{kind}]]\nversion = {version}\nkey = \"{}\"\n",
        *key
    );
    Ok(())
}

fn keys(
    kind: &'static str,
    forms: &[InTable<KeyForm>],
) -> Result<Vec<(KeyVersion, KeyBytes)>, InvalidKeyringFile> {
    forms
        .iter()
        .map(|InTable(KeyForm { version, key })| {
            let bytes = HEXLOWER_PERMISSIVE.decode(key.as_bytes()).ok();
            let bytes: Option<[u8; 32]> = bytes.and_then(|bytes| bytes.try_into().ok());
            let bytes = bytes.ok_or(InvalidKeyringFile::Key {
                kind,
                version: *version,
            })?;
            Ok((KeyVersion(*version), Zeroizing::new(bytes)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::random::SystemRandom;

    #[test]
    fn a_generated_keyring_is_read_back() {
        let text = generate(&SystemRandom::new()).unwrap();
        let keyring = parse(&text).unwrap();
        let checks = keyring.checks();
        assert_eq!((checks.peppers.len(), checks.sealing.len()), (1, 1));
        assert_ne!(*text, *generate(&SystemRandom::new()).unwrap());
    }

    #[test]
    fn a_key_is_added_as_the_next_version_and_all_else_stays() {
        let random = SystemRandom::new();
        let first = generate(&random).unwrap();
        let bare = first.trim_end();
        for before in [&**first, bare] {
            let (second, version) = add(before, KeyKind::Pepper, &random).unwrap();
            assert_eq!(version, KeyVersion(2));
            assert!(second.starts_with(before));
            let (third, version) = add(&second, KeyKind::Sealing, &random).unwrap();
            assert_eq!(version, KeyVersion(2));
            let (before, after) = (parse(before).unwrap(), parse(&third).unwrap());
            for kind in KeyKind::ALL {
                let (before, after) = (before.checks(), after.checks());
                assert_eq!(after.of(kind).len(), 2);
                assert_eq!(after.of(kind)[0], before.of(kind)[0]);
                assert_ne!(after.of(kind)[0].1, after.of(kind)[1].1);
                assert_eq!(after.of(kind)[1].0, KeyVersion(2));
            }
        }
        let greatest = first.replacen("version = 1", &format!("version = {}", u32::MAX), 1);
        let refused = add(&greatest, KeyKind::Pepper, &random).unwrap_err();
        assert!(matches!(refused, AddError::LastVersion));
        let (mut full, mut added) = (first, 1);
        let refused = loop {
            match add(&full, KeyKind::Sealing, &random) {
                Ok((more, _)) => (full, added) = (more, added + 1),
                Err(error) => break error,
            }
        };
        assert_eq!(added, crate::domain::keyring::MOST_VERSIONS);
        let too_many = InvalidKeyringFile::Keys(InvalidKeyring::TooMany);
        assert!(matches!(refused, AddError::Invalid(invalid) if invalid == too_many));
    }

    #[test]
    fn an_error_says_where_and_quotes_no_key() {
        let text = generate(&SystemRandom::new()).unwrap();
        let key = &text[text.find("key = \"").unwrap() + 7..][..64];
        let cases = [
            text.replacen("version = 1", "version = x", 1),
            text.replacen("version", "versoin", 1),
            text.replacen("[[pepper]]", "[[peper]]", 1),
            text.replacen(key, &key[1..], 1),
            text.replacen(key, &format!("{}zz", &key[2..]), 1),
            text.replacen("[[sealing]]", "[[pepper]]", 1),
            format!("pepper = [[1, \"{key}\"]]\nsealing = [[1, \"{key}\"]]\n"),
            String::new(),
        ];
        for case in cases {
            let error = parse(&case).unwrap_err();
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains(&key[2..10]), "{shown}");
        }
        assert_eq!(
            parse("[[pepper]]\nversion = true\n").unwrap_err(),
            InvalidKeyringFile::Form {
                problem: "expected tables `pepper` and `sealing` with `version` and `key`",
                line: 2
            }
        );
    }
}
