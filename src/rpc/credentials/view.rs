//! Showing, listing and changing what credentials say.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::{Credentials, show, wire};
use crate::authority::command::Update;
use crate::authority::list::{Filter, Place};
use crate::proto::v1::{
    GetRequest, GetResponse, ListRequest, ListResponse, UpdateRequest, UpdateResponse,
};
use crate::rpc::convert;
use crate::rpc::fence::Fencing;
use crate::rpc::page_token::{self, Binding};
use crate::rpc::permit::admitted;
use crate::rpc::status::{self, Violations};

pub(super) fn get(
    service: &Credentials,
    request: Request<GetRequest>,
) -> Result<Response<GetResponse>, Status> {
    let authority = service.0.authority()?;
    let admitted = admitted(&request)?;
    let GetRequest { credential_id } = request.into_inner();
    let mut violations = Violations::default();
    let Some(id) = convert::credential_id(&credential_id, &mut violations) else {
        return Err(violations.status());
    };
    admitted.on_credential(authority, id)?;
    let (revision, shown) = authority.get(id);
    let shown = shown.ok_or_else(|| status::not_found(id))?;
    Ok(Response::new(GetResponse {
        credential: Some(show(authority, &shown)),
        revision: Some(wire(authority, revision)),
    }))
}

pub(super) async fn list(
    service: &Credentials,
    request: Request<ListRequest>,
) -> Result<Response<ListResponse>, Status> {
    let authority = service.0.authority()?;
    let admitted = admitted(&request)?;
    let ListRequest {
        filter,
        order,
        page_size,
        page_token,
        include_unlisted,
        include_total,
    } = request.into_inner();
    let mut violations = Violations::default();
    let filter = convert::filter::filter(filter.unwrap_or_default(), &mut violations);
    let order = convert::filter::order(order, &mut violations);
    let limit = convert::page_size(page_size, &mut violations);
    let (Some(filter), Some(order), Some(limit)) = (filter, order, limit) else {
        return Err(violations.status());
    };
    let filter = Filter {
        unlisted: include_unlisted,
        ..filter
    };
    let permit = admitted.on_whose(authority, &filter.whose)?;
    let keyring = authority.keys().full();
    let binding = Binding::new("credentials", permit.principal());
    let binding = binding.with_filter(&filter, order);
    let after = if page_token.is_empty() {
        Place::START
    } else {
        binding
            .open(&keyring, &page_token)
            .and_then(|text| page_token::read_place(&text))
            .map_err(|_| status::bad_page_token())?
    };
    let limits = &service.0.limits;
    let (page, filter) = {
        let authority = Arc::clone(authority);
        let read = move || (authority.list(&filter, order, after, limit), filter);
        limits.read(read).await?
    };
    let next_page_token = match page.next {
        Some(next) => binding
            .seal(&keyring, authority.random(), &page_token::write_place(next))
            .map_err(|error| status::internal(&error))?,
        None => String::new(),
    };
    let total_size = if include_total {
        let authority = Arc::clone(authority);
        Some(limits.read(move || authority.count(&filter)).await?)
    } else {
        None
    };
    Ok(Response::new(ListResponse {
        credentials: page
            .entries
            .iter()
            .map(|entry| show(authority, &authority.show(entry)))
            .collect(),
        next_page_token,
        revision: Some(wire(authority, page.revision)),
        total_size,
    }))
}

pub(super) async fn update(
    service: &Credentials,
    request: Request<UpdateRequest>,
) -> Result<Response<UpdateResponse>, Status> {
    let authority = service.0.authority()?;
    let admitted = admitted(&request)?;
    let mut request = request.into_inner();
    let mut violations = Violations::default();
    let id = convert::credential_id(&request.credential_id, &mut violations);
    let reason = convert::reason(&request.reason, &mut violations);
    let expected = request.expected_revision.take();
    let expected = convert::expected_revision(expected, authority.store(), &mut violations);
    let dry = request.dry_run;
    let fencing = Fencing::asked(request.fence, dry);
    let changes = convert::terms::changes(request, authority.now(), &mut violations);
    let (Some(id), Some(reason), Some(expected), Some(changes)) = (id, reason, expected, changes)
    else {
        return Err(violations.status());
    };
    let permit = admitted.on_credential(authority, id)?;
    let update = Update {
        id,
        changes,
        reason,
        by: permit.principal().clone(),
        as_owner: permit.as_owner,
        expected,
    };
    let updated = authority
        .update(update, fencing.of(permit.how(dry)))
        .await
        .map_err(|error| status::of_command(&error))?;
    tracing::info!(caller = %permit.principal(), credential = %id, dry, "updated a credential");
    Ok(Response::new(UpdateResponse {
        credential: Some(show(authority, &updated.shown)),
        revision: Some(wire(authority, updated.shown.stored.revision)),
        impact: Some(convert::credential::impact(&updated.impact)),
        fence: fencing.wait(&service.0, &permit.call).await?,
    }))
}
