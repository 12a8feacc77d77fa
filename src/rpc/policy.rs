//! Who may call what: the one table.

use super::limits::Load;
use crate::domain::permission::Permission;

/// What a caller needs to be let through to an RPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nothing: anybody may call it.
    Open,
    /// To be known, and to have this permission.
    Needs(Permission),
    /// The same, or to be an owner, for what is the owner's.
    OwnerOr(Permission),
}

/// What the RPC at this path needs; `None`: it stands in no row, and nobody may
/// call it.
#[must_use]
pub fn access(path: &str) -> Option<Access> {
    use Access::{Needs, Open, OwnerOr};

    if let Some(rpc) = path.strip_prefix("/credd.v1.VerificationService/") {
        return Some(match rpc {
            "Verify" | "VerifyStream" => Needs(Permission::Verify),
            "Watch" => Needs(Permission::Watch),
            _ => return None,
        });
    }
    if let Some(rpc) = path.strip_prefix("/credd.v1.CredentialService/") {
        return Some(match rpc {
            "Issue" => OwnerOr(Permission::Issue),
            "Get" | "List" => OwnerOr(Permission::Read),
            "Update" => OwnerOr(Permission::Update),
            "Rotate" => OwnerOr(Permission::Rotate),
            "Reveal" => OwnerOr(Permission::Reveal),
            "Lock" => OwnerOr(Permission::Lock),
            "Unlock" => Needs(Permission::Unlock),
            "Revoke" => OwnerOr(Permission::Revoke),
            "ReportLeak" => OwnerOr(Permission::ReportLeak),
            "ImportCredentials" => Needs(Permission::Import),
            _ => return None,
        });
    }
    if let Some(rpc) = path.strip_prefix("/credd.v1.DirectoryService/") {
        return Some(match rpc {
            "PutTenant" => Needs(Permission::PutTenants),
            "GetTenant" | "ListTenants" => Needs(Permission::ReadTenants),
            "DeleteTenant" => Needs(Permission::DeleteTenants),
            "DisableTenant" | "EnableTenant" => Needs(Permission::DisableTenants),
            "PutOwner" => Needs(Permission::PutOwners),
            "SetDefaultSource" => OwnerOr(Permission::PutOwners),
            "GetOwner" => OwnerOr(Permission::ReadOwners),
            "ListOwners" => Needs(Permission::ReadOwners),
            "DeleteOwner" => Needs(Permission::DeleteOwners),
            "DisableOwner" | "EnableOwner" => Needs(Permission::DisableOwners),
            "PutRole" => Needs(Permission::PutRoles),
            "GetRole" | "ListRoles" => Needs(Permission::ReadRoles),
            "DeleteRole" => Needs(Permission::DeleteRoles),
            "PutProfile" => Needs(Permission::PutProfiles),
            "GetProfile" | "ListProfiles" => Needs(Permission::ReadProfiles),
            "DeleteProfile" => Needs(Permission::DeleteProfiles),
            "PutBinding" => Needs(Permission::PutBindings),
            "GetBinding" | "ListBindings" => Needs(Permission::ReadBindings),
            "DeleteBinding" => Needs(Permission::DeleteBindings),
            _ => return None,
        });
    }
    if let Some(rpc) = path.strip_prefix("/credd.v1.AuditService/") {
        return Some(match rpc {
            "ListEvents" | "VerifyChain" => Needs(Permission::ReadAudit),
            "EraseEvents" => Needs(Permission::EraseAudit),
            _ => return None,
        });
    }
    if let Some(rpc) = path.strip_prefix("/credd.v1.OperationsService/") {
        return Some(match rpc {
            "GetStatus" => Needs(Permission::ReadStatus),
            "Backup" => Needs(Permission::Backup),
            "RotatePepper" | "RetirePepper" | "RotateSealingKey" | "RetireSealingKey" => {
                Needs(Permission::ManageKeys)
            }
            _ => return None,
        });
    }
    Some(match path {
        "/grpc.health.v1.Health/Check"
        | "/grpc.health.v1.Health/Watch"
        | "/grpc.health.v1.Health/List"
        | "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
        | "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo" => Open,
        _ => return None,
    })
}

/// How much the RPC at this path asks for.
#[must_use]
pub fn load(path: &str) -> Load {
    match path.rsplit_once('/').map_or("", |(_, rpc)| rpc) {
        "Verify" => Load::Verdict,
        "VerifyStream" | "Watch" | "ListEvents" | "Backup" | "ServerReflectionInfo" => Load::Stream,
        // They read all of the log, and wait for each other.
        "VerifyChain" | "EraseEvents" => Load::Reading,
        rpc if rpc.starts_with("List") => Load::Reading,
        _ => Load::Managing,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost::Message as _;

    use super::*;
    use crate::domain::names::Role;
    use crate::domain::permission::CreddGrant;

    #[test]
    fn every_rpc_of_the_contract_stands_in_the_table() {
        let set =
            prost_types::FileDescriptorSet::decode(crate::proto::FILE_DESCRIPTOR_SET).unwrap();
        let mut rpcs = 0;
        let mut of_owners = BTreeSet::new();
        for file in &set.file {
            for service in &file.service {
                for method in &service.method {
                    let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                    let access = access(&path);
                    assert!(
                        access.is_some_and(|access| access != Access::Open),
                        "{path}"
                    );
                    if let Some(Access::OwnerOr(permission)) = access {
                        of_owners.insert(permission);
                    }
                    rpcs += 1;
                }
            }
        }
        assert_eq!(rpcs, 48);
        // What who is made an owner is given.
        assert_eq!(of_owners, BTreeSet::from(Permission::OF_OWNERS));
        for service in [
            "CredentialService",
            "VerificationService",
            "DirectoryService",
            "AuditService",
            "OperationsService",
        ] {
            assert_eq!(access(&format!("/credd.v1.{service}/Nothing")), None);
        }
    }

    fn has(role: &str, permission: Permission) -> bool {
        let built_in = Role::BUILT_IN_CREDD.iter().find(|(name, _)| *name == role);
        let (_, grants) = built_in.expect("a built-in role");
        grants.iter().any(|grant| {
            let grant = CreddGrant::parse(grant).expect("a grant");
            grant.covers(permission.name())
        })
    }

    #[test]
    fn an_administrator_may_do_all_but_what_is_spared() {
        for permission in Permission::ALL {
            let spared = [
                Permission::Reveal,
                Permission::UnlockLeaked,
                Permission::OnBehalfOf,
                Permission::EraseAudit,
            ];
            let spared = spared.contains(permission);
            assert_eq!(
                has(Role::ADMINISTRATOR, *permission),
                !spared,
                "{permission:?}"
            );
        }
    }

    #[test]
    fn a_verifier_verifies_and_watches_and_reads_profiles_and_nothing_else() {
        let may = [
            Permission::Verify,
            Permission::Watch,
            Permission::ReadProfiles,
        ];
        for permission in Permission::ALL {
            assert_eq!(
                has(Role::VERIFIER, *permission),
                may.contains(permission),
                "{permission:?}"
            );
        }
    }
}
