//! What credd changes of its own accord.

use super::*;
use crate::authority::record::{Incarnation, Node};
use crate::domain::calendar::TimeZone;
use crate::domain::credential::Use;
use crate::domain::keyring::KeyChecks;
use crate::domain::language::Language;
use crate::domain::names::{AttributeKey, AttributeValue};

fn expiring(n: u8) -> Issue {
    Issue {
        expiry: Wish::After(DAY),
        ..new(n)
    }
}

fn used(at: Timestamp, by: &str) -> Use {
    Use {
        at,
        by: Principal::trusted(by.into()),
        generation: Generation::FIRST,
    }
}

#[test]
fn uses_are_recorded_of_credentials_that_exist_beside_those_before() {
    let mut world = World::new();
    world.issue(new(1));
    let (first, later) = (used(NOW, "web"), used(after(DAY), "batch"));
    let other = used(NOW, "batch");
    let uses = vec![
        (id(1), first.clone()),
        (id(1), other),
        (id(2), first.clone()),
    ];
    world.run(&Command::RecordUses(uses)).unwrap();
    let more = vec![(id(1), later.clone())];
    let decision = world.run(&Command::RecordUses(more)).unwrap();
    let all = Uses::new([first, later]);
    assert_eq!(decision.writes, [Record::Uses(id(1), Some(all.clone()))]);
    assert_eq!(world.uses, BTreeMap::from([(id(1), all)]));
}

#[test]
fn an_expiry_is_told_once_when_it_has_come() {
    let mut world = World::new();
    for n in 1..=3 {
        world.issue(expiring(n));
    }
    world.run(&set(2, Set::Lock)).unwrap();
    world.run(&set(3, Set::Revoke)).unwrap();
    world.issue(new(4));
    let tell = Command::TellExpiry((1..=5).map(id).collect());
    world.now = Timestamp::from_millis(after(DAY).as_millis() - 1);
    assert!(world.decide(&tell).unwrap().writes.is_empty());
    world.now = after(DAY);
    let before = world.credentials.clone();
    assert_eq!(
        world.run(&tell).unwrap().writes.len(),
        2,
        "not of what is revoked"
    );
    for n in [1, 2] {
        let (before, told) = (&before[&id(n)], &world.credentials[&id(n)]);
        assert!(told.credential.expiry_told);
        assert_eq!(told.credential.last_change.action, Action::TellExpiry);
        assert_eq!(told.credential.last_change.by, Principal::system());
        let state = (before.credential.state, before.state_revision());
        assert_eq!((told.credential.state, told.state_revision()), state);
    }
    assert!(world.decide(&tell).unwrap().writes.is_empty(), "once");
}

#[test]
fn a_removed_credential_leaves_nothing_but_whose_it_was() {
    let mut world = World::new();
    world.put_owner("jo", &["reader"]);
    let mut issue = new_by("tenable-cs", 1);
    issue.texts = Texts {
        label: Some(label("secret project")),
        description: Description::parse("x").unwrap(),
        roles: roles(&["reader"]),
        attributes: vec![(
            AttributeKey::parse("k").unwrap(),
            AttributeValue::parse("v").unwrap(),
        )],
        language: Some(Language::parse("en").unwrap()),
        time_zone: Some(TimeZone::utc()),
    };
    world.issue(issue);
    world.run(&rotate_of(rotate(1, 2))).unwrap();
    let uses = vec![(id(1), used(NOW, "web"))];
    world.run(&Command::RecordUses(uses)).unwrap();
    world.run(&set(1, Set::Revoke)).unwrap();
    let before = world.credential(1).clone();
    world.run(&Command::Remove(vec![id(1), id(2)])).unwrap();
    let left = world.credential(1);
    let secret = &left.secret;
    assert_eq!((left.label.as_str(), left.description.as_str()), ("", ""));
    assert!(left.roles.is_empty() && left.attributes.is_empty());
    assert_eq!((&left.language, &left.time_zone), (&None, &None));
    assert_eq!((secret.mac.tag, &secret.origin), ([0; 32], &Origin::Native));
    assert_eq!((&left.overlap, &left.sealed), (&None, &None));
    assert!(left.retired.is_empty());
    assert_eq!(left.state, State::Revoked);
    assert_eq!(left.last_change.action, Action::Remove);
    assert_eq!(left.last_change.reason.as_str(), "");
    // Those who follow the log learn whose it was.
    assert_eq!(owner_ref_of(left), owner_ref_of(&before));
    assert_eq!((&left.profile, left.kind), (&before.profile, before.kind));
    assert!(world.uses.is_empty());
}

#[test]
fn only_what_is_revoked_or_has_expired_is_removed() {
    let mut world = World::new();
    for n in 1..=2 {
        world.issue(expiring(n));
    }
    world.issue(new(3));
    world.run(&set(3, Set::Lock)).unwrap();
    let remove = Command::Remove((1..=3).map(id).collect());
    assert!(world.decide(&remove).unwrap().writes.is_empty());
    // Another command was faster: it is good again.
    let changes = Changes {
        expiry: Some(Wish::After(2 * DAY)),
        ..Changes::default()
    };
    world.run(&update_of(2, changes)).unwrap();
    world.now = after(DAY);
    world.run(&remove).unwrap();
    let removed = world
        .credentials
        .values()
        .filter(|stored| stored.credential.last_change.action == Action::Remove);
    let removed: Vec<_> = removed.map(|stored| stored.credential.id).collect();
    assert_eq!(removed, [id(1)]);
}

#[test]
fn what_is_forgotten_is_gone() {
    let mut world = World::new();
    world.issue(new(1));
    let name = [7; 32];
    let decision = world
        .run(&Command::Forget(vec![id(1)], vec![name]))
        .unwrap();
    let expected = [Record::Credential(id(1), None), Record::Request(name, None)];
    assert_eq!(decision.writes, expected);
    assert!(world.credentials.is_empty());
}

#[test]
fn a_format_is_written_once_all_who_work_on_the_store_read_it() {
    let mut world = World::new();
    let node = |name: u8, format| {
        let node = Node {
            lease: Duration::from_secs(1),
            settled: Revision::ZERO,
            started_at: NOW,
            format,
            keys: KeyChecks::default(),
        };
        Command::Beat(Incarnation([name; 16]), Arc::new(node))
    };
    world.run(&node(1, 3)).unwrap();
    world.run(&node(2, 2)).unwrap();
    let refused = world.refusal(&Command::Upgrade(3));
    let expected = Refusal::FormatUnread {
        format: 3,
        servers: 1,
    };
    assert_eq!(refused, expected);
    let written = |world: &mut World, to| world.run(&Command::Upgrade(to)).unwrap().writes;
    assert_eq!(written(&mut world, 2), [Record::Format(2)]);
    assert_eq!(written(&mut world, 2), []);
    assert_eq!(written(&mut world, 1), [], "it never goes back");
    world.run(&node(2, 3)).unwrap();
    assert_eq!(written(&mut world, 3), [Record::Format(3)]);
}
