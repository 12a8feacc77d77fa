//! What the service learns of a credential: the `x-credd-*` headers.
//!
//! | header | value |
//! | --- | --- |
//! | `x-credd-credential-id` | the credential's id |
//! | `x-credd-tenant`, `x-credd-owner`, `x-credd-profile` | whose, and by which profile |
//! | `x-credd-roles`, `x-credd-permissions`, `x-credd-groups` | lists, separated by commas |
//! | `x-credd-default-source` | the owner's default source |
//! | `x-credd-attributes` | a list of `NAME=VALUE` |
//! | `x-credd-language`, `x-credd-time-zone` | of its holder |
//! | `x-credd-expires-at` | from when on it is denied (RFC 3339) |
//! | `x-credd-stale` | `true`, where the operator allows answers for the tenant that may have missed a change, and this is one |
//!
//! What is empty has no header. In each text all but letters, digits and
//! `- . _ ~ : / @ * +` is percent-encoded UTF-8 (RFC 3986 section 2.1), so that
//! nothing in it can end a value, a list's item or a name.

use crate::proto::v1::Identity;
use crate::sidecar::verifier::Served;

const PREFIX: &str = "x-credd-";

/// The headers that say whose credential it is, each once.
#[must_use]
pub fn headers(identity: &Identity, served: Served) -> Vec<(&'static str, String)> {
    let Identity {
        credential_id,
        generation: _,
        tenant,
        owner,
        profile,
        kind: _,
        roles,
        permissions,
        groups,
        default_source,
        attributes,
        language,
        time_zone,
        expires_at,
    } = identity;
    let attributes = attributes
        .iter()
        .map(|(name, value)| format!("{}={}", encoded(name), encoded(value)));
    let expires_at = expires_at.as_ref().map(ToString::to_string);
    let stale = match served {
        Served::Asked | Served::Cached => "",
        Served::Stale => "true",
    };
    let mut headers = vec![
        ("x-credd-credential-id", encoded(credential_id)),
        ("x-credd-tenant", encoded(tenant)),
        ("x-credd-owner", encoded(owner)),
        ("x-credd-profile", encoded(profile)),
        ("x-credd-roles", list(roles)),
        ("x-credd-permissions", list(permissions)),
        ("x-credd-groups", list(groups)),
        ("x-credd-default-source", encoded(default_source)),
        ("x-credd-attributes", joined(attributes)),
        ("x-credd-language", encoded(language)),
        ("x-credd-time-zone", encoded(time_zone)),
        (
            "x-credd-expires-at",
            encoded(&expires_at.unwrap_or_default()),
        ),
        ("x-credd-stale", stale.to_owned()),
    ];
    headers.retain(|(_, value)| !value.is_empty());
    headers
}

/// Whether a service may take a header of this name for one of these. Some tell
/// neither case nor `-` from `_` and the like (RFC 3875 section 4.1.18).
#[must_use]
pub fn is_ours(name: &str) -> bool {
    let begin = name.as_bytes().get(..PREFIX.len());
    begin.is_some_and(|begin| {
        begin.iter().zip(PREFIX.bytes()).all(|(byte, ours)| {
            byte.eq_ignore_ascii_case(&ours) || ours == b'-' && !byte.is_ascii_alphanumeric()
        })
    })
}

fn list(texts: &[String]) -> String {
    joined(texts.iter().map(|text| encoded(text)))
}

fn joined(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(",")
}

fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:/@*+".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            for digit in [byte >> 4, byte & 0xf] {
                encoded.push(char::from(b"0123456789ABCDEF"[usize::from(digit)]));
            }
        }
    }
    encoded
}
