//! Events, heads and what is asked of the audit log.

use super::read_timestamp;
use crate::authority::audit::{Listed, ListedPayload, Order};
use crate::domain::audit::{
    Broken, ChainNumber, Entry, Event, Filter, Flaw, Head, KnownBy, Named, Subject,
};
use crate::domain::names::{Owner, Tenant};
use crate::domain::revision::StoreId;
use crate::domain::rights::Tenants;
use crate::domain::time::Timestamp;
use crate::proto::v1;
use crate::rpc::convert;
use crate::rpc::status::Violations;

/// The most heads that are compared.
const MAX_EXPECTED: usize = 100;
/// The most bytes of the name of a principal or of an action.
const MAX_NAME: usize = 256;

/// A place in the chain.
#[must_use]
pub fn head(head: &Head) -> v1::AuditHead {
    let Head { sequence, hash } = head;
    v1::AuditHead {
        chain: ChainNumber::FIRST.0,
        sequence: *sequence,
        hash: hash.to_string(),
    }
}

/// Reads places that were kept elsewhere; `None` after noting what is wrong with
/// one.
pub fn expected_heads(heads: Vec<v1::AuditHead>, violations: &mut Violations) -> Option<Vec<Head>> {
    if heads.len() > MAX_EXPECTED {
        violations.add("expected", "must be at most 100");
        return None;
    }
    let count = heads.len();
    let read = heads.into_iter().enumerate().filter_map(|(at, head)| {
        let v1::AuditHead {
            chain,
            sequence,
            hash,
        } = head;
        if chain != ChainNumber::FIRST.0 {
            let field = format!("expected[{at}].chain");
            violations.add(&field, "must be 0: the store has one chain");
            return None;
        }
        match hash.parse() {
            Ok(hash) => Some(Head { sequence, hash }),
            Err(error) => {
                let field = format!("expected[{at}].hash");
                violations.add(&field, format!("is no hash: {error}"));
                None
            }
        }
    });
    let read: Vec<_> = read.collect();
    (read.len() == count).then_some(read)
}

/// What is wrong with a record.
#[must_use]
pub fn broken(broken: &Broken) -> v1::BrokenRecord {
    let Broken { sequence, flaw } = broken;
    let flaw = match flaw {
        Flaw::Missing => v1::ChainFlaw::Missing,
        Flaw::Misplaced(_) => v1::ChainFlaw::Misplaced,
        Flaw::Unreadable => v1::ChainFlaw::Unreadable,
        Flaw::PayloadChanged => v1::ChainFlaw::PayloadChanged,
        Flaw::HeaderChanged => v1::ChainFlaw::HeaderChanged,
        Flaw::Unlinked => v1::ChainFlaw::Unlinked,
        Flaw::Cut => v1::ChainFlaw::Cut,
        Flaw::OtherHash => v1::ChainFlaw::OtherHash,
        Flaw::Blanked => v1::ChainFlaw::Blanked,
        Flaw::Removed => v1::ChainFlaw::Removed,
    };
    v1::BrokenRecord {
        sequence: *sequence,
        flaw: flaw.into(),
        description: broken.to_string(),
    }
}

/// Reads an order; `None` after noting that it is none.
pub fn order(order: i32, violations: &mut Violations) -> Option<Order> {
    match v1::AuditOrder::try_from(order) {
        Ok(v1::AuditOrder::Unspecified | v1::AuditOrder::OldestFirst) => Some(Order::OldestFirst),
        Ok(v1::AuditOrder::NewestFirst) => Some(Order::NewestFirst),
        Err(_) => {
            violations.add("order", format!("must be an order: {order} is none"));
            None
        }
    }
}

/// Reads a filter for one who may see these tenants; `None` after noting what is
/// wrong with it.
pub fn filter(
    filter: v1::AuditFilter,
    reach: Tenants,
    violations: &mut Violations,
) -> Option<Filter> {
    let v1::AuditFilter {
        tenant,
        principal,
        action,
        credential_id,
        outcome,
        from,
        until,
    } = filter;
    let tenant = match tenant.as_str() {
        "" => Some(None),
        tenant => violations
            .check("filter.tenant", Tenant::parse(tenant))
            .map(Some),
    };
    let principal = name("filter.principal", principal, violations);
    let action = name("filter.action", action, violations);
    let credential = match credential_id.as_str() {
        "" => Some(None),
        id => id
            .parse()
            .map_err(|error| violations.add("filter.credential_id", format!("is no id: {error}")))
            .ok()
            .map(Some),
    };
    let ok = match v1::AuditOutcome::try_from(outcome) {
        Ok(v1::AuditOutcome::Unspecified) => Some(None),
        Ok(v1::AuditOutcome::Ok) => Some(Some(true)),
        Ok(v1::AuditOutcome::Refused) => Some(Some(false)),
        Err(_) => {
            violations.add("filter.outcome", format!("must be one: {outcome} is none"));
            None
        }
    };
    let from = time("filter.from", from, violations);
    let until = time("filter.until", until, violations);
    Some(Filter {
        reach,
        tenant: tenant?,
        principal: principal?,
        action: action?,
        credential: credential?,
        ok: ok?,
        from: from?,
        until: until?,
    })
}

/// Reads a name, which may be none; `None` after noting that it is too long.
fn name(field: &str, name: String, violations: &mut Violations) -> Option<Option<String>> {
    if name.len() > MAX_NAME {
        violations.add(field, "must be at most 256 bytes");
        return None;
    }
    Some(Some(name).filter(|name| !name.is_empty()))
}

/// Reads a time, which may be none; `None` after noting that it is no time.
pub fn time(
    field: &str,
    time: Option<prost_types::Timestamp>,
    violations: &mut Violations,
) -> Option<Option<Timestamp>> {
    let Some(time) = time else {
        return Some(None);
    };
    let read = read_timestamp(time);
    if read.is_none() {
        violations.add(field, "must be a time of the years 1 to 9999");
    }
    read.map(Some)
}

/// Reads whose data to erase; `None` after noting what is wrong with it.
pub fn named(
    named: Option<v1::erase_events_request::Named>,
    violations: &mut Violations,
) -> Option<Named> {
    use v1::erase_events_request::Named as Wire;

    match named {
        None => {
            violations.add("named", "is required: `principal` or `owner`");
            None
        }
        Some(Wire::Principal(principal)) => {
            if principal.is_empty() {
                violations.add("principal", "must not be empty");
                return None;
            }
            name("principal", principal, violations)?.map(Named::Principal)
        }
        Some(Wire::Owner(v1::AuditOwner { tenant, name })) => {
            let tenant = violations.check("owner.tenant", Tenant::parse(&tenant));
            let name = violations.check("owner.name", Owner::parse(&name));
            Some(Named::Owner(tenant?, name?))
        }
    }
}

/// An event as it is listed.
#[must_use]
pub fn event(listed: Listed, store: StoreId) -> v1::AuditEvent {
    let Listed {
        sequence,
        revision,
        header,
        payload,
    } = listed;
    let (at, hash) = header.map_or((None, String::new()), |header| {
        let Entry { at, hash, .. } = header;
        (Some(convert::timestamp(at)), hash.to_string())
    });
    let (state, event) = match payload {
        ListedPayload::Event(event) => (v1::AuditEventState::Intact, said(*event)),
        ListedPayload::Erased => (v1::AuditEventState::Erased, v1::AuditEvent::default()),
        ListedPayload::Damaged => (v1::AuditEventState::Damaged, v1::AuditEvent::default()),
    };
    v1::AuditEvent {
        chain: ChainNumber::FIRST.0,
        sequence,
        hash,
        revision: Some(convert::revision(store, revision)),
        recorded_at: at,
        state: state.into(),
        ..event
    }
}

/// What an event says.
fn said(event: Event) -> v1::AuditEvent {
    let Event {
        action,
        principal,
        on_behalf_of,
        known_by,
        address,
        request_id,
        subject,
        reason,
        outcome,
        dry_run,
        details,
        client_address,
        client_request_id,
        count,
        first,
        last,
        // The details tell of them.
        erased: _,
        begins: _,
    } = event;
    let Subject {
        tenant,
        owner,
        profile,
        role,
        principal: bound_principal,
        credentials,
    } = subject;
    let (known_by, caller) = match known_by {
        KnownBy::Nobody => (v1::AuditKnownBy::Unspecified, None),
        KnownBy::System => (v1::AuditKnownBy::System, None),
        KnownBy::Credential(id) => (v1::AuditKnownBy::Credential, Some(id)),
        KnownBy::Token => (v1::AuditKnownBy::Token, None),
        KnownBy::Certificate => (v1::AuditKnownBy::Certificate, None),
    };
    v1::AuditEvent {
        action,
        principal,
        on_behalf_of,
        known_by: known_by.into(),
        caller_credential_id: caller.map_or_else(String::new, |id| id.to_string()),
        address,
        request_id,
        tenant,
        owner,
        profile,
        role,
        bound_principal,
        credential_ids: credentials.iter().map(ToString::to_string).collect(),
        reason,
        outcome,
        dry_run,
        details,
        client_address,
        client_request_id,
        count,
        first_at: Some(convert::timestamp(first)),
        last_at: Some(convert::timestamp(last)),
        ..v1::AuditEvent::default()
    }
}
