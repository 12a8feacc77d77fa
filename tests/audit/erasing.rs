//! Personal data can be erased, and the chain stays valid.

use credd::proto::v1::erase_events_request::Named;
use credd::proto::v1::{self, AuditEventState, AuditFilter};
use tonic::Code;

use crate::calls::issue_caller;
use crate::support::{Client, Server, token_request};
use crate::{events, sound, verify};

async fn erase(client: &Client, named: Named, dry_run: bool) -> v1::EraseEventsResponse {
    let request = v1::EraseEventsRequest {
        named: Some(named),
        reason: "asked to be forgotten".to_owned(),
        dry_run,
        ..Default::default()
    };
    let mut audit = client.audit.clone();
    audit.erase_events(request).await.unwrap().into_inner()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_names_a_person_is_erased_and_the_chain_stays_valid() {
    let server = Server::start().await;
    let admin = &server.admin;
    for owner in ["mia", "jo", "mia", "mia@acme.test"] {
        let request = v1::IssueRequest {
            owner: owner.to_owned(),
            ..token_request("acme")
        };
        let id = admin.issue(request).await.unwrap().credential.unwrap().id;
        let lock = v1::LockRequest {
            reason: format!("asked by {owner}."),
            ..crate::support::lock_request(&id)
        };
        admin.credentials.clone().lock(lock).await.unwrap();
    }
    let of_globex = v1::IssueRequest {
        owner: "mia".to_owned(),
        ..token_request("globex")
    };
    admin.issue(of_globex).await.unwrap();
    let before = sound(admin, &[]).await;
    let mia = || {
        Named::Owner(v1::AuditOwner {
            tenant: "acme".to_owned(),
            name: "mia".to_owned(),
        })
    };
    assert_eq!(erase(admin, mia(), true).await.erased, 4);
    let verified = verify(admin, std::slice::from_ref(&before)).await;
    assert_eq!(verified.erased, 0, "it was only asked");

    let erased = erase(admin, mia(), false).await;
    assert_eq!(erased.erased, 4);
    let verified = verify(admin, std::slice::from_ref(&before)).await;
    assert_eq!((verified.broken, verified.erased), (None, 4));
    let all = events(admin, AuditFilter::default()).await;
    let is_erased = |event: &&v1::AuditEvent| event.state() == AuditEventState::Erased;
    assert_eq!(all.iter().filter(is_erased).count(), 4);
    for event in all.iter().filter(is_erased) {
        assert_eq!((event.action.as_str(), event.tenant.as_str()), ("", ""));
        // When, and by which commit, is still known.
        assert!(event.recorded_at.is_some());
        let revision = event.revision.clone().unwrap().number;
        assert!(revision < erased.revision.clone().unwrap().number);
    }
    let named: Vec<_> = all.iter().filter(|event| event.owner == "mia").collect();
    assert_eq!(named.len(), 1);
    assert_eq!(named[0].tenant, "globex");
    assert!(all.iter().any(|event| event.owner == "mia@acme.test"));
    assert!(all.iter().all(|event| !event.reason.contains("by mia.")));
    // The erasure is told of, without the name.
    let told: Vec<_> = all
        .iter()
        .filter(|event| event.action.ends_with("/EraseEvents") && event.outcome == "OK")
        .filter(|event| !event.dry_run)
        .collect();
    assert_eq!(told.len(), 1);
    assert_eq!(
        (told[0].count, told[0].reason.as_str()),
        (4, "asked to be forgotten")
    );
    assert!(!format!("{:?}", told[0]).contains("mia"));

    assert_eq!(erase(admin, mia(), false).await.erased, 0);
    let directory = server.stop().await;
    let server = Server::start_in(directory).await;
    let verified = verify(&server.admin, &[before]).await;
    assert_eq!((verified.broken, verified.erased), (None, 4));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_is_erased_where_the_permission_reaches() {
    let server = Server::start().await;
    let admin = &server.admin;
    let token = issue_caller(admin, "portal", &["administrator"]).await;
    let portal = server.client(&token).await;
    for tenant in ["acme", "acme", "globex"] {
        portal.issue_token(tenant).await;
    }
    crate::calls::put_role(admin, "credd", "eraser", &["credd.audit.erase"]).await;
    let issued = admin
        .issue(v1::IssueRequest {
            owner: "eraser".to_owned(),
            ..token_request("credd")
        })
        .await
        .unwrap();
    admin.bind("credd:eraser", "eraser", "acme").await;
    let eraser = server
        .client(&crate::support::token_of(issued.secret))
        .await;
    let name = || Named::Principal("credd:portal".to_owned());
    assert_eq!(erase(&eraser, name(), false).await.erased, 2);
    let left = AuditFilter {
        principal: "credd:portal".to_owned(),
        ..Default::default()
    };
    let left = events(admin, left).await;
    assert!(left.iter().any(|event| event.tenant == "globex"));
    assert!(left.iter().all(|event| event.tenant != "acme"));
    // Of everything, by who may: also the binding and what else names it.
    assert!(erase(admin, name(), false).await.erased >= 2);
    let verified = verify(admin, &[]).await;
    assert_eq!(verified.broken, None);
    // No administrator may.
    let request = v1::EraseEventsRequest {
        named: Some(name()),
        ..Default::default()
    };
    let status = portal
        .audit
        .clone()
        .erase_events(request)
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_records_are_erased_by_several_commits() {
    let server = Server::start().await;
    let admin = &server.admin;
    let issues = (0..300).map(|_| admin.issue_token("acme"));
    for issue in issues {
        issue.await;
    }
    let jo = Named::Owner(v1::AuditOwner {
        tenant: "acme".to_owned(),
        name: "jo".to_owned(),
    });
    assert_eq!(erase(admin, jo, false).await.erased, 300);
    let verified = verify(admin, &[]).await;
    assert_eq!((verified.broken, verified.erased), (None, 300));
    let told = crate::events(admin, crate::of_rpc("AuditService/EraseEvents")).await;
    let counts: Vec<_> = told.iter().map(|event| event.count).collect();
    assert_eq!(counts, [64, 64, 64, 64, 44]);
    server.stop().await;
}
