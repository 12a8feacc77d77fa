//! Watch tells what changes in the directory, and a snapshot what is disabled.

use credd::proto::v1;
use credd::proto::v1::DirectoryChangeType::{Deleted, Disabled, Enabled, Put};
use credd::proto::v1::event::Subject;
use credd::proto::v1::watch_response::Message;

use crate::calls::{self, Watched, jo, put_owner, put_role};
use crate::support::{Client, Server, soon};
use crate::{own_profile, put_profile};

/// An event in a few words.
fn words(events: &[Subject]) -> String {
    let [event] = events else {
        panic!("{} events", events.len());
    };
    match event {
        Subject::Tenant(event) => format!(
            "tenant {} {:?} {}",
            event.tenant,
            event.r#type(),
            event.disabled
        ),
        Subject::Owner(event) => format!(
            "owner {}/{} {:?} {}",
            event.tenant,
            event.owner,
            event.r#type(),
            event.disabled
        ),
        Subject::Role(event) => {
            format!("role {}/{} {:?}", event.tenant, event.role, event.r#type())
        }
        Subject::Profile(event) => {
            let profile = event.profile.clone().unwrap();
            format!(
                "profile {}/{} {:?} {} {}",
                profile.tenant,
                profile.name,
                event.r#type(),
                profile.version,
                profile.headers[0].name
            )
        }
        Subject::Credential(event) => format!("credential {:?}", event.r#type()),
    }
}

/// Does one of everything in the directory.
async fn change_everything(admin: &Client, tenant: &str) {
    let mut directory = admin.directory.clone();
    let name = tenant.to_owned();
    let put = v1::PutTenantRequest {
        name: name.clone(),
        ..Default::default()
    };
    directory.put_tenant(put.clone()).await.unwrap();
    // What changes nothing is no event.
    directory.put_tenant(put).await.unwrap();
    put_owner(
        admin,
        v1::PutOwnerRequest {
            tenant: name.clone(),
            ..jo()
        },
    )
    .await;
    put_role(admin, tenant, "reader", &["feeds:read"]).await;
    put_profile(admin, own_profile(tenant, "own")).await;
    let mut again = own_profile(tenant, "own");
    again.headers[0].name = "X-Other-Key".into();
    put_profile(admin, again).await;
    let disable = v1::DisableOwnerRequest {
        tenant: name.clone(),
        name: "jo".to_owned(),
        ..Default::default()
    };
    directory.disable_owner(disable.clone()).await.unwrap();
    directory.disable_owner(disable).await.unwrap();
    let enable = v1::EnableOwnerRequest {
        tenant: name.clone(),
        name: "jo".to_owned(),
        ..Default::default()
    };
    directory.enable_owner(enable).await.unwrap();
    let disable = v1::DisableTenantRequest {
        name: name.clone(),
        ..Default::default()
    };
    directory.disable_tenant(disable).await.unwrap();
    let enable = v1::EnableTenantRequest {
        name: name.clone(),
        ..Default::default()
    };
    directory.enable_tenant(enable).await.unwrap();
    let profile = v1::DeleteProfileRequest {
        tenant: name.clone(),
        name: "own".to_owned(),
        ..Default::default()
    };
    directory.delete_profile(profile).await.unwrap();
    let role = v1::DeleteRoleRequest {
        tenant: name.clone(),
        name: "reader".to_owned(),
        ..Default::default()
    };
    directory.delete_role(role).await.unwrap();
    let owner = v1::DeleteOwnerRequest {
        tenant: name.clone(),
        name: "jo".to_owned(),
        ..Default::default()
    };
    directory.delete_owner(owner).await.unwrap();
    let tenant = v1::DeleteTenantRequest {
        name,
        ..Default::default()
    };
    directory.delete_tenant(tenant).await.unwrap();
}

fn expected(tenant: &str) -> Vec<String> {
    vec![
        format!("tenant {tenant} {Put:?} false"),
        format!("owner {tenant}/jo {Put:?} false"),
        format!("role {tenant}/reader {Put:?}"),
        format!("profile {tenant}/own {Put:?} 1 X-Own-Key"),
        format!("profile {tenant}/own {Put:?} 2 X-Other-Key"),
        format!("owner {tenant}/jo {Disabled:?} true"),
        format!("owner {tenant}/jo {Enabled:?} false"),
        format!("tenant {tenant} {Disabled:?} true"),
        format!("tenant {tenant} {Enabled:?} false"),
        format!("profile {tenant}/own {Deleted:?} 3 X-Other-Key"),
        format!("role {tenant}/reader {Deleted:?}"),
        format!("owner {tenant}/jo {Deleted:?} true"),
        format!("tenant {tenant} {Deleted:?} true"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_of_the_directory_is_one_event() {
    let server = Server::start().await;
    let mut watched = Watched::start(&server.admin).await;
    let filter = v1::WatchRequest {
        tenants: vec!["acme".to_owned()],
        ..Default::default()
    };
    let mut of_acme = Watched::asking(&server.admin, filter).await;
    for tenant in ["other", "acme"] {
        change_everything(&server.admin, tenant).await;
    }
    let mark = put_profile(&server.admin, own_profile("", "for-all")).await;
    let all = watched.until(mark).await;
    let all: Vec<_> = all.iter().map(|(_, events)| words(events)).collect();
    let last = vec![format!("profile /for-all {Put:?} 1 X-Own-Key")];
    assert_eq!(
        all,
        [expected("other"), expected("acme"), last.clone()].concat()
    );
    let some = of_acme.until(mark).await;
    let some: Vec<_> = some.iter().map(|(_, events)| words(events)).collect();
    assert_eq!(some, [expected("acme"), last].concat());
    drop((watched, of_acme));
    server.stop().await;
}

/// All that a snapshot lists: credentials, owners and tenants.
async fn snapshot(client: &Client, tenants: &[&str]) -> (Vec<String>, Vec<String>, Vec<String>) {
    let request = v1::WatchRequest {
        snapshot: true,
        tenants: tenants.iter().map(ToString::to_string).collect(),
        ..Default::default()
    };
    let mut stream = client.watch(request).await.unwrap();
    let mut all = (Vec::new(), Vec::new(), Vec::new());
    loop {
        let message = soon("a part", stream.message()).await.unwrap().unwrap();
        let Some(Message::SnapshotPart(part)) = message.message else {
            panic!("not a part of the snapshot");
        };
        all.0
            .extend(part.denied.into_iter().map(|one| one.credential_id));
        let owners = part.disabled_owners.into_iter();
        all.1
            .extend(owners.map(|one| format!("{}/{}", one.tenant, one.owner)));
        all.2.extend(part.disabled_tenants);
        if part.complete {
            all.0.sort();
            all.1.sort();
            all.2.sort();
            return all;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_lists_what_is_disabled() {
    let server = Server::start().await;
    let admin = &server.admin;
    let mut directory = admin.directory.clone();
    let mut locked = Vec::new();
    for tenant in ["acme", "other", "third"] {
        for owner in ["jo", "ann"] {
            calls::issue(admin, tenant, owner, "api-token").await;
        }
        let held = calls::issue(admin, tenant, "jo", "api-token").await;
        admin.lock(&held.id).await.unwrap();
        locked.push(held.id);
        let disable = v1::DisableOwnerRequest {
            tenant: tenant.to_owned(),
            name: "ann".to_owned(),
            ..Default::default()
        };
        directory.disable_owner(disable).await.unwrap();
    }
    for name in ["other", "third"] {
        let disable = v1::DisableTenantRequest {
            name: name.to_owned(),
            ..Default::default()
        };
        directory.disable_tenant(disable).await.unwrap();
    }
    let enable = v1::EnableTenantRequest {
        name: "third".to_owned(),
        ..Default::default()
    };
    directory.enable_tenant(enable).await.unwrap();
    let enable = v1::EnableOwnerRequest {
        tenant: "third".to_owned(),
        name: "ann".to_owned(),
        ..Default::default()
    };
    directory.enable_owner(enable).await.unwrap();
    drop(directory);

    let owners = ["acme/ann".to_owned(), "other/ann".to_owned()];
    let mut ids = locked.clone();
    ids.sort();
    let (credentials, disabled, tenants) = snapshot(admin, &[]).await;
    assert_eq!(credentials, ids);
    assert_eq!(disabled, owners);
    assert_eq!(tenants, ["other"]);
    let (credentials, disabled, tenants) = snapshot(admin, &["acme"]).await;
    assert_eq!(credentials, locked[..1]);
    assert_eq!(disabled, owners[..1]);
    assert!(tenants.is_empty());
    // And the same of a server that has loaded it.
    let server = Server::start_in(server.stop().await).await;
    let (credentials, disabled, tenants) = snapshot(&server.admin, &[]).await;
    assert_eq!((credentials, disabled), (ids, owners.to_vec()));
    assert_eq!(tenants, ["other"]);
    server.stop().await;
}
