//! Whatever is done to the log on the disk of a stopped server is found, and named.
//!
//! The store would notice most of it by its own digest. Here the digest is set right,
//! as somebody would who knows the store, so that it is the chain that tells.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::thread;

use credd::authority::record::audit::{
    AuditKey, AuditRecord, read_entry, write_anchor, write_entry,
};
use credd::domain::audit::{ChainNumber, Head};
use credd::domain::revision::Revision;
use credd::domain::time::Timestamp;
use credd::proto::v1::{AuditHead, ChainFlaw};
use credd::store::Contents;
use tempfile::TempDir;

use crate::support::{Client, Server};
use crate::{sound, verify};

/// What a data key begins with, and where the head is (`store/sled/format.rs`).
const DATA: u8 = 1;
const HEAD: &[u8] = b"\0head";

/// Works on the database beneath a stopped server.
fn raw<T>(data_dir: &Path, work: impl FnOnce(&Raw) -> T) -> T {
    let store = data_dir.join("store");
    let current = fs::read_to_string(store.join("CURRENT")).unwrap();
    let path = store.join(current.trim());
    let database = loop {
        // The server may not have let go yet.
        match sled::open(&path) {
            Ok(database) => break database,
            Err(_) => thread::yield_now(),
        }
    };
    let raw = Raw(database);
    let result = work(&raw);
    raw.0.flush().unwrap();
    result
}

struct Raw(sled::Db);

impl Raw {
    fn key(sequence: u64) -> Vec<u8> {
        let key = AuditKey::Entry(ChainNumber::FIRST, sequence).to_bytes();
        [&[DATA][..], &key].concat()
    }

    /// The number of the last record.
    fn last(&self) -> u64 {
        let records = self.0.scan_prefix([DATA, b'a']).keys();
        let key = records.last().unwrap().unwrap();
        u64::from_be_bytes(key[key.len() - 8..].try_into().unwrap())
    }

    /// The revision that wrote a record, and its value.
    fn get(&self, sequence: u64) -> (Revision, Vec<u8>) {
        let value = self.0.get(Self::key(sequence)).unwrap().unwrap();
        let revision = u64::from_be_bytes(value[..8].try_into().unwrap());
        (Revision::new(revision), value[8..].to_vec())
    }

    /// Writes a value as if its commit had.
    fn set(&self, sequence: u64, value: &[u8]) {
        let (revision, _) = self.get(sequence);
        let value = [&revision.number().to_be_bytes()[..], value].concat();
        self.0.insert(Self::key(sequence), value).unwrap();
    }

    fn remove(&self, sequence: u64) {
        let (revision, _) = self.get(sequence);
        let key = Self::key(sequence);
        self.0.remove(&key).unwrap();
        self.count(|contents| contents.remove(&key[1..], revision));
    }

    /// Has the log begin after a record that is there, as retention would.
    fn remove_through(&self, last: u64) {
        let (revision, _) = self.get(last);
        let anchor = write_anchor(&self.record(last).entry.head());
        for sequence in 1..=last {
            self.remove(sequence);
        }
        let key = AuditKey::Anchor(ChainNumber::FIRST).to_bytes();
        let value = [&revision.number().to_be_bytes()[..], &anchor].concat();
        let written = [&[DATA][..], &key].concat();
        self.0.insert(written, value).unwrap();
        self.count(|contents| contents.add(&key, revision));
    }

    /// Sets right what the store knows of its contents.
    fn count(&self, change: impl FnOnce(&mut Contents)) {
        let mut head = self.0.get(HEAD).unwrap().unwrap().to_vec();
        let at = head.len() - 24;
        let mut contents = Contents {
            keys: u64::from_be_bytes(head[at..at + 8].try_into().unwrap()),
            digest: u128::from_be_bytes(head[at + 8..].try_into().unwrap()),
        };
        change(&mut contents);
        head[at..at + 8].copy_from_slice(&contents.keys.to_be_bytes());
        head[at + 8..].copy_from_slice(&contents.digest.to_be_bytes());
        self.0.insert(HEAD, head).unwrap();
    }

    fn record(&self, sequence: u64) -> AuditRecord {
        read_entry(&self.get(sequence).1.into()).unwrap()
    }

    fn change(&self, sequence: u64, change: impl FnOnce(&mut AuditRecord)) {
        let mut record = self.record(sequence);
        change(&mut record);
        self.set(sequence, &write_entry(&record));
    }
}

/// A data directory with some events, and the head of its log.
async fn filled() -> (TempDir, AuditHead) {
    let server = Server::start().await;
    fill(&server.admin, 6).await;
    let directory = server.stop().await;
    // What was counted is written by then.
    let server = Server::start_in(directory).await;
    let head = sound(&server.admin, &[]).await;
    assert!(head.sequence > 8, "{head:?}");
    (server.stop().await, head)
}

async fn fill(admin: &Client, times: usize) {
    for _ in 0..times {
        let (id, _) = admin.issue_token("acme").await;
        admin.lock(&id).await.unwrap();
    }
}

/// A copy of a data directory.
fn copy(directory: &Path) -> TempDir {
    let copy = TempDir::new().unwrap();
    copy_into(directory, copy.path());
    copy
}

fn copy_into(from: &Path, to: &Path) {
    let mode = fs::metadata(from).unwrap().permissions().mode();
    fs::set_permissions(to, fs::Permissions::from_mode(mode)).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target: PathBuf = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir(&target).unwrap();
            copy_into(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// What the server says of the log of a directory in which something was done.
async fn found(directory: TempDir, expected: &[AuditHead]) -> (u64, ChainFlaw, String) {
    let server = Server::start_in(directory).await;
    let verified = verify(&server.admin, expected).await;
    server.stop().await;
    let broken = verified.broken.expect("it is found");
    (broken.sequence, broken.flaw(), broken.description)
}

type Manipulation = (&'static str, fn(&Raw), u64, ChainFlaw);

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_was_changed_removed_or_swapped_is_found_and_named() {
    let (directory, head) = filled().await;
    let manipulations: Vec<Manipulation> = vec![
        (
            "a byte of the payload",
            |raw| {
                raw.change(5, |record| {
                    let payload = record.entry.payload.as_mut().unwrap();
                    let mut bytes = payload.bytes.to_vec();
                    let at = bytes.len() - 3;
                    bytes[at] ^= 1;
                    payload.bytes = bytes.into();
                });
            },
            5,
            ChainFlaw::PayloadChanged,
        ),
        (
            "a byte of the salt",
            |raw| {
                raw.change(4, |record| {
                    record.entry.payload.as_mut().unwrap().salt[9] ^= 1;
                });
            },
            4,
            ChainFlaw::PayloadChanged,
        ),
        (
            "the time",
            |raw| raw.change(3, |record| record.entry.at = Timestamp::from_millis(1)),
            3,
            ChainFlaw::HeaderChanged,
        ),
        (
            "a record that is none",
            |raw| raw.set(6, b"\x01\xff\xff\xff"),
            6,
            ChainFlaw::Unreadable,
        ),
        (
            "the first record, removed",
            |raw| raw.remove(1),
            1,
            ChainFlaw::Missing,
        ),
        (
            "a record, removed",
            |raw| raw.remove(7),
            7,
            ChainFlaw::Missing,
        ),
        (
            "a payload, removed with its salt",
            |raw| raw.change(4, |record| record.entry.payload = None),
            4,
            ChainFlaw::Blanked,
        ),
        (
            "two records, swapped",
            |raw| {
                let (one, other) = (raw.get(4).1, raw.get(6).1);
                raw.set(4, &other);
                raw.set(6, &one);
            },
            4,
            ChainFlaw::Misplaced,
        ),
        (
            "a record, written anew with its hash",
            |raw| {
                raw.change(5, |record| {
                    let before = credd::domain::audit::Head {
                        sequence: 4,
                        hash: record.entry.previous,
                    };
                    let (at, mut payload) =
                        (record.entry.at, record.entry.payload.clone().unwrap());
                    payload.salt = [0; 32];
                    record.entry = credd::domain::audit::Entry::after(
                        ChainNumber::FIRST,
                        &before,
                        at,
                        payload,
                    );
                });
            },
            6,
            ChainFlaw::Unlinked,
        ),
    ];
    for (what, manipulate, sequence, flaw) in manipulations {
        let damaged = copy(directory.path());
        raw(damaged.path(), manipulate);
        let (named, as_what, description) = found(damaged, &[]).await;
        assert_eq!((named, as_what), (sequence, flaw), "{what}: {description}");
        assert!(description.contains(&sequence.to_string()), "{description}");
    }
    // Untouched it is sound.
    let server = Server::start_in(directory).await;
    sound(&server.admin, &[head]).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_that_was_cut_is_found_against_a_head_that_was_kept() {
    let (directory, head) = filled().await;
    for cut in [1, 3] {
        let damaged = copy(directory.path());
        let last = raw(damaged.path(), |raw| {
            let last = raw.last();
            for sequence in (last - cut + 1..=last).rev() {
                raw.remove(sequence);
            }
            last
        });
        assert!(last >= head.sequence);
        let kept = AuditHead {
            sequence: last,
            ..head.clone()
        };
        let (named, flaw, _) = found(damaged, &[kept]).await;
        assert_eq!((named, flaw), (last - cut + 1, ChainFlaw::Cut), "{cut}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_beginning_that_was_removed_by_another_than_retention_is_found() {
    let (directory, head) = filled().await;
    let early = raw(directory.path(), |raw| {
        let Head { sequence, hash } = raw.record(5).entry.head();
        AuditHead {
            sequence,
            hash: hash.to_string(),
            ..head.clone()
        }
    });
    for expected in [&[][..], &[early, head]] {
        let damaged = copy(directory.path());
        raw(damaged.path(), |raw| raw.remove_through(7));
        let (named, flaw, description) = found(damaged, expected).await;
        assert_eq!((named, flaw), (7, ChainFlaw::Removed), "{description}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_was_set_back_is_found_against_a_head_that_was_kept() {
    let (directory, _) = filled().await;
    let earlier = copy(directory.path());
    let server = Server::start_in(directory).await;
    let before = sound(&server.admin, &[]).await;
    fill(&server.admin, 3).await;
    let kept = sound(&server.admin, std::slice::from_ref(&before)).await;
    drop(server.stop().await);

    // Set back: the log ends before what was seen.
    let server = Server::start_in(earlier).await;
    sound(&server.admin, std::slice::from_ref(&before)).await;
    let verified = verify(&server.admin, std::slice::from_ref(&kept)).await;
    let broken = verified.broken.unwrap();
    assert_eq!(broken.flaw(), ChainFlaw::Cut);
    assert!(broken.sequence <= kept.sequence);
    // And once it has grown again: what was seen is not what is there.
    fill(&server.admin, 6).await;
    sound(&server.admin, std::slice::from_ref(&before)).await;
    let verified = verify(&server.admin, &[before, kept.clone()]).await;
    let broken = verified.broken.unwrap();
    assert_eq!(
        (broken.sequence, broken.flaw()),
        (kept.sequence, ChainFlaw::OtherHash)
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_last_record_that_cannot_be_read_keeps_the_server_from_starting() {
    let (directory, _) = filled().await;
    raw(directory.path(), |raw| raw.set(raw.last(), b"\x01\xff"));
    let config = crate::support::config(directory.path());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ended = credd::server::run(&config, listener, std::future::pending()).await;
    let error = credd::server::telemetry::chain(&*ended.unwrap_err());
    assert!(error.contains("the record at key 61"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_event_is_listed_as_such_and_not_as_what_it_says() {
    let (directory, _) = filled().await;
    raw(directory.path(), |raw| {
        raw.change(5, |record| {
            let payload = record.entry.payload.as_mut().unwrap();
            payload.bytes = payload.bytes.slice(..payload.bytes.len() - 2);
        });
    });
    let server = Server::start_in(directory).await;
    let all = crate::events(&server.admin, credd::proto::v1::AuditFilter::default()).await;
    let damaged = &all[4];
    assert_eq!(damaged.sequence, 5);
    assert_eq!(damaged.state(), credd::proto::v1::AuditEventState::Damaged);
    assert_eq!(damaged.action, "");
    // It tells nothing by which it could be found.
    let filter = credd::proto::v1::AuditFilter {
        tenant: "acme".to_owned(),
        ..Default::default()
    };
    let some = crate::events(&server.admin, filter).await;
    assert!(some.iter().all(|event| event.sequence != 5));
    server.stop().await;
}
