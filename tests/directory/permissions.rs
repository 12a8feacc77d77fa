//! What a credential permits follows its roles and its owner as they are now.

use credd::proto::v1;
use credd::proto::v1::Verdict::{Active, Forbidden};

use crate::calls::{
    self, Held, fields, issue_request, put_owner, put_role, reason, refused, verify,
};
use crate::support::{Client, Server};

fn jo(roles: &[&str], groups: &[&str]) -> v1::PutOwnerRequest {
    v1::PutOwnerRequest {
        tenant: "acme".to_owned(),
        name: "jo".to_owned(),
        roles: roles.iter().map(ToString::to_string).collect(),
        groups: groups.iter().map(ToString::to_string).collect(),
        ..Default::default()
    }
}

async fn issue(client: &Client, roles: &[&str]) -> Held {
    let request = v1::IssueRequest {
        roles: roles.iter().map(ToString::to_string).collect(),
        ..issue_request("acme", "jo", "api-token")
    };
    let issued = client.issue(request).await.unwrap();
    Held::of(issued.credential.as_ref(), issued.secret)
}

async fn permitted(client: &Client, held: &Held, permission: &str) -> v1::Verdict {
    let question = v1::VerifyRequest {
        permissions: vec![permission.to_owned()],
        ..held.question()
    };
    let answer = verify(client, question).await;
    assert!(answer.identity.is_some());
    answer.verdict()
}

async fn identity(client: &Client, held: &Held) -> v1::Identity {
    verify(client, held.question()).await.identity.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_verdict_knows_what_was_taken_or_given() {
    let server = Server::start().await;
    let admin = &server.admin;
    put_role(admin, "acme", "reader", &["feeds:read"]).await;
    put_role(admin, "acme", "writer", &["feeds:*"]).await;
    put_owner(admin, jo(&["reader", "writer"], &[])).await;
    let some = issue(admin, &["reader"]).await;
    let all = issue(admin, &[]).await;
    for (held, expected) in [(&some, Forbidden), (&all, Active)] {
        assert_eq!(permitted(admin, held, "feeds:read").await, Active);
        assert_eq!(permitted(admin, held, "feeds:write").await, expected);
        assert_eq!(permitted(admin, held, "users:read").await, Forbidden);
    }
    assert_eq!(identity(admin, &some).await.roles, ["reader"]);
    assert_eq!(identity(admin, &some).await.permissions, ["feeds:read"]);
    assert_eq!(identity(admin, &all).await.roles, ["reader", "writer"]);

    // A role's permissions change.
    put_role(admin, "acme", "reader", &["users:read"]).await;
    assert_eq!(permitted(admin, &some, "feeds:read").await, Forbidden);
    assert_eq!(permitted(admin, &some, "users:read").await, Active);
    // The owner loses a role, and gets it again.
    put_owner(admin, jo(&["writer"], &[])).await;
    assert_eq!(permitted(admin, &some, "users:read").await, Forbidden);
    assert!(identity(admin, &some).await.roles.is_empty());
    assert_eq!(permitted(admin, &all, "feeds:write").await, Active);
    put_owner(admin, jo(&["reader", "auditor"], &[])).await;
    assert_eq!(permitted(admin, &some, "users:read").await, Active);
    assert_eq!(permitted(admin, &all, "feeds:write").await, Forbidden);
    assert_eq!(permitted(admin, &all, "anything:read").await, Active);
    // A credential is given another role.
    let update = v1::UpdateRequest {
        credential_id: some.id.clone(),
        roles: vec!["auditor".to_owned()],
        ..Default::default()
    };
    admin.credentials.clone().update(update).await.unwrap();
    assert_eq!(permitted(admin, &some, "users:write").await, Forbidden);
    assert_eq!(permitted(admin, &some, "feeds:read").await, Active);
    // Each of several is needed.
    let question = v1::VerifyRequest {
        permissions: vec!["feeds:read".to_owned(), "feeds:write".to_owned()],
        ..some.question()
    };
    assert_eq!(verify(admin, question).await.verdict(), Forbidden);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_names_a_role_that_the_owner_does_not_have() {
    let server = Server::start().await;
    let admin = &server.admin;
    put_role(admin, "acme", "reader", &["feeds:read"]).await;
    put_role(admin, "other", "writer", &["feeds:write"]).await;
    put_owner(admin, jo(&["reader"], &[])).await;
    for role in ["auditor", "writer", "nothing"] {
        let request = v1::IssueRequest {
            roles: vec!["reader".to_owned(), role.to_owned()],
            ..issue_request("acme", "jo", "api-token")
        };
        let named = fields(&refused(admin.issue(request).await));
        assert_eq!(named.len(), 1);
        assert!(named[0].starts_with("roles["));
    }
    // One that never was put has no roles.
    let held = calls::issue(admin, "acme", "nobody", "api-token").await;
    assert_eq!(permitted(admin, &held, "feeds:read").await, Forbidden);
    // A permission on credd is no tenant's to give, and none to ask for.
    put_owner(admin, jo(&["full-access"], &[])).await;
    let held = issue(admin, &[]).await;
    assert_eq!(permitted(admin, &held, "anything:at-all").await, Active);
    let question = v1::VerifyRequest {
        permissions: vec!["credd.credentials:issue".to_owned()],
        ..held.question()
    };
    let status = refused(admin.verification.clone().verify(question).await);
    assert_eq!(fields(&status), ["permissions[0]"]);
    let stranger = server.client(&held.secret()).await;
    let status = refused(stranger.get(&held.id).await);
    assert_eq!(reason(&status), "CALLER_UNKNOWN");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_default_source_is_the_one_of_now() {
    let server = Server::start().await;
    let admin = &server.admin;
    put_owner(admin, jo(&[], &["red", "blue", "green"])).await;
    let held = issue(admin, &[]).await;
    let choose = |source: &str| {
        let request = v1::SetDefaultSourceRequest {
            tenant: "acme".to_owned(),
            name: "jo".to_owned(),
            source: source.to_owned(),
            ..Default::default()
        };
        let mut directory = admin.directory.clone();
        async move { directory.set_default_source(request).await }
    };
    let now = identity(admin, &held).await;
    assert_eq!(now.groups, ["red", "blue", "green"]);
    assert_eq!(now.default_source, "red");
    choose("green").await.unwrap();
    assert_eq!(identity(admin, &held).await.default_source, "green");
    assert_eq!(fields(&refused(choose("black").await)), ["source"]);
    // The groups change around it.
    put_owner(admin, jo(&[], &["blue", "green"])).await;
    assert_eq!(identity(admin, &held).await.default_source, "green");
    // Who leaves it has chosen none, also on coming back.
    put_owner(admin, jo(&[], &["blue"])).await;
    assert_eq!(identity(admin, &held).await.default_source, "blue");
    put_owner(admin, jo(&[], &["blue", "green"])).await;
    assert_eq!(identity(admin, &held).await.default_source, "blue");
    choose("green").await.unwrap();
    choose("").await.unwrap();
    assert_eq!(identity(admin, &held).await.default_source, "blue");
    put_owner(admin, jo(&[], &[])).await;
    assert_eq!(identity(admin, &held).await.default_source, "");
    server.stop().await;
}

#[tokio::test]
async fn a_watch_ends_when_its_caller_loses_the_permission() {
    let server = Server::start().await;
    let admin = &server.admin;
    calls::put_role(admin, "credd", "follower", &["credd.watch"]).await;
    let token = calls::issue_caller(admin, "follower", &["follower"]).await;
    let follower = server.client(&token).await;
    let mut watch = follower.watch(v1::WatchRequest::default()).await.unwrap();
    assert!(watch.message().await.unwrap().is_some());
    calls::put_role(admin, "credd", "follower", &["credd.verify"]).await;
    let ended = loop {
        match watch.message().await {
            Ok(Some(_)) => (),
            Ok(None) => panic!("it ended as if nothing were wrong"),
            Err(status) => break status,
        }
    };
    assert_eq!(ended.code(), tonic::Code::Unauthenticated);
}

#[tokio::test]
async fn nothing_is_revealed_of_an_owner_who_is_disabled() {
    let server = Server::start().await;
    let admin = &server.admin;
    let held = calls::issue(admin, "acme", "jo", "tenable-cs").await;
    calls::put_role(admin, "credd", "revealer", &["credd.credentials.reveal"]).await;
    let token = calls::issue_caller(admin, "revealer", &["revealer"]).await;
    let revealer = server.client(&token).await;
    let reveal = || {
        let request = v1::RevealRequest {
            credential_id: held.id.clone(),
            ..Default::default()
        };
        let mut credentials = revealer.credentials.clone();
        async move { credentials.reveal(request).await.map(|_| ()) }
    };
    reveal().await.unwrap();
    let disable = v1::DisableOwnerRequest {
        tenant: "acme".to_owned(),
        name: "jo".to_owned(),
        ..Default::default()
    };
    admin
        .directory
        .clone()
        .disable_owner(disable)
        .await
        .unwrap();
    let status = reveal().await.unwrap_err();
    assert_eq!(calls::reason(&status), "OWNER_DISABLED");
}
