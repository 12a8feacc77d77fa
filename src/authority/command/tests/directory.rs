//! Tenants, owners, roles and profiles.

use super::*;
use crate::domain::header::{HeaderName, HeaderRule};
use crate::domain::names::Group;
use crate::domain::permission::Grant;
use crate::domain::profile::MAX_VERSIONS;

fn put_tenant(display_name: &str) -> What {
    What::PutTenant(PutTenant {
        name: tenant("acme"),
        display_name: DisplayName::parse(display_name).unwrap(),
        description: Description::default(),
    })
}

fn put_role(name: &str, grants: &[&str]) -> What {
    let grants = grants.iter().map(|grant| Grant::parse(grant).unwrap());
    What::PutRole(PutRole {
        role: role_ref("acme", name),
        description: Description::default(),
        permissions: Permissions::Tenant(grants.collect()),
    })
}

fn put_profile(name: &str, rules: impl FnOnce(&mut Profile)) -> What {
    What::PutProfile(PutProfile(profile(name, rules)))
}

fn family(scope: Scope, name: &str) -> ProfileFamily {
    let name = ProfileName::parse(name).unwrap();
    ProfileFamily { scope, name }
}

fn groups(names: &[&str]) -> Vec<Group> {
    names
        .iter()
        .map(|name| Group::parse(name).unwrap())
        .collect()
}

fn jo() -> OwnerRef {
    owner_ref("acme", "jo")
}

impl World {
    fn did(&mut self, what: What) -> usize {
        self.run(&directory_command(what)).unwrap().writes.len()
    }

    fn refused(&self, what: What) -> Refusal {
        self.refusal(&directory_command(what))
    }

    fn jo(&self) -> &OwnerRecord {
        &self.owners[&jo()].record
    }
}

#[test]
fn what_stands_so_already_is_not_written_again() {
    let mut world = World::new();
    world.did(put_role("reader", &[]));
    world.issue(new(9));
    let jo_with = || {
        What::PutOwner(PutOwner {
            groups: groups(&["a", "b"]),
            roles: roles(&["reader"]),
            ..owner_of("jo")
        })
    };
    let source = |name| What::SetDefaultSource(jo(), Some(Group::parse(name).unwrap()));
    let own = || family(Scope::All, "own");
    let asks: [&dyn Fn() -> What; 10] = [
        &|| put_tenant("Acme"),
        &|| What::DisableTenant(tenant("acme"), true),
        &|| What::DisableTenant(tenant("acme"), false),
        &jo_with,
        &|| What::DisableOwner(jo(), true),
        &|| What::DisableOwner(jo(), false),
        &|| source("b"),
        &|| put_role("reader", &["feeds:read"]),
        &|| put_profile("own", |_| ()),
        &|| What::DeleteProfile(own()),
    ];
    for ask in asks {
        assert_eq!(world.did(ask()), 1, "{:?}", ask());
        let is = world.revision;
        // Whatever revision is expected.
        let mut again = DirectoryCommand {
            what: ask(),
            reason: reason("again"),
            by: who(),
            expected: Some(Revision::new(3)),
        };
        let decision = world.decide(&Command::Directory(Box::new(again.clone())));
        let decision = decision.unwrap();
        assert!(decision.writes.is_empty(), "{:?}", ask());
        let revision = match decision.answer {
            Answer::Tenant(known) => known.revision,
            Answer::Owner(known) => known.revision,
            Answer::Role(known) => known.revision,
            Answer::Profile(_, known) => known.revision,
            other => panic!("{other:?}"),
        };
        assert_eq!(revision, Some(is), "the first revision: {:?}", ask());
        again.expected = None;
        world.run(&Command::Directory(Box::new(again))).unwrap();
    }
}

#[test]
fn a_change_of_another_revision_than_expected_is_refused() {
    let mut world = World::new();
    world.did(put_tenant("Acme"));
    let mut revisions = BTreeMap::from([("tenant", world.revision)]);
    world.did(What::PutOwner(owner_of("jo")));
    revisions.insert("owner", world.revision);
    world.did(put_role("reader", &[]));
    revisions.insert("role", world.revision);
    world.did(put_profile("own", |_| ()));
    revisions.insert("profile", world.revision);
    let mia = PutOwner {
        display_name: DisplayName::parse("Jo").unwrap(),
        ..owner_of("jo")
    };
    let own = || family(Scope::All, "own");
    for (of, what) in [
        ("tenant", put_tenant("ACME")),
        ("tenant", What::DisableTenant(tenant("acme"), true)),
        ("owner", What::PutOwner(mia)),
        ("owner", What::DisableOwner(jo(), true)),
        ("owner", What::DeleteOwner(jo())),
        ("role", put_role("reader", &["feeds:read"])),
        ("role", What::DeleteRole(role_ref("acme", "reader"))),
        (
            "profile",
            put_profile("own", |profile| profile.unlisted = true),
        ),
        ("profile", What::DeleteProfile(own())),
    ] {
        let expecting = |expected| {
            Command::Directory(Box::new(DirectoryCommand {
                what: what.clone(),
                reason: reason(""),
                by: who(),
                expected: Some(expected),
            }))
        };
        let is = revisions[of];
        let refusal = world.refusal(&expecting(Revision::new(3)));
        assert_eq!(refusal, Refusal::RevisionMismatch(is), "{what:?}");
        world.decide(&expecting(is)).unwrap();
    }
}

#[test]
fn disabling_writes_one_record_however_many_credentials_there_are() {
    let mut world = World::new();
    for n in 1..=20 {
        world.issue(new(n));
    }
    assert_eq!(world.did(What::DisableOwner(jo(), true)), 1);
    assert_eq!(world.did(What::DisableTenant(tenant("acme"), true)), 1);
    assert_eq!(world.states(), [State::Active; 20]);
    assert!(world.jo().disabled && world.tenants[&tenant("acme")].record.disabled);
}

#[test]
fn what_is_put_stays_disabled_and_what_is_disabled_stays_as_it_was_put() {
    let mut world = World::new();
    world.did(put_tenant("Acme"));
    world.did(What::DisableTenant(tenant("acme"), true));
    world.did(put_tenant("ACME"));
    let record = &world.tenants[&tenant("acme")].record;
    assert_eq!(
        (record.display_name.as_str(), record.disabled),
        ("ACME", true)
    );
    let with_groups = |names: &[&str]| {
        What::PutOwner(PutOwner {
            groups: groups(names),
            ..owner_of("jo")
        })
    };
    world.did(with_groups(&["a"]));
    world.did(What::DisableOwner(jo(), true));
    assert_eq!(world.jo().groups, groups(&["a"]));
    world.did(with_groups(&["a", "b"]));
    assert!(world.jo().disabled);
    assert_eq!(world.jo().last_change.action, DirectoryAction::Put);
}

#[test]
fn what_others_name_is_not_deleted() {
    let mut world = World::new();
    world.did(put_tenant("Acme"));
    world.put_owner("jo", &["reader"]);
    world.did(put_profile("own", |_| ()));
    let reader = || role_ref("acme", "reader");
    let own = || family(Scope::All, "own");
    assert_eq!(
        world.refused(What::DeleteRole(reader())),
        Refusal::InUse(Thing::Role)
    );
    let mut issue = new_by("own", 1);
    issue.texts.roles = roles(&["reader"]);
    world.issue(issue);
    // The owner lost it, but the credential names it still.
    world.put_owner("jo", &[]);
    let in_use = |thing| Refusal::InUse(thing);
    assert_eq!(
        world.refused(What::DeleteRole(reader())),
        in_use(Thing::Role)
    );
    assert_eq!(
        world.refused(What::DeleteProfile(own())),
        in_use(Thing::Profile)
    );
    assert_eq!(world.refused(What::DeleteOwner(jo())), in_use(Thing::Owner));
    let acme = || What::DeleteTenant(tenant("acme"));
    assert_eq!(world.refused(acme()), in_use(Thing::Tenant));
    // A revoked one is there until it is removed.
    world.run(&set(1, Set::Revoke)).unwrap();
    assert_eq!(world.refused(What::DeleteOwner(jo())), in_use(Thing::Owner));
    world.credentials.clear();
    for what in [
        What::DeleteRole(reader()),
        What::DeleteProfile(own()),
        What::DeleteOwner(jo()),
        acme(),
    ] {
        assert_eq!(world.did(what), 1);
    }
}

#[test]
fn a_deleted_name_is_not_given_again_and_nothing_else_of_it_is_left() {
    let mut world = World::new();
    world.did(put_tenant("Acme"));
    world.did(put_role("reader", &["feeds:read"]));
    let put_jo = || {
        What::PutOwner(PutOwner {
            display_name: DisplayName::parse("Jo").unwrap(),
            principals: vec![PrincipalName::parse("dns:jo.example.com").unwrap()],
            groups: groups(&["a"]),
            roles: roles(&["reader"]),
            ..owner_of("jo")
        })
    };
    world.did(put_jo());
    world.did(What::SetDefaultSource(
        jo(),
        Some(Group::parse("a").unwrap()),
    ));
    world.did(put_profile("own", |_| ()));
    let own = || family(Scope::All, "own");
    let reader = || role_ref("acme", "reader");
    world.did(What::DeleteOwner(jo()));
    let record = world.jo();
    let expected = OwnerRecord {
        display_name: DisplayName::default(),
        principals: Vec::new(),
        groups: Vec::new(),
        roles: Vec::new(),
        chosen_source: None,
        disabled: true,
        last_change: record.last_change.clone(),
    };
    assert_eq!(*record, expected);
    world.did(What::DeleteRole(reader()));
    let role = &world.roles[&reader()].record;
    assert_eq!(role.permissions, Permissions::Tenant(Vec::new()));
    world.did(What::DeleteProfile(own()));
    world.did(What::DeleteTenant(tenant("acme")));
    let record = &world.tenants[&tenant("acme")].record;
    assert_eq!((record.display_name.as_str(), record.disabled), ("", true));
    let deleted = Refusal::Deleted;
    for (what, thing) in [
        (put_tenant("Acme"), Thing::Tenant),
        (What::DisableTenant(tenant("acme"), false), Thing::Tenant),
        (put_role("other", &[]), Thing::Tenant),
        (What::PutOwner(owner_of("mia")), Thing::Tenant),
        (What::DisableOwner(jo(), false), Thing::Owner),
        (What::SetDefaultSource(jo(), None), Thing::Owner),
        (put_profile("own", |_| ()), Thing::Profile),
    ] {
        assert_eq!(world.refused(what.clone()), deleted(thing), "{what:?}");
    }
    world.tenants.clear();
    for (what, thing) in [
        (put_jo(), Thing::Owner),
        (put_role("reader", &[]), Thing::Role),
    ] {
        assert_eq!(world.refused(what.clone()), deleted(thing), "{what:?}");
    }
    // Deleting it again changes nothing.
    assert_eq!(world.did(What::DeleteOwner(jo())), 0);
    assert_eq!(world.did(What::DeleteRole(reader())), 0);
    assert_eq!(world.did(What::DeleteProfile(own())), 0);
}

#[test]
fn what_is_not_there_can_not_be_changed() {
    let world = World::new();
    let unknown = Refusal::Unknown;
    for (what, thing) in [
        (What::DisableTenant(tenant("acme"), true), Thing::Tenant),
        (What::DeleteTenant(tenant("acme")), Thing::Tenant),
        (What::DisableOwner(jo(), true), Thing::Owner),
        (What::SetDefaultSource(jo(), None), Thing::Owner),
        (What::DeleteOwner(jo()), Thing::Owner),
        (What::DeleteRole(role_ref("acme", "reader")), Thing::Role),
        (
            What::DeleteProfile(family(Scope::All, "own")),
            Thing::Profile,
        ),
    ] {
        assert_eq!(world.refused(what.clone()), unknown(thing), "{what:?}");
    }
}

/// Credentials name a tenant and an owner, and that is enough.
#[test]
fn those_who_have_credentials_and_no_record_can_be_disabled() {
    let mut world = World::new();
    world.issue(new(1));
    assert_eq!(world.did(What::DisableTenant(tenant("acme"), true)), 1);
    assert_eq!(world.did(What::DisableOwner(jo(), true)), 1);
    let record = world.jo();
    assert!(record.disabled && record.roles.is_empty());
    assert_eq!(record.last_change.by, who());
}

#[test]
fn what_is_built_in_is_neither_put_nor_deleted() {
    let world = World::new();
    let built_in = Refusal::BuiltIn;
    for name in ["auditor", "full-access"] {
        assert_eq!(world.refused(put_role(name, &[])), built_in(Thing::Role));
        let delete = What::DeleteRole(role_ref("acme", name));
        assert_eq!(world.refused(delete), built_in(Thing::Role));
    }
    for scope in [Scope::All, Scope::Tenant(tenant("acme"))] {
        let put = put_profile("misp", |profile| profile.scope = scope);
        assert_eq!(world.refused(put), built_in(Thing::Profile));
    }
    let delete = What::DeleteProfile(family(Scope::All, "misp"));
    assert_eq!(world.refused(delete), built_in(Thing::Profile));
}

#[test]
fn an_owner_gets_roles_that_there_are_and_keeps_those_it_has() {
    let mut world = World::new();
    world.put_owner("jo", &["reader"]);
    let with = |names: &[&str]| {
        directory_command(What::PutOwner(PutOwner {
            roles: roles(names),
            ..owner_of("jo")
        }))
    };
    assert_eq!(world.wrong(&with(&["reader", "writer"])), ["roles[1]"]);
    world.decide(&with(&["auditor", "reader"])).unwrap();
    world.did(put_role("writer", &[]));
    world.run(&with(&["reader", "writer"])).unwrap();
}

#[test]
fn a_principal_is_one_owner_of_a_tenant() {
    let mut world = World::new();
    let with = |tenant: &str, name| {
        What::PutOwner(PutOwner {
            owner: owner_ref(tenant, name),
            principals: vec![PrincipalName::parse("dns:jo.example.com").unwrap()],
            ..owner_of(name)
        })
    };
    world.did(with("acme", "jo"));
    let taken = Refusal::PrincipalTaken("dns:jo.example.com".to_owned());
    assert_eq!(world.refused(with("acme", "mia")), taken);
    world.did(with("globex", "mia"));
    world.did(What::PutOwner(owner_of("jo")));
    world.did(with("acme", "mia"));
}

#[test]
fn the_default_source_is_one_of_the_groups_and_goes_with_it() {
    let mut world = World::new();
    let with = |names: &[&str]| {
        What::PutOwner(PutOwner {
            groups: groups(names),
            ..owner_of("jo")
        })
    };
    let source = |name| What::SetDefaultSource(jo(), Some(Group::parse(name).unwrap()));
    let is = |world: &World| {
        world
            .jo()
            .default_source()
            .map(|group| group.as_str().to_owned())
    };
    world.did(with(&[]));
    assert_eq!(is(&world), None);
    world.did(with(&["a", "b", "c"]));
    assert_eq!(is(&world).as_deref(), Some("a"), "the first");
    assert_eq!(world.wrong(&directory_command(source("d"))), ["source"]);
    world.did(source("b"));
    assert_eq!(is(&world).as_deref(), Some("b"));
    world.did(with(&["c", "b"]));
    assert_eq!(is(&world).as_deref(), Some("b"), "it stays");
    world.did(with(&["c", "a"]));
    assert_eq!(
        (is(&world).as_deref(), &world.jo().chosen_source),
        (Some("c"), &None)
    );
    world.did(with(&["c", "b"]));
    assert_eq!(is(&world).as_deref(), Some("c"), "it does not come back");
    world.did(source("b"));
    world.did(What::SetDefaultSource(jo(), None));
    assert_eq!(is(&world).as_deref(), Some("c"));
}

#[test]
fn each_edit_of_a_profile_is_another_version_and_those_before_stay() {
    let mut world = World::new();
    for (version, unlisted) in [(1, false), (2, true), (3, false)] {
        let put = put_profile("own", |profile| profile.unlisted = unlisted);
        let decision = world.run(&directory_command(put)).unwrap();
        let Answer::Profile(reference, _) = decision.answer else {
            panic!("{:?}", decision.answer);
        };
        assert_eq!(reference.version, version);
    }
    let versions = (1..=3).map(|version| {
        let family = family(Scope::All, "own");
        world.profile(&ProfileRef { family, version }).unwrap()
    });
    let unlisted: Vec<_> = versions.map(|known| known.profile.unlisted).collect();
    assert_eq!(unlisted, [false, true, false]);
    // That it was deleted is a version, too.
    world.did(What::DeleteProfile(family(Scope::All, "own")));
    let latest = world.latest(&family(Scope::All, "own")).unwrap();
    assert_eq!((latest.reference.version, latest.deleted()), (4, true));
}

#[test]
fn a_profile_has_so_many_versions_and_so_many_headers_in_all_of_them() {
    let mut world = World::new();
    let named = |from: usize, to: usize| {
        put_profile("own", |profile| {
            let rule = profile.headers[0].clone();
            let rules = (from..to).map(|n| HeaderRule {
                name: HeaderName::parse(&format!("x-{n}")).unwrap(),
                ..rule.clone()
            });
            profile.headers = rules.collect();
        })
    };
    for first in [0, 8, 16, 24] {
        world.did(named(first, first + 8));
    }
    world.did(named(0, 8));
    let refused = world.wrong(&directory_command(named(25, 33)));
    assert_eq!(refused, ["profile.headers"]);
    for version in 6..=MAX_VERSIONS {
        let version = usize::try_from(version).unwrap();
        world.did(named((version + 1) % 2, 8));
    }
    let one_more = world.refused(named(2, 8));
    assert_eq!(one_more, Refusal::TooManyVersions(MAX_VERSIONS));
    // To put what is there is no change, and it can be deleted.
    world.did(named(1, 8));
    world.did(What::DeleteProfile(family(Scope::All, "own")));
}

#[test]
fn the_kind_of_a_profile_never_changes() {
    let mut world = World::new();
    world.did(put_profile("own", |_| ()));
    let basic = built_in::all()
        .iter()
        .find(|b| b.profile.kind == Kind::Basic);
    let put = put_profile("own", |profile| {
        profile.kind = Kind::Basic;
        profile.headers = basic.unwrap().profile.headers.clone();
    });
    assert_eq!(world.wrong(&directory_command(put)), ["profile.kind"]);
}

#[test]
fn a_name_is_a_profile_of_all_tenants_or_of_each() {
    let mut world = World::new();
    let of = |name: &str| {
        let scope = Scope::Tenant(tenant(name));
        put_profile("own", |profile| profile.scope = scope)
    };
    let of_all = || put_profile("own", |_| ());
    world.did(of("acme"));
    world.did(of("globex"));
    assert_eq!(world.refused(of_all()), Refusal::ProfileExists);
    for name in ["acme", "globex"] {
        world.did(What::DeleteProfile(family(
            Scope::Tenant(tenant(name)),
            "own",
        )));
    }
    world.did(of_all());
    assert_eq!(world.refused(of("initech")), Refusal::ProfileExists);
}
