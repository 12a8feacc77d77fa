use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;

fn text() -> impl Strategy<Value = std::sync::Arc<str>> {
    "\\PC{0,12}".prop_map(Into::into)
}

/// A name, of which roles are made.
fn name() -> impl Strategy<Value = std::sync::Arc<str>> {
    "[a-z][a-z0-9]{0,8}".prop_map(Into::into)
}

fn any_id() -> impl Strategy<Value = CredentialId> {
    any::<[u8; 16]>().prop_map(CredentialId::from_bytes)
}

fn any_time() -> impl Strategy<Value = Timestamp> {
    (0..=Timestamp::MAX.as_millis()).prop_map(Timestamp::from_millis)
}

fn any_change() -> impl Strategy<Value = Change> {
    let actions = [Action::Issue, Action::Lock, Action::Unlock, Action::Revoke];
    let action = prop::sample::select(actions.to_vec());
    (action, any_time(), text(), text()).prop_map(|(action, at, by, reason)| Change {
        action,
        at,
        by: Principal::trusted(by),
        reason: Reason::trusted(reason),
    })
}

/// Any credential, more often than not as it was issued.
pub(in crate::authority) fn any_credential() -> impl Strategy<Value = Credential> {
    let kind = prop::sample::select(Kind::ALL.to_vec());
    let states = [State::Active, State::Locked, State::Revoked];
    let state = prop::sample::select(states.to_vec());
    let names = (name(), name(), text(), text(), vec(name(), 0..4));
    let times = (any_time(), option::of(any_time()), option::of(1_u64..));
    let mac = (any::<u32>(), any::<[u8; 32]>(), any::<u32>());
    (
        any_id(),
        kind,
        state,
        names,
        times,
        mac,
        option::of(any_change()),
        text(),
    )
        .prop_map(|(id, kind, state, names, times, mac, change, by)| {
            let (tenant, owner, label, description, roles) = names;
            let (created_at, expires_at, state_set) = times;
            let (pepper, tag, generation) = mac;
            let created_by = Principal::trusted(by);
            Credential {
                id,
                tenant: Tenant::trusted(tenant),
                owner: Owner::trusted(owner),
                kind,
                label: Label::trusted(label),
                description: Description::trusted(description),
                roles: roles.into_iter().map(Role::trusted).collect(),
                state,
                state_set: state_set.map(Revision::new),
                created_at,
                last_change: change.unwrap_or_else(|| Change {
                    action: Action::Issue,
                    at: created_at,
                    by: created_by.clone(),
                    reason: Reason::trusted("".into()),
                }),
                created_by,
                expires_at,
                generation: Generation::new(generation),
                mac: Mac {
                    pepper: KeyVersion(pepper),
                    tag,
                },
            }
        })
}

fn any_checks() -> impl Strategy<Value = Vec<(KeyVersion, CheckValue)>> {
    vec(
        (any::<u32>().prop_map(KeyVersion), any::<CheckValue>()),
        0..4,
    )
}

fn any_record() -> impl Strategy<Value = Record> {
    let credential = option::of(any_credential());
    let last_use = (any_time(), text()).prop_map(|(at, by)| LastUse {
        at,
        by: Principal::trusted(by),
    });
    let checks = (any_checks(), any_checks());
    let checks = checks.prop_map(|(peppers, sealing)| KeyChecks { peppers, sealing });
    prop_oneof![
        (any_id(), credential).prop_map(|(id, credential)| {
            let credential = credential.map(|credential| Credential { id, ..credential });
            Record::Credential(id, credential.map(Arc::new))
        }),
        (any_id(), option::of(last_use)).prop_map(|(id, last)| Record::LastUse(id, last)),
        option::of(checks).prop_map(Record::Keyring),
    ]
}

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
    let value = Record::Keyring(Some(KeyChecks::default()))
        .encode()
        .unwrap();
    assert!(decode(&key, Some(&value)).is_ok());
    let newer = [&[FORMAT + 1], &value[1..]].concat();
    let refused = decode(&key, Some(&newer)).unwrap_err();
    assert!(refused.what.contains("format 2"), "{refused}");
    assert_eq!(refused.key, "6b");
    for (key, value) in [
        (&b"k"[..], &b""[..]),
        (b"kk", &value),
        (b"", &value),
        (b"x", &value),
        (b"c too short", &value),
        // A credential without anything.
        (b"c0123456789abcdef", &[FORMAT]),
    ] {
        assert!(decode(key, Some(value)).is_err(), "{key:?}");
    }
}

#[test]
fn the_largest_credential_fits_in_a_value() {
    use crate::domain::names::MAX_ROLES;

    let longest = |character: char, characters| -> std::sync::Arc<str> {
        std::iter::repeat_n(character, characters)
            .collect::<String>()
            .into()
    };
    let by = Principal::credd(&Owner::parse(&longest('o', 128)).unwrap());
    let at = Timestamp::MAX;
    let credential = Credential {
        id: CredentialId::MAX,
        tenant: Tenant::parse(&longest('t', 63)).unwrap(),
        owner: Owner::parse(&longest('o', 128)).unwrap(),
        kind: Kind::KeyPair,
        label: Label::parse(&longest('\u{1d11e}', 128)).unwrap(),
        description: Description::parse(&longest('d', 1024)).unwrap(),
        roles: vec![Role::parse(&longest('r', 63)).unwrap(); MAX_ROLES],
        state: State::Revoked,
        state_set: Some(Revision::new(u64::MAX)),
        created_at: at,
        created_by: by.clone(),
        expires_at: Some(at),
        generation: Generation::new(u32::MAX),
        mac: Mac {
            pepper: KeyVersion(u32::MAX),
            tag: [0xff; 32],
        },
        last_change: Change {
            action: Action::Revoke,
            at,
            by,
            reason: Reason::parse(&longest('r', 256)).unwrap(),
        },
    };
    let record = Record::Credential(credential.id, Some(Arc::new(credential)));
    assert!(record.encode().unwrap().len() <= crate::store::MAX_VALUE_BYTES);
}
