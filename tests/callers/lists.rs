//! What is shown of many records at once: nothing of other tenants, and not how
//! many there are.

use std::collections::BTreeSet;

use bytes::Bytes;
use credd::proto::v1;
use credd::proto::v1::event::Subject;
use credd::proto::v1::watch_response::Message as Wire;
use prost::Message;
use tonic::{Code, Status};

use crate::caller::Caller;
use crate::calls::imported;
use crate::requests::keys;
use crate::state::pages;
use crate::support::{ALL_STATES, soon};
use crate::world::{World, bound_on_acme, callers};

fn find<'a>(callers: &'a [Caller], name: &str) -> &'a Caller {
    callers.iter().find(|caller| caller.name == name).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_show_and_count_the_caller_s_own_tenant_alone() {
    let world = World::start().await;
    let callers = callers(&world).await;
    for tenant in ["acme", "globex"] {
        world.names(tenant).await;
    }
    let mut general = keys("", "general");
    general.owner_may_issue = false;
    world.put_profile(&general).await;
    for name in ["auditor", "bearer", "jwt", "cert"] {
        let caller = find(&callers, name);
        let directory = || caller.directory();
        let all = v1::ListTenantsRequest::default();
        let tenants = pages!(directory(), list_tenants, all, tenants);
        let names: Vec<_> = tenants.iter().map(|tenant| &tenant.name).collect();
        assert_eq!(names, ["acme"], "{name}");
        let all = v1::ListProfilesRequest::default();
        let profiles = pages!(directory(), list_profiles, all, profiles);
        let of: BTreeSet<_> = profiles.iter().map(|one| one.tenant.as_str()).collect();
        assert_eq!(of, BTreeSet::from(["", "acme"]), "{name}");
        assert!(profiles.iter().any(|one| one.name == "general"), "{name}");
        let all = v1::ListBindingsRequest::default();
        let bindings = pages!(directory(), list_bindings, all, bindings);
        let of: BTreeSet<_> = bindings.iter().map(|one| one.tenant.as_str()).collect();
        assert_eq!(of, BTreeSet::from(["acme"]), "{name}");
        assert!(bindings.len() > bound_on_acme().len(), "{name}");

        // Of everybody there is no list for who may not see everybody.
        let status = list_everybody(caller).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{name}");
        for tenant in ["globex", "credd", "nobody"] {
            let status = list_bindings_of(caller, tenant).await.unwrap_err();
            assert_eq!(status.code(), Code::PermissionDenied, "{name} {tenant}");
        }
        let status = list_bindings_of(caller, "*").await.unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied, "{name}");
    }
    // Who may do nothing there has no list either.
    let owner = find(&callers, "owner");
    let status = list_everybody(owner).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    drop(callers);
    world.stop().await;
}

async fn list_everybody(caller: &Caller) -> Result<v1::ListResponse, Status> {
    let request = v1::ListRequest {
        filter: Some(v1::CredentialFilter {
            states: ALL_STATES.map(i32::from).to_vec(),
            ..Default::default()
        }),
        include_total: true,
        ..Default::default()
    };
    let answer = caller.credentials().list(request).await;
    answer.map(tonic::Response::into_inner)
}

async fn list_bindings_of(
    caller: &Caller,
    tenant: &str,
) -> Result<v1::ListBindingsResponse, Status> {
    let request = v1::ListBindingsRequest {
        tenant: tenant.to_owned(),
        ..Default::default()
    };
    let answer = caller.directory().list_bindings(request).await;
    answer.map(tonic::Response::into_inner)
}

/// A list RPC, with the fields of its request that matter here.
struct Listed {
    rpc: &'static str,
    request: fn(&str) -> Bytes,
    next: fn(Bytes) -> String,
}

/// Every list, one record a page.
const LISTS: [Listed; 7] = [
    Listed {
        rpc: "AuditService/ListEvents",
        request: |page_token| {
            let request = v1::ListEventsRequest {
                page_size: 1,
                page_token: page_token.to_owned(),
                ..Default::default()
            };
            request.encode_to_vec().into()
        },
        next: |page| {
            v1::ListEventsResponse::decode(page)
                .unwrap()
                .next_page_token
        },
    },
    Listed {
        rpc: "CredentialService/List",
        request: |page_token| {
            let filter = v1::CredentialFilter {
                tenant: "acme".to_owned(),
                ..Default::default()
            };
            let request = v1::ListRequest {
                filter: Some(filter),
                page_size: 1,
                page_token: page_token.to_owned(),
                ..Default::default()
            };
            request.encode_to_vec().into()
        },
        next: |page| v1::ListResponse::decode(page).unwrap().next_page_token,
    },
    Listed {
        rpc: "DirectoryService/ListTenants",
        request: |page_token| {
            let request = v1::ListTenantsRequest {
                page_size: 1,
                page_token: page_token.to_owned(),
            };
            request.encode_to_vec().into()
        },
        next: |page| {
            v1::ListTenantsResponse::decode(page)
                .unwrap()
                .next_page_token
        },
    },
    Listed {
        rpc: "DirectoryService/ListOwners",
        request: |page_token| {
            let request = v1::ListOwnersRequest {
                tenant: "acme".to_owned(),
                page_size: 1,
                page_token: page_token.to_owned(),
            };
            request.encode_to_vec().into()
        },
        next: |page| {
            v1::ListOwnersResponse::decode(page)
                .unwrap()
                .next_page_token
        },
    },
    Listed {
        rpc: "DirectoryService/ListRoles",
        request: |page_token| {
            let request = v1::ListRolesRequest {
                tenant: "acme".to_owned(),
                page_size: 1,
                page_token: page_token.to_owned(),
            };
            request.encode_to_vec().into()
        },
        next: |page| v1::ListRolesResponse::decode(page).unwrap().next_page_token,
    },
    Listed {
        rpc: "DirectoryService/ListProfiles",
        request: |page_token| {
            let request = v1::ListProfilesRequest {
                tenant: "acme".to_owned(),
                page_size: 1,
                page_token: page_token.to_owned(),
            };
            request.encode_to_vec().into()
        },
        next: |page| {
            v1::ListProfilesResponse::decode(page)
                .unwrap()
                .next_page_token
        },
    },
    Listed {
        rpc: "DirectoryService/ListBindings",
        request: |page_token| {
            let request = v1::ListBindingsRequest {
                page_size: 1,
                page_token: page_token.to_owned(),
                ..Default::default()
            };
            request.encode_to_vec().into()
        },
        next: |page| {
            v1::ListBindingsResponse::decode(page)
                .unwrap()
                .next_page_token
        },
    },
];

#[tokio::test(flavor = "multi_thread")]
async fn a_page_token_is_good_for_the_caller_and_the_list_that_it_was_made_for() {
    let world = World::start().await;
    let callers = callers(&world).await;
    world.names("acme").await;
    world.issue("acme", "jo").await;
    let made_for = [find(&callers, "platform"), find(&callers, "bearer")];
    let mut tokens = Vec::new();
    for Listed { rpc, request, next } in &LISTS {
        for caller in made_for {
            let page = caller.call(rpc, request("")).await.unwrap();
            let token = next(page);
            // The tenant's administrator sees one tenant.
            if !token.is_empty() {
                tokens.push((*rpc, caller.name, token));
            }
        }
    }
    assert_eq!(tokens.len(), 13);
    for Listed { rpc, request, .. } in &LISTS {
        for (made_by, name, token) in &tokens {
            for caller in &callers[5..] {
                let answer = caller.call(rpc, request(token)).await;
                if rpc == made_by && *name == caller.name {
                    assert!(answer.is_ok(), "{rpc} {name}: {answer:?}");
                } else {
                    let status = answer.expect_err(rpc);
                    let codes = [Code::InvalidArgument, Code::PermissionDenied];
                    assert!(codes.contains(&status.code()), "{rpc} {name}: {status}");
                }
            }
        }
    }
    drop(callers);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_tells_of_the_caller_s_own_tenant_alone() {
    let world = World::start().await;
    let callers = callers(&world).await;
    let verifier = find(&callers, "verifier");
    for tenants in [vec![], vec!["acme"], vec!["acme", "globex", "credd"]] {
        let request = v1::WatchRequest {
            tenants: tenants.iter().map(ToString::to_string).collect(),
            ..Default::default()
        };
        let mut watch = watch(verifier, request).await;
        for tenant in ["globex", "acme"] {
            let names = world.names(tenant).await;
            world.admin.lock(&names.credential).await.unwrap();
        }
        let last = world.issue("acme", "jo").await;
        loop {
            let message = soon("an event", watch.message()).await.unwrap().unwrap();
            let Some(Wire::Commit(commit)) = message.message else {
                continue;
            };
            let tenants: BTreeSet<_> = commit.events.iter().map(tenant_of).collect();
            assert_eq!(tenants, BTreeSet::from(["acme".to_owned()]));
            let is_last = commit.events.iter().any(|event| {
                matches!(&event.subject, Some(Subject::Credential(event)) if event.credential_id == last.id)
            });
            if is_last {
                break;
            }
        }
    }
    drop(callers);
    world.stop().await;
}

fn tenant_of(event: &v1::Event) -> String {
    match event.subject.clone().unwrap() {
        Subject::Credential(event) => event.tenant,
        Subject::Owner(event) => event.tenant,
        Subject::Role(event) => event.tenant,
        Subject::Tenant(event) => event.tenant,
        Subject::Profile(event) => event.profile.unwrap().tenant,
    }
}

async fn watch(caller: &Caller, request: v1::WatchRequest) -> tonic::Streaming<v1::WatchResponse> {
    let requests = tokio_stream::once(request);
    let answer = caller.verification().watch(requests).await;
    answer.unwrap().into_inner()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_does_not_show_how_much_is_denied_elsewhere() {
    const MANY: usize = 1100;

    let world = World::start().await;
    let callers = callers(&world).await;
    let verifier = find(&callers, "verifier");
    let ours = world.issue("acme", "jo").await;
    world.admin.lock(&ours.id).await.unwrap();
    let parts = snapshot(verifier).await;
    assert_eq!(parts.len(), 1);
    // Others have so many that are denied that they do not fit in a part.
    for batch in (0..MANY).collect::<Vec<_>>().chunks(100) {
        let credentials = batch.iter().map(|n| v1::ImportedCredential {
            owner: format!("owner-{n}"),
            ..imported("globex-keys", "", &format!("0123456789abcdef-{n}"))
        });
        let request = v1::ImportCredentialsRequest {
            tenant: "globex".to_owned(),
            credentials: credentials.collect(),
            ..Default::default()
        };
        let mut credentials = world.admin.credentials.clone();
        credentials.import_credentials(request).await.unwrap();
    }
    let everything = v1::LockRequest {
        target: Some(v1::lock_request::Target::Filter(v1::CredentialFilter {
            tenant: "globex".to_owned(),
            ..Default::default()
        })),
        ..Default::default()
    };
    let mut credentials = world.admin.credentials.clone();
    let locked = credentials.lock(everything).await.unwrap().into_inner();
    assert_eq!(locked.impact.unwrap().changed, MANY as u64);
    let after = snapshot(verifier).await;
    assert_eq!(after, parts);
    drop(callers);
    world.stop().await;
}

async fn snapshot(caller: &Caller) -> Vec<v1::SnapshotPart> {
    let request = v1::WatchRequest {
        snapshot: true,
        ..Default::default()
    };
    let mut watch = watch(caller, request).await;
    let mut parts = Vec::new();
    loop {
        let message = soon("a part", watch.message()).await.unwrap().unwrap();
        let Some(Wire::SnapshotPart(part)) = message.message else {
            panic!("something else than a part");
        };
        let complete = part.complete;
        parts.push(part);
        if complete {
            return parts;
        }
    }
}
