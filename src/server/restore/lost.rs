//! What a line of the audit log says that may have denied something.

use std::sync::Arc;

use serde::Deserialize;

use crate::authority::command::{IMPORT, IMPORTED_FROM, Lost, RESTORE, RESTORED_FROM, TAKEN_BACK};
use crate::domain::audit::OK;
use crate::domain::directory::{OwnerRef, RoleRef};
use crate::domain::id::CredentialId;
use crate::domain::names::{Owner, PrincipalName, Role, Tenant};
use crate::domain::rights::{Binding, Reach};
use crate::domain::token::Generation;

/// A line, as far as it is looked at: see `crate::server::audit` for all of it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Line {
    pub(super) store: String,
    pub(super) sequence: u64,
    pub(super) hash: String,
    #[serde(default)]
    pub(super) previous_hash: String,
    #[serde(default)]
    pub(super) payload_hash: String,
    #[serde(default)]
    pub(super) recorded_at: String,
    #[serde(default)]
    pub(super) recorded_at_ms: i64,
    #[serde(default)]
    state: String,
    #[serde(default)]
    action: String,
    #[serde(default)]
    outcome: String,
    #[serde(default)]
    dry_run: bool,
    #[serde(default)]
    first_at: String,
    #[serde(default)]
    tenant: String,
    #[serde(default)]
    owner: String,
    #[serde(default)]
    role: String,
    #[serde(default)]
    bound_principal: String,
    #[serde(default)]
    credential_ids: Vec<String>,
    #[serde(default)]
    details: String,
}

/// What a line says that can't be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotUnderstood {
    /// It says nothing any more.
    #[error("what it said was erased or damaged")]
    Gone,
    /// A version of credd wrote it that can do more than this one.
    #[error("it tells of `{0}`, which this version of credd does not know")]
    Action(String),
    /// It names a credential by what is no id.
    #[error("`{0}` is no id of a credential")]
    Id(String),
}

impl Line {
    /// Whether it tells of events that were erased: they are back in the backup.
    pub(super) fn is_erasure(&self) -> bool {
        self.is_change() && self.action == "credd.v1.AuditService/EraseEvents"
    }

    /// Whether it tells that the store was exported (or, `false`, that this was given up).
    pub(super) fn is_move(&self) -> Option<bool> {
        let is_export = self.is_change() && self.action == "credd.export";
        is_export.then(|| self.details != TAKEN_BACK)
    }

    /// The store that it says this one was made of, by a restore or an import.
    pub(super) fn made_of(&self) -> Option<&str> {
        let before = match self.action.as_str() {
            RESTORE => RESTORED_FROM,
            IMPORT => IMPORTED_FROM,
            _ => return None,
        };
        let rest = self.details.strip_prefix(before)?;
        self.is_change().then(|| rest.split(' ').next()).flatten()
    }

    /// Whether it tells of a change. What changed nothing was counted, and written
    /// later than it was.
    fn is_change(&self) -> bool {
        self.outcome == OK && !self.dry_run && self.first_at == self.recorded_at
    }

    /// What it says that may have denied something.
    pub(super) fn lost(&self) -> Result<Vec<Lost>, NotUnderstood> {
        if self.state != "INTACT" {
            return Err(NotUnderstood::Gone);
        }
        if !self.is_change() {
            return Ok(Vec::new());
        }
        let Some(rpc) = self.action.strip_prefix("credd.v1.") else {
            return match self.action.as_str() {
                "credd.administrator"
                | "credd.keyring"
                | "credd.retention"
                | "credd.audit-retention"
                | "credd.others"
                | "credd.unknown-rpc"
                | RESTORE
                | "credd.export"
                | IMPORT
                | "credd.upgrade" => Ok(Vec::new()),
                other => Err(NotUnderstood::Action(other.to_owned())),
            };
        };
        Ok(match rpc {
            "CredentialService/Revoke" => self.credentials(Lost::Revoked)?,
            "CredentialService/Lock" => self.credentials(Lost::Locked)?,
            "CredentialService/Rotate" => {
                let made = self.generation();
                self.credentials(|id| Lost::Ended(id, made))?
            }
            "CredentialService/ReportLeak" | "OperationsService/RetirePepper" => {
                self.credentials(|id| Lost::Ended(id, None))?
            }
            "CredentialService/Update" => {
                self.credentials(|id| Lost::Updated(id, self.details.clone()))?
            }
            "CredentialService/Issue" => self.replaced()?,
            "DirectoryService/DisableTenant" | "DirectoryService/DeleteTenant" => {
                vec![Lost::TenantDisabled(self.tenant())]
            }
            "DirectoryService/DisableOwner" | "DirectoryService/DeleteOwner" => {
                vec![Lost::OwnerDisabled(self.owner())]
            }
            "DirectoryService/PutOwner" => {
                vec![Lost::OwnerPut(self.owner(), self.details.clone())]
            }
            "DirectoryService/PutRole" => vec![Lost::RolePut(self.role(), self.details.clone())],
            "DirectoryService/DeleteRole" => vec![Lost::RolePut(self.role(), String::new())],
            "DirectoryService/DeleteBinding" => vec![Lost::Unbound(self.binding())],
            // They deny nothing, or what is issued later alone.
            "CredentialService/Get"
            | "CredentialService/List"
            | "CredentialService/Reveal"
            | "CredentialService/Unlock"
            | "CredentialService/ImportCredentials"
            | "DirectoryService/PutTenant"
            | "DirectoryService/GetTenant"
            | "DirectoryService/ListTenants"
            | "DirectoryService/EnableTenant"
            | "DirectoryService/GetOwner"
            | "DirectoryService/ListOwners"
            | "DirectoryService/EnableOwner"
            | "DirectoryService/SetDefaultSource"
            | "DirectoryService/GetRole"
            | "DirectoryService/ListRoles"
            | "DirectoryService/PutProfile"
            | "DirectoryService/GetProfile"
            | "DirectoryService/ListProfiles"
            | "DirectoryService/DeleteProfile"
            | "DirectoryService/PutBinding"
            | "DirectoryService/GetBinding"
            | "DirectoryService/ListBindings"
            | "AuditService/ListEvents"
            | "AuditService/VerifyChain"
            | "AuditService/EraseEvents"
            | "OperationsService/GetStatus"
            | "OperationsService/Backup"
            | "OperationsService/RotatePepper"
            | "OperationsService/RotateSealingKey"
            | "OperationsService/RetireSealingKey"
            | "VerificationService/Verify"
            | "VerificationService/VerifyStream"
            | "VerificationService/Watch" => Vec::new(),
            _ => return Err(NotUnderstood::Action(self.action.clone())),
        })
    }

    fn credentials(&self, lost: impl Fn(CredentialId) -> Lost) -> Result<Vec<Lost>, NotUnderstood> {
        let ids = self.credential_ids.iter();
        ids.map(|id| Ok(lost(credential(id)?))).collect()
    }

    /// The credentials that an Issue revoked. Its own is new, and not in the backup.
    fn replaced(&self) -> Result<Vec<Lost>, NotUnderstood> {
        const CUT: &str = "...";

        if self.details.ends_with(CUT) {
            return self.credentials(Lost::Revoked);
        }
        let parts = self.details.split("; ");
        let ids = parts.filter_map(|part| part.strip_prefix("revokes "));
        ids.map(|id| Ok(Lost::Revoked(credential(id)?))).collect()
    }

    /// The number of the secret that a credential has got.
    fn generation(&self) -> Option<Generation> {
        let rest = self.details.strip_prefix("secret ")?;
        let digits = rest.split(',').next()?;
        digits.parse().ok().map(Generation::new)
    }

    fn tenant(&self) -> Tenant {
        Tenant::trusted(text(&self.tenant))
    }

    fn owner(&self) -> OwnerRef {
        OwnerRef {
            tenant: self.tenant(),
            name: Owner::trusted(text(&self.owner)),
        }
    }

    fn role(&self) -> RoleRef {
        RoleRef {
            tenant: self.tenant(),
            name: Role::trusted(text(&self.role)),
        }
    }

    fn binding(&self) -> Binding {
        Binding {
            reach: if self.tenant == Reach::All.as_str() {
                Reach::All
            } else {
                Reach::Tenant(self.tenant())
            },
            principal: PrincipalName::trusted(text(&self.bound_principal)),
            role: Role::trusted(text(&self.role)),
        }
    }
}

fn text(text: &str) -> Arc<str> {
    text.into()
}

fn credential(id: &str) -> Result<CredentialId, NotUnderstood> {
    id.parse().map_err(|_| NotUnderstood::Id(id.to_owned()))
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    /// A line that tells of a change.
    fn line(action: &str, details: &str) -> Line {
        let id = CredentialId::MAX.to_string();
        let line = serde_json::json!({
            "store": "s", "sequence": 1, "hash": "h", "state": "INTACT", "action": action,
            "outcome": "OK", "dry_run": false, "recorded_at": "t", "first_at": "t",
            "tenant": "*", "owner": "jo", "role": "reader", "bound_principal": "dns:a",
            "credential_ids": [id], "details": details,
        });
        serde_json::from_value(line).unwrap()
    }

    #[test]
    fn every_rpc_of_the_contract_is_known() {
        let set = prost_types::FileDescriptorSet::decode(crate::proto::FILE_DESCRIPTOR_SET);
        let mut rpcs = 0;
        for file in set.unwrap().file {
            for service in &file.service {
                for method in &service.method {
                    let rpc = format!("{}.{}/{}", file.package(), service.name(), method.name());
                    line(&rpc, "").lost().unwrap();
                    rpcs += 1;
                }
            }
        }
        assert!(rpcs > 40);
        for unknown in ["credd.v1.CredentialService/Shred", "credd.shredder", ""] {
            let refused = line(unknown, "").lost().unwrap_err();
            assert_eq!(refused, NotUnderstood::Action(unknown.to_owned()));
        }
    }

    #[test]
    fn what_only_asked_or_was_refused_or_counted_denied_nothing() {
        let revoke = line("credd.v1.CredentialService/Revoke", "");
        assert_eq!(revoke.lost(), Ok(vec![Lost::Revoked(CredentialId::MAX)]));
        for harmless in [
            Line {
                dry_run: true,
                ..revoke.clone()
            },
            Line {
                outcome: "CREDENTIAL_NOT_FOUND".to_owned(),
                ..revoke.clone()
            },
            Line {
                first_at: "earlier".to_owned(),
                ..revoke.clone()
            },
        ] {
            assert_eq!(harmless.lost(), Ok(Vec::new()));
        }
        let erased = Line {
            state: "ERASED".to_owned(),
            ..revoke.clone()
        };
        assert_eq!(erased.lost(), Err(NotUnderstood::Gone));
        let garbled = Line {
            credential_ids: vec!["x".to_owned()],
            ..revoke
        };
        assert_eq!(garbled.lost(), Err(NotUnderstood::Id("x".to_owned())));
    }

    #[test]
    fn an_issue_denies_those_that_it_replaced_alone() {
        let id = CredentialId::MAX;
        let issue = |details: &str| line("credd.v1.CredentialService/Issue", details).lost();
        assert_eq!(issue("secret 1"), Ok(Vec::new()));
        let replacing = format!("secret 1; revokes {id}");
        assert_eq!(issue(&replacing), Ok(vec![Lost::Revoked(id)]));
        assert_eq!(
            issue("secret 1; revokes 01..."),
            Ok(vec![Lost::Revoked(id)])
        );
    }

    #[test]
    fn a_rotation_tells_which_secret_it_made() {
        let rotate = |details: &str| line("credd.v1.CredentialService/Rotate", details).lost();
        let ended = |to| Ok(vec![Lost::Ended(CredentialId::MAX, to)]);
        assert_eq!(
            rotate("secret 12, roles a"),
            ended(Some(Generation::new(12)))
        );
        assert_eq!(rotate("secret 3"), ended(Some(Generation::new(3))));
        assert_eq!(rotate("something else"), ended(None));
    }
}
