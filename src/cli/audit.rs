//! `credd audit`.

use clap::{Args, Subcommand, ValueEnum};
use tonic::{Status, Streaming};

use super::failure::{Done, Failure, note};
use super::interrupt;
use super::output::{Format, Printer, Rows};
use super::session::{Run, Session};
use super::time;
use super::watch;
use crate::proto::v1;

mod chain;
mod erase;

use chain::VerifyChain;
use erase::Erase;

/// The most events of a page.
const PAGE: u64 = 1000;

/// What can be done with the audit log.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Lists events, the newest first, or follows them.
    List(List),
    /// Prints all events, the oldest first, as lines of JSON.
    Export(Export),
    /// Checks that the log is what it was. Ends with 3 if it is not.
    Verify(VerifyChain),
    /// Erases what events say of a person.
    Erase(Erase),
}

/// Which events.
#[derive(Clone, Debug, Args)]
pub(super) struct Filter {
    /// Only those about this tenant.
    #[arg(
        long,
        value_name = "NAME",
        default_value = "",
        hide_default_value = true
    )]
    tenant: String,
    /// Only those of this principal.
    #[arg(
        long,
        value_name = "PRINCIPAL",
        default_value = "",
        hide_default_value = true
    )]
    principal: String,
    /// Only those of this action: an RPC such as `CredentialService/Issue`, or one of
    /// credd's own such as `credd.restore`.
    #[arg(
        long,
        value_name = "NAME",
        default_value = "",
        hide_default_value = true
    )]
    action: String,
    /// Only those that name this credential, or whose caller is known by it.
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    credential: String,
    /// Only those of this outcome.
    #[arg(long, value_enum)]
    outcome: Option<Outcome>,
    /// Only those of this time or later: a time, a date, or since how long, such as `1d`.
    #[arg(long, value_name = "WHEN", value_parser = time::back)]
    from: Option<prost_types::Timestamp>,
    /// Only those before this time.
    #[arg(long, value_name = "WHEN", value_parser = time::back)]
    until: Option<prost_types::Timestamp>,
}

/// What became of what was asked for.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Outcome {
    /// It was done.
    Ok,
    /// It was refused or denied.
    Refused,
}

impl From<Filter> for v1::AuditFilter {
    fn from(filter: Filter) -> Self {
        let Filter {
            tenant,
            principal,
            action,
            credential,
            outcome,
            from,
            until,
        } = filter;
        let is_rpc = action.contains('/') && !action.contains('.');
        let outcome = outcome.map(|outcome| match outcome {
            Outcome::Ok => v1::AuditOutcome::Ok,
            Outcome::Refused => v1::AuditOutcome::Refused,
        });
        Self {
            tenant,
            principal,
            action: if is_rpc {
                format!("credd.v1.{action}")
            } else {
                action
            },
            credential_id: credential,
            outcome: outcome.unwrap_or_default().into(),
            from,
            until,
        }
    }
}

/// Which events to list.
#[derive(Debug, Args)]
pub struct List {
    #[command(flatten)]
    filter: Filter,
    /// The most to list.
    #[arg(long, value_name = "NUMBER", default_value = "50", value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
    /// The oldest first.
    #[arg(long)]
    oldest_first: bool,
    /// All of them, the oldest first, and then each as it is committed, until it is
    /// interrupted.
    #[arg(long, short, conflicts_with = "limit")]
    follow: bool,
}

/// Which events to print.
#[derive(Debug, Args)]
pub struct Export {
    #[command(flatten)]
    filter: Filter,
}

impl Run for AuditCommand {
    async fn run(self, session: &Session) -> Result<Done, Failure> {
        match self {
            Self::List(list) => list.run(session).await,
            Self::Export(export) => export.run(session).await,
            Self::Verify(verify) => verify.run(session).await,
            Self::Erase(erase) => erase.run(session).await,
        }
    }
}

impl List {
    async fn run(self, session: &Session) -> Result<Done, Failure> {
        let Self {
            filter,
            limit,
            oldest_first,
            follow,
        } = self;
        let order = if oldest_first || follow {
            v1::AuditOrder::OldestFirst
        } else {
            v1::AuditOrder::NewestFirst
        };
        let request = v1::ListEventsRequest {
            filter: Some(filter.into()),
            order: order.into(),
            follow,
            ..Default::default()
        };
        if follow {
            follow_on(session, request).await
        } else {
            read(session, request, session.out.list(), limit).await
        }
    }
}

impl Export {
    async fn run(self, session: &Session) -> Result<Done, Failure> {
        let request = v1::ListEventsRequest {
            filter: Some(self.filter.into()),
            order: v1::AuditOrder::OldestFirst.into(),
            ..Default::default()
        };
        let lines = Printer {
            format: Format::Json,
            ..session.out
        };
        read(session, request, lines.stream(), u64::MAX).await
    }
}

/// Prints events as they are committed, over as many streams as it takes.
async fn follow_on(session: &Session, mut request: v1::ListEventsRequest) -> Result<Done, Failure> {
    let mut rows = session.out.stream::<v1::AuditEvent>();
    let mut pause = watch::PAUSE.0;
    request.page_size = i32::try_from(PAGE).unwrap_or(i32::MAX);
    loop {
        let call = session.caller.long_request(request.clone())?;
        let mut client = session.audit();
        let status = match interrupt::or(client.list_events(call)).await? {
            Ok(pages) => {
                let mut pages = pages.into_inner();
                loop {
                    match interrupt::or(pages.message()).await? {
                        Ok(Some(page)) => {
                            pause = watch::PAUSE.0;
                            rows.push(&page.events)?;
                            if !page.next_page_token.is_empty() {
                                request.page_token = page.next_page_token;
                            }
                        }
                        Ok(None) => break Status::unavailable("it ended"),
                        Err(status) => break status,
                    }
                }
            }
            Err(status) => status,
        };
        if request.page_token.is_empty() || !watch::is_passing(&status) {
            return Err(session.refused(status));
        }
        watch::wait(&status, &mut pause).await?;
    }
}

/// Prints events, page after page.
async fn read(
    session: &Session,
    mut request: v1::ListEventsRequest,
    mut rows: Rows<'_, v1::AuditEvent>,
    limit: u64,
) -> Result<Done, Failure> {
    let mut left = limit;
    loop {
        request.page_size = i32::try_from(left.min(PAGE)).unwrap_or(i32::MAX);
        let call = session.caller.long_request(request.clone())?;
        let pages = session.ask(session.audit().list_events(call)).await?;
        request.page_token = print(session, pages, &mut rows, &mut left).await?;
        if request.page_token.is_empty() || left == 0 {
            break;
        }
    }
    let has_more = !request.page_token.is_empty();
    rows.end()?;
    if has_more && limit < u64::MAX {
        note("more follow: raise --limit");
    }
    Ok(Done::Yes)
}

/// Prints the pages of a stream; returns where the next begins.
async fn print(
    session: &Session,
    mut pages: Streaming<v1::ListEventsResponse>,
    rows: &mut Rows<'_, v1::AuditEvent>,
    left: &mut u64,
) -> Result<String, Failure> {
    let mut token = String::new();
    loop {
        let page = session.next(&mut pages).await?;
        let Some(page) = page else { return Ok(token) };
        rows.push(&page.events)?;
        *left = left.saturating_sub(page.events.len() as u64);
        token = page.next_page_token;
        if *left == 0 {
            return Ok(token);
        }
    }
}
