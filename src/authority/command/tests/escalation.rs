//! Nobody gives what they do not have, and nobody ends up with it.
//!
//! Callers with random rights make random changes. What everybody may do is worked
//! out after each from first principles, permission by permission, and not in the
//! way in which a change is refused.

use std::collections::{BTreeMap, BTreeSet};

use super::world::binding;
use super::*;
use crate::authority::caller::{Caller, KnownBy, Party};
use crate::authority::names::Interner;
use crate::domain::permission::{CreddGrant, Grant, Needed, Permission, PermissionSet, grants};
use crate::domain::rights::{Held, credd_grants, tenant_grants};

/// Where permissions on credd reach: each tenant, one that is not there yet, and
/// the server.
const PLACES: [&str; 5] = ["acme", "globex", "credd", "later", "*"];
const TENANTS: [&str; 2] = ["acme", "globex"];
/// What a service of a tenant may ask for.
const ACTIONS: [&str; 4] = ["feeds:read", "feeds:write", "alerts:read", "alerts:write"];
const PRINCIPALS: [&str; 4] = ["credd:ann", "credd:bob", "dns:cat", "jwt:https://idp#dan"];
const ROLES: [&str; 3] = ["one", "two", "three"];
const OWNERS: [&str; 2] = ["jo", "mia"];
const CREDD_OWNERS: [&str; 2] = ["ann", "bob"];

/// One thing that somebody may do: a permission on credd in a place, or an action
/// in a tenant.
type Right = (String, String);
type All = BTreeSet<Right>;

/// Everybody: principals by name, credentials by id.
type Everybody = BTreeMap<String, All>;

fn on_credd(held: &Held) -> All {
    let places = PLACES.iter().filter(|place| {
        held.reach.as_str() == "*" || (**place != "*" && held.reach.as_str() == **place)
    });
    let set = PermissionSet::of(credd_grants(&held.record));
    let given = Permission::ALL.iter().filter(|one| set.has(**one));
    let given: Vec<_> = given.map(|one| one.name().to_owned()).collect();
    places
        .flat_map(|place| given.iter().map(|name| ((*place).to_owned(), name.clone())))
        .collect()
}

fn in_tenant(world: &World, tenant: &str, role: &Role) -> All {
    let role = world.role(&role_ref(tenant, role.as_str()));
    let role = role.filter(|role| !role.record.last_change.deleted());
    let permits = |action: &str| {
        let needed = Needed::parse(action).unwrap();
        role.as_ref()
            .is_some_and(|role| grants(tenant_grants(&role.record), &needed))
    };
    let actions = ACTIONS.iter().filter(|action| permits(action));
    actions
        .map(|action| (tenant.to_owned(), (*action).to_owned()))
        .collect()
}

fn of_owner(world: &World, owner: &OwnerRef, named: impl Fn(&Role) -> bool) -> All {
    let known = world.owners.get(owner);
    let roles = known.iter().flat_map(|known| &known.record.roles);
    roles
        .filter(|role| named(role))
        .flat_map(|role| in_tenant(world, owner.tenant.as_str(), role))
        .collect()
}

/// What an owner may do with what is the owner's. Nothing here can be shown again.
fn as_owner(owner: &OwnerRef) -> All {
    let own = |name: &&str| {
        let place = format!("{}/{}", owner.tenant, owner.name);
        (place, format!("credd.{name}"))
    };
    let all = [
        "credentials.issue",
        "credentials.read",
        "credentials.update",
        "credentials.rotate",
        "credentials.lock",
        "credentials.revoke",
        "credentials.report-leak",
        "owners.put",
        "owners.read",
    ];
    all.iter().map(own).collect()
}

/// What a principal has, or will have once owners are enabled again.
fn of_principal(world: &World, principal: &str, named: impl Fn(&Role) -> bool) -> All {
    through(world, principal, named, |_| true)
}

/// What a principal has now.
fn had_by(world: &World, principal: &str, named: impl Fn(&Role) -> bool) -> All {
    let is_able = |owner: &OwnerRef| !world.owners[owner].record.disabled;
    through(world, principal, named, is_able)
}

fn through(
    world: &World,
    principal: &str,
    named: impl Fn(&Role) -> bool,
    counts: impl Fn(&OwnerRef) -> bool,
) -> All {
    let principal = Principal::trusted(principal.into());
    let held = world.held(&principal).into_iter();
    let mut all: All = held
        .filter(|held| named(&held.role))
        .flat_map(|held| on_credd(&held))
        .collect();
    // Who is the owner of a caller of credd's can have its secrets, and so on.
    let mut known = vec![principal];
    let mut at = 0;
    while at < known.len() {
        let owners = world.owners_of(&known[at]).into_iter();
        for owner in owners.filter(|owner| counts(owner)) {
            all.extend(of_owner(world, &owner, |_| true));
            all.extend(as_owner(&owner));
            let caller = Principal::credd(&owner.name);
            if owner.tenant.is_credd() && !known.contains(&caller) {
                all.extend(world.held(&caller).iter().flat_map(on_credd));
                known.push(caller);
            }
        }
        at += 1;
    }
    all
}

fn of_credential(world: &World, credential: &Credential) -> All {
    let named = |role: &Role| credential.roles.is_empty() || credential.roles.contains(role);
    if credential.tenant.is_credd() {
        of_principal(world, Principal::credd(&credential.owner).as_str(), named)
    } else {
        of_owner(world, &owner_ref_of(credential), named)
    }
}

fn everybody(world: &World) -> Everybody {
    let mut all = Everybody::new();
    for principal in PRINCIPALS {
        let rights = of_principal(world, principal, |_| true);
        all.insert(principal.to_owned(), rights);
    }
    for stored in world.credentials.values() {
        let credential = &stored.credential;
        // A secret that was given anew is another's now.
        let name = format!(
            "{} {}",
            credential.id,
            credential.secret.generation.number()
        );
        all.insert(name, of_credential(world, credential));
    }
    all
}

fn caller(principal: &str, credential: Option<CredentialId>) -> Caller {
    Caller {
        party: Party {
            principal: Principal::trusted(principal.into()),
            symbol: Interner::EMPTY,
            known_by: credential.map_or(KnownBy::Until(Timestamp::MAX), |id| KnownBy::Credential {
                id,
                generation: Generation::FIRST,
            }),
            trust: None,
        },
        on_behalf_of: None,
    }
}

/// Whether somebody may give a right: it is theirs, there or in the whole tenant, or
/// they may give any of that tenant's.
fn may_give(own: &All, (place, name): &Right) -> bool {
    let gives_any = (place.clone(), Permission::GiveAny.name().to_owned());
    let (tenant, _) = place.split_once('/').unwrap_or((place, ""));
    own.contains(&(place.clone(), name.clone()))
        || own.contains(&(tenant.to_owned(), name.clone()))
        || (!name.starts_with("credd.") && own.contains(&gives_any))
}

#[derive(Clone, Debug)]
enum Step {
    PutRole(usize, usize, Vec<usize>),
    Bind(usize, usize, usize, bool),
    PutOwner(usize, usize, Vec<usize>, Vec<usize>),
    PutCaller(usize, Vec<usize>),
    Issue(usize, usize, Vec<usize>),
    IssueCaller(usize, Vec<usize>),
    Update(usize, Vec<usize>),
    Rotate(usize),
    Disable(usize, usize, bool),
}

const CREDD_GRANTS: [&str; 8] = [
    "credd.*",
    "credd.credentials.*",
    "credd.credentials.issue",
    "credd.roles.put",
    "credd.bindings.*",
    "credd.owners.put",
    "credd.permissions.give",
    "credd.verify",
];
const TENANT_GRANTS: [&str; 5] = ["*:*", "feeds:*", "*:read", "feeds:read", "alerts:write"];

fn any_step() -> impl Strategy<Value = Step> {
    let some = || prop::collection::vec(0_usize..8, 0..3);
    let any = || 0_usize..8;
    prop_oneof![
        (any(), any(), some()).prop_map(|(at, role, of)| Step::PutRole(at, role, of)),
        (any(), any(), any(), prop::bool::weighted(0.8))
            .prop_map(|(who, role, at, put)| Step::Bind(who, role, at, put)),
        (any(), any(), some(), some())
            .prop_map(|(at, name, roles, who)| Step::PutOwner(at, name, roles, who)),
        (any(), some()).prop_map(|(name, who)| Step::PutCaller(name, who)),
        (any(), any(), some()).prop_map(|(at, name, roles)| Step::Issue(at, name, roles)),
        (any(), some()).prop_map(|(name, roles)| Step::IssueCaller(name, roles)),
        (any(), some()).prop_map(|(which, roles)| Step::Update(which, roles)),
        any().prop_map(Step::Rotate),
        (any(), any(), prop::bool::ANY)
            .prop_map(|(at, name, disabled)| Step::Disable(at, name, disabled)),
    ]
}

fn pick<'a, const N: usize>(all: &[&'a str; N], at: usize) -> &'a str {
    all[at % N]
}

fn picks<const N: usize>(all: &[&str; N], at: &[usize]) -> Vec<Role> {
    let mut names: Vec<_> = at.iter().map(|at| pick(all, *at)).collect();
    names.sort_unstable();
    names.dedup();
    roles(&names)
}

fn principals(at: &[usize]) -> Vec<PrincipalName> {
    let mut names: Vec<_> = at.iter().map(|at| pick(&PRINCIPALS, *at)).collect();
    names.sort_unstable();
    names.dedup();
    let names = names.into_iter();
    names
        .map(|name| PrincipalName::parse(name).unwrap())
        .collect()
}

fn command(world: &World, step: &Step, n: u8) -> Option<Command> {
    let which = |at: usize| {
        let ids: Vec<_> = world.credentials.keys().copied().collect();
        (!ids.is_empty()).then(|| ids[at % ids.len()])
    };
    Some(match step {
        Step::PutRole(at, role, of) => {
            let at = pick(&["acme", "globex", "credd"], *at);
            let permissions = if at == "credd" {
                let of = of.iter().map(|one| pick(&CREDD_GRANTS, *one));
                let of: BTreeSet<_> = of.collect();
                let of = of.into_iter().map(|one| CreddGrant::parse(one).unwrap());
                Permissions::Credd(of.collect())
            } else {
                let of = of.iter().map(|one| pick(&TENANT_GRANTS, *one));
                let of: BTreeSet<_> = of.collect();
                let of = of.into_iter().map(|one| Grant::parse(one).unwrap());
                Permissions::Tenant(of.collect())
            };
            directory_command(What::PutRole(PutRole {
                role: role_ref(at, pick(&ROLES, *role)),
                description: Description::default(),
                permissions,
            }))
        }
        Step::Bind(who, role, at, put) => {
            let all = ["one", "two", "three", Role::ADMINISTRATOR, Role::VERIFIER];
            let binding = binding(
                pick(&PRINCIPALS, *who),
                pick(&all, *role),
                pick(&PLACES, *at),
            );
            directory_command(if *put {
                What::PutBinding(binding)
            } else {
                What::DeleteBinding(binding)
            })
        }
        Step::PutOwner(at, name, of, who) => directory_command(What::PutOwner(PutOwner {
            owner: owner_ref(pick(&TENANTS, *at), pick(&OWNERS, *name)),
            roles: picks(&["one", "two", "three", "full-access"], of),
            principals: principals(who),
            ..owner_of("jo")
        })),
        Step::PutCaller(name, who) => directory_command(What::PutOwner(PutOwner {
            owner: owner_ref(Tenant::CREDD, pick(&CREDD_OWNERS, *name)),
            principals: principals(who),
            ..owner_of("jo")
        })),
        Step::Issue(at, name, of) => {
            let mut issue = new(n);
            issue.tenant = tenant(pick(&TENANTS, *at));
            issue.owner = Owner::parse(pick(&OWNERS, *name)).unwrap();
            issue.texts.roles = picks(&ROLES, of);
            issue_of(issue)
        }
        Step::IssueCaller(name, of) => {
            let mut issue = new(n);
            issue.tenant = Tenant::credd();
            issue.owner = Owner::parse(pick(&CREDD_OWNERS, *name)).unwrap();
            issue.texts.roles = picks(&["one", "two", Role::ADMINISTRATOR], of);
            issue_of(issue)
        }
        Step::Update(at, of) => {
            let changes = Changes {
                roles: Some(picks(&ROLES, of)),
                ..Changes::default()
            };
            Command::Update(Box::new(Update {
                id: which(*at)?,
                ..update(n, changes)
            }))
        }
        Step::Disable(at, name, disabled) => {
            let owner = match pick(&["acme", "globex", "credd"], *at) {
                Tenant::CREDD => owner_ref(Tenant::CREDD, pick(&CREDD_OWNERS, *name)),
                tenant => owner_ref(tenant, pick(&OWNERS, *name)),
            };
            directory_command(What::DisableOwner(owner, *disabled))
        }
        Step::Rotate(at) => Command::Rotate(Box::new(Rotate {
            id: which(*at)?,
            ..rotate(n, n)
        })),
    })
}

/// Carries out what a caller asks for, and sees that nobody has more by it than
/// the caller could give. Whether it gave anybody anything; `None`: it was refused
/// because it would have.
fn step(world: &mut World, who: &Caller, own: &All, command: &Command) -> Option<bool> {
    let Ok(decision) = world.decide(command) else {
        return Some(false);
    };
    if let Err(refusal) = giving::check(world, who, &decision.writes) {
        assert!(matches!(refusal, Refusal::Exceeds(_)), "{refusal}");
        return None;
    }
    let before = everybody(world);
    world.run(command).unwrap();
    let mut gave = false;
    for (name, rights) in everybody(world) {
        let earlier = before.get(&name);
        let gained = rights
            .iter()
            .filter(|right| earlier.is_none_or(|earlier| !earlier.contains(*right)));
        for right in gained {
            gave = true;
            assert!(may_give(own, right), "{name} has {right:?} by {command:?}");
        }
    }
    Some(gave)
}

#[test]
fn nobody_ends_up_with_what_the_giver_does_not_have() {
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 1000,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let setting = prop::collection::vec(any_step(), 0..20);
    let asked = prop::collection::vec((0_usize..8, any_step()), 1..30);
    let given_and_refused = std::cell::Cell::new((0, 0));
    runner
        .run(&(0_usize..8, setting, asked), |(at, setting, asked)| {
            let mut world = World::new();
            let mut n = 0;
            // Somebody can give something.
            world.bind("dns:cat", Role::ADMINISTRATOR, pick(&PLACES, at));
            for made in &setting {
                n += 1;
                // By credd itself, which may do anything.
                if let Some(command) = command(&world, made, n) {
                    let _ = world.run(&command);
                }
            }
            for (who, made) in &asked {
                n += 1;
                let Some(command) = command(&world, made, n) else {
                    continue;
                };
                let callers: Vec<_> = world.credentials.values().cloned().collect();
                let callers = callers
                    .iter()
                    .map(|stored| &stored.credential)
                    .filter(|credential| credential.tenant.is_credd());
                let mut known: Vec<_> = callers
                    .map(|credential| {
                        let principal = Principal::credd(&credential.owner);
                        let named = |role: &Role| {
                            credential.roles.is_empty() || credential.roles.contains(role)
                        };
                        let own = had_by(&world, principal.as_str(), named);
                        (caller(principal.as_str(), Some(credential.id)), own)
                    })
                    .collect();
                known.extend(PRINCIPALS[2..].iter().map(|principal| {
                    let own = had_by(&world, principal, |_| true);
                    (caller(principal, None), own)
                }));
                let (who, own) = known.swap_remove(who % known.len());
                let (given, refused) = given_and_refused.get();
                given_and_refused.set(match step(&mut world, &who, &own, &command) {
                    Some(true) => (given + 1, refused),
                    Some(false) => (given, refused),
                    None => (given, refused + 1),
                });
            }
            Ok(())
        })
        .unwrap();
    let (given, refused) = given_and_refused.get();
    // Or nothing was tried.
    assert!(
        given > 50 && refused > 500,
        "{given} given, {refused} refused"
    );
}

/// What `dns:cat` is refused for.
fn exceeds(world: &World, command: &Command) -> Option<String> {
    let decision = world.decide(command).unwrap();
    let checked = giving::check(world, &caller("dns:cat", None), &decision.writes);
    checked.err().map(|refusal| match refusal {
        Refusal::Exceeds(given) => given.to_string(),
        other => panic!("{other}"),
    })
}

fn put_credd_role(grant: &str) -> Command {
    directory_command(What::PutRole(PutRole {
        role: role_ref(Tenant::CREDD, "one"),
        description: Description::default(),
        permissions: Permissions::Credd(vec![CreddGrant::parse(grant).unwrap()]),
    }))
}

#[test]
fn what_an_owner_of_credd_has_is_had_by_who_could_give_it_a_secret() {
    let mut world = World::new();
    let put = |owner: OwnerRef, principals: &[&str]| {
        directory_command(What::PutOwner(PutOwner {
            owner,
            principals: principals
                .iter()
                .map(|name| PrincipalName::parse(name).unwrap())
                .collect(),
            ..owner_of("jo")
        }))
    };
    world.bind("dns:cat", Role::ADMINISTRATOR, "globex");
    for (owner, principal) in [
        (owner_ref(Tenant::CREDD, "ann"), "dns:cat"),
        (owner_ref("acme", "jo"), "credd:ann"),
    ] {
        world.run(&put(owner, &[principal])).unwrap();
    }
    // Nobody can be this caller of credd's, nor give a secret by which to be it.
    let join = put(owner_ref("acme", "jo"), &["credd:ann", "dns:cat"]);
    assert!(exceeds(&world, &join).is_some());
    world.issue(Issue {
        tenant: Tenant::credd(),
        owner: Owner::parse("ann").unwrap(),
        ..new(1)
    });
    assert_eq!(exceeds(&world, &join), None);
}

#[test]
fn a_role_on_credd_is_given_wherever_it_is_or_will_be_bound() {
    let mut world = World::new();
    world.bind("dns:cat", Role::ADMINISTRATOR, "credd");
    let put = put_credd_role("credd.verify");
    let refused = exceeds(&world, &put);
    assert_eq!(refused.as_deref(), Some("`credd.verify` on all tenants"));
    world.bind("dns:cat", Role::VERIFIER, "*");
    assert_eq!(exceeds(&world, &put), None);
}

#[test]
fn a_pattern_is_given_by_who_has_the_pattern() {
    let mut world = World::new();
    world.bind("dns:cat", Role::ADMINISTRATOR, "*");
    assert_eq!(exceeds(&world, &put_credd_role("credd.owners.*")), None);
    assert!(exceeds(&world, &put_credd_role("credd.credentials.*")).is_some());
    assert!(exceeds(&world, &put_credd_role("credd.credentials.reveal")).is_some());
    assert!(exceeds(&world, &put_credd_role("credd.*")).is_some());
}

#[test]
fn a_profile_by_which_owners_may_issue_gives_that() {
    let put = |owners_may: bool| {
        let profile = profile("mine", |profile| profile.owner_may_issue = owners_may);
        directory_command(What::PutProfile(PutProfile(profile)))
    };
    let mut world = World::new();
    assert_eq!(exceeds(&world, &put(false)), None);
    let refused = exceeds(&world, &put(true));
    let issue_anywhere = "`credd.credentials.issue` on all tenants";
    assert_eq!(refused.as_deref(), Some(issue_anywhere));
    world.run(&put(true)).unwrap();
    let renamed = profile("mine", |profile| {
        profile.owner_may_issue = true;
        profile.unlisted = true;
    });
    let renamed = directory_command(What::PutProfile(PutProfile(renamed)));
    assert_eq!(exceeds(&world, &renamed), None, "owners could before");
}

#[test]
fn to_let_a_credential_live_longer_is_to_give_and_to_deny_it_is_not() {
    let mut world = World::new();
    world.put_owner("jo", &[]);
    let put = PutRole {
        role: role_ref("acme", "one"),
        description: Description::default(),
        permissions: Permissions::Tenant(vec![Grant::parse("feeds:read").unwrap()]),
    };
    world.run(&directory_command(What::PutRole(put))).unwrap();
    let jo = PutOwner {
        roles: roles(&["one"]),
        ..owner_of("jo")
    };
    world.run(&directory_command(What::PutOwner(jo))).unwrap();
    world.issue(Issue {
        expiry: Wish::After(DAY),
        ..new(1)
    });
    let expiry = |wish| {
        let changes = Changes {
            expiry: Some(wish),
            ..Changes::default()
        };
        update_of(1, changes)
    };
    let refused = exceeds(&world, &expiry(Wish::After(2 * DAY)));
    assert_eq!(refused.as_deref(), Some("`feeds:read` in the tenant acme"));
    assert!(exceeds(&world, &expiry(Wish::Never)).is_some());
    assert!(exceeds(&world, &rotate_of(rotate(1, 2))).is_some());
    for denies in [
        expiry(Wish::After(DAY / 2)),
        set(1, Set::Lock),
        set(1, Set::Revoke),
        leak(1, 1),
    ] {
        assert_eq!(exceeds(&world, &denies), None, "{denies:?}");
    }
}

#[test]
fn of_two_who_call_together_both_must_have_what_is_given() {
    let mut world = World::new();
    world.bind("dns:portal", Role::ADMINISTRATOR, "*");
    world.bind("dns:cat", Role::ADMINISTRATOR, "acme");
    let together = Caller {
        on_behalf_of: Some(caller("dns:cat", None).party),
        ..caller("dns:portal", None)
    };
    let bind = |reach| {
        let what = What::PutBinding(binding("dns:dan", Role::VERIFIER, reach));
        world.decide(&directory_command(what)).unwrap().writes
    };
    assert_eq!(giving::check(&world, &together, &bind("acme")), Ok(()));
    assert!(giving::check(&world, &together, &bind("globex")).is_err());
    let alone = caller("dns:portal", None);
    assert_eq!(giving::check(&world, &alone, &bind("globex")), Ok(()));
}

#[test]
fn what_is_given_counts_what_comes_back_when_an_owner_is_enabled() {
    let mut world = World::new();
    world.bind("dns:cat", Role::ADMINISTRATOR, "credd");
    world.bind("credd:ann", Role::ADMINISTRATOR, "*");
    let ann = PutOwner {
        owner: owner_ref(Tenant::CREDD, "ann"),
        principals: vec![PrincipalName::parse("credd:bob").unwrap()],
        ..owner_of("jo")
    };
    world.run(&directory_command(What::PutOwner(ann))).unwrap();
    let mut issue = new(1);
    issue.tenant = Tenant::credd();
    issue.owner = Owner::parse("bob").unwrap();
    let issue = issue_of(issue);
    assert!(exceeds(&world, &issue).is_some());
    let disable = What::DisableOwner(owner_ref(Tenant::CREDD, "ann"), true);
    world.run(&directory_command(disable)).unwrap();
    assert!(exceeds(&world, &issue).is_some());
}
