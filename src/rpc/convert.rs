//! Messages from and to the types of the domain: the one place for it.
//!
//! Messages are taken apart field by field, so that a new field of the contract
//! breaks the build where it must be handled.

use std::collections::BTreeSet;
use std::time::Duration;

use data_encoding::BASE64;

use super::status::Violations;
use crate::authority::command::Expiry;
use crate::authority::entry::Entry;
use crate::authority::list::{Filter, Whose};
use crate::authority::names::Interner;
use crate::authority::{Issued, NewCredential, Shown};
use crate::domain::credential::{Change, Credential, ShownState, Stored};
use crate::domain::id::CredentialId;
use crate::domain::names::{Description, InvalidText, Label, MAX_ROLES, Owner, Role, Tenant};
use crate::domain::revision::{Revision, StoreId};
use crate::domain::time::Timestamp;
use crate::domain::token::{self, Kind, Presented};
use crate::proto::v1;

/// The page size where none is asked for (AIP-158).
const DEFAULT_PAGE: usize = 50;
/// The greatest page size.
const MAX_PAGE: usize = 1000;

const NANOS_PER_SECOND: u32 = 1_000_000_000;

/// Reads what to issue; `None` after noting what is wrong with it.
pub fn new_credential(
    request: v1::IssueRequest,
    now: Timestamp,
    violations: &mut Violations,
) -> Option<NewCredential> {
    let v1::IssueRequest {
        tenant,
        owner,
        kind,
        label,
        description,
        roles,
        expires_at,
        ttl,
    } = request;
    let tenant = violations.check("tenant", Tenant::parse(&tenant));
    let owner = violations.check("owner", Owner::parse(&owner));
    let kind = required_kind(kind, violations);
    let label = violations.check("label", Label::parse(&label));
    let description = violations.check("description", Description::parse(&description));
    let roles = read_roles(&roles, tenant.as_ref(), violations);
    let expiry = read_expiry(expires_at, ttl, now, violations);
    Some(NewCredential {
        tenant: tenant?,
        owner: owner?,
        kind: kind?,
        label: label?,
        description: description?,
        roles: roles?,
        expiry: expiry?,
    })
}

/// Reads an id; `None` after noting what is wrong with it.
pub fn credential_id(text: &str, violations: &mut Violations) -> Option<CredentialId> {
    let id = text.parse();
    id.map_err(|error| violations.add("credential_id", format!("is no id: {error}")))
        .ok()
}

/// Reads which credentials to list; `None` after noting what is wrong with it.
pub fn filter(
    tenant: &str,
    owner: &str,
    kind: i32,
    states: &[i32],
    violations: &mut Violations,
) -> Option<Filter> {
    let whose = match (tenant, owner) {
        ("", "") => Some(Whose::All),
        ("", _) => {
            violations.add("owner", "needs `tenant`: owners belong to a tenant");
            None
        }
        (tenant, "") => violations
            .check("tenant", Tenant::parse(tenant))
            .map(Whose::Tenant),
        (tenant, owner) => {
            let tenant = violations.check("tenant", Tenant::parse(tenant));
            let owner = violations.check("owner", Owner::parse(owner));
            tenant.zip(owner).map(|(t, o)| Whose::Owner(t, o))
        }
    };
    let kind = match v1::CredentialKind::try_from(kind) {
        Ok(v1::CredentialKind::Unspecified) => Some(None),
        _ => required_kind(kind, violations).map(Some),
    };
    let states = read_states(states, violations);
    Some(Filter {
        whose: whose?,
        kind: kind?,
        states: states?,
    })
}

/// Reads a page size; `None` after noting that it is negative.
pub fn page_size(size: i32, violations: &mut Violations) -> Option<usize> {
    match usize::try_from(size) {
        Ok(0) => Some(DEFAULT_PAGE),
        Ok(size) => Some(size.min(MAX_PAGE)),
        Err(_) => {
            violations.add("page_size", "must not be negative");
            None
        }
    }
}

/// Reads what was presented; `None` if nothing was.
#[must_use]
pub fn presented(message: &v1::Presented) -> Option<Presented<'_>> {
    use v1::presented::Credential;

    let v1::Presented { credential } = message;
    Some(match credential.as_ref()? {
        Credential::Token(token) => Presented::Token(token),
        Credential::UsernamePassword(v1::UsernamePassword { username, password }) => {
            Presented::UsernamePassword(username, password)
        }
        Credential::KeyPair(v1::KeyPair {
            access_key,
            secret_key,
        }) => Presented::KeyPair(access_key, secret_key),
    })
}

/// Reads a duration between two bounds; `None` after noting what is wrong with
/// it.
pub fn duration(
    field: &str,
    duration: prost_types::Duration,
    bounds: std::ops::RangeInclusive<Duration>,
    rule: &str,
    violations: &mut Violations,
) -> Option<Duration> {
    let prost_types::Duration { seconds, nanos } = duration;
    // Both have the sign of the whole; a negative one is never within bounds.
    let read = match (u64::try_from(seconds), u32::try_from(nanos)) {
        (Ok(seconds), Ok(nanos)) if nanos < NANOS_PER_SECOND => Some(Duration::new(seconds, nanos)),
        _ => None,
    };
    let within = read.filter(|duration| bounds.contains(duration));
    if within.is_none() {
        violations.add(field, rule);
    }
    within
}

fn required_kind(kind: i32, violations: &mut Violations) -> Option<Kind> {
    match v1::CredentialKind::try_from(kind) {
        Ok(v1::CredentialKind::ApiToken) => Some(Kind::ApiToken),
        Ok(v1::CredentialKind::Basic) => Some(Kind::Basic),
        Ok(v1::CredentialKind::KeyPair) => Some(Kind::KeyPair),
        Ok(v1::CredentialKind::Unspecified) => {
            violations.add("kind", "is required");
            None
        }
        Err(_) => {
            violations.add(
                "kind",
                format!("must be a kind of credential: {kind} is none"),
            );
            None
        }
    }
}

fn read_roles(
    roles: &[String],
    tenant: Option<&Tenant>,
    violations: &mut Violations,
) -> Option<Vec<Role>> {
    const CREDD_ROLES: [&str; 2] = [Role::ADMINISTRATOR, Role::VERIFIER];

    let mut read = BTreeSet::new();
    let mut good = true;
    let mut bad = |field: &str, rule: &str| {
        violations.add(field, rule);
        good = false;
    };
    if roles.len() > MAX_ROLES {
        bad("roles", "must be at most 16");
    }
    let is_credd = tenant.is_some_and(Tenant::is_credd);
    for (at, role) in roles.iter().enumerate().take(MAX_ROLES) {
        let field = format!("roles[{at}]");
        match Role::parse(role) {
            Err(InvalidText(rule)) => bad(&field, rule),
            Ok(role) if tenant.is_some() && !(is_credd && CREDD_ROLES.contains(&role.as_str())) => {
                bad(
                    &field,
                    "must be a role of the tenant: it has none of that name",
                );
            }
            Ok(role) if read.contains(&role) => bad(&field, "must not stand twice"),
            Ok(role) => {
                read.insert(role);
            }
        }
    }
    if is_credd && roles.is_empty() {
        bad(
            "roles",
            "must be `administrator` or `verifier` in the tenant `credd`",
        );
    }
    good.then(|| read.into_iter().collect())
}

fn read_expiry(
    expires_at: Option<prost_types::Timestamp>,
    ttl: Option<prost_types::Duration>,
    now: Timestamp,
    violations: &mut Violations,
) -> Option<Expiry> {
    const MILLISECOND: Duration = Duration::from_millis(1);

    match (expires_at, ttl) {
        (None, None) => Some(Expiry::Never),
        (Some(_), Some(_)) => {
            violations.add("expires_at", "must not be set together with `ttl`");
            violations.add("ttl", "must not be set together with `expires_at`");
            None
        }
        (Some(at), None) => {
            let read = read_timestamp(at).filter(|at| *at <= Timestamp::MAX);
            match read {
                Some(at) if at > now => Some(Expiry::At(at)),
                Some(_) => {
                    violations.add("expires_at", "must be in the future");
                    None
                }
                None => {
                    violations.add("expires_at", "must be a time in the years 1 to 9999");
                    None
                }
            }
        }
        (None, Some(ttl)) => {
            let left = Timestamp::MAX.since(now);
            let rule = "must be at least 1 ms and end in the year 9999 at the latest";
            duration("ttl", ttl, MILLISECOND..=left, rule, violations).map(Expiry::After)
        }
    }
}

/// Rounded down to the millisecond; `None` outside the range of
/// `google.protobuf.Timestamp`.
fn read_timestamp(timestamp: prost_types::Timestamp) -> Option<Timestamp> {
    const FIRST_SECOND: i64 = -62_135_596_800;

    let prost_types::Timestamp { seconds, nanos } = timestamp;
    let in_range = seconds >= FIRST_SECOND && (0..1_000_000_000).contains(&nanos);
    let millis = seconds
        .checked_mul(1000)?
        .checked_add(i64::from(nanos / 1_000_000))?;
    in_range.then(|| Timestamp::from_millis(millis))
}

fn read_states(states: &[i32], violations: &mut Violations) -> Option<Vec<ShownState>> {
    use ShownState::{Active, Expired, Locked, Revoked};

    let mut read = BTreeSet::new();
    for (at, state) in states.iter().enumerate() {
        read.insert(match v1::CredentialState::try_from(*state) {
            Ok(v1::CredentialState::Active) => Active,
            Ok(v1::CredentialState::Locked) => Locked,
            Ok(v1::CredentialState::Revoked) => Revoked,
            Ok(v1::CredentialState::Expired) => Expired,
            Ok(v1::CredentialState::Unspecified) | Err(_) => {
                let field = format!("states[{at}]");
                violations.add(&field, format!("must be a state: {state} is none"));
                return None;
            }
        });
    }
    if read.is_empty() {
        read.extend([Active, Locked, Expired]);
    }
    Some(read.into_iter().collect())
}

/// A revision of a store.
#[must_use]
pub fn revision(store: StoreId, revision: Revision) -> v1::Revision {
    v1::Revision {
        store_id: store.to_string(),
        number: revision.number(),
    }
}

/// A credential as it is shown at this time.
#[must_use]
pub fn credential(shown: &Shown, store: StoreId, now: Timestamp) -> v1::Credential {
    let Shown { stored, last_use } = shown;
    let state_revision = revision(store, stored.state_revision());
    let Stored {
        credential,
        revision: _, // of the record, which may be written for less than its state
    } = stored;
    let Credential {
        id,
        tenant,
        owner,
        kind,
        label,
        description,
        roles,
        state,
        state_set: _, // in `state_revision`
        created_at,
        created_by,
        expires_at,
        generation,
        mac: _, // nobody's business
        last_change,
    } = credential;
    v1::Credential {
        id: id.to_string(),
        tenant: tenant.as_str().to_owned(),
        owner: owner.as_str().to_owned(),
        kind: v1::CredentialKind::from(*kind).into(),
        label: label.as_str().to_owned(),
        description: description.as_str().to_owned(),
        roles: roles.iter().map(|role| role.as_str().to_owned()).collect(),
        state: shown_state(ShownState::of(*state, *expires_at, now)).into(),
        public_part: Some(public_part(*kind, *id)),
        generation: generation.number(),
        created_at: Some(timestamp(*created_at)),
        created_by: created_by.as_str().to_owned(),
        expires_at: expires_at.map(timestamp),
        days_left: expires_at.map(|expiry| days_left(expiry, now)),
        last_used_at: last_use.as_ref().map(|last_use| timestamp(last_use.at)),
        last_used_by: last_use
            .as_ref()
            .map_or_else(String::new, |last_use| last_use.by.as_str().to_owned()),
        last_change: Some(change(last_change)),
        state_revision: Some(state_revision),
    }
}

/// The secret of a credential that was just issued.
#[must_use]
pub fn issued_secret(issued: &Issued) -> v1::IssuedSecret {
    use v1::issued_secret::Secret;

    let Credential {
        id,
        kind,
        generation,
        ..
    } = issued.stored.credential;
    let text = token::secret_text(kind, id, generation, &issued.secret);
    let secret = text.expose().to_owned();
    let name = token::public_name(kind, id).unwrap_or_default();
    let (header, value) = match kind {
        Kind::ApiToken => ("Authorization", format!("Bearer {secret}")),
        Kind::Basic => {
            let pair = zeroize::Zeroizing::new(format!("{name}:{secret}"));
            (
                "Authorization",
                format!("Basic {}", BASE64.encode(pair.as_bytes())),
            )
        }
        Kind::KeyPair => ("X-ApiKeys", format!("accessKey={name}; secretKey={secret}")),
    };
    v1::IssuedSecret {
        header: Some(v1::HttpHeader {
            name: header.to_owned(),
            value,
        }),
        secret: Some(match kind {
            Kind::ApiToken => Secret::Token(secret),
            Kind::Basic => Secret::UsernamePassword(v1::UsernamePassword {
                username: name,
                password: secret,
            }),
            Kind::KeyPair => Secret::KeyPair(v1::KeyPair {
                access_key: name,
                secret_key: secret,
            }),
        }),
    }
}

/// Whose credential was found good.
#[must_use]
pub fn identity(entry: &Entry, names: &Interner) -> v1::Identity {
    v1::Identity {
        credential_id: entry.id().to_string(),
        generation: entry.generation().number(),
        tenant: names.resolve(entry.tenant()).to_string(),
        owner: names.resolve(entry.owner()).to_string(),
        kind: v1::CredentialKind::from(entry.kind()).into(),
        roles: entry.roles(names).map(str::to_owned).collect(),
        expires_at: entry.expires_at().map(timestamp),
    }
}

/// A time on the wire.
#[must_use]
pub fn timestamp(at: Timestamp) -> prost_types::Timestamp {
    let millis = at.as_millis();
    prost_types::Timestamp {
        seconds: millis.div_euclid(1000),
        // At most 999 thousand thousands.
        nanos: i32::try_from(millis.rem_euclid(1000) * 1_000_000).unwrap_or_default(),
    }
}

/// A short duration on the wire.
#[must_use]
pub fn short_duration(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or_default(),
    }
}

fn public_part(kind: Kind, id: CredentialId) -> v1::PublicPart {
    use v1::public_part::Part;

    let name = token::public_name(kind, id).unwrap_or_default();
    v1::PublicPart {
        part: Some(match kind {
            Kind::ApiToken => Part::TokenStart(token::token_start(kind, id)),
            Kind::Basic => Part::Username(name),
            Kind::KeyPair => Part::AccessKey(name),
        }),
    }
}

fn change(change: &Change) -> v1::CredentialChange {
    let Change {
        action,
        at,
        by,
        reason,
    } = change;
    v1::CredentialChange {
        r#type: v1::ChangeType::from(*action).into(),
        at: Some(timestamp(*at)),
        by: by.as_str().to_owned(),
        reason: reason.as_str().to_owned(),
    }
}

const fn shown_state(state: ShownState) -> v1::CredentialState {
    match state {
        ShownState::Active => v1::CredentialState::Active,
        ShownState::Locked => v1::CredentialState::Locked,
        ShownState::Revoked => v1::CredentialState::Revoked,
        ShownState::Expired => v1::CredentialState::Expired,
    }
}

fn days_left(expiry: Timestamp, now: Timestamp) -> u32 {
    const DAY: u64 = 24 * 60 * 60;
    u32::try_from(expiry.since(now).as_secs() / DAY).unwrap_or(u32::MAX)
}
