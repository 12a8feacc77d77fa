//! What somebody who issues or changes a credential says of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{duration, read_timestamp};
use crate::authority::command::{Changes, ImportItem, ImportedSecret, NewId, Texts};
use crate::authority::manage::NewCredential;
use crate::domain::calendar::{Date, Period, TimeZone};
use crate::domain::expiry::Wish;
use crate::domain::keyring::sha256;
use crate::domain::language::Language;
use crate::domain::names::{
    AttributeKey, AttributeValue, Attributes, Description, InvalidText, Label, MAX_ATTRIBUTES,
    MAX_ROLES, Owner, ProfileName, PublicName, Role, Tenant,
};
use crate::domain::time::Timestamp;
use crate::domain::token::Claim;
use crate::proto::v1;
use crate::rpc::status::Violations;

/// Adds violations of fields that all lie within one.
struct Within<'a> {
    prefix: &'a str,
    violations: &'a mut Violations,
}

impl Within<'_> {
    fn add(&mut self, field: &str, rule: impl Into<String>) {
        self.violations
            .add(&format!("{}{field}", self.prefix), rule);
    }

    fn check<T>(&mut self, field: &str, parsed: Result<T, InvalidText>) -> Option<T> {
        self.violations
            .check(&format!("{}{field}", self.prefix), parsed)
    }

    /// `Some(None)` for an empty text.
    fn optional<T>(
        &mut self,
        field: &str,
        text: &str,
        parse: impl FnOnce(&str) -> Result<T, InvalidText>,
    ) -> Option<Option<T>> {
        match text {
            "" => Some(None),
            text => self.check(field, parse(text)).map(Some),
        }
    }
}

/// What is said of an expiry, from whichever message.
enum Said {
    Nothing,
    At(prost_types::Timestamp),
    Ttl(prost_types::Duration),
    Period(String),
    On(String),
    Never(bool),
}

macro_rules! said {
    ($expiry:expr, $module:ident) => {
        match $expiry {
            None => Said::Nothing,
            Some(v1::$module::Expiry::ExpiresAt(at)) => Said::At(at),
            Some(v1::$module::Expiry::Ttl(ttl)) => Said::Ttl(ttl),
            Some(v1::$module::Expiry::Period(period)) => Said::Period(period),
            Some(v1::$module::Expiry::ExpiresOn(date)) => Said::On(date),
            Some(v1::$module::Expiry::Never(never)) => Said::Never(never),
        }
    };
}

/// Reads what to issue; `None` after noting what is wrong with it. What makes the
/// change, such as the reason, is left to the caller.
pub fn new_credential(
    request: &v1::IssueRequest,
    now: Timestamp,
    violations: &mut Violations,
) -> Option<NewCredential> {
    let v1::IssueRequest {
        tenant,
        owner,
        profile,
        label,
        description,
        roles,
        attributes,
        language,
        time_zone,
        expiry,
        request_id: _,
        reason: _,
        dry_run: _,
        expected_revision: _,
        fence: _,
    } = request;
    let mut within = Within {
        prefix: "",
        violations,
    };
    let tenant = within.check("tenant", Tenant::parse(tenant));
    let owner = within.check("owner", Owner::parse(owner));
    let profile = within.check("profile", ProfileName::parse(profile));
    let expiry = read_wish(said!(expiry.clone(), issue_request), now, &mut within);
    let texts = read_texts(
        &TextFields {
            label,
            description,
            roles,
            attributes,
            language,
            time_zone,
        },
        &mut within,
    );
    Some(NewCredential {
        tenant: tenant?,
        owner: owner?,
        profile: profile?,
        texts: texts?,
        expiry: expiry?,
    })
}

/// Reads a credential from elsewhere, the one at this place of the request; `None`
/// after noting what is wrong with it.
pub fn import_item(
    at: usize,
    item: v1::ImportedCredential,
    entropy: [u8; 8],
    now: Timestamp,
    violations: &mut Violations,
) -> Option<ImportItem> {
    const LEAST_ENTROPY: u32 = 128;

    let v1::ImportedCredential {
        owner,
        profile,
        label,
        description,
        roles,
        attributes,
        language,
        time_zone,
        expiry,
        public_name,
        secret,
        entropy_bits,
    } = item;
    let prefix = format!("credentials[{at}].");
    let mut within = Within {
        prefix: &prefix,
        violations,
    };
    let owner = within.check("owner", Owner::parse(&owner));
    let profile = within.check("profile", ProfileName::parse(&profile));
    let expiry = read_wish(said!(expiry, imported_credential), now, &mut within);
    let texts = read_texts(
        &TextFields {
            label: &label,
            description: &description,
            roles: &roles,
            attributes: &attributes,
            language: &language,
            time_zone: &time_zone,
        },
        &mut within,
    );
    let name = within.optional("public_name", &public_name, PublicName::parse);
    let secret = read_secret(secret, &mut within);
    if entropy_bits < LEAST_ENTROPY {
        within.add(
            "entropy_bits",
            "must be at least 128: a fast hash protects nothing that can be guessed",
        );
        return None;
    }
    Some(ImportItem {
        owner: owner?,
        profile: profile?,
        texts: texts?,
        expiry: expiry?,
        secret: ImportedSecret {
            name: name?,
            sha256: secret?,
        },
        id: NewId::Next(entropy),
    })
}

fn read_secret(
    secret: Option<v1::imported_credential::Secret>,
    within: &mut Within<'_>,
) -> Option<[u8; 32]> {
    use v1::imported_credential::Secret;

    match secret {
        None => {
            within.add("secret", "is required: `plain` or `sha256`");
            None
        }
        Some(Secret::Sha256(hash)) => {
            let read = hash.as_slice().try_into().ok();
            if read.is_none() {
                within.add(
                    "sha256",
                    "must be a SHA-256, 32 bytes: slow hashes of passwords are not taken",
                );
            }
            read
        }
        Some(Secret::Plain(plain)) => {
            let plain = zeroize::Zeroizing::new(plain);
            if is_slow_hash(&plain) {
                within.add(
                    "plain",
                    "must be the secret itself: this is a slow hash of a password, which is not taken",
                );
                return None;
            }
            if !is_token68(&plain) {
                within.add(
                    "plain",
                    "must be 16 to 512 characters of a-z, A-Z, 0-9 and `- . _ ~ + /`, with `=` at the end only",
                );
                return None;
            }
            if Claim::of_secret(&plain).is_ok() {
                within.add(
                    "plain",
                    "must be the secret of another system: this has the form of credd's own",
                );
                return None;
            }
            Some(sha256(plain.as_bytes()))
        }
    }
}

/// Whether a text is a hash in the form of crypt(3), of the PHC string format, or
/// of an LDAP directory (RFC 2307).
fn is_slow_hash(text: &str) -> bool {
    text.starts_with('$') || text.starts_with('{') && text.contains('}')
}

/// RFC 9110 section 11.2, of a bounded length.
fn is_token68(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    (16..=512).contains(&text.len())
        && !body.is_empty()
        && body
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte))
}

/// Reads what to change; `None` after noting what is wrong with it.
pub fn changes(
    request: v1::UpdateRequest,
    now: Timestamp,
    violations: &mut Violations,
) -> Option<Changes> {
    const ALL: [&str; 7] = [
        "label",
        "description",
        "attributes",
        "roles",
        "language",
        "time_zone",
        "expiry",
    ];

    let v1::UpdateRequest {
        credential_id: _,
        update_mask,
        label,
        description,
        attributes,
        roles,
        language,
        time_zone,
        expiry,
        reason: _,
        dry_run: _,
        expected_revision: _,
        fence: _,
    } = request;
    let mask = update_mask.unwrap_or_default().paths;
    for (at, path) in mask.iter().enumerate() {
        if path != "*" && !ALL.contains(&path.as_str()) {
            violations.add(
                &format!("update_mask.paths[{at}]"),
                format!("must be `*` or one of {}", ALL.join(", ")),
            );
            return None;
        }
    }
    let named = |field: &str, is_set: bool| match mask.as_slice() {
        [] => is_set,
        paths => paths.iter().any(|path| path == field || path == "*"),
    };
    let mut within = Within {
        prefix: "",
        violations,
    };
    // `None` for what is wrong, `Some(None)` for what stays as it is.
    let label = read_if(named("label", !label.is_empty()), || {
        within.check("label", Label::parse(&label))
    });
    let description = read_if(named("description", !description.is_empty()), || {
        within.check("description", Description::parse(&description))
    });
    let attributes = read_if(named("attributes", !attributes.is_empty()), || {
        read_attributes(&attributes, &mut within)
    });
    let roles = read_if(named("roles", !roles.is_empty()), || {
        read_roles(&roles, &mut within)
    });
    let language = read_if(named("language", !language.is_empty()), || {
        within.optional("language", &language, Language::parse)
    });
    let time_zone = read_if(named("time_zone", !time_zone.is_empty()), || {
        within.optional("time_zone", &time_zone, TimeZone::parse)
    });
    // `*` alone does not touch it, since some profiles fix it.
    let is_named = expiry.is_some() && named("expiry", true);
    let is_named = is_named || mask.iter().any(|path| path == "expiry");
    let expiry = read_if(is_named, || {
        read_wish(said!(expiry, update_request), now, &mut within)
    });
    Some(Changes {
        label: label?,
        description: description?,
        attributes: attributes?,
        roles: roles?,
        language: language?,
        time_zone: time_zone?,
        expiry: expiry?,
    })
}

fn read_if<T>(named: bool, read: impl FnOnce() -> Option<T>) -> Option<Option<T>> {
    if named { read().map(Some) } else { Some(None) }
}

struct TextFields<'a> {
    label: &'a str,
    description: &'a str,
    roles: &'a [String],
    attributes: &'a BTreeMap<String, String>,
    language: &'a str,
    time_zone: &'a str,
}

fn read_texts(fields: &TextFields<'_>, within: &mut Within<'_>) -> Option<Texts> {
    let TextFields {
        label,
        description,
        roles,
        attributes,
        language,
        time_zone,
    } = fields;
    let label = within.optional("label", label, Label::parse);
    let description = within.check("description", Description::parse(description));
    let roles = read_roles(roles, within);
    let attributes = read_attributes(attributes, within);
    let language = within.optional("language", language, Language::parse);
    let time_zone = within.optional("time_zone", time_zone, TimeZone::parse);
    Some(Texts {
        label: label?,
        description: description?,
        roles: roles?,
        attributes: attributes?,
        language: language?,
        time_zone: time_zone?,
    })
}

fn read_roles(roles: &[String], within: &mut Within<'_>) -> Option<Vec<Role>> {
    if roles.len() > MAX_ROLES {
        within.add("roles", "must be at most 16");
        return None;
    }
    let mut seen = BTreeSet::new();
    let mut read = Vec::with_capacity(roles.len());
    for (at, role) in roles.iter().enumerate() {
        let field = format!("roles[{at}]");
        match within.check(&field, Role::parse(role)) {
            Some(role) if !seen.insert(role.clone()) => {
                within.add(&field, "must not stand twice");
            }
            Some(role) => read.push(role),
            None => (),
        }
    }
    (read.len() == roles.len()).then_some(read)
}

fn read_attributes(
    attributes: &BTreeMap<String, String>,
    within: &mut Within<'_>,
) -> Option<Attributes> {
    if attributes.len() > MAX_ATTRIBUTES {
        within.add("attributes", "must be at most 16");
        return None;
    }
    let read: Vec<_> = attributes
        .iter()
        .filter_map(|(key, value)| {
            let read = within.check("attributes", AttributeKey::parse(key))?;
            let field = format!("attributes[{read}]");
            let value = within.check(&field, AttributeValue::parse(value))?;
            Some((read, value))
        })
        .collect();
    (read.len() == attributes.len()).then_some(read)
}

fn read_wish(said: Said, now: Timestamp, within: &mut Within<'_>) -> Option<Wish> {
    const MILLISECOND: Duration = Duration::from_millis(1);

    match said {
        Said::Nothing => Some(Wish::Unsaid),
        Said::Never(true) => Some(Wish::Never),
        Said::Never(false) => {
            within.add("never", "must be true, or not set");
            None
        }
        Said::At(at) => {
            if let Some(at) = read_timestamp(at).filter(|at| *at <= Timestamp::MAX) {
                Some(Wish::At(at))
            } else {
                within.add("expires_at", "must be a time in the years 1 to 9999");
                None
            }
        }
        Said::Ttl(ttl) => {
            let left = Timestamp::MAX.since(now);
            let rule = "must be at least 1 ms and end in the year 9999 at the latest";
            let field = format!("{}ttl", within.prefix);
            duration(&field, ttl, MILLISECOND..=left, rule, within.violations).map(Wish::After)
        }
        Said::Period(text) => within
            .check("period", Period::parse(&text))
            .map(Wish::Period),
        Said::On(text) => within.check("expires_on", Date::parse(&text)).map(Wish::On),
    }
}
