//! `credd profile`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::change::Guarded;
use super::document;
use super::failure::{Done, Failure};
use super::pages::Extent;
use super::session::{Run, Session};
use crate::proto::v1;

/// What can be done with profiles.
#[derive(Debug, Subcommand)]
pub enum ProfileCommand {
    /// Creates a profile, or a new version of it, of a file as `get` prints it with
    /// `--output json` or `yaml`.
    Put(Put),
    /// Shows one profile.
    Get(Which),
    /// Lists profiles.
    List(List),
    /// Deletes a profile of which there is no credential. Its name is never given again.
    Delete(Delete),
}

/// Which profile.
#[derive(Debug, Args)]
pub struct Which {
    /// Its name.
    #[arg(value_name = "NAME")]
    name: String,
    /// Its tenant. Unset: it is one that all tenants have.
    #[arg(
        long,
        value_name = "NAME",
        default_value = "",
        hide_default_value = true
    )]
    tenant: String,
}

/// What to put.
#[derive(Debug, Args)]
pub struct Put {
    /// The Profile of the contract, in JSON or YAML; `-`: from standard input.
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    change: Guarded,
}

/// Which profiles to list.
#[derive(Debug, Args)]
pub struct List {
    /// Those that this tenant may use. Unset: all.
    #[arg(
        long,
        value_name = "NAME",
        default_value = "",
        hide_default_value = true
    )]
    tenant: String,
    #[command(flatten)]
    extent: Extent,
}

/// Which profile to delete.
#[derive(Debug, Args)]
pub struct Delete {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    change: Guarded,
}

impl Run for ProfileCommand {
    async fn run(self, session: &Session) -> Result<Done, Failure> {
        match self {
            Self::Put(Put { file, change }) => {
                let profile: v1::Profile = document::message(&file)?;
                let (name, dry_run) = (profile.name.clone(), change.dry_run);
                let request = session.caller.request(v1::PutProfileRequest {
                    profile: Some(profile),
                    expected_revision: change.expected(),
                    reason: change.why.reason,
                    dry_run,
                })?;
                let answer = session
                    .ask(session.directory().put_profile(request))
                    .await?;
                let version = answer.profile.as_ref().map_or(0, |profile| profile.version);
                session.out.answer(&answer, &name, |page| {
                    let what = format!("version {version} of the profile {name}");
                    page.done(dry_run, "put", "put", &what);
                })?;
            }
            Self::Get(Which { name, tenant }) => {
                let request = session
                    .caller
                    .request(v1::GetProfileRequest { tenant, name })?;
                let answer = session
                    .ask(session.directory().get_profile(request))
                    .await?;
                session.out.one(&answer.profile.unwrap_or_default())?;
            }
            Self::List(List { tenant, extent }) => {
                return extent
                    .print(session, async |page_size, page_token| {
                        let request = session.caller.request(v1::ListProfilesRequest {
                            tenant: tenant.clone(),
                            page_size,
                            page_token,
                        })?;
                        let page = session
                            .ask(session.directory().list_profiles(request))
                            .await?;
                        Ok((page.profiles, page.next_page_token))
                    })
                    .await;
            }
            Self::Delete(Delete { which, change }) => {
                let (Which { name, tenant }, dry_run) = (which, change.dry_run);
                let request = session.caller.request(v1::DeleteProfileRequest {
                    tenant,
                    name: name.clone(),
                    expected_revision: change.expected(),
                    reason: change.why.reason,
                    dry_run,
                })?;
                let answer = session
                    .ask(session.directory().delete_profile(request))
                    .await?;
                session.out.answer(&answer, &name, |page| {
                    page.done(dry_run, "deleted", "delete", &format!("the profile {name}"));
                })?;
            }
        }
        Ok(Done::Yes)
    }
}
