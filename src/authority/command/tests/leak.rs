//! Secrets that were found where they should not be.

use super::*;

const HOUR: Duration = Duration::from_hours(1);

fn leaked() -> World {
    let mut world = World::new();
    world.issue(new(1));
    world.run(&leak(1, 1)).unwrap();
    world
}

fn unlock(although_leaked: bool) -> Command {
    Command::SetState(SetState {
        although_leaked,
        ..set_state(1, Set::Unlock)
    })
}

#[test]
fn a_credential_that_leaked_is_locked() {
    let mut world = World::new();
    world.issue(new(1));
    let stored = world.change(&leak(1, 1));
    let credential = &stored.credential;
    assert_eq!(credential.standing(), State::Locked);
    assert_eq!(credential.leaked_at, Some(NOW));
    assert_eq!(stored.state_revision(), stored.revision);
    let change = &credential.last_change;
    assert_eq!(
        (change.action, change.reason.as_str()),
        (Action::ReportLeak, "found")
    );
    // Once.
    world.now = after(HOUR);
    let again = world.run(&leak(1, 1)).unwrap();
    assert!(again.writes.is_empty());
    assert_eq!(again.answer.credential(Revision::new(900)), Some(stored));
}

#[test]
fn only_a_secret_that_is_good_locks() {
    let mut world = World::new();
    world.issue(new(1));
    for secret in 2..=3 {
        world.run(&rotate_of(rotate(1, secret))).unwrap();
    }
    let overlapping = Rotate {
        overlap: HOUR,
        ..rotate(1, 4)
    };
    world.run(&rotate_of(overlapping)).unwrap();
    // 1 and 2 are retired, 3 overlaps 4, and 5 is to come.
    for generation in [1, 2, 5] {
        assert_eq!(world.refusal(&leak(1, generation)), Refusal::NotOurs);
    }
    for generation in [3, 4] {
        world.decide(&leak(1, generation)).unwrap();
    }
    world.now = after(HOUR);
    assert_eq!(
        world.refusal(&leak(1, 3)),
        Refusal::NotOurs,
        "its overlap is over"
    );
    world.decide(&leak(1, 4)).unwrap();
    assert_eq!(
        world.refusal(&leak(2, 1)),
        Refusal::NotOurs,
        "there is none"
    );
    world.run(&set(1, Set::Revoke)).unwrap();
    assert_eq!(world.refusal(&leak(1, 4)), Refusal::Revoked(id(1)));
}

#[test]
fn what_leaked_is_unlocked_only_by_who_may() {
    let mut world = leaked();
    assert_eq!(world.refusal(&unlock(false)), Refusal::Leaked(id(1)));
    let credential = world.change(&unlock(true)).credential;
    assert_eq!(
        (credential.standing(), credential.leaked_at),
        (State::Active, None)
    );
    // Nothing is left to lift.
    assert!(world.decide(&unlock(false)).unwrap().writes.is_empty());
}

#[test]
fn a_lock_by_hand_hides_no_leak_and_the_other_way_round() {
    let mut world = leaked();
    let locked = world.change(&set(1, Set::Lock)).credential;
    assert_eq!((locked.state, locked.leaked_at), (State::Locked, Some(NOW)));
    assert_eq!(world.refusal(&unlock(false)), Refusal::Leaked(id(1)));
    let both = world.change(&unlock(true)).credential;
    assert_eq!(both.standing(), State::Active);

    let mut world = World::new();
    world.issue(new(1));
    let locked = world.change(&set(1, Set::Lock));
    let leaked = world.change(&leak(1, 1));
    assert_eq!(leaked.credential.state, State::Locked);
    assert_eq!(
        leaked.state_revision(),
        locked.revision,
        "locked since then"
    );
}

#[test]
fn a_rotation_without_overlap_lifts_a_leak() {
    let mut world = leaked();
    let overlapping = Rotate {
        overlap: HOUR,
        ..rotate(1, 2)
    };
    assert_eq!(world.wrong(&rotate_of(overlapping)), ["overlap"]);
    let rotated = world.change(&rotate_of(rotate(1, 2)));
    let credential = &rotated.credential;
    assert_eq!(
        (credential.standing(), credential.leaked_at),
        (State::Active, None)
    );
    assert_eq!(
        rotated.state_revision(),
        rotated.revision,
        "active since then"
    );
    assert_eq!(world.refusal(&leak(1, 1)), Refusal::NotOurs);
}

#[test]
fn a_rotation_of_what_leaked_ends_every_secret_there_was() {
    let mut world = World::new();
    world.issue(new(1));
    let overlapping = Rotate {
        overlap: HOUR,
        ..rotate(1, 2)
    };
    world.run(&rotate_of(overlapping)).unwrap();
    world.run(&leak(1, 1)).unwrap();
    let without_end = rotate_of(rotate(1, 3));
    assert_eq!(world.refusal(&without_end), Refusal::OverlapRunning(id(1)));
    let ending = Rotate {
        end_overlap: true,
        ..rotate(1, 3)
    };
    let credential = world.change(&rotate_of(ending)).credential;
    assert_eq!(credential.standing(), State::Active);
    assert_eq!((credential.overlap, credential.retired.len()), (None, 2));
}

#[test]
fn a_lock_by_hand_outlasts_the_rotation_of_what_leaked() {
    let mut world = leaked();
    let locked = world.change(&set(1, Set::Lock));
    let rotated = world.change(&rotate_of(rotate(1, 2)));
    let credential = &rotated.credential;
    assert_eq!(
        (credential.state, credential.leaked_at),
        (State::Locked, None)
    );
    assert_eq!(rotated.state_revision(), locked.revision);
    world.run(&unlock(false)).unwrap();
    assert_eq!(world.states(), [State::Active]);
}

#[test]
fn what_leaked_can_be_revoked() {
    let mut world = leaked();
    let revoked = world.change(&set(1, Set::Revoke)).credential;
    assert_eq!(revoked.standing(), State::Revoked);
    assert_eq!(world.refusal(&unlock(true)), Refusal::Revoked(id(1)));
}
