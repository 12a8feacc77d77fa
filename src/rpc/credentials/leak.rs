//! Reports of leaks.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::{Credentials, wire};
use crate::authority::entry::Entry;
use crate::authority::leak::Outcome;
use crate::domain::names::Reason;
use crate::proto::v1::{self, ReportLeakRequest, ReportLeakResponse};
use crate::rpc::convert;
use crate::rpc::fence::Fencing;
use crate::rpc::permit::admitted;
use crate::rpc::status::{self, Violations};

/// The most texts of one report.
const MAX_REPORTED: usize = 1000;
/// The most bytes of one of them.
const MAX_REPORTED_TEXT: usize = 1024;
pub(super) async fn report_leak(
    service: &Credentials,
    request: Request<ReportLeakRequest>,
) -> Result<Response<ReportLeakResponse>, Status> {
    let authority = service.0.authority()?;
    let admitted = admitted(&request)?;
    let ReportLeakRequest {
        secrets,
        reason,
        dry_run,
        fence,
    } = request.into_inner();
    let secrets = zeroize::Zeroizing::new(secrets);
    let mut violations = Violations::default();
    let reason = read_report(&secrets, &reason, &mut violations);
    let reason = reason.ok_or_else(|| violations.status())?;
    let fencing = Fencing::asked(fence, dry_run);
    let how = fencing.of(admitted.how(dry_run));
    let (count, leaked) = (secrets.len(), {
        let (authority, admitted) = (Arc::clone(authority), admitted.clone());
        let read = move || {
            let may_report = |entry: &Entry| admitted.on_entry(&authority, entry).is_some();
            authority.leaked(&secrets, may_report)
        };
        service.0.limits.read(read).await?
    });
    let reported = authority
        .report_leak(leaked, &reason, &how)
        .await
        .map_err(|error| status::of_command(&error))?;
    tracing::info!(caller = %admitted.principal(), reported = count, locked = reported.impact.changed, dry_run, "leaks were reported");
    let fence = fencing.wait(&service.0, &admitted.0).await?;
    Ok(Response::new(ReportLeakResponse {
        results: reported
            .outcomes
            .iter()
            .map(Vec::as_slice)
            .map(leak_result)
            .collect(),
        revision: Some(wire(authority, reported.revision)),
        impact: Some(convert::credential::impact(&reported.impact)),
        fence,
    }))
}

fn read_report(secrets: &[String], reason: &str, violations: &mut Violations) -> Option<Reason> {
    let count = (1..=MAX_REPORTED).contains(&secrets.len());
    if !count {
        violations.add("secrets", "must be 1 to 1,000");
    }
    let mut good = count;
    for (at, secret) in secrets.iter().enumerate().take(MAX_REPORTED) {
        if secret.len() > MAX_REPORTED_TEXT {
            violations.add(&format!("secrets[{at}]"), "must be at most 1,024 bytes");
            good = false;
        }
    }
    convert::reason(reason, violations).filter(|_| good)
}

/// What became of one text: of the first of its credentials, with the others.
fn leak_result(outcomes: &[Outcome]) -> v1::LeakResult {
    let (first, others) = outcomes.split_first().unwrap_or((&Outcome::NotOurs, &[]));
    let (outcome, id) = match *first {
        Outcome::NotOurs => (v1::LeakOutcome::NotOurs, None),
        Outcome::Locked(id) => (v1::LeakOutcome::Locked, Some(id)),
        Outcome::Revoked(id) => (v1::LeakOutcome::Revoked, Some(id)),
        Outcome::LastAdministrator(id) => (v1::LeakOutcome::LastAdministrator, Some(id)),
    };
    v1::LeakResult {
        outcome: outcome.into(),
        credential_id: id.map_or_else(String::new, |id| id.to_string()),
        others: others
            .iter()
            .map(std::slice::from_ref)
            .map(leak_result)
            .collect(),
    }
}
