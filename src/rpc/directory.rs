//! `DirectoryService`.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::fence::Fencing;
use super::page_token::Binding;
use super::permit::Admitted;
use super::status::{self, Violations};
use super::{Shared, convert};
use crate::authority::Authority;
use crate::authority::command::{Answer, DirectoryCommand, KnownRecord, What};
use crate::authority::committer::Done;
use crate::authority::impact::Loses;
use crate::authority::index::Reader;
use crate::authority::list::Whose;
use crate::domain::names::Tenant;
use crate::proto::v1;
use crate::proto::v1::directory_service_server::DirectoryService;

mod bindings;
mod owners;
mod profiles;
mod roles;
mod tenants;

/// The service.
#[derive(Clone, Debug)]
pub struct DirectoryRpc(Shared);

/// How a change of the directory is asked for.
struct How<'a> {
    reason: &'a str,
    dry_run: bool,
    expected_revision: Option<v1::Revision>,
    fence: bool,
}

impl<'a> How<'a> {
    /// For this reason, and no more.
    const fn because(reason: &'a str) -> Self {
        Self {
            reason,
            dry_run: false,
            expected_revision: None,
            fence: false,
        }
    }
}

impl DirectoryRpc {
    /// The service on this authority.
    #[must_use]
    pub const fn new(shared: Shared) -> Self {
        Self(shared)
    }

    /// Carries out what was read of a request, unless anything was wrong with it, and
    /// waits for its fence, if it asks for one.
    async fn change(
        &self,
        admitted: &Admitted,
        what: Option<What>,
        how: How<'_>,
        mut violations: Violations,
    ) -> Result<(Done, Option<v1::Fence>), Status> {
        let authority = self.0.authority()?;
        let How {
            reason,
            dry_run,
            expected_revision,
            fence,
        } = how;
        let reason = convert::reason(reason, &mut violations);
        let store = authority.store();
        let expected = convert::expected_revision(expected_revision, store, &mut violations);
        let (Some(what), Some(reason), Some(expected)) = (what, reason, expected) else {
            return Err(violations.status());
        };
        let permit = match &what {
            What::SetDefaultSource(owner, _) => admitted.to_owner(authority, owner)?,
            what => admitted.on(&what.reach())?,
        };
        let command = DirectoryCommand {
            what,
            reason,
            by: permit.principal().clone(),
            expected,
        };
        let fencing = Fencing::asked(fence, dry_run);
        let done = authority
            .change_directory(command, fencing.of(permit.how(dry_run)))
            .await
            .map_err(|error| status::of_command(&error))?;
        if done.changes && !dry_run {
            tracing::info!(caller = %permit.principal(), revision = %done.revision, "changed the directory");
        }
        let fence = fencing.wait(&self.0, &permit.call).await?;
        Ok((done, fence))
    }

    fn revision_of<T>(&self, known: &KnownRecord<T>, done: &Done) -> Result<v1::Revision, Status> {
        let revision = known.revision.unwrap_or(done.revision);
        Ok(convert::revision(self.0.authority()?.store(), revision))
    }

    /// The commit of a deletion.
    fn deleted(&self, done: &Done) -> Result<Option<v1::Revision>, Status> {
        let revision = match &done.answer {
            Answer::Tenant(known) => known.revision,
            Answer::Owner(known) => known.revision,
            Answer::Role(known) => known.revision,
            Answer::Profile(_, known) => known.revision,
            Answer::Binding(known) => known.revision,
            _ => None,
        };
        let revision = revision.unwrap_or(done.revision);
        Ok(Some(convert::revision(
            self.0.authority()?.store(),
            revision,
        )))
    }
}

/// What a change touches by which credentials of these lose something; `None`:
/// they lose nothing.
async fn impact(
    shared: &Shared,
    whose: Whose,
    loses: Option<Loses>,
) -> Result<Option<v1::Impact>, Status> {
    let Some(loses) = loses else {
        return Ok(Some(v1::Impact::default()));
    };
    let authority = Arc::clone(shared.authority()?);
    let read = move || authority.impact_on(whose, &loses);
    let impact = shared.limits.read(read).await?;
    Ok(Some(convert::credential::impact(&impact)))
}

/// A page of what is listed by name.
struct Page<T> {
    items: Vec<T>,
    next_page_token: String,
    revision: v1::Revision,
}

/// Reads a page of a list that is bound to `binding`: up to the asked number of
/// items after a name, each with the name by which it is listed.
fn page<T>(
    authority: &Authority,
    binding: &Binding,
    page_size: i32,
    page_token: &str,
    read: impl Fn(Reader<'_>, &str, usize) -> Vec<(String, T)>,
) -> Result<Page<T>, Status> {
    let mut violations = Violations::default();
    let limit = convert::page_size(page_size, &mut violations);
    let limit = limit.ok_or_else(|| violations.status())?;
    let keyring = authority.keys().full();
    let after = match page_token {
        "" => String::new(),
        token => {
            let opened = binding.open(&keyring, token).ok();
            let name = opened.and_then(|text| String::from_utf8(text).ok());
            name.ok_or_else(status::bad_page_token)?
        }
    };
    let (revision, mut found) = authority
        .index()
        .read(|index| read(index, &after, limit + 1));
    let more = found.len() > limit;
    found.truncate(limit);
    let next_page_token = match found.last().filter(|_| more) {
        Some((name, _)) => binding
            .seal(&keyring, authority.random(), name.as_bytes())
            .map_err(|error| status::internal(&error))?,
        None => String::new(),
    };
    Ok(Page {
        items: found.into_iter().map(|(_, item)| item).collect(),
        next_page_token,
        revision: convert::revision(authority.store(), revision),
    })
}

fn read_tenant(tenant: &str) -> Result<Tenant, Status> {
    let mut violations = Violations::default();
    let read = violations.check("tenant", Tenant::parse(tenant));
    read.ok_or_else(|| violations.status())
}

#[tonic::async_trait]
impl DirectoryService for DirectoryRpc {
    async fn put_tenant(
        &self,
        request: Request<v1::PutTenantRequest>,
    ) -> Result<Response<v1::PutTenantResponse>, Status> {
        tenants::put(self, request).await
    }

    async fn get_tenant(
        &self,
        request: Request<v1::GetTenantRequest>,
    ) -> Result<Response<v1::GetTenantResponse>, Status> {
        tenants::get(self, request)
    }

    async fn list_tenants(
        &self,
        request: Request<v1::ListTenantsRequest>,
    ) -> Result<Response<v1::ListTenantsResponse>, Status> {
        let service = self.clone();
        self.0
            .limits
            .read(move || tenants::list(&service, request))
            .await?
    }

    async fn delete_tenant(
        &self,
        request: Request<v1::DeleteTenantRequest>,
    ) -> Result<Response<v1::DeleteTenantResponse>, Status> {
        tenants::delete(self, request).await
    }

    async fn disable_tenant(
        &self,
        request: Request<v1::DisableTenantRequest>,
    ) -> Result<Response<v1::DisableTenantResponse>, Status> {
        tenants::disable(self, request).await
    }

    async fn enable_tenant(
        &self,
        request: Request<v1::EnableTenantRequest>,
    ) -> Result<Response<v1::EnableTenantResponse>, Status> {
        tenants::enable(self, request).await
    }

    async fn put_owner(
        &self,
        request: Request<v1::PutOwnerRequest>,
    ) -> Result<Response<v1::PutOwnerResponse>, Status> {
        owners::put(self, request).await
    }

    async fn get_owner(
        &self,
        request: Request<v1::GetOwnerRequest>,
    ) -> Result<Response<v1::GetOwnerResponse>, Status> {
        owners::get(self, request)
    }

    async fn list_owners(
        &self,
        request: Request<v1::ListOwnersRequest>,
    ) -> Result<Response<v1::ListOwnersResponse>, Status> {
        let service = self.clone();
        self.0
            .limits
            .read(move || owners::list(&service, request))
            .await?
    }

    async fn delete_owner(
        &self,
        request: Request<v1::DeleteOwnerRequest>,
    ) -> Result<Response<v1::DeleteOwnerResponse>, Status> {
        owners::delete(self, request).await
    }

    async fn disable_owner(
        &self,
        request: Request<v1::DisableOwnerRequest>,
    ) -> Result<Response<v1::DisableOwnerResponse>, Status> {
        owners::disable(self, request).await
    }

    async fn enable_owner(
        &self,
        request: Request<v1::EnableOwnerRequest>,
    ) -> Result<Response<v1::EnableOwnerResponse>, Status> {
        owners::enable(self, request).await
    }

    async fn set_default_source(
        &self,
        request: Request<v1::SetDefaultSourceRequest>,
    ) -> Result<Response<v1::SetDefaultSourceResponse>, Status> {
        owners::set_default_source(self, request).await
    }

    async fn put_role(
        &self,
        request: Request<v1::PutRoleRequest>,
    ) -> Result<Response<v1::PutRoleResponse>, Status> {
        roles::put(self, request).await
    }

    async fn get_role(
        &self,
        request: Request<v1::GetRoleRequest>,
    ) -> Result<Response<v1::GetRoleResponse>, Status> {
        roles::get(self, request)
    }

    async fn list_roles(
        &self,
        request: Request<v1::ListRolesRequest>,
    ) -> Result<Response<v1::ListRolesResponse>, Status> {
        let service = self.clone();
        self.0
            .limits
            .read(move || roles::list(&service, request))
            .await?
    }

    async fn delete_role(
        &self,
        request: Request<v1::DeleteRoleRequest>,
    ) -> Result<Response<v1::DeleteRoleResponse>, Status> {
        roles::delete(self, request).await
    }

    async fn put_profile(
        &self,
        request: Request<v1::PutProfileRequest>,
    ) -> Result<Response<v1::PutProfileResponse>, Status> {
        profiles::put(self, request).await
    }

    async fn get_profile(
        &self,
        request: Request<v1::GetProfileRequest>,
    ) -> Result<Response<v1::GetProfileResponse>, Status> {
        profiles::get(self, request)
    }

    async fn list_profiles(
        &self,
        request: Request<v1::ListProfilesRequest>,
    ) -> Result<Response<v1::ListProfilesResponse>, Status> {
        let service = self.clone();
        self.0
            .limits
            .read(move || profiles::list(&service, request))
            .await?
    }

    async fn delete_profile(
        &self,
        request: Request<v1::DeleteProfileRequest>,
    ) -> Result<Response<v1::DeleteProfileResponse>, Status> {
        profiles::delete(self, request).await
    }

    async fn put_binding(
        &self,
        request: Request<v1::PutBindingRequest>,
    ) -> Result<Response<v1::PutBindingResponse>, Status> {
        bindings::put(self, request).await
    }

    async fn get_binding(
        &self,
        request: Request<v1::GetBindingRequest>,
    ) -> Result<Response<v1::GetBindingResponse>, Status> {
        bindings::get(self, request)
    }

    async fn list_bindings(
        &self,
        request: Request<v1::ListBindingsRequest>,
    ) -> Result<Response<v1::ListBindingsResponse>, Status> {
        let service = self.clone();
        self.0
            .limits
            .read(move || bindings::list(&service, request))
            .await?
    }

    async fn delete_binding(
        &self,
        request: Request<v1::DeleteBindingRequest>,
    ) -> Result<Response<v1::DeleteBindingResponse>, Status> {
        bindings::delete(self, request).await
    }
}
