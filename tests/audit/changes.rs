//! Every RPC that changes something leaves one event, with the change.

use std::collections::BTreeSet;
use std::path::Path;

use bytes::Bytes;
use credd::proto::v1::{self, AuditEvent, AuditFilter};
use prost::Message;
use tonic::Request;
use tonic::transport::Channel;

use crate::calls::{issue_request, put_role};
use crate::support::program::{Program, credd};
use crate::support::raw::{self, rpcs};
use crate::support::{
    Client, Server, channel, list_request, lock_request, read_token, revoke_request, soon,
    token_of, token_request, until,
};
use crate::{events, events_once, number, of_rpc};

/// What is expected of the event of a call.
#[derive(Debug, Default, PartialEq)]
struct About {
    tenant: &'static str,
    owner: &'static str,
    profile: &'static str,
    role: &'static str,
    bound_principal: &'static str,
    credentials: Vec<String>,
    details: &'static str,
}

/// A call that changes something, and the revision of its answer.
struct Change {
    rpc: &'static str,
    request: Vec<u8>,
    revision: fn(Bytes) -> u64,
    about: About,
}

macro_rules! change {
    ($rpc:literal, $request:expr, $answer:ty, $about:expr) => {
        Change {
            rpc: $rpc,
            request: $request.encode_to_vec(),
            revision: |answer| number(<$answer>::decode(answer).unwrap().revision),
            about: $about,
        }
    };
}

/// The RPCs that change nothing but by what is counted.
const READ: [&str; 15] = [
    "AuditService/ListEvents",
    "AuditService/VerifyChain",
    "CredentialService/Get",
    "CredentialService/List",
    "DirectoryService/GetBinding",
    "DirectoryService/GetOwner",
    "DirectoryService/GetProfile",
    "DirectoryService/GetRole",
    "DirectoryService/GetTenant",
    "DirectoryService/ListBindings",
    "DirectoryService/ListOwners",
    "DirectoryService/ListProfiles",
    "DirectoryService/ListRoles",
    "DirectoryService/ListTenants",
    "OperationsService/GetStatus",
];
/// What changes nothing and is told of all the same, before it is answered: see
/// `tests/restore`.
const COPIED: [&str; 1] = ["OperationsService/Backup"];
/// The RPCs that judge and tell of changes.
const VERIFICATION: [&str; 3] = [
    "VerificationService/Verify",
    "VerificationService/VerifyStream",
    "VerificationService/Watch",
];

const REASON: &str = "because of ticket 7";

/// The calls, in an order in which each changes something.
#[allow(clippy::too_many_lines, reason = "a table")]
async fn changes(admin: &Client) -> Vec<Change> {
    let reason = || REASON.to_owned();
    let (acme, jo) = (|| "acme".to_owned(), || "jo".to_owned());
    let issue = |profile: &str| v1::IssueRequest {
        ..issue_request("acme", "ann", profile)
    };
    let viewable = admin
        .issue(issue("misp"))
        .await
        .unwrap()
        .credential
        .unwrap();
    let plain = admin.issue(issue("api-token")).await.unwrap();
    let (id, leaked) = (plain.credential.unwrap().id, token_of(plain.secret));
    let of = |credential: &str, profile| About {
        tenant: "acme",
        owner: "ann",
        profile,
        credentials: vec![credential.to_owned()],
        ..About::default()
    };
    let tenant = |name| About {
        tenant: name,
        ..About::default()
    };
    let owner = || About {
        owner: "jo",
        ..tenant("acme")
    };
    let role = || About {
        role: "writer",
        ..tenant("acme")
    };
    let binding = || About {
        role: "verifier",
        bound_principal: "dns:portal.example",
        ..tenant("acme")
    };
    vec![
        change!(
            "DirectoryService/PutTenant",
            v1::PutTenantRequest {
                name: "initech".to_owned(),
                reason: reason(),
                ..Default::default()
            },
            v1::PutTenantResponse,
            tenant("initech")
        ),
        change!(
            "DirectoryService/DisableTenant",
            v1::DisableTenantRequest {
                name: "initech".to_owned(),
                reason: reason(),
                ..Default::default()
            },
            v1::DisableTenantResponse,
            tenant("initech")
        ),
        change!(
            "DirectoryService/EnableTenant",
            v1::EnableTenantRequest {
                name: "initech".to_owned(),
                reason: reason(),
            },
            v1::EnableTenantResponse,
            tenant("initech")
        ),
        change!(
            "DirectoryService/DeleteTenant",
            v1::DeleteTenantRequest {
                name: "initech".to_owned(),
                reason: reason(),
                ..Default::default()
            },
            v1::DeleteTenantResponse,
            tenant("initech")
        ),
        change!(
            "DirectoryService/PutRole",
            v1::PutRoleRequest {
                tenant: acme(),
                name: "writer".to_owned(),
                permissions: vec!["feeds:write".to_owned(), "feeds:read".to_owned()],
                reason: reason(),
                ..Default::default()
            },
            v1::PutRoleResponse,
            About {
                details: "permissions feeds:read, feeds:write",
                ..role()
            }
        ),
        change!(
            "DirectoryService/DeleteRole",
            v1::DeleteRoleRequest {
                tenant: acme(),
                name: "writer".to_owned(),
                reason: reason(),
                ..Default::default()
            },
            v1::DeleteRoleResponse,
            role()
        ),
        change!(
            "DirectoryService/PutOwner",
            v1::PutOwnerRequest {
                tenant: acme(),
                name: jo(),
                principals: vec!["credd:jo-login".to_owned()],
                groups: vec!["red".to_owned(), "blue".to_owned()],
                reason: reason(),
                ..Default::default()
            },
            v1::PutOwnerResponse,
            About {
                details: "principals credd:jo-login; groups red, blue",
                ..owner()
            }
        ),
        change!(
            "DirectoryService/SetDefaultSource",
            v1::SetDefaultSourceRequest {
                tenant: acme(),
                name: jo(),
                source: "blue".to_owned(),
                reason: reason(),
            },
            v1::SetDefaultSourceResponse,
            About {
                details: "principals credd:jo-login; groups red, blue; default source blue",
                ..owner()
            }
        ),
        change!(
            "DirectoryService/DisableOwner",
            v1::DisableOwnerRequest {
                tenant: acme(),
                name: jo(),
                reason: reason(),
                ..Default::default()
            },
            v1::DisableOwnerResponse,
            About {
                details: "principals credd:jo-login; groups red, blue; default source blue",
                ..owner()
            }
        ),
        change!(
            "DirectoryService/EnableOwner",
            v1::EnableOwnerRequest {
                tenant: acme(),
                name: jo(),
                reason: reason(),
            },
            v1::EnableOwnerResponse,
            About {
                details: "principals credd:jo-login; groups red, blue; default source blue",
                ..owner()
            }
        ),
        change!(
            "DirectoryService/DeleteOwner",
            v1::DeleteOwnerRequest {
                tenant: acme(),
                name: jo(),
                reason: reason(),
                ..Default::default()
            },
            v1::DeleteOwnerResponse,
            owner()
        ),
        change!(
            "DirectoryService/PutProfile",
            v1::PutProfileRequest {
                profile: Some(robots()),
                reason: reason(),
                ..Default::default()
            },
            v1::PutProfileResponse,
            About {
                profile: "robots",
                details: "version 1",
                ..tenant("acme")
            }
        ),
        change!(
            "DirectoryService/DeleteProfile",
            v1::DeleteProfileRequest {
                tenant: acme(),
                name: "robots".to_owned(),
                reason: reason(),
                ..Default::default()
            },
            v1::DeleteProfileResponse,
            About {
                profile: "robots",
                ..tenant("acme")
            }
        ),
        change!(
            "DirectoryService/PutBinding",
            v1::PutBindingRequest {
                principal: "dns:portal.example".to_owned(),
                role: "verifier".to_owned(),
                tenant: acme(),
                reason: reason(),
                ..Default::default()
            },
            v1::PutBindingResponse,
            binding()
        ),
        change!(
            "DirectoryService/DeleteBinding",
            v1::DeleteBindingRequest {
                principal: "dns:portal.example".to_owned(),
                role: "verifier".to_owned(),
                tenant: acme(),
                reason: reason(),
                ..Default::default()
            },
            v1::DeleteBindingResponse,
            binding()
        ),
        change!(
            "CredentialService/Issue",
            v1::IssueRequest {
                reason: reason(),
                ..issue("api-token")
            },
            v1::IssueResponse,
            About {
                details: "secret 1",
                ..of("", "api-token")
            }
        ),
        change!(
            "CredentialService/ImportCredentials",
            v1::ImportCredentialsRequest {
                tenant: acme(),
                credentials: vec![v1::ImportedCredential {
                    owner: "ann".to_owned(),
                    ..crate::calls::imported(
                        "api-token",
                        "",
                        "imported-0123456789abcdef0123456789abcdef",
                    )
                }],
                reason: reason(),
            },
            v1::ImportCredentialsResponse,
            About {
                credentials: vec![String::new()],
                details: "secret 1",
                ..tenant("acme")
            }
        ),
        change!(
            "CredentialService/Update",
            v1::UpdateRequest {
                credential_id: id.clone(),
                update_mask: Some(prost_types::FieldMask {
                    paths: vec!["label".to_owned()],
                }),
                label: "another".to_owned(),
                reason: reason(),
                ..Default::default()
            },
            v1::UpdateResponse,
            About {
                details: "secret 1",
                ..of(&id, "api-token")
            }
        ),
        change!(
            "CredentialService/ReportLeak",
            v1::ReportLeakRequest {
                secrets: vec![leaked],
                reason: reason(),
                ..Default::default()
            },
            v1::ReportLeakResponse,
            of(&id, "api-token")
        ),
        change!(
            "CredentialService/Rotate",
            v1::RotateRequest {
                credential_id: id.clone(),
                reason: reason(),
                ..Default::default()
            },
            v1::RotateResponse,
            About {
                details: "secret 2",
                ..of(&id, "api-token")
            }
        ),
        change!(
            "CredentialService/Lock",
            v1::LockRequest {
                reason: reason(),
                ..lock_request(&id)
            },
            v1::LockResponse,
            of(&id, "api-token")
        ),
        change!(
            "CredentialService/Unlock",
            v1::UnlockRequest {
                credential_id: id.clone(),
                reason: reason(),
            },
            v1::UnlockResponse,
            of(&id, "api-token")
        ),
        change!(
            "CredentialService/Revoke",
            v1::RevokeRequest {
                reason: reason(),
                ..revoke_request(&id)
            },
            v1::RevokeResponse,
            of(&id, "api-token")
        ),
        change!(
            "CredentialService/Reveal",
            v1::RevealRequest {
                credential_id: viewable.id.clone(),
                reason: reason(),
            },
            v1::RevealResponse,
            of(&viewable.id, "misp")
        ),
        change!(
            "OperationsService/RotatePepper",
            v1::RotatePepperRequest {
                version: 2,
                reason: reason(),
                ..Default::default()
            },
            v1::RotatePepperResponse,
            About {
                details: "peppers 1 (old), 2 (active), 3 (unused); sealing keys 1 (active), 2 (unused), 3 (unused)",
                ..About::default()
            }
        ),
        change!(
            "OperationsService/RetirePepper",
            v1::RetirePepperRequest {
                version: 3,
                reason: reason(),
                ..Default::default()
            },
            v1::RetirePepperResponse,
            About {
                details: "peppers 1 (old), 2 (active), 3 (retired); sealing keys 1 (active), 2 (unused), 3 (unused)",
                ..About::default()
            }
        ),
        change!(
            "OperationsService/RotateSealingKey",
            v1::RotateSealingKeyRequest {
                version: 2,
                reason: reason(),
                ..Default::default()
            },
            v1::RotateSealingKeyResponse,
            About {
                details: "peppers 1 (old), 2 (active), 3 (retired); sealing keys 1 (old), 2 (active), 3 (unused)",
                ..About::default()
            }
        ),
        change!(
            "OperationsService/RetireSealingKey",
            v1::RetireSealingKeyRequest {
                version: 3,
                reason: reason(),
                ..Default::default()
            },
            v1::RetireSealingKeyResponse,
            About {
                details: "peppers 1 (old), 2 (active), 3 (retired); sealing keys 1 (old), 2 (active), 3 (retired)",
                ..About::default()
            }
        ),
        change!(
            "AuditService/EraseEvents",
            v1::EraseEventsRequest {
                named: Some(v1::erase_events_request::Named::Owner(v1::AuditOwner {
                    tenant: acme(),
                    name: jo(),
                })),
                reason: reason(),
                ..Default::default()
            },
            v1::EraseEventsResponse,
            tenant("acme")
        ),
    ]
}

fn robots() -> v1::Profile {
    v1::Profile {
        tenant: "acme".to_owned(),
        name: "robots".to_owned(),
        display_name: "Robots".to_owned(),
        kind: v1::CredentialKind::ApiToken.into(),
        headers: vec![v1::HeaderRule {
            name: "X-Robot".to_owned(),
            format: Some(v1::header_rule::Format::Scheme("Robot".to_owned())),
        }],
        visibility: v1::SecretVisibility::Once.into(),
        expiry: Some(v1::ExpiryRule {
            default_period: "P30D".to_owned(),
            max_period: "P90D".to_owned(),
            ..Default::default()
        }),
        multiplicity: v1::Multiplicity::Many.into(),
        default_label: "robot".to_owned(),
        ..Default::default()
    }
}

async fn call(channel: &Channel, token: &str, rpc: &str, request: Vec<u8>) -> Bytes {
    let mut request = Request::new(Bytes::from(request));
    let bearer = format!("Bearer {token}").parse().unwrap();
    request.metadata_mut().insert("authorization", bearer);
    let id = format!("id of {rpc}").parse().unwrap();
    request.metadata_mut().insert("x-request-id", id);
    let answer = soon(rpc, raw::call(channel.clone(), rpc, request)).await;
    answer.unwrap_or_else(|status| panic!("{rpc}: {status}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_leaves_one_event_with_who_what_and_when() {
    let server = Server::start().await;
    let admin = &server.admin;
    let token = read_token(server.directory.path());
    let changes = changes(admin).await;
    let rows: BTreeSet<String> = changes
        .iter()
        .map(|change| change.rpc)
        .chain(READ)
        .chain(VERIFICATION)
        .chain(COPIED)
        .map(str::to_owned)
        .collect();
    let all: BTreeSet<String> = rpcs().into_iter().collect();
    assert_eq!(rows, all, "an RPC without a row here");

    let channel = channel(server.address).await;
    for kind in ["pepper", "sealing"].repeat(2) {
        add_key(server.directory.path(), kind);
    }
    until("the keys to be loaded", async || {
        let request = v1::GetStatusRequest {}.encode_to_vec();
        let status = call(&channel, &token, "OperationsService/GetStatus", request).await;
        let keyring = v1::GetStatusResponse::decode(status)
            .unwrap()
            .keyring
            .unwrap();
        keyring.peppers.len() == 3 && keyring.sealing_keys.len() == 3
    })
    .await;
    for change in changes {
        let Change {
            rpc,
            request,
            revision,
            about,
        } = change;
        let before = events(admin, of_rpc(rpc)).await.len();
        let answer = call(&channel, &token, rpc, request).await;
        let revision = revision(answer);
        let after = events(admin, of_rpc(rpc)).await;
        assert_eq!(after.len(), before + 1, "{rpc}: {after:#?}");
        let event = after.last().unwrap();
        assert_eq!(number(event.revision.clone()), revision, "{rpc}");
        check(rpc, event, &about);
    }
    crate::sound(admin, &[]).await;
    server.stop().await;
}

/// Adds a key to the keyring, as an operator does.
fn add_key(data_dir: &Path, kind: &str) {
    let mut command = credd(&[]);
    command
        .args(["keyring", "add", kind, "--data-dir"])
        .arg(data_dir);
    let ended = Program::start(command).end();
    assert!(ended.status.success(), "{}", ended.output);
}

/// The event has what the call had. What is not known beforehand is `""`.
fn check(rpc: &str, event: &AuditEvent, about: &About) {
    let AuditEvent {
        outcome,
        principal,
        on_behalf_of,
        known_by,
        caller_credential_id,
        address,
        request_id,
        tenant,
        owner,
        profile,
        role,
        bound_principal,
        credential_ids,
        reason,
        dry_run,
        details,
        count,
        state,
        ..
    } = event;
    assert_eq!((outcome.as_str(), *dry_run), ("OK", false), "{rpc}");
    assert_eq!(principal, "credd:admin", "{rpc}");
    assert_eq!(on_behalf_of, "", "{rpc}");
    assert_eq!(*known_by, i32::from(v1::AuditKnownBy::Credential), "{rpc}");
    assert!(!caller_credential_id.is_empty(), "{rpc}");
    assert_eq!(address, "127.0.0.1", "{rpc}");
    assert_eq!(*request_id, format!("id of {rpc}"));
    assert_eq!(reason, REASON, "{rpc}");
    assert_eq!(*state, i32::from(v1::AuditEventState::Intact), "{rpc}");
    let names = [tenant, owner, profile, role, bound_principal];
    let expected = [
        about.tenant,
        about.owner,
        about.profile,
        about.role,
        about.bound_principal,
    ];
    assert_eq!(names, expected, "{rpc}");
    assert_eq!(credential_ids.len(), about.credentials.len(), "{rpc}");
    for (id, expected) in credential_ids.iter().zip(&about.credentials) {
        assert!(expected.is_empty() || id == expected, "{rpc}: {id}");
    }
    if rpc == "AuditService/EraseEvents" {
        // The five events that named jo, one of which deleted it.
        assert_eq!(*count, 5, "{rpc}");
        assert!(details.starts_with("records "), "{rpc}: {details}");
    } else {
        assert_eq!((details.as_str(), *count), (about.details, 1), "{rpc}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_read_or_asked_for_in_vain_is_counted() {
    let server = Server::start().await;
    let admin = &server.admin;
    let (id, _) = admin.issue_token("acme").await;
    for _ in 0..3 {
        admin.get(&id).await.unwrap();
        admin.list(list_request("acme")).await.unwrap();
    }
    admin.lock(&id).await.unwrap();
    for _ in 0..4 {
        // It is locked already.
        admin.lock(&id).await.unwrap();
        let dry = v1::RevokeRequest {
            dry_run: true,
            ..revoke_request(&id)
        };
        admin.credentials.clone().revoke(dry).await.unwrap();
    }
    let total = |events: &[AuditEvent]| events.iter().map(|event| event.count).sum::<u64>();
    for (rpc, count, dry_run) in [("Get", 3, false), ("List", 3, false), ("Revoke", 4, true)] {
        let filter = of_rpc(&format!("CredentialService/{rpc}"));
        let found = events_once(admin, filter, |events| total(events) == count).await;
        for event in &found {
            assert_eq!(event.tenant, "acme", "{rpc}");
            assert_eq!((event.outcome.as_str(), event.dry_run), ("OK", dry_run));
        }
        assert!(
            found.len() < usize::try_from(count).unwrap(),
            "{rpc}: {found:?}"
        );
    }
    // One change, and four repeats that are counted.
    let locks = events_once(admin, of_rpc("CredentialService/Lock"), |events| {
        total(events) == 5
    })
    .await;
    assert_eq!(locks[0].count, 1);
    assert_eq!(locks[0].reason, "test");
    assert!(
        locks[1..]
            .iter()
            .all(|event| event.credential_ids == [id.as_str()])
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_call_changes_is_told_together() {
    let server = Server::start().await;
    let admin = &server.admin;
    let mut ids = BTreeSet::new();
    for _ in 0..120 {
        ids.insert(admin.issue_token("acme").await.0);
    }
    let request = v1::LockRequest {
        target: Some(v1::lock_request::Target::Filter(v1::CredentialFilter {
            tenant: "acme".to_owned(),
            ..Default::default()
        })),
        reason: "all of them".to_owned(),
        ..Default::default()
    };
    admin.credentials.clone().lock(request).await.unwrap();
    let locks = events(admin, of_rpc("CredentialService/Lock")).await;
    assert!((3..30).contains(&locks.len()), "{}", locks.len());
    assert_eq!(locks.iter().map(|event| event.count).sum::<u64>(), 120);
    let named: Vec<String> = locks
        .iter()
        .flat_map(|event| event.credential_ids.clone())
        .collect();
    assert_eq!(named.len(), 120);
    assert_eq!(named.into_iter().collect::<BTreeSet<_>>(), ids);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_calls_for_another_is_named_with_the_other() {
    let server = Server::start().await;
    let admin = &server.admin;
    put_role(
        admin,
        "credd",
        "portal",
        &["credd.on-behalf-of", "credd.credentials.*"],
    )
    .await;
    let portal = crate::calls::issue_caller(admin, "portal", &["portal"]).await;
    admin.bind("credd:mia", "administrator", "acme").await;
    let channel = channel(server.address).await;
    let mut request = Request::new(Bytes::from(token_request("acme").encode_to_vec()));
    for (name, value) in [
        ("authorization", format!("Bearer {portal}")),
        ("credd-on-behalf-of", "credd:mia".to_owned()),
    ] {
        request.metadata_mut().insert(name, value.parse().unwrap());
    }
    raw::call(channel, "CredentialService/Issue", request)
        .await
        .unwrap();
    for principal in ["credd:portal", "credd:mia"] {
        let filter = AuditFilter {
            principal: principal.to_owned(),
            ..of_rpc("CredentialService/Issue")
        };
        let found = events(admin, filter).await;
        assert_eq!(found.len(), 1, "{principal}");
        assert_eq!(found[0].principal, "credd:portal");
        assert_eq!(found[0].on_behalf_of, "credd:mia");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_start_is_told_of() {
    let server = Server::start().await;
    let found = events(
        &server.admin,
        AuditFilter {
            principal: "system".to_owned(),
            ..Default::default()
        },
    )
    .await;
    let actions: Vec<_> = found.iter().map(|event| event.action.as_str()).collect();
    assert!(actions.contains(&"credd.keyring"), "{actions:?}");
    assert!(actions.contains(&"credd.administrator"), "{actions:?}");
    assert_eq!(found[0].sequence, 1);
    let ids: Vec<_> = found
        .iter()
        .flat_map(|event| &event.credential_ids)
        .collect();
    assert_eq!(ids.len(), 1);
    server.stop().await;
}
