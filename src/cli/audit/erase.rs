//! `credd audit erase`.

use clap::Args;

use crate::cli::change::{Why, count, revision};
use crate::cli::failure::{Done, Failure};
use crate::cli::session::Session;
use crate::cli::terminal::confirm;
use crate::cli::time;
use crate::proto::v1;
use crate::proto::v1::erase_events_request::Named;

/// Whose data to erase.
#[derive(Debug, Args)]
pub struct Erase {
    /// That of a caller.
    #[arg(
        long,
        value_name = "PRINCIPAL",
        conflicts_with = "owner",
        required_unless_present = "owner"
    )]
    principal: Option<String>,
    /// That of an owner.
    #[arg(long, value_name = "NAME", requires = "tenant")]
    owner: Option<String>,
    /// The tenant of the owner.
    #[arg(long, value_name = "NAME", requires = "owner")]
    tenant: Option<String>,
    /// Only events before this time.
    #[arg(long, value_name = "WHEN", value_parser = time::back)]
    until: Option<prost_types::Timestamp>,
    #[command(flatten)]
    why: Why,
    /// Says how many would be erased, and erases nothing.
    #[arg(long)]
    dry_run: bool,
    /// Asks nothing.
    #[arg(long, short)]
    yes: bool,
}

impl Erase {
    pub(super) async fn run(self, session: &Session) -> Result<Done, Failure> {
        let Self {
            principal,
            owner,
            tenant,
            until,
            why,
            dry_run,
            yes,
        } = self;
        let named = match (principal, owner) {
            (Some(principal), _) => Named::Principal(principal),
            (None, owner) => Named::Owner(v1::AuditOwner {
                tenant: tenant.unwrap_or_default(),
                name: owner.unwrap_or_default(),
            }),
        };
        let mut request = v1::EraseEventsRequest {
            named: Some(named),
            until,
            reason: why.reason,
            dry_run: true,
        };
        if !dry_run && !yes {
            let asked = session.caller.long_request(request.clone())?;
            let asked = session.ask(session.audit().erase_events(asked)).await?;
            let what = count(asked.erased, "event", "events");
            confirm(
                &format!("erase what {what} say? It can't be undone."),
                false,
            )?;
        }
        request.dry_run = dry_run;
        let request = session.caller.long_request(request)?;
        let answer = session.ask(session.audit().erase_events(request)).await?;
        let name = revision(answer.revision.as_ref());
        session.out.answer(&answer, &name, |page| {
            let what = count(answer.erased, "event", "events");
            page.done(dry_run, "erased", "erase", &what);
        })?;
        Ok(Done::Yes)
    }
}
