use std::io::Write as _;

use proptest::collection::vec;
use proptest::prelude::*;
use tempfile::NamedTempFile;

use super::*;

const BACKUP: u64 = 3;

fn store(number: u8) -> StoreId {
    StoreId::from_random([number; 16])
}

fn hash(number: u8) -> Hash {
    Hash([number; 32])
}

/// A line as one of an audit log, but that nobody can make a hash that is so.
fn line() -> impl Strategy<Value = Vec<u8>> {
    let actions = [
        "credd.v1.CredentialService/Revoke",
        "credd.restore",
        "credd.export",
        "credd.unheard-of",
    ];
    let details = [
        String::new(),
        format!("restored from a backup of store {} as of", store(0)),
        "restored from a backup of store ".to_owned(),
    ];
    let numbers = (0..3_u8, 0..7_u64, 0..4_u8, 0..4_u8);
    let texts = (
        prop::sample::select(actions.to_vec()),
        prop::sample::select(details.to_vec()),
    );
    (numbers, texts, any::<prop::sample::Index>(), 0..8_u8).prop_map(
        |((of, sequence, this, previous), (action, details), at, cut)| {
            let line = serde_json::json!({
                "store": store(of).to_string(),
                "sequence": sequence,
                "hash": hash(this).to_string(),
                "previous_hash": hash(previous).to_string(),
                "payload_hash": hash(0).to_string(),
                "recorded_at": "t",
                "first_at": "t",
                "recorded_at_ms": 1,
                "state": "INTACT",
                "outcome": "OK",
                "action": action,
                "details": details,
                "credential_ids": [crate::domain::id::CredentialId::MAX.to_string()],
            });
            let mut line = line.to_string().into_bytes();
            match cut {
                0 => line.truncate(at.index(line.len())),
                1 => {
                    let at = at.index(line.len());
                    line[at] ^= 1;
                }
                _ => (),
            }
            line
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn nothing_is_taken_of_lines_whose_hash_is_not_of_what_they_say(
        files in vec(vec(prop_oneof![4 => line(), 1 => any::<Vec<u8>>()], 0..8), 0..3),
        ends: bool,
        accept: bool,
    ) {
        let files: Vec<_> = files
            .iter()
            .map(|lines| {
                let mut file = NamedTempFile::new().unwrap();
                file.write_all(&lines.join(&b'\n')).unwrap();
                file.write_all(if ends { b"\n" } else { b"" }).unwrap();
                file
            })
            .collect();
        let paths: Vec<_> = files.iter().map(|file| file.path().to_owned()).collect();
        let backup = Head {
            sequence: BACKUP,
            hash: hash(1),
        };
        match read(&paths, store(0), backup, accept) {
            Ok(since) => {
                prop_assert!(accept, "{since:?}");
                prop_assert!(since.lost.is_empty(), "{since:?}");
                prop_assert!(since.through.is_none(), "{since:?}");
            }
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }
}
