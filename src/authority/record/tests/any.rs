//! Any record.

use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::super::*;
use crate::domain::audit::{Hash, Head};
use crate::domain::calendar::{Period, TimeZone};
use crate::domain::credential::{Action, Change, HeldSecret, Origin, Overlap, State, Use};
use crate::domain::directory::{DirectoryAction, DirectoryChange, Permissions};
use crate::domain::expiry::{self, Never};
use crate::domain::header::{
    AuthScheme, HeaderFormat, HeaderName, HeaderRule, PairNames, ParameterName,
};
use crate::domain::keyring::{CheckValue, KeyState, KeyStates, KeyVersion, KnownKey, Mac};
use crate::domain::language::Language;
use crate::domain::names::{
    AttributeKey, AttributeValue, Attributes, Description, DisplayName, Group, Label, Principal,
    PrincipalName, PublicName, Reason,
};
use crate::domain::permission::{CreddGrant, Grant};
use crate::domain::profile::{Multiplicity, Profile, Required, RoleRule, Visibility};
use crate::domain::rekeyed::RekeyedSecret;
use crate::domain::revision::{Revision, StoreId};
use crate::domain::token::{Generation, Kind};

fn text() -> impl Strategy<Value = Arc<str>> {
    "\\PC{0,12}".prop_map(Into::into)
}

/// A name, of which roles are made.
fn name() -> impl Strategy<Value = Arc<str>> {
    "[a-z][a-z0-9]{0,8}".prop_map(Into::into)
}

fn any_id() -> impl Strategy<Value = CredentialId> {
    any::<[u8; 16]>().prop_map(CredentialId::from_bytes)
}

fn any_time() -> impl Strategy<Value = Timestamp> {
    (0..=Timestamp::MAX.as_millis()).prop_map(Timestamp::from_millis)
}

fn any_change() -> impl Strategy<Value = Change> {
    let actions = [
        Action::Issue,
        Action::Lock,
        Action::Unlock,
        Action::Revoke,
        Action::Update,
        Action::Rotate,
        Action::ReportLeak,
        Action::Import,
        Action::TellExpiry,
        Action::Remove,
    ];
    let action = select(actions.to_vec());
    (action, any_time(), text(), text()).prop_map(|(action, at, by, reason)| Change {
        action,
        at,
        by: Principal::trusted(by),
        reason: Reason::trusted(reason),
    })
}

fn any_secret() -> impl Strategy<Value = HeldSecret> {
    let origin = prop_oneof![
        3 => Just(Origin::Native),
        1 => option::of(name().prop_map(PublicName::trusted)).prop_map(Origin::Imported),
    ];
    let mac = (any::<u32>(), any::<[u8; 32]>());
    (any::<u32>(), mac, origin).prop_map(|(generation, (pepper, tag), origin)| HeldSecret {
        generation: Generation::new(generation),
        mac: Mac {
            pepper: KeyVersion(pepper),
            tag,
        },
        origin,
    })
}

fn any_attributes() -> impl Strategy<Value = Attributes> {
    let one = (name(), text());
    let one =
        one.prop_map(|(key, value)| (AttributeKey::trusted(key), AttributeValue::trusted(value)));
    vec(one, 0..3)
}

fn any_family() -> impl Strategy<Value = ProfileFamily> {
    let scope = prop_oneof![
        Just(Scope::All),
        name().prop_map(|tenant| Scope::Tenant(Tenant::trusted(tenant))),
    ];
    (scope, name().prop_map(ProfileName::trusted))
        .prop_map(|(scope, name)| ProfileFamily { scope, name })
}

fn any_profile_ref() -> impl Strategy<Value = ProfileRef> {
    (any_family(), any::<u32>()).prop_map(|(family, version)| ProfileRef { family, version })
}

/// What few credentials have.
#[derive(Clone, Debug)]
struct Rare {
    attributes: Attributes,
    language: Option<Language>,
    time_zone: Option<TimeZone>,
    leaked_at: Option<Timestamp>,
    expiry_told: bool,
    overlap: Option<Overlap>,
    retired: Vec<HeldSecret>,
    sealed: Option<Arc<[u8]>>,
}

fn any_rare() -> impl Strategy<Value = Rare> {
    let language = select(vec!["en", "de-CH", "zh-Hant-TW"]);
    let language = language.prop_map(|text| Language::parse(text).unwrap());
    let zone = select(vec!["UTC", "Europe/Berlin", "America/Havana"]);
    let zone = zone.prop_map(|name| TimeZone::parse(name).unwrap());
    let leaked_at = (1..=Timestamp::MAX.as_millis()).prop_map(Timestamp::from_millis);
    let overlap = (any_secret(), any_time());
    let overlap = overlap.prop_map(|(secret, ends_at)| Overlap { secret, ends_at });
    let sealed = vec(any::<u8>(), 1..70).prop_map(Arc::from);
    (
        any_attributes(),
        (option::of(language), option::of(zone)),
        option::of(leaked_at),
        any::<bool>(),
        option::of(overlap),
        vec(any_secret(), 0..=4),
        option::of(sealed),
    )
        .prop_map(
            |(attributes, texts, leaked_at, expiry_told, overlap, retired, sealed)| {
                let (language, time_zone) = texts;
                Rare {
                    attributes,
                    language,
                    time_zone,
                    leaked_at,
                    expiry_told,
                    overlap,
                    retired,
                    sealed,
                }
            },
        )
}

/// Any credential, more often than not as it was issued.
pub(in crate::authority) fn any_credential() -> impl Strategy<Value = Credential> {
    let kind = select(Kind::ALL.to_vec());
    let states = [State::Active, State::Locked, State::Revoked];
    let state = select(states.to_vec());
    let names = (name(), name(), text(), text(), vec(name(), 0..4));
    let times = (any_time(), option::of(any_time()), option::of(1_u64..));
    (
        any_id(),
        (kind, state, any_profile_ref()),
        names,
        times,
        any_secret(),
        option::of(any_change()),
        text(),
        option::of(any_rare()),
    )
        .prop_map(
            |(id, (kind, state, profile), names, times, secret, change, by, rare)| {
                let (tenant, owner, label, description, roles) = names;
                let (created_at, expires_at, state_set) = times;
                let created_by = Principal::trusted(by);
                let Rare {
                    attributes,
                    language,
                    time_zone,
                    leaked_at,
                    expiry_told,
                    overlap,
                    retired,
                    sealed,
                } = rare.unwrap_or(Rare {
                    attributes: Vec::new(),
                    language: None,
                    time_zone: None,
                    leaked_at: None,
                    expiry_told: false,
                    overlap: None,
                    retired: Vec::new(),
                    sealed: None,
                });
                Credential {
                    id,
                    tenant: Tenant::trusted(tenant),
                    owner: Owner::trusted(owner),
                    profile,
                    kind,
                    label: Label::trusted(label),
                    description: Description::trusted(description),
                    roles: roles.into_iter().map(Role::trusted).collect(),
                    attributes,
                    language,
                    time_zone,
                    state,
                    leaked_at,
                    state_set: state_set.map(Revision::new),
                    created_at,
                    last_change: change.unwrap_or_else(|| Change {
                        action: Action::Issue,
                        at: created_at,
                        by: created_by.clone(),
                        reason: Reason::trusted("".into()),
                    }),
                    created_by,
                    expires_at,
                    expiry_told,
                    secret,
                    overlap,
                    retired,
                    sealed,
                }
            },
        )
}

/// Uses, some of them at the same time.
fn any_uses() -> impl Strategy<Value = Uses> {
    let one = (0_i64..4, text(), 0_u32..3).prop_map(|(at, by, generation)| Use {
        at: Timestamp::from_millis(at),
        by: Principal::trusted(by),
        generation: Generation::new(generation),
    });
    vec(one, 0..10).prop_map(Uses::new)
}

fn any_directory_change() -> impl Strategy<Value = DirectoryChange> {
    let actions = [
        DirectoryAction::Put,
        DirectoryAction::Disable,
        DirectoryAction::Enable,
        DirectoryAction::Delete,
    ];
    (select(actions.to_vec()), any_time(), text(), text()).prop_map(|(action, at, by, reason)| {
        DirectoryChange {
            action,
            at,
            by: Principal::trusted(by),
            reason: Reason::trusted(reason),
        }
    })
}

fn any_tenant() -> impl Strategy<Value = TenantRecord> {
    (text(), text(), any::<bool>(), any_directory_change()).prop_map(
        |(display_name, description, disabled, last_change)| TenantRecord {
            display_name: DisplayName::trusted(display_name),
            description: Description::trusted(description),
            disabled,
            last_change,
        },
    )
}

fn any_owner() -> impl Strategy<Value = OwnerRecord> {
    (
        text(),
        vec(text().prop_map(PrincipalName::trusted), 0..3),
        vec(name().prop_map(Group::trusted), 0..3),
        vec(name().prop_map(Role::trusted), 0..3),
        option::of(name().prop_map(Group::trusted)),
        any::<bool>(),
        any_directory_change(),
    )
        .prop_map(
            |(display_name, principals, groups, roles, chosen_source, disabled, last_change)| {
                OwnerRecord {
                    display_name: DisplayName::trusted(display_name),
                    principals,
                    groups,
                    roles,
                    chosen_source,
                    disabled,
                    last_change,
                }
            },
        )
}

/// A role of credd's own tenant, or of another.
fn any_role(is_credd: bool) -> impl Strategy<Value = RoleRecord> {
    (text(), vec(text(), 0..4), any_directory_change()).prop_map(
        move |(description, grants, last_change)| RoleRecord {
            description: Description::trusted(description),
            permissions: if is_credd {
                Permissions::Credd(grants.into_iter().map(CreddGrant::trusted).collect())
            } else {
                Permissions::Tenant(grants.into_iter().map(Grant::trusted).collect())
            },
            last_change,
        },
    )
}

fn any_header() -> impl Strategy<Value = HeaderRule> {
    let scheme = AuthScheme::parse("Token").unwrap();
    let parameter = |name| ParameterName::parse(name).unwrap();
    let pair = PairNames::new(parameter("accessKey"), parameter("secretKey")).unwrap();
    let formats = vec![
        HeaderFormat::Bare,
        HeaderFormat::Basic,
        HeaderFormat::Scheme(scheme),
        HeaderFormat::Pair(pair),
    ];
    ("X-[A-Z]{1,9}", select(formats)).prop_map(|(name, format)| HeaderRule {
        name: HeaderName::parse(&name).unwrap(),
        format,
    })
}

fn any_expiry() -> impl Strategy<Value = expiry::Rule> {
    let period = || select(vec!["P1Y", "P3M", "P30D", "PT12H"]);
    let period = || period().prop_map(|text| Period::parse(text).unwrap());
    let never = select(vec![Never::Forbidden, Never::Allowed, Never::Always]);
    let periods = (
        option::of(period()),
        option::of(period()),
        vec(period(), 0..3),
    );
    (periods, never, any::<bool>()).prop_map(|((default, maximum, allowed), never, fixed)| {
        expiry::Rule {
            default,
            maximum,
            allowed,
            never,
            fixed,
        }
    })
}

fn any_role_rule() -> impl Strategy<Value = RoleRule> {
    (
        vec(name().prop_map(Role::trusted), 0..3),
        0..20_usize,
        0..20_usize,
    )
        .prop_map(|(allowed, least, most)| RoleRule {
            allowed,
            least,
            most,
        })
}

fn any_profile(family: ProfileFamily) -> impl Strategy<Value = ProfileRecord> {
    let multiplicities = [
        Multiplicity::Many,
        Multiplicity::OneReject,
        Multiplicity::OneReplace,
    ];
    let required = any::<[bool; 4]>();
    let required = required.prop_map(|[label, description, language, time_zone]| Required {
        label,
        description,
        language,
        time_zone,
    });
    (
        (text(), select(Kind::ALL.to_vec()), vec(any_header(), 0..4)),
        (any_expiry(), any_role_rule(), required),
        select(vec![Visibility::Once, Visibility::Again]),
        select(multiplicities.to_vec()),
        option::of(name().prop_map(Label::trusted)),
        (0..1_u64 << 40).prop_map(Duration::from_nanos),
        any::<[bool; 2]>(),
        any_directory_change(),
    )
        .prop_map(
            move |(shape, rules, visibility, multiplicity, label, overlap, flags, change)| {
                let (display_name, kind, headers) = shape;
                let (expiry, roles, required) = rules;
                let [owner_may_issue, unlisted] = flags;
                ProfileRecord {
                    profile: Profile {
                        scope: family.scope.clone(),
                        name: family.name.clone(),
                        display_name: DisplayName::trusted(display_name),
                        kind,
                        headers,
                        visibility,
                        expiry,
                        multiplicity,
                        required,
                        default_label: label,
                        roles,
                        owner_may_issue,
                        max_overlap: overlap,
                        unlisted,
                    },
                    last_change: change,
                }
            },
        )
}

fn any_request() -> impl Strategy<Value = RequestRecord> {
    let sealed = vec(any::<u8>(), 0..70);
    (
        // 0 is not written.
        1..=u32::MAX,
        any::<[u8; 32]>(),
        any_time(),
        any_id(),
        any::<u32>(),
        sealed,
    )
        .prop_map(
            |(key, asked, at, credential, generation, sealed)| RequestRecord {
                key: KeyVersion(key),
                replaced: vec![credential],
                asked,
                at,
                credential,
                generation: Generation::new(generation),
                sealed,
            },
        )
}

fn any_keys() -> impl Strategy<Value = KeyStates> {
    let state = prop_oneof![
        Just(KeyState::Unused),
        Just(KeyState::Active),
        Just(KeyState::Old),
        Just(KeyState::Retired)
    ];
    let set = option::of((1..=u64::MAX).prop_map(Revision::new));
    let key = (any::<u32>(), any::<CheckValue>(), state, set);
    let key = key.prop_map(|(version, check, state, set)| KnownKey {
        version: KeyVersion(version),
        check,
        state,
        set,
    });
    vec(key, 0..4).prop_map(KeyStates::new)
}

fn any_closed() -> impl Strategy<Value = Closed> {
    prop_oneof![
        any_time().prop_map(|at| Closed::Exported { at }),
        Just(Closed::Filling),
    ]
}

fn any_restored() -> impl Strategy<Value = Restored> {
    let id = || any::<[u8; 16]>().prop_map(StoreId::from_bytes);
    let audit = (any::<u64>(), any::<[u8; 32]>());
    let audit = audit.prop_map(|(sequence, hash)| Head {
        sequence,
        hash: Hash(hash),
    });
    (
        id(),
        id(),
        any::<u64>(),
        any_time(),
        any_time(),
        audit,
        any::<bool>(),
    )
        .prop_map(
            |(origin, from, revision, backed_up_at, restored_at, audit, settled)| Restored {
                origin,
                from,
                revision: Revision::new(revision),
                backed_up_at,
                restored_at,
                audit,
                settled,
            },
        )
}

fn any_rekeyed() -> impl Strategy<Value = Rekeyed> {
    let secret = || {
        let secret = (any::<u32>(), any::<u32>(), any::<[u8; 32]>());
        secret.prop_map(|(generation, pepper, tag)| RekeyedSecret {
            generation: Generation::new(generation),
            mac: Mac {
                pepper: KeyVersion(pepper),
                tag,
            },
        })
    };
    let sealed = option::of(vec(any::<u8>(), 1..70));
    (secret(), option::of(secret()), sealed).prop_map(|(current, previous, sealed)| Rekeyed {
        current,
        previous,
        sealed: sealed.map(Into::into),
    })
}

fn any_binding() -> impl Strategy<Value = Binding> {
    let reach = prop_oneof![
        Just(Reach::All),
        name().prop_map(|name| Reach::Tenant(Tenant::trusted(name)))
    ];
    (reach, name(), name()).prop_map(|(reach, principal, role)| Binding {
        reach,
        principal: PrincipalName::trusted(principal),
        role: Role::trusted(role),
    })
}

pub(super) fn any_record() -> impl Strategy<Value = Record> {
    let credential = option::of(any_credential());
    let keyring = (any_keys(), any_keys());
    let keyring = keyring.prop_map(|(peppers, sealing)| KeyringState { peppers, sealing });
    let tenant = || prop_oneof![name(), Just(Tenant::CREDD.into())].prop_map(Tenant::trusted);
    let owner = (tenant(), name().prop_map(Owner::trusted));
    let owner = owner.prop_map(|(tenant, name)| OwnerRef { tenant, name });
    let role = (tenant(), name().prop_map(Role::trusted));
    let role = role.prop_map(|(tenant, name)| RoleRef { tenant, name });
    let with_role = role.prop_flat_map(|role| {
        let record = option::of(any_role(role.tenant.is_credd()));
        (Just(role), record)
    });
    let with_profile = any_profile_ref().prop_flat_map(|reference| {
        let record = option::of(any_profile(reference.family.clone()));
        (Just(reference), record)
    });
    prop_oneof![
        3 => (any_id(), credential).prop_map(|(id, credential)| {
            let credential = credential.map(|credential| Credential { id, ..credential });
            Record::Credential(id, credential.map(Arc::new))
        }),
        1 => (any_id(), option::of(any_uses())).prop_map(|(id, uses)| Record::Uses(id, uses)),
        1 => (tenant(), option::of(any_tenant()))
            .prop_map(|(tenant, record)| Record::Tenant(tenant, record.map(Arc::new))),
        1 => (owner, option::of(any_owner()))
            .prop_map(|(owner, record)| Record::Owner(owner, record.map(Arc::new))),
        1 => with_role.prop_map(|(role, record)| Record::Role(role, record.map(Arc::new))),
        2 => with_profile
            .prop_map(|(profile, record)| Record::Profile(profile, record.map(Arc::new))),
        1 => (any_binding(), option::of(any_directory_change()))
            .prop_map(|(binding, last_change)| {
                let record = last_change.map(|last_change| BindingRecord { last_change });
                Record::Binding(binding, record.map(Arc::new))
            }),
        1 => (any::<RequestName>(), option::of(any_request()))
            .prop_map(|(name, record)| Record::Request(name, record.map(Arc::new))),
        1 => option::of(keyring).prop_map(|state| Record::Keyring(state.map(Arc::new))),
        1 => option::of(any_restored())
            .prop_map(|restored| Record::Restored(restored.map(Arc::new))),
        1 => (FORMAT..).prop_map(Record::Format),
        1 => option::of(any_closed()).prop_map(Record::Closed),
        1 => (any_id(), option::of(any_rekeyed()))
            .prop_map(|(id, rekeyed)| Record::Rekeyed(id, rekeyed.map(Arc::new))),
    ]
}
