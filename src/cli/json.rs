//! Messages as JSON: the mapping of Protobuf, as grpcurl prints it.
//!
//! Names are in lowerCamelCase, 64-bit numbers are strings, enums are names, times are
//! RFC 3339, and what is unset is left out.

use std::sync::LazyLock;

use prost::{Message, Name};
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};
use serde::Serialize as _;
use serde_json::Value;

use super::failure::Failure;
use crate::proto::FILE_DESCRIPTOR_SET;

static POOL: LazyLock<Option<DescriptorPool>> =
    LazyLock::new(|| DescriptorPool::decode(FILE_DESCRIPTOR_SET).ok());

/// A message as JSON.
pub(super) fn of<T: Message + Name>(message: &T) -> Result<Value, Failure> {
    let bytes = message.encode_to_vec();
    let message = DynamicMessage::decode(descriptor::<T>()?, bytes.as_slice()).map_err(defect)?;
    message
        .serialize(serde_json::value::Serializer)
        .map_err(defect)
}

/// The message that JSON says. Names may also be those of the contract, in `snake_case`;
/// others than those are errors. What is wrong is told by an error that may quote the text.
pub(super) fn to<T: Message + Name + Default>(value: Value) -> Result<T, Failure> {
    let read = DynamicMessage::deserialize(descriptor::<T>()?, value);
    let read = read.map_err(|error| Failure::Usage(error.to_string()))?;
    read.transcode_to().map_err(defect)
}

fn descriptor<T: Name>() -> Result<MessageDescriptor, Failure> {
    let name = T::full_name();
    let found = POOL
        .as_ref()
        .and_then(|pool| pool.get_message_by_name(&name));
    found.ok_or_else(|| Failure::Other(format!("{name} is no message of the contract")))
}

/// Of what can't go wrong with a message of the contract.
fn defect(error: impl std::fmt::Display) -> Failure {
    Failure::Other(format!("a message can't be shown: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::v1;

    #[test]
    fn a_message_is_shown_as_grpcurl_shows_it_and_read_again() {
        let message = v1::GetResponse {
            credential: Some(v1::Credential {
                id: "x".to_owned(),
                kind: v1::CredentialKind::ApiToken.into(),
                attributes: [("a".to_owned(), "b".to_owned())].into(),
                created_at: Some(prost_types::Timestamp {
                    seconds: 1,
                    nanos: 0,
                }),
                days_left: Some(0),
                ..Default::default()
            }),
            revision: Some(v1::Revision {
                store_id: "s".to_owned(),
                number: u64::MAX,
            }),
        };
        let shown = serde_json::json!({
            "credential": {
                "id": "x",
                "kind": "CREDENTIAL_KIND_API_TOKEN",
                "attributes": {"a": "b"},
                "createdAt": "1970-01-01T00:00:01Z",
                "daysLeft": 0,
            },
            "revision": {"storeId": "s", "number": u64::MAX.to_string()},
        });
        assert_eq!(of(&message).unwrap(), shown);
        let read: v1::GetResponse = to(shown).unwrap();
        assert_eq!(read, message);
        let unknown = serde_json::json!({"labl": "x"});
        assert!(to::<v1::Credential>(unknown).is_err());
    }
}
