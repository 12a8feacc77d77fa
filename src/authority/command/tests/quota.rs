//! Tenants and owners have no more credentials than they may.

use super::*;

fn quotas(per_tenant: u64, per_owner: u64) -> World {
    let mut world = World::new();
    let some = |quota| (quota > 0).then_some(quota);
    world.quotas = Quotas {
        per_tenant: some(per_tenant),
        per_owner: some(per_owner),
    };
    world
}

fn of(owner: &str, n: u8) -> Issue {
    Issue {
        owner: Owner::parse(owner).unwrap(),
        ..new(n)
    }
}

#[test]
fn an_owner_has_as_many_as_it_may_and_revoked_ones_do_not_count() {
    let mut world = quotas(0, 2);
    world.issue(of("jo", 1));
    world.issue(of("jo", 2));
    let full = Refusal::QuotaExceeded(Thing::Owner);
    assert_eq!(world.refusal(&issue_of(of("jo", 3))), full);
    world.issue(of("mia", 3));
    world.run(&set(1, Set::Lock)).unwrap();
    assert_eq!(world.refusal(&issue_of(of("jo", 4))), full);
    world.run(&set(1, Set::Revoke)).unwrap();
    world.issue(of("jo", 4));
    assert_eq!(world.refusal(&issue_of(of("jo", 5))), full);
}

#[test]
fn a_tenant_has_as_many_as_it_may_over_all_its_owners() {
    let mut world = quotas(2, 0);
    world.issue(of("jo", 1));
    world.issue(of("mia", 2));
    let full = Refusal::QuotaExceeded(Thing::Tenant);
    assert_eq!(world.refusal(&issue_of(of("ada", 3))), full);
    let mut elsewhere = of("ada", 3);
    elsewhere.tenant = tenant("globex");
    world.issue(elsewhere);
    for n in 4..8 {
        let mut caller = of("ada", n);
        caller.tenant = Tenant::credd();
        world.issue(caller);
    }
}

#[test]
fn what_replaces_another_takes_its_place() {
    let mut world = quotas(1, 1);
    let one = |n| new_by("kaspersky-tip", n);
    world.issue(one(1));
    world.issue(one(2));
    assert_eq!(world.states(), [State::Revoked, State::Active]);
}
