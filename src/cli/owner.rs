//! `credd owner`.

use clap::{Args, Subcommand};

use super::change::{Fenced, Why, count};
use super::failure::{Done, Failure};
use super::pages::Extent;
use super::session::{Run, Session};
use super::show::Shown as _;
use super::terminal::confirm;
use crate::proto::v1;

/// What can be done with owners.
#[derive(Debug, Subcommand)]
pub enum OwnerCommand {
    /// Creates an owner, or replaces what it has by what is given here.
    Put(Put),
    /// Shows one owner.
    Get(Which),
    /// Lists the owners of a tenant.
    List(List),
    /// Deletes an owner that has no credentials. Its name is never given again.
    Delete(Delete),
    /// Denies all credentials of an owner, until it is enabled.
    Disable(Disable),
    /// Ends what `disable` began.
    Enable(Enable),
    /// Chooses an owner's default source among its groups.
    SetSource(SetSource),
}

/// Which owner.
#[derive(Debug, Args)]
pub struct Which {
    /// Its name.
    #[arg(value_name = "NAME")]
    name: String,
    /// Its tenant.
    #[arg(long, value_name = "NAME")]
    tenant: String,
}

impl Which {
    fn text(&self) -> String {
        format!("the owner {} of {}", self.name, self.tenant)
    }
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
    /// A caller of credd who is this owner: `credd:OWNER`, `jwt:ISSUER#SUBJECT`,
    /// `spiffe://...` or `dns:NAME`; may be repeated.
    #[arg(long = "principal", value_name = "PRINCIPAL")]
    principals: Vec<String>,
    /// A group that it belongs to; may be repeated.
    #[arg(long = "group", value_name = "NAME")]
    groups: Vec<String>,
    /// A role that it has; may be repeated.
    #[arg(long = "role", value_name = "NAME")]
    roles: Vec<String>,
    #[command(flatten)]
    change: Fenced,
}

/// Which owners to list.
#[derive(Debug, Args)]
pub struct List {
    /// Their tenant.
    #[arg(long, value_name = "NAME")]
    tenant: String,
    #[command(flatten)]
    extent: Extent,
}

/// Which owner to delete.
#[derive(Debug, Args)]
pub struct Delete {
    #[command(flatten)]
    which: Which,
    /// Asks nothing.
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    change: Fenced,
}

/// Which owner to disable.
#[derive(Debug, Args)]
pub struct Disable {
    #[command(flatten)]
    which: Which,
    /// Asks nothing.
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    change: Fenced,
}

/// Which owner to enable.
#[derive(Debug, Args)]
pub struct Enable {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    why: Why,
}

/// Whose default source to choose.
#[derive(Debug, Args)]
pub struct SetSource {
    #[command(flatten)]
    which: Which,
    /// One of its groups. Unset: none is chosen, and it is the first.
    #[arg(
        long,
        value_name = "GROUP",
        default_value = "",
        hide_default_value = true
    )]
    source: String,
    #[command(flatten)]
    why: Why,
}

impl Run for OwnerCommand {
    async fn run(self, session: &Session) -> Result<Done, Failure> {
        match self {
            Self::Put(put) => put.run(session).await?,
            Self::Get(Which { name, tenant }) => {
                let request = session
                    .caller
                    .request(v1::GetOwnerRequest { tenant, name })?;
                let answer = session.ask(session.directory().get_owner(request)).await?;
                session.out.one(&answer.owner.unwrap_or_default())?;
            }
            Self::List(list) => return list.run(session).await,
            Self::Delete(delete) => delete.run(session).await?,
            Self::Disable(disable) => disable.run(session).await?,
            Self::Enable(Enable { which, why }) => {
                let text = which.text();
                let Which { name, tenant } = which;
                let request = session.caller.request(v1::EnableOwnerRequest {
                    tenant,
                    name: name.clone(),
                    reason: why.reason,
                })?;
                let answer = session
                    .ask(session.directory().enable_owner(request))
                    .await?;
                session
                    .out
                    .answer(&answer, &name, |page| page.line(format!("enabled {text}")))?;
            }
            Self::SetSource(SetSource { which, source, why }) => {
                let Which { name, tenant } = which;
                let request = session.caller.request(v1::SetDefaultSourceRequest {
                    tenant,
                    name: name.clone(),
                    source,
                    reason: why.reason,
                })?;
                let answer = session
                    .ask(session.directory().set_default_source(request))
                    .await?;
                session.out.answer(&answer, &name, |page| {
                    answer.owner.clone().unwrap_or_default().page(page);
                })?;
            }
        }
        Ok(Done::Yes)
    }
}

impl Put {
    async fn run(self, session: &Session) -> Result<(), Failure> {
        let Self {
            which,
            display_name,
            principals,
            groups,
            roles,
            change: Fenced { guarded, fence },
        } = self;
        let text = which.text();
        let dry_run = guarded.dry_run;
        let Which { name, tenant } = which;
        let request = session.caller.request(v1::PutOwnerRequest {
            tenant,
            name: name.clone(),
            display_name,
            principals,
            groups,
            roles,
            expected_revision: guarded.expected(),
            reason: guarded.why.reason,
            dry_run,
            fence,
        })?;
        let answer = session.ask(session.directory().put_owner(request)).await?;
        session.out.answer(&answer, &name, |page| {
            page.done(dry_run, "put", "put", &text);
            page.impact(answer.impact.as_ref());
            page.fence(answer.fence.as_ref());
        })
    }
}

impl List {
    async fn run(self, session: &Session) -> Result<Done, Failure> {
        let Self { tenant, extent } = self;
        extent
            .print(session, async |page_size, page_token| {
                let request = session.caller.request(v1::ListOwnersRequest {
                    tenant: tenant.clone(),
                    page_size,
                    page_token,
                })?;
                let page = session
                    .ask(session.directory().list_owners(request))
                    .await?;
                Ok((page.owners, page.next_page_token))
            })
            .await
    }
}

impl Delete {
    async fn run(self, session: &Session) -> Result<(), Failure> {
        let Self {
            which,
            yes,
            change: Fenced { guarded, fence },
        } = self;
        let text = which.text();
        let dry_run = guarded.dry_run;
        let question = format!("delete {text}? Its name is never given again.");
        confirm(&question, yes || dry_run)?;
        let Which { name, tenant } = which;
        let request = session.caller.request(v1::DeleteOwnerRequest {
            tenant,
            name: name.clone(),
            expected_revision: guarded.expected(),
            reason: guarded.why.reason,
            dry_run,
            fence,
        })?;
        let answer = session
            .ask(session.directory().delete_owner(request))
            .await?;
        session.out.answer(&answer, &name, |page| {
            page.done(dry_run, "deleted", "delete", &text);
            page.fence(answer.fence.as_ref());
        })
    }
}

impl Disable {
    async fn run(self, session: &Session) -> Result<(), Failure> {
        let Self {
            which,
            yes,
            change: Fenced { guarded, fence },
        } = self;
        let text = which.text();
        let dry_run = guarded.dry_run;
        let Which { name, tenant } = which;
        let mut request = v1::DisableOwnerRequest {
            tenant,
            name: name.clone(),
            expected_revision: guarded.expected(),
            reason: guarded.why.reason,
            dry_run: true,
            fence,
        };
        if !yes && !dry_run {
            let asked = session.caller.request(request.clone())?;
            let asked = session
                .ask(session.directory().disable_owner(asked))
                .await?;
            let would = asked.impact.map_or(0, |impact| impact.changed);
            let what = count(would, "credential", "credentials");
            confirm(&format!("disable {text}, with {what}?"), false)?;
        }
        request.dry_run = dry_run;
        let request = session.caller.request(request)?;
        let answer = session
            .ask(session.directory().disable_owner(request))
            .await?;
        session.out.answer(&answer, &name, |page| {
            page.done(dry_run, "disabled", "disable", &text);
            page.impact(answer.impact.as_ref());
            page.fence(answer.fence.as_ref());
        })
    }
}
