//! How many credentials of a profile an owner has.

use super::*;

fn by_one(multiplicity: Multiplicity) -> World {
    let mut world = World::new();
    world.put_profile("one", |profile| profile.multiplicity = multiplicity);
    world
}

fn of_mia(n: u8) -> Issue {
    Issue {
        owner: Owner::parse("mia").unwrap(),
        ..new_by("one", n)
    }
}

#[test]
fn many_are_many() {
    let mut world = by_one(Multiplicity::Many);
    for n in 1..4 {
        world.issue(new_by("one", n));
    }
    assert_eq!(world.states(), [State::Active; 3]);
}

#[test]
fn where_one_is_allowed_another_is_refused_until_it_is_over() {
    let mut world = by_one(Multiplicity::OneReject);
    world.issue(Issue {
        expiry: Wish::After(DAY),
        ..new_by("one", 1)
    });
    let another = issue_of(new_by("one", 2));
    assert_eq!(world.refusal(&another), Refusal::OneOnly(id(1)));
    world.run(&set(1, Set::Lock)).unwrap();
    assert_eq!(world.refusal(&another), Refusal::OneOnly(id(1)), "locked");
    // Others do not count: of another owner, tenant or profile.
    world.decide(&issue_of(of_mia(3))).unwrap();
    let of_globex = Issue {
        tenant: tenant("globex"),
        ..new_by("one", 3)
    };
    world.decide(&issue_of(of_globex)).unwrap();
    world.decide(&issue_of(new(3))).unwrap();
    world.now = after(DAY);
    let issued = world.decide(&another).unwrap();
    assert_eq!(issued.writes.len(), 1, "the expired one stays as it is");
    world.now = NOW;
    world.run(&set(1, Set::Revoke)).unwrap();
    world.run(&another).unwrap();
}

#[test]
fn a_new_one_replaces_the_one_before_in_whatever_state() {
    for before in ["active", "locked", "expired", "leaked"] {
        let mut world = by_one(Multiplicity::OneReplace);
        world.issue(Issue {
            expiry: Wish::After(DAY),
            ..new_by("one", 1)
        });
        match before {
            "locked" => drop(world.run(&set(1, Set::Lock)).unwrap()),
            "expired" => world.now = after(2 * DAY),
            "leaked" => drop(world.run(&leak(1, 1)).unwrap()),
            _ => (),
        }
        let earlier = world.credential(1).clone();
        let decision = world.run(&issue_of(new_by("one", 2))).unwrap();
        let Answer::Secret(made) = decision.answer else {
            panic!("{before}");
        };
        let replaced = made.replaced.iter().map(Known::credential);
        assert_eq!(replaced.collect::<Vec<_>>(), [&earlier], "{before}");
        assert_eq!(world.states(), [State::Revoked, State::Active]);
        let change = &world.credential(1).last_change;
        assert_eq!(change.action, Action::Revoke);
        assert_eq!(change.reason.as_str(), format!("replaced by {}", id(2)));
    }
}

#[test]
fn only_what_is_the_owners_and_live_is_replaced() {
    let mut world = by_one(Multiplicity::OneReplace);
    world.issue(new_by("one", 1));
    world.run(&set(1, Set::Revoke)).unwrap();
    let revoked = world.credential(1).clone();
    world.issue(of_mia(2));
    world.issue(new(3));
    let decision = world.run(&issue_of(new_by("one", 4))).unwrap();
    assert_eq!(decision.writes.len(), 1);
    assert_eq!(*world.credential(1), revoked);
    assert_eq!(world.states()[1..], [State::Active; 3]);
}

/// The edit of a profile touches later issues, and these replace all there are.
#[test]
fn a_version_that_allows_one_replaces_those_of_the_versions_before() {
    let mut world = by_one(Multiplicity::Many);
    world.issue(new_by("one", 1));
    world.issue(new_by("one", 2));
    world.put_profile("one", |profile| {
        profile.multiplicity = Multiplicity::OneReplace;
    });
    world.issue(new_by("one", 3));
    assert_eq!(
        world.states(),
        [State::Revoked, State::Revoked, State::Active]
    );
    assert_eq!(world.credential(3).profile.version, 2);
}

#[test]
fn a_replacement_of_another_revision_than_expected_is_refused() {
    let mut world = by_one(Multiplicity::OneReplace);
    world.issue(new_by("one", 1));
    let is = world.revision;
    let expecting = |revision| {
        issue_of(Issue {
            expected: Some(revision),
            ..new_by("one", 2)
        })
    };
    let stale = expecting(Revision::new(3));
    assert_eq!(world.refusal(&stale), Refusal::RevisionMismatch(is));
    world.run(&expecting(is)).unwrap();
    // Nothing to replace is not what was expected.
    let of_another = issue_of(Issue {
        expected: Some(is),
        ..of_mia(3)
    });
    let refusal = Refusal::RevisionMismatch(Revision::ZERO);
    assert_eq!(world.refusal(&of_another), refusal);
}

proptest! {
    #[test]
    fn after_each_issue_that_replaces_exactly_one_is_active(
        steps in prop::collection::vec((0_u8..4, any::<bool>()), 1..20),
    ) {
        let mut world = by_one(Multiplicity::OneReplace);
        for (n, (action, as_mia)) in steps.into_iter().enumerate() {
            let n = u8::try_from(n).unwrap() + 1;
            let before = n.saturating_sub(1).max(1);
            match action {
                0 => drop(world.run(&set(before, Set::Lock))),
                1 => drop(world.run(&leak(before, 1))),
                _ => (),
            }
            let ask = if as_mia { of_mia(n) } else { new_by("one", n) };
            let owner = world.issue(ask).owner;
            let of_owner = world.credentials.values().map(|stored| &stored.credential);
            let live = of_owner.filter(|c| c.owner == owner && c.state != State::Revoked);
            let live: Vec<_> = live.map(|credential| credential.id).collect();
            prop_assert_eq!(live, [id(n)]);
        }
    }
}

#[test]
fn an_expired_one_does_not_come_back_beside_another() {
    for multiplicity in [Multiplicity::OneReject, Multiplicity::OneReplace] {
        let mut world = by_one(multiplicity);
        world.issue(Issue {
            expiry: Wish::After(DAY),
            ..new_by("one", 1)
        });
        world.now = after(DAY);
        let back = |n| {
            Command::Update(Box::new(Update {
                id: id(n),
                changes: Changes {
                    expiry: Some(Wish::Never),
                    ..Changes::default()
                },
                reason: Reason::trusted("".into()),
                by: Principal::system(),
                as_owner: false,
                expected: None,
            }))
        };
        world.decide(&back(1)).unwrap();
        // Issued beside it, as where another replaced nothing.
        let mut other = world.credential(1).clone();
        (other.id, other.expires_at) = (id(2), None);
        world.put(other);
        assert_eq!(world.refusal(&back(1)), Refusal::OneOnly(id(2)));
    }
}
