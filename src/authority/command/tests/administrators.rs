//! There is always one who can manage credd.

use super::world::binding;
use super::*;

/// A credential of a principal that is bound, with the role.
fn administrator(n: u8, owner: &str) -> Issue {
    let mut issue = new(n);
    issue.tenant = Tenant::credd();
    issue.owner = Owner::parse(owner).unwrap();
    issue.texts.roles = roles(&[Role::ADMINISTRATOR]);
    issue
}

/// Credential 1 of `root`, who is the only administrator for good.
fn world() -> World {
    let mut world = World::new();
    world.bind("credd:root", Role::ADMINISTRATOR, "*");
    world.bind("credd:mia", Role::ADMINISTRATOR, "*");
    world.issue(administrator(1, "root"));
    world
}

fn update_roles(names: &[&str]) -> Command {
    let changes = Changes {
        roles: Some(roles(names)),
        ..Changes::default()
    };
    update_of(1, changes)
}

fn disable(owner: &str) -> Command {
    let what = What::DisableOwner(owner_ref(Tenant::CREDD, owner), true);
    directory_command(what)
}

/// Every way to be rid of credential 1.
fn ways() -> Vec<Command> {
    let expiry = |expiry| {
        let changes = Changes {
            expiry: Some(expiry),
            ..Changes::default()
        };
        update_of(1, changes)
    };
    vec![
        set(1, Set::Lock),
        set(1, Set::Revoke),
        leak(1, 1),
        update_roles(&[Role::VERIFIER]),
        expiry(Wish::After(DAY)),
        disable("root"),
        unbind("credd:root"),
    ]
}

fn unbind(principal: &str) -> Command {
    let binding = binding(principal, Role::ADMINISTRATOR, "*");
    directory_command(What::DeleteBinding(binding))
}

#[test]
#[allow(clippy::too_many_lines, reason = "a table")]
fn the_last_who_can_administer_for_good_stays() {
    type Other = (&'static str, fn(&mut World), bool);
    let others: [Other; 13] = [
        ("nobody", |_| (), true),
        (
            "another",
            |world| drop(world.issue(administrator(2, "mia"))),
            false,
        ),
        (
            "a locked one",
            |world| {
                world.issue(administrator(2, "mia"));
                world.run(&set(2, Set::Lock)).unwrap();
            },
            true,
        ),
        (
            "a revoked one",
            |world| {
                world.issue(administrator(2, "mia"));
                world.run(&set(2, Set::Revoke)).unwrap();
            },
            true,
        ),
        (
            "one that leaked",
            |world| {
                world.issue(administrator(2, "mia"));
                world.run(&leak(2, 1)).unwrap();
            },
            true,
        ),
        (
            "one that expires",
            |world| {
                let expiry = Wish::After(DAY);
                world.issue(Issue {
                    expiry,
                    ..administrator(2, "mia")
                });
            },
            true,
        ),
        (
            "one whose owner is disabled",
            |world| {
                world.issue(administrator(2, "mia"));
                world.run(&disable("mia")).unwrap();
            },
            true,
        ),
        (
            "one without the role",
            |world| {
                let mut issue = administrator(2, "mia");
                issue.texts.roles = roles(&[Role::VERIFIER]);
                world.issue(issue);
            },
            true,
        ),
        (
            "one that names no role",
            |world| {
                let mut issue = administrator(2, "mia");
                issue.texts.roles = Vec::new();
                world.issue(issue);
            },
            false,
        ),
        (
            "one that is not bound",
            |world| {
                world.run(&unbind("credd:mia")).unwrap();
                world.issue(administrator(2, "mia"));
            },
            true,
        ),
        (
            "one that is bound on a tenant",
            |world| {
                world.run(&unbind("credd:mia")).unwrap();
                world.bind("credd:mia", Role::ADMINISTRATOR, "acme");
                world.issue(administrator(2, "mia"));
            },
            true,
        ),
        (
            "one that is known by no credential",
            |world| world.bind("dns:portal.acme.example", Role::ADMINISTRATOR, "*"),
            false,
        ),
        (
            "one of another tenant",
            |world| {
                let issued = world.issue(administrator(2, "mia"));
                world.put(Credential {
                    tenant: tenant("acme"),
                    ..issued
                });
            },
            true,
        ),
    ];
    for (name, add, is_last) in others {
        for way in ways() {
            let mut world = world();
            add(&mut world);
            match world.decide(&way) {
                Err(refusal) => {
                    assert!(is_last, "{name}: {way:?}");
                    let last = [Refusal::LastAdministrator(id(1)), Refusal::LastBinding];
                    assert!(last.contains(&refusal), "{name}: {way:?}: {refusal}");
                }
                Ok(_) => assert!(!is_last, "{name}: {way:?}"),
            }
        }
    }
}

#[test]
fn who_can_administer_for_a_time_alone_stays_too() {
    let mut world = World::new();
    world.bind("credd:root", Role::ADMINISTRATOR, "*");
    world.bind("credd:mia", Role::ADMINISTRATOR, "*");
    world.issue(Issue {
        expiry: Wish::After(DAY),
        ..administrator(1, "root")
    });
    let last = Refusal::LastAdministrator(id(1));
    assert_eq!(world.refusal(&set(1, Set::Lock)), last);
    assert_eq!(world.refusal(&disable("root")), last);
    let expiry = |after| {
        let changes = Changes {
            expiry: Some(Wish::After(after)),
            ..Changes::default()
        };
        update_of(1, changes)
    };
    assert_eq!(world.refusal(&expiry(DAY / 2)), last);
    world.run(&expiry(2 * DAY)).unwrap();
    let last = Refusal::LastBinding;
    assert_eq!(world.refusal(&unbind("credd:root")), last);
    // Who has no credential is no loss, nor is who has one that has expired.
    world.run(&unbind("credd:mia")).unwrap();
    world.now = after(2 * DAY);
    world.run(&unbind("credd:root")).unwrap();
}

#[test]
fn who_does_not_last_as_long_as_another_can_be_denied_though_both_end() {
    let mut world = World::new();
    for (number, owner, until) in [(1, "root", DAY), (2, "mia", 2 * DAY)] {
        world.bind(&format!("credd:{owner}"), Role::ADMINISTRATOR, "*");
        world.issue(Issue {
            expiry: Wish::After(until),
            ..administrator(number, owner)
        });
    }
    for way in [set(1, Set::Lock), disable("root"), unbind("credd:root")] {
        world.decide(&way).unwrap();
    }
    let last = Refusal::LastAdministrator(id(2));
    assert_eq!(world.refusal(&set(2, Set::Lock)), last);
    assert_eq!(world.refusal(&disable("mia")), last);
    assert_eq!(world.refusal(&unbind("credd:mia")), Refusal::LastBinding);
}

#[test]
fn another_of_the_same_owner_helps_but_when_the_owner_is_disabled() {
    let mut world = world();
    world.issue(administrator(2, "root"));
    let last = Refusal::LastAdministrator(id(1));
    assert_eq!(world.refusal(&disable("root")), last);
    for way in ways()
        .iter()
        .filter(|way| !matches!(way, Command::Directory(_)))
    {
        world.decide(way).unwrap();
    }
}

#[test]
fn one_that_is_replaced_is_gone() {
    let mut world = world();
    let profiles = &mut world.profiles;
    for known in profiles.values_mut() {
        Arc::make_mut(known).profile.multiplicity = Multiplicity::OneReplace;
    }
    let mut other = administrator(2, "root");
    other.texts.roles = roles(&[Role::VERIFIER]);
    assert_eq!(
        world.refusal(&issue_of(other)),
        Refusal::LastAdministrator(id(1))
    );
}

#[test]
fn whoever_can_not_administer_now_is_no_loss() {
    let mut world = world();
    let expiry = Wish::After(DAY);
    world.issue(Issue {
        expiry,
        ..administrator(2, "mia")
    });
    world.now = after(DAY);
    world.run(&set(2, Set::Revoke)).unwrap();
    let mut verifier = administrator(3, "jo");
    verifier.texts.roles = roles(&[Role::VERIFIER]);
    world.issue(verifier);
    world.run(&set(3, Set::Revoke)).unwrap();
    world.run(&disable("jo")).unwrap();
}

#[test]
fn what_leaves_an_administrator_is_no_loss() {
    let mut world = world();
    world.run(&rotate_of(rotate(1, 2))).unwrap();
    world
        .run(&update_roles(&[Role::ADMINISTRATOR, Role::VERIFIER]))
        .unwrap();
    let relabel = Changes {
        label: Some(label("root")),
        ..Changes::default()
    };
    world.run(&update_of(1, relabel)).unwrap();
    assert_eq!(world.states(), [State::Active]);
}

#[test]
fn the_tenant_of_credd_is_neither_disabled_nor_deleted() {
    let world = world();
    let credd = Tenant::credd;
    for what in [
        What::DisableTenant(credd(), true),
        What::DeleteTenant(credd()),
    ] {
        assert_eq!(world.wrong(&directory_command(what)), ["name"]);
    }
    let delete = What::DeleteOwner(owner_ref(Tenant::CREDD, "root"));
    let refusal = world.refusal(&directory_command(delete));
    assert_eq!(refusal, Refusal::InUse(Thing::Owner));
}
