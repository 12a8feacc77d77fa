use std::sync::atomic::AtomicBool;
use std::thread;

use super::*;
use crate::authority::entry::tests::credential;
use crate::domain::names::{Principal, Tenant};
use crate::domain::revision::ChainHash;
use crate::domain::time::Timestamp;

fn id(n: u8) -> CredentialId {
    // The last bytes pick the shard.
    let mut bytes = [0; 16];
    bytes[15] = n;
    bytes[9] = n.wrapping_mul(31);
    CredentialId::from_bytes(bytes)
}

fn position(revision: u64) -> Position {
    Position {
        revision: Revision::new(revision),
        chain: ChainHash::default(),
    }
}

fn in_state(n: u8, state: State) -> Credential {
    Credential {
        state,
        ..credential(id(n))
    }
}

/// Every commit puts all of them into one state; whatever is read together
/// must then be of one state and of the revision that it is said to be of.
#[test]
fn nobody_sees_half_a_commit() {
    const CREDENTIALS: u8 = 8;
    const READS: usize = 3000;

    let index = Index::new();
    let state = |revision: u64| match revision % 2 {
        0 => State::Locked,
        _ => State::Active,
    };
    let commit = |revision: u64| {
        index.apply(position(revision), |writer| {
            for n in 0..CREDENTIALS {
                writer.put(&in_state(n, state(revision)), Revision::new(revision));
            }
        });
    };
    commit(1);
    let is_over = AtomicBool::new(false);
    let read = || {
        let mut seen = 0;
        for _ in 0..READS {
            let (revision, (position, entries, denied)) = index.read(|index| {
                let entries: Vec<_> = (0..CREDENTIALS).map(|n| index.credential(id(n))).collect();
                (index.position(), entries, index.denied())
            });
            assert_eq!(position.revision, revision);
            assert!(revision.number() >= seen, "time went back");
            seen = revision.number();
            for entry in entries {
                let entry = entry.unwrap();
                assert_eq!((entry.revision(), entry.state()), (revision, state(seen)));
            }
            let is_denied = state(seen) == State::Locked;
            assert_eq!(
                denied.len(),
                if is_denied {
                    usize::from(CREDENTIALS)
                } else {
                    0
                }
            );
        }
        seen
    };
    let last_seen = thread::scope(|scope| {
        let readers = [scope.spawn(read), scope.spawn(read)];
        scope.spawn(|| {
            let mut revision = 1;
            while !is_over.load(Ordering::Relaxed) {
                revision += 1;
                commit(revision);
            }
        });
        let seen = readers.map(std::thread::ScopedJoinHandle::join);
        is_over.store(true, Ordering::Relaxed);
        seen.map(Result::unwrap)
    });
    assert!(
        last_seen.iter().all(|&seen| seen > 1),
        "nothing was written meanwhile"
    );
}

#[test]
fn an_older_write_does_not_replace_a_newer_one() {
    let index = Index::new();
    index.apply(position(5), |writer| {
        writer.put(&in_state(1, State::Revoked), Revision::new(5));
        writer.put(&in_state(1, State::Active), Revision::new(4));
        writer.put(&in_state(1, State::Locked), Revision::new(5));
    });
    let (_, entry) = index.read(|index| index.credential(id(1)));
    assert_eq!(entry.unwrap().state(), State::Revoked);
}

#[test]
fn what_was_removed_is_nowhere() {
    let index = Index::new();
    let put = |writer: &Writer<'_>, n| writer.put(&in_state(n, State::Locked), Revision::new(1));
    index.apply(position(1), |writer| (1..4).for_each(|n| put(&writer, n)));
    index.apply(position(2), |writer| writer.remove(id(2)));
    let (_, (found, ids, denied)) = index.read(|index| {
        let all = index.of_all_tenants(CredentialId::MIN, 9);
        let ids: Vec<_> = all.iter().map(|entry| entry.id()).collect();
        (index.credential(id(2)).is_some(), ids, index.denied().len())
    });
    assert_eq!((found, ids, denied), (false, vec![id(1), id(3)], 2));
    index.apply(position(3), |writer| [1, 3].map(|n| writer.remove(id(n))));
    let (_, is_empty) = index.read(|index| index.is_empty() && index.denied().is_empty());
    assert!(is_empty);
}

#[test]
fn a_snapshot_of_what_is_denied_stays_as_it_was() {
    let index = Index::new();
    index.apply(position(1), |writer| {
        writer.put(&in_state(1, State::Locked), Revision::new(1));
    });
    let (_, before) = index.read(|index| index.denied());
    index.apply(position(2), |writer| {
        writer.put(&in_state(1, State::Active), Revision::new(2));
        writer.put(&in_state(2, State::Revoked), Revision::new(2));
    });
    let (_, after) = index.read(|index| index.denied());
    assert_eq!(before.keys().collect::<Vec<_>>(), [&id(1)]);
    assert_eq!(after.keys().collect::<Vec<_>>(), [&id(2)]);
}

/// A scan shows the use of a credential before or after its record.
#[test]
fn the_last_use_is_kept_whenever_it_comes_and_when_the_record_changes() {
    let last_use = LastUse {
        at: Timestamp::from_millis(77),
        by: Principal::trusted("credd:checker".into()),
    };
    let index = Index::new();
    let shown = || {
        let (_, entry) = index.read(|index| index.credential(id(1)));
        entry.and_then(|entry| entry.last_use(index.names()))
    };
    index.apply(position(1), |writer| {
        writer.set_last_use(id(1), Some(last_use.clone()));
    });
    assert_eq!(shown(), None);
    index.apply(position(2), |writer| {
        writer.put(&in_state(1, State::Active), Revision::new(2));
    });
    assert_eq!(shown(), Some(last_use.clone()));
    index.apply(position(3), |writer| {
        writer.put(&in_state(1, State::Locked), Revision::new(3));
    });
    assert_eq!(shown(), Some(last_use));
    index.apply(position(4), |writer| writer.set_last_use(id(1), None));
    assert_eq!(shown(), None);
}

#[test]
fn credentials_of_all_tenants_are_merged_in_the_order_of_their_ids() {
    let index = Index::new();
    index.apply(position(1), |writer| {
        for (n, tenant) in [(5, "b"), (1, "a"), (4, "a"), (2, "c"), (3, "b")] {
            let credential = Credential {
                tenant: Tenant::trusted(tenant.into()),
                ..in_state(n, State::Active)
            };
            writer.put(&credential, Revision::new(1));
        }
    });
    let ids = |after, limit| {
        let (_, entries) = index.read(|index| index.of_all_tenants(after, limit));
        entries
            .iter()
            .map(|entry| entry.id().as_bytes()[15])
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(CredentialId::MIN, 9), [1, 2, 3, 4, 5]);
    assert_eq!(ids(id(2), 2), [3, 4]);
    assert_eq!(index.read(|index| index.greatest_id()).1, Some(id(5)));
}
