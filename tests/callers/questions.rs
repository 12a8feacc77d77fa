//! Requests about records of another tenant.

use credd::proto::v1;
use credd::proto::v1::presented::Credential;
use prost::Message as _;

use crate::requests::Names;
use crate::support::raw::rpcs;

/// A request about records of others.
pub(crate) struct Question {
    pub(crate) what: &'static str,
    pub(crate) rpc: String,
    pub(crate) message: fn(&Question, &Names) -> Vec<u8>,
}

fn ask(what: &'static str, rpc: &str, message: fn(&Question, &Names) -> Vec<u8>) -> Question {
    Question {
        what,
        rpc: rpc.to_owned(),
        message,
    }
}

/// A request for a verdict on a token, in each form in which it can be presented.
fn presented(names: &Names, how: usize) -> v1::Presented {
    let token = names.token.clone();
    let header = |name: &str, text: String| {
        Credential::Header(v1::RawHeader {
            name: name.to_owned(),
            value: Some(v1::raw_header::Value::Text(text)),
        })
    };
    let credential = match how {
        0 => Credential::Token(token),
        1 => header("X-Key", token),
        2 => header("Authorization", format!("Bearer {token}")),
        _ => Credential::UsernamePassword(v1::UsernamePassword {
            username: "jo".to_owned(),
            password: token,
        }),
    };
    v1::Presented {
        credential: Some(credential),
    }
}

fn verify(names: &Names, how: usize) -> v1::VerifyRequest {
    v1::VerifyRequest {
        presented: Some(presented(names, how)),
        ..Default::default()
    }
}

fn filter_of(names: &Names) -> v1::CredentialFilter {
    v1::CredentialFilter {
        tenant: names.tenant.clone(),
        ..Default::default()
    }
}

/// A list of acme's credentials that only those pass for whom something stands
/// that is another tenant's.
fn list(filter: v1::CredentialFilter) -> Vec<u8> {
    let filter = v1::CredentialFilter {
        tenant: "acme".to_owned(),
        ..filter
    };
    v1::ListRequest {
        filter: Some(filter),
        include_unlisted: true,
        include_total: true,
        ..Default::default()
    }
    .encode_to_vec()
}

fn issue(names: &Names) -> v1::IssueRequest {
    v1::IssueRequest {
        tenant: "acme".to_owned(),
        owner: "jo".to_owned(),
        profile: names.profile.clone(),
        label: "test".to_owned(),
        ..Default::default()
    }
}

/// Every RPC about records of the tenant, and those that name one of them beside
/// what is the caller's own.
#[allow(clippy::too_many_lines, reason = "a table")]
pub(crate) fn questions() -> Vec<Question> {
    let mut all: Vec<_> = rpcs()
        .iter()
        .map(|rpc| {
            ask("a good request", rpc, |question, names| {
                names
                    .request(&question.rpc)
                    .expect("a request in requests.rs")
            })
        })
        .collect();
    all.extend([
        ask("its profile", "CredentialService/Issue", |_, names| {
            issue(names).encode_to_vec()
        }),
        ask("its role", "CredentialService/Issue", |_, names| {
            v1::IssueRequest {
                profile: "acme-keys".to_owned(),
                roles: vec![names.role.clone()],
                ..issue(names)
            }
            .encode_to_vec()
        }),
        ask("a dry run", "CredentialService/Issue", |_, names| {
            v1::IssueRequest {
                tenant: names.tenant.clone(),
                owner: names.owner.clone(),
                dry_run: true,
                ..issue(names)
            }
            .encode_to_vec()
        }),
        ask("all of it", "CredentialService/List", |_, names| {
            v1::ListRequest {
                filter: Some(filter_of(names)),
                include_total: true,
                ..Default::default()
            }
            .encode_to_vec()
        }),
        ask("its owner", "CredentialService/List", |_, names| {
            list(v1::CredentialFilter {
                owner: names.owner.clone(),
                ..Default::default()
            })
        }),
        ask("its profile", "CredentialService/List", |_, names| {
            list(v1::CredentialFilter {
                profile: names.profile.clone(),
                ..Default::default()
            })
        }),
        ask("its role", "CredentialService/List", |_, names| {
            list(v1::CredentialFilter {
                role: names.role.clone(),
                ..Default::default()
            })
        }),
        ask("a revision", "CredentialService/Rotate", |_, names| {
            v1::RotateRequest {
                credential_id: names.credential.clone(),
                end_overlap: true,
                request_id: "6f7c2c3e-0d5e-4b7e-8f3c-2f0b8a4d9c11".to_owned(),
                dry_run: true,
                ..Default::default()
            }
            .encode_to_vec()
        }),
        ask("all of it", "CredentialService/Lock", |_, names| {
            v1::LockRequest {
                target: Some(v1::lock_request::Target::Filter(filter_of(names))),
                ..Default::default()
            }
            .encode_to_vec()
        }),
        ask("its owner", "CredentialService/Revoke", |_, names| {
            v1::RevokeRequest {
                target: Some(v1::revoke_request::Target::Filter(v1::CredentialFilter {
                    owner: names.owner.clone(),
                    ..filter_of(names)
                })),
                dry_run: true,
                ..Default::default()
            }
            .encode_to_vec()
        }),
        ask("its role", "DirectoryService/PutOwner", |_, names| {
            v1::PutOwnerRequest {
                tenant: "acme".to_owned(),
                name: "somebody".to_owned(),
                roles: vec![names.role.clone()],
                ..Default::default()
            }
            .encode_to_vec()
        }),
        ask("its name", "DirectoryService/GetOwner", |_, names| {
            v1::GetOwnerRequest {
                tenant: "acme".to_owned(),
                name: names.owner.clone(),
            }
            .encode_to_vec()
        }),
        ask("its name", "DirectoryService/DeleteOwner", |_, names| {
            v1::DeleteOwnerRequest {
                tenant: "acme".to_owned(),
                name: names.spare_owner.clone(),
                dry_run: true,
                ..Default::default()
            }
            .encode_to_vec()
        }),
        ask("its name", "DirectoryService/GetRole", |_, names| {
            v1::GetRoleRequest {
                tenant: "acme".to_owned(),
                name: names.role.clone(),
            }
            .encode_to_vec()
        }),
        ask("its name", "DirectoryService/DeleteRole", |_, names| {
            v1::DeleteRoleRequest {
                tenant: "acme".to_owned(),
                name: names.role.clone(),
                ..Default::default()
            }
            .encode_to_vec()
        }),
        ask("its name", "DirectoryService/GetProfile", |_, names| {
            v1::GetProfileRequest {
                tenant: "acme".to_owned(),
                name: names.profile.clone(),
            }
            .encode_to_vec()
        }),
        ask("for all", "DirectoryService/GetProfile", |_, names| {
            v1::GetProfileRequest {
                tenant: String::new(),
                name: names.profile.clone(),
            }
            .encode_to_vec()
        }),
        ask("its name", "DirectoryService/DeleteProfile", |_, names| {
            v1::DeleteProfileRequest {
                tenant: "acme".to_owned(),
                name: names.profile.clone(),
                ..Default::default()
            }
            .encode_to_vec()
        }),
        ask(
            "whom it binds",
            "DirectoryService/GetBinding",
            |_, names| {
                v1::GetBindingRequest {
                    principal: names.principal.clone(),
                    role: "verifier".to_owned(),
                    tenant: "acme".to_owned(),
                }
                .encode_to_vec()
            },
        ),
        ask(
            "whom it binds",
            "DirectoryService/ListBindings",
            |_, names| {
                v1::ListBindingsRequest {
                    principal: names.principal.clone(),
                    ..Default::default()
                }
                .encode_to_vec()
            },
        ),
        ask(
            "whom it binds",
            "DirectoryService/DeleteBinding",
            |_, names| {
                v1::DeleteBindingRequest {
                    principal: names.principal.clone(),
                    role: "verifier".to_owned(),
                    tenant: "acme".to_owned(),
                    ..Default::default()
                }
                .encode_to_vec()
            },
        ),
        ask("no tenant", "VerificationService/Verify", |_, names| {
            verify(names, 0).encode_to_vec()
        }),
        ask("its tenant", "VerificationService/Verify", |_, names| {
            v1::VerifyRequest {
                tenant: names.tenant.clone(),
                ..verify(names, 0)
            }
            .encode_to_vec()
        }),
        ask("acme", "VerificationService/Verify", |_, names| {
            v1::VerifyRequest {
                tenant: "acme".to_owned(),
                ..verify(names, 0)
            }
            .encode_to_vec()
        }),
        ask("its header", "VerificationService/Verify", |_, names| {
            v1::VerifyRequest {
                any_tenant: true,
                ..verify(names, 1)
            }
            .encode_to_vec()
        }),
        ask("as a bearer", "VerificationService/Verify", |_, names| {
            v1::VerifyRequest {
                tenant: names.tenant.clone(),
                permissions: vec!["feeds:read".to_owned()],
                ..verify(names, 2)
            }
            .encode_to_vec()
        }),
        ask("as a password", "VerificationService/Verify", |_, names| {
            v1::VerifyRequest {
                any_tenant: true,
                profiles: vec![names.profile.clone()],
                ..verify(names, 3)
            }
            .encode_to_vec()
        }),
        ask("its profile", "VerificationService/Verify", |_, names| {
            v1::VerifyRequest {
                any_tenant: true,
                profiles: vec![names.profile.clone()],
                ..verify(names, 0)
            }
            .encode_to_vec()
        }),
        ask(
            "its tenant",
            "VerificationService/VerifyStream",
            |_, names| {
                v1::VerifyStreamRequest {
                    correlation: 7,
                    request: Some(v1::VerifyRequest {
                        tenant: names.tenant.clone(),
                        ..verify(names, 0)
                    }),
                }
                .encode_to_vec()
            },
        ),
        ask("a snapshot", "VerificationService/Watch", |_, names| {
            v1::WatchRequest {
                tenants: vec![names.tenant.clone()],
                snapshot: true,
                ..Default::default()
            }
            .encode_to_vec()
        }),
    ]);
    all
}

/// Whether a request may name credd's own tenant as any other: that there is one is
/// no secret, and some rules for it are its own.
pub(crate) fn may_be_of_credd(question: &Question) -> bool {
    let others = [
        "CredentialService/ImportCredentials",
        "DirectoryService/PutTenant",
        "DirectoryService/DisableTenant",
        "DirectoryService/EnableTenant",
        "DirectoryService/PutOwner",
        "DirectoryService/PutRole",
        "DirectoryService/PutProfile",
    ];
    // Its profiles are those of all.
    let is_common = ["its profile", "for all"].contains(&question.what);
    !is_common && !others.contains(&question.rpc.as_str())
}
