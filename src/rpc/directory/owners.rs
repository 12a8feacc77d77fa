//! Owners.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::{DirectoryRpc, How, impact, page, read_tenant};
use crate::authority::Authority;
use crate::authority::command::{Answer, Thing, What};
use crate::authority::committer::Done;
use crate::authority::impact::Loses;
use crate::authority::list::Whose;
use crate::domain::directory::{OwnerRecord, OwnerRef};
use crate::domain::names::Group;
use crate::domain::revision::Revision;
use crate::proto::v1::{
    self, DeleteOwnerRequest, DeleteOwnerResponse, DisableOwnerRequest, DisableOwnerResponse,
    EnableOwnerRequest, EnableOwnerResponse, GetOwnerRequest, GetOwnerResponse, ListOwnersRequest,
    ListOwnersResponse, PutOwnerRequest, PutOwnerResponse, SetDefaultSourceRequest,
    SetDefaultSourceResponse,
};
use crate::rpc::convert::{self, directory as wire};
use crate::rpc::page_token::Binding;
use crate::rpc::permit::admitted;
use crate::rpc::status::{self, Violations};

pub(super) async fn put(
    service: &DirectoryRpc,
    request: Request<PutOwnerRequest>,
) -> Result<Response<PutOwnerResponse>, Status> {
    let authority = service.0.authority()?;
    let admitted = admitted(&request)?;
    let request = request.into_inner();
    let mut violations = Violations::default();
    let put = wire::put_owner(&request, &mut violations);
    let owner = put.as_ref().map(|put| put.owner.clone());
    let before = owner
        .as_ref()
        .and_then(|owner| owner_record(authority, owner));
    let loses = match (&before, &put) {
        (Some(before), Some(put)) => {
            let kept = |group: &Group| put.groups.contains(group);
            let gone = before.roles.iter().filter(|role| !put.roles.contains(role));
            match gone.cloned().collect::<Vec<_>>() {
                _ if !before.groups.iter().all(kept) => Some(Loses::Everything),
                gone if gone.is_empty() => None,
                gone => Some(Loses::Roles(gone)),
            }
        }
        _ => None,
    };
    let how = How {
        reason: &request.reason,
        dry_run: request.dry_run,
        expected_revision: request.expected_revision,
        fence: request.fence,
    };
    let what = put.map(What::PutOwner);
    let (done, fence) = service.change(&admitted, what, how, violations).await?;
    let owner = owner.ok_or_else(|| status::unknown(Thing::Owner))?;
    let (shown, revision) = owner_of(service, &owner, &done)?;
    Ok(Response::new(PutOwnerResponse {
        owner: Some(shown),
        revision: Some(revision),
        impact: impact(&service.0, of_owner(&owner), loses.filter(|_| done.changes)).await?,
        fence,
    }))
}

pub(super) fn get(
    service: &DirectoryRpc,
    request: Request<GetOwnerRequest>,
) -> Result<Response<GetOwnerResponse>, Status> {
    let authority = service.0.authority()?;
    let admitted = admitted(&request)?;
    let GetOwnerRequest { tenant, name } = request.into_inner();
    let mut violations = Violations::default();
    let owner = wire::owner_ref(&tenant, &name, &mut violations);
    let owner = owner.ok_or_else(|| violations.status())?;
    admitted.to_owner(authority, &owner)?;
    let (revision, shown) = authority.index().read(|index| {
        let (directory, names) = (index.directory(), index.names());
        let tenant = directory.tenant(owner.tenant.as_str(), names)?;
        let number = directory.owner(tenant, owner.name.as_str(), names)?;
        let known = directory.owner_record(number);
        match &known {
            Some(known) if known.record.last_change.deleted() => return None,
            None if !index.listing(|listing| listing.has_owner(number)) => return None,
            _ => (),
        }
        let known = known.map(Into::into);
        let store = authority.store();
        Some(wire::owner_message(
            &owner,
            known.as_ref(),
            Revision::ZERO,
            store,
        ))
    });
    Ok(Response::new(GetOwnerResponse {
        owner: Some(shown.ok_or_else(|| status::unknown(Thing::Owner))?),
        revision: Some(convert::revision(authority.store(), revision)),
    }))
}

pub(super) fn list(
    service: &DirectoryRpc,
    request: Request<ListOwnersRequest>,
) -> Result<Response<ListOwnersResponse>, Status> {
    /// How many owners are looked at at once.
    const CHUNK: usize = 4096;

    let authority = service.0.authority()?;
    let admitted = admitted(&request)?;
    let ListOwnersRequest {
        tenant,
        page_size,
        page_token,
    } = request.into_inner();
    let tenant = read_tenant(&tenant)?;
    admitted.on_tenant(&tenant)?;
    let binding = Binding::new("owners", admitted.principal()).with(tenant.as_str());
    let store = authority.store();
    let page = page(
        authority,
        &binding,
        page_size,
        &page_token,
        |index, after, limit| {
            let (directory, names) = (index.directory(), index.names());
            let Some(number) = directory.tenant(tenant.as_str(), names) else {
                return Vec::new();
            };
            let mut listed = Vec::new();
            let mut after = after.to_owned();
            loop {
                let chunk = directory.owners_after(number, &after, CHUNK);
                let Some((last, _)) = chunk.last() else {
                    return listed;
                };
                after = last.to_string();
                for (name, owner) in chunk {
                    let known = directory.owner_record(owner);
                    let is_there = match &known {
                        Some(known) => !known.record.last_change.deleted(),
                        None => index.listing(|listing| listing.has_owner(owner)),
                    };
                    if is_there {
                        let reference = owner.reference(directory, names);
                        let known = known.map(Into::into);
                        let shown =
                            wire::owner_message(&reference, known.as_ref(), Revision::ZERO, store);
                        listed.push((name.to_string(), shown));
                    }
                    if listed.len() == limit {
                        return listed;
                    }
                }
            }
        },
    )?;
    Ok(Response::new(ListOwnersResponse {
        owners: page.items,
        next_page_token: page.next_page_token,
        revision: Some(page.revision),
    }))
}

pub(super) async fn delete(
    service: &DirectoryRpc,
    request: Request<DeleteOwnerRequest>,
) -> Result<Response<DeleteOwnerResponse>, Status> {
    let admitted = admitted(&request)?;
    let DeleteOwnerRequest {
        tenant,
        name,
        reason,
        dry_run,
        expected_revision,
        fence,
    } = request.into_inner();
    let mut violations = Violations::default();
    let what = wire::owner_ref(&tenant, &name, &mut violations).map(What::DeleteOwner);
    let how = How {
        reason: &reason,
        dry_run,
        expected_revision,
        fence,
    };
    let (done, fence) = service.change(&admitted, what, how, violations).await?;
    Ok(Response::new(DeleteOwnerResponse {
        revision: service.deleted(&done)?,
        fence,
    }))
}

pub(super) async fn disable(
    service: &DirectoryRpc,
    request: Request<DisableOwnerRequest>,
) -> Result<Response<DisableOwnerResponse>, Status> {
    let admitted = admitted(&request)?;
    let DisableOwnerRequest {
        tenant,
        name,
        reason,
        dry_run,
        expected_revision,
        fence,
    } = request.into_inner();
    let mut violations = Violations::default();
    let owner = wire::owner_ref(&tenant, &name, &mut violations);
    let what = owner.clone().map(|owner| What::DisableOwner(owner, true));
    let how = How {
        reason: &reason,
        dry_run,
        expected_revision,
        fence,
    };
    let (done, fence) = service.change(&admitted, what, how, violations).await?;
    let owner = owner.ok_or_else(|| status::unknown(Thing::Owner))?;
    let (shown, revision) = owner_of(service, &owner, &done)?;
    Ok(Response::new(DisableOwnerResponse {
        owner: Some(shown),
        revision: Some(revision),
        impact: impact(
            &service.0,
            of_owner(&owner),
            done.changes.then_some(Loses::Everything),
        )
        .await?,
        fence,
    }))
}

pub(super) async fn enable(
    service: &DirectoryRpc,
    request: Request<EnableOwnerRequest>,
) -> Result<Response<EnableOwnerResponse>, Status> {
    let admitted = admitted(&request)?;
    let EnableOwnerRequest {
        tenant,
        name,
        reason,
    } = request.into_inner();
    let mut violations = Violations::default();
    let owner = wire::owner_ref(&tenant, &name, &mut violations);
    let what = owner.clone().map(|owner| What::DisableOwner(owner, false));
    let how = How::because(&reason);
    let (done, _) = service.change(&admitted, what, how, violations).await?;
    let owner = owner.ok_or_else(|| status::unknown(Thing::Owner))?;
    let (shown, revision) = owner_of(service, &owner, &done)?;
    Ok(Response::new(EnableOwnerResponse {
        owner: Some(shown),
        revision: Some(revision),
    }))
}

pub(super) async fn set_default_source(
    service: &DirectoryRpc,
    request: Request<SetDefaultSourceRequest>,
) -> Result<Response<SetDefaultSourceResponse>, Status> {
    let admitted = admitted(&request)?;
    let SetDefaultSourceRequest {
        tenant,
        name,
        source,
        reason,
    } = request.into_inner();
    let mut violations = Violations::default();
    let owner = wire::owner_ref(&tenant, &name, &mut violations);
    let source = match source.as_str() {
        "" => Some(None),
        source => violations.check("source", Group::parse(source)).map(Some),
    };
    let (Some(owner), Some(source)) = (owner, source) else {
        let _ = convert::reason(&reason, &mut violations);
        return Err(violations.status());
    };
    let what = Some(What::SetDefaultSource(owner.clone(), source));
    let how = How::because(&reason);
    let (done, _) = service.change(&admitted, what, how, violations).await?;
    let (shown, revision) = owner_of(service, &owner, &done)?;
    Ok(Response::new(SetDefaultSourceResponse {
        owner: Some(shown),
        revision: Some(revision),
    }))
}

/// The owner that an answer is about, with its commit.
fn owner_of(
    service: &DirectoryRpc,
    owner: &OwnerRef,
    done: &Done,
) -> Result<(v1::Owner, v1::Revision), Status> {
    let store = service.0.authority()?.store();
    let Answer::Owner(known) = &done.answer else {
        return Err(status::internal(&"an answer without the owner"));
    };
    // One that was never put has nothing to show but its names.
    let is_there = done.changes || known.revision.is_some();
    let shown = is_there.then_some(known);
    let shown = wire::owner_message(owner, shown, done.revision, store);
    Ok((shown, service.revision_of(known, done)?))
}

fn of_owner(owner: &OwnerRef) -> Whose {
    Whose::Owner(owner.tenant.clone(), owner.name.clone())
}

/// The record of an owner, if there is one.
fn owner_record(authority: &Authority, owner: &OwnerRef) -> Option<Arc<OwnerRecord>> {
    let (_, record) = authority.index().read(|index| {
        let (directory, names) = (index.directory(), index.names());
        let tenant = directory.tenant(owner.tenant.as_str(), names)?;
        let number = directory.owner(tenant, owner.name.as_str(), names)?;
        directory.owner_record(number)
    });
    record.map(|known| known.record)
}
