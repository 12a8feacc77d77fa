//! New secrets for credentials.

use super::*;
use crate::domain::credential::HeldSecret;
use crate::domain::credential::MOST_RETIRED;

const HOUR: Duration = Duration::from_hours(1);

fn with_overlap(secret: u8) -> Rotate {
    Rotate {
        overlap: HOUR,
        ..rotate(1, secret)
    }
}

/// A credential with the secret 1.
fn world() -> World {
    let mut world = World::new();
    world.issue(new(1));
    world
}

fn generations<'a>(secrets: impl IntoIterator<Item = &'a HeldSecret>) -> Vec<u32> {
    let secrets = secrets.into_iter();
    secrets.map(|held| held.generation.number()).collect()
}

#[test]
fn without_an_overlap_the_old_secret_ends_at_once() {
    let mut world = world();
    let before = world.credentials[&id(1)].clone();
    let after = world.change(&rotate_of(rotate(1, 2)));
    let credential = &after.credential;
    assert!(is_held(&world, credential, &credential.secret, 2));
    assert_eq!(generations([&credential.secret]), [2]);
    assert_eq!(credential.retired.len(), 1);
    assert_eq!(credential.retired[0], before.credential.secret);
    let expected = Credential {
        secret: credential.secret.clone(),
        retired: credential.retired.clone(),
        state_set: Some(before.revision),
        last_change: Change {
            action: Action::Rotate,
            at: NOW,
            by: who(),
            reason: reason("why"),
        },
        ..before.credential
    };
    assert_eq!(*credential, expected, "nothing else changes");
}

#[test]
fn the_answer_has_the_new_secret() {
    let mut world = world();
    let decision = world.run(&rotate_of(rotate(1, 2))).unwrap();
    let Answer::Secret(made) = decision.answer else {
        panic!("{:?}", decision.answer);
    };
    assert_eq!(*made.secret.expose(), [2; 32]);
    assert_eq!((made.made, made.replaced), (None, vec![]));
}

#[test]
fn with_an_overlap_both_secrets_are_good_until_it_ends() {
    let mut world = world();
    let credential = world.change(&rotate_of(with_overlap(2))).credential;
    assert!(is_held(&world, &credential, &credential.secret, 2));
    let overlap = credential.overlap.as_ref().unwrap();
    assert!(is_held(&world, &credential, &overlap.secret, 1));
    assert_eq!(overlap.ends_at, after(HOUR));
    assert!(credential.retired.is_empty());
    let almost = Timestamp::from_millis(after(HOUR).as_millis() - 1);
    assert!(credential.running_overlap(almost).is_some());
    assert!(credential.running_overlap(after(HOUR)).is_none());
}

#[test]
fn while_an_overlap_runs_only_who_ends_it_rotates() {
    let mut world = world();
    world.run(&rotate_of(with_overlap(2))).unwrap();
    for ask in [rotate(1, 3), with_overlap(3)] {
        let running = Refusal::OverlapRunning(id(1));
        assert_eq!(world.refusal(&rotate_of(ask.clone())), running);
        let ending = Rotate {
            end_overlap: true,
            ..ask
        };
        world.decide(&rotate_of(ending)).unwrap();
    }
    let ending = Rotate {
        end_overlap: true,
        ..with_overlap(3)
    };
    let credential = world.change(&rotate_of(ending)).credential;
    assert_eq!(generations(&credential.retired), [1]);
    assert_eq!(credential.overlap.unwrap().secret.generation.number(), 2);
    // One that is over needs no end.
    world.now = after(HOUR);
    let credential = world.change(&rotate_of(rotate(1, 4))).credential;
    assert_eq!(generations(&credential.retired), [3, 2, 1]);
    assert_eq!(credential.overlap, None);
}

#[test]
fn an_overlap_is_no_longer_than_the_profile_allows() {
    let mut world = World::new();
    world.put_profile("an-hour", |profile| profile.max_overlap = HOUR);
    world.issue(new_by("an-hour", 1));
    world.issue(new_by("misp", 2));
    let longer = Rotate {
        overlap: HOUR + Duration::from_millis(1),
        ..rotate(1, 2)
    };
    assert_eq!(world.wrong(&rotate_of(longer)), ["overlap"]);
    world.run(&rotate_of(with_overlap(2))).unwrap();
    // A profile that allows none.
    let any = Rotate {
        overlap: Duration::from_millis(1),
        ..rotate(2, 2)
    };
    assert_eq!(world.wrong(&rotate_of(any)), ["overlap"]);
    world.run(&rotate_of(rotate(2, 2))).unwrap();
}

#[test]
fn the_last_four_retired_secrets_are_remembered_the_latest_first() {
    let mut world = world();
    for secret in 2..=4 {
        world.run(&rotate_of(rotate(1, secret))).unwrap();
    }
    assert_eq!(generations(&world.credential(1).retired), [3, 2, 1]);
    // An overlap and what comes before it retire together.
    world.run(&rotate_of(with_overlap(5))).unwrap();
    let ending = Rotate {
        end_overlap: true,
        ..rotate(1, 6)
    };
    world.run(&rotate_of(ending)).unwrap();
    let credential = world.credential(1);
    assert_eq!(generations(&credential.retired), [5, 4, 3, 2]);
    assert_eq!(credential.retired.len(), MOST_RETIRED);
    for (held, secret) in credential.retired.iter().zip([5, 4, 3, 2]) {
        assert!(is_held(&world, credential, held, secret));
    }
}

#[test]
fn a_secret_is_sealed_anew_only_if_the_profile_shows_it_again() {
    let mut world = world();
    let unseen = world.change(&rotate_of(rotate(1, 2))).credential;
    assert_eq!(unseen.sealed, None);
    world.issue(new_by("tenable-cs", 2));
    let viewable = world.change(&rotate_of(rotate(2, 3))).credential;
    let open = |generation| {
        let context = sealing_context(id(2), Generation::new(generation));
        let sealed = viewable.sealed.as_ref().unwrap();
        world.keyring.open(&context, sealed)
    };
    assert_eq!(**open(2).unwrap(), [3; 32]);
    assert!(open(1).is_err());
}

#[test]
fn a_rotation_never_moves_the_expiry_and_lifts_no_lock() {
    let mut world = World::new();
    world.issue(Issue {
        expiry: Wish::After(DAY),
        ..new(1)
    });
    world.now = after(HOUR);
    let locked = world.change(&set(1, Set::Lock));
    let rotated = world.change(&rotate_of(rotate(1, 2)));
    assert_eq!(rotated.credential.expires_at, Some(after(DAY)));
    assert_eq!(rotated.credential.state, State::Locked);
    assert_eq!(rotated.state_revision(), locked.revision);
}

#[test]
fn what_has_expired_is_revoked_or_unknown_gets_no_secret() {
    let mut world = World::new();
    world.issue(Issue {
        expiry: Wish::After(DAY),
        ..new(1)
    });
    world.issue(new(2));
    world.run(&set(2, Set::Revoke)).unwrap();
    world.now = Timestamp::from_millis(after(DAY).as_millis() - 1);
    world.decide(&rotate_of(rotate(1, 2))).unwrap();
    world.now = after(DAY);
    let refusal = |n| world.refusal(&rotate_of(rotate(n, 2)));
    assert_eq!(refusal(1), Refusal::Expired(id(1)));
    assert_eq!(refusal(2), Refusal::Revoked(id(2)));
    assert_eq!(refusal(3), Refusal::NotFound(id(3)));
}

#[test]
fn the_last_generation_is_never_followed_by_the_first() {
    let mut world = world();
    let mut credential = world.credential(1).clone();
    credential.secret.generation = Generation::new(u32::MAX);
    world.put(credential);
    let refusal = world.refusal(&rotate_of(rotate(1, 2)));
    assert_eq!(refusal, Refusal::Revoked(id(1)));
}

#[test]
fn a_rotation_of_another_revision_than_expected_is_refused() {
    let mut world = world();
    let is = world.revision;
    let expecting = |expected| {
        rotate_of(Rotate {
            expected: Some(expected),
            ..rotate(1, 2)
        })
    };
    let stale = expecting(Revision::new(3));
    assert_eq!(world.refusal(&stale), Refusal::RevisionMismatch(is));
    world.run(&expecting(is)).unwrap();
    // It is no repetition: each makes another secret.
    assert_eq!(
        world.refusal(&expecting(is)),
        Refusal::RevisionMismatch(is.next())
    );
}

#[test]
fn owners_rotate_theirs_only_where_the_profile_says_so() {
    let mut world = World::new();
    world.put_profile("for-administrators", |profile| {
        profile.owner_may_issue = false;
    });
    world.issue(new_by("for-administrators", 1));
    world.issue(new(2));
    let as_owner = |n| {
        rotate_of(Rotate {
            as_owner: true,
            ..rotate(n, 9)
        })
    };
    assert_eq!(world.refusal(&as_owner(1)), Refusal::NotForOwners);
    world.run(&as_owner(2)).unwrap();
}
