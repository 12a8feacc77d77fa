//! Locking, unlocking and revoking.

use super::*;

/// A credential in a state.
fn in_state(state: State) -> World {
    let mut world = World::new();
    let issued = world.issue(new(1));
    world.put(Credential { state, ..issued });
    world
}

#[test]
fn every_action_on_every_state_is_decided_as_the_table_says() {
    use Set::{Lock, Revoke, Unlock};
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
        let world = in_state(state);
        let before = world.credentials[&id(1)].clone();
        let decided = world.decide(&set(1, action));
        let decided = decided.map(|decision| {
            let answer = decision.answer.credential(Revision::new(900)).unwrap();
            let Some(record) = decision.writes.first() else {
                assert_eq!(answer, before, "the revision of the first");
                return None;
            };
            assert_eq!(decision.writes.len(), 1);
            let Record::Credential(_, Some(written)) = record else {
                panic!("{record:?}");
            };
            assert_eq!(**written, answer.credential);
            assert_eq!(answer.state_revision(), Revision::new(900));
            let Change {
                action: done,
                at,
                by,
                reason,
            } = &written.last_change;
            assert_eq!((*done, *at), (action.into(), NOW));
            assert_eq!((by.as_str(), reason.as_str()), ("credd:who", "why"));
            Some(written.state)
        });
        assert_eq!(decided, expected, "{action:?} of {state:?}");
    }
    let unknown = World::new().refusal(&set(1, Lock));
    assert_eq!(unknown, Refusal::NotFound(id(1)));
}

#[test]
fn a_change_of_another_revision_than_expected_is_refused_but_not_its_repetition() {
    let mut world = World::new();
    world.issue(new(1));
    let is = world.revision;
    let expecting = |set, expected| {
        Command::SetState(SetState {
            expected: Some(expected),
            ..set_state(1, set)
        })
    };
    let stale = expecting(Set::Lock, Revision::new(3));
    assert_eq!(world.refusal(&stale), Refusal::RevisionMismatch(is));
    let locked = world.change(&expecting(Set::Lock, is));
    assert_eq!(locked.credential.state, State::Locked);
    // It succeeds with the first revision, whatever is expected.
    let again = world.change(&stale);
    assert_eq!(again.revision, locked.revision);
}

#[test]
fn what_is_sealed_of_a_revoked_credential_is_gone() {
    let mut world = World::new();
    assert!(world.issue(new_by("misp", 1)).sealed.is_some());
    assert!(world.change(&set(1, Set::Lock)).credential.sealed.is_some());
    assert!(
        world
            .change(&set(1, Set::Revoke))
            .credential
            .sealed
            .is_none()
    );
}
