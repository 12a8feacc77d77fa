//! Issuing and rotating, and showing a secret again.

use prost::Message as _;
use tonic::{Request, Response, Status};

use super::{Credentials, show, wire};
use crate::authority::Authority;
use crate::authority::command::Reveal;
use crate::authority::manage::{Asked, Issued};
use crate::domain::directory::OwnerRef;
use crate::proto::v1::{
    self, Credential, IssueRequest, IssueResponse, RevealRequest, RevealResponse, RotateRequest,
    RotateResponse,
};
use crate::rpc::convert;
use crate::rpc::fence::Fencing;
use crate::rpc::permit::admitted;
use crate::rpc::status::{self, Violations};

pub(super) async fn issue(
    service: &Credentials,
    request: Request<IssueRequest>,
) -> Result<Response<IssueResponse>, Status> {
    let authority = service.0.authority()?;
    let admitted = admitted(&request)?;
    let request = request.into_inner();
    let mut violations = Violations::default();
    let new = convert::terms::new_credential(&request, authority.now(), &mut violations);
    let request_id = convert::request_id(&request.request_id, &mut violations);
    let reason = convert::reason(&request.reason, &mut violations);
    let expected = request.expected_revision.clone();
    let expected = convert::expected_revision(expected, authority.store(), &mut violations);
    let (Some(new), Some(request_id), Some(reason), Some(expected)) =
        (new, request_id, reason, expected)
    else {
        return Err(violations.status());
    };
    let owner = OwnerRef {
        tenant: new.tenant.clone(),
        name: new.owner.clone(),
    };
    let permit = admitted.on_owner(authority, &owner)?;
    let dry = request.dry_run;
    let again = request_id.filter(|_| !dry).map(|id| {
        // Whatever the letter case of its id, and whether or not it is waited for.
        let asked = IssueRequest {
            request_id: String::new(),
            fence: false,
            ..request.clone()
        };
        let asked = asked.encode_to_vec();
        authority.request(id, permit.principal(), "Issue", new.tenant.as_str(), &asked)
    });
    let fencing = Fencing::asked(request.fence, dry);
    let asked = Asked {
        how: fencing.of(permit.how(dry)),
        reason,
        as_owner: permit.as_owner,
        request: again,
        expected,
    };
    let issued = authority
        .issue(new, asked)
        .await
        .map_err(|error| status::of_issue(&error))?;
    let (credential, secret, revision) = with_secret(authority, &issued, dry);
    let id = issued.shown.stored.credential.id;
    tracing::info!(caller = %permit.principal(), credential = %id, dry, "issued a credential");
    let fence = fencing.wait(&service.0, &permit.call).await?;
    Ok(Response::new(IssueResponse {
        credential: Some(if dry {
            convert::credential::not_issued(credential)
        } else {
            credential
        }),
        secret,
        revision: Some(revision),
        replaced: issued
            .replaced
            .iter()
            .map(|shown| show(authority, shown))
            .collect(),
        impact: Some(convert::credential::impact(&issued.impact)),
        fence,
    }))
}

pub(super) async fn rotate(
    service: &Credentials,
    request: Request<RotateRequest>,
) -> Result<Response<RotateResponse>, Status> {
    let authority = service.0.authority()?;
    let admitted = admitted(&request)?;
    let request = request.into_inner();
    let whole = RotateRequest {
        request_id: String::new(),
        fence: false,
        ..request.clone()
    };
    let whole = whole.encode_to_vec();
    let RotateRequest {
        credential_id,
        overlap,
        end_overlap,
        request_id,
        reason,
        dry_run,
        expected_revision,
        fence,
    } = request;
    let mut violations = Violations::default();
    let id = convert::credential_id(&credential_id, &mut violations);
    let overlap = convert::overlap(overlap, &mut violations);
    let request_id = convert::request_id(&request_id, &mut violations);
    let reason = convert::reason(&reason, &mut violations);
    let store = authority.store();
    let expected = convert::expected_revision(expected_revision, store, &mut violations);
    let (Some(id), Some(overlap), Some(request_id), Some(reason), Some(expected)) =
        (id, overlap, request_id, reason, expected)
    else {
        return Err(violations.status());
    };
    let permit = admitted.on_credential(authority, id)?;
    let again = request_id
        .filter(|_| !dry_run)
        .map(|id| authority.request(id, permit.principal(), "Rotate", "", &whole));
    let fencing = Fencing::asked(fence, dry_run);
    let asked = Asked {
        how: fencing.of(permit.how(dry_run)),
        reason,
        as_owner: permit.as_owner,
        request: again,
        expected,
    };
    let issued = authority
        .rotate(id, overlap, end_overlap, asked)
        .await
        .map_err(|error| status::of_issue(&error))?;
    tracing::info!(caller = %permit.principal(), credential = %id, dry_run, "rotated a credential");
    let (credential, secret, revision) = with_secret(authority, &issued, dry_run);
    let fence = fencing.wait(&service.0, &permit.call).await?;
    Ok(Response::new(RotateResponse {
        credential: Some(credential),
        secret,
        revision: Some(revision),
        impact: Some(convert::credential::impact(&issued.impact)),
        fence,
    }))
}

pub(super) async fn reveal(
    service: &Credentials,
    request: Request<RevealRequest>,
) -> Result<Response<RevealResponse>, Status> {
    let authority = service.0.authority()?;
    let admitted = admitted(&request)?;
    let RevealRequest {
        credential_id,
        reason,
    } = request.into_inner();
    let mut violations = Violations::default();
    let id = convert::credential_id(&credential_id, &mut violations);
    let reason = convert::reason(&reason, &mut violations);
    let (Some(id), Some(reason)) = (id, reason) else {
        return Err(violations.status());
    };
    let permit = admitted.on_credential(authority, id)?;
    tracing::info!(caller = %permit.principal(), credential = %id, %reason, "a secret is to be revealed");
    let reveal = Reveal { id, reason };
    let revealed = authority
        .reveal(reveal, permit.how(false))
        .await
        .map_err(|error| status::of_command(&error))?;
    let (credential, secret, revision) = with_secret(authority, &revealed, false);
    Ok(Response::new(RevealResponse {
        secret,
        credential: Some(credential),
        revision: Some(revision),
    }))
}

/// What a secret was made for, as it is answered: without the secret if it was
/// only to be told what would change.
fn with_secret(
    authority: &Authority,
    issued: &Issued,
    dry: bool,
) -> (Credential, Option<v1::IssuedSecret>, v1::Revision) {
    let credential = show(authority, &issued.shown);
    let secret = (!dry).then(|| convert::credential::secret(&issued.shown, &issued.secret));
    (credential, secret, wire(authority, issued.made))
}
