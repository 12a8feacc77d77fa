//! Credentials from elsewhere.

use tonic::{Request, Response, Status};

use super::{Credentials, show, wire};
use crate::authority::Authority;
use crate::authority::command::Import;
use crate::domain::names::{Principal, Tenant};
use crate::domain::random;
use crate::proto::v1::{ImportCredentialsRequest, ImportCredentialsResponse};
use crate::rpc::convert;
use crate::rpc::permit::admitted;
use crate::rpc::status::{self, Violations};

/// The most credentials that are imported at once.
const MAX_IMPORTED: usize = 100;

pub(super) async fn import_credentials(
    service: &Credentials,
    request: Request<ImportCredentialsRequest>,
) -> Result<Response<ImportCredentialsResponse>, Status> {
    let authority = service.0.authority()?;
    let admitted = admitted(&request)?;
    let request = request.into_inner();
    let import = read_import(authority, admitted.principal(), request)?;
    let permit = admitted.on_tenant(&import.tenant)?;
    let (imported, revision) = authority
        .import(import, permit.how(false))
        .await
        .map_err(|error| status::of_command(&error))?;
    tracing::info!(caller = %permit.principal(), credentials = imported.len(), "imported credentials");
    Ok(Response::new(ImportCredentialsResponse {
        credentials: imported
            .iter()
            .map(|shown| show(authority, shown))
            .collect(),
        revision: Some(wire(authority, revision)),
    }))
}

fn read_import(
    authority: &Authority,
    by: &Principal,
    request: ImportCredentialsRequest,
) -> Result<Import, Status> {
    let ImportCredentialsRequest {
        tenant,
        credentials,
        reason,
    } = request;
    let mut violations = Violations::default();
    let tenant = violations.check("tenant", Tenant::parse(&tenant));
    if tenant.as_ref().is_some_and(Tenant::is_credd) {
        violations.add("tenant", "must not be `credd`");
        return Err(violations.status());
    }
    let reason = convert::reason(&reason, &mut violations);
    let count = credentials.len();
    if !(1..=MAX_IMPORTED).contains(&count) {
        violations.add("credentials", "must be 1 to 100");
        return Err(violations.status());
    }
    let mut items = Vec::with_capacity(count);
    for (at, item) in credentials.into_iter().enumerate() {
        let entropy =
            random::bytes(authority.random()).map_err(|error| status::internal(&error))?;
        let now = authority.now();
        items.extend(convert::terms::import_item(
            at,
            item,
            entropy,
            now,
            &mut violations,
        ));
    }
    match (tenant, reason) {
        (Some(tenant), Some(reason)) if items.len() == count => Ok(Import {
            tenant,
            items,
            reason,
            by: by.clone(),
        }),
        _ => Err(violations.status()),
    }
}
