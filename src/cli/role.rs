//! `credd role`.

use clap::{Args, Subcommand};

use super::change::Fenced;
use super::failure::{Done, Failure};
use super::pages::Extent;
use super::session::{Run, Session};
use crate::proto::v1;

/// What can be done with roles.
#[derive(Debug, Subcommand)]
pub enum RoleCommand {
    /// Creates a role, or replaces its permissions by those given here.
    Put(Put),
    /// Shows one role.
    Get(Which),
    /// Lists the roles of a tenant.
    List(List),
    /// Deletes a role that nobody names. Its name is never given again.
    Delete(Delete),
}

/// Which role.
#[derive(Debug, Args)]
pub struct Which {
    /// Its name.
    #[arg(value_name = "NAME")]
    name: String,
    /// Its tenant; `credd`: of permissions on credd itself.
    #[arg(long, value_name = "NAME")]
    tenant: String,
}

/// What to put.
#[derive(Debug, Args)]
pub struct Put {
    #[command(flatten)]
    which: Which,
    /// A permission, `resource:action` with `*`, or one of credd's; may be repeated.
    #[arg(long = "permission", value_name = "PERMISSION")]
    permissions: Vec<String>,
    /// A longer text for people.
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    description: String,
    #[command(flatten)]
    change: Fenced,
}

/// Which roles to list.
#[derive(Debug, Args)]
pub struct List {
    /// Their tenant.
    #[arg(long, value_name = "NAME")]
    tenant: String,
    #[command(flatten)]
    extent: Extent,
}

/// Which role to delete.
#[derive(Debug, Args)]
pub struct Delete {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    change: Fenced,
}

impl Run for RoleCommand {
    async fn run(self, session: &Session) -> Result<Done, Failure> {
        match self {
            Self::Put(put) => put.run(session).await?,
            Self::Get(Which { name, tenant }) => {
                let request = session
                    .caller
                    .request(v1::GetRoleRequest { tenant, name })?;
                let answer = session.ask(session.directory().get_role(request)).await?;
                session.out.one(&answer.role.unwrap_or_default())?;
            }
            Self::List(List { tenant, extent }) => {
                return extent
                    .print(session, async |page_size, page_token| {
                        let request = session.caller.request(v1::ListRolesRequest {
                            tenant: tenant.clone(),
                            page_size,
                            page_token,
                        })?;
                        let page = session.ask(session.directory().list_roles(request)).await?;
                        Ok((page.roles, page.next_page_token))
                    })
                    .await;
            }
            Self::Delete(delete) => delete.run(session).await?,
        }
        Ok(Done::Yes)
    }
}

impl Put {
    async fn run(self, session: &Session) -> Result<(), Failure> {
        let Self {
            which: Which { name, tenant },
            permissions,
            description,
            change: Fenced { guarded, fence },
        } = self;
        let dry_run = guarded.dry_run;
        let what = format!("the role {name} of {tenant}");
        let request = session.caller.request(v1::PutRoleRequest {
            tenant,
            name: name.clone(),
            description,
            permissions,
            expected_revision: guarded.expected(),
            reason: guarded.why.reason,
            dry_run,
            fence,
        })?;
        let answer = session.ask(session.directory().put_role(request)).await?;
        session.out.answer(&answer, &name, |page| {
            page.done(dry_run, "put", "put", &what);
            page.impact(answer.impact.as_ref());
            page.fence(answer.fence.as_ref());
        })
    }
}

impl Delete {
    async fn run(self, session: &Session) -> Result<(), Failure> {
        let Self {
            which: Which { name, tenant },
            change: Fenced { guarded, fence },
        } = self;
        let dry_run = guarded.dry_run;
        let what = format!("the role {name} of {tenant}");
        let request = session.caller.request(v1::DeleteRoleRequest {
            tenant,
            name: name.clone(),
            expected_revision: guarded.expected(),
            reason: guarded.why.reason,
            dry_run,
            fence,
        })?;
        let answer = session
            .ask(session.directory().delete_role(request))
            .await?;
        session.out.answer(&answer, &name, |page| {
            page.done(dry_run, "deleted", "delete", &what);
            page.fence(answer.fence.as_ref());
        })
    }
}
