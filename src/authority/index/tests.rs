use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;
use std::thread;

use super::*;
use crate::authority::entry::tests::credential;
use crate::authority::listing::following;
use crate::domain::credential::{Change, HeldSecret, Origin, Overlap, Use};
use crate::domain::keyring::KeyVersion;
use crate::domain::names::{Principal, Reason, Role, Tenant};
use crate::domain::revision::ChainHash;
use crate::domain::time::Timestamp;
use crate::domain::token::Generation;

mod keys;

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
        let (mut seen, mut reads) = (0, 0);
        // On until something was written meanwhile.
        while reads < READS || seen <= 1 {
            reads += 1;
            let (revision, (position, entries, denied)) = index.read(|index| {
                let entries: Vec<_> = (0..CREDENTIALS).map(|n| index.credential(id(n))).collect();
                (index.position(), entries, index.denied())
            });
            assert_eq!(position.revision, revision);
            assert!(revision.number() >= seen, "time went back");
            seen = revision.number();
            for entry in entries {
                let entry = entry.unwrap();
                assert_eq!(
                    (entry.revision(), entry.standing()),
                    (revision, state(seen))
                );
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
    };
    thread::scope(|scope| {
        let readers = [scope.spawn(read), scope.spawn(read)];
        scope.spawn(|| {
            let mut revision = 1;
            while !is_over.load(Ordering::Relaxed) {
                revision += 1;
                commit(revision);
            }
        });
        let read = readers.map(std::thread::ScopedJoinHandle::join);
        is_over.store(true, Ordering::Relaxed);
        assert!(read.iter().all(Result::is_ok));
    });
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
    assert_eq!(entry.unwrap().standing(), State::Revoked);
}

#[test]
fn what_was_removed_is_nowhere() {
    let index = Index::new();
    let put =
        |writer: &mut Writer<'_>, n| writer.put(&in_state(n, State::Locked), Revision::new(1));
    index.apply(position(1), |writer| (1..4).for_each(|n| put(writer, n)));
    index.apply(position(2), |writer| writer.remove(id(2)));
    let (_, (found, ids, denied)) = index.read(|index| {
        let ids = all_after(index, CredentialId::MIN);
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

fn all_after(index: Reader<'_>, after: CredentialId) -> Vec<CredentialId> {
    index.listing(|listing| following(listing.of_tenant(None), after).collect())
}

/// A scan shows the uses of a credential before or after its record.
#[test]
fn the_uses_are_kept_whenever_they_come_and_when_the_record_changes() {
    let uses = Uses::new([Use {
        at: Timestamp::from_millis(77),
        by: Principal::trusted("credd:checker".into()),
        generation: Generation::FIRST,
    }]);
    let index = Index::new();
    let shown = || {
        let (_, (entry, listed)) = index.read(|index| {
            let in_order: Vec<_> = index.listing(|listing| {
                let before = (Timestamp::from_millis(0), CredentialId::MIN);
                following(listing.used(None), before).collect()
            });
            (index.credential(id(1)), in_order)
        });
        let uses = entry.map(|entry| entry.uses()).unwrap_or_default();
        let expected = uses.latest().map(|latest| (latest.at, id(1)));
        assert_eq!(listed, expected.into_iter().collect::<Vec<_>>());
        uses
    };
    index.apply(position(1), |writer| {
        writer.set_uses(id(1), Some(uses.clone()));
    });
    assert_eq!(shown(), Uses::default());
    index.apply(position(2), |writer| {
        writer.put(&in_state(1, State::Active), Revision::new(2));
    });
    assert_eq!(shown(), uses);
    index.apply(position(3), |writer| {
        writer.put(&in_state(1, State::Locked), Revision::new(3));
    });
    assert_eq!(shown(), uses);
    index.apply(position(4), |writer| writer.set_uses(id(1), None));
    assert_eq!(shown(), Uses::default());
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
    let ids = |after| {
        let (_, ids) = index.read(|index| all_after(index, after));
        ids.iter().map(|id| id.as_bytes()[15]).collect::<Vec<_>>()
    };
    assert_eq!(ids(CredentialId::MIN), [1, 2, 3, 4, 5]);
    assert_eq!(ids(id(2)), [3, 4, 5]);
    assert_eq!(index.read(|index| index.greatest_id()).1, Some(id(5)));
}

/// Puts a record as the last commit left it.
fn put(index: &Index, credential: &Credential) {
    let revision = index.applied().revision.next();
    index.apply(position(revision.number()), |writer| {
        writer.put(credential, revision);
    });
}

#[test]
fn a_changed_credential_stands_only_where_it_belongs_now() {
    let index = Index::new();
    let before = Credential {
        roles: vec![Role::trusted("reader".into())],
        expires_at: Some(Timestamp::from_millis(10)),
        ..in_state(1, State::Locked)
    };
    put(&index, &before);
    let after = Credential {
        roles: vec![Role::trusted("writer".into())],
        expires_at: Some(Timestamp::from_millis(20)),
        ..in_state(1, State::Revoked)
    };
    put(&index, &after);
    index.read(|index| {
        let (directory, names) = (index.directory(), index.names());
        let tenant = directory.tenant("acme", names);
        let owner = directory.owner(tenant.unwrap(), "jo", names).unwrap();
        index.listing(|listing| {
            let count =
                |sets: Vec<&BTreeSet<CredentialId>>| following(sets, CredentialId::MIN).count();
            assert_eq!(count(listing.of_tenant(tenant)), 1);
            assert_eq!(count(listing.of_owner(owner)), 1);
            assert_eq!(count(listing.of_role(tenant, "reader", names)), 0);
            assert_eq!(count(listing.of_role(tenant, "writer", names)), 1);
            assert_eq!(count(listing.in_states(tenant, &[State::Locked])), 0);
            assert_eq!(count(listing.in_states(tenant, &[State::Revoked])), 1);
            let first = (Timestamp::from_millis(0), CredentialId::MIN);
            let expiring: Vec<_> = following(listing.expiring(tenant), first).collect();
            assert_eq!(expiring, [(Timestamp::from_millis(20), id(1))]);
        });
    });
    index.apply(position(3), |writer| writer.remove(id(1)));
    index.read(|index| {
        let (directory, names) = (index.directory(), index.names());
        let tenant = directory.tenant("acme", names).unwrap();
        let owner = directory.owner(tenant, "jo", names).unwrap();
        index.listing(|listing| {
            assert!(listing.is_empty() && !listing.has_tenant(tenant));
            assert!(!listing.has_owner(owner) && !listing.has_role(tenant, "writer", names));
            assert!(listing.expiring(None).is_empty());
            assert!(listing.in_states(None, &[State::Revoked]).is_empty());
        });
    });
}

#[test]
fn a_credential_that_leaked_is_denied_whatever_its_state_says() {
    let index = Index::new();
    let leaked = Credential {
        leaked_at: Some(Timestamp::from_millis(5)),
        ..in_state(1, State::Active)
    };
    put(&index, &leaked);
    let (_, (entry, denied)) = index.read(|index| (index.credential(id(1)), index.denied()));
    assert_eq!(entry.unwrap().standing(), State::Locked);
    assert!(denied.contains_key(&id(1)));
    put(&index, &in_state(1, State::Active));
    assert!(index.read(|index| index.denied()).1.is_empty());
}

#[test]
fn a_secret_from_elsewhere_is_found_as_long_as_it_is_good() {
    let secret = |generation, byte, origin| HeldSecret {
        generation: Generation::new(generation),
        mac: Mac {
            pepper: KeyVersion(1),
            tag: [byte; 32],
        },
        origin,
    };
    let imported = secret(1, 7, Origin::Imported(None));
    let native = secret(2, 8, Origin::Native);
    let index = Index::new();
    let found = |secret: &HeldSecret| {
        let (_, entry) = index.read(|index| index.imported(&secret.mac));
        entry.first().map(|entry| entry.id())
    };
    assert!(!index.any_imported());
    let first = Credential {
        secret: imported.clone(),
        ..in_state(1, State::Active)
    };
    put(&index, &first);
    assert!(index.any_imported());
    assert_eq!(found(&imported), Some(id(1)));
    let overlapping = Credential {
        secret: native.clone(),
        overlap: Some(Overlap {
            secret: imported.clone(),
            ends_at: Timestamp::MAX,
        }),
        ..first
    };
    put(&index, &overlapping);
    assert_eq!((found(&imported), found(&native)), (Some(id(1)), None));
    let rotated = Credential {
        overlap: None,
        retired: vec![imported.clone()],
        ..overlapping
    };
    put(&index, &rotated);
    assert_eq!(found(&imported), None);
    assert!(!index.any_imported());
}

#[test]
fn a_removed_credential_leaves_a_trace_until_it_is_forgotten() {
    let index = Index::new();
    put(&index, &in_state(1, State::Revoked));
    let at = Timestamp::from_millis(100);
    let tombstone = Credential {
        last_change: Change {
            action: Action::Remove,
            at,
            by: Principal::system(),
            reason: Reason::trusted("".into()),
        },
        ..in_state(1, State::Revoked)
    };
    put(&index, &tombstone);
    let traces = |before| index.read(|index| index.tombstones_before(before, 9)).1;
    let later = Timestamp::from_millis(101);
    let (_, (is_empty, denied, greatest)) =
        index.read(|index| (index.is_empty(), index.denied().len(), index.greatest_id()));
    // Its id is not given again.
    assert_eq!((is_empty, denied, greatest), (true, 0, Some(id(1))));
    assert_eq!((traces(at), traces(later)), (vec![], vec![id(1)]));
    index.apply(position(3), |writer| writer.forget(id(1)));
    assert!(traces(later).is_empty());
}
