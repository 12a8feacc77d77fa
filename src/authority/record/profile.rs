//! Records of profiles: the contract's message, which is kept as it is.

use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;

use super::credential::kind_of;
use super::directory::{read_change, write_change};
use crate::authority::names::Interner;
use crate::domain::calendar::Period;
use crate::domain::directory::ProfileRecord;
use crate::domain::expiry::{self, Never};
use crate::domain::header::{
    AuthScheme, HeaderFormat, HeaderName, HeaderRule, PairNames, ParameterName,
};
use crate::domain::names::{DisplayName, InvalidText, Label, MAX_ROLES, Role};
use crate::domain::profile::{
    Multiplicity, Profile, ProfileFamily, Required, RoleRule, Visibility,
};
use crate::proto::store as stored;
use crate::proto::v1::{self, header_rule::Format};

pub(super) fn write(record: &ProfileRecord) -> stored::ProfileRecord {
    let ProfileRecord {
        profile,
        last_change,
    } = record;
    let message = v1::Profile {
        tenant: String::new(), // part of the key, like the name
        name: String::new(),
        ..to_message(profile)
    };
    stored::ProfileRecord {
        profile: Bytes::from(message.encode_to_vec()),
        last_change: Some(write_change(last_change)),
    }
}

pub(super) fn read(
    family: &ProfileFamily,
    record: stored::ProfileRecord,
    names: &Interner,
) -> Result<ProfileRecord, String> {
    let stored::ProfileRecord {
        profile,
        last_change,
    } = record;
    let message = v1::Profile::decode(profile).map_err(|error| error.to_string())?;
    Ok(ProfileRecord {
        profile: from_message(family, message).map_err(|error| error.to_string())?,
        last_change: read_change(last_change, names)?,
    })
}

/// A profile as the contract has it, without what is known of its versions.
#[must_use]
pub fn to_message(profile: &Profile) -> v1::Profile {
    let Profile {
        scope,
        name,
        display_name,
        kind,
        headers,
        visibility,
        expiry,
        multiplicity,
        required,
        default_label,
        roles,
        owner_may_issue,
        max_overlap,
        unlisted,
    } = profile;
    v1::Profile {
        tenant: scope.as_str().to_owned(),
        name: name.as_str().to_owned(),
        display_name: display_name.as_str().to_owned(),
        kind: v1::CredentialKind::from(*kind).into(),
        headers: headers.iter().map(header_message).collect(),
        visibility: match visibility {
            Visibility::Once => v1::SecretVisibility::Once,
            Visibility::Again => v1::SecretVisibility::Again,
        }
        .into(),
        expiry: Some(expiry_message(expiry)),
        multiplicity: match multiplicity {
            Multiplicity::Many => v1::Multiplicity::Many,
            Multiplicity::OneReject => v1::Multiplicity::OneReject,
            Multiplicity::OneReplace => v1::Multiplicity::OneReplace,
        }
        .into(),
        required_fields: required_message(*required),
        default_label: default_label
            .as_ref()
            .map_or_else(String::new, |label| label.as_str().to_owned()),
        roles: Some(v1::RoleRule {
            allowed: roles
                .allowed
                .iter()
                .map(|role| role.as_str().to_owned())
                .collect(),
            least: count(roles.least),
            most: Some(count(roles.most)),
        }),
        owner_may_issue: *owner_may_issue,
        max_overlap: (!max_overlap.is_zero()).then(|| prost_types::Duration {
            seconds: i64::try_from(max_overlap.as_secs()).unwrap_or(i64::MAX),
            nanos: i32::try_from(max_overlap.subsec_nanos()).unwrap_or_default(),
        }),
        unlisted: *unlisted,
        built_in: false,
        version: 0,
        last_change: None,
        revision: None,
        accepted_headers: Vec::new(),
    }
}

/// The rule of a header as the contract has it.
#[must_use]
pub fn header_message(header: &HeaderRule) -> v1::HeaderRule {
    let HeaderRule { name, format } = header;
    v1::HeaderRule {
        name: name.as_str().to_owned(),
        format: Some(match format {
            HeaderFormat::Bare => Format::Bare(true),
            HeaderFormat::Scheme(scheme) => Format::Scheme(scheme.as_str().to_owned()),
            HeaderFormat::Basic => Format::Basic(true),
            HeaderFormat::Pair(names) => Format::Pair(v1::PairFormat {
                public_parameter: names.public().as_str().to_owned(),
                secret_parameter: names.secret().as_str().to_owned(),
            }),
        }),
    }
}

fn expiry_message(rule: &expiry::Rule) -> v1::ExpiryRule {
    let expiry::Rule {
        default,
        maximum,
        allowed,
        never,
        fixed,
    } = rule;
    let text =
        |period: &Option<Period>| period.as_ref().map_or_else(String::new, Period::to_string);
    v1::ExpiryRule {
        default_period: text(default),
        max_period: text(maximum),
        allowed_periods: allowed.iter().map(Period::to_string).collect(),
        never: match never {
            Never::Forbidden => v1::NeverRule::Forbidden,
            Never::Allowed => v1::NeverRule::Allowed,
            Never::Always => v1::NeverRule::Always,
        }
        .into(),
        fixed: *fixed,
    }
}

fn required_message(required: Required) -> Vec<i32> {
    let Required {
        label,
        description,
        language,
        time_zone,
    } = required;
    [
        (label, v1::RequiredField::Label),
        (description, v1::RequiredField::Description),
        (language, v1::RequiredField::Language),
        (time_zone, v1::RequiredField::TimeZone),
    ]
    .into_iter()
    .filter(|(required, _)| *required)
    .map(|(_, field)| field.into())
    .collect()
}

fn count(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// A profile that followed the rules when it was stored.
fn from_message(family: &ProfileFamily, message: v1::Profile) -> Result<Profile, Unreadable> {
    let v1::Profile {
        tenant: _, // part of the key, like the name
        name: _,
        display_name,
        kind,
        headers,
        visibility,
        expiry,
        multiplicity,
        required_fields,
        default_label,
        roles,
        owner_may_issue,
        max_overlap,
        unlisted,
        built_in: _, // those stand in no store
        version: _,
        last_change: _,
        revision: _,
        accepted_headers: _,
    } = message;
    Ok(Profile {
        scope: family.scope.clone(),
        name: family.name.clone(),
        display_name: DisplayName::trusted(display_name.into()),
        kind: kind_of(kind).map_err(|_| Unreadable::Number("kind"))?,
        headers: headers
            .into_iter()
            .map(read_header)
            .collect::<Result<_, _>>()?,
        visibility: match v1::SecretVisibility::try_from(visibility) {
            Ok(v1::SecretVisibility::Once) => Visibility::Once,
            Ok(v1::SecretVisibility::Again) => Visibility::Again,
            Ok(v1::SecretVisibility::Unspecified) | Err(_) => {
                return Err(Unreadable::Number("visibility"));
            }
        },
        expiry: read_expiry(expiry.unwrap_or_default())?,
        multiplicity: match v1::Multiplicity::try_from(multiplicity) {
            Ok(v1::Multiplicity::Many) => Multiplicity::Many,
            Ok(v1::Multiplicity::OneReject) => Multiplicity::OneReject,
            Ok(v1::Multiplicity::OneReplace) => Multiplicity::OneReplace,
            Ok(v1::Multiplicity::Unspecified) | Err(_) => {
                return Err(Unreadable::Number("multiplicity"));
            }
        },
        required: read_required(&required_fields)?,
        default_label: (!default_label.is_empty()).then(|| Label::trusted(default_label.into())),
        roles: read_role_rule(roles.unwrap_or_default()),
        owner_may_issue,
        max_overlap: max_overlap
            .and_then(|overlap| Duration::try_from(overlap).ok())
            .unwrap_or_default(),
        unlisted,
    })
}

#[derive(Debug, thiserror::Error)]
enum Unreadable {
    #[error("a profile with a text that {0}")]
    Text(#[from] InvalidText),
    #[error("a profile with an unknown {0}")]
    Number(&'static str),
}

fn read_header(header: v1::HeaderRule) -> Result<HeaderRule, Unreadable> {
    let v1::HeaderRule { name, format } = header;
    Ok(HeaderRule {
        name: HeaderName::parse(&name)?,
        format: match format.ok_or(Unreadable::Number("format of a header"))? {
            Format::Bare(_) => HeaderFormat::Bare,
            Format::Scheme(scheme) => HeaderFormat::Scheme(AuthScheme::parse(&scheme)?),
            Format::Basic(_) => HeaderFormat::Basic,
            Format::Pair(v1::PairFormat {
                public_parameter,
                secret_parameter,
            }) => HeaderFormat::Pair(PairNames::new(
                ParameterName::parse(&public_parameter)?,
                ParameterName::parse(&secret_parameter)?,
            )?),
        },
    })
}

fn read_expiry(rule: v1::ExpiryRule) -> Result<expiry::Rule, Unreadable> {
    let v1::ExpiryRule {
        default_period,
        max_period,
        allowed_periods,
        never,
        fixed,
    } = rule;
    let period = |text: String| match text.as_str() {
        "" => Ok(None),
        text => Period::parse(text).map(Some),
    };
    Ok(expiry::Rule {
        default: period(default_period)?,
        maximum: period(max_period)?,
        allowed: allowed_periods
            .iter()
            .map(|text| Period::parse(text))
            .collect::<Result<_, _>>()?,
        never: match v1::NeverRule::try_from(never) {
            Ok(v1::NeverRule::Unspecified | v1::NeverRule::Forbidden) => Never::Forbidden,
            Ok(v1::NeverRule::Allowed) => Never::Allowed,
            Ok(v1::NeverRule::Always) => Never::Always,
            Err(_) => return Err(Unreadable::Number("rule on never")),
        },
        fixed,
    })
}

fn read_required(fields: &[i32]) -> Result<Required, Unreadable> {
    let mut required = Required::default();
    for field in fields {
        let field = match v1::RequiredField::try_from(*field) {
            Ok(v1::RequiredField::Label) => &mut required.label,
            Ok(v1::RequiredField::Description) => &mut required.description,
            Ok(v1::RequiredField::Language) => &mut required.language,
            Ok(v1::RequiredField::TimeZone) => &mut required.time_zone,
            Ok(v1::RequiredField::Unspecified) | Err(_) => {
                return Err(Unreadable::Number("required field"));
            }
        };
        *field = true;
    }
    Ok(required)
}

fn read_role_rule(rule: v1::RoleRule) -> RoleRule {
    let v1::RoleRule {
        allowed,
        least,
        most,
    } = rule;
    let count = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
    RoleRule {
        allowed: allowed
            .into_iter()
            .map(|role| Role::trusted(role.into()))
            .collect(),
        least: count(least),
        most: most.map_or(MAX_ROLES, count),
    }
}
