//! Uses that were denied although the secret was the right one, and secrets that were
//! retired.

use credd::proto::v1::{self, AuditFilter, Verdict};

use crate::calls::{rotate, rotate_request};
use crate::support::metrics::{free_address, scrape};
use crate::support::{Server, config, token_of, token_request, until, verify_token_request};
use crate::{events, events_once, of_rpc};

fn question(token: &str) -> v1::VerifyRequest {
    v1::VerifyRequest {
        client_address: "192.0.2.7".to_owned(),
        request_id: "request 9".to_owned(),
        ..verify_token_request(token)
    }
}

fn uses() -> AuditFilter {
    of_rpc("VerificationService/Verify")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_secret_that_is_denied_is_told_of_with_its_client() {
    let server = Server::start().await;
    let admin = &server.admin;
    let verdict = async |token: &str| {
        let mut verification = admin.verification.clone();
        let answer = verification.verify(question(token)).await.unwrap();
        answer.into_inner().verdict()
    };
    let issue = async |owner: &str, tenant: &str| {
        let request = v1::IssueRequest {
            owner: owner.to_owned(),
            ..token_request(tenant)
        };
        let issued = admin.issue(request).await.unwrap();
        (issued.credential.unwrap().id, token_of(issued.secret))
    };
    let (locked, locked_token) = issue("ann", "acme").await;
    admin.lock(&locked).await.unwrap();
    let (revoked, revoked_token) = issue("ann", "acme").await;
    admin.revoke(&revoked).await.unwrap();
    let (of_owner, of_owner_token) = issue("bob", "acme").await;
    let disable = v1::DisableOwnerRequest {
        tenant: "acme".to_owned(),
        name: "bob".to_owned(),
        ..Default::default()
    };
    admin
        .directory
        .clone()
        .disable_owner(disable)
        .await
        .unwrap();
    let (of_tenant, of_tenant_token) = issue("ann", "globex").await;
    let disable = v1::DisableTenantRequest {
        name: "globex".to_owned(),
        ..Default::default()
    };
    admin
        .directory
        .clone()
        .disable_tenant(disable)
        .await
        .unwrap();
    let (active, active_token) = issue("ann", "acme").await;

    assert_eq!(verdict(&locked_token).await, Verdict::Locked);
    assert_eq!(verdict(&locked_token).await, Verdict::Locked);
    assert_eq!(verdict(&revoked_token).await, Verdict::Revoked);
    assert_eq!(verdict(&of_owner_token).await, Verdict::OwnerDisabled);
    assert_eq!(verdict(&of_tenant_token).await, Verdict::TenantDisabled);
    assert_eq!(verdict(&active_token).await, Verdict::Active);
    // Not the right secret.
    let wrong = locked_token.replace(&locked_token[40..50], "0000000000");
    assert_eq!(verdict(&wrong).await, Verdict::Invalid);

    let counted = |events: &[v1::AuditEvent]| events.iter().map(|e| e.count).sum::<u64>() == 5;
    let found = events_once(admin, uses(), counted).await;
    let expected = [
        (&locked, "LOCKED", "acme", "ann"),
        (&revoked, "REVOKED", "acme", "ann"),
        (&of_owner, "OWNER_DISABLED", "acme", "bob"),
        (&of_tenant, "TENANT_DISABLED", "globex", "ann"),
    ];
    for (id, outcome, tenant, owner) in expected {
        let of_it: Vec<_> = found
            .iter()
            .filter(|event| event.credential_ids == [id.as_str()])
            .collect();
        assert!(!of_it.is_empty(), "{outcome}");
        for event in of_it {
            assert_eq!(event.outcome, outcome);
            assert_eq!(
                (event.tenant.as_str(), event.owner.as_str()),
                (tenant, owner)
            );
            assert_eq!(event.client_address, "192.0.2.7");
            assert_eq!(event.client_request_id, "request 9");
            assert_eq!(event.principal, "credd:admin");
        }
    }
    assert!(
        !found
            .iter()
            .any(|event| event.credential_ids == [active.as_str()])
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retired_secret_trips_the_wire_and_a_wrong_one_does_not() {
    let directory = tempfile::tempdir().unwrap();
    let address = free_address();
    let mut config = config(directory.path());
    config.server.metrics_listen = Some(address);
    let server = Server::start_with(directory, config).await;
    let admin = &server.admin;
    let (id, first) = admin.issue_token("acme").await;
    let mut tokens = vec![first];
    // The last four are remembered.
    for _ in 0..5 {
        let rotated = rotate(admin, rotate_request(&id, 0)).await.unwrap();
        tokens.push(token_of(rotated.secret));
    }
    // An overlap that runs, and one that ended by another rotation.
    let overlapping = v1::RotateRequest {
        ..rotate_request(&id, 3600)
    };
    let rotated = rotate(admin, overlapping).await.unwrap();
    let current = token_of(rotated.secret);
    let (other, _) = admin.issue_token("acme").await;
    rotate(admin, rotate_request(&other, 0)).await.unwrap();

    let verdict = async |token: &str| admin.verdict(token).await;
    assert_eq!(verdict(&current).await, Verdict::Active);
    assert_eq!(verdict(&tokens[5]).await, Verdict::Active, "it overlaps");
    for token in &tokens[..5] {
        assert_eq!(verdict(token).await, Verdict::Invalid);
    }
    // Of a retired number, but made up.
    let wrong = tokens[4].replace(&tokens[4][40..50], "0000000000");
    assert_eq!(verdict(&wrong).await, Verdict::Invalid);

    // The first of them was forgotten: four of five.
    let filter = AuditFilter {
        credential_id: id.clone(),
        ..uses()
    };
    let counted = |events: &[v1::AuditEvent]| events.iter().map(|e| e.count).sum::<u64>() == 4;
    let found = events_once(admin, filter.clone(), counted).await;
    for event in &found {
        assert_eq!(event.outcome, "RETIRED_SECRET");
        assert_eq!(
            (event.tenant.as_str(), event.owner.as_str()),
            ("acme", "jo")
        );
    }
    until("the count", async || {
        let text = scrape(address).await;
        text.lines()
            .any(|line| line == "credd_retired_secret_uses_total 4")
    })
    .await;
    let text = scrape(address).await;
    assert!(text.contains("credd_audit_dropped_total 0"), "{text}");
    let head = crate::verify(admin, &[]).await.head.unwrap().sequence;
    assert!(text.contains("credd_audit_head_sequence "), "{text}");
    assert!(head > 0);
    assert_eq!(events(admin, filter).await.len(), found.len());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_of_the_client_is_bounded() {
    let server = Server::start().await;
    let mut verification = server.admin.verification.clone();
    for (address, request_id, field) in [
        ("x".repeat(65), String::new(), "client_address"),
        ("two words".to_owned(), String::new(), "client_address"),
        (String::new(), "x".repeat(129), "request_id"),
        (String::new(), "two\nlines".to_owned(), "request_id"),
        (String::new(), "é".to_owned(), "request_id"),
    ] {
        let request = v1::VerifyRequest {
            client_address: address,
            request_id,
            ..verify_token_request("x")
        };
        let status = verification.verify(request).await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::InvalidArgument);
        assert!(status.message().contains(field), "{status}");
    }
    server.stop().await;
}
