//! Tenants.

use tonic::{Request, Response, Status};

use super::{DirectoryRpc, How, impact, page};
use crate::authority::Authority;
use crate::authority::command::{Answer, Thing, What};
use crate::authority::committer::Done;
use crate::authority::directory::TenantNumber;
use crate::authority::impact::Loses;
use crate::authority::index::Reader;
use crate::authority::list::Whose;
use crate::domain::names::Tenant;
use crate::domain::revision::Revision;
use crate::domain::rights::Reach;
use crate::proto::v1::{
    self, DeleteTenantRequest, DeleteTenantResponse, DisableTenantRequest, DisableTenantResponse,
    EnableTenantRequest, EnableTenantResponse, GetTenantRequest, GetTenantResponse,
    ListTenantsRequest, ListTenantsResponse, PutTenantRequest, PutTenantResponse,
};
use crate::rpc::convert::{self, directory as wire};
use crate::rpc::page_token::Binding;
use crate::rpc::permit::admitted;
use crate::rpc::status::{self, Violations};

pub(super) async fn put(
    service: &DirectoryRpc,
    request: Request<PutTenantRequest>,
) -> Result<Response<PutTenantResponse>, Status> {
    let admitted = admitted(&request)?;
    let request = request.into_inner();
    let mut violations = Violations::default();
    let put = wire::put_tenant(&request, &mut violations);
    let name = put.as_ref().map(|put| put.name.clone());
    let how = How {
        reason: &request.reason,
        dry_run: request.dry_run,
        expected_revision: request.expected_revision,
        fence: false,
    };
    let what = put.map(What::PutTenant);
    let (done, _) = service.change(&admitted, what, how, violations).await?;
    let name = name.ok_or_else(|| status::unknown(Thing::Tenant))?;
    let (tenant, revision) = tenant_of(service, &name, &done)?;
    Ok(Response::new(PutTenantResponse {
        tenant: Some(tenant),
        revision: Some(revision),
    }))
}

pub(super) fn get(
    service: &DirectoryRpc,
    request: Request<GetTenantRequest>,
) -> Result<Response<GetTenantResponse>, Status> {
    let authority = service.0.authority()?;
    let admitted = admitted(&request)?;
    let GetTenantRequest { name } = request.into_inner();
    let mut violations = Violations::default();
    let name = wire::tenant_name(&name, &mut violations);
    let name = name.ok_or_else(|| violations.status())?;
    admitted.to_see(&Reach::Tenant(name.clone()), Thing::Tenant)?;
    let (revision, tenant) = authority.index().read(|index| {
        let number = index.directory().tenant(name.as_str(), index.names())?;
        let is_there = tenant_is_there(index, number);
        is_there.then(|| tenant_message(authority, index, name.as_str(), number))
    });
    Ok(Response::new(GetTenantResponse {
        tenant: Some(tenant.ok_or_else(|| status::unknown(Thing::Tenant))?),
        revision: Some(convert::revision(authority.store(), revision)),
    }))
}

pub(super) fn list(
    service: &DirectoryRpc,
    request: Request<ListTenantsRequest>,
) -> Result<Response<ListTenantsResponse>, Status> {
    let authority = service.0.authority()?;
    let admitted = admitted(&request)?;
    let ListTenantsRequest {
        page_size,
        page_token,
    } = request.into_inner();
    let binding = Binding::new("tenants", admitted.principal());
    let page = page(
        authority,
        &binding,
        page_size,
        &page_token,
        |index, after, limit| {
            let all = index.directory().tenants_after(after, usize::MAX);
            let there = all
                .into_iter()
                .filter(|(name, _)| admitted.reach().has(name))
                .filter(|(_, number)| tenant_is_there(index, *number));
            there
                .take(limit)
                .map(|(name, number)| {
                    let tenant = tenant_message(authority, index, &name, number);
                    (name.to_string(), tenant)
                })
                .collect()
        },
    )?;
    Ok(Response::new(ListTenantsResponse {
        tenants: page.items,
        next_page_token: page.next_page_token,
        revision: Some(page.revision),
    }))
}

pub(super) async fn delete(
    service: &DirectoryRpc,
    request: Request<DeleteTenantRequest>,
) -> Result<Response<DeleteTenantResponse>, Status> {
    let admitted = admitted(&request)?;
    let DeleteTenantRequest {
        name,
        reason,
        dry_run,
        expected_revision,
        fence,
    } = request.into_inner();
    let mut violations = Violations::default();
    let what = wire::tenant_name(&name, &mut violations).map(What::DeleteTenant);
    let how = How {
        reason: &reason,
        dry_run,
        expected_revision,
        fence,
    };
    let (done, fence) = service.change(&admitted, what, how, violations).await?;
    Ok(Response::new(DeleteTenantResponse {
        revision: service.deleted(&done)?,
        fence,
    }))
}

pub(super) async fn disable(
    service: &DirectoryRpc,
    request: Request<DisableTenantRequest>,
) -> Result<Response<DisableTenantResponse>, Status> {
    let admitted = admitted(&request)?;
    let DisableTenantRequest {
        name,
        reason,
        dry_run,
        expected_revision,
        fence,
    } = request.into_inner();
    let mut violations = Violations::default();
    let name = wire::tenant_name(&name, &mut violations);
    let what = name.clone().map(|name| What::DisableTenant(name, true));
    let how = How {
        reason: &reason,
        dry_run,
        expected_revision,
        fence,
    };
    let (done, fence) = service.change(&admitted, what, how, violations).await?;
    let name = name.ok_or_else(|| status::unknown(Thing::Tenant))?;
    let (tenant, revision) = tenant_of(service, &name, &done)?;
    Ok(Response::new(DisableTenantResponse {
        tenant: Some(tenant),
        revision: Some(revision),
        impact: impact(
            &service.0,
            Whose::Tenant(name),
            done.changes.then_some(Loses::Everything),
        )
        .await?,
        fence,
    }))
}

pub(super) async fn enable(
    service: &DirectoryRpc,
    request: Request<EnableTenantRequest>,
) -> Result<Response<EnableTenantResponse>, Status> {
    let admitted = admitted(&request)?;
    let EnableTenantRequest { name, reason } = request.into_inner();
    let mut violations = Violations::default();
    let name = wire::tenant_name(&name, &mut violations);
    let what = name.clone().map(|name| What::DisableTenant(name, false));
    let how = How::because(&reason);
    let (done, _) = service.change(&admitted, what, how, violations).await?;
    let name = name.ok_or_else(|| status::unknown(Thing::Tenant))?;
    let (tenant, revision) = tenant_of(service, &name, &done)?;
    Ok(Response::new(EnableTenantResponse {
        tenant: Some(tenant),
        revision: Some(revision),
    }))
}

fn tenant_of(
    service: &DirectoryRpc,
    tenant: &Tenant,
    done: &Done,
) -> Result<(v1::Tenant, v1::Revision), Status> {
    let store = service.0.authority()?.store();
    // One that was never put has nothing to show but its name.
    let Answer::Tenant(known) = &done.answer else {
        let shown = wire::tenant(tenant.as_str(), None, done.revision, store);
        return Ok((shown, convert::revision(store, done.revision)));
    };
    let shown = wire::tenant(tenant.as_str(), Some(known), done.revision, store);
    Ok((shown, service.revision_of(known, done)?))
}

/// Whether a tenant is to be shown: it has a record or a credential, and was not
/// deleted.
fn tenant_is_there(index: Reader<'_>, tenant: TenantNumber) -> bool {
    match index.directory().tenant_record(tenant) {
        Some(known) => !known.record.last_change.deleted(),
        None => {
            index.listing(|listing| listing.has_tenant(tenant))
                || index.directory().tenant_has_records(tenant)
        }
    }
}

fn tenant_message(
    authority: &Authority,
    index: Reader<'_>,
    name: &str,
    tenant: TenantNumber,
) -> v1::Tenant {
    let known = index.directory().tenant_record(tenant).map(Into::into);
    wire::tenant(name, known.as_ref(), Revision::ZERO, authority.store())
}
