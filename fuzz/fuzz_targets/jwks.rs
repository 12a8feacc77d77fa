//! Key sets as issuers show them: the input as a whole, and as one key of a set.
//!
//! A set is refused, or it is an object, and each of its keys is for some algorithm,
//! can be found, and can be asked about any signature.

#![no_main]

use std::collections::BTreeMap;

use credd::domain::jwt::{Algorithm, JwtProblem, KeySet, MAX_KEYS};
use libfuzzer_sys::fuzz_target;
use serde::de::IgnoredAny;

const MESSAGE: &[u8] = b"header.claims";

fuzz_target!(|data: &[u8]| {
    check(data);
    let set = [&b"{\"keys\":["[..], data, b"]}"].concat();
    check(&set);
});

fn check(json: &[u8]) {
    let Ok(set) = KeySet::parse(json) else {
        return;
    };
    #[expect(clippy::zero_sized_map_values, reason = "no array is read as a map")]
    let object: BTreeMap<String, IgnoredAny> = serde_json::from_slice(json).unwrap();
    assert!(object.contains_key("keys"));
    assert!(set.keys().len() + set.unusable().len() <= MAX_KEYS);
    for (at, key) in set.keys().iter().enumerate() {
        assert!(!set.keys()[..at].contains(key), "a key stands twice");
        let fitting = Algorithm::ALL.into_iter().filter(|it| key.fits(*it));
        let fitting: Vec<_> = fitting.collect();
        assert!(!fitting.is_empty(), "a key for no algorithm was kept");
        for algorithm in fitting {
            match set.find(key.id(), algorithm) {
                Ok(found) => assert_eq!(found, key),
                Err(problem) => assert_eq!(problem, JwtProblem::KeyAmbiguous),
            }
            for length in [0, 64, 96, 256] {
                // As a number small enough for every algorithm to look at the key.
                let signature = vec![0x05; length];
                assert!(!key.verifies(algorithm, MESSAGE, &signature));
            }
        }
    }
}
