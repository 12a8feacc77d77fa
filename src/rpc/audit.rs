//! `AuditService`.

use tonic::{Request, Response, Status};

use super::Shared;
use super::answers::Answers;
use super::convert::audit as wire;
use super::permit::admitted;
use super::status::{self, Violations};
use crate::authority::audit::EraseError;
use crate::domain::audit::Filter;
use crate::domain::audit::Named;
use crate::domain::rights::Reach;
use crate::proto::v1;
use crate::proto::v1::audit_service_server::AuditService;
use crate::rpc::convert;

mod events;

/// The service.
#[derive(Clone, Debug)]
pub struct AuditRpc(Shared);

impl AuditRpc {
    /// The service on this authority.
    #[must_use]
    pub const fn new(shared: Shared) -> Self {
        Self(shared)
    }
}

#[tonic::async_trait]
impl AuditService for AuditRpc {
    type ListEventsStream = Answers<v1::ListEventsResponse>;

    async fn list_events(
        &self,
        request: Request<v1::ListEventsRequest>,
    ) -> Result<Response<Answers<v1::ListEventsResponse>>, Status> {
        events::list(&self.0, request).await
    }

    async fn verify_chain(
        &self,
        request: Request<v1::VerifyChainRequest>,
    ) -> Result<Response<v1::VerifyChainResponse>, Status> {
        let authority = self.0.authority()?;
        let admitted = admitted(&request)?;
        let v1::VerifyChainRequest { expected } = request.into_inner();
        let mut violations = Violations::default();
        let expected = wire::expected_heads(expected, &mut violations);
        let expected = expected.ok_or_else(|| violations.status())?;
        admitted.on(&Reach::All)?;
        let log = authority.audit().log();
        let head = *log.head().borrow();
        let (verified, start, records) = log
            .verify(expected)
            .await
            .map_err(|error| status::of_log(&error))?;
        if let Err(broken) = &verified {
            tracing::error!(%broken, caller = %admitted.principal(), "the audit log is not as it was written");
        }
        let (head, erased, unchecked) = verified.as_ref().map_or((head, 0, 0), |verified| {
            (verified.head, verified.erased, verified.unchecked)
        });
        Ok(Response::new(v1::VerifyChainResponse {
            broken: verified.err().map(|broken| wire::broken(&broken)),
            start: Some(wire::head(&start)),
            head: Some(wire::head(&head)),
            records,
            erased,
            unchecked,
        }))
    }

    async fn erase_events(
        &self,
        request: Request<v1::EraseEventsRequest>,
    ) -> Result<Response<v1::EraseEventsResponse>, Status> {
        let authority = self.0.authority()?;
        let admitted = admitted(&request)?;
        let v1::EraseEventsRequest {
            named,
            until,
            reason,
            dry_run,
        } = request.into_inner();
        let mut violations = Violations::default();
        let named = wire::named(named, &mut violations);
        let until = wire::time("until", until, &mut violations);
        let reason = convert::reason(&reason, &mut violations);
        let (Some(named), Some(until), Some(reason)) = (named, until, reason) else {
            return Err(violations.status());
        };
        if let Named::Owner(tenant, _) = &named {
            admitted.on_tenant(tenant)?;
        }
        let filter = Filter {
            until,
            ..Filter::all(admitted.reach().clone())
        };
        let erased = authority
            .erase_events(&filter, &named, &reason, &admitted.how(dry_run))
            .await
            .map_err(|error| match error {
                EraseError::Log(error) => status::of_log(&error),
                EraseError::Command(error) => status::of_command(&error),
            })?;
        tracing::info!(caller = %admitted.principal(), records = erased.records, dry_run, "erased events");
        Ok(Response::new(v1::EraseEventsResponse {
            erased: erased.records,
            revision: erased
                .revision
                .map(|revision| convert::revision(authority.store(), revision)),
        }))
    }
}
