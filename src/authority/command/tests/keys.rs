//! Activating and retiring keys, and what is made anew with them.

use super::*;
use crate::authority::command::life::sealing_context;
use crate::authority::key_use::Remaining;
use crate::domain::keyring::{KeyChecks, KeyState, sealed_under, sha256};
use crate::domain::rekeyed::Rekeyed;

const ONE: KeyVersion = KeyVersion(1);
const TWO: KeyVersion = KeyVersion(2);

/// A store that knows the keys 1 and 2 of each kind, of which 1 is active.
fn noted() -> World {
    let mut world = World::new();
    load(&mut world, ONE);
    let loaded = world.keyring.checks();
    world
        .run(&Command::NoteKeys(NoteKeys {
            loaded,
            pepper: ONE,
            sealing: ONE,
        }))
        .unwrap();
    world
}

fn load(world: &mut World, active: KeyVersion) {
    world.keyring = keyring(&[1, 2]).activating(active, active).unwrap();
}

fn nodes(world: &World) -> Vec<KeyChecks> {
    vec![world.keyring.checks(); 2]
}

fn rotate_key(world: &World, kind: KeyKind, version: u32) -> RotateKey {
    RotateKey {
        kind,
        version: KeyVersion(version),
        nodes: nodes(world),
        reason: reason("why"),
        by: who(),
        expected: None,
    }
}

fn retire_key(kind: KeyKind, version: u32) -> RetireKey {
    RetireKey {
        kind,
        version: KeyVersion(version),
        although_in_use: false,
        reason: reason("why"),
        by: who(),
        expected: None,
    }
}

/// Activates the keys 2, as the server does.
fn rotate_all(world: &mut World) {
    for kind in KeyKind::ALL {
        let command = Command::RotateKey(rotate_key(world, kind, 2));
        world.run(&command).unwrap();
    }
    load(world, TWO);
}

fn remac(world: &World, n: u8, generation: u32, secret: u8) -> Rekey {
    let secret = Secret::new([secret; 32]);
    let generation = Generation::new(generation);
    Rekey {
        id: id(n),
        generation,
        made: Remade::Mac(world.keyring.mac(&SecretOf {
            kind: world.credential(n).kind,
            id: id(n),
            generation,
            secret: &secret,
        })),
    }
}

fn states(world: &World, kind: KeyKind) -> Vec<KeyState> {
    let (state, _) = world.keys.as_ref().unwrap();
    state.of(kind).iter().map(|key| key.state).collect()
}

#[test]
fn keys_are_noted_once_and_those_of_a_fresh_store_are_activated() {
    let world = noted();
    for kind in KeyKind::ALL {
        assert_eq!(states(&world, kind), [KeyState::Active, KeyState::Unused]);
    }
    let again = Command::NoteKeys(NoteKeys {
        loaded: world.keyring.checks(),
        pepper: TWO,
        sealing: TWO,
    });
    assert!(world.decide(&again).unwrap().writes.is_empty());
}

#[test]
fn a_key_is_activated_that_every_node_has_loaded_and_no_other() {
    let mut world = noted();
    let ask = |world: &World, version| rotate_key(world, KeyKind::Pepper, version);
    let refusal = |world: &World, ask| world.refusal(&Command::RotateKey(ask));
    let not_loaded = |version| Refusal::KeyNotLoaded(KeyKind::Pepper, KeyVersion(version));
    assert_eq!(refusal(&world, ask(&world, 3)), not_loaded(3));
    let mut one_lacks_it = ask(&world, 2);
    one_lacks_it.nodes[1]
        .peppers
        .retain(|(held, _)| *held != TWO);
    assert_eq!(refusal(&world, one_lacks_it), not_loaded(2));
    let mut one_has_another = ask(&world, 2);
    one_has_another.nodes[1].peppers[1].1 = [9; 32];
    assert_eq!(refusal(&world, one_has_another), not_loaded(2));
    let nobody_lives = RotateKey {
        nodes: Vec::new(),
        ..ask(&world, 2)
    };
    assert_eq!(refusal(&world, nobody_lives), not_loaded(2));
    let (_, revision) = world.keys.clone().unwrap();
    let outdated = RotateKey {
        expected: Some(Revision::new(1)),
        ..ask(&world, 2)
    };
    assert_eq!(
        refusal(&world, outdated),
        Refusal::RevisionMismatch(revision)
    );

    let good = RotateKey {
        expected: Some(revision),
        ..ask(&world, 2)
    };
    world.run(&Command::RotateKey(good.clone())).unwrap();
    let activated = world.revision;
    assert_eq!(
        states(&world, KeyKind::Pepper),
        [KeyState::Old, KeyState::Active]
    );
    assert_eq!(
        states(&world, KeyKind::Sealing),
        [KeyState::Active, KeyState::Unused],
        "the other kind stays as it is"
    );
    // Another commit changes the record.
    let sealing = rotate_key(&world, KeyKind::Sealing, 2);
    world.run(&Command::RotateKey(sealing)).unwrap();
    let again = world.decide(&Command::RotateKey(good)).unwrap();
    assert!(again.writes.is_empty());
    assert!(matches!(again.answer, Answer::Key(Some(at)) if at == activated));
}

#[test]
fn a_key_is_retired_when_nothing_remains_on_it() {
    let mut world = noted();
    world.issue(new(1));
    let retire = |version| Command::RetireKey(retire_key(KeyKind::Pepper, version));
    let active = Refusal::KeyActive(KeyKind::Pepper, ONE);
    assert_eq!(world.refusal(&retire(1)), active);
    let unknown = Refusal::KeyNotFound(KeyKind::Pepper, KeyVersion(3));
    assert_eq!(world.refusal(&retire(3)), unknown);
    rotate_all(&mut world);
    let one = Remaining {
        secrets: 1,
        requests: 0,
    };
    let in_use = Refusal::KeyInUse(KeyKind::Pepper, ONE, one);
    assert_eq!(world.refusal(&retire(1)), in_use);
    let lock = set(1, Set::Lock);
    world.run(&lock).unwrap();
    assert_eq!(world.refusal(&retire(1)), in_use, "it may be unlocked");
    world.run(&set(1, Set::Revoke)).unwrap();
    world.run(&retire(1)).unwrap();
    let retired = world.revision;
    assert_eq!(
        states(&world, KeyKind::Pepper),
        [KeyState::Retired, KeyState::Active]
    );
    let again = world.decide(&retire(1)).unwrap();
    assert!(matches!(again.answer, Answer::Key(Some(at)) if at == retired));
    let back = Command::RotateKey(rotate_key(&world, KeyKind::Pepper, 1));
    let refused = Refusal::KeyRetired(KeyKind::Pepper, ONE);
    assert_eq!(world.refusal(&back), refused);
}

#[test]
fn what_was_made_anew_leaves_the_record_as_it_is_until_that_is_written() {
    let mut world = noted();
    world.issue(new(1));
    world
        .run(&rotate_of(Rotate {
            overlap: DAY,
            ..rotate(1, 2)
        }))
        .unwrap();
    rotate_all(&mut world);
    let before = world.credentials[&id(1)].clone();
    // The one before the current, which is the one in use.
    let rekey = Command::Rekey(vec![remac(&world, 1, 1, 1)]);
    let decision = world.run(&rekey).unwrap();
    assert!(matches!(
        decision.writes.as_slice(),
        [Record::Rekeyed(_, Some(_))]
    ));
    let after = world.credentials[&id(1)].clone();
    assert_eq!(after.revision, before.revision);
    let overlap = after.credential.overlap.clone().unwrap();
    assert_eq!(overlap.secret.mac.pepper, TWO);
    assert_eq!(after.credential.secret, before.credential.secret);
    assert!(is_held(&world, &after.credential, &overlap.secret, 1));
    let again = world.decide(&rekey).unwrap();
    assert!(again.writes.is_empty(), "it is so already");

    let both = Command::Rekey(vec![remac(&world, 1, 1, 1), remac(&world, 1, 2, 2)]);
    world.run(&both).unwrap();
    let rekeyed = world.credential(1).clone();
    assert_eq!(Rekeyed::of(&rekeyed), *world.rekeyed[&id(1)]);
    assert_eq!(rekeyed.secret.mac.pepper, TWO);

    // Whatever writes the record has it in it, and drops what stands beside it.
    let rotate = rotate_of(Rotate {
        end_overlap: true,
        ..rotate(1, 3)
    });
    for command in [set(1, Set::Lock), rotate, set(1, Set::Revoke)] {
        let mut world = copy(&world);
        let decision = world.run(&command).unwrap();
        assert!(decision.writes.contains(&Record::Rekeyed(id(1), None)));
        assert!(world.rekeyed.is_empty());
        let all = world.credential(1);
        let held = std::iter::once(&all.secret).chain(&all.retired);
        assert!(held.clone().all(|held| held.mac.pepper == TWO), "{all:?}");
        let other = world.decide(&set(1, Set::Lock));
        let dropped = Record::Rekeyed(id(1), None);
        assert!(other.is_err() || !other.unwrap().writes.contains(&dropped));
    }
}

/// The same credentials and keys in another world.
fn copy(world: &World) -> World {
    let mut copy = World::new();
    copy.credentials.clone_from(&world.credentials);
    copy.rekeyed.clone_from(&world.rekeyed);
    copy.keys.clone_from(&world.keys);
    copy.keyring = world.keyring.clone();
    copy
}

#[test]
fn what_was_made_of_a_secret_that_ended_or_with_another_key_is_dropped() {
    let mut world = noted();
    for n in 1..=4 {
        world.issue(new(n));
    }
    rotate_all(&mut world);
    let made: Vec<_> = (1..=4).map(|n| remac(&world, n, 1, n)).collect();
    world.run(&rotate_of(rotate(1, 9))).unwrap();
    world.run(&set(2, Set::Revoke)).unwrap();
    world.credentials.remove(&id(3));
    load(&mut world, ONE);
    let none = world.decide(&Command::Rekey(made.clone())).unwrap();
    assert!(none.writes.is_empty(), "the pepper is not active any more");
    load(&mut world, TWO);
    let decision = world.run(&Command::Rekey(made)).unwrap();
    let written: Vec<_> = decision.writes.iter().map(Record::key).collect();
    assert_eq!(written, [crate::authority::record::rekeyed_key(id(4))]);
    assert!(is_held(
        &world,
        world.credential(4),
        &world.credential(4).secret,
        4
    ));
}

#[test]
fn a_sealed_secret_is_sealed_anew_and_an_older_text_never_replaces_it() {
    let mut world = noted();
    world.issue(Issue {
        profile: ProfileName::parse("misp").unwrap(),
        ..new(1)
    });
    let old = world.credential(1).sealed.clone().unwrap();
    rotate_all(&mut world);
    let context = sealing_context(id(1), Generation::FIRST);
    let sealed = world.keyring.seal(&context, &[1; 32], &SystemRandom::new());
    let rekey = |generation: u32, sealed: Arc<[u8]>| {
        Command::Rekey(vec![Rekey {
            id: id(1),
            generation: Generation::new(generation),
            made: Remade::Sealed(sealed),
        }])
    };
    let new: Arc<[u8]> = sealed.unwrap().into();
    let other = world.decide(&rekey(2, Arc::clone(&new))).unwrap();
    assert!(other.writes.is_empty(), "of another secret");
    let under_old = world.decide(&rekey(1, old)).unwrap();
    assert!(under_old.writes.is_empty());
    world.run(&rekey(1, Arc::clone(&new))).unwrap();
    let held = world.credential(1).sealed.clone().unwrap();
    assert_eq!(sealed_under(&held), Some(TWO));
    assert_eq!(&**world.keyring.open(&context, &held).unwrap(), [1; 32]);
    assert_eq!(world.credential(1).secret.mac.pepper, ONE, "that stays");
    let again = world.decide(&rekey(1, new)).unwrap();
    assert!(again.writes.is_empty());
    world.run(&set(1, Set::Revoke)).unwrap();
    assert_eq!(world.credential(1).sealed, None);
}

#[test]
fn of_what_remains_the_current_secret_ends_with_the_credential_and_an_overlap_alone() {
    let mut world = noted();
    for n in 1..=3 {
        world.issue(new(n));
    }
    for n in [2, 3] {
        let overlapping = Rotate {
            overlap: DAY,
            ..rotate(n, 10 + n)
        };
        world.run(&rotate_of(overlapping)).unwrap();
    }
    rotate_all(&mut world);
    // Of 2 the overlap remains, of 3 the current secret.
    let made = vec![remac(&world, 2, 2, 12), remac(&world, 3, 1, 3)];
    world.run(&Command::Rekey(made)).unwrap();
    let remaining = world.remaining(KeyKind::Pepper, ONE, NOW);
    assert_eq!(remaining.secrets, 3);
    let end = |n| {
        Command::EndSecrets(EndSecrets {
            id: id(n),
            pepper: ONE,
            reason: reason("why"),
            by: who(),
        })
    };
    for n in 1..=3 {
        world.run(&end(n)).unwrap();
    }
    assert_eq!(
        world.states(),
        [State::Revoked, State::Active, State::Revoked]
    );
    let kept = world.credential(2);
    assert_eq!((kept.overlap.clone(), kept.retired.len()), (None, 1));
    assert_eq!(kept.last_change.action, Action::Update);
    assert!(is_held(&world, kept, &kept.secret, 12));
    assert!(world.remaining(KeyKind::Pepper, ONE, NOW).is_nothing());
    assert!(world.decide(&end(2)).unwrap().writes.is_empty());
    // One whose overlap has ended by itself is no matter.
    let (mut world, end_of) = (world, after(DAY));
    world.issue(new(4));
    world.now = end_of;
    assert!(world.decide(&end(4)).unwrap().writes.is_empty());
}

#[test]
fn the_last_administrator_is_not_ended() {
    let mut world = noted();
    world.bind("credd:jo", "administrator", "*");
    world.issue(Issue {
        tenant: tenant("credd"),
        ..new(1)
    });
    rotate_all(&mut world);
    let end = Command::EndSecrets(EndSecrets {
        id: id(1),
        pepper: ONE,
        reason: reason("why"),
        by: who(),
    });
    assert_eq!(world.refusal(&end), Refusal::LastAdministrator(id(1)));
}

#[test]
fn an_imported_secret_gets_the_mac_of_its_hash_anew() {
    let mut world = noted();
    let hash = sha256(b"from elsewhere");
    let item = ImportItem {
        owner: Owner::parse("jo").unwrap(),
        profile: ProfileName::parse("api-token").unwrap(),
        texts: Texts {
            label: Some(label("test")),
            ..Texts::default()
        },
        expiry: Wish::Unsaid,
        secret: ImportedSecret {
            name: None,
            sha256: hash,
        },
        id: NewId::Given(id(1)),
    };
    let import = Import {
        tenant: tenant("acme"),
        items: vec![item],
        reason: reason("why"),
        by: who(),
    };
    world.run(&Command::Import(Box::new(import))).unwrap();
    rotate_all(&mut world);
    let mac = world.keyring.mac_of_imported(Kind::ApiToken, &hash);
    let rekey = Rekey {
        id: id(1),
        generation: Generation::FIRST,
        made: Remade::Mac(mac),
    };
    world.run(&Command::Rekey(vec![rekey])).unwrap();
    let held = &world.credential(1).secret;
    assert_eq!(
        (held.mac, held.origin.clone()),
        (mac, Origin::Imported(None))
    );
}
