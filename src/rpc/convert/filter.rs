//! Filters of credentials.

use std::collections::BTreeSet;

use super::{read_timestamp, required_kind};
use crate::authority::list::{Filter, Order, Whose};
use crate::domain::credential::ShownState;
use crate::domain::names::{Owner, ProfileName, Role, Tenant};
use crate::domain::time::Timestamp;
use crate::proto::v1;
use crate::rpc::status::Violations;

/// Reads which credentials are meant; `None` after noting what is wrong with it.
/// Those of unlisted profiles are left out.
pub fn filter(filter: v1::CredentialFilter, violations: &mut Violations) -> Option<Filter> {
    let v1::CredentialFilter {
        tenant,
        owner,
        profile,
        kind,
        states,
        label_prefix,
        role,
        expiring_before,
        unused_since,
    } = filter;
    let whose = whose(&tenant, &owner, violations);
    let profile = named(&profile, |text| {
        violations.check("filter.profile", ProfileName::parse(text))
    });
    let role = named(&role, |text| {
        violations.check("filter.role", Role::parse(text))
    });
    let kind = match v1::CredentialKind::try_from(kind) {
        Ok(v1::CredentialKind::Unspecified) => Some(None),
        _ => required_kind("filter.kind", kind, violations).map(Some),
    };
    let states = read_states(&states, violations);
    let mut time = |field: &str, at: Option<prost_types::Timestamp>| match at.map(read_timestamp) {
        None => Some(None),
        Some(Some(at)) if at <= Timestamp::MAX => Some(Some(at)),
        Some(_) => {
            violations.add(field, "must be a time in the years 1 to 9999");
            None
        }
    };
    let expiring_before = time("filter.expiring_before", expiring_before);
    let unused_since = time("filter.unused_since", unused_since);
    let short = label_prefix.chars().count() <= 128;
    if !short {
        violations.add("filter.label_prefix", "must be at most 128 characters");
    }
    Some(Filter {
        whose: whose?,
        profile: profile?,
        kind: kind?,
        states: states?,
        label_prefix: short.then_some(label_prefix)?,
        role: role?,
        expiring_before: expiring_before?,
        unused_since: unused_since?,
        unlisted: false,
    })
}

/// Reads a filter by which credentials are changed: it must narrow them.
pub fn narrow_filter(message: v1::CredentialFilter, violations: &mut Violations) -> Option<Filter> {
    if message == v1::CredentialFilter::default() {
        violations.add(
            "filter",
            "must narrow the credentials: no field of it is set",
        );
        return None;
    }
    let read = filter(message, violations)?;
    Some(Filter {
        unlisted: true,
        ..read
    })
}

fn whose(tenant: &str, owner: &str, violations: &mut Violations) -> Option<Whose> {
    let field = "filter.tenant";
    match (tenant, owner) {
        ("", "") => Some(Whose::All),
        ("", _) => {
            violations.add("filter.owner", "needs `tenant`: owners belong to a tenant");
            None
        }
        (tenant, "") => violations
            .check(field, Tenant::parse(tenant))
            .map(Whose::Tenant),
        (tenant, owner) => {
            let tenant = violations.check(field, Tenant::parse(tenant));
            let owner = violations.check("filter.owner", Owner::parse(owner));
            tenant.zip(owner).map(|(t, o)| Whose::Owner(t, o))
        }
    }
}

/// `Some(None)` for an empty text.
fn named<T>(text: &str, read: impl FnOnce(&str) -> Option<T>) -> Option<Option<T>> {
    match text {
        "" => Some(None),
        text => read(text).map(Some),
    }
}

/// Reads an order; `None` after noting that it is none.
pub fn order(order: i32, violations: &mut Violations) -> Option<Order> {
    match v1::ListOrder::try_from(order) {
        Ok(v1::ListOrder::Unspecified | v1::ListOrder::Created) => Some(Order::Created),
        Ok(v1::ListOrder::Expiry) => Some(Order::Expiry),
        Ok(v1::ListOrder::LastUsed) => Some(Order::LastUsed),
        Err(_) => {
            violations.add("order", format!("must be an order: {order} is none"));
            None
        }
    }
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
                let field = format!("filter.states[{at}]");
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
