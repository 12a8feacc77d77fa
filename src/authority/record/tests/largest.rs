//! The largest record of each kind fits in a value.

use super::super::*;
use super::decode;
use crate::domain::calendar::{Period, TimeZone};
use crate::domain::credential::{Action, Change, HeldSecret, Origin, Overlap, State, Use};
use crate::domain::directory::{DirectoryAction, DirectoryChange, Permissions};
use crate::domain::expiry::{self, Never};
use crate::domain::header::{HeaderFormat, HeaderName, HeaderRule, PairNames, ParameterName};
use crate::domain::keyring::{
    CheckValue, KeyState, KeyStates, KeyVersion, KnownKey, MOST_VERSIONS, Mac,
};
use crate::domain::language::Language;
use crate::domain::names::{
    AttributeKey, AttributeValue, Attributes, Description, DisplayName, Group, Label, Principal,
    PrincipalName, PublicName, Reason,
};
use crate::domain::permission::Grant;
use crate::domain::profile::{Multiplicity, Profile, Required, RoleRule, Visibility};
use crate::domain::rekeyed::RekeyedSecret;
use crate::domain::revision::Revision;
use crate::domain::token::{Generation, Kind};

use crate::domain::credential::MOST_RETIRED;
use crate::domain::names::{
    MAX_ATTRIBUTES, MAX_CREDENTIAL_TEXTS, MAX_DIRECTORY_TEXTS, MAX_GROUPS, MAX_PERMISSIONS,
    MAX_PRINCIPALS, MAX_ROLES,
};
use crate::domain::profile::{MAX_HEADERS, MAX_OVERLAP, MAX_PERIODS};
use crate::domain::random::SystemRandom;
use crate::store::MAX_VALUE_BYTES;

fn longest(character: char, characters: usize) -> Arc<str> {
    std::iter::repeat_n(character, characters)
        .collect::<String>()
        .into()
}

/// Texts of `bytes` together: as many as there may be, each as long as it may be,
/// so that those with the most overhead come first.
fn many(most: usize, longest: usize, bytes: usize) -> Vec<String> {
    let each = (bytes / most).clamp(2, longest);
    (0..most)
        .map(|n| format!("{n:02x}{}", "x".repeat(each - 2)))
        .collect()
}

fn fits(record: &Record) {
    let bytes = record.encode().unwrap().len();
    assert!(bytes <= MAX_VALUE_BYTES, "{bytes} bytes");
    let value = record.encode();
    let read = decode(&record.key(), value.as_deref());
    assert_eq!(read.as_ref(), Ok(record));
}

/// The longest name of a caller.
fn caller() -> Principal {
    Principal::credd(&Owner::parse(&longest('o', 128)).unwrap())
}

fn reason() -> Reason {
    Reason::parse(&longest('r', 256)).unwrap()
}

fn directory_change() -> DirectoryChange {
    DirectoryChange {
        action: DirectoryAction::Delete,
        at: Timestamp::MAX,
        by: caller(),
        reason: reason(),
    }
}

fn secret(generation: u32, origin: Origin) -> HeldSecret {
    HeldSecret {
        generation: Generation::new(generation),
        mac: Mac {
            pepper: KeyVersion(u32::MAX),
            tag: [0xff; 32],
        },
        origin,
    }
}

/// Rotated often, with an overlap; what it says is as long as `texts` make it.
fn credential(
    label: &str,
    description: &str,
    roles: Vec<Role>,
    attributes: Attributes,
) -> Credential {
    let at = Timestamp::MAX;
    let said = label.len()
        + description.len()
        + roles.iter().map(|role| role.as_str().len()).sum::<usize>()
        + attributes
            .iter()
            .map(|(key, value)| key.as_str().len() + value.as_str().len())
            .sum::<usize>();
    assert_eq!(said, MAX_CREDENTIAL_TEXTS, "as much as there may be");
    // Only the first secret can have been made elsewhere.
    let name = PublicName::parse(&longest('n', 128)).unwrap();
    let mut retired = vec![secret(u32::MAX, Origin::Native); MOST_RETIRED];
    retired[MOST_RETIRED - 1] = secret(1, Origin::Imported(Some(name)));
    Credential {
        id: CredentialId::MAX,
        tenant: Tenant::parse(&longest('t', 63)).unwrap(),
        owner: Owner::parse(&longest('o', 128)).unwrap(),
        profile: ProfileRef {
            family: ProfileFamily {
                scope: Scope::Tenant(Tenant::parse(&longest('t', 63)).unwrap()),
                name: ProfileName::parse(&longest('p', 63)).unwrap(),
            },
            version: u32::MAX,
        },
        kind: Kind::KeyPair,
        label: Label::parse(label).unwrap(),
        description: Description::parse(description).unwrap(),
        roles,
        attributes,
        // As long as the longest that is read.
        language: Some(Language::trusted(longest('l', 64))),
        time_zone: Some(TimeZone::trusted(longest('z', 64))),
        state: State::Revoked,
        leaked_at: Some(at),
        state_set: Some(Revision::new(u64::MAX)),
        created_at: at,
        created_by: caller(),
        expires_at: Some(at),
        expiry_told: true,
        secret: secret(u32::MAX, Origin::Native),
        overlap: Some(Overlap {
            secret: secret(u32::MAX, Origin::Native),
            ends_at: at,
        }),
        retired,
        sealed: Some(sealed(u32::MAX).into()),
        last_change: Change {
            action: Action::Revoke,
            at,
            by: caller(),
            reason: reason(),
        },
    }
}

/// A sealed secret.
fn sealed(version: u32) -> Vec<u8> {
    let key = [(KeyVersion(version), zeroize::Zeroizing::new([1; 32]))];
    let keyring = crate::domain::keyring::Keyring::new(&key, &key).unwrap();
    let sealed = keyring.seal(b"here", &[0; 32], &SystemRandom::new());
    sealed.unwrap()
}

#[test]
fn the_largest_credential_fits_in_a_value() {
    let label = longest('\u{1d11e}', 128);
    let long_attributes = {
        let keys = many(MAX_ATTRIBUTES, 64, 64 * MAX_ATTRIBUTES);
        let keys = keys.into_iter().map(|key| format!("k{}", &key[1..]));
        keys.map(|key| {
            let key = AttributeKey::parse(&key).unwrap();
            (key, AttributeValue::parse("").unwrap())
        })
        .collect::<Attributes>()
    };
    let attribute_bytes = 64 * MAX_ATTRIBUTES;
    let left = MAX_CREDENTIAL_TEXTS - label.len() - attribute_bytes;
    let roles: Vec<_> = (0..MAX_ROLES)
        .map(|n| Role::parse(&format!("r{n:x}")).unwrap())
        .collect();
    let role_bytes = 2 * MAX_ROLES;
    let description = longest('d', left - role_bytes);
    let many_parts = credential(&label, &description, roles, long_attributes);
    // Above 127 bytes each length takes another byte.
    let values: Vec<_> = (0..7)
        .map(|n| {
            let key = AttributeKey::parse(&format!("k{n}")).unwrap();
            (key, AttributeValue::trusted(longest('v', 126)))
        })
        .collect();
    let left = MAX_CREDENTIAL_TEXTS - label.len() - 7 * 128;
    let long_parts = credential(&label, &longest('d', left), Vec::new(), values);
    for credential in [many_parts, long_parts] {
        let record = Record::Credential(credential.id, Some(Arc::new(credential)));
        fits(&record);
    }
}

#[test]
fn the_largest_tenant_owner_and_role_fit_in_a_value() {
    let name = Tenant::parse(&longest('t', 63)).unwrap();
    let display_name = DisplayName::parse(&longest('\u{1d11e}', 128)).unwrap();
    let tenant = TenantRecord {
        display_name: display_name.clone(),
        description: Description::parse(&longest('d', 1024)).unwrap(),
        disabled: true,
        last_change: directory_change(),
    };
    fits(&Record::Tenant(name.clone(), Some(Arc::new(tenant))));

    // All that can be chosen again: the longest of the groups.
    let group = longest('\u{1d11e}', 64);
    let mut left = MAX_DIRECTORY_TEXTS - display_name.as_str().len() - group.len();
    let mut take = |most: usize, longest: usize| {
        let texts = many(most, longest, left);
        left -= texts.iter().map(String::len).sum::<usize>();
        texts
    };
    let roles = take(MAX_ROLES, 20);
    let groups = take(MAX_GROUPS - 1, 16);
    let principals = take(MAX_PRINCIPALS, 249);
    let groups = groups.iter().map(|text| Group::parse(text).unwrap());
    let owner = OwnerRecord {
        display_name,
        principals: principals
            .iter()
            .map(|text| PrincipalName::parse(&format!("dns:{}", &text[4..])).unwrap())
            .collect(),
        groups: groups.chain([Group::parse(&group).unwrap()]).collect(),
        roles: roles
            .iter()
            .map(|text| Role::parse(&format!("r{}", &text[1..])).unwrap())
            .collect(),
        chosen_source: Some(Group::parse(&group).unwrap()),
        disabled: true,
        last_change: directory_change(),
    };
    let reference = OwnerRef {
        tenant: name.clone(),
        name: Owner::parse(&longest('o', 128)).unwrap(),
    };
    fits(&Record::Owner(reference, Some(Arc::new(owner))));

    let description = Description::parse(&longest('d', 1024)).unwrap();
    let grants = many(MAX_PERMISSIONS, 128, MAX_DIRECTORY_TEXTS - 1024);
    let grants = grants
        .iter()
        .map(|text| Grant::parse(&format!("r{}:{}", &text[..2], &text[4..])).unwrap());
    let role = RoleRecord {
        description,
        permissions: Permissions::Tenant(grants.collect()),
        last_change: directory_change(),
    };
    let reference = RoleRef {
        tenant: name,
        name: Role::parse(&longest('r', 63)).unwrap(),
    };
    fits(&Record::Role(reference, Some(Arc::new(role))));
}

#[test]
fn the_largest_profile_fits_in_a_value() {
    let family = ProfileFamily {
        scope: Scope::Tenant(Tenant::parse(&longest('t', 63)).unwrap()),
        name: ProfileName::parse(&longest('p', 63)).unwrap(),
    };
    let parameter = |first: char| {
        let name = format!("{first}{}", longest('x', 31));
        ParameterName::parse(&name).unwrap()
    };
    let headers = (0..MAX_HEADERS).map(|n| HeaderRule {
        name: HeaderName::parse(&format!("{n}{}", longest('x', 63))).unwrap(),
        format: HeaderFormat::Pair(PairNames::new(parameter('a'), parameter('b')).unwrap()),
    });
    let periods: Vec<_> = (0..MAX_PERIODS)
        .map(|n| Period::parse(&format!("P{}D", 1000 + n)).unwrap())
        .collect();
    let mut profile = Profile {
        scope: family.scope.clone(),
        name: family.name.clone(),
        display_name: DisplayName::parse(&longest('\u{1d11e}', 128)).unwrap(),
        kind: Kind::KeyPair,
        headers: headers.collect(),
        visibility: Visibility::Again,
        expiry: expiry::Rule {
            default: periods.last().copied(),
            maximum: None,
            allowed: periods,
            never: Never::Allowed,
            fixed: true,
        },
        multiplicity: Multiplicity::OneReplace,
        required: Required {
            label: false,
            description: true,
            language: true,
            time_zone: true,
        },
        default_label: Some(Label::parse(&longest('\u{1d11e}', 128)).unwrap()),
        roles: RoleRule {
            allowed: (0..MAX_ROLES)
                .map(|n| Role::parse(&format!("r{n:x}{}", longest('x', 61))).unwrap())
                .collect(),
            least: 1,
            most: MAX_ROLES,
        },
        owner_may_issue: true,
        max_overlap: MAX_OVERLAP,
        unlisted: true,
    };
    assert_eq!(profile.check(), Ok(()));
    // What an administrator sends is that message at least.
    while prost::Message::encoded_len(&profile_message(&profile)) > MAX_DIRECTORY_TEXTS {
        profile.roles.allowed.pop();
    }
    let record = ProfileRecord {
        profile,
        last_change: directory_change(),
    };
    let reference = ProfileRef {
        family,
        version: u32::MAX,
    };
    fits(&Record::Profile(reference, Some(Arc::new(record))));
}

#[test]
fn the_largest_uses_request_and_keyring_fit_in_a_value() {
    let uses = (0..Uses::MOST).map(|n| Use {
        at: Timestamp::from_millis(Timestamp::MAX.as_millis() - i64::try_from(n).unwrap()),
        by: caller(),
        generation: Generation::new(u32::MAX - u32::try_from(n).unwrap()),
    });
    let uses = Uses::new(uses);
    assert_eq!(uses.iter().count(), Uses::MOST);
    fits(&Record::Uses(CredentialId::MAX, Some(uses)));

    let request = RequestRecord {
        key: KeyVersion(u32::MAX),
        replaced: vec![CredentialId::MAX; 100],
        asked: [0xff; 32],
        at: Timestamp::MAX,
        credential: CredentialId::MAX,
        generation: Generation::new(u32::MAX),
        sealed: sealed(u32::MAX),
    };
    fits(&Record::Request([0xff; 32], Some(Arc::new(request))));

    let keys = (0..u32::try_from(MOST_VERSIONS).unwrap()).map(|n| KnownKey {
        version: KeyVersion(u32::MAX - n),
        check: [0xff; size_of::<CheckValue>()],
        state: KeyState::Retired,
        set: Some(Revision::new(u64::MAX)),
    });
    let keys = KeyStates::new(keys.collect());
    let state = KeyringState {
        peppers: keys.clone(),
        sealing: keys,
    };
    fits(&Record::Keyring(Some(Arc::new(state))));

    let secret = RekeyedSecret {
        generation: Generation::new(u32::MAX),
        mac: Mac {
            pepper: KeyVersion(u32::MAX),
            tag: [0xff; 32],
        },
    };
    let rekeyed = Rekeyed {
        current: secret,
        previous: Some(secret),
        sealed: Some(sealed(u32::MAX).into()),
    };
    fits(&Record::Rekeyed(CredentialId::MAX, Some(Arc::new(rekeyed))));
}
