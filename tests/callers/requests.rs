//! A good request of every RPC, about records of given names.

use credd::proto::v1;
use credd::proto::v1::imported_credential::Secret;
use prost::Message as _;

use crate::support::{lock_request, revoke_request, verify_token_request};

/// The records that a request is about.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    pub(crate) tenant: String,
    /// A tenant in which there is nothing.
    pub(crate) empty_tenant: String,
    pub(crate) owner: String,
    /// An owner that has no credentials.
    pub(crate) spare_owner: String,
    pub(crate) role: String,
    pub(crate) profile: String,
    /// A profile of which there are no credentials.
    pub(crate) spare_profile: String,
    pub(crate) credential: String,
    pub(crate) token: String,
    /// A principal that is bound as a verifier on the tenant, and nowhere else.
    pub(crate) principal: String,
    /// A text that no other request has.
    pub(crate) fresh: String,
}

impl Names {
    /// The request of an RPC, `SERVICE/METHOD`; `None`: there is none here.
    #[allow(clippy::too_many_lines, reason = "a table")]
    pub(crate) fn request(&self, rpc: &str) -> Option<Vec<u8>> {
        let Self {
            tenant,
            empty_tenant,
            owner,
            spare_owner,
            role,
            profile,
            spare_profile,
            credential,
            token,
            principal,
            fresh,
        } = self.clone();
        let reason = "test".to_owned();
        let by_owner = v1::CredentialFilter {
            tenant: tenant.clone(),
            owner: owner.clone(),
            ..Default::default()
        };
        Some(match rpc {
            "CredentialService/Issue" => v1::IssueRequest {
                tenant,
                owner,
                profile,
                label: fresh,
                ..Default::default()
            }
            .encode_to_vec(),
            "CredentialService/Get" => v1::GetRequest {
                credential_id: credential,
            }
            .encode_to_vec(),
            "CredentialService/List" => v1::ListRequest {
                filter: Some(by_owner),
                ..Default::default()
            }
            .encode_to_vec(),
            "CredentialService/Update" => v1::UpdateRequest {
                credential_id: credential,
                update_mask: Some(prost_types::FieldMask {
                    paths: vec!["label".to_owned()],
                }),
                label: fresh,
                ..Default::default()
            }
            .encode_to_vec(),
            "CredentialService/Rotate" => v1::RotateRequest {
                credential_id: credential,
                ..Default::default()
            }
            .encode_to_vec(),
            "CredentialService/Reveal" => v1::RevealRequest {
                credential_id: credential,
                reason,
            }
            .encode_to_vec(),
            "CredentialService/Lock" => lock_request(&credential).encode_to_vec(),
            "CredentialService/Unlock" => v1::UnlockRequest {
                credential_id: credential,
                reason,
            }
            .encode_to_vec(),
            "CredentialService/Revoke" => revoke_request(&credential).encode_to_vec(),
            "CredentialService/ReportLeak" => v1::ReportLeakRequest {
                secrets: vec![token],
                ..Default::default()
            }
            .encode_to_vec(),
            "CredentialService/ImportCredentials" => v1::ImportCredentialsRequest {
                tenant,
                credentials: vec![v1::ImportedCredential {
                    owner,
                    profile,
                    label: "from elsewhere".to_owned(),
                    secret: Some(Secret::Plain(format!("{fresh}-0123456789abcdef"))),
                    entropy_bits: 128,
                    ..Default::default()
                }],
                reason,
            }
            .encode_to_vec(),
            "DirectoryService/PutTenant" => v1::PutTenantRequest {
                name: tenant,
                display_name: fresh,
                ..Default::default()
            }
            .encode_to_vec(),
            "DirectoryService/GetTenant" => v1::GetTenantRequest { name: tenant }.encode_to_vec(),
            "DirectoryService/ListTenants" => v1::ListTenantsRequest::default().encode_to_vec(),
            "DirectoryService/DeleteTenant" => v1::DeleteTenantRequest {
                name: empty_tenant,
                ..Default::default()
            }
            .encode_to_vec(),
            "DirectoryService/DisableTenant" => v1::DisableTenantRequest {
                name: tenant,
                ..Default::default()
            }
            .encode_to_vec(),
            "DirectoryService/EnableTenant" => v1::EnableTenantRequest {
                name: tenant,
                reason,
            }
            .encode_to_vec(),
            "DirectoryService/PutOwner" => v1::PutOwnerRequest {
                tenant,
                name: spare_owner,
                roles: vec![role],
                ..Default::default()
            }
            .encode_to_vec(),
            "DirectoryService/GetOwner" => v1::GetOwnerRequest {
                tenant,
                name: owner,
            }
            .encode_to_vec(),
            "DirectoryService/ListOwners" => v1::ListOwnersRequest {
                tenant,
                ..Default::default()
            }
            .encode_to_vec(),
            "DirectoryService/DeleteOwner" => v1::DeleteOwnerRequest {
                tenant,
                name: spare_owner,
                ..Default::default()
            }
            .encode_to_vec(),
            "DirectoryService/DisableOwner" => v1::DisableOwnerRequest {
                tenant,
                name: spare_owner,
                ..Default::default()
            }
            .encode_to_vec(),
            "DirectoryService/EnableOwner" => v1::EnableOwnerRequest {
                tenant,
                name: spare_owner,
                reason,
            }
            .encode_to_vec(),
            "DirectoryService/SetDefaultSource" => v1::SetDefaultSourceRequest {
                tenant,
                name: owner,
                ..Default::default()
            }
            .encode_to_vec(),
            "DirectoryService/PutRole" => v1::PutRoleRequest {
                tenant,
                name: role,
                description: fresh,
                permissions: vec!["feeds:read".to_owned()],
                ..Default::default()
            }
            .encode_to_vec(),
            "DirectoryService/GetRole" => v1::GetRoleRequest { tenant, name: role }.encode_to_vec(),
            "DirectoryService/ListRoles" => v1::ListRolesRequest {
                tenant,
                ..Default::default()
            }
            .encode_to_vec(),
            "DirectoryService/DeleteRole" => v1::DeleteRoleRequest {
                tenant,
                name: role,
                ..Default::default()
            }
            .encode_to_vec(),
            "DirectoryService/PutProfile" => v1::PutProfileRequest {
                profile: Some(v1::Profile {
                    display_name: fresh,
                    ..keys(&tenant, &spare_profile)
                }),
                ..Default::default()
            }
            .encode_to_vec(),
            "DirectoryService/GetProfile" => v1::GetProfileRequest {
                tenant,
                name: profile,
            }
            .encode_to_vec(),
            "DirectoryService/ListProfiles" => v1::ListProfilesRequest {
                tenant,
                ..Default::default()
            }
            .encode_to_vec(),
            "DirectoryService/DeleteProfile" => v1::DeleteProfileRequest {
                tenant,
                name: spare_profile,
                ..Default::default()
            }
            .encode_to_vec(),
            "DirectoryService/PutBinding" => v1::PutBindingRequest {
                principal: format!("dns:{fresh}.example"),
                role: "verifier".to_owned(),
                tenant,
                ..Default::default()
            }
            .encode_to_vec(),
            "DirectoryService/GetBinding" => v1::GetBindingRequest {
                principal,
                role: "verifier".to_owned(),
                tenant,
            }
            .encode_to_vec(),
            "DirectoryService/ListBindings" => v1::ListBindingsRequest {
                tenant,
                ..Default::default()
            }
            .encode_to_vec(),
            "DirectoryService/DeleteBinding" => v1::DeleteBindingRequest {
                principal,
                role: "verifier".to_owned(),
                tenant,
                ..Default::default()
            }
            .encode_to_vec(),
            "AuditService/ListEvents" => v1::ListEventsRequest {
                filter: Some(v1::AuditFilter {
                    tenant,
                    ..Default::default()
                }),
                ..Default::default()
            }
            .encode_to_vec(),
            "AuditService/VerifyChain" => v1::VerifyChainRequest::default().encode_to_vec(),
            "AuditService/EraseEvents" => v1::EraseEventsRequest {
                named: Some(v1::erase_events_request::Named::Owner(v1::AuditOwner {
                    tenant,
                    name: spare_owner,
                })),
                ..Default::default()
            }
            .encode_to_vec(),
            "OperationsService/GetStatus" => v1::GetStatusRequest {}.encode_to_vec(),
            "OperationsService/Backup" => v1::BackupRequest { reason }.encode_to_vec(),
            "OperationsService/RotatePepper" => v1::RotatePepperRequest {
                version: 1,
                ..Default::default()
            }
            .encode_to_vec(),
            "OperationsService/RetirePepper" => v1::RetirePepperRequest {
                version: 1,
                ..Default::default()
            }
            .encode_to_vec(),
            "OperationsService/RotateSealingKey" => v1::RotateSealingKeyRequest {
                version: 1,
                ..Default::default()
            }
            .encode_to_vec(),
            "OperationsService/RetireSealingKey" => v1::RetireSealingKeyRequest {
                version: 1,
                ..Default::default()
            }
            .encode_to_vec(),
            "VerificationService/Verify" => verify_token_request(&token).encode_to_vec(),
            "VerificationService/VerifyStream" => v1::VerifyStreamRequest {
                correlation: 1,
                request: Some(verify_token_request(&token)),
            }
            .encode_to_vec(),
            "VerificationService/Watch" => v1::WatchRequest {
                tenants: vec![tenant],
                ..Default::default()
            }
            .encode_to_vec(),
            _ => return None,
        })
    }
}

/// A profile of a tenant: tokens that owners may issue and see again.
pub(crate) fn keys(tenant: &str, name: &str) -> v1::Profile {
    v1::Profile {
        tenant: tenant.to_owned(),
        name: name.to_owned(),
        display_name: "Keys".to_owned(),
        kind: v1::CredentialKind::ApiToken.into(),
        headers: vec![v1::HeaderRule {
            name: "X-Key".to_owned(),
            format: Some(v1::header_rule::Format::Bare(true)),
        }],
        visibility: v1::SecretVisibility::Again.into(),
        expiry: Some(v1::ExpiryRule {
            never: v1::NeverRule::Allowed.into(),
            ..Default::default()
        }),
        multiplicity: v1::Multiplicity::Many.into(),
        owner_may_issue: true,
        ..Default::default()
    }
}
