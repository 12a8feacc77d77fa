//! Issuing by the rules of a profile.

use super::*;
use crate::domain::calendar::{Date, Period, TimeZone};
use crate::domain::keyring::Macs as _;
use crate::domain::language::Language;
use crate::domain::names::{AttributeKey, AttributeValue, Attributes, MAX_CREDENTIAL_TEXTS};

#[test]
fn a_given_id_is_issued_once() {
    let mut world = World::new();
    world.issue(new(1));
    world.run(&set(1, Set::Revoke)).unwrap();
    assert_eq!(world.refusal(&issue_of(new(1))), Refusal::Exists(id(1)));
}

#[test]
fn what_is_issued_says_what_was_asked_and_is_active() {
    let mut world = World::new();
    world.put_owner("jo", &["reader"]);
    let texts = Texts {
        label: Some(label("My key")),
        description: Description::parse("for\ntests").unwrap(),
        roles: roles(&["reader"]),
        attributes: vec![(
            AttributeKey::parse("cost").unwrap(),
            AttributeValue::parse("42").unwrap(),
        )],
        language: Some(Language::parse("de-CH").unwrap()),
        time_zone: Some(TimeZone::parse("Europe/Zurich").unwrap()),
    };
    let issued = world.issue(Issue {
        texts: texts.clone(),
        ..new(1)
    });
    let expected = Credential {
        id: id(1),
        tenant: tenant("acme"),
        owner: Owner::parse("jo").unwrap(),
        profile: ProfileRef {
            family: ProfileFamily {
                scope: Scope::All,
                name: ProfileName::parse("api-token").unwrap(),
            },
            version: 1,
        },
        kind: Kind::ApiToken,
        label: texts.label.unwrap(),
        description: texts.description,
        roles: texts.roles,
        attributes: texts.attributes,
        language: texts.language,
        time_zone: texts.time_zone,
        state: State::Active,
        leaked_at: None,
        state_set: None,
        created_at: NOW,
        created_by: who(),
        expires_at: None,
        expiry_told: false,
        secret: issued.secret.clone(),
        overlap: None,
        retired: Vec::new(),
        sealed: None,
        last_change: Change {
            action: Action::Issue,
            at: NOW,
            by: who(),
            reason: reason("why"),
        },
    };
    assert_eq!(issued, expected);
}

#[test]
fn the_mac_is_that_of_the_secret_and_not_of_another() {
    let mut world = World::new();
    let credential = world.issue(new(7));
    let matches = |secret: [u8; 32]| {
        let of = SecretOf {
            kind: credential.kind,
            id: credential.id,
            generation: credential.secret.generation,
            secret: &Secret::new(secret),
        };
        world.keyring.matches(&of, Some(&credential.secret.mac))
    };
    assert!(matches([7; 32]));
    assert!(!matches([8; 32]));
}

#[test]
fn a_secret_is_kept_sealed_only_if_the_profile_shows_it_again() {
    let mut world = World::new();
    assert_eq!(world.issue(new(1)).sealed, None);
    let viewable = world.issue(new_by("misp", 2));
    let sealed = viewable.sealed.unwrap();
    let open = |n, generation| {
        let context = sealing_context(id(n), Generation::new(generation));
        world.keyring.open(&context, &sealed)
    };
    assert_eq!(**open(2, 1).unwrap(), [2; 32]);
    assert!(open(2, 2).is_err() && open(1, 1).is_err());
}

#[test]
fn each_field_that_a_profile_requires_is_named_where_it_is_missing() {
    let mut world = World::new();
    world.put_profile("strict", |profile| {
        profile.default_label = None;
        profile.required.label = true;
        profile.required.description = true;
        profile.required.language = true;
        profile.required.time_zone = true;
    });
    let nothing = Issue {
        texts: Texts::default(),
        ..new_by("strict", 1)
    };
    let fields = ["label", "description", "language", "time_zone"];
    assert_eq!(world.wrong(&issue_of(nothing.clone())), fields);
    let texts = Texts {
        label: Some(label("x")),
        description: Description::parse("x").unwrap(),
        language: Some(Language::parse("en").unwrap()),
        time_zone: Some(TimeZone::utc()),
        ..Texts::default()
    };
    let all = Issue { texts, ..nothing };
    assert_eq!(world.issue(all).label.as_str(), "x");
    // Without a default there is none.
    world.put_profile("plain", |profile| profile.default_label = None);
    let unlabelled = Issue {
        texts: Texts::default(),
        ..new_by("plain", 2)
    };
    assert_eq!(world.wrong(&issue_of(unlabelled)), ["label"]);
}

#[test]
fn the_default_label_is_for_those_that_have_none() {
    let mut world = World::new();
    let unlabelled = Issue {
        texts: Texts::default(),
        ..new_by("eset-taxii", 1)
    };
    assert_eq!(world.issue(unlabelled).label.as_str(), "TAXII Credentials");
    assert_eq!(world.issue(new_by("eset-taxii", 2)).label.as_str(), "test");
}

#[test]
fn roles_are_as_many_as_the_profile_says_among_those_it_allows_and_the_owner_has() {
    let mut world = World::new();
    world.put_owner("jo", &["one", "two", "three"]);
    world.put_profile("two-of", |profile| {
        profile.roles.allowed = roles(&["one", "two", "four"]);
        (profile.roles.least, profile.roles.most) = (1, 2);
    });
    let with = |n, names: &[&str]| {
        let mut issue = new_by("two-of", n);
        issue.texts.roles = roles(names);
        issue_of(issue)
    };
    assert_eq!(world.wrong(&with(1, &[])), ["roles"]);
    let too_many = world.wrong(&with(1, &["one", "three", "two"]));
    assert_eq!(too_many, ["roles", "roles[1]"]);
    assert_eq!(
        world.wrong(&with(1, &["three"])),
        ["roles[0]"],
        "not allowed"
    );
    assert_eq!(
        world.wrong(&with(1, &["four", "one"])),
        ["roles[0]"],
        "not had"
    );
    assert_eq!(world.wrong(&with(1, &["five"])), ["roles[0]", "roles[0]"]);
    assert_eq!(world.change(&with(1, &["one"])).credential.roles.len(), 1);
    assert_eq!(
        world
            .change(&with(2, &["one", "two"]))
            .credential
            .roles
            .len(),
        2
    );
    // A role that was deleted is none, and one of another tenant neither.
    let mut of_another = new(3);
    of_another.tenant = tenant("globex");
    of_another.texts.roles = roles(&["one"]);
    assert_eq!(world.wrong(&issue_of(of_another)), ["roles[0]"]);
    let deleted = RoleRecord {
        last_change: DirectoryChange {
            action: DirectoryAction::Delete,
            ..put_by_nobody()
        },
        ..(*world.role(&role_ref("acme", "two")).unwrap().record).clone()
    };
    let role = role_ref("acme", "two");
    world.write(&Record::Role(role, Some(Arc::new(deleted))));
    assert_eq!(world.wrong(&with(3, &["two"])), ["roles[0]"]);
}

#[test]
fn built_in_roles_are_roles_like_others() {
    let mut world = World::new();
    let put = PutOwner {
        roles: roles(&["auditor"]),
        ..owner_of("jo")
    };
    world.run(&directory_command(What::PutOwner(put))).unwrap();
    let mut issue = new(1);
    issue.texts.roles = roles(&["auditor"]);
    assert_eq!(world.issue(issue.clone()).roles, roles(&["auditor"]));
    issue.texts.roles = roles(&["full-access"]);
    assert_eq!(world.wrong(&issue_of(issue)), ["roles[0]"]);
}

#[test]
fn the_callers_of_credd_have_the_roles_that_their_credentials_name() {
    let mut world = World::new();
    let mut issue = new(1);
    issue.tenant = Tenant::credd();
    issue.texts.roles = roles(&[Role::VERIFIER]);
    assert_eq!(world.issue(issue.clone()).roles, roles(&[Role::VERIFIER]));
    issue.texts.roles = roles(&["nonsense"]);
    assert_eq!(world.wrong(&issue_of(issue.clone())), ["roles[0]"]);
    issue.profile = ProfileName::parse("basic").unwrap();
    issue.texts.roles = Vec::new();
    assert_eq!(world.wrong(&issue_of(issue)), ["profile"]);
}

#[test]
fn an_expiry_is_what_the_profile_makes_of_what_is_wished() {
    let period = |text| Wish::Period(Period::parse(text).unwrap());
    let at = |time| Wish::At(after(time));
    let year = after(365 * DAY);
    let none: Result<_, &str> = Ok(None);
    let table = [
        ("api-token", Wish::Unsaid, none),
        ("api-token", Wish::Never, none),
        ("api-token", at(DAY), Ok(Some(after(DAY)))),
        ("api-token", Wish::At(NOW), Err("expires_at")),
        ("api-token", Wish::After(DAY), Ok(Some(after(DAY)))),
        ("api-token", Wish::After(Duration::MAX), Err("ttl")),
        ("kaspersky-tip", Wish::Unsaid, Ok(Some(year))),
        ("kaspersky-tip", Wish::Never, Err("never")),
        ("kaspersky-tip", Wish::After(DAY), Ok(Some(after(DAY)))),
        ("kaspersky-tip", at(366 * DAY), Err("expires_at")),
        ("eclecticiq", period("P90D"), Ok(Some(after(90 * DAY)))),
        ("eclecticiq", period("P91D"), Err("period")),
        ("eclecticiq", at(DAY), Err("expires_at")),
        ("misp", Wish::Unsaid, none),
        ("misp", Wish::After(DAY), Err("ttl")),
    ];
    for (profile, expiry, expected) in table {
        let mut world = World::new();
        let issue = Issue {
            expiry,
            ..new_by(profile, 1)
        };
        match expected {
            Ok(expected) => assert_eq!(world.issue(issue).expires_at, expected, "{expiry:?}"),
            Err(field) => assert_eq!(world.wrong(&issue_of(issue)), [field], "{expiry:?}"),
        }
    }
}

#[test]
fn a_date_ends_with_that_day_in_the_time_zone_of_the_credential() {
    let mut world = World::new();
    let on = |n, zone: Option<&str>| {
        let mut issue = new(n);
        issue.expiry = Wish::On(Date::parse("2028-02-29").unwrap());
        issue.texts.time_zone = zone.map(|zone| TimeZone::parse(zone).unwrap());
        issue
    };
    let utc = world.issue(on(1, None)).expires_at.unwrap();
    assert_eq!(utc.as_millis(), 1_835_481_600_000, "2028-03-01T00:00:00Z");
    let tokyo = world.issue(on(2, Some("Asia/Tokyo"))).expires_at.unwrap();
    assert_eq!(utc.since(tokyo), Duration::from_hours(9));
}

#[test]
fn owners_issue_for_themselves_only_where_the_profile_says_so() {
    let mut world = World::new();
    world.put_profile("for-administrators", |profile| {
        profile.owner_may_issue = false;
    });
    let ask = |as_owner| Issue {
        as_owner,
        ..new_by("for-administrators", 1)
    };
    assert_eq!(world.refusal(&issue_of(ask(true))), Refusal::NotForOwners);
    world.issue(ask(false));
    let own = Issue {
        as_owner: true,
        ..new(2)
    };
    world.issue(own);
}

#[test]
fn nobody_who_is_disabled_or_deleted_gets_a_credential() {
    let jo = || owner_ref("acme", "jo");
    let disabled = |thing| Refusal::Disabled(thing);
    for (what, refusal) in [
        (
            What::DisableTenant(tenant("acme"), true),
            disabled(Thing::Tenant),
        ),
        (What::DisableOwner(jo(), true), disabled(Thing::Owner)),
        (What::DeleteOwner(jo()), Refusal::Deleted(Thing::Owner)),
    ] {
        let mut world = World::new();
        world.put_owner("jo", &[]);
        world.run(&directory_command(what)).unwrap();
        assert_eq!(world.refusal(&issue_of(new(1))), refusal);
    }
    let mut world = World::new();
    let put = What::PutTenant(PutTenant {
        name: tenant("acme"),
        display_name: DisplayName::default(),
        description: Description::default(),
    });
    world.run(&directory_command(put)).unwrap();
    let delete = directory_command(What::DeleteTenant(tenant("acme")));
    world.run(&delete).unwrap();
    let refusal = Refusal::Deleted(Thing::Tenant);
    assert_eq!(world.refusal(&issue_of(new(1))), refusal);
}

#[test]
fn a_profile_that_the_tenant_does_not_have_is_none() {
    let mut world = World::new();
    assert_eq!(world.wrong(&issue_of(new_by("unknown", 1))), ["profile"]);
    world.put_profile("ours", |profile| {
        profile.scope = Scope::Tenant(tenant("acme"));
    });
    let of_another = Issue {
        tenant: tenant("globex"),
        ..new_by("ours", 1)
    };
    assert_eq!(world.wrong(&issue_of(of_another)), ["profile"]);
    world.issue(new_by("ours", 1));
    world.run(&set(1, Set::Revoke)).unwrap();
    world.credentials.clear();
    let family = ProfileFamily {
        scope: Scope::Tenant(tenant("acme")),
        name: ProfileName::parse("ours").unwrap(),
    };
    world
        .run(&directory_command(What::DeleteProfile(family)))
        .unwrap();
    assert_eq!(world.wrong(&issue_of(new_by("ours", 1))), ["profile"]);
}

/// An attribute of this many bytes.
fn attribute(bytes: usize) -> Attributes {
    let (whole, rest) = (bytes / 256, bytes % 256);
    let lengths = std::iter::repeat_n(256, whole).chain((rest > 0).then_some(rest));
    lengths
        .enumerate()
        .map(|(n, length)| {
            let key = AttributeKey::parse(&format!("k{n}")).unwrap();
            let value = AttributeValue::parse(&"v".repeat(length - 2)).unwrap();
            (key, value)
        })
        .collect()
}

#[test]
fn texts_have_at_most_2048_bytes_together() {
    let mut world = World::new();
    world.put_owner("jo", &["reader"]);
    let with = |bytes: usize| {
        let mut issue = new(1);
        // In bytes, not in characters.
        let (label, role) = ("ä".repeat(100), "reader");
        issue.texts.roles = roles(&[role]);
        issue.texts.label = Some(self::label(&label));
        issue.texts.description = Description::parse(&"d".repeat(1000)).unwrap();
        issue.texts.attributes = attribute(bytes - 1000 - label.len() - role.len());
        issue_of(issue)
    };
    assert_eq!(
        world.wrong(&with(MAX_CREDENTIAL_TEXTS + 1)),
        ["description"]
    );
    world.run(&with(MAX_CREDENTIAL_TEXTS)).unwrap();
}

/// Else nothing else of it could be changed later.
#[test]
fn a_default_label_counts_among_the_texts() {
    let world = World::new();
    let with = |bytes: usize| {
        let mut issue = new_by("eset-taxii", 1);
        issue.texts = Texts {
            attributes: attribute(bytes),
            ..Texts::default()
        };
        issue_of(issue)
    };
    let left = MAX_CREDENTIAL_TEXTS - "TAXII Credentials".len();
    assert_eq!(world.wrong(&with(left + 1)), ["description"]);
    world.decide(&with(left)).unwrap();
}
