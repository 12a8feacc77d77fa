//! `credd import-credentials`.

use std::path::PathBuf;

use clap::Args;

use super::change::{Why, count};
use super::document;
use super::failure::{Done, Failure, note};
use super::session::{Run, Session};
use crate::proto::v1;
use crate::server::progress::Progress;

/// The most credentials of a request.
const MOST: usize = 100;

/// What to bring, and where to.
#[derive(Debug, Args)]
pub struct Import {
    /// The tenant; not `credd`.
    #[arg(long, value_name = "NAME")]
    tenant: String,
    /// The credentials, a list in JSON or YAML, `-`: from standard input. Each is an
    /// `ImportedCredential` of the contract: owner, profile, plain or sha256, entropyBits...
    /// A hundred at a time are brought all or none.
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    why: Why,
}

impl Run for Import {
    async fn run(self, session: &Session) -> Result<Done, Failure> {
        let Self { tenant, file, why } = self;
        let what = "as it should be: a list of ImportedCredential";
        let credentials = document::secret_messages(&file, what)?;
        let mut answer = v1::ImportCredentialsResponse::default();
        let mut progress = Progress::new("importing", credentials.len() as u64);
        for some in credentials.chunks(MOST) {
            let request = session.caller.request(v1::ImportCredentialsRequest {
                tenant: tenant.clone(),
                credentials: some.to_vec(),
                reason: why.reason.clone(),
            })?;
            let part = session
                .ask(session.credentials().import_credentials(request))
                .await;
            let part = match part {
                Ok(part) => part,
                Err(failure) => {
                    drop(progress);
                    let done = answer.credentials.len();
                    if done > 0 {
                        note(&format!("the first {done} of the list were imported"));
                    }
                    return Err(failure);
                }
            };
            answer.credentials.extend(part.credentials);
            answer.revision = part.revision;
            progress.at(answer.credentials.len() as u64);
        }
        drop(progress);
        let ids: Vec<_> = answer.credentials.iter().map(|it| it.id.as_str()).collect();
        session.out.answer(&answer, &ids.join("\n"), |page| {
            let number = answer.credentials.len() as u64;
            page.line(format!(
                "imported {}",
                count(number, "credential", "credentials")
            ));
        })?;
        Ok(Done::Yes)
    }
}
