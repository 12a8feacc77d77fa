//! `credd tenant`.

use clap::{Args, Subcommand};

use super::change::{Fenced, Guarded, Why, count};
use super::failure::{Done, Failure};
use super::pages::Extent;
use super::session::{Run, Session};
use super::terminal::confirm;
use crate::proto::v1;

/// What can be done with tenants.
#[derive(Debug, Subcommand)]
pub enum TenantCommand {
    /// Creates a tenant, or replaces its texts.
    Put(Put),
    /// Shows one tenant.
    Get(Which),
    /// Lists tenants.
    List(Extent),
    /// Deletes a tenant that has nothing. Its name is never given again.
    Delete(Denied),
    /// Denies all credentials of a tenant, until it is enabled.
    Disable(Denied),
    /// Ends what `disable` began.
    Enable(Enable),
}

/// Which tenant.
#[derive(Debug, Args)]
pub struct Which {
    /// Its name.
    #[arg(value_name = "NAME")]
    name: String,
}

/// What to put.
#[derive(Debug, Args)]
pub struct Put {
    #[command(flatten)]
    which: Which,
    /// Its name for people.
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    display_name: String,
    /// A longer text for people.
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    description: String,
    #[command(flatten)]
    change: Guarded,
}

/// Which tenant to delete or to disable.
#[derive(Debug, Args)]
pub struct Denied {
    #[command(flatten)]
    which: Which,
    /// Asks nothing.
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    change: Fenced,
}

/// Which tenant to enable.
#[derive(Debug, Args)]
pub struct Enable {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    why: Why,
}

impl Run for TenantCommand {
    async fn run(self, session: &Session) -> Result<Done, Failure> {
        match self {
            Self::Put(put) => put.run(session).await?,
            Self::Get(Which { name }) => {
                let request = session.caller.request(v1::GetTenantRequest { name })?;
                let answer = session.ask(session.directory().get_tenant(request)).await?;
                session.out.one(&answer.tenant.unwrap_or_default())?;
            }
            Self::List(extent) => {
                return extent
                    .print(session, async |page_size, page_token| {
                        let request = session.caller.request(v1::ListTenantsRequest {
                            page_size,
                            page_token,
                        })?;
                        let page = session
                            .ask(session.directory().list_tenants(request))
                            .await?;
                        Ok((page.tenants, page.next_page_token))
                    })
                    .await;
            }
            Self::Delete(denied) => denied.delete(session).await?,
            Self::Disable(denied) => denied.disable(session).await?,
            Self::Enable(Enable { which, why }) => {
                let Which { name } = which;
                let request = session.caller.request(v1::EnableTenantRequest {
                    name: name.clone(),
                    reason: why.reason,
                })?;
                let answer = session
                    .ask(session.directory().enable_tenant(request))
                    .await?;
                session.out.answer(&answer, &name, |page| {
                    page.line(format!("enabled the tenant {name}"));
                })?;
            }
        }
        Ok(Done::Yes)
    }
}

impl Put {
    async fn run(self, session: &Session) -> Result<(), Failure> {
        let Self {
            which: Which { name },
            display_name,
            description,
            change,
        } = self;
        let dry_run = change.dry_run;
        let request = session.caller.request(v1::PutTenantRequest {
            name: name.clone(),
            display_name,
            description,
            expected_revision: change.expected(),
            reason: change.why.reason,
            dry_run,
        })?;
        let answer = session.ask(session.directory().put_tenant(request)).await?;
        session.out.answer(&answer, &name, |page| {
            page.done(dry_run, "put", "put", &format!("the tenant {name}"));
        })
    }
}

impl Denied {
    async fn delete(self, session: &Session) -> Result<(), Failure> {
        let Self {
            which: Which { name },
            yes,
            change: Fenced { guarded, fence },
        } = self;
        let dry_run = guarded.dry_run;
        let question = format!("delete the tenant {name}? Its name is never given again.");
        confirm(&question, yes || dry_run)?;
        let request = session.caller.request(v1::DeleteTenantRequest {
            name: name.clone(),
            expected_revision: guarded.expected(),
            reason: guarded.why.reason,
            dry_run,
            fence,
        })?;
        let answer = session
            .ask(session.directory().delete_tenant(request))
            .await?;
        session.out.answer(&answer, &name, |page| {
            page.done(dry_run, "deleted", "delete", &format!("the tenant {name}"));
            page.fence(answer.fence.as_ref());
        })
    }

    async fn disable(self, session: &Session) -> Result<(), Failure> {
        let Self {
            which: Which { name },
            yes,
            change: Fenced { guarded, fence },
        } = self;
        let dry_run = guarded.dry_run;
        let mut request = v1::DisableTenantRequest {
            name: name.clone(),
            expected_revision: guarded.expected(),
            reason: guarded.why.reason,
            dry_run: true,
            fence,
        };
        if !yes && !dry_run {
            let asked = session.caller.request(request.clone())?;
            let asked = session
                .ask(session.directory().disable_tenant(asked))
                .await?;
            let would = asked.impact.map_or(0, |impact| impact.changed);
            let what = count(would, "credential", "credentials");
            confirm(&format!("disable the tenant {name}, with {what}?"), false)?;
        }
        request.dry_run = dry_run;
        let request = session.caller.request(request)?;
        let answer = session
            .ask(session.directory().disable_tenant(request))
            .await?;
        session.out.answer(&answer, &name, |page| {
            page.done(
                dry_run,
                "disabled",
                "disable",
                &format!("the tenant {name}"),
            );
            page.impact(answer.impact.as_ref());
            page.fence(answer.fence.as_ref());
        })
    }
}
