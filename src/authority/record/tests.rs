use proptest::prelude::*;

use super::*;

mod any;
mod largest;

pub(in crate::authority) use any::any_credential;
use any::any_record;

fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Record, UnreadableRecord> {
    let value = value.map(Bytes::copy_from_slice);
    Record::decode(key, value.as_ref(), &Interner::new())
}

proptest! {
    #[test]
    fn a_record_is_read_as_it_was_written(record in any_record()) {
        let (key, value) = (record.key(), record.encode());
        prop_assert!(value.as_ref().is_none_or(|value| value[0] == FORMAT));
        prop_assert_eq!(decode(&key, value.as_deref()), Ok(record));
    }

    #[test]
    fn arbitrary_bytes_are_read_or_refused(key: Vec<u8>, value: Option<Vec<u8>>) {
        let _ = decode(&key, value.as_deref());
    }

    #[test]
    fn a_record_with_a_changed_byte_is_read_or_refused(
        record in any_record(),
        at: prop::sample::Index,
        byte: u8,
    ) {
        if let Some(value) = record.encode() {
            let mut value = value.to_vec();
            let at = at.index(value.len());
            value[at] = byte;
            let _ = decode(&record.key(), Some(&value));
        }
    }
}

#[test]
fn what_another_version_wrote_is_refused() {
    let key = keyring_key();
    let value = Record::Keyring(Some(Arc::default())).encode().unwrap();
    assert!(decode(&key, Some(&value)).is_ok());
    let newer = [&[FORMAT + 1], &value[1..]].concat();
    let refused = decode(&key, Some(&newer)).unwrap_err();
    assert!(refused.what.contains("format 2"), "{refused}");
    assert_eq!(refused.key, "6b");
    for (key, value) in [
        (&b"k"[..], &b""[..]),
        (b"kk", &value),
        (b"", &value),
        (b"z", &value),
        (b"c too short", &value),
        (b"q too short", &value),
        (b"o no separator", &value),
        (b"p\0profile\0abc", &value),
        // An owner without a last change.
        (b"oacme\0jo", &[FORMAT]),
        // A credential without anything.
        (b"c0123456789abcdef", &[FORMAT]),
    ] {
        assert!(decode(key, Some(value)).is_err(), "{key:?}");
    }
}
