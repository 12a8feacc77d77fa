//! Credentials from elsewhere.

use super::*;
use crate::domain::keyring::sha256;
use crate::domain::names::PublicName;

fn item(profile: &str, name: Option<&str>, secret: &str, n: u8) -> ImportItem {
    let Issue {
        owner,
        profile,
        texts,
        expiry,
        id,
        ..
    } = new_by(profile, n);
    ImportItem {
        owner,
        profile,
        texts,
        expiry,
        secret: ImportedSecret {
            name: name.map(|name| PublicName::parse(name).unwrap()),
            sha256: sha256(secret.as_bytes()),
        },
        id,
    }
}

fn import(items: Vec<ImportItem>) -> Command {
    Command::Import(Box::new(Import {
        tenant: tenant("acme"),
        items,
        reason: reason("moved"),
        by: who(),
    }))
}

#[test]
fn what_is_imported_is_active_and_found_by_the_hash_of_its_secret() {
    let mut world = World::new();
    let items = vec![
        item("api-token", None, "one", 1),
        item("basic", Some("jo"), "two", 2),
        item("key-pair", Some("ak"), "three", 3),
    ];
    let decision = world.run(&import(items)).unwrap();
    let Answer::Credentials(imported) = decision.answer else {
        panic!("{:?}", decision.answer);
    };
    let ids = imported.iter().map(|known| known.credential().id);
    assert_eq!(ids.collect::<Vec<_>>(), [id(1), id(2), id(3)]);
    assert_eq!(world.states(), [State::Active; 3]);
    for (n, name, secret) in [
        (1, None, "one"),
        (2, Some("jo"), "two"),
        (3, Some("ak"), "three"),
    ] {
        let credential = world.credential(n);
        let hash = sha256(secret.as_bytes());
        let mac = world.keyring.mac_of_imported(credential.kind, &hash);
        assert_eq!(credential.secret.mac, mac);
        let name = name.map(|name| PublicName::parse(name).unwrap());
        assert_eq!(credential.secret.origin, Origin::Imported(name));
        let Change { action, reason, .. } = &credential.last_change;
        assert_eq!((*action, reason.as_str()), (Action::Import, "moved"));
        assert_eq!(credential.sealed, None);
    }
}

#[test]
fn one_that_can_not_be_imported_keeps_all_others_out() {
    let mut world = World::new();
    let good = || item("api-token", None, "one", 1);
    let mut bad = item("unknown", None, "two", 2);
    bad.texts.label = None;
    let mut worse = item("api-token", Some("name"), "three", 3);
    worse.texts.label = None;
    let wrong = world.wrong(&import(vec![good(), bad, worse]));
    let expected = [
        "credentials[1].profile",
        "credentials[2].public_name",
        "credentials[2].label",
    ];
    assert_eq!(wrong, expected);
    assert!(world.credentials.is_empty());
    world.run(&import(vec![good()])).unwrap();
}

#[test]
fn a_name_is_for_the_kinds_that_have_one() {
    let world = World::new();
    let wrong = |item| world.wrong(&import(vec![item]));
    let field = ["credentials[0].public_name"];
    assert_eq!(wrong(item("api-token", Some("jo"), "x", 1)), field);
    assert_eq!(wrong(item("basic", None, "x", 1)), field);
    assert_eq!(wrong(item("key-pair", None, "x", 1)), field);
}

#[test]
fn a_profile_that_allows_one_is_not_for_imports() {
    let world = World::new();
    for profile in ["misp", "kaspersky-tip"] {
        let wrong = world.wrong(&import(vec![item(profile, None, "x", 1)]));
        assert_eq!(wrong, ["credentials[0].profile"], "{profile}");
    }
}

#[test]
fn a_secret_is_held_once_whatever_its_kind_and_the_active_pepper() {
    let mut world = World::new();
    let twice = vec![
        item("api-token", None, "one", 1),
        item("api-token", None, "two", 2),
        item("eset-api-token", None, "one", 3),
    ];
    assert_eq!(world.refusal(&import(twice)), Refusal::SecretExists(2));
    world
        .run(&import(vec![item("api-token", None, "one", 1)]))
        .unwrap();
    let again = import(vec![
        item("api-token", None, "two", 2),
        item("api-token", None, "one", 3),
    ]);
    assert_eq!(world.refusal(&again), Refusal::SecretExists(1));
    world.keyring = keyring(&[1, 2]);
    assert_eq!(world.refusal(&again), Refusal::SecretExists(1));
    // Whoever finds it can't tell of which kind it is.
    let other_kind = import(vec![item("basic", Some("jo"), "one", 4)]);
    assert_eq!(world.refusal(&other_kind), Refusal::SecretExists(0));
}

#[test]
fn nobody_who_is_disabled_imports() {
    let mut world = World::new();
    world.put_owner("jo", &[]);
    let disable = What::DisableOwner(owner_ref("acme", "jo"), true);
    world.run(&directory_command(disable)).unwrap();
    let import = import(vec![item("api-token", None, "one", 1)]);
    assert_eq!(world.refusal(&import), Refusal::Disabled(Thing::Owner));
}

#[test]
fn a_rotation_makes_it_native() {
    let mut world = World::new();
    world
        .run(&import(vec![item("api-token", None, "one", 1)]))
        .unwrap();
    let imported = world.credential(1).secret.clone();
    let overlapping = Rotate {
        overlap: DAY,
        ..rotate(1, 2)
    };
    let credential = world.change(&rotate_of(overlapping)).credential;
    assert!(is_held(&world, &credential, &credential.secret, 2));
    assert_eq!(credential.overlap.unwrap().secret, imported);
}

#[test]
fn nobody_is_told_that_another_tenant_holds_a_secret() {
    let mut world = World::new();
    let to = |name: &str, n| {
        Command::Import(Box::new(Import {
            tenant: tenant(name),
            items: vec![item("api-token", None, "one", n)],
            reason: reason("moved"),
            by: who(),
        }))
    };
    world.run(&to("acme", 1)).unwrap();
    world.run(&to("globex", 2)).unwrap();
    for name in ["acme", "globex"] {
        assert_eq!(world.refusal(&to(name, 3)), Refusal::SecretExists(0));
    }
}
