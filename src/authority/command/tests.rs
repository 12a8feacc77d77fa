use proptest::prelude::*;

use super::*;
use crate::domain::keyring::KeyVersion;

const NOW: Timestamp = Timestamp::from_millis(1_000_000);

/// What a command may look at, in a list.
#[derive(Default)]
struct Listed(Vec<Known>);

impl View for Listed {
    fn credential(&self, id: CredentialId) -> Option<Known> {
        let mut known = self.0.iter();
        known.find(|known| known.credential().id == id).cloned()
    }

    fn callers(&self) -> Vec<Known> {
        let of_credd = |known: &&Known| known.credential().tenant.is_credd();
        self.0.iter().filter(of_credd).cloned().collect()
    }
}

fn keyring() -> Keyring {
    let key = [(KeyVersion(1), zeroize::Zeroizing::new([1; 32]))];
    Keyring::new(&key, &key).unwrap()
}

fn decide_on(view: &Listed, command: &Command) -> Result<Decision, Refusal> {
    let mut context = Context {
        now: NOW,
        keyring: &keyring(),
        ids: &mut IdSequence::after(None),
    };
    decide(view, command, &mut context)
}

fn id(n: u8) -> CredentialId {
    CredentialId::from_bytes([n; 16])
}

fn issue(new_id: NewId) -> Issue {
    Issue {
        tenant: Tenant::trusted("acme".into()),
        owner: Owner::trusted("jo".into()),
        kind: Kind::ApiToken,
        label: Label::trusted("test".into()),
        description: Description::trusted("".into()),
        roles: Vec::new(),
        expiry: Expiry::Never,
        secret: Secret::new([7; 32]),
        id: new_id,
        by: Principal::system(),
    }
}

fn issued(view: &Listed, issue: Issue) -> Credential {
    let decision = decide_on(view, &Command::Issue(Box::new(issue))).unwrap();
    decision.answer.unwrap().credential().clone()
}

fn credential(n: u8, state: State) -> Credential {
    Credential {
        state,
        ..issued(&Listed::default(), issue(NewId::Given(id(n))))
    }
}

fn administrator(n: u8, state: State, expires_at: Option<Timestamp>) -> Credential {
    Credential {
        tenant: Tenant::credd(),
        roles: vec![Role::trusted(Role::ADMINISTRATOR.into())],
        expires_at,
        ..credential(n, state)
    }
}

fn stored(credential: Credential, revision: u64) -> Known {
    Known::Committed(Stored {
        credential,
        revision: Revision::new(revision),
    })
}

fn set(n: u8, action: Action) -> Command {
    Command::SetState(SetState {
        id: id(n),
        action,
        reason: Reason::trusted("why".into()),
        by: Principal::trusted("credd:who".into()),
    })
}

const LATER: Option<Timestamp> = Some(Timestamp::from_millis(NOW.as_millis() + 1));

#[test]
fn every_action_on_every_state_is_decided_as_the_table_says() {
    use Action::{Lock, Revoke, Unlock};
    use State::{Active, Locked, Revoked};

    let to = |state| Ok(Some(state));
    let table = [
        (Active, Lock, to(Locked)),
        (Active, Unlock, Ok(None)),
        (Active, Revoke, to(Revoked)),
        (Locked, Lock, Ok(None)),
        (Locked, Unlock, to(Active)),
        (Locked, Revoke, to(Revoked)),
        (Revoked, Lock, Err(Refusal::Revoked(id(1)))),
        (Revoked, Unlock, Err(Refusal::Revoked(id(1)))),
        (Revoked, Revoke, Ok(None)),
    ];
    for (state, action, expected) in table {
        let before = credential(1, state);
        let view = Listed(vec![stored(before.clone(), 5)]);
        let decided = decide_on(&view, &set(1, action));
        let decided = decided.map(|decision| {
            let answer = decision.answer.unwrap().at(Revision::new(9));
            let Some(record) = decision.writes.first() else {
                assert_eq!(answer.credential, before);
                assert_eq!(
                    answer.revision,
                    Revision::new(5),
                    "the revision of the first"
                );
                return None;
            };
            assert_eq!(decision.writes.len(), 1);
            let Record::Credential(_, Some(written)) = record else {
                panic!("{record:?}");
            };
            assert_eq!(**written, answer.credential);
            assert_eq!(answer.state_revision(), Revision::new(9));
            let Change {
                action: done,
                at,
                by,
                reason,
            } = &written.last_change;
            assert_eq!((*done, *at), (action, NOW));
            assert_eq!((by.as_str(), reason.as_str()), ("credd:who", "why"));
            Some(written.state)
        });
        assert_eq!(decided, expected, "{action:?} of {state:?}");
    }
    let unknown = decide_on(&Listed::default(), &set(1, Lock));
    assert_eq!(unknown, Err(Refusal::NotFound(id(1))));
}

#[test]
fn the_last_who_can_administer_for_good_is_neither_locked_nor_revoked() {
    let is_refused = |others: Vec<Credential>, action| {
        let mut known = vec![stored(administrator(1, State::Active, None), 1)];
        known.extend(others.into_iter().map(|other| stored(other, 2)));
        let decided = decide_on(&Listed(known), &set(1, action));
        if let Err(refusal) = &decided {
            assert_eq!(*refusal, Refusal::LastAdministrator(id(1)));
        }
        decided.is_err()
    };
    let verifier = Credential {
        roles: vec![Role::trusted(Role::VERIFIER.into())],
        ..administrator(2, State::Active, None)
    };
    let of_another_tenant = Credential {
        tenant: Tenant::trusted("acme".into()),
        ..administrator(2, State::Active, None)
    };
    for action in [Action::Lock, Action::Revoke] {
        assert!(is_refused(vec![], action));
        assert!(is_refused(
            vec![administrator(2, State::Locked, None)],
            action
        ));
        assert!(is_refused(
            vec![administrator(2, State::Revoked, None)],
            action
        ));
        assert!(is_refused(
            vec![administrator(2, State::Active, LATER)],
            action
        ));
        assert!(is_refused(vec![verifier.clone()], action));
        assert!(is_refused(vec![of_another_tenant.clone()], action));
        assert!(!is_refused(
            vec![administrator(2, State::Active, None)],
            action
        ));
    }
    // One that cannot administer now is no loss.
    let locked = Listed(vec![stored(administrator(1, State::Locked, None), 1)]);
    assert!(decide_on(&locked, &set(1, Action::Revoke)).is_ok());
}

#[test]
fn a_given_id_is_issued_once() {
    let view = Listed(vec![Known::Pending(credential(1, State::Revoked).into())]);
    let command = Command::Issue(Box::new(issue(NewId::Given(id(1)))));
    assert_eq!(decide_on(&view, &command), Err(Refusal::Exists(id(1))));
}

#[test]
fn an_expiry_is_a_moment_or_a_time_after_the_issue() {
    let expires = |expiry| {
        let issue = Issue {
            expiry,
            ..issue(NewId::Given(id(1)))
        };
        issued(&Listed::default(), issue).expires_at
    };
    assert_eq!(expires(Expiry::Never), None);
    assert_eq!(expires(Expiry::At(NOW)), Some(NOW));
    assert_eq!(expires(Expiry::After(Duration::from_millis(1))), LATER);
    assert_eq!(expires(Expiry::After(Duration::MAX)), Some(Timestamp::MAX));
}

#[test]
fn the_mac_is_that_of_the_secret_and_not_of_another() {
    use crate::domain::keyring::Macs as _;

    let credential = credential(1, State::Active);
    let matches = |secret: [u8; 32]| {
        let of = SecretOf {
            kind: credential.kind,
            id: credential.id,
            generation: credential.generation,
            secret: &Secret::new(secret),
        };
        keyring().matches(&of, Some(&credential.mac))
    };
    assert!(matches([7; 32]));
    assert!(!matches([8; 32]));
}

#[test]
fn uses_are_recorded_of_credentials_that_exist() {
    let view = Listed(vec![stored(credential(1, State::Active), 1)]);
    let last_use = LastUse {
        at: NOW,
        by: Principal::system(),
    };
    let uses = vec![(id(1), last_use.clone()), (id(2), last_use.clone())];
    let decision = decide_on(&view, &Command::RecordUses(uses)).unwrap();
    assert_eq!(decision.writes, [Record::LastUse(id(1), Some(last_use))]);
}

proptest! {
    #[test]
    fn ids_rise_strictly_whatever_the_clock_does(
        greatest: Option<[u8; 16]>,
        times in prop::collection::vec((0_i64..3, any::<[u8; 8]>()), 1..50),
        begin in 0_i64..1 << 47,
    ) {
        // One that this sequence can have made.
        let greatest = greatest.map(|mut bytes| {
            bytes[0] &= 0x7f;
            bytes[6] = 0x70 | bytes[6] & 0x0f;
            bytes[8] = 0x80 | bytes[8] & 0x3f;
            CredentialId::from_bytes(bytes)
        });
        let mut ids = IdSequence::after(greatest);
        let mut last = greatest.unwrap_or(CredentialId::MIN);
        for (step, entropy) in times {
            let next = ids.next(Timestamp::from_millis(begin + step), entropy);
            prop_assert!(next > last, "{next} after {last}");
            last = next;
        }
    }
}

#[test]
fn ids_rise_strictly_beyond_those_that_fit_in_a_millisecond() {
    let mut ids = IdSequence::after(None);
    let mut last = CredentialId::MIN;
    for n in 0..20_000_u32 {
        // The random part falls, so that it is no help.
        let next = ids.next(NOW, (u64::from(u32::MAX - n) << 32).to_be_bytes());
        assert!(next > last);
        last = next;
    }
}
