//! `credd binding`.

use clap::{Args, Subcommand};

use super::change::Fenced;
use super::failure::{Done, Failure};
use super::pages::Extent;
use super::session::{Run, Session};
use crate::proto::v1;

/// What can be done with bindings.
#[derive(Debug, Subcommand)]
pub enum BindingCommand {
    /// Gives a principal a role on a tenant or on all.
    Put(Changed),
    /// Shows one binding.
    Get(Which),
    /// Lists bindings.
    List(List),
    /// Takes a role away.
    Delete(Changed),
}

/// Which binding.
#[derive(Debug, Args)]
pub struct Which {
    /// Who: `credd:OWNER`, `jwt:ISSUER#SUBJECT`, `spiffe://...` or `dns:NAME`.
    #[arg(value_name = "PRINCIPAL")]
    principal: String,
    /// A role of the tenant `credd`.
    #[arg(value_name = "ROLE")]
    role: String,
    /// On which tenant, or `*` for all.
    #[arg(long, value_name = "NAME")]
    tenant: String,
}

impl Which {
    fn text(&self) -> String {
        let Self {
            principal,
            role,
            tenant,
        } = self;
        match tenant.as_str() {
            "*" => format!("{principal} as {role} on all tenants"),
            tenant => format!("{principal} as {role} on {tenant}"),
        }
    }
}

/// Which binding to put or to delete.
#[derive(Debug, Args)]
pub struct Changed {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    change: Fenced,
}

/// Which bindings to list.
#[derive(Debug, Args)]
pub struct List {
    /// Those on this tenant; `*`: those on all.
    #[arg(
        long,
        value_name = "NAME",
        default_value = "",
        hide_default_value = true
    )]
    tenant: String,
    /// Those of this principal.
    #[arg(
        long,
        value_name = "PRINCIPAL",
        default_value = "",
        hide_default_value = true
    )]
    principal: String,
    #[command(flatten)]
    extent: Extent,
}

impl Run for BindingCommand {
    async fn run(self, session: &Session) -> Result<Done, Failure> {
        match self {
            Self::Put(changed) => changed.put(session).await?,
            Self::Get(Which {
                principal,
                role,
                tenant,
            }) => {
                let request = session.caller.request(v1::GetBindingRequest {
                    principal,
                    role,
                    tenant,
                })?;
                let answer = session
                    .ask(session.directory().get_binding(request))
                    .await?;
                session.out.one(&answer.binding.unwrap_or_default())?;
            }
            Self::List(list) => {
                let List {
                    tenant,
                    principal,
                    extent,
                } = list;
                return extent
                    .print(session, async |page_size, page_token| {
                        let request = session.caller.request(v1::ListBindingsRequest {
                            tenant: tenant.clone(),
                            principal: principal.clone(),
                            page_size,
                            page_token,
                        })?;
                        let page = session
                            .ask(session.directory().list_bindings(request))
                            .await?;
                        Ok((page.bindings, page.next_page_token))
                    })
                    .await;
            }
            Self::Delete(changed) => changed.delete(session).await?,
        }
        Ok(Done::Yes)
    }
}

impl Changed {
    async fn put(self, session: &Session) -> Result<(), Failure> {
        let Self {
            which,
            change: Fenced { guarded, fence },
        } = self;
        let (text, dry_run) = (which.text(), guarded.dry_run);
        let Which {
            principal,
            role,
            tenant,
        } = which;
        let request = session.caller.request(v1::PutBindingRequest {
            principal,
            role,
            tenant,
            expected_revision: guarded.expected(),
            reason: guarded.why.reason,
            dry_run,
            fence,
        })?;
        let answer = session
            .ask(session.directory().put_binding(request))
            .await?;
        session.out.answer(&answer, &text, |page| {
            page.done(dry_run, "bound", "bind", &text);
            page.fence(answer.fence.as_ref());
        })
    }

    async fn delete(self, session: &Session) -> Result<(), Failure> {
        let Self {
            which,
            change: Fenced { guarded, fence },
        } = self;
        let (text, dry_run) = (which.text(), guarded.dry_run);
        let Which {
            principal,
            role,
            tenant,
        } = which;
        let request = session.caller.request(v1::DeleteBindingRequest {
            principal,
            role,
            tenant,
            expected_revision: guarded.expected(),
            reason: guarded.why.reason,
            dry_run,
            fence,
        })?;
        let answer = session
            .ask(session.directory().delete_binding(request))
            .await?;
        session.out.answer(&answer, &text, |page| {
            page.done(dry_run, "unbound", "unbind", &text);
            page.fence(answer.fence.as_ref());
        })
    }
}
