//! What is referred to is not deleted, and what was deleted never comes back.

use std::time::Duration;

use credd::proto::v1;
use tonic::{Code, Status};

use crate::calls::{self, issue_request, put_owner, put_role, reason, refused};
use crate::clocked::{Clocked, Disk};
use crate::support::Client;
use crate::{own_profile, put_profile};

const START: i64 = 1_798_761_600_000;

async fn delete_tenant(client: &Client) -> Result<u64, Status> {
    let request = v1::DeleteTenantRequest {
        name: "acme".to_owned(),
        ..Default::default()
    };
    let deleted = client.directory.clone().delete_tenant(request).await?;
    Ok(calls::number(deleted.into_inner().revision))
}

async fn delete_owner(client: &Client, name: &str) -> Result<u64, Status> {
    let request = v1::DeleteOwnerRequest {
        tenant: "acme".to_owned(),
        name: name.to_owned(),
        ..Default::default()
    };
    let deleted = client.directory.clone().delete_owner(request).await?;
    Ok(calls::number(deleted.into_inner().revision))
}

async fn delete_role(client: &Client, name: &str) -> Result<u64, Status> {
    let request = v1::DeleteRoleRequest {
        tenant: "acme".to_owned(),
        name: name.to_owned(),
        ..Default::default()
    };
    let deleted = client.directory.clone().delete_role(request).await?;
    Ok(calls::number(deleted.into_inner().revision))
}

async fn delete_profile(client: &Client, tenant: &str) -> Result<u64, Status> {
    let request = v1::DeleteProfileRequest {
        tenant: tenant.to_owned(),
        name: "own".to_owned(),
        ..Default::default()
    };
    let deleted = client.directory.clone().delete_profile(request).await?;
    Ok(calls::number(deleted.into_inner().revision))
}

fn assert_in_use(answer: Result<u64, Status>, expected: &str) {
    let status = refused(answer);
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert_eq!(reason(&status), expected);
}

/// Removes all that is over.
async fn remove(server: &mut Clocked) {
    server.clock.advance(Duration::from_hours(31 * 24));
    server.sweep().await;
}

fn owner(name: &str, roles: &[&str]) -> v1::PutOwnerRequest {
    v1::PutOwnerRequest {
        tenant: "acme".to_owned(),
        name: name.to_owned(),
        roles: roles.iter().map(ToString::to_string).collect(),
        ..Default::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_stays_while_an_owner_a_credential_or_a_profile_names_it() {
    let mut server = Clocked::start(Disk::at(START)).await;
    let admin = server.admin.clone();
    for role in ["by-owner", "by-credential", "by-profile"] {
        put_role(&admin, "acme", role, &["feeds:read"]).await;
    }
    put_owner(&admin, owner("jo", &["by-owner"])).await;
    put_owner(&admin, owner("ann", &["by-credential"])).await;
    let request = v1::IssueRequest {
        roles: vec!["by-credential".to_owned()],
        ..issue_request("acme", "ann", "api-token")
    };
    let id = admin.issue(request).await.unwrap().credential.unwrap().id;
    put_owner(&admin, owner("ann", &[])).await;
    let profile = v1::Profile {
        roles: Some(v1::RoleRule {
            allowed: vec!["by-profile".to_owned()],
            ..Default::default()
        }),
        ..own_profile("acme", "own")
    };
    put_profile(&admin, profile).await;
    for role in ["by-owner", "by-credential", "by-profile"] {
        assert_in_use(delete_role(&admin, role).await, "ROLE_IN_USE");
    }
    put_owner(&admin, owner("jo", &[])).await;
    delete_role(&admin, "by-owner").await.unwrap();
    put_profile(&admin, own_profile("acme", "own")).await;
    delete_role(&admin, "by-profile").await.unwrap();
    admin.revoke(&id).await.unwrap();
    remove(&mut server).await;
    delete_role(&admin, "by-credential").await.unwrap();
    drop(admin);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_and_a_profile_stay_while_credentials_are_theirs() {
    let mut server = Clocked::start(Disk::at(START)).await;
    let admin = server.admin.clone();
    put_owner(&admin, owner("jo", &[])).await;
    put_profile(&admin, own_profile("", "own")).await;
    let held = calls::issue(&admin, "acme", "jo", "own").await;
    for revoke in [false, true] {
        if revoke {
            admin.revoke(&held.id).await.unwrap();
        }
        assert_in_use(delete_owner(&admin, "jo").await, "OWNER_IN_USE");
        assert_in_use(delete_profile(&admin, "").await, "PROFILE_IN_USE");
    }
    // Of an earlier version, too.
    let profile = v1::Profile {
        display_name: "Another name".to_owned(),
        ..own_profile("", "own")
    };
    put_profile(&admin, profile).await;
    assert_in_use(delete_profile(&admin, "").await, "PROFILE_IN_USE");
    remove(&mut server).await;
    delete_owner(&admin, "jo").await.unwrap();
    delete_profile(&admin, "").await.unwrap();
    drop(admin);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_stays_while_anything_is_its_own() {
    let mut server = Clocked::start(Disk::at(START)).await;
    let admin = server.admin.clone();
    let put = v1::PutTenantRequest {
        name: "acme".to_owned(),
        ..Default::default()
    };
    admin.directory.clone().put_tenant(put).await.unwrap();
    put_owner(&admin, owner("ann", &[])).await;
    assert_in_use(delete_tenant(&admin).await, "TENANT_IN_USE");
    delete_owner(&admin, "ann").await.unwrap();
    put_role(&admin, "acme", "reader", &["feeds:read"]).await;
    assert_in_use(delete_tenant(&admin).await, "TENANT_IN_USE");
    delete_role(&admin, "reader").await.unwrap();
    put_profile(&admin, own_profile("acme", "own")).await;
    assert_in_use(delete_tenant(&admin).await, "TENANT_IN_USE");
    delete_profile(&admin, "acme").await.unwrap();
    let held = calls::issue(&admin, "acme", "jo", "api-token").await;
    assert_in_use(delete_tenant(&admin).await, "TENANT_IN_USE");
    admin.revoke(&held.id).await.unwrap();
    assert_in_use(delete_tenant(&admin).await, "TENANT_IN_USE");
    remove(&mut server).await;
    let revision = delete_tenant(&admin).await.unwrap();
    assert_eq!(delete_tenant(&admin).await.unwrap(), revision);
    drop(admin);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_was_deleted_is_never_given_again() {
    let mut server = Clocked::start(Disk::at(START)).await;
    let admin = server.admin.clone();
    put_owner(&admin, owner("jo", &[])).await;
    put_role(&admin, "acme", "reader", &["feeds:read"]).await;
    put_profile(&admin, own_profile("acme", "own")).await;
    let deleted = [
        delete_owner(&admin, "jo").await.unwrap(),
        delete_role(&admin, "reader").await.unwrap(),
        delete_profile(&admin, "acme").await.unwrap(),
    ];
    drop(admin);
    for restart in [false, true] {
        if restart {
            server.clock.advance(Duration::from_hours(365 * 24));
            server.sweep().await;
            server = server.restart().await;
        }
        let admin = &server.admin;
        let again = [
            delete_owner(admin, "jo").await.unwrap(),
            delete_role(admin, "reader").await.unwrap(),
            delete_profile(admin, "acme").await.unwrap(),
        ];
        assert_eq!(again, deleted);
        let mut directory = admin.directory.clone();
        let status = refused(directory.put_owner(owner("jo", &[])).await);
        assert_eq!(reason(&status), "OWNER_DELETED");
        let issued = admin.issue(issue_request("acme", "jo", "api-token")).await;
        assert_eq!(reason(&refused(issued)), "OWNER_DELETED");
        let brought = calls::imported("api-token", "", "a-secret-from-elsewhere");
        let brought = calls::import(admin, "acme", brought).await;
        assert_eq!(reason(&refused(brought)), "OWNER_DELETED");
        let enable = v1::EnableOwnerRequest {
            tenant: "acme".to_owned(),
            name: "jo".to_owned(),
            ..Default::default()
        };
        let status = refused(directory.enable_owner(enable).await);
        assert_eq!(reason(&status), "OWNER_DELETED");
        let role = v1::PutRoleRequest {
            tenant: "acme".to_owned(),
            name: "reader".to_owned(),
            permissions: vec!["feeds:read".to_owned()],
            ..Default::default()
        };
        let status = refused(directory.put_role(role).await);
        assert_eq!(reason(&status), "ROLE_DELETED");
        let status = refused(directory.put_owner(owner("ann", &["reader"])).await);
        assert_eq!(calls::fields(&status), ["roles[0]"]);
        let profile = v1::PutProfileRequest {
            profile: Some(own_profile("acme", "own")),
            ..Default::default()
        };
        let status = refused(directory.put_profile(profile).await);
        assert_eq!(reason(&status), "PROFILE_DELETED");
        let issued = admin.issue(issue_request("acme", "ann", "own")).await;
        assert_eq!(calls::fields(&refused(issued)), ["profile"]);
    }
    // Deleted owners, roles and profiles are not what keeps a tenant.
    let put = v1::PutTenantRequest {
        name: "acme".to_owned(),
        ..Default::default()
    };
    let mut directory = server.admin.directory.clone();
    directory.put_tenant(put.clone()).await.unwrap();
    delete_tenant(&server.admin).await.unwrap();
    assert_eq!(
        reason(&refused(directory.put_tenant(put).await)),
        "TENANT_DELETED"
    );
    let issued = server
        .admin
        .issue(issue_request("acme", "ann", "api-token"))
        .await;
    assert_eq!(reason(&refused(issued)), "TENANT_DELETED");
    let status = refused(directory.put_owner(owner("ann", &[])).await);
    assert_eq!(reason(&status), "TENANT_DELETED");
    let get = v1::GetTenantRequest {
        name: "acme".to_owned(),
    };
    assert_eq!(
        reason(&refused(directory.get_tenant(get).await)),
        "TENANT_NOT_FOUND"
    );
    drop(directory);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_nobody_put_is_there_while_it_has_anything() {
    let server = crate::support::Server::start().await;
    let admin = &server.admin;
    let is_there = async || {
        let mut directory = admin.directory.clone();
        let listed = directory.list_tenants(v1::ListTenantsRequest::default());
        let listed = listed.await.unwrap().into_inner().tenants;
        let get = v1::GetTenantRequest {
            name: "acme".to_owned(),
        };
        let got = directory.get_tenant(get).await.is_ok();
        assert_eq!(listed.iter().any(|tenant| tenant.name == "acme"), got);
        got
    };
    assert!(!is_there().await);
    put_owner(admin, owner("jo", &[])).await;
    assert!(is_there().await);
    delete_owner(admin, "jo").await.unwrap();
    assert!(!is_there().await);
    put_role(admin, "acme", "reader", &["a:b"]).await;
    assert!(is_there().await);
    delete_role(admin, "reader").await.unwrap();
    assert!(!is_there().await);
    put_profile(admin, own_profile("acme", "own")).await;
    assert!(is_there().await);
    delete_profile(admin, "acme").await.unwrap();
    assert!(!is_there().await);
    server.stop().await;
}
