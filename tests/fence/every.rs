//! Every request that can turn a yes into a no can be fenced.

use credd::proto::v1;
use credd::proto::v1::operations_service_client::OperationsServiceClient;
use prost::Message as _;
use tonic::Status;

use crate::calls::{issue, issue_caller, put_owner};
use crate::session::Session;
use crate::support::{Bearer, Client, Server, channel, lock_request, read_token, revoke_request};
use crate::{LONG, server};

/// What a fenced request was answered: its own revision, and how its fence ended.
type Outcome = Result<(Option<v1::Revision>, Option<v1::Fence>), Status>;

macro_rules! fenced {
    ($service:expr, $rpc:ident, $request:expr) => {{
        let mut service = $service.clone();
        let mut request = $request;
        request.fence = true;
        let answer = service.$rpc(request).await;
        answer.map(|answer| {
            let answer = answer.into_inner();
            (answer.revision, answer.fence)
        })
    }};
}

/// Sends the request that is called so, which says no to something that is there.
#[allow(clippy::too_many_lines, reason = "a table of requests")]
async fn send(server: &Server, rpc: &str, n: usize) -> Outcome {
    let admin = &server.admin;
    let owner = format!("owner-{n}");
    let role = format!("role-{n}");
    let tenant = format!("tenant-{n}");
    match rpc {
        "Issue" => {
            issue(admin, "acme", &owner, "tenable-io").await;
            let request = v1::IssueRequest {
                tenant: "acme".to_owned(),
                owner,
                profile: "tenable-io".to_owned(),
                ..Default::default()
            };
            fenced!(admin.credentials, issue, request)
        }
        "Update" => {
            let held = issue(admin, "acme", &owner, "api-token").await;
            let request = v1::UpdateRequest {
                credential_id: held.id,
                update_mask: Some(prost_types::FieldMask {
                    paths: vec!["label".to_owned()],
                }),
                label: "another".to_owned(),
                ..Default::default()
            };
            fenced!(admin.credentials, update, request)
        }
        "Rotate" => {
            let held = issue(admin, "acme", &owner, "api-token").await;
            let request = v1::RotateRequest {
                credential_id: held.id,
                ..Default::default()
            };
            fenced!(admin.credentials, rotate, request)
        }
        "Lock" => {
            let held = issue(admin, "acme", &owner, "api-token").await;
            fenced!(admin.credentials, lock, lock_request(&held.id))
        }
        "Revoke" => {
            let held = issue(admin, "acme", &owner, "api-token").await;
            fenced!(admin.credentials, revoke, revoke_request(&held.id))
        }
        "ReportLeak" => {
            let held = issue(admin, "acme", &owner, "api-token").await;
            let request = v1::ReportLeakRequest {
                secrets: vec![held.secret()],
                ..Default::default()
            };
            fenced!(admin.credentials, report_leak, request)
        }
        "DisableTenant" => {
            put_tenant(admin, &tenant).await;
            let request = v1::DisableTenantRequest {
                name: tenant,
                ..Default::default()
            };
            fenced!(admin.directory, disable_tenant, request)
        }
        "DeleteTenant" => {
            put_tenant(admin, &tenant).await;
            let request = v1::DeleteTenantRequest {
                name: tenant,
                ..Default::default()
            };
            fenced!(admin.directory, delete_tenant, request)
        }
        "PutOwner" => {
            fenced!(admin.directory, put_owner, owner_of(&owner))
        }
        "DisableOwner" => {
            put_owner(admin, owner_of(&owner)).await;
            let request = v1::DisableOwnerRequest {
                tenant: "acme".to_owned(),
                name: owner,
                ..Default::default()
            };
            fenced!(admin.directory, disable_owner, request)
        }
        "DeleteOwner" => {
            put_owner(admin, owner_of(&owner)).await;
            let request = v1::DeleteOwnerRequest {
                tenant: "acme".to_owned(),
                name: owner,
                ..Default::default()
            };
            fenced!(admin.directory, delete_owner, request)
        }
        "PutRole" => fenced!(admin.directory, put_role, put_role_request(&role)),
        "DeleteRole" => {
            let mut directory = admin.directory.clone();
            directory.put_role(put_role_request(&role)).await.unwrap();
            let request = v1::DeleteRoleRequest {
                tenant: "acme".to_owned(),
                name: role,
                ..Default::default()
            };
            fenced!(admin.directory, delete_role, request)
        }
        "PutBinding" => {
            let request = v1::PutBindingRequest {
                principal: format!("credd:{owner}"),
                role: "auditor".to_owned(),
                tenant: "acme".to_owned(),
                ..Default::default()
            };
            fenced!(admin.directory, put_binding, request)
        }
        "DeleteBinding" => {
            let principal = format!("credd:{owner}");
            admin.bind(&principal, "auditor", "acme").await;
            let request = v1::DeleteBindingRequest {
                principal,
                role: "auditor".to_owned(),
                tenant: "acme".to_owned(),
                ..Default::default()
            };
            fenced!(admin.directory, delete_binding, request)
        }
        "RetirePepper" => {
            let operations = OperationsServiceClient::with_interceptor(
                channel(server.address).await,
                Bearer::new(&read_token(server.directory.path())),
            );
            let request = v1::RetirePepperRequest {
                version: 1,
                ..Default::default()
            };
            fenced!(operations, retire_pepper, request)
        }
        rpc => panic!("no request of {rpc} that says no to something"),
    }
}

async fn put_tenant(admin: &Client, name: &str) {
    let request = v1::PutTenantRequest {
        name: name.to_owned(),
        ..Default::default()
    };
    admin.directory.clone().put_tenant(request).await.unwrap();
}

fn owner_of(name: &str) -> v1::PutOwnerRequest {
    v1::PutOwnerRequest {
        tenant: "acme".to_owned(),
        name: name.to_owned(),
        ..Default::default()
    }
}

fn put_role_request(name: &str) -> v1::PutRoleRequest {
    v1::PutRoleRequest {
        tenant: "acme".to_owned(),
        name: name.to_owned(),
        permissions: vec!["feeds:read".to_owned()],
        ..Default::default()
    }
}

/// The RPCs whose requests have a field `fence`.
fn that_can_be_fenced() -> Vec<String> {
    let set = credd::proto::FILE_DESCRIPTOR_SET;
    let set = prost_types::FileDescriptorSet::decode(set).unwrap();
    let messages = set.file.iter().flat_map(|file| &file.message_type);
    let fenced =
        messages.filter(|message| message.field.iter().any(|field| field.name() == "fence"));
    let requests = fenced.filter_map(|message| message.name().strip_suffix("Request"));
    requests.map(ToOwned::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_that_can_be_fenced_waits_for_the_sessions_and_says_how_it_ended() {
    let server = server(LONG).await;
    let token = issue_caller(&server.admin, "sidecar", &["verifier"]).await;
    let mut session = Session::start(&server.client(&token).await).await;
    assert!(session.renew().await.lease.is_some());
    let obeying = session.obey();
    let all = that_can_be_fenced();
    assert!(all.len() >= 16, "{all:?}");
    for (n, rpc) in all.iter().enumerate() {
        let outcome = send(&server, rpc, n).await;
        if rpc == "RetirePepper" {
            // The active one can't be, and nothing is waited for.
            assert_eq!(outcome.unwrap_err().code(), tonic::Code::FailedPrecondition);
            continue;
        }
        let (revision, fence) = outcome.unwrap_or_else(|status| panic!("{rpc}: {status:?}"));
        let fence = fence.unwrap_or_else(|| panic!("{rpc} tells of no fence"));
        assert_eq!((fence.acknowledged, fence.expired), (1, 0), "{rpc}");
        let fenced = fence.revision.unwrap();
        assert!(fenced.number >= revision.unwrap().number, "{rpc}");
    }
    obeying.abort();
}
