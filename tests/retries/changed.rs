//! Another request with the same id.

use std::collections::BTreeMap;

use credd::proto::v1;
use credd::proto::v1::issue_request::Expiry;
use tonic::Code;

use crate::calls::{everything, reason, refused, request_id, rotate, rotate_request};
use crate::support::{Client, Server};
use crate::{calls, with_id};

/// The same request with one field after the other changed.
fn changed(request: &v1::IssueRequest) -> Vec<(&'static str, v1::IssueRequest)> {
    // Whoever adds a field must change it here.
    let v1::IssueRequest {
        tenant: _,
        owner: _,
        profile: _,
        label: _,
        description: _,
        roles: _,
        attributes: _,
        language: _,
        time_zone: _,
        expiry: _,
        request_id: _,
        reason: _,
        dry_run: _, // it is not carried out
        expected_revision: _,
        fence: _, // whether it is waited for changes nothing
    } = request;
    let day = prost_types::Duration {
        seconds: 86_400,
        nanos: 0,
    };
    let with = |change: fn(&mut v1::IssueRequest)| {
        let mut request = request.clone();
        change(&mut request);
        request
    };
    let mut all = vec![
        ("tenant", with(|r| r.tenant = "other".into())),
        ("owner", with(|r| r.owner = "ann".into())),
        ("profile", with(|r| r.profile = "basic".into())),
        ("label", with(|r| r.label = "else".into())),
        ("description", with(|r| r.description = "else".into())),
        ("roles", with(|r| r.roles = vec!["auditor".to_owned()])),
        (
            "attributes",
            with(|r| r.attributes = BTreeMap::from([("a".to_owned(), "b".to_owned())])),
        ),
        ("language", with(|r| r.language = "de-CH".into())),
        ("time_zone", with(|r| r.time_zone = "Europe/Berlin".into())),
        ("never", with(|r| r.expiry = Some(Expiry::Never(true)))),
        (
            "period",
            with(|r| r.expiry = Some(Expiry::Period("P1Y".to_owned()))),
        ),
        (
            "expires_on",
            with(|r| r.expiry = Some(Expiry::ExpiresOn("2099-01-01".to_owned()))),
        ),
        ("reason", with(|r| r.reason = "else".into())),
    ];
    let mut ttl = request.clone();
    ttl.expiry = Some(Expiry::Ttl(day));
    all.push(("ttl", ttl));
    let mut at = request.clone();
    at.expiry = Some(Expiry::ExpiresAt(prost_types::Timestamp {
        seconds: 4_000_000_000,
        nanos: 0,
    }));
    all.push(("expires_at", at));
    all
}

async fn assert_reused(admin: &Client, field: &str, request: v1::IssueRequest) {
    let status = refused(admin.issue(request).await);
    assert_eq!(status.code(), Code::FailedPrecondition, "{field}");
    assert_eq!(reason(&status), "REQUEST_ID_REUSED", "{field}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_request_with_the_same_id_is_refused_whatever_it_changes() {
    let server = Server::start().await;
    let admin = &server.admin;
    let owner = v1::PutOwnerRequest {
        roles: vec!["auditor".to_owned()],
        ..calls::jo()
    };
    calls::put_owner(admin, owner).await;
    let request = with_id("api-token");
    let first = admin.issue(request.clone()).await.unwrap();
    for (field, other) in changed(&request) {
        assert_reused(admin, field, other).await;
    }
    let mut other = request.clone();
    other.expected_revision = first.revision.clone();
    assert_reused(admin, "expected_revision", other).await;

    let again = admin.issue(request).await.unwrap();
    assert!(again == first);
    assert_eq!(everything(admin, "acme").await.len(), 1);
    assert_eq!(everything(admin, "other").await.len(), 0);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_rotation_with_the_same_id_is_refused_whatever_it_changes() {
    let server = Server::start().await;
    let admin = &server.admin;
    let held = calls::issue(admin, "acme", "jo", "api-token").await;
    let another = calls::issue(admin, "acme", "jo", "api-token").await;
    let request = v1::RotateRequest {
        request_id: request_id(),
        ..rotate_request(&held.id, 60)
    };
    let first = rotate(admin, request.clone()).await.unwrap();
    let others = [
        v1::RotateRequest {
            credential_id: another.id.clone(),
            ..request.clone()
        },
        v1::RotateRequest {
            overlap: None,
            ..request.clone()
        },
        v1::RotateRequest {
            end_overlap: true,
            ..request.clone()
        },
        v1::RotateRequest {
            reason: "else".to_owned(),
            ..request.clone()
        },
        v1::RotateRequest {
            expected_revision: first.revision.clone(),
            ..request.clone()
        },
    ];
    for other in others {
        let status = refused(rotate(admin, other).await);
        assert_eq!(reason(&status), "REQUEST_ID_REUSED");
    }
    // An issue is another request than a rotation.
    let issue = v1::IssueRequest {
        request_id: request.request_id.clone(),
        ..calls::issue_request("acme", "jo", "api-token")
    };
    assert_reused(admin, "RPC", issue).await;
    let again = rotate(admin, request).await.unwrap();
    assert!(again.secret == first.secret && again.revision == first.revision);
    let generation = admin.get(&another.id).await.unwrap().secrets[0].generation;
    assert_eq!(generation, 1);
    server.stop().await;
}
