//! Messages from and to the types of the domain: the one place for it.
//!
//! Messages are taken apart field by field, so that a new field of the contract
//! breaks the build where it must be handled.

use std::time::Duration;

use super::status::Violations;
use crate::domain::id::{CredentialId, RequestId};
use crate::domain::names::{Owner, Reason, Tenant};
use crate::domain::revision::{Revision, StoreId};
use crate::domain::rights::Tenants;
use crate::domain::time::Timestamp;
use crate::domain::token::{Kind, Presented};
use crate::proto::v1;

pub mod audit;
pub mod credential;
pub mod directory;
pub mod filter;
pub mod profile;
pub mod terms;

/// The page size where none is asked for (AIP-158).
const DEFAULT_PAGE: usize = 50;
/// The greatest page size.
const MAX_PAGE: usize = 1000;

const NANOS_PER_SECOND: u32 = 1_000_000_000;

/// Reads an id; `None` after noting what is wrong with it.
pub fn credential_id(text: &str, violations: &mut Violations) -> Option<CredentialId> {
    let id = text.parse();
    id.map_err(|error| violations.add("credential_id", format!("is no id: {error}")))
        .ok()
}

/// Reads the reason of a change; `None` after noting what is wrong with it.
pub fn reason(text: &str, violations: &mut Violations) -> Option<Reason> {
    violations.check("reason", Reason::parse(text))
}

/// Reads the name of an owner; `None` after noting what is wrong with it.
pub fn owner(
    tenant: &str,
    owner: &str,
    field: &str,
    violations: &mut Violations,
) -> Option<(Tenant, Owner)> {
    let tenant = violations.check("tenant", Tenant::parse(tenant));
    let owner = violations.check(field, Owner::parse(owner));
    tenant.zip(owner)
}

/// Reads the id that a caller gave a request; `Some(None)` if it gave none, `None`
/// after noting what is wrong with it.
pub fn request_id(text: &str, violations: &mut Violations) -> Option<Option<RequestId>> {
    if text.is_empty() {
        return Some(None);
    }
    violations
        .check("request_id", RequestId::parse(text))
        .map(Some)
}

/// Reads the revision that a caller expects; `Some(None)` if it expects none,
/// `None` after noting what is wrong with it.
pub fn expected_revision(
    expected: Option<v1::Revision>,
    store: StoreId,
    violations: &mut Violations,
) -> Option<Option<Revision>> {
    let Some(v1::Revision { store_id, number }) = expected else {
        return Some(None);
    };
    if store_id == store.to_string() {
        return Some(Some(Revision::new(number)));
    }
    violations.add(
        "expected_revision.store_id",
        "must be the id of this store: revisions of another tell nothing",
    );
    None
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

/// Reads what was presented; `None` for a header, which is read by the rules of
/// profiles.
#[must_use]
pub fn presented(credential: &v1::presented::Credential) -> Option<Presented<'_>> {
    use v1::presented::Credential;

    match credential {
        Credential::Token(token) => Some(Presented::Token(token)),
        Credential::UsernamePassword(v1::UsernamePassword { username, password }) => {
            Some(Presented::UsernamePassword(username, password))
        }
        Credential::KeyPair(v1::KeyPair {
            access_key,
            secret_key,
        }) => Some(Presented::KeyPair(access_key, secret_key)),
        Credential::Header(_) => None,
    }
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

/// Reads for how long two secrets are to work beside each other; `None` after
/// noting what is wrong with it.
pub fn overlap(
    overlap: Option<prost_types::Duration>,
    violations: &mut Violations,
) -> Option<Duration> {
    let Some(overlap) = overlap else {
        return Some(Duration::ZERO);
    };
    duration(
        "overlap",
        overlap,
        Duration::ZERO..=crate::domain::profile::MAX_OVERLAP,
        "must be 0 to 90 days",
        violations,
    )
}

/// Reads a kind; `None` after noting that it is none.
pub fn required_kind(field: &str, kind: i32, violations: &mut Violations) -> Option<Kind> {
    match v1::CredentialKind::try_from(kind) {
        Ok(v1::CredentialKind::ApiToken) => Some(Kind::ApiToken),
        Ok(v1::CredentialKind::Basic) => Some(Kind::Basic),
        Ok(v1::CredentialKind::KeyPair) => Some(Kind::KeyPair),
        Ok(v1::CredentialKind::Unspecified) => {
            violations.add(field, "is required");
            None
        }
        Err(_) => {
            violations.add(
                field,
                format!("must be a kind of credential: {kind} is none"),
            );
            None
        }
    }
}

/// Reads a time, rounded down to the millisecond; `None` outside the range of
/// `google.protobuf.Timestamp`.
pub(super) fn read_timestamp(timestamp: prost_types::Timestamp) -> Option<Timestamp> {
    const FIRST_SECOND: i64 = -62_135_596_800;

    let prost_types::Timestamp { seconds, nanos } = timestamp;
    let in_range = seconds >= FIRST_SECOND && (0..1_000_000_000).contains(&nanos);
    let millis = seconds
        .checked_mul(1000)?
        .checked_add(i64::from(nanos / 1_000_000))?;
    in_range.then(|| Timestamp::from_millis(millis))
}

/// A revision of a store.
#[must_use]
pub fn revision(store: StoreId, revision: Revision) -> v1::Revision {
    v1::Revision {
        store_id: store.to_string(),
        number: revision.number(),
    }
}

/// Of whose changes a stream tells, and what its caller may ask about; the same for the
/// same tenants, in whatever order.
#[must_use]
pub fn coverage(told: &Tenants, asks: &Tenants) -> v1::Coverage {
    v1::Coverage {
        all: *told == Tenants::All,
        tenants: named(told),
        verifies_all: *asks == Tenants::All,
        verifies: named(asks),
    }
}

/// The names of tenants, in order and each once; none where they are all.
#[must_use]
pub fn named(tenants: &Tenants) -> Vec<String> {
    let mut named: Vec<_> = match tenants {
        Tenants::All => Vec::new(),
        Tenants::Of(tenants) => tenants.iter().map(ToString::to_string).collect(),
    };
    named.sort_unstable();
    named.dedup();
    named
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
