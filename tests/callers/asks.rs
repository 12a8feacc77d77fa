//! Random changes of everything.

use credd::proto::v1;
use rand::RngExt as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use tonic::Status;

use crate::caller::Caller;
use crate::calls::{Held, imported, issue_request};
use crate::requests::keys;
use crate::rights::PLACES;
use crate::support::lock_request;

pub(crate) const CALLERS: [&str; 4] = ["ann", "bob", "cat", "dan"];
pub(crate) const PRINCIPALS: [&str; 5] = [
    "credd:ann",
    "credd:bob",
    "credd:cat",
    "credd:dan",
    "dns:eve",
];
pub(crate) const TENANTS: [&str; 2] = ["acme", "globex"];
pub(crate) const OWNERS: [&str; 2] = ["jo", "mia"];
pub(crate) const ROLES: [&str; 3] = ["one", "two", "three"];
pub(crate) const CREDD_ROLES: [&str; 6] = [
    "one",
    "two",
    "three",
    "administrator",
    "auditor",
    "verifier",
];
pub(crate) const GRANTS: [&str; 5] = ["*:*", "feeds:*", "*:read", "feeds:read", "alerts:write"];
pub(crate) const CREDD_GRANTS: [&str; 13] = [
    "credd.*",
    "credd.credentials.*",
    "credd.credentials.issue",
    "credd.credentials.rotate",
    "credd.credentials.reveal",
    "credd.credentials.update",
    "credd.roles.*",
    "credd.bindings.*",
    "credd.owners.*",
    "credd.profiles.put",
    "credd.permissions.give",
    "credd.on-behalf-of",
    "credd.verify",
];

/// A call, with names that were picked at random.
#[derive(Clone, Debug)]
pub(crate) enum Ask {
    PutRole(v1::PutRoleRequest),
    DeleteRole(v1::DeleteRoleRequest),
    Bind(v1::PutBindingRequest),
    Unbind(v1::DeleteBindingRequest),
    PutOwner(v1::PutOwnerRequest),
    DisableOwner(v1::DisableOwnerRequest),
    EnableOwner(v1::EnableOwnerRequest),
    PutProfile(Box<v1::Profile>),
    Issue(String, String, Vec<String>),
    Update(String, Vec<String>),
    Rotate(String),
    Reveal(String),
    Lock(String),
    Unlock(String),
    Import(String, String, Vec<String>, u64),
}

/// What is picked from.
pub(crate) struct Dice {
    pub(crate) random: StdRng,
}

impl Dice {
    pub(crate) fn one(&mut self, of: &[&str]) -> String {
        (*of.choose(&mut self.random).unwrap()).to_owned()
    }

    /// None to two of them, none twice.
    pub(crate) fn some(&mut self, of: &[&str]) -> Vec<String> {
        let count = self.random.random_range(0..3);
        let mut some: Vec<_> = (0..count).map(|_| self.one(of)).collect();
        some.sort_unstable();
        some.dedup();
        some
    }

    pub(crate) fn ask(&mut self, ids: &[String]) -> Ask {
        let id = |dice: &mut Self| ids.choose(&mut dice.random).unwrap().clone();
        let tenant = self.one(&TENANTS);
        match self.random.random_range(0..20) {
            0..=2 => {
                let tenant = self.one(&["acme", "globex", "credd"]);
                let grants: &[&str] = if tenant == "credd" {
                    &CREDD_GRANTS
                } else {
                    &GRANTS
                };
                Ask::PutRole(v1::PutRoleRequest {
                    name: self.one(&ROLES),
                    permissions: self.some(grants),
                    tenant,
                    ..Default::default()
                })
            }
            3 => Ask::DeleteRole(v1::DeleteRoleRequest {
                tenant: self.one(&["acme", "globex", "credd"]),
                name: self.one(&["three"]),
                ..Default::default()
            }),
            4..=6 => Ask::Bind(v1::PutBindingRequest {
                principal: self.one(&PRINCIPALS),
                role: self.one(&CREDD_ROLES),
                tenant: self.one(&PLACES),
                ..Default::default()
            }),
            7 => Ask::Unbind(v1::DeleteBindingRequest {
                principal: self.one(&PRINCIPALS),
                role: self.one(&CREDD_ROLES),
                tenant: self.one(&PLACES),
                ..Default::default()
            }),
            8 | 9 => Ask::PutOwner(v1::PutOwnerRequest {
                tenant,
                name: self.one(&OWNERS),
                roles: self.some(&["one", "two", "three", "full-access"]),
                principals: self.some(&PRINCIPALS),
                ..Default::default()
            }),
            10 => Ask::PutOwner(v1::PutOwnerRequest {
                tenant: "credd".to_owned(),
                name: self.one(&CALLERS),
                principals: self.some(&PRINCIPALS),
                ..Default::default()
            }),
            11 => {
                let (tenant, name) = (self.one(&["acme", "credd"]), self.one(&CALLERS));
                if self.random.random() {
                    Ask::DisableOwner(v1::DisableOwnerRequest {
                        tenant,
                        name,
                        ..Default::default()
                    })
                } else {
                    Ask::EnableOwner(v1::EnableOwnerRequest {
                        tenant,
                        name,
                        ..Default::default()
                    })
                }
            }
            12 => {
                let tenant = self.one(&["", "acme", "globex"]);
                let name = format!("{tenant}-own");
                Ask::PutProfile(Box::new(v1::Profile {
                    owner_may_issue: self.random.random(),
                    ..keys(&tenant, name.trim_start_matches('-'))
                }))
            }
            13 => Ask::Issue(tenant, self.one(&OWNERS), self.some(&ROLES)),
            14 => Ask::Issue(
                "credd".to_owned(),
                self.one(&CALLERS),
                self.some(&CREDD_ROLES),
            ),
            15 | 16 => Ask::Update(id(self), self.some(&CREDD_ROLES)),
            17 => Ask::Rotate(id(self)),
            18 => Ask::Reveal(id(self)),
            _ => match self.random.random_range(0..3) {
                0 => Ask::Lock(id(self)),
                1 => Ask::Unlock(id(self)),
                _ => {
                    let (owner, roles) = (self.one(&OWNERS), self.some(&ROLES));
                    Ask::Import(tenant, owner, roles, self.random.random())
                }
            },
        }
    }
}

impl Ask {
    /// Calls it; returns the secret that the caller got.
    pub(crate) async fn by(&self, caller: &Caller) -> Result<Option<Held>, Status> {
        let (mut directory, mut credentials) = (caller.directory(), caller.credentials());
        let (reason, no_secret) = (String::new(), None);
        match self.clone() {
            Self::PutRole(role) => directory.put_role(role).await.map(|_| no_secret),
            Self::DeleteRole(role) => directory.delete_role(role).await.map(|_| no_secret),
            Self::Bind(binding) => directory.put_binding(binding).await.map(|_| no_secret),
            Self::Unbind(binding) => directory.delete_binding(binding).await.map(|_| no_secret),
            Self::PutOwner(owner) => directory.put_owner(owner).await.map(|_| no_secret),
            Self::DisableOwner(owner) => directory.disable_owner(owner).await.map(|_| no_secret),
            Self::EnableOwner(owner) => directory.enable_owner(owner).await.map(|_| no_secret),
            Self::PutProfile(profile) => {
                let request = v1::PutProfileRequest {
                    profile: Some(*profile),
                    ..Default::default()
                };
                directory.put_profile(request).await.map(|_| no_secret)
            }
            Self::Issue(tenant, owner, roles) => {
                let profile = if tenant == "credd" {
                    "api-token"
                } else {
                    "keys"
                };
                let request = v1::IssueRequest {
                    roles,
                    ..issue_request(&tenant, &owner, profile)
                };
                let issued = credentials.issue(request).await?.into_inner();
                Ok(Some(Held::of(issued.credential.as_ref(), issued.secret)))
            }
            Self::Update(credential_id, roles) => {
                let request = v1::UpdateRequest {
                    credential_id,
                    roles,
                    update_mask: Some(prost_types::FieldMask {
                        paths: vec!["roles".to_owned()],
                    }),
                    ..Default::default()
                };
                credentials.update(request).await.map(|_| no_secret)
            }
            Self::Rotate(credential_id) => {
                let request = v1::RotateRequest {
                    credential_id,
                    ..Default::default()
                };
                let rotated = credentials.rotate(request).await?.into_inner();
                Ok(Some(Held::of(rotated.credential.as_ref(), rotated.secret)))
            }
            Self::Reveal(credential_id) => {
                let request = v1::RevealRequest {
                    credential_id,
                    reason,
                };
                let shown = credentials.reveal(request).await?.into_inner();
                Ok(Some(Held::of(shown.credential.as_ref(), shown.secret)))
            }
            Self::Lock(id) => credentials.lock(lock_request(&id)).await.map(|_| no_secret),
            Self::Unlock(credential_id) => {
                let request = v1::UnlockRequest {
                    credential_id,
                    reason,
                };
                credentials.unlock(request).await.map(|_| no_secret)
            }
            Self::Import(tenant, owner, roles, n) => {
                let request = v1::ImportCredentialsRequest {
                    tenant,
                    credentials: vec![v1::ImportedCredential {
                        owner,
                        roles,
                        ..imported("keys", "", &format!("imported-{n:020}"))
                    }],
                    reason,
                };
                let answer = credentials.import_credentials(request).await;
                answer.map(|_| no_secret)
            }
        }
    }
}
