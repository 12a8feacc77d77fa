//! Profiles as administrators put them.

use std::time::Duration;

use super::{duration, required_kind};
use crate::domain::calendar::Period;
use crate::domain::expiry::{self, Never};
use crate::domain::header::{
    AuthScheme, HeaderFormat, HeaderName, HeaderRule, PairNames, ParameterName,
};
use crate::domain::names::{
    DisplayName, InvalidText, Label, MAX_DIRECTORY_TEXTS, MAX_ROLES, ProfileName, Role, Tenant,
};
use crate::domain::profile::{
    Broken, MAX_HEADERS, MAX_OVERLAP, MAX_PERIODS, Multiplicity, Profile, Required, RoleRule,
    Scope, Visibility,
};
use crate::proto::v1::{self, header_rule::Format};
use crate::rpc::status::Violations;

/// Reads a profile; `None` after noting what is wrong with it.
pub fn profile(message: v1::Profile, violations: &mut Violations) -> Option<Profile> {
    if size(&message) > MAX_DIRECTORY_TEXTS {
        violations.add("profile", "must have at most 3,072 bytes in all");
        return None;
    }
    let v1::Profile {
        tenant,
        name,
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
        built_in: _,         // not read
        version: _,          // not read
        last_change: _,      // not read
        revision: _,         // not read
        accepted_headers: _, // not read
    } = message;
    let scope = match tenant.as_str() {
        "" => Some(Scope::All),
        tenant => violations
            .check("profile.tenant", Tenant::parse(tenant))
            .map(Scope::Tenant),
    };
    let name = violations.check("profile.name", ProfileName::parse(&name));
    let display_name = read_display_name(&display_name, violations);
    let kind = required_kind("profile.kind", kind, violations);
    let headers = read_headers(headers, violations);
    let visibility = match v1::SecretVisibility::try_from(visibility) {
        Ok(v1::SecretVisibility::Once) => Some(Visibility::Once),
        Ok(v1::SecretVisibility::Again) => Some(Visibility::Again),
        Ok(v1::SecretVisibility::Unspecified) | Err(_) => {
            none(violations, "profile.visibility", "must be ONCE or AGAIN")
        }
    };
    let expiry = read_expiry(expiry.unwrap_or_default(), violations);
    let multiplicity = match v1::Multiplicity::try_from(multiplicity) {
        Ok(v1::Multiplicity::Many) => Some(Multiplicity::Many),
        Ok(v1::Multiplicity::OneReject) => Some(Multiplicity::OneReject),
        Ok(v1::Multiplicity::OneReplace) => Some(Multiplicity::OneReplace),
        Ok(v1::Multiplicity::Unspecified) | Err(_) => none(
            violations,
            "profile.multiplicity",
            "must be MANY, ONE_REJECT or ONE_REPLACE",
        ),
    };
    let required = read_required(&required_fields, violations);
    let default_label = match default_label.as_str() {
        "" => Some(None),
        text => violations
            .check("profile.default_label", Label::parse(text))
            .map(Some),
    };
    let roles = read_roles(roles.unwrap_or_default(), violations);
    let max_overlap = match max_overlap {
        None => Some(Duration::ZERO),
        Some(overlap) => duration(
            "profile.max_overlap",
            overlap,
            Duration::ZERO..=MAX_OVERLAP,
            "must be 0 to 90 days",
            violations,
        ),
    };
    let profile = Profile {
        scope: scope?,
        name: name?,
        display_name: display_name?,
        kind: kind?,
        headers: headers?,
        visibility: visibility?,
        expiry: expiry?,
        multiplicity: multiplicity?,
        required: required?,
        default_label: default_label?,
        roles: roles?,
        owner_may_issue,
        max_overlap: max_overlap?,
        unlisted,
    };
    match profile.check() {
        Ok(()) => Some(profile),
        Err(broken) => {
            for Broken { field, rule } in broken {
                violations.add(&format!("profile.{field}"), rule);
            }
            None
        }
    }
}

/// Reads the rule of a header; `None` for one that this version does not know.
#[must_use]
pub fn header_rule(message: v1::HeaderRule) -> Option<HeaderRule> {
    read_header(0, message, HeaderName::parse, &mut Violations::default())
}

/// How many bytes of a profile are kept.
fn size(message: &v1::Profile) -> usize {
    let kept = v1::Profile {
        last_change: None, // not read
        revision: None,
        accepted_headers: Vec::new(),
        ..message.clone()
    };
    prost::Message::encoded_len(&kept)
}

fn none<T>(violations: &mut Violations, field: &str, rule: &str) -> Option<T> {
    violations.add(field, rule);
    None
}

fn read_display_name(text: &str, violations: &mut Violations) -> Option<DisplayName> {
    if text.is_empty() {
        return none(violations, "profile.display_name", "is required");
    }
    violations.check("profile.display_name", DisplayName::parse(text))
}

fn read_headers(
    headers: Vec<v1::HeaderRule>,
    violations: &mut Violations,
) -> Option<Vec<HeaderRule>> {
    if headers.len() > MAX_HEADERS {
        return none(violations, "profile.headers", "must be 1 to 8");
    }
    let count = headers.len();
    let read: Vec<_> = headers
        .into_iter()
        .enumerate()
        .filter_map(|(at, header)| read_header(at, header, HeaderName::parse_put, violations))
        .collect();
    (read.len() == count).then_some(read)
}

fn read_header(
    at: usize,
    header: v1::HeaderRule,
    parse_name: fn(&str) -> Result<HeaderName, InvalidText>,
    violations: &mut Violations,
) -> Option<HeaderRule> {
    let v1::HeaderRule { name, format } = header;
    let field = |part: &str| format!("profile.headers[{at}].{part}");
    let name = violations.check(&field("name"), parse_name(&name));
    let format = match format {
        None => none(violations, &field("format"), "is required"),
        Some(Format::Bare(true)) => Some(HeaderFormat::Bare),
        Some(Format::Bare(false)) => none(violations, &field("bare"), "must be true, or not set"),
        Some(Format::Basic(true)) => Some(HeaderFormat::Basic),
        Some(Format::Basic(false)) => none(violations, &field("basic"), "must be true, or not set"),
        Some(Format::Scheme(scheme)) => violations
            .check(&field("scheme"), AuthScheme::parse(&scheme))
            .map(HeaderFormat::Scheme),
        Some(Format::Pair(v1::PairFormat {
            public_parameter,
            secret_parameter,
        })) => {
            let public = violations.check(
                &field("pair.public_parameter"),
                ParameterName::parse(&public_parameter),
            );
            let secret = violations.check(
                &field("pair.secret_parameter"),
                ParameterName::parse(&secret_parameter),
            );
            public.zip(secret).and_then(|(public, secret)| {
                let names = PairNames::new(public, secret);
                let field = field("pair.secret_parameter");
                violations.check(&field, names).map(HeaderFormat::Pair)
            })
        }
    };
    Some(HeaderRule {
        name: name?,
        format: format?,
    })
}

fn read_expiry(rule: v1::ExpiryRule, violations: &mut Violations) -> Option<expiry::Rule> {
    let v1::ExpiryRule {
        default_period,
        max_period,
        allowed_periods,
        never,
        fixed,
    } = rule;
    let period = |field: &str, text: &str, violations: &mut Violations| match text {
        "" => Some(None),
        text => violations.check(field, Period::parse(text)).map(Some),
    };
    let default = period("profile.expiry.default_period", &default_period, violations);
    let maximum = period("profile.expiry.max_period", &max_period, violations);
    let allowed = if allowed_periods.len() > MAX_PERIODS {
        none(
            violations,
            "profile.expiry.allowed_periods",
            "must be at most 16",
        )
    } else {
        let read: Vec<_> = allowed_periods
            .iter()
            .enumerate()
            .filter_map(|(at, text)| {
                let field = format!("profile.expiry.allowed_periods[{at}]");
                violations.check(&field, Period::parse(text))
            })
            .collect();
        (read.len() == allowed_periods.len()).then_some(read)
    };
    let never = match v1::NeverRule::try_from(never) {
        Ok(v1::NeverRule::Unspecified | v1::NeverRule::Forbidden) => Some(Never::Forbidden),
        Ok(v1::NeverRule::Allowed) => Some(Never::Allowed),
        Ok(v1::NeverRule::Always) => Some(Never::Always),
        Err(_) => none(
            violations,
            "profile.expiry.never",
            "must be FORBIDDEN, ALLOWED or ALWAYS",
        ),
    };
    Some(expiry::Rule {
        default: default?,
        maximum: maximum?,
        allowed: allowed?,
        never: never?,
        fixed,
    })
}

fn read_required(fields: &[i32], violations: &mut Violations) -> Option<Required> {
    let mut required = Required::default();
    for (at, field) in fields.iter().enumerate() {
        let place = match v1::RequiredField::try_from(*field) {
            Ok(v1::RequiredField::Label) => &mut required.label,
            Ok(v1::RequiredField::Description) => &mut required.description,
            Ok(v1::RequiredField::Language) => &mut required.language,
            Ok(v1::RequiredField::TimeZone) => &mut required.time_zone,
            Ok(v1::RequiredField::Unspecified) | Err(_) => {
                let field = format!("profile.required_fields[{at}]");
                return none(
                    violations,
                    &field,
                    "must be LABEL, DESCRIPTION, LANGUAGE or TIME_ZONE",
                );
            }
        };
        *place = true;
    }
    Some(required)
}

fn read_roles(rule: v1::RoleRule, violations: &mut Violations) -> Option<RoleRule> {
    let v1::RoleRule {
        allowed,
        least,
        most,
    } = rule;
    if allowed.len() > MAX_ROLES {
        return none(violations, "profile.roles.allowed", "must be at most 16");
    }
    let read: Vec<_> = allowed
        .iter()
        .enumerate()
        .filter_map(|(at, role)| {
            violations.check(&format!("profile.roles.allowed[{at}]"), Role::parse(role))
        })
        .collect();
    let count = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
    (read.len() == allowed.len()).then_some(RoleRule {
        allowed: read,
        least: count(least),
        most: most.map_or(MAX_ROLES, count),
    })
}
