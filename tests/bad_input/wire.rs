//! What can't be read: messages that are none, too large ones, metadata.

use std::collections::BTreeSet;

use bytes::Bytes;
use credd::proto::v1;
use http::{HeaderMap, HeaderValue};
use http_body_util::{BodyExt as _, Full};
use prost::Message as _;
use tonic::body::Body;
use tonic::metadata::MetadataMap;
use tonic::{Code, Request, Status};
use tower::{Service as _, ServiceExt as _};

use crate::support::raw::{self, rpcs};
use crate::support::{
    list_request, lock_request, revoke_request, soon, token_request, verify_token_request,
};
use crate::terms::Terms;
use crate::unchanged::{Unchanged, fields_of, reason_of, robots, texts};

/// The request of an RPC that would be carried out if it could be read.
#[allow(clippy::too_many_lines, reason = "a table")]
pub(crate) fn good_request(rpc: &str, unchanged: &Unchanged) -> Vec<u8> {
    let Unchanged { id, token, .. } = unchanged;
    let credential_id = id.clone();
    let (tenant, name) = ("acme".to_owned(), "jo".to_owned());
    let reason = "test".to_owned();
    let (service, method) = rpc.split_once('/').unwrap();
    match (service, method) {
        ("CredentialService", "Issue") => token_request("acme").encode_to_vec(),
        ("CredentialService", "Get") => v1::GetRequest { credential_id }.encode_to_vec(),
        ("CredentialService", "List") => list_request("acme").encode_to_vec(),
        ("CredentialService", "Update") => Terms::good().update(id).encode_to_vec(),
        ("CredentialService", "Rotate") => v1::RotateRequest {
            credential_id,
            reason,
            ..Default::default()
        }
        .encode_to_vec(),
        ("CredentialService", "Reveal") => v1::RevealRequest {
            credential_id,
            reason,
        }
        .encode_to_vec(),
        ("CredentialService", "Lock") => lock_request(id).encode_to_vec(),
        ("CredentialService", "Unlock") => v1::UnlockRequest {
            credential_id,
            reason,
        }
        .encode_to_vec(),
        ("CredentialService", "Revoke") => revoke_request(id).encode_to_vec(),
        ("CredentialService", "ReportLeak") => v1::ReportLeakRequest {
            secrets: vec![token.clone()],
            reason,
            ..Default::default()
        }
        .encode_to_vec(),
        ("CredentialService", "ImportCredentials") => v1::ImportCredentialsRequest {
            tenant,
            credentials: vec![Terms::good().import("api-token")],
            reason,
        }
        .encode_to_vec(),
        ("DirectoryService", "PutTenant") => v1::PutTenantRequest {
            name: "initech".to_owned(),
            reason,
            ..Default::default()
        }
        .encode_to_vec(),
        ("DirectoryService", "GetTenant") => v1::GetTenantRequest { name: tenant }.encode_to_vec(),
        ("DirectoryService", "DeleteTenant" | "DisableTenant" | "EnableTenant") => {
            // They begin with the same fields.
            v1::EnableTenantRequest {
                name: tenant,
                reason,
            }
            .encode_to_vec()
        }
        ("DirectoryService", "PutOwner") => v1::PutOwnerRequest {
            tenant,
            name: "mia".to_owned(),
            groups: texts(&["red"]),
            ..Default::default()
        }
        .encode_to_vec(),
        ("DirectoryService", "GetOwner") => v1::GetOwnerRequest { tenant, name }.encode_to_vec(),
        ("DirectoryService", "DeleteOwner" | "DisableOwner" | "EnableOwner") => {
            v1::EnableOwnerRequest {
                tenant,
                name,
                reason,
            }
            .encode_to_vec()
        }
        ("DirectoryService", "SetDefaultSource") => v1::SetDefaultSourceRequest {
            tenant,
            name,
            source: "blue".to_owned(),
            reason,
        }
        .encode_to_vec(),
        ("DirectoryService", "PutRole") => v1::PutRoleRequest {
            tenant,
            name: "writer".to_owned(),
            permissions: texts(&["feeds:write"]),
            ..Default::default()
        }
        .encode_to_vec(),
        ("DirectoryService", "GetRole" | "DeleteRole") => v1::GetRoleRequest {
            tenant,
            name: "reader".to_owned(),
        }
        .encode_to_vec(),
        ("DirectoryService", "PutProfile") => v1::PutProfileRequest {
            profile: Some(v1::Profile {
                display_name: "Other robots".to_owned(),
                ..robots()
            }),
            ..Default::default()
        }
        .encode_to_vec(),
        ("DirectoryService", "GetProfile" | "DeleteProfile") => v1::GetProfileRequest {
            tenant,
            name: "keys".to_owned(),
        }
        .encode_to_vec(),
        ("DirectoryService", "PutBinding") => v1::PutBindingRequest {
            principal: "dns:portal.example".to_owned(),
            role: "verifier".to_owned(),
            tenant,
            ..Default::default()
        }
        .encode_to_vec(),
        ("DirectoryService", "GetBinding" | "DeleteBinding") => v1::GetBindingRequest {
            principal: "credd:root".to_owned(),
            role: "root".to_owned(),
            tenant: "*".to_owned(),
        }
        .encode_to_vec(),
        ("DirectoryService", "ListBindings") => v1::ListBindingsRequest {
            tenant,
            ..Default::default()
        }
        .encode_to_vec(),
        ("DirectoryService", "ListTenants") => v1::ListTenantsRequest {
            page_size: 1,
            ..Default::default()
        }
        .encode_to_vec(),
        ("DirectoryService", "ListOwners" | "ListRoles" | "ListProfiles") => {
            v1::ListOwnersRequest {
                tenant,
                ..Default::default()
            }
            .encode_to_vec()
        }
        ("AuditService", "ListEvents") => v1::ListEventsRequest {
            page_size: 1,
            ..Default::default()
        }
        .encode_to_vec(),
        ("AuditService", "VerifyChain") => v1::VerifyChainRequest {
            expected: vec![v1::AuditHead {
                sequence: 1 << 40,
                hash: "0".repeat(64),
                ..Default::default()
            }],
        }
        .encode_to_vec(),
        ("AuditService", "EraseEvents") => v1::EraseEventsRequest {
            named: Some(v1::erase_events_request::Named::Principal(
                "credd:nobody".to_owned(),
            )),
            reason,
            ..Default::default()
        }
        .encode_to_vec(),
        // It has no fields: one that nobody knows.
        ("OperationsService", "GetStatus") => field(15, b"unknown"),
        ("OperationsService", "Backup") => v1::BackupRequest { reason }.encode_to_vec(),
        ("OperationsService", "RotatePepper" | "RotateSealingKey") => v1::RotatePepperRequest {
            version: 1,
            reason,
            ..Default::default()
        }
        .encode_to_vec(),
        ("OperationsService", "RetirePepper" | "RetireSealingKey") => v1::RetirePepperRequest {
            version: 7,
            reason,
            ..Default::default()
        }
        .encode_to_vec(),
        ("VerificationService", "Verify") => verify_token_request(token).encode_to_vec(),
        ("VerificationService", "VerifyStream") => v1::VerifyStreamRequest {
            correlation: 1,
            request: Some(verify_token_request(token)),
        }
        .encode_to_vec(),
        ("VerificationService", "Watch") => v1::WatchRequest {
            tenants: vec![tenant],
            ..Default::default()
        }
        .encode_to_vec(),
        _ => panic!("{rpc} stands in no row"),
    }
}

/// A field of a message as it is on the wire (Protocol Buffers encoding, "Length
/// delimited records").
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2, u8::try_from(content.len()).unwrap()];
    bytes.extend(content);
    bytes
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "a table")]
async fn a_message_that_cannot_be_read_is_the_callers_fault() {
    const NOT_UTF8: [u8; 2] = [b'x', 0xff];

    let unchanged = Unchanged::start().await;
    let presented = field(1, &field(1, &NOT_UTF8));
    // Each text of each kind of place: alone, in a list, in a map, within another
    // message. That of a oneof goes by the name of the oneof.
    let texts: Vec<(&str, Vec<u8>, &str)> = vec![
        ("CredentialService/Issue", field(1, &NOT_UTF8), "tenant"),
        ("CredentialService/Issue", field(4, &NOT_UTF8), "label"),
        ("CredentialService/Issue", field(6, &NOT_UTF8), "roles"),
        (
            "CredentialService/Issue",
            field(7, &field(1, &NOT_UTF8)),
            "attributes",
        ),
        ("CredentialService/Issue", field(12, &NOT_UTF8), "expiry"),
        (
            "CredentialService/Get",
            field(1, &NOT_UTF8),
            "credential_id",
        ),
        ("CredentialService/List", field(4, &NOT_UTF8), "page_token"),
        (
            "CredentialService/List",
            field(1, &field(6, &NOT_UTF8)),
            "filter.label_prefix",
        ),
        ("CredentialService/Update", field(3, &NOT_UTF8), "label"),
        (
            "CredentialService/Update",
            field(2, &field(1, &NOT_UTF8)),
            "update_mask.paths",
        ),
        (
            "CredentialService/Rotate",
            field(4, &NOT_UTF8),
            "request_id",
        ),
        ("CredentialService/Reveal", field(2, &NOT_UTF8), "reason"),
        ("CredentialService/Lock", field(1, &NOT_UTF8), "target"),
        ("CredentialService/Lock", field(3, &NOT_UTF8), "reason"),
        ("CredentialService/Unlock", field(2, &NOT_UTF8), "reason"),
        ("CredentialService/Revoke", field(3, &NOT_UTF8), "reason"),
        (
            "CredentialService/ReportLeak",
            field(1, &NOT_UTF8),
            "secrets",
        ),
        (
            "CredentialService/ImportCredentials",
            field(2, &field(15, &NOT_UTF8)),
            "credentials.secret",
        ),
        (
            "DirectoryService/PutTenant",
            field(2, &NOT_UTF8),
            "display_name",
        ),
        ("DirectoryService/PutOwner", field(5, &NOT_UTF8), "groups"),
        (
            "DirectoryService/SetDefaultSource",
            field(3, &NOT_UTF8),
            "source",
        ),
        (
            "DirectoryService/PutRole",
            field(4, &NOT_UTF8),
            "permissions",
        ),
        (
            "DirectoryService/PutProfile",
            field(1, &field(5, &field(1, &NOT_UTF8))),
            "profile.headers.name",
        ),
        ("VerificationService/Verify", field(2, &NOT_UTF8), "tenant"),
        (
            "VerificationService/Verify",
            field(5, &NOT_UTF8),
            "permissions",
        ),
        ("VerificationService/Watch", field(3, &NOT_UTF8), "tenants"),
    ];
    let channel = unchanged.channel.clone();
    for (rpc, message, named) in texts {
        // Behind what alone would be carried out.
        let mut bytes = good_request(rpc, &unchanged);
        bytes.extend(message);
        let call = raw::call(channel.clone(), rpc, unchanged.as_root(bytes));
        unchanged
            .refuses(&format!("{rpc}: {named} is not UTF-8"), &[named], call)
            .await;
    }
    // A member of a oneof goes by the name of the oneof.
    for (rpc, message, named) in [
        (
            "VerificationService/Verify",
            presented.clone(),
            "presented.credential",
        ),
        (
            "VerificationService/VerifyStream",
            field(2, &presented),
            "request.presented.credential",
        ),
    ] {
        let call = raw::call(channel.clone(), rpc, unchanged.as_root(message));
        unchanged
            .refuses(&format!("{rpc}: {named} is not UTF-8"), &[named], call)
            .await;
    }
    for rpc in &rpcs() {
        let whole = good_request(rpc, &unchanged);
        let garbage: [(&str, &[u8]); 4] = [
            (
                "bytes of another protocol",
                b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
            ),
            ("a wire type that is none", b"\x0f"),
            ("a group that never ends", b"\x7b"),
            ("half a message", &whole[..whole.len() - 1]),
        ];
        for (what, garbage) in garbage {
            let bytes = Bytes::copy_from_slice(garbage);
            let call = raw::call(channel.clone(), rpc, unchanged.as_root(bytes));
            let what = format!("{rpc}: {what}");
            let status = soon(&what, call).await.expect_err(&what);
            assert_eq!(status.code(), Code::InvalidArgument, "{what}: {status}");
            assert_eq!(reason_of(&status), "INVALID_FIELDS");
            assert!(!fields_of(&status).is_empty());
        }
    }
    unchanged.assert_unchanged("all of it").await;
    unchanged.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_holds_no_whole_message_is_the_callers_fault() {
    let unchanged = Unchanged::start().await;
    let headers = unchanged.as_root(Bytes::new()).metadata().clone();
    // A flag, a length in four bytes, and as many more (the gRPC protocol over HTTP/2,
    // "Length-Prefixed-Message").
    for (what, body) in [
        ("no message", &b""[..]),
        ("a part of a length", b"\0\0\0"),
        ("a part of a message", b"\0\0\0\0\x09x"),
        ("a message that says that it is compressed", b"\x01\0\0\0\0"),
        ("a flag that is none", b"\x07\0\0\0\0"),
    ] {
        for rpc in &rpcs() {
            let is_stream = rpc.ends_with("/VerifyStream");
            if is_stream && body.is_empty() {
                // Nothing is asked.
                continue;
            }
            let mut request = http::Request::post(format!("/credd.v1.{rpc}"))
                .version(http::Version::HTTP_2)
                .header("te", "trailers")
                .header("content-type", "application/grpc")
                .body(Body::new(Full::new(Bytes::from_static(body))))
                .unwrap();
            request.headers_mut().extend(headers.clone().into_headers());
            let mut channel = unchanged.channel.clone();
            let answer = channel.ready().await.unwrap().call(request);
            let answer = soon(what, answer).await.unwrap();
            let (head, body) = answer.into_parts();
            let mut status = Status::from_header_map(&head.headers);
            if status.is_none() {
                let body = soon(what, body.collect()).await.unwrap();
                status = Status::from_header_map(body.trailers().unwrap());
            }
            let status = status.unwrap();
            assert_eq!(
                status.code(),
                Code::InvalidArgument,
                "{rpc}: {what}: {status}"
            );
            assert_eq!(reason_of(&status), "INVALID_FIELDS", "{rpc}: {what}");
            let named = BTreeSet::from(["request".to_owned()]);
            assert_eq!(fields_of(&status), named, "{rpc}: {what}");
        }
    }
    unchanged.assert_unchanged("all of it").await;
    unchanged.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_5_mib_is_too_large() {
    let unchanged = Unchanged::start().await;
    let channel = unchanged.channel.clone();
    for rpc in &rpcs() {
        let mut bytes = good_request(rpc, &unchanged);
        // An unknown field of 5 MiB.
        bytes.extend([15 << 3 | 2, 0x80, 0x80, 0xc0, 0x02]);
        bytes.extend(vec![0; 5 << 20]);
        let call = raw::call(channel.clone(), rpc, unchanged.as_root(bytes));
        let status = soon(rpc, call).await.expect_err(rpc);
        assert_eq!(status.code(), Code::ResourceExhausted, "{rpc}: {status}");
        assert_eq!(reason_of(&status), "MESSAGE_TOO_LARGE", "{rpc}");
        assert_eq!(
            fields_of(&status),
            BTreeSet::from(["request".to_owned()]),
            "{rpc}"
        );
    }
    unchanged.assert_unchanged("all of it").await;
    unchanged.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_that_is_not_text_is_named() {
    let unchanged = Unchanged::start().await;
    let channel = unchanged.channel.clone();
    for rpc in &rpcs() {
        for value in [&b"caf\xe9"[..], "café".as_bytes(), b"\xff\xfe", b"a\tb"] {
            let message = good_request(rpc, &unchanged);
            let mut request = unchanged.as_root(message);
            let mut headers = request.metadata().clone().into_headers();
            headers.insert("x-request-id", HeaderValue::from_bytes(value).unwrap());
            *request.metadata_mut() = MetadataMap::from_headers(headers);
            let call = raw::call(channel.clone(), rpc, request);
            let what = format!("{rpc} with {value:?} as metadata");
            unchanged
                .refuses(&what, &["metadata.x-request-id"], call)
                .await;
        }
    }
    // A caller's token that is not text is no caller's token.
    let mut headers = HeaderMap::new();
    let bearer = HeaderValue::from_bytes(b"Bearer \xff").unwrap();
    headers.insert(http::header::AUTHORIZATION, bearer);
    let mut request = Request::new(Bytes::new());
    *request.metadata_mut() = MetadataMap::from_headers(headers);
    let call = raw::call(channel.clone(), "CredentialService/Issue", request);
    unchanged
        .refuses(
            "a bearer that is no text",
            &["metadata.authorization"],
            call,
        )
        .await;

    // Binary metadata may be any bytes.
    let message = good_request("VerificationService/Verify", &unchanged);
    let mut request = unchanged.as_root(message);
    let bytes = tonic::metadata::MetadataValue::from_bytes(b"\xff\xfe");
    request.metadata_mut().insert_bin("x-trace-bin", bytes);
    let answer = raw::call(channel, "VerificationService/Verify", request)
        .await
        .unwrap();
    let answer = v1::VerifyResponse::decode(answer).unwrap();
    assert_eq!(answer.verdict(), v1::Verdict::Active);
    unchanged.end().await;
}
