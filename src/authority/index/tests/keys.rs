//! What was made anew of secrets, and what remains on keys.

use super::*;
use crate::domain::rekeyed::RekeyedSecret;

fn mac(pepper: u32) -> Mac {
    Mac {
        pepper: KeyVersion(pepper),
        tag: [u8::try_from(pepper).unwrap(); 32],
    }
}

fn sealed(version: u8) -> Arc<[u8]> {
    [0, 0, 0, version, 9].into()
}

fn secret(generation: u32, pepper: u32) -> RekeyedSecret {
    RekeyedSecret {
        generation: Generation::new(generation),
        mac: mac(pepper),
    }
}

/// One with the secrets 2 and, until then, 1, under the first keys.
fn overlapping(n: u8) -> Credential {
    let held = |generation| HeldSecret {
        generation: Generation::new(generation),
        mac: mac(1),
        origin: Origin::Native,
    };
    Credential {
        secret: held(2),
        overlap: Some(Overlap {
            secret: held(1),
            ends_at: END,
        }),
        sealed: Some(sealed(1)),
        ..in_state(n, State::Active)
    }
}

const END: Timestamp = Timestamp::from_millis(100);
const BEFORE: Timestamp = Timestamp::from_millis(99);

/// Both secrets and the sealed text under the second keys.
fn rekeyed() -> Rekeyed {
    Rekeyed {
        current: secret(2, 2),
        previous: Some(secret(1, 2)),
        sealed: Some(sealed(2)),
    }
}

fn rekey(index: &Index, n: u8, rekeyed: &Rekeyed) {
    let revision = index.applied().revision.next();
    index.apply(position(revision.number()), |writer| {
        writer.set_rekeyed(id(n), rekeyed, revision);
    });
}

fn needs(index: &Index, n: u8) -> Needs {
    let entry = index.read(|index| index.credential(id(n))).1;
    let entry = entry.unwrap();
    let stored = entry.to_stored(index.names(), index.directory());
    assert_eq!(Needs::of(&stored.credential), entry.needs());
    entry.needs()
}

fn remaining(index: &Index, version: u32, now: Timestamp) -> [u64; 2] {
    KeyKind::ALL.map(|kind| {
        let remaining = index.read(|index| index.remaining(kind, KeyVersion(version), now));
        remaining.1.secrets
    })
}

#[test]
fn what_was_made_anew_shows_in_all_but_the_revision() {
    let index = Index::new();
    put(&index, &overlapping(1));
    let before = index.read(|index| index.credential(id(1))).1.unwrap();
    for held_by_a_reader in [true, false] {
        let reader = held_by_a_reader.then(|| Arc::clone(&before));
        rekey(&index, 1, &rekeyed());
        let after = index.read(|index| index.credential(id(1))).1.unwrap();
        assert_eq!(after.revision(), Revision::new(1));
        assert!(after.is_rekeyed());
        let (names, directory) = (index.names(), index.directory());
        let mut expected = before.to_stored(names, directory);
        let credential = &mut expected.credential;
        credential.secret.mac = mac(2);
        credential.overlap.as_mut().unwrap().secret.mac = mac(2);
        credential.sealed = Some(sealed(2));
        assert_eq!(after.to_stored(names, directory), expected);
        assert_eq!(after.label(), "test");
        drop(reader);
    }
    assert!(!before.is_rekeyed(), "who had it has it as it was");
    put(&index, &overlapping(1));
    let after = index.read(|index| index.credential(id(1))).1.unwrap();
    assert!(!after.is_rekeyed(), "a record has all in itself");
}

#[test]
fn it_holds_for_the_same_secrets_and_never_over_a_later_record() {
    let index = Index::new();
    rekey(&index, 1, &rekeyed());
    assert!(
        index.read(|index| index.is_empty()).1,
        "it makes no credential"
    );
    put(&index, &overlapping(1));
    let before = needs(&index, 1);
    let of_another = Rekeyed {
        current: secret(1, 2),
        ..rekeyed()
    };
    rekey(&index, 1, &of_another);
    assert_eq!(needs(&index, 1), before);
    index.apply(position(9), |writer| {
        writer.set_rekeyed(id(1), &rekeyed(), Revision::new(1));
    });
    assert_eq!(needs(&index, 1), before, "the record is of a later commit");
    let of_one = Rekeyed {
        previous: None,
        sealed: None,
        ..rekeyed()
    };
    rekey(&index, 1, &of_one);
    let after = Needs {
        current: Some(KeyVersion(2)),
        ..before
    };
    assert_eq!(needs(&index, 1), after);
}

#[test]
fn what_is_denied_and_what_was_imported_is_found_as_it_is_now() {
    let index = Index::new();
    let imported = Credential {
        secret: HeldSecret {
            origin: Origin::Imported(None),
            ..overlapping(1).secret
        },
        overlap: None,
        ..in_state(1, State::Locked)
    };
    put(&index, &imported);
    rekey(&index, 1, &rekeyed());
    let (_, (denied, old, new)) = index.read(|index| {
        let denied = index.denied().get(&id(1)).cloned();
        let found = |pepper| index.imported(&mac(pepper)).first().map(|entry| entry.id());
        (denied, found(1), found(2))
    });
    assert_eq!(*denied.unwrap().mac(), mac(2));
    assert_eq!((old, new), (None, Some(id(1))));
}

#[test]
fn what_remains_is_counted_through_every_change() {
    let index = Index::new();
    put(&index, &overlapping(1));
    put(&index, &overlapping(2));
    put(&index, &in_state(3, State::Locked));
    assert_eq!(remaining(&index, 1, BEFORE), [5, 2]);
    let half = Rekeyed {
        previous: Some(secret(1, 1)),
        sealed: Some(sealed(1)),
        ..rekeyed()
    };
    rekey(&index, 1, &half);
    assert_eq!(remaining(&index, 1, BEFORE), [4, 2]);
    assert_eq!(remaining(&index, 2, BEFORE), [1, 0]);
    rekey(&index, 1, &rekeyed());
    assert_eq!(remaining(&index, 1, BEFORE), [3, 1]);
    assert_eq!(remaining(&index, 2, BEFORE), [2, 1]);
    let revoked = Credential {
        state: State::Revoked,
        sealed: None,
        ..overlapping(2)
    };
    put(&index, &revoked);
    assert_eq!(remaining(&index, 1, BEFORE), [1, 0]);
    // An overlap ends by the clock.
    put(&index, &overlapping(4));
    assert_eq!(remaining(&index, 1, BEFORE), [3, 1]);
    assert_eq!(remaining(&index, 1, END), [2, 1]);
    assert_eq!(remaining(&index, 2, END), [1, 1]);
    for n in 1..=4 {
        let revision = index.applied().revision.next();
        index.apply(position(revision.number()), |writer| writer.remove(id(n)));
    }
    assert_eq!(remaining(&index, 1, BEFORE), [0, 0]);
    assert_eq!(remaining(&index, 2, BEFORE), [0, 0]);
}

#[test]
fn requests_are_counted_under_each_key_that_they_need() {
    let index = Index::new();
    let request = |key, sealed_under: u8| {
        Arc::new(RequestRecord {
            key: KeyVersion(key),
            asked: [0; 32],
            at: END,
            credential: id(1),
            generation: Generation::FIRST,
            sealed: sealed(sealed_under).to_vec(),
            replaced: Vec::new(),
        })
    };
    let set = |name: u8, record: Option<Arc<RequestRecord>>| {
        let revision = index.applied().revision.next();
        index.apply(position(revision.number()), |writer| {
            writer.set_request([name; 32], record, revision);
        });
    };
    let counts = || {
        [1, 2].map(|version| {
            let version = KeyVersion(version);
            let (_, (remaining, names)) = index.read(|index| {
                let remaining = index.remaining(KeyKind::Sealing, version, END);
                (remaining, index.requests_under(version).len() as u64)
            });
            assert_eq!(remaining.requests, names);
            names
        })
    };
    set(1, Some(request(1, 1)));
    set(2, Some(request(1, 2)));
    assert_eq!(counts(), [2, 1]);
    // Its secret ended, its name stays.
    let emptied = RequestRecord {
        sealed: Vec::new(),
        ..(*request(1, 2)).clone()
    };
    set(2, Some(Arc::new(emptied)));
    assert_eq!(counts(), [2, 0]);
    set(1, None);
    set(2, None);
    set(2, None);
    assert_eq!(counts(), [0, 0]);
}
