//! Roles.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::{DirectoryRpc, How, impact, page, read_tenant};
use crate::authority::command::{Answer, KnownRecord, Thing, What};
use crate::authority::impact::Loses;
use crate::authority::index::Reader;
use crate::authority::list::Whose;
use crate::domain::directory::{RoleRecord, RoleRef};
use crate::domain::names::Role;
use crate::domain::revision::Revision;
use crate::domain::rights::Reach;
use crate::proto::v1::{
    DeleteRoleRequest, DeleteRoleResponse, GetRoleRequest, GetRoleResponse, ListRolesRequest,
    ListRolesResponse, PutRoleRequest, PutRoleResponse,
};
use crate::rpc::convert::{self, directory as wire};
use crate::rpc::page_token::Binding;
use crate::rpc::permit::admitted;
use crate::rpc::status::{self, Violations};

pub(super) async fn put(
    service: &DirectoryRpc,
    request: Request<PutRoleRequest>,
) -> Result<Response<PutRoleResponse>, Status> {
    let authority = service.0.authority()?;
    let admitted = admitted(&request)?;
    let request = request.into_inner();
    let mut violations = Violations::default();
    let put = wire::put_role(&request, &mut violations);
    let role = put.as_ref().map(|put| put.role.clone());
    let takes = role.as_ref().is_some_and(|role| {
        let (_, before) = authority.index().read(|index| role_of(index, role));
        before.is_some_and(|(before, _)| {
            let kept = |text: &str| request.permissions.iter().any(|kept| kept == text);
            !before.record.permissions.texts().all(kept)
        })
    });
    let how = How {
        reason: &request.reason,
        dry_run: request.dry_run,
        expected_revision: request.expected_revision,
        fence: request.fence,
    };
    let what = put.map(What::PutRole);
    let (done, fence) = service.change(&admitted, what, how, violations).await?;
    let role = role.ok_or_else(|| status::unknown(Thing::Role))?;
    let Answer::Role(known) = &done.answer else {
        return Err(status::internal(&"an answer without the role"));
    };
    let whose = Whose::Tenant(role.tenant.clone());
    Ok(Response::new(PutRoleResponse {
        role: Some(wire::role(&role, known, done.revision, authority.store())),
        revision: Some(service.revision_of(known, &done)?),
        impact: impact(
            &service.0,
            whose,
            (takes && done.changes).then_some(Loses::PartOf(role.name)),
        )
        .await?,
        fence,
    }))
}

pub(super) fn get(
    service: &DirectoryRpc,
    request: Request<GetRoleRequest>,
) -> Result<Response<GetRoleResponse>, Status> {
    let authority = service.0.authority()?;
    let admitted = admitted(&request)?;
    let GetRoleRequest { tenant, name } = request.into_inner();
    let mut violations = Violations::default();
    let role = wire::role_ref(&tenant, &name, &mut violations);
    let role = role.ok_or_else(|| violations.status())?;
    admitted.to_see(&Reach::Tenant(role.tenant.clone()), Thing::Role)?;
    let (revision, known) = authority.index().read(|index| role_of(index, &role));
    let (known, _) = known.ok_or_else(|| status::unknown(Thing::Role))?;
    Ok(Response::new(GetRoleResponse {
        role: Some(wire::role(&role, &known, Revision::ZERO, authority.store())),
        revision: Some(convert::revision(authority.store(), revision)),
    }))
}

pub(super) fn list(
    service: &DirectoryRpc,
    request: Request<ListRolesRequest>,
) -> Result<Response<ListRolesResponse>, Status> {
    let authority = service.0.authority()?;
    let admitted = admitted(&request)?;
    let ListRolesRequest {
        tenant,
        page_size,
        page_token,
    } = request.into_inner();
    let tenant = read_tenant(&tenant)?;
    admitted.on_tenant(&tenant)?;
    let binding = Binding::new("roles", admitted.principal()).with(tenant.as_str());
    let page = page(
        authority,
        &binding,
        page_size,
        &page_token,
        |index, after, limit| {
            let (directory, names) = (index.directory(), index.names());
            let put = directory.tenant(tenant.as_str(), names).map(|number| {
                let put = directory.roles_after(number, "", usize::MAX);
                put.into_iter().map(|(name, _)| name.to_string()).collect()
            });
            let put: Vec<String> = put.unwrap_or_default();
            let fixed = directory.fixed_role_names(tenant.is_credd()).into_iter();
            let mut all: Vec<String> = fixed.map(|name| name.to_string()).chain(put).collect();
            all.sort_unstable();
            all.dedup();
            let rest = all.into_iter().filter(|name| name.as_str() > after);
            let known = rest.filter_map(|name| {
                let role = RoleRef {
                    tenant: tenant.clone(),
                    name: Role::trusted(name.as_str().into()),
                };
                let (known, _) = role_of(index, &role)?;
                let shown = wire::role(&role, &known, Revision::ZERO, authority.store());
                Some((name, shown))
            });
            known.take(limit).collect()
        },
    )?;
    Ok(Response::new(ListRolesResponse {
        roles: page.items,
        next_page_token: page.next_page_token,
        revision: Some(page.revision),
    }))
}

pub(super) async fn delete(
    service: &DirectoryRpc,
    request: Request<DeleteRoleRequest>,
) -> Result<Response<DeleteRoleResponse>, Status> {
    let admitted = admitted(&request)?;
    let DeleteRoleRequest {
        tenant,
        name,
        reason,
        dry_run,
        expected_revision,
        fence,
    } = request.into_inner();
    let mut violations = Violations::default();
    let what = wire::role_ref(&tenant, &name, &mut violations).map(What::DeleteRole);
    let how = How {
        reason: &reason,
        dry_run,
        expected_revision,
        fence,
    };
    let (done, fence) = service.change(&admitted, what, how, violations).await?;
    Ok(Response::new(DeleteRoleResponse {
        revision: service.deleted(&done)?,
        fence,
    }))
}

/// A role that is there, and whether it is built in.
fn role_of(index: Reader<'_>, role: &RoleRef) -> Option<(KnownRecord<RoleRecord>, bool)> {
    let (directory, names) = (index.directory(), index.names());
    let (tenant, name) = (&role.tenant, role.name.as_str());
    if let Some(record) = directory.fixed_role(name, tenant.is_credd()) {
        let known = KnownRecord {
            record: Arc::clone(record),
            revision: Some(Revision::ZERO),
        };
        return Some((known, true));
    }
    let number = directory.tenant(tenant.as_str(), names)?;
    let known = directory.role(number, name, names)?;
    let is_there = !known.record.last_change.deleted();
    is_there.then(|| (known.into(), false))
}
