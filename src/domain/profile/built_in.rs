//! The profiles that every tenant has, compiled in as data.

use std::sync::LazyLock;
use std::time::Duration;

use serde::Deserialize;

use super::{Multiplicity, Profile, Required, RoleRule, Scope, Visibility};
use crate::domain::calendar::Period;
use crate::domain::expiry::{self, Never};
use crate::domain::header::{
    AuthScheme, HeaderFormat, HeaderName, HeaderRule, PairNames, ParameterName,
};
use crate::domain::names::{DisplayName, InvalidText, Label, MAX_ROLES, ProfileName, Role};
use crate::domain::token::Kind;

/// The profile with the fewest rules for tokens.
pub const API_TOKEN: &str = "api-token";
/// The same for usernames and passwords.
pub const BASIC: &str = "basic";
/// The same for access keys and secret keys.
pub const KEY_PAIR: &str = "key-pair";

/// A version of a built-in profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuiltIn {
    /// Its version.
    pub version: u32,
    /// The profile.
    pub profile: Profile,
}

/// Every version of every built-in profile.
#[must_use]
pub fn all() -> &'static [BuiltIn] {
    static ALL: LazyLock<Vec<BuiltIn>> = LazyLock::new(|| {
        let parsed = parse(include_str!("built_in.toml"));
        let Ok(parsed) = parsed else {
            unreachable!("what is compiled in was tested");
        };
        parsed
    });
    &ALL
}

#[derive(Debug, thiserror::Error)]
enum Unreadable {
    #[error(transparent)]
    Toml(#[from] toml::de::Error),
    #[error(transparent)]
    Text(#[from] InvalidText),
    #[error("a header without a format")]
    Header,
    #[error("{0:?}")]
    Broken(Vec<super::Broken>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    profile: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    version: u32,
    display_name: String,
    kind: KindName,
    headers: Vec<Header>,
    visibility: VisibilityName,
    expiry: Expiry,
    multiplicity: MultiplicityName,
    #[serde(default)]
    required: Vec<Field>,
    #[serde(default)]
    default_label: Option<String>,
    #[serde(default)]
    roles: Roles,
    owner_may_issue: bool,
    #[serde(default)]
    max_overlap_days: u32,
    #[serde(default)]
    unlisted: bool,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum KindName {
    ApiToken,
    Basic,
    KeyPair,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum VisibilityName {
    Once,
    Again,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum MultiplicityName {
    Many,
    OneReject,
    OneReplace,
}

#[derive(Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Field {
    Label,
    Description,
    Language,
    TimeZone,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum NeverName {
    #[default]
    Forbidden,
    Allowed,
    Always,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    name: String,
    #[serde(default)]
    bare: bool,
    #[serde(default)]
    basic: bool,
    #[serde(default)]
    scheme: Option<String>,
    #[serde(default)]
    public_parameter: Option<String>,
    #[serde(default)]
    secret_parameter: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expiry {
    #[serde(default)]
    default: Option<String>,
    #[serde(default)]
    maximum: Option<String>,
    #[serde(default)]
    allowed: Vec<String>,
    #[serde(default)]
    never: NeverName,
    #[serde(default)]
    fixed: bool,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Roles {
    #[serde(default)]
    allowed: Vec<String>,
    #[serde(default)]
    least: usize,
    #[serde(default)]
    most: Option<usize>,
}

fn parse(text: &str) -> Result<Vec<BuiltIn>, Unreadable> {
    let File { profile } = toml::from_str(text)?;
    profile.into_iter().map(built_in).collect()
}

fn built_in(entry: Entry) -> Result<BuiltIn, Unreadable> {
    const DAY: Duration = Duration::from_hours(24);

    let Entry {
        name,
        version,
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
        max_overlap_days,
        unlisted,
    } = entry;
    let profile = Profile {
        scope: Scope::All,
        name: ProfileName::parse(&name)?,
        display_name: DisplayName::parse(&display_name)?,
        kind: match kind {
            KindName::ApiToken => Kind::ApiToken,
            KindName::Basic => Kind::Basic,
            KindName::KeyPair => Kind::KeyPair,
        },
        headers: headers.into_iter().map(header).collect::<Result<_, _>>()?,
        visibility: match visibility {
            VisibilityName::Once => Visibility::Once,
            VisibilityName::Again => Visibility::Again,
        },
        expiry: expiry_rule(&expiry)?,
        multiplicity: match multiplicity {
            MultiplicityName::Many => Multiplicity::Many,
            MultiplicityName::OneReject => Multiplicity::OneReject,
            MultiplicityName::OneReplace => Multiplicity::OneReplace,
        },
        required: Required {
            label: required.contains(&Field::Label),
            description: required.contains(&Field::Description),
            language: required.contains(&Field::Language),
            time_zone: required.contains(&Field::TimeZone),
        },
        default_label: default_label.as_deref().map(Label::parse).transpose()?,
        roles: RoleRule {
            allowed: roles
                .allowed
                .iter()
                .map(|role| Role::parse(role))
                .collect::<Result<_, _>>()?,
            least: roles.least,
            most: roles.most.unwrap_or(MAX_ROLES),
        },
        owner_may_issue,
        max_overlap: DAY * max_overlap_days,
        unlisted,
    };
    profile.check().map_err(Unreadable::Broken)?;
    Ok(BuiltIn { version, profile })
}

fn header(header: Header) -> Result<HeaderRule, Unreadable> {
    let Header {
        name,
        bare,
        basic,
        scheme,
        public_parameter,
        secret_parameter,
    } = header;
    let pair = public_parameter.zip(secret_parameter);
    let format = match (bare, basic, scheme, pair) {
        (true, false, None, None) => HeaderFormat::Bare,
        (false, true, None, None) => HeaderFormat::Basic,
        (false, false, Some(scheme), None) => HeaderFormat::Scheme(AuthScheme::parse(&scheme)?),
        (false, false, None, Some((public, secret))) => HeaderFormat::Pair(PairNames::new(
            ParameterName::parse(&public)?,
            ParameterName::parse(&secret)?,
        )?),
        _ => return Err(Unreadable::Header),
    };
    Ok(HeaderRule {
        name: HeaderName::parse(&name)?,
        format,
    })
}

fn expiry_rule(expiry: &Expiry) -> Result<expiry::Rule, InvalidText> {
    let period = |text: &Option<String>| text.as_deref().map(Period::parse).transpose();
    Ok(expiry::Rule {
        default: period(&expiry.default)?,
        maximum: period(&expiry.maximum)?,
        allowed: expiry
            .allowed
            .iter()
            .map(|text| Period::parse(text))
            .collect::<Result<_, _>>()?,
        never: match expiry.never {
            NeverName::Forbidden => Never::Forbidden,
            NeverName::Allowed => Never::Allowed,
            NeverName::Always => Never::Always,
        },
        fixed: expiry.fixed,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn what_is_compiled_in_is_read_and_follows_the_rules() {
        let all = parse(include_str!("built_in.toml")).unwrap();
        let names: BTreeSet<_> = all.iter().map(|p| p.profile.name.as_str()).collect();
        let expected = [
            "api-token",
            "basic",
            "eclecticiq",
            "eset-api-token",
            "eset-taxii",
            "kaspersky-demo-taxii",
            "kaspersky-tip",
            "key-pair",
            "misp",
            "tenable-cs",
            "tenable-io",
            "trend-micro",
        ];
        assert_eq!(names, BTreeSet::from(expected));
        for built_in in &all {
            let versions = all
                .iter()
                .filter(|other| other.profile.name == built_in.profile.name)
                .map(|other| other.version);
            assert!(versions.eq(1..=built_in.version), "{built_in:?}");
        }
    }
}
