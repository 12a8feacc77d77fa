//! An event as a line of JSON.

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

use crate::authority::audit::{Listed, ListedPayload};
use crate::domain::audit::{ChainNumber, Event, KnownBy};
use crate::domain::revision::StoreId;
use crate::domain::time::Timestamp;

/// A line. The names are those of `credd.v1.AuditEvent`; what is empty is left out.
#[derive(Debug, Serialize)]
struct Line<'a> {
    store: String,
    chain: u64,
    sequence: u64,
    hash: String,
    /// The hash of the record before it, and that of salt and payload: with the time
    /// and the number, all that the record's own hash covers.
    previous_hash: String,
    payload_hash: String,
    revision: u64,
    recorded_at: String,
    recorded_at_ms: i64,
    state: &'static str,
    #[serde(flatten)]
    said: Option<Said<'a>>,
}

#[derive(Debug, Serialize)]
struct Said<'a> {
    action: &'a str,
    outcome: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    principal: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    on_behalf_of: &'a str,
    known_by: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    caller_credential_id: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    address: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    request_id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    tenant: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    owner: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    profile: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    role: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    bound_principal: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    credential_ids: Vec<String>,
    #[serde(skip_serializing_if = "str::is_empty")]
    reason: &'a str,
    dry_run: bool,
    #[serde(skip_serializing_if = "str::is_empty")]
    details: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    client_address: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    client_request_id: &'a str,
    count: u64,
    first_at: String,
    last_at: String,
}

/// What a line says of its place in the chain.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Place {
    pub(super) store: String,
    pub(super) sequence: u64,
    pub(super) hash: String,
}

impl Place {
    /// That of a line.
    pub(super) fn of(line: &[u8]) -> Option<Self> {
        serde_json::from_slice(line).ok()
    }
}

/// An event as a line, with the line feed.
pub(super) fn line(listed: &Listed, store: StoreId) -> Vec<u8> {
    let Listed {
        sequence,
        revision,
        header,
        payload,
    } = listed;
    let (state, said) = match payload {
        ListedPayload::Event(event) => ("INTACT", Some(said(event))),
        ListedPayload::Erased => ("ERASED", None),
        ListedPayload::Damaged => ("DAMAGED", None),
    };
    let hex = |hash: Option<[u8; 32]>| hash.map_or_else(String::new, |hash| HEXLOWER.encode(&hash));
    let header = header.as_ref();
    let at = header.map_or(Timestamp::from_millis(0), |header| header.at);
    let line = Line {
        store: store.to_string(),
        chain: ChainNumber::FIRST.0,
        sequence: *sequence,
        hash: hex(header.map(|header| header.hash.0)),
        previous_hash: hex(header.map(|header| header.previous.0)),
        payload_hash: hex(header.map(|header| header.payload_hash.0)),
        revision: revision.number(),
        recorded_at: rfc3339(at),
        recorded_at_ms: at.as_millis(),
        state,
        said,
    };
    // Texts and numbers alone: nothing that can't be written.
    let mut bytes = serde_json::to_vec(&line).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

fn said(event: &Event) -> Said<'_> {
    let subject = &event.subject;
    let (known_by, caller) = match event.known_by {
        KnownBy::Nobody => ("NOBODY", None),
        KnownBy::System => ("SYSTEM", None),
        KnownBy::Credential(id) => ("CREDENTIAL", Some(id)),
        KnownBy::Token => ("TOKEN", None),
        KnownBy::Certificate => ("CERTIFICATE", None),
    };
    Said {
        action: &event.action,
        outcome: &event.outcome,
        principal: &event.principal,
        on_behalf_of: &event.on_behalf_of,
        known_by,
        caller_credential_id: caller.map_or_else(String::new, |id| id.to_string()),
        address: &event.address,
        request_id: &event.request_id,
        tenant: &subject.tenant,
        owner: &subject.owner,
        profile: &subject.profile,
        role: &subject.role,
        bound_principal: &subject.principal,
        credential_ids: subject
            .credentials
            .iter()
            .map(ToString::to_string)
            .collect(),
        reason: &event.reason,
        dry_run: event.dry_run,
        details: &event.details,
        client_address: &event.client_address,
        client_request_id: &event.client_request_id,
        count: event.count,
        first_at: rfc3339(event.first),
        last_at: rfc3339(event.last),
    }
}

/// A time as RFC 3339 writes it.
fn rfc3339(at: Timestamp) -> String {
    let at = jiff::Timestamp::from_millisecond(at.as_millis());
    at.map_or_else(|_| String::new(), |at| format!("{at:.3}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::audit::OK;
    use crate::domain::revision::Revision;

    #[test]
    fn a_line_is_one_json_object_that_tells_its_place() {
        let store = StoreId::from_random([1; 16]);
        let mut event = Event::new("rpc", OK, Timestamp::from_millis(1_700_000_000_123));
        event.reason = "two\nlines \"and\" quotes".to_owned();
        let listed = Listed {
            sequence: 7,
            revision: Revision::new(9),
            header: None,
            payload: ListedPayload::Event(Box::new(event)),
        };
        let bytes = line(&listed, store);
        assert_eq!(bytes.split(|byte| *byte == b'\n').count(), 2);
        let value: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(value["reason"], "two\nlines \"and\" quotes");
        assert_eq!(value["first_at"], "2023-11-14T22:13:20.123Z");
        assert!(value.get("owner").is_none());
        let place = Place::of(&bytes).unwrap();
        assert_eq!((place.sequence, place.store), (7, store.to_string()));
        assert_eq!(Place::of(b"{\"sequence\": 7"), None);
    }
}
