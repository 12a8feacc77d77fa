//! Changing what a credential says.

use super::*;
use crate::domain::calendar::{Period, TimeZone};
use crate::domain::language::Language;
use crate::domain::names::{AttributeKey, AttributeValue};

fn all_changes() -> Changes {
    Changes {
        label: Some(label("new")),
        description: Some(Description::parse("new").unwrap()),
        attributes: Some(vec![(
            AttributeKey::parse("k").unwrap(),
            AttributeValue::parse("new").unwrap(),
        )]),
        roles: Some(roles(&["new"])),
        language: Some(Some(Language::parse("fr").unwrap())),
        time_zone: Some(Some(TimeZone::parse("Europe/Paris").unwrap())),
        expiry: Some(Wish::After(DAY)),
    }
}

/// A credential that says all there is, of an owner with the roles `old` and
/// `new`.
fn world() -> World {
    let mut world = World::new();
    world.put_owner("jo", &["new", "old"]);
    let mut issue = new(1);
    issue.texts.description = Description::parse("old").unwrap();
    issue.texts.roles = roles(&["old"]);
    issue.texts.attributes = vec![(
        AttributeKey::parse("k").unwrap(),
        AttributeValue::parse("old").unwrap(),
    )];
    issue.texts.language = Some(Language::parse("en").unwrap());
    issue.texts.time_zone = Some(TimeZone::parse("Europe/London").unwrap());
    world.issue(issue);
    world
}

#[test]
fn what_is_named_changes_and_nothing_else() {
    let all = all_changes();
    let changed = |before: &Credential, change: &Changes| Credential {
        label: change.label.clone().unwrap_or_else(|| before.label.clone()),
        description: change
            .description
            .clone()
            .unwrap_or_else(|| before.description.clone()),
        attributes: change
            .attributes
            .clone()
            .unwrap_or_else(|| before.attributes.clone()),
        roles: change.roles.clone().unwrap_or_else(|| before.roles.clone()),
        language: change
            .language
            .clone()
            .unwrap_or_else(|| before.language.clone()),
        time_zone: change
            .time_zone
            .clone()
            .unwrap_or_else(|| before.time_zone.clone()),
        expires_at: change.expiry.map(|_| after(DAY)).or(before.expires_at),
        state_set: Some(Revision::new(104)),
        last_change: Change {
            action: Action::Update,
            at: NOW,
            by: who(),
            reason: reason("why"),
        },
        ..before.clone()
    };
    let Changes {
        label,
        description,
        attributes,
        roles,
        language,
        time_zone,
        expiry,
    } = all.clone();
    let none = Changes::default;
    for change in [
        Changes { label, ..none() },
        Changes {
            description,
            ..none()
        },
        Changes {
            attributes,
            ..none()
        },
        Changes { roles, ..none() },
        Changes { language, ..none() },
        Changes {
            time_zone,
            ..none()
        },
        Changes { expiry, ..none() },
        all,
    ] {
        let mut world = world();
        let before = world.credentials[&id(1)].clone();
        assert_eq!(before.revision, Revision::new(104));
        let after = world.change(&update_of(1, change.clone()));
        let expected = changed(&before.credential, &change);
        assert_eq!(after.credential, expected);
        assert_eq!(
            after.state_revision(),
            before.revision,
            "the state is as it was"
        );
    }
}

#[test]
fn what_may_be_none_can_be_taken_away() {
    let mut world = world();
    let nothing = Changes {
        description: Some(Description::default()),
        attributes: Some(Vec::new()),
        roles: Some(Vec::new()),
        language: Some(None),
        time_zone: Some(None),
        ..Changes::default()
    };
    let after = world.change(&update_of(1, nothing)).credential;
    assert_eq!(after.description.as_str(), "");
    assert!(after.attributes.is_empty() && after.roles.is_empty());
    assert_eq!((after.language, after.time_zone), (None, None));
}

#[test]
fn what_says_so_already_is_answered_with_the_first_revision_whatever_is_expected() {
    let mut world = world();
    let changes = Changes {
        label: Some(label("new")),
        ..Changes::default()
    };
    let first = world.change(&update_of(1, changes.clone()));
    let again = |expected| {
        let ask = Update {
            expected: Some(expected),
            ..update(1, changes.clone())
        };
        Command::Update(Box::new(ask))
    };
    for expected in [Revision::new(3), first.revision] {
        let decision = world.decide(&again(expected)).unwrap();
        assert!(decision.writes.is_empty());
        let answer = decision.answer.credential(Revision::new(900)).unwrap();
        assert_eq!(answer, first);
    }
    let nothing = world.decide(&update_of(1, Changes::default())).unwrap();
    assert!(nothing.writes.is_empty());
}

#[test]
fn a_change_of_another_revision_than_expected_is_refused() {
    let mut world = world();
    let is = world.revision;
    let ask = |expected| {
        let changes = Changes {
            label: Some(label("new")),
            ..Changes::default()
        };
        let ask = Update {
            expected: Some(expected),
            ..update(1, changes)
        };
        Command::Update(Box::new(ask))
    };
    let refusal = world.refusal(&ask(Revision::new(3)));
    assert_eq!(refusal, Refusal::RevisionMismatch(is));
    world.run(&ask(is)).unwrap();
}

#[test]
fn roles_that_the_owner_lost_may_stay_but_not_come() {
    let mut world = world();
    world.put_owner("jo", &["new"]);
    let with = |names: &[&str]| {
        update_of(
            1,
            Changes {
                roles: Some(roles(names)),
                ..Changes::default()
            },
        )
    };
    // It says so still, and other changes go on.
    assert!(world.decide(&with(&["old"])).unwrap().writes.is_empty());
    assert_eq!(
        world.change(&with(&["new", "old"])).credential.roles.len(),
        2
    );
    assert_eq!(world.change(&with(&["new"])).credential.roles.len(), 1);
    assert_eq!(world.wrong(&with(&["new", "old"])), ["roles[1]"]);
}

#[test]
fn the_rules_are_those_of_the_version_by_which_it_was_issued() {
    let mut world = World::new();
    world.put_profile("own", |_| ());
    world.issue(new_by("own", 1));
    world.put_profile("own", |profile| {
        profile.required.description = true;
        profile.expiry.fixed = true;
    });
    let changes = Changes {
        label: Some(label("new")),
        expiry: Some(Wish::After(DAY)),
        ..Changes::default()
    };
    world.run(&update_of(1, changes)).unwrap();
    assert_eq!(world.wrong(&issue_of(new_by("own", 2))), ["description"]);
}

#[test]
fn what_a_profile_requires_can_not_be_taken_away() {
    let mut world = World::new();
    world.put_profile("strict", |profile| {
        profile.required.description = true;
        profile.required.language = true;
    });
    let mut issue = new_by("strict", 1);
    issue.texts.description = Description::parse("x").unwrap();
    issue.texts.language = Some(Language::parse("en").unwrap());
    world.issue(issue);
    let changes = Changes {
        description: Some(Description::default()),
        language: Some(None),
        ..Changes::default()
    };
    assert_eq!(
        world.wrong(&update_of(1, changes)),
        ["description", "language"]
    );
}

#[test]
fn an_expiry_changes_by_the_rule_unless_it_is_fixed() {
    let expiry = |expiry| {
        let changes = Changes {
            expiry: Some(expiry),
            ..Changes::default()
        };
        update_of(1, changes)
    };
    let mut world = World::new();
    world.issue(new_by("kaspersky-tip", 1));
    assert_eq!(world.wrong(&expiry(Wish::After(DAY))), ["expiry"]);

    let mut world = World::new();
    world.put_profile("bounded", |profile| {
        let month = Period::parse("P30D").unwrap();
        profile.expiry.default = Some(month);
        profile.expiry.maximum = Some(month);
        profile.expiry.never = crate::domain::expiry::Never::Forbidden;
    });
    world.issue(new_by("bounded", 1));
    assert_eq!(world.wrong(&expiry(Wish::After(31 * DAY))), ["ttl"]);
    assert_eq!(world.wrong(&expiry(Wish::Never)), ["never"]);
    // The bound counts from the change.
    world.now = after(20 * DAY);
    let moved = world.change(&expiry(Wish::After(30 * DAY))).credential;
    assert_eq!(moved.expires_at, Some(after(50 * DAY)));
}

#[test]
fn an_expiry_that_moves_is_told_anew() {
    let mut world = World::new();
    let issue = Issue {
        expiry: Wish::After(DAY),
        ..new(1)
    };
    world.issue(issue);
    world.now = after(DAY);
    world.run(&Command::TellExpiry(vec![id(1)])).unwrap();
    let relabel = Changes {
        label: Some(label("new")),
        ..Changes::default()
    };
    let changed = world.change(&update_of(1, relabel)).credential;
    assert!(changed.expiry_told, "it is told once");
    let later = Changes {
        expiry: Some(Wish::After(DAY)),
        ..Changes::default()
    };
    let changed = world.change(&update_of(1, later)).credential;
    assert!(!changed.expiry_told && !changed.is_expired(world.now));
}

#[test]
fn owners_change_theirs_only_where_the_profile_says_so() {
    let mut world = World::new();
    world.put_profile("for-administrators", |profile| {
        profile.owner_may_issue = false;
    });
    world.issue(new_by("for-administrators", 1));
    world.issue(new(2));
    let as_owner = |n| {
        let ask = Update {
            as_owner: true,
            ..update(n, Changes::default())
        };
        Command::Update(Box::new(ask))
    };
    assert_eq!(world.refusal(&as_owner(1)), Refusal::NotForOwners);
    world.run(&as_owner(2)).unwrap();
}

#[test]
fn what_is_revoked_or_unknown_is_not_changed() {
    let mut world = world();
    world.run(&set(1, Set::Revoke)).unwrap();
    let ask = |n| update_of(n, all_changes());
    assert_eq!(world.refusal(&ask(1)), Refusal::Revoked(id(1)));
    assert_eq!(world.refusal(&ask(2)), Refusal::NotFound(id(2)));
}
