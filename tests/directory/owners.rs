//! Owners as callers: what is theirs, and nothing else.

use credd::proto::v1;
use prost::Message as _;
use tonic::{Code, Status};

use crate::calls::{
    self, Held, issue_caller, issue_request, jo, put_owner, reason, refused, reported, rotate,
    rotate_request,
};
use crate::support::{Client, Server};

/// A server with an owner, and that owner as a caller.
async fn with_owner() -> (Server, Client) {
    let server = Server::start().await;
    let owner = v1::PutOwnerRequest {
        groups: vec!["red".to_owned(), "blue".to_owned()],
        ..jo()
    };
    put_owner(&server.admin, owner).await;
    let login = issue_caller(&server.admin, "jo-login", &[]).await;
    let owner = server.client(&login).await;
    (server, owner)
}

fn filter(tenant: &str, owner: &str) -> v1::CredentialFilter {
    v1::CredentialFilter {
        tenant: tenant.to_owned(),
        owner: owner.to_owned(),
        ..Default::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_manages_their_own_credentials() {
    let (server, owner) = with_owner().await;
    let held = calls::issue(&owner, "acme", "jo", "tenable-cs").await;
    let credential = owner.get(&held.id).await.unwrap();
    assert_eq!(credential.created_by, "credd:jo-login");
    let others = calls::issue(&server.admin, "acme", "ann", "tenable-cs").await;
    let listed = v1::ListRequest {
        filter: Some(filter("acme", "jo")),
        ..Default::default()
    };
    let listed = owner.list(listed).await.unwrap().credentials;
    assert_eq!(listed, [credential]);

    let update = v1::UpdateRequest {
        credential_id: held.id.clone(),
        label: "renamed".to_owned(),
        ..Default::default()
    };
    let mut credentials = owner.credentials.clone();
    credentials.update(update).await.unwrap();
    let reveal = v1::RevealRequest {
        credential_id: held.id.clone(),
        ..Default::default()
    };
    let shown = credentials.reveal(reveal).await.unwrap().into_inner();
    let shown = Held::of(shown.credential.as_ref(), shown.secret);
    assert_eq!(shown.secret(), held.secret());
    let next = calls::rotated(&owner, &held.id, 0).await;
    assert_eq!(
        reported(&owner, &[next.secret()]).await,
        [v1::LeakOutcome::Locked]
    );
    calls::rotated(&owner, &held.id, 0).await;
    owner.lock(&held.id).await.unwrap();
    owner.revoke(&held.id).await.unwrap();
    let lock = v1::LockRequest {
        target: Some(v1::lock_request::Target::Filter(filter("acme", "jo"))),
        ..Default::default()
    };
    calls::issue(&owner, "acme", "jo", "api-token").await;
    let locked = credentials.lock(lock).await.unwrap().into_inner();
    assert_eq!(locked.impact.unwrap().changed, 1);
    let state = server.admin.get(&others.id).await.unwrap().state();
    assert_eq!(state, v1::CredentialState::Active);

    let get = v1::GetOwnerRequest {
        tenant: "acme".to_owned(),
        name: "jo".to_owned(),
    };
    let mut directory = owner.directory.clone();
    directory.get_owner(get).await.unwrap();
    let choose = v1::SetDefaultSourceRequest {
        tenant: "acme".to_owned(),
        name: "jo".to_owned(),
        source: "blue".to_owned(),
        ..Default::default()
    };
    let chosen = directory.set_default_source(choose).await.unwrap();
    assert_eq!(chosen.into_inner().owner.unwrap().default_source, "blue");
    drop((owner, credentials, directory));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_may_do_nothing_that_is_for_administrators() {
    let (server, owner) = with_owner().await;
    let held = calls::issue(&owner, "acme", "jo", "api-token").await;
    let put = v1::PutOwnerRequest {
        roles: vec!["full-access".to_owned()],
        ..jo()
    };
    put_owner(&server.admin, put.clone()).await;
    let trend = v1::IssueRequest {
        roles: vec!["auditor".to_owned()],
        language: "de".to_owned(),
        time_zone: "Europe/Berlin".to_owned(),
        ..issue_request("acme", "jo", "trend-micro")
    };
    let put = v1::PutOwnerRequest {
        roles: vec!["auditor".to_owned()],
        ..put
    };
    put_owner(&server.admin, put.clone()).await;
    let administered = server.admin.issue(trend.clone()).await.unwrap();
    let id = administered.credential.unwrap().id;
    let mut directory = owner.directory.clone();
    let role = v1::PutRoleRequest {
        tenant: "acme".to_owned(),
        name: "mine".to_owned(),
        permissions: vec!["feeds:*".to_owned()],
        ..Default::default()
    };
    let disable = v1::DisableOwnerRequest {
        tenant: "acme".to_owned(),
        name: "jo".to_owned(),
        ..Default::default()
    };
    let update = v1::UpdateRequest {
        credential_id: id.clone(),
        label: "renamed".to_owned(),
        ..Default::default()
    };
    let brought = calls::imported("api-token", "", "a-secret-from-elsewhere");
    let refusals = [
        refused(owner.issue(trend).await),
        refused(rotate(&owner, rotate_request(&id, 0)).await),
        refused(owner.credentials.clone().update(update).await),
        refused(owner.unlock(&held.id).await),
        refused(calls::import(&owner, "acme", brought).await),
        refused(owner.list(v1::ListRequest::default()).await),
        refused(owner.list(crate::support::list_request("acme")).await),
        refused(owner.verify_token(&held.secret()).await),
        refused(owner.watch(v1::WatchRequest::default()).await),
        refused(directory.put_owner(put).await),
        refused(directory.put_role(role).await),
        refused(directory.disable_owner(disable).await),
        refused(
            directory
                .list_tenants(v1::ListTenantsRequest::default())
                .await,
        ),
        refused(
            directory
                .list_profiles(v1::ListProfilesRequest::default())
                .await,
        ),
    ];
    for (at, status) in refusals.iter().enumerate() {
        assert_eq!(status.code(), Code::PermissionDenied, "{at}");
        assert_eq!(reason(status), "PERMISSION_MISSING");
    }
    drop((owner, directory));
    server.stop().await;
}

/// All of a refusal, with another id in the place of this one.
fn bytes(status: &Status, id: &str, other: &str) -> (Code, String, String) {
    let shown = String::from_utf8_lossy(status.details()).into_owned();
    (
        status.code(),
        status.message().replace(id, other),
        shown.replace(id, other),
    )
}

async fn refusals(owner: &Client, id: &str) -> Vec<Status> {
    let mut credentials = owner.credentials.clone();
    let update = v1::UpdateRequest {
        credential_id: id.to_owned(),
        label: "renamed".to_owned(),
        ..Default::default()
    };
    let expecting = v1::RotateRequest {
        request_id: calls::request_id(),
        ..rotate_request(id, 3600)
    };
    let reveal = v1::RevealRequest {
        credential_id: id.to_owned(),
        ..Default::default()
    };
    let dry_lock = v1::LockRequest {
        dry_run: true,
        ..crate::support::lock_request(id)
    };
    vec![
        refused(owner.get(id).await),
        refused(credentials.update(update).await),
        refused(rotate(owner, rotate_request(id, 0)).await),
        refused(rotate(owner, expecting).await),
        refused(credentials.reveal(reveal).await),
        refused(owner.lock(id).await),
        refused(credentials.lock(dry_lock).await),
        refused(owner.revoke(id).await),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_anothers_is_byte_for_byte_what_does_not_exist() {
    let (server, owner) = with_owner().await;
    let admin = &server.admin;
    let none = "00000000-0000-7000-8000-000000000000";
    let missing = refusals(&owner, none).await;
    for status in &missing {
        assert_eq!(status.code(), Code::NotFound);
    }
    let mut others = Vec::new();
    for (tenant, name) in [("acme", "ann"), ("other", "jo"), ("other", "ann")] {
        others.push(calls::issue(admin, tenant, name, "misp").await);
        others.push(calls::issue(admin, tenant, name, "api-token").await);
        others.push(calls::issue(admin, tenant, name, "api-token").await);
        admin.revoke(&others.last().unwrap().id).await.unwrap();
    }
    let own_login = crate::calls::everything(admin, "credd").await;
    let ids = others.iter().map(|held| held.id.clone());
    let ids = ids.chain(own_login.into_iter().map(|credential| credential.id));
    for id in ids {
        for (missing, refusal) in missing.iter().zip(refusals(&owner, &id).await) {
            assert_eq!(bytes(&refusal, &id, none), bytes(missing, none, none));
        }
    }
    // Owners and tenants, too.
    let missing = of_owner(&owner, "nowhere", "nobody").await;
    for (tenant, name) in [
        ("acme", "ann"),
        ("other", "jo"),
        ("acme", "nobody"),
        ("credd", "admin"),
    ] {
        for (missing, refusal) in missing.iter().zip(of_owner(&owner, tenant, name).await) {
            assert_eq!(bytes(&refusal, "", ""), bytes(missing, "", ""));
        }
    }
    // What is reported is nobody's.
    let secrets: Vec<_> = others.iter().map(Held::secret).collect();
    let request = v1::ReportLeakRequest {
        secrets,
        ..Default::default()
    };
    for result in calls::report(&owner, request).await.unwrap().results {
        let nothing = v1::LeakResult {
            outcome: v1::LeakOutcome::NotOurs.into(),
            credential_id: String::new(),
            ..Default::default()
        };
        assert_eq!(result.encode_to_vec(), nothing.encode_to_vec());
    }
    drop(owner);
    server.stop().await;
}

/// What is asked about an owner, or for one.
async fn of_owner(caller: &Client, tenant: &str, name: &str) -> Vec<Status> {
    let get = v1::GetOwnerRequest {
        tenant: tenant.to_owned(),
        name: name.to_owned(),
    };
    let choose = v1::SetDefaultSourceRequest {
        tenant: tenant.to_owned(),
        name: name.to_owned(),
        source: "red".to_owned(),
        ..Default::default()
    };
    let list = v1::ListRequest {
        filter: Some(filter(tenant, name)),
        ..Default::default()
    };
    let lock = v1::LockRequest {
        target: Some(v1::lock_request::Target::Filter(filter(tenant, name))),
        ..Default::default()
    };
    let mut directory = caller.directory.clone();
    vec![
        refused(directory.get_owner(get).await),
        refused(directory.set_default_source(choose).await),
        refused(caller.issue(issue_request(tenant, name, "api-token")).await),
        refused(
            caller
                .issue(issue_request(tenant, name, "no-profile"))
                .await,
        ),
        refused(caller.list(list).await),
        refused(caller.credentials.clone().lock(lock).await),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_no_owner_any_more_or_a_disabled_one_may_do_nothing() {
    let (server, owner) = with_owner().await;
    let mut directory = server.admin.directory.clone();
    let held = calls::issue(&owner, "acme", "jo", "api-token").await;
    let disable = v1::DisableOwnerRequest {
        tenant: "acme".to_owned(),
        name: "jo".to_owned(),
        ..Default::default()
    };
    directory.disable_owner(disable).await.unwrap();
    for status in refusals(&owner, &held.id).await {
        assert_eq!(status.code(), Code::NotFound);
    }
    let enable = v1::EnableOwnerRequest {
        tenant: "acme".to_owned(),
        name: "jo".to_owned(),
        ..Default::default()
    };
    directory.enable_owner(enable).await.unwrap();
    owner.get(&held.id).await.unwrap();
    let tenant = v1::DisableTenantRequest {
        name: "acme".to_owned(),
        ..Default::default()
    };
    directory.disable_tenant(tenant).await.unwrap();
    assert_eq!(refused(owner.get(&held.id).await).code(), Code::NotFound);
    let tenant = v1::EnableTenantRequest {
        name: "acme".to_owned(),
        ..Default::default()
    };
    directory.enable_tenant(tenant).await.unwrap();
    owner.get(&held.id).await.unwrap();

    // Nobody else of the tenant has the same principal.
    let thief = v1::PutOwnerRequest {
        name: "ann".to_owned(),
        ..jo()
    };
    let status = refused(directory.put_owner(thief.clone()).await);
    assert_eq!(reason(&status), "PRINCIPAL_TAKEN");
    // Names are exact.
    let mut like = thief.clone();
    like.principals = vec!["credd:jo-logi".to_owned(), "credd:JO-LOGIN".to_owned()];
    directory.put_owner(like).await.unwrap();
    let of_ann = calls::issue(&server.admin, "acme", "ann", "api-token").await;
    assert_eq!(refused(owner.get(&of_ann.id).await).code(), Code::NotFound);
    // It goes to another.
    let gone = v1::PutOwnerRequest {
        principals: Vec::new(),
        ..jo()
    };
    directory.put_owner(gone).await.unwrap();
    let status = refused(owner.get(&held.id).await);
    assert_eq!(status.code(), Code::PermissionDenied);
    directory.put_owner(thief).await.unwrap();
    assert_eq!(refused(owner.get(&held.id).await).code(), Code::NotFound);
    owner.get(&of_ann.id).await.unwrap();
    drop((owner, directory));
    server.stop().await;
}
