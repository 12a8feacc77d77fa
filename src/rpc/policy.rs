//! Who may call what: the one table.

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

macro_rules! permissions {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// A permission that guards credd itself.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Permission {
            $($(#[$doc])* $name,)*
        }

        impl Permission {
            /// Every permission.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// Its name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

permissions! {
    /// To issue credentials.
    Issue = "credd.credentials.issue",
    /// To see credentials.
    Read = "credd.credentials.read",
    /// To change what credentials say.
    Update = "credd.credentials.update",
    /// To give credentials new secrets.
    Rotate = "credd.credentials.rotate",
    /// To see secrets again that can be viewed.
    Reveal = "credd.credentials.reveal",
    /// To lock credentials.
    Lock = "credd.credentials.lock",
    /// To unlock credentials.
    Unlock = "credd.credentials.unlock",
    /// To unlock credentials that leaked.
    UnlockLeaked = "credd.credentials.unlock-leaked",
    /// To revoke credentials.
    Revoke = "credd.credentials.revoke",
    /// To report secrets that were found where they should not be.
    ReportLeak = "credd.credentials.report-leak",
    /// To bring credentials from elsewhere.
    Import = "credd.credentials.import",
    /// To put tenants.
    PutTenants = "credd.tenants.put",
    /// To see tenants.
    ReadTenants = "credd.tenants.read",
    /// To delete tenants.
    DeleteTenants = "credd.tenants.delete",
    /// To disable tenants and to enable them.
    DisableTenants = "credd.tenants.disable",
    /// To put owners.
    PutOwners = "credd.owners.put",
    /// To see owners.
    ReadOwners = "credd.owners.read",
    /// To delete owners.
    DeleteOwners = "credd.owners.delete",
    /// To disable owners and to enable them.
    DisableOwners = "credd.owners.disable",
    /// To put roles.
    PutRoles = "credd.roles.put",
    /// To see roles.
    ReadRoles = "credd.roles.read",
    /// To delete roles.
    DeleteRoles = "credd.roles.delete",
    /// To put profiles.
    PutProfiles = "credd.profiles.put",
    /// To see profiles.
    ReadProfiles = "credd.profiles.read",
    /// To delete profiles.
    DeleteProfiles = "credd.profiles.delete",
    /// To ask whether a presented credential is good.
    Verify = "credd.verify",
    /// To follow what changes.
    Watch = "credd.watch",
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

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::domain::names::Role;
    use crate::domain::permission::CreddGrant;

    #[test]
    fn every_rpc_of_the_contract_stands_in_the_table() {
        let set =
            prost_types::FileDescriptorSet::decode(crate::proto::FILE_DESCRIPTOR_SET).unwrap();
        let mut rpcs = 0;
        for file in &set.file {
            for service in &file.service {
                for method in &service.method {
                    let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                    let access = access(&path);
                    assert!(
                        access.is_some_and(|access| access != Access::Open),
                        "{path}"
                    );
                    rpcs += 1;
                }
            }
        }
        assert_eq!(rpcs, 35);
        for service in [
            "CredentialService",
            "VerificationService",
            "DirectoryService",
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
    fn an_administrator_may_do_all_but_show_a_secret_again_and_unlock_what_leaked() {
        for permission in Permission::ALL {
            let spared = [Permission::Reveal, Permission::UnlockLeaked].contains(permission);
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
