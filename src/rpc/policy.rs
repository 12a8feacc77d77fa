//! Who may call what: the one table.

use crate::domain::names::Role;

/// What a caller needs to be let through to an RPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nothing: anybody may call it.
    Open,
    /// To be known, and to have this permission.
    Needs(Permission),
}

/// A permission that guards credd itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// To issue credentials.
    Issue,
    /// To see credentials.
    Read,
    /// To lock credentials.
    Lock,
    /// To unlock credentials.
    Unlock,
    /// To revoke credentials.
    Revoke,
    /// To ask whether a presented credential is good.
    Verify,
    /// To follow what changes.
    Watch,
}

impl Permission {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Issue => "credd.credentials.issue",
            Self::Read => "credd.credentials.read",
            Self::Lock => "credd.credentials.lock",
            Self::Unlock => "credd.credentials.unlock",
            Self::Revoke => "credd.credentials.revoke",
            Self::Verify => "credd.verify",
            Self::Watch => "credd.watch",
        }
    }

    /// Whether a role of credd's own tenant includes it.
    #[must_use]
    pub fn is_in(self, role: &str) -> bool {
        match role {
            Role::ADMINISTRATOR => true,
            Role::VERIFIER => matches!(self, Self::Verify | Self::Watch),
            _ => false,
        }
    }
}

/// What the RPC at this path needs; `None`: it stands in no row, and nobody may
/// call it.
#[must_use]
pub fn access(path: &str) -> Option<Access> {
    use Access::{Needs, Open};

    Some(match path {
        "/credd.v1.CredentialService/Issue" => Needs(Permission::Issue),
        "/credd.v1.CredentialService/Get" | "/credd.v1.CredentialService/List" => {
            Needs(Permission::Read)
        }
        "/credd.v1.CredentialService/Lock" => Needs(Permission::Lock),
        "/credd.v1.CredentialService/Unlock" => Needs(Permission::Unlock),
        "/credd.v1.CredentialService/Revoke" => Needs(Permission::Revoke),
        "/credd.v1.VerificationService/Verify" | "/credd.v1.VerificationService/VerifyStream" => {
            Needs(Permission::Verify)
        }
        "/credd.v1.VerificationService/Watch" => Needs(Permission::Watch),
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

    #[test]
    fn every_rpc_of_the_contract_stands_in_the_table() {
        let set =
            prost_types::FileDescriptorSet::decode(crate::proto::FILE_DESCRIPTOR_SET).unwrap();
        let mut rpcs = 0;
        for file in &set.file {
            for service in &file.service {
                for method in &service.method {
                    let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                    assert!(matches!(access(&path), Some(Access::Needs(_))), "{path}");
                    rpcs += 1;
                }
            }
        }
        assert_eq!(rpcs, 9);
        assert_eq!(access("/credd.v1.CredentialService/Nothing"), None);
    }

    #[test]
    fn a_verifier_verifies_and_watches_and_nothing_else() {
        use Permission::{Issue, Lock, Read, Revoke, Unlock, Verify, Watch};
        for permission in [Issue, Read, Lock, Unlock, Revoke] {
            assert!(!permission.is_in(Role::VERIFIER), "{permission:?}");
            assert!(permission.is_in(Role::ADMINISTRATOR), "{permission:?}");
        }
        for permission in [Verify, Watch] {
            assert!(permission.is_in(Role::VERIFIER), "{permission:?}");
            assert!(!permission.is_in("auditor"), "{permission:?}");
        }
    }
}
