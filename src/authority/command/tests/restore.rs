//! What was denied after a backup is denied, whoever it is, and nothing else changes.

use super::world::binding;
use super::*;
use crate::authority::audit::told::{of_record, of_secret};

fn deny(lost: Lost) -> Command {
    Command::Restore(Box::new(Restore::Deny(lost)))
}

fn changes(world: &World, lost: Lost) -> bool {
    !world.decide(&deny(lost)).unwrap().writes.is_empty()
}

#[test]
fn the_last_administrator_is_no_exception() {
    for lost in [
        Lost::Revoked(id(1)),
        Lost::Locked(id(1)),
        Lost::Ended(id(1), None),
        Lost::Updated(id(1), "secret 1".to_owned()),
        Lost::OwnerDisabled(owner_ref(Tenant::CREDD, "root")),
        Lost::Unbound(binding("credd:root", Role::ADMINISTRATOR, "*")),
    ] {
        let mut world = World::new();
        world.bind("credd:root", Role::ADMINISTRATOR, "*");
        let mut issue = new(1);
        issue.tenant = Tenant::credd();
        issue.owner = Owner::parse("root").unwrap();
        issue.texts.roles = roles(&[Role::ADMINISTRATOR]);
        world.issue(issue);
        assert!(matches!(
            world.refusal(&set(1, Set::Revoke)),
            Refusal::LastAdministrator(_)
        ));
        assert!(changes(&world, lost.clone()), "{lost:?}");
        // Given again, it is so already.
        world.run(&deny(lost.clone())).unwrap();
        assert!(!changes(&world, lost.clone()), "{lost:?}");
    }
}

#[test]
fn what_is_not_there_or_is_denied_already_stays() {
    let mut world = World::new();
    for lost in [
        Lost::Revoked(id(9)),
        Lost::Locked(id(9)),
        Lost::TenantDisabled(Tenant::parse("nobody").unwrap()),
        Lost::TenantDisabled(Tenant::credd()),
        Lost::OwnerDisabled(owner_ref("acme", "nobody")),
        Lost::OwnerPut(owner_ref("acme", "nobody"), String::new()),
        Lost::RolePut(role_ref("acme", "nothing"), String::new()),
        Lost::Unbound(binding("credd:nobody", Role::VERIFIER, "*")),
    ] {
        assert!(!changes(&world, lost.clone()), "{lost:?}");
    }
    world.issue(new(1));
    world.run(&set(1, Set::Revoke)).unwrap();
    for lost in [
        Lost::Revoked(id(1)),
        Lost::Locked(id(1)),
        Lost::Ended(id(1), None),
        Lost::Updated(id(1), String::new()),
    ] {
        assert!(!changes(&world, lost.clone()), "{lost:?}");
    }
}

#[test]
fn a_secret_that_was_ended_is_good_again_by_no_unlock_and_a_new_one_is() {
    let mut world = World::new();
    world.issue(new(1));
    let made = Generation::new;
    assert!(!changes(&world, Lost::Ended(id(1), Some(made(1)))));
    let after = world.change(&deny(Lost::Ended(id(1), Some(made(2)))));
    assert_eq!(after.credential.standing(), State::Locked);
    assert_eq!(world.refusal(&set(1, Set::Unlock)), Refusal::Leaked(id(1)));
    // A lock besides outlives the rotation.
    world.run(&deny(Lost::Locked(id(1)))).unwrap();
    let after = world.change(&rotate_of(rotate(1, 9)));
    assert_eq!(after.credential.standing(), State::Locked);
    let after = world.change(&set(1, Set::Unlock));
    assert_eq!(after.credential.standing(), State::Active);
}

#[test]
fn what_was_put_as_it_is_denies_nothing_and_all_else_does() {
    let mut world = World::new();
    world.put_owner("jo", &["reader"]);
    world.issue(new(1));
    let owner = owner_ref("acme", "jo");
    let record = Arc::clone(&view(&world).owner(&owner).unwrap().record);
    let said = of_record(&Record::Owner(owner.clone(), Some(record))).unwrap();
    assert!(!changes(
        &world,
        Lost::OwnerPut(owner.clone(), said.clone())
    ));
    for other in [
        String::new(),
        format!("{said}; groups red"),
        said.repeat(100),
    ] {
        assert!(changes(&world, Lost::OwnerPut(owner.clone(), other)));
    }
    let said = of_secret(world.credential(1));
    assert!(!changes(&world, Lost::Updated(id(1), said.clone())));
    for other in [String::new(), format!("{said}, roles reader")] {
        assert!(changes(&world, Lost::Updated(id(1), other)));
    }
}

fn view(world: &World) -> &dyn View {
    world
}
