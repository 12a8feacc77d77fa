//! What stands in the store: the length of the key in one byte, the key, and the
//! value; without a value, a deletion.
//!
//! A record is refused, or it has that key and is written and read as an equal
//! one, whatever names are known already. What the audit log holds is read further,
//! as who reads the log does.

#![no_main]

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use credd::authority::names::Interner;
use credd::authority::record::Record;
use credd::authority::record::audit::{
    read_anchor, read_entry, read_event, write_anchor, write_entry, write_event,
};
use libfuzzer_sys::fuzz_target;

static NONE: LazyLock<Interner> = LazyLock::new(Interner::new);

static KNOWN: LazyLock<Interner> = LazyLock::new(|| {
    let names = Interner::new();
    for name in ["acme", "credd", "jo", "credd:jo", "api-token", "reader"] {
        names.intern(&Arc::from(name));
    }
    names
});

/// The format that this version of credd writes.
const FORMAT: u8 = 1;

fuzz_target!(|data: &[u8]| {
    let Some((length, rest)) = data.split_first() else {
        return;
    };
    let (key, value) = rest.split_at(rest.len().min(usize::from(*length)));
    let value = (!value.is_empty()).then(|| Bytes::copy_from_slice(value));
    let decoded = Record::decode(key, value.as_ref(), &NONE);
    assert_eq!(Record::decode(key, value.as_ref(), &KNOWN), decoded);
    match decoded {
        Err(error) => assert!(!error.to_string().is_empty()),
        Ok(record) => {
            assert_eq!(&*record.key(), key);
            let encoded = record.encode();
            assert_eq!(encoded.is_some(), value.is_some());
            if let Record::Audit(_, value) = &record {
                value.iter().for_each(check_audit);
            } else {
                for value in [&value, &encoded].into_iter().flatten() {
                    assert_eq!(value.first(), Some(&FORMAT));
                }
            }
            let again = Record::decode(key, encoded.as_ref(), &NONE);
            assert_eq!(again.as_ref(), Ok(&record));
            assert_eq!(again.map(|again| again.encode()), Ok(encoded));
        }
    }
});

fn check_audit(value: &Bytes) {
    if let Ok(anchor) = read_anchor(value) {
        assert_eq!(read_anchor(&write_anchor(&anchor)), Ok(anchor));
    }
    if let Ok(record) = read_entry(value) {
        assert_eq!(value.first(), Some(&FORMAT));
        assert_eq!(read_entry(&write_entry(&record)).as_ref(), Ok(&record));
        if let Some(payload) = record.entry.payload
            && let Ok(event) = read_event(&payload.bytes)
        {
            assert_eq!(read_event(&write_event(&event)), Ok(event));
        }
    }
}
