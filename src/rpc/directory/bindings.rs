//! Bindings.

use tonic::{Request, Response, Status};

use super::{DirectoryRpc, How, page};
use crate::authority::command::{Answer, KnownRecord, Thing, What};
use crate::domain::names::{PrincipalName, Role};
use crate::domain::revision::{Revision, StoreId};
use crate::domain::rights::{Binding, BindingRecord, Reach};
use crate::proto::v1::{
    self, DeleteBindingRequest, DeleteBindingResponse, GetBindingRequest, GetBindingResponse,
    ListBindingsRequest, ListBindingsResponse, PutBindingRequest, PutBindingResponse,
};
use crate::rpc::convert::{self, directory as wire};
use crate::rpc::page_token;
use crate::rpc::permit::admitted;
use crate::rpc::status::{self, Violations};

pub(super) async fn put(
    service: &DirectoryRpc,
    request: Request<PutBindingRequest>,
) -> Result<Response<PutBindingResponse>, Status> {
    let admitted = admitted(&request)?;
    let PutBindingRequest {
        principal,
        role,
        tenant,
        reason,
        dry_run,
        expected_revision,
        fence,
    } = request.into_inner();
    let mut violations = Violations::default();
    let binding = read_binding(&principal, &role, &tenant, &mut violations);
    let how = How {
        reason: &reason,
        dry_run,
        expected_revision,
        fence,
    };
    let what = binding.clone().map(What::PutBinding);
    let (done, fence) = service.change(&admitted, what, how, violations).await?;
    let binding = binding.ok_or_else(|| status::unknown(Thing::Binding))?;
    let Answer::Binding(known) = &done.answer else {
        return Err(status::internal(&"an answer without the binding"));
    };
    let store = service.0.authority()?.store();
    Ok(Response::new(PutBindingResponse {
        binding: Some(binding_message(&binding, known, done.revision, store)),
        revision: Some(service.revision_of(known, &done)?),
        fence,
    }))
}

pub(super) fn get(
    service: &DirectoryRpc,
    request: Request<GetBindingRequest>,
) -> Result<Response<GetBindingResponse>, Status> {
    let authority = service.0.authority()?;
    let admitted = admitted(&request)?;
    let GetBindingRequest {
        principal,
        role,
        tenant,
    } = request.into_inner();
    let mut violations = Violations::default();
    let binding = read_binding(&principal, &role, &tenant, &mut violations);
    let binding = binding.ok_or_else(|| violations.status())?;
    admitted.to_see(&binding.reach, Thing::Binding)?;
    let (revision, known) = authority
        .index()
        .read(|index| index.directory().binding(&binding));
    let known = known.filter(|known| !known.record.last_change.deleted());
    let known = known.ok_or_else(|| status::unknown(Thing::Binding))?.into();
    let store = authority.store();
    Ok(Response::new(GetBindingResponse {
        binding: Some(binding_message(&binding, &known, Revision::ZERO, store)),
        revision: Some(convert::revision(store, revision)),
    }))
}

pub(super) fn list(
    service: &DirectoryRpc,
    request: Request<ListBindingsRequest>,
) -> Result<Response<ListBindingsResponse>, Status> {
    let authority = service.0.authority()?;
    let admitted = admitted(&request)?;
    let ListBindingsRequest {
        tenant,
        principal,
        page_size,
        page_token,
    } = request.into_inner();
    let mut violations = Violations::default();
    let reach = match tenant.as_str() {
        "" => Some(None),
        tenant => violations.check("tenant", Reach::parse(tenant)).map(Some),
    };
    let of = match principal.as_str() {
        "" => Some(None),
        principal => violations
            .check("principal", PrincipalName::parse(principal))
            .map(Some),
    };
    let (Some(reach), Some(of)) = (reach, of) else {
        return Err(violations.status());
    };
    if let Some(reach) = &reach {
        admitted.on(reach)?;
    }
    let token = page_token::Binding::new("bindings", admitted.principal());
    let token = token.with(&tenant).with(&principal);
    let admits = |binding: &Binding| {
        reach.as_ref().is_none_or(|reach| binding.reach == *reach)
            && of.as_ref().is_none_or(|of| binding.principal == *of)
            && admitted.reach().include(&binding.reach)
    };
    let store = authority.store();
    let page = page(
        authority,
        &token,
        page_size,
        &page_token,
        |index, after, limit| {
            let after = read_place(after);
            let all = index
                .directory()
                .bindings_after(after.as_ref(), limit, admits);
            all.into_iter()
                .map(|(binding, known)| {
                    let message = binding_message(&binding, &known.into(), Revision::ZERO, store);
                    (write_place(&binding), message)
                })
                .collect()
        },
    )?;
    Ok(Response::new(ListBindingsResponse {
        bindings: page.items,
        next_page_token: page.next_page_token,
        revision: Some(page.revision),
    }))
}

pub(super) async fn delete(
    service: &DirectoryRpc,
    request: Request<DeleteBindingRequest>,
) -> Result<Response<DeleteBindingResponse>, Status> {
    let admitted = admitted(&request)?;
    let DeleteBindingRequest {
        principal,
        role,
        tenant,
        reason,
        dry_run,
        expected_revision,
        fence,
    } = request.into_inner();
    let mut violations = Violations::default();
    let binding = read_binding(&principal, &role, &tenant, &mut violations);
    let how = How {
        reason: &reason,
        dry_run,
        expected_revision,
        fence,
    };
    let what = binding.map(What::DeleteBinding);
    let (done, fence) = service.change(&admitted, what, how, violations).await?;
    Ok(Response::new(DeleteBindingResponse {
        revision: service.deleted(&done)?,
        fence,
    }))
}

fn read_binding(
    principal: &str,
    role: &str,
    tenant: &str,
    violations: &mut Violations,
) -> Option<Binding> {
    let principal = violations.check("principal", PrincipalName::parse(principal));
    let role = violations.check("role", Role::parse(role));
    let reach = violations.check("tenant", Reach::parse(tenant));
    Some(Binding {
        reach: reach?,
        principal: principal?,
        role: role?,
    })
}

/// A binding as a place in the list: its parts, between which stands what none of
/// them has.
fn write_place(binding: &Binding) -> String {
    let Binding {
        reach,
        principal,
        role,
    } = binding;
    format!("{reach}\0{principal}\0{role}")
}

/// `None`: before all of them.
fn read_place(text: &str) -> Option<Binding> {
    let mut parts = text.split('\0');
    let (tenant, principal, role) = (parts.next()?, parts.next()?, parts.next()?);
    Some(Binding {
        reach: Reach::parse(tenant).ok()?,
        principal: PrincipalName::parse(principal).ok()?,
        role: Role::parse(role).ok()?,
    })
}

fn binding_message(
    binding: &Binding,
    known: &KnownRecord<BindingRecord>,
    pending: Revision,
    store: StoreId,
) -> v1::Binding {
    let Binding {
        reach,
        principal,
        role,
    } = binding;
    let configured = known.revision == Some(Revision::ZERO);
    v1::Binding {
        principal: principal.to_string(),
        role: role.to_string(),
        tenant: reach.to_string(),
        configured,
        last_change: (!configured).then(|| wire::change(&known.record.last_change)),
        revision: (!configured)
            .then(|| convert::revision(store, known.revision.unwrap_or(pending))),
    }
}
