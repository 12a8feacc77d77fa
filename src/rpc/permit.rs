//! What a call that was let in may touch.
//!
//! The layer lets in whoever has the permission anywhere, or is an owner. Whether
//! that is enough for what the request names, is decided here: a handler gets from
//! its [`Admitted`] a [`Permit`] for one tenant, owner or credential, and nothing
//! else names who asks.
//!
//! Tenants are walls. To a caller who may not see a record there is none; and what
//! is refused because of a tenant is refused whether there is such a tenant or not.

use std::sync::Arc;

use tonic::{Request, Status};

use super::status;
use crate::authority::Authority;
use crate::authority::caller::{Call, Origin};
use crate::authority::command::Thing;
use crate::authority::committer::How;
use crate::authority::entry::Entry;
use crate::authority::list::Whose;
use crate::domain::audit::Subject;
use crate::domain::directory::OwnerRef;
use crate::domain::id::CredentialId;
use crate::domain::names::{Principal, Tenant};
use crate::domain::permission::Permission;
use crate::domain::rights::{Reach, Tenants};

/// A call that the layer let in.
#[derive(Clone, Debug)]
pub struct Admitted(pub Arc<Call>);

/// That a call may do what it asks for.
#[derive(Clone, Debug)]
pub struct Permit {
    /// The call.
    pub call: Arc<Call>,
    /// Whether it may because the caller is the owner, and not by a permission.
    pub as_owner: bool,
}

/// The call of a request that the layer let in.
///
/// # Errors
///
/// UNAUTHENTICATED if the layer let nobody in: the service was built without it.
pub fn admitted<T>(request: &Request<T>) -> Result<Admitted, Status> {
    let admitted = request.extensions().get::<Admitted>();
    admitted.cloned().ok_or_else(status::unauthenticated)
}

impl Permit {
    /// Who asks.
    #[must_use]
    pub fn principal(&self) -> &Principal {
        self.call.caller.principal()
    }

    /// How a command of this call is asked for.
    #[must_use]
    pub fn how(&self, dry: bool) -> How {
        if dry {
            self.call.trace.set_dry();
        }
        How {
            origin: Origin::Call(Arc::clone(&self.call)),
            dry,
            fence: None,
        }
    }
}

impl Admitted {
    /// Whom page tokens are sealed to.
    #[must_use]
    pub fn principal(&self) -> &Principal {
        self.0.caller.principal()
    }

    /// The tenants on which the caller has the permission of the RPC.
    #[must_use]
    pub fn reach(&self) -> &Tenants {
        &self.0.reach
    }

    /// How a command is asked for that touches only what [`Admitted::on_entry`]
    /// gave a permit for.
    #[must_use]
    pub fn how(&self, dry: bool) -> How {
        self.permit().how(dry)
    }

    fn permit(&self) -> Permit {
        Permit {
            call: Arc::clone(&self.0),
            as_owner: false,
        }
    }

    /// Notes for the audit log what the call is about.
    fn note(&self, tenant: &str, owner: &str) {
        self.0.trace.set_subject(Subject {
            tenant: tenant.to_owned(),
            owner: owner.to_owned(),
            ..Subject::default()
        });
    }

    fn denied(&self) -> Status {
        status::permission_denied(self.0.permission.name())
    }

    /// To do it on a tenant, or on all.
    ///
    /// # Errors
    ///
    /// `PERMISSION_DENIED`.
    pub fn on(&self, reach: &Reach) -> Result<Permit, Status> {
        self.note(reach.as_str(), "");
        if self.0.reach.include(reach) {
            Ok(self.permit())
        } else {
            Err(self.denied())
        }
    }

    /// To do it on a tenant.
    ///
    /// # Errors
    ///
    /// `PERMISSION_DENIED`.
    pub fn on_tenant(&self, tenant: &Tenant) -> Result<Permit, Status> {
        self.note(tenant.as_str(), "");
        if self.0.reach.has(tenant.as_str()) {
            Ok(self.permit())
        } else {
            Err(self.denied())
        }
    }

    /// To see a record of a tenant.
    ///
    /// # Errors
    ///
    /// `NOT_FOUND`, as if there were no such thing.
    pub fn to_see(&self, reach: &Reach, thing: Thing) -> Result<(), Status> {
        self.note(reach.as_str(), "");
        if self.0.reach.include(reach) {
            Ok(())
        } else {
            Err(status::unknown(thing))
        }
    }

    /// To do it to what is an owner's, by the permission or as the owner.
    ///
    /// # Errors
    ///
    /// `PERMISSION_DENIED`.
    pub fn on_owner(&self, authority: &Authority, owner: &OwnerRef) -> Result<Permit, Status> {
        let permit = self.on_tenant(&owner.tenant);
        self.note(owner.tenant.as_str(), owner.name.as_str());
        permit.or_else(|denied| {
            let is_owner = authority.is_owner_named(&self.0, &owner.tenant, &owner.name);
            self.as_owner_if(is_owner, denied)
        })
    }

    /// To do it to an owner, by the permission or as the owner.
    ///
    /// # Errors
    ///
    /// `PERMISSION_DENIED`; `NOT_FOUND` to a caller who may not see the owner.
    pub fn to_owner(&self, authority: &Authority, owner: &OwnerRef) -> Result<Permit, Status> {
        self.on_owner(authority, owner).map_err(|denied| {
            let seen = authority.reach(&self.0.caller, Permission::ReadOwners);
            if seen.has(owner.tenant.as_str()) {
                denied
            } else {
                status::unknown(Thing::Owner)
            }
        })
    }

    /// To do it to those credentials.
    ///
    /// # Errors
    ///
    /// `PERMISSION_DENIED`; `INVALID_ARGUMENT` if they are everybody's and the caller
    /// has the permission on some tenants only.
    pub fn on_whose(&self, authority: &Authority, whose: &Whose) -> Result<Permit, Status> {
        match whose {
            Whose::All => match &self.0.reach {
                Tenants::All => Ok(self.permit()),
                Tenants::Of(tenants) if tenants.is_empty() => Err(self.denied()),
                Tenants::Of(_) => Err(status::invalid(
                    "filter.tenant",
                    "is required: the permission reaches some tenants only",
                )),
            },
            Whose::Tenant(tenant) => self.on_tenant(tenant),
            Whose::Owner(tenant, name) => {
                let (tenant, name) = (tenant.clone(), name.clone());
                self.on_owner(authority, &OwnerRef { tenant, name })
            }
        }
    }

    /// To do it to one credential, by the permission or as its owner.
    ///
    /// # Errors
    ///
    /// `NOT_FOUND` if there is none, and to a caller who may not see it;
    /// `PERMISSION_DENIED` to one who may.
    pub fn on_credential(&self, authority: &Authority, id: CredentialId) -> Result<Permit, Status> {
        let (_, entry) = authority.index().read(|index| index.credential(id));
        self.0.trace.set_subject(match &entry {
            Some(entry) => authority.subject_of(entry),
            None => Subject {
                credentials: vec![id],
                ..Subject::default()
            },
        });
        let entry = entry.ok_or_else(|| status::not_found(id))?;
        if let Some(permit) = self.on_entry(authority, &entry) {
            return Ok(permit);
        }
        let seen = authority.reach(&self.0.caller, Permission::Read);
        if seen.has(tenant_of(authority, &entry)) {
            Err(self.denied())
        } else {
            Err(status::not_found(id))
        }
    }

    /// The same, for one that is known.
    #[must_use]
    pub fn on_entry(&self, authority: &Authority, entry: &Entry) -> Option<Permit> {
        if self.0.reach.has(tenant_of(authority, entry)) {
            return Some(self.permit());
        }
        let is_owner = authority.is_owner(&self.0, entry.owner());
        self.as_owner_if(is_owner, self.denied()).ok()
    }

    fn as_owner_if(&self, is_owner: bool, denied: Status) -> Result<Permit, Status> {
        if is_owner {
            let as_owner = true;
            let call = Arc::clone(&self.0);
            Ok(Permit { call, as_owner })
        } else {
            Err(denied)
        }
    }
}

fn tenant_of<'a>(authority: &'a Authority, entry: &Entry) -> &'a str {
    let index = authority.index();
    index.directory().tenant_name(entry.tenant(), index.names())
}
