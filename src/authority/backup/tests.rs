use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use proptest::collection::vec;
use proptest::prelude::*;
use zeroize::Zeroizing;

use super::*;
use crate::authority::record::tests::any_credential;
use crate::authority::record::{Record, RequestRecord};
use crate::domain::credential::Uses;
use crate::domain::id::CredentialId;
use crate::domain::keyring::{KeyKind, KeyProblem, Keyring};
use crate::domain::token::Generation;
use crate::store::memory::MemoryStore;
use crate::store::{
    Batch, Changes, Entry, KeyRange, PageLimit, Store, StoreError, Write as StoreWrite,
};

/// A keyring of sealing keys of these versions, each made of its number.
fn keyring(versions: &[u32]) -> Keyring {
    let keys: Vec<_> = versions
        .iter()
        .map(|version| {
            (
                KeyVersion(*version),
                Zeroizing::new([u8::try_from(*version).unwrap(); 32]),
            )
        })
        .collect();
    Keyring::new(&keys, &keys).unwrap()
}

fn header(store: &dyn Store) -> Header {
    let loaded = keyring(&[1]).checks();
    let mut keys = KeyringState::default();
    for kind in KeyKind::ALL {
        let (version, check_value) = loaded.of(kind)[0];
        keys.of_mut(kind)
            .activate(version, check_value, loaded.of(kind))
            .unwrap();
    }
    Header {
        purpose: Purpose::Backup,
        store: store.id(),
        at: Timestamp::from_millis(7),
        begun_at: Revision::ZERO,
        keyring: Some(keys),
    }
}

/// The keys that a commit puts and deletes.
type Writes = Vec<(Bytes, Option<Bytes>)>;

fn commit(store: &dyn Store, writes: Writes) {
    let writes = writes.into_iter();
    let batch = Batch {
        writes: writes
            .map(|(key, value)| StoreWrite { key, value })
            .collect(),
        ..Batch::default()
    };
    store.commit(batch).unwrap();
}

fn store() -> MemoryStore {
    MemoryStore::new(StoreId::from_random([1; 16]))
}

/// A backup of a store with a few records of different kinds.
fn small() -> Vec<u8> {
    let store = store();
    let keys = KeyringState::default().noting(&keyring(&[1]).checks());
    let records = [
        Record::Keyring(Some(Arc::new(keys))),
        Record::Uses(CredentialId::MAX, Some(Uses::default())),
    ];
    for record in records {
        commit(&store, vec![(record.key(), record.encode())]);
    }
    backup(&store)
}

fn backup(store: &dyn Store) -> Vec<u8> {
    let (bytes, _) = take(store, header(store), &keyring(&[1]), Vec::new()).unwrap();
    bytes
}

fn check(bytes: &[u8], keyring: &Keyring) -> Result<Verified, InvalidBackup> {
    let verified = Reader::open(bytes).and_then(|reader| verify(reader, keyring, |_| ()));
    verified.map_err(|error| match error {
        BackupError::Invalid(invalid) => invalid,
        BackupError::Io(error) => panic!("{error}"),
    })
}

/// What a backup leads to.
fn state(bytes: &[u8]) -> (BTreeMap<Bytes, (Revision, Bytes)>, End) {
    let mut reader = Reader::open(bytes).unwrap();
    let mut state = BTreeMap::new();
    while let Some((_, items)) = reader.next_part().unwrap() {
        for Item {
            key,
            revision,
            value,
        } in items
        {
            match value {
                Some(value) => state.insert(key, (revision, value)),
                None => state.remove(&key),
            };
        }
    }
    (state, reader.end().unwrap().clone())
}

/// A store to which others write whenever it is read, and that shows little at once.
#[derive(Debug)]
struct Busy {
    inner: MemoryStore,
    to_come: Mutex<VecDeque<Writes>>,
}

impl Busy {
    fn go_on(&self) {
        if let Some(writes) = self.to_come.lock().pop_front() {
            commit(&self.inner, writes);
        }
    }
}

impl Store for Busy {
    fn id(&self) -> StoreId {
        self.inner.id()
    }

    fn commit(&self, batch: Batch) -> Result<Revision, StoreError> {
        self.inner.commit(batch)
    }

    fn changes(
        &self,
        after: Revision,
        _: PageLimit,
        wait: Duration,
    ) -> Result<Changes, StoreError> {
        self.go_on();
        let limit = PageLimit {
            commits: 2,
            bytes: 1 << 20,
        };
        self.inner.changes(after, limit, wait)
    }

    fn scan(&self, range: &KeyRange, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.go_on();
        self.inner.scan(range, limit.min(2))
    }

    fn snapshot(&self) -> Result<Position, StoreError> {
        let position = self.inner.snapshot();
        self.go_on();
        position
    }

    fn compact(&self, through: Revision) -> Result<(), StoreError> {
        self.inner.compact(through)
    }
}

/// Commits that put and delete a few keys, those of requests among them.
fn commits() -> impl Strategy<Value = Vec<Writes>> {
    let key = "[a-eq][0-3]".prop_map(Bytes::from);
    let value = proptest::option::of("[a-z]{0,4}".prop_map(Bytes::from));
    let writes = proptest::collection::btree_map(key, value, 1..4);
    vec(
        writes.prop_map(|writes| writes.into_iter().collect()),
        0..40,
    )
}

proptest! {
    #[test]
    fn a_backup_is_the_store_at_one_revision_while_others_write(
        before in commits(),
        meanwhile in commits(),
    ) {
        let inner = store();
        for writes in before {
            commit(&inner, writes);
        }
        let begun = inner.snapshot().unwrap().revision;
        let store = Busy { inner, to_come: Mutex::new(meanwhile.into()) };
        let (found, end) = state(&backup(&store));
        prop_assert!(end.position.revision >= begun);

        let all = PageLimit { commits: usize::MAX, bytes: usize::MAX };
        let log = store.inner.changes(Revision::ZERO, all, Duration::ZERO).unwrap();
        let mut expected = BTreeMap::new();
        let mut position = Position::START;
        let log = log.commits.iter();
        for commit in log.take_while(|commit| commit.position.revision <= end.position.revision) {
            position = commit.position;
            for write in commit.writes.iter().filter(|write| write.key[0] != b'q') {
                match &write.value {
                    Some(value) => {
                        let held = (commit.position.revision, value.clone());
                        expected.insert(write.key.clone(), held)
                    }
                    None => expected.remove(&write.key),
                };
            }
        }
        prop_assert_eq!(end.position, position);
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn what_records_there_are_is_read_back(
        credentials in vec(any_credential(), 0..8),
        at in 0..=Timestamp::MAX.as_millis(),
    ) {
        let store = store();
        for credential in credentials {
            let record = Record::Credential(credential.id, Some(Arc::new(credential)));
            commit(&store, vec![(record.key(), record.encode())]);
        }
        let header = Header { at: Timestamp::from_millis(at), ..header(&store) };
        let (bytes, end) = take(&store, header.clone(), &keyring(&[1]), Vec::new()).unwrap();
        let verified = check(&bytes, &keyring(&[1, 2])).unwrap();
        let begun_at = store.snapshot().unwrap().revision;
        prop_assert_eq!(verified.header, Header { begun_at, ..header });
        prop_assert_eq!(&verified.end, &end);
        prop_assert_eq!(state(&bytes).0.len() as u64, end.items);
    }

    #[test]
    fn arbitrary_bytes_are_no_backup(bytes: Vec<u8>) {
        let refused = check(&bytes, &keyring(&[1]));
        prop_assert!(refused.is_err());
    }
}

#[test]
fn every_changed_bit_is_found() {
    let keyring = keyring(&[1]);
    let good = small();
    check(&good, &keyring).unwrap();
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut changed = good.clone();
            changed[at] ^= 1 << bit;
            let refused = check(&changed, &keyring).unwrap_err();
            let within = refused.at <= at as u64;
            assert!(within, "bit {bit} of byte {at}: {refused}");
        }
    }
}

#[test]
fn every_cut_is_found() {
    let keyring = keyring(&[1]);
    let good = small();
    assert_eq!(check(&[], &keyring).unwrap_err(), Problem::NotABackup.at(0));
    for length in 1..good.len() {
        let refused = check(&good[..length], &keyring).unwrap_err();
        assert_eq!(refused.problem, Problem::Cut, "{length} bytes: {refused}");
        assert!(refused.at <= length as u64);
    }
    let more = [&good[..], b"\0"].concat();
    let refused = check(&more, &keyring).unwrap_err();
    assert_eq!(refused, Problem::More.at(good.len() as u64));
}

#[test]
fn parts_that_were_left_out_or_moved_are_found() {
    let (keyring, store) = (keyring(&[1]), store());
    let value = Record::Uses(CredentialId::MAX, Some(Uses::default())).encode();
    for n in 0..3000_u32 {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&n.to_be_bytes());
        let record = Record::Uses(CredentialId::from_bytes(id), None);
        commit(&store, vec![(record.key(), value.clone())]);
    }
    let good = backup(&store);
    check(&good, &keyring).unwrap();
    let frames = frames(&good);
    assert_eq!(frames.len(), 5, "a header, three parts and a trailer");
    let put = |order: &[usize]| {
        let frames = order.iter().map(|at| frames[*at]);
        [&good[..12]]
            .into_iter()
            .chain(frames)
            .collect::<Vec<_>>()
            .concat()
    };
    assert_eq!(put(&[0, 1, 2, 3, 4]), good);
    for (order, problem) in [
        (&[0, 1, 3, 4][..], Problem::Sum),
        (&[0, 4], Problem::Sum),
        (&[0, 2, 1, 3, 4], Problem::Sum),
        (&[0, 1, 1, 2, 3, 4], Problem::Sum),
        (&[0, 1, 0, 2, 3, 4], Problem::Misplaced),
        (&[1, 2, 3, 4], Problem::Misplaced),
        (&[4], Problem::Misplaced),
        (&[0, 1, 2, 3, 4, 4], Problem::More),
        (&[0, 1, 2, 3], Problem::Cut),
        (&[0], Problem::Cut),
        (&[], Problem::Cut),
    ] {
        let refused = check(&put(order), &keyring).unwrap_err();
        assert_eq!(refused.problem, problem, "{order:?}");
    }
}

/// The frames of a backup.
fn frames(bytes: &[u8]) -> Vec<&[u8]> {
    let mut rest = &bytes[12..];
    let mut frames = Vec::new();
    while !rest.is_empty() {
        let length = u32::from_be_bytes(rest[1..5].try_into().unwrap());
        let (frame, after) = rest.split_at(5 + length as usize + 4);
        frames.push(frame);
        rest = after;
    }
    frames
}

#[test]
fn nobody_without_the_keyring_makes_a_backup() {
    let good = small();
    let other = {
        let key = |byte: u8| vec![(KeyVersion(1), Zeroizing::new([byte; 32]))];
        Keyring::new(&key(1), &key(9)).unwrap()
    };
    let wrong = |problem| Problem::Keyring(problem).at(0);
    let differs = KeyProblem::Differs(KeyKind::Sealing, KeyVersion(1));
    assert_eq!(check(&good, &other).unwrap_err(), wrong(differs));
    let missing = KeyProblem::Missing(KeyKind::Pepper, KeyVersion(1));
    assert_eq!(check(&good, &keyring(&[2])).unwrap_err(), wrong(missing));

    // As somebody would make it who knows all that a backup says.
    let store = store();
    let (forged, _) = take(&store, header(&store), &other, Vec::new()).unwrap();
    let refused = check(&forged, &keyring(&[1])).unwrap_err();
    assert_eq!(refused.problem, Problem::Mac);
}

#[test]
fn keys_that_were_added_while_it_was_made_are_needed_too() {
    let store = store();
    let loaded = keyring(&[1, 2]).checks();
    let mut keys = KeyringState::default().noting(&loaded);
    let (_, check_value) = loaded.peppers[1];
    keys.peppers
        .activate(KeyVersion(2), check_value, &loaded.peppers)
        .unwrap();
    let record = Record::Keyring(Some(Arc::new(keys)));
    commit(&store, vec![(record.key(), record.encode())]);
    let bytes = backup(&store);
    check(&bytes, &keyring(&[1, 2])).unwrap();
    let refused = check(&bytes, &keyring(&[1])).unwrap_err();
    let missing = KeyProblem::Missing(KeyKind::Pepper, KeyVersion(2));
    assert_eq!(refused.problem, Problem::Keyring(missing));
}

#[test]
fn answers_kept_for_retries_are_in_no_backup_and_refused_in_one() {
    let request = RequestRecord {
        key: KeyVersion(1),
        asked: [1; 32],
        at: Timestamp::from_millis(1),
        credential: CredentialId::MAX,
        generation: Generation::FIRST,
        sealed: b"sealed answer".to_vec(),
        replaced: Vec::new(),
    };
    let record = Record::Request([2; 32], Some(Arc::new(request)));
    let store = store();
    commit(&store, vec![(record.key(), record.encode())]);
    let (found, end) = state(&backup(&store));
    assert!(found.is_empty());
    assert_eq!((end.items, end.position.revision), (0, Revision::new(1)));

    let mut writer = Writer::begin(Vec::new(), &header(&store)).unwrap();
    let item = Item {
        key: record.key(),
        revision: Revision::new(1),
        value: record.encode(),
    };
    writer.put(item).unwrap();
    let (bytes, _) = writer.finish(end.position, &keyring(&[1])).unwrap();
    let refused = check(&bytes, &keyring(&[1])).unwrap_err();
    assert!(matches!(refused.problem, Problem::Record(_)), "{refused}");
}

#[test]
fn of_the_audit_log_the_last_event_must_be_readable_and_no_other() {
    use crate::authority::record::audit::{AuditKey, AuditRecord, write_entry};
    use crate::domain::audit::{ChainNumber, Entry, Head, Payload};

    let genesis = Head::genesis(StoreId::from_random([1; 16]), ChainNumber::FIRST);
    let payload = Payload {
        salt: [1; 32],
        bytes: Bytes::from_static(b"said"),
    };
    let entry = Entry::after(
        ChainNumber::FIRST,
        &genesis,
        Timestamp::from_millis(1),
        payload,
    );
    let head = Head {
        sequence: 2,
        hash: entry.hash,
    };
    let record = AuditRecord {
        entry,
        revision: None,
    };
    let (good, garbage) = (write_entry(&record), Bytes::from_static(b"garbage"));
    let of = |first: &Bytes, second: &Bytes| {
        let store = store();
        for (sequence, value) in [(1, first), (2, second)] {
            let key = AuditKey::Entry(ChainNumber::FIRST, sequence).to_bytes();
            commit(&store, vec![(key, Some(value.clone()))]);
        }
        check(&backup(&store), &keyring(&[1]))
    };
    assert_eq!(of(&garbage, &good).unwrap().audit, Some(head));
    let refused = of(&good, &garbage).unwrap_err();
    assert!(matches!(refused.problem, Problem::Record(_)), "{refused}");
}

#[test]
fn a_backup_of_a_later_format_says_so() {
    let mut newer = small();
    newer[8..12].copy_from_slice(&2_u32.to_be_bytes());
    let refused = check(&newer, &keyring(&[1])).unwrap_err();
    assert_eq!(refused, Problem::NewerFormat(2).at(0));
}

#[test]
fn a_log_that_was_shortened_before_it_was_taken_ends_a_backup() {
    #[derive(Debug)]
    struct Compacted(MemoryStore);
    impl Store for Compacted {
        fn id(&self) -> StoreId {
            self.0.id()
        }
        fn commit(&self, batch: Batch) -> Result<Revision, StoreError> {
            self.0.commit(batch)
        }
        fn changes(
            &self,
            after: Revision,
            limit: PageLimit,
            wait: Duration,
        ) -> Result<Changes, StoreError> {
            self.0.compact(self.0.snapshot()?.revision)?;
            self.0.changes(after, limit, wait)
        }
        fn scan(&self, range: &KeyRange, limit: usize) -> Result<Vec<Entry>, StoreError> {
            commit(&self.0, vec![(Bytes::from_static(b"z"), None)]);
            self.0.scan(range, limit)
        }
        fn snapshot(&self) -> Result<Position, StoreError> {
            self.0.snapshot()
        }
        fn compact(&self, through: Revision) -> Result<(), StoreError> {
            self.0.compact(through)
        }
    }
    let store = Compacted(store());
    commit(
        &store.0,
        vec![(Bytes::from_static(b"u"), Some(Bytes::new()))],
    );
    let failed = take(&store, header(&store), &keyring(&[1]), Vec::new()).unwrap_err();
    assert!(matches!(
        failed,
        TakeError::Store(StoreError::Compacted { .. })
    ));
}
