//! Requests that are sent again.

use super::*;
use crate::domain::id::RequestId;

const MINUTE: Duration = Duration::from_mins(1);
const ID: &str = "0b8a4d2e-6a0f-4c6e-9d0c-2f6f3a1b5c7d";

/// A request of a caller that asks for this.
fn request(world: &World, by: &str, asked: u8) -> Request {
    let id = RequestId::parse(ID).unwrap();
    let names = world.keyring.request_names(&[by.as_bytes(), id.as_bytes()]);
    Request {
        asked: vec![[asked; 32]; names.len()],
        names,
        id,
    }
}

/// With an id and a secret that are drawn anew each time.
fn issue_again(world: &World, n: u8) -> Command {
    issue_of(Issue {
        request: Some(request(world, "who", 1)),
        ..new(n)
    })
}

fn rotate_again(world: &World, secret: u8) -> Command {
    rotate_of(Rotate {
        request: Some(request(world, "who", 1)),
        ..rotate(1, secret)
    })
}

/// A credential that was issued by a request.
fn issued() -> World {
    let mut world = World::new();
    world.run(&issue_again(&world, 1)).unwrap();
    world
}

/// What is answered again: the credential and the secret.
fn replayed(world: &World, command: &Command) -> (Stored, u8) {
    let decision = world.decide(command).unwrap();
    assert!(decision.writes.is_empty());
    let Answer::Secret(with) = decision.answer else {
        panic!("{:?}", decision.answer);
    };
    assert!(with.made.is_some() && with.replaced.is_empty());
    let secret = with.secret.expose()[0];
    assert_eq!(*with.secret.expose(), [secret; 32]);
    (with.credential.at(Revision::new(900)), secret)
}

#[test]
fn the_same_request_has_the_same_answer_and_makes_nothing() {
    let mut world = issued();
    let first = world.credentials[&id(1)].clone();
    assert_eq!(replayed(&world, &issue_again(&world, 2)), (first, 1));
    let Answer::Secret(with) = world.decide(&issue_again(&world, 2)).unwrap().answer else {
        panic!();
    };
    assert_eq!(with.made, Some(world.revision));
    // It shows the credential as it is now.
    let changes = Changes {
        label: Some(label("new")),
        ..Changes::default()
    };
    let now = world.change(&update_of(1, changes));
    assert_eq!(replayed(&world, &issue_again(&world, 2)), (now, 1));
}

#[test]
fn a_rotation_is_answered_again_too() {
    let mut world = World::new();
    world.issue(new(1));
    world.run(&rotate_again(&world, 2)).unwrap();
    let rotated = world.credentials[&id(1)].clone();
    assert_eq!(replayed(&world, &rotate_again(&world, 3)), (rotated, 2));
    assert_eq!(world.credential(1).secret.generation.number(), 2);
    // The secret that it made is not the current one any more.
    world.run(&rotate_of(rotate(1, 4))).unwrap();
    let again = rotate_again(&world, 5);
    assert_eq!(world.refusal(&again), Refusal::RequestDone(id(1)));
}

#[test]
fn another_request_under_the_same_id_is_refused() {
    let mut world = issued();
    let other = |world: &World, by| {
        issue_of(Issue {
            request: Some(request(world, by, 2)),
            ..new(2)
        })
    };
    let ask = other(&world, "who");
    assert_eq!(world.refusal(&ask), Refusal::RequestIdReused);
    world.now = after(20 * MINUTE);
    assert_eq!(world.refusal(&ask), Refusal::RequestIdReused);
    // Of another caller it is another id.
    world.run(&other(&world, "another")).unwrap();
    assert_eq!(world.credentials.len(), 2);
}

#[test]
fn after_ten_minutes_it_is_refused_and_after_another_day_forgotten() {
    let mut world = issued();
    let ask = issue_again(&world, 2);
    let end = after(REPLAYED_FOR);
    world.now = Timestamp::from_millis(end.as_millis() - 1);
    replayed(&world, &ask);
    let forgotten = after(REPLAYED_FOR + REFUSED_FOR);
    let last = Timestamp::from_millis(forgotten.as_millis() - 1);
    for now in [end, last] {
        world.now = now;
        assert_eq!(world.refusal(&ask), Refusal::RequestDone(id(1)));
    }
    world.now = forgotten;
    world.run(&ask).unwrap();
    assert_eq!(world.credentials.len(), 2);
    // A clock that goes back does not bring an answer to an end.
    world.now = NOW;
    replayed(&world, &issue_again(&world, 3));
}

#[test]
fn a_credential_that_is_locked_leaked_revoked_or_rotated_is_not_shown_again() {
    for ruin in [
        set(1, Set::Lock),
        set(1, Set::Revoke),
        leak(1, 1),
        rotate_of(rotate(1, 2)),
    ] {
        let mut world = issued();
        world.run(&ruin).unwrap();
        let again = issue_again(&world, 2);
        let refusal = world.refusal(&again);
        assert_eq!(refusal, Refusal::RequestDone(id(1)), "{ruin:?}");
    }
    let mut world = issued();
    world.credentials.clear();
    let refusal = world.refusal(&issue_again(&world, 2));
    assert_eq!(refusal, Refusal::RequestDone(id(1)), "it was removed");
}

#[test]
fn a_request_is_known_by_the_names_of_earlier_keys() {
    let mut world = issued();
    world.keyring = keyring(&[1, 2]);
    let (stored, secret) = replayed(&world, &issue_again(&world, 2));
    assert_eq!((stored.credential.id, secret), (id(1), 1));
}

#[test]
fn what_is_kept_of_a_request_opens_for_nobody_without_its_id() {
    let world = issued();
    let (record, _) = world.requests.values().next().unwrap();
    assert!(!record.sealed.windows(32).any(|bytes| bytes == [1; 32]));
    // Another id, by which somebody found the record all the same.
    let mut forged = request(&world, "who", 1);
    forged.id = RequestId::parse("1b8a4d2e-6a0f-4c6e-9d0c-2f6f3a1b5c7d").unwrap();
    let ask = issue_of(Issue {
        request: Some(forged),
        ..new(2)
    });
    assert_eq!(world.refusal(&ask), Refusal::RequestDone(id(1)));
}

#[test]
fn a_request_that_was_refused_may_be_sent_again() {
    let mut world = World::new();
    world.put_owner("jo", &[]);
    let owner = || owner_ref("acme", "jo");
    let disable = |disable| directory_command(What::DisableOwner(owner(), disable));
    world.run(&disable(true)).unwrap();
    let ask = issue_again(&world, 1);
    assert_eq!(world.refusal(&ask), Refusal::Disabled(Thing::Owner));
    assert!(world.requests.is_empty());
    world.run(&disable(false)).unwrap();
    world.run(&ask).unwrap();
    // The answer to it is given again whatever became of the owner.
    world.run(&disable(true)).unwrap();
    replayed(&world, &issue_again(&world, 2));
}
