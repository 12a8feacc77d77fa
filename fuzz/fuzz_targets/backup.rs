//! Backup files. The first byte says what the rest is: a file; the frames of one,
//! without their checksums, to which the right end is added; or keys and values, of
//! which a good file is made, and then cut or changed.
//!
//! No file is taken but one that was written with the keyring, and of that every key
//! as it was written. A file that was cut or changed anywhere is refused.

#![no_main]

use std::sync::LazyLock;

use bytes::Bytes;
use credd::authority::backup::{
    BackupError, Header, InvalidBackup, Item, Purpose, Reader, Verified, Writer, verify,
};
use credd::authority::names::Interner;
use credd::authority::record::audit::{AuditKey, read_entry};
use credd::authority::record::{Record, is_request};
use credd::domain::audit::ChainNumber;
use credd::domain::keyring::{KeyVersion, Keyring};
use credd::domain::revision::{ChainHash, Position, Revision, StoreId};
use credd::domain::time::Timestamp;
use libfuzzer_sys::fuzz_target;
use ring::digest::{SHA256, digest};
use zeroize::Zeroizing;

static KEYRING: LazyLock<Keyring> = LazyLock::new(|| {
    let keys = [(KeyVersion(1), Zeroizing::new([0x5b; 32]))];
    Keyring::new(&keys, &keys).unwrap()
});

const POSITION: Position = Position {
    revision: Revision::new(9),
    chain: ChainHash([7; 32]),
};

fuzz_target!(|data: &[u8]| match data {
    [0, file @ ..] => {
        let _ = check(file);
    }
    [1, frames @ ..] => {
        let _ = check(&framed(frames));
    }
    [2, at_0, at_1, by, items @ ..] =>
        written(usize::from(u16::from_be_bytes([*at_0, *at_1])), *by, items),
    _ => (),
});

/// What comes of a file; of a good one, all of it is looked at.
fn check(file: &[u8]) -> Result<(Verified, Vec<Item>), InvalidBackup> {
    let mut told = 0;
    let verified = Reader::open(file).and_then(|reader| verify(reader, &KEYRING, |at| told = at));
    assert!(told <= file.len() as u64);
    let verified = match verified {
        Ok(verified) => verified,
        Err(BackupError::Invalid(invalid)) => {
            assert!(invalid.at <= file.len() as u64, "{invalid}");
            assert!(!invalid.problem.to_string().is_empty());
            return Err(invalid);
        }
        Err(BackupError::Io(error)) => panic!("{error}"),
    };
    let mut reader = Reader::open(file).unwrap();
    let mut items = Vec::new();
    while let Some((at, part)) = reader.next_part().unwrap() {
        assert!(at < reader.read_bytes());
        items.extend(part);
    }
    assert_eq!(reader.read_bytes(), file.len() as u64);
    assert_eq!(reader.end(), Some(&verified.end));
    assert_eq!(items.len() as u64, verified.end.items);
    let through = verified.end.position.revision;
    assert!(items.iter().all(|item| is_good(item, through)));
    assert!(has_good_end(&items));
    Ok((verified, items))
}

/// Whether a key may stand in a backup as of a revision.
fn is_good(item: &Item, through: Revision) -> bool {
    let Item {
        key,
        revision,
        value,
    } = item;
    let is_readable = Record::decode(key, value.as_ref(), &Interner::new()).is_ok();
    is_readable && !is_request(key) && (Revision::new(1)..=through).contains(revision)
}

/// Whether the last event of the audit log can be read, if there is one.
fn has_good_end(items: &[Item]) -> bool {
    let events = items
        .iter()
        .filter_map(|item| match AuditKey::of(&item.key) {
            Some(AuditKey::Entry(ChainNumber::FIRST, sequence)) => {
                Some((sequence, item.value.as_ref()?))
            }
            _ => None,
        });
    // Of those of one number the last.
    let last = events.max_by_key(|(sequence, _)| *sequence);
    last.is_none_or(|(_, value)| read_entry(value).is_ok())
}

/// A file of frames: of each its kind, the length of its message in two bytes, and the
/// message. What is left over is the number of items that the end tells of.
fn framed(mut rest: &[u8]) -> Vec<u8> {
    let mut file = b"CREDDBAK\0\0\0\x01".to_vec();
    while let [kind, high, low, after @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(after.len());
        let (message, after) = after.split_at(length);
        frame(&mut file, *kind, message);
        rest = after;
    }
    let items = u64::from(rest.first().copied().unwrap_or_default());
    let sha256 = digest(&SHA256, &file);
    let sha256: [u8; 32] = sha256.as_ref().try_into().unwrap();
    let revision = POSITION.revision.number();
    let said = [
        &b"credd.backup.v1"[..],
        &revision.to_be_bytes(),
        &POSITION.chain.0,
        &items.to_be_bytes(),
        &sha256,
    ];
    let (version, mac) = KEYRING.mac_of_backup(&said.concat());
    // Protocol Buffers encoding: 1 and 3 are numbers of one byte, the others bytes.
    let mut end = vec![0x08, u8::try_from(revision).unwrap(), 0x12, 32];
    end.extend(POSITION.chain.0);
    if items > 0 {
        end.push(0x18);
        if items > 0x7f {
            end.push(u8::try_from(items & 0x7f).unwrap() | 0x80);
            end.push(1);
        } else {
            end.push(u8::try_from(items).unwrap());
        }
    }
    end.extend([0x22, 32]);
    end.extend(sha256);
    end.extend([0x28, u8::try_from(version.0).unwrap(), 0x32, 32]);
    end.extend(mac);
    frame(&mut file, 3, &end);
    file
}

fn frame(file: &mut Vec<u8>, kind: u8, message: &[u8]) {
    let from = file.len();
    file.push(kind);
    file.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    file.extend_from_slice(message);
    let checksum = crc32fast::hash(&file[from..]);
    file.extend(checksum.to_be_bytes());
}

/// A file of these keys: of each its length, that of its value (255: it is deleted),
/// its revision, and both. It is good if they all are. Then it is cut at a place, and
/// changed there.
fn written(at: usize, by: u8, mut rest: &[u8]) {
    let header = Header {
        purpose: Purpose::Backup,
        store: StoreId::from_bytes([3; 16]),
        at: Timestamp::from_millis(7),
        begun_at: Revision::new(1),
        keyring: None,
    };
    let mut writer = Writer::begin(Vec::new(), &header).unwrap();
    let mut items = Vec::new();
    while let [key, value, revision, after @ ..] = rest {
        let (key, after) = after.split_at(usize::from(*key).min(after.len()));
        let length = if *value == 255 {
            0
        } else {
            usize::from(*value)
        };
        let (held, after) = after.split_at(length.min(after.len()));
        let item = Item {
            key: Bytes::copy_from_slice(key),
            revision: Revision::new(u64::from(*revision)),
            value: (*value != 255).then(|| Bytes::copy_from_slice(held)),
        };
        writer.put(item.clone()).unwrap();
        items.push(item);
        rest = after;
    }
    let (file, end) = writer.finish(POSITION, &KEYRING).unwrap();
    let are_good =
        items.iter().all(|item| is_good(item, POSITION.revision)) && has_good_end(&items);
    // Of keys it depends on what they say whether this keyring will do.
    let has_keys = items.iter().any(|item| item.key.first() == Some(&b'k'));
    match check(&file) {
        Ok((verified, read)) => {
            assert!(are_good);
            assert_eq!((verified.header, verified.end), (header, end));
            assert_eq!(read, items);
        }
        Err(error) => assert!(!are_good || has_keys, "{error}"),
    }
    let at = at % file.len();
    check(&file[..at]).unwrap_err();
    if by != 0 {
        let mut changed = file;
        changed[at] ^= by;
        check(&changed).unwrap_err();
    }
}
