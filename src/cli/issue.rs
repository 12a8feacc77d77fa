//! `credd issue`.

use std::collections::BTreeMap;

use clap::Args;
use uuid::Uuid;

use super::change::Fenced;
use super::expiry::Expiry;
use super::failure::{Done, Failure};
use super::secret::{self, Destination};
use super::session::{Run, Session};
use super::show::Shown as _;
use crate::domain::random::{self, SystemRandom};
use crate::proto::v1;

/// What to issue.
#[derive(Debug, Args)]
pub struct Issue {
    /// The tenant. `credd` holds credd's own callers.
    #[arg(long, value_name = "NAME")]
    tenant: String,
    /// Whose it is.
    #[arg(long, value_name = "NAME")]
    owner: String,
    /// By which rules; `credd profile list` shows them.
    #[arg(long, value_name = "NAME", default_value = "api-token")]
    profile: String,
    #[command(flatten)]
    texts: Texts,
    /// When it expires: `never`, after a period such as `90d` or `P1Y`, with the end of a
    /// date, or at a time. Unset: as the profile says.
    #[arg(long, value_name = "WHEN")]
    expires: Option<Expiry>,
    #[command(flatten)]
    retry: Retry,
    #[command(flatten)]
    destination: Destination,
    #[command(flatten)]
    change: Fenced,
}

/// What a credential says.
#[derive(Clone, Debug, Args)]
pub(super) struct Texts {
    /// A short name for people.
    #[arg(long, value_name = "TEXT")]
    pub(super) label: Option<String>,
    /// A longer text for people.
    #[arg(long, value_name = "TEXT")]
    pub(super) description: Option<String>,
    /// A role that it has; may be repeated. Unset: all that its owner has.
    #[arg(long = "role", value_name = "NAME")]
    pub(super) roles: Vec<String>,
    /// What the services that verify it are to know; may be repeated.
    #[arg(long = "attribute", value_name = "NAME=VALUE", value_parser = attribute)]
    pub(super) attributes: Vec<(String, String)>,
    /// The language of its holder, such as `de-CH`.
    #[arg(long, value_name = "TAG")]
    pub(super) language: Option<String>,
    /// The time zone of its holder, such as `Europe/Berlin`: dates and periods are reckoned
    /// in it.
    #[arg(long, value_name = "NAME")]
    pub(super) time_zone: Option<String>,
}

/// How to send it again.
#[derive(Clone, Debug, Args)]
pub(super) struct Retry {
    /// Repeats an earlier request, whose answer was lost, within ten minutes: its id.
    #[arg(long, value_name = "UUID")]
    request_id: Option<String>,
}

impl Retry {
    /// The id of the request.
    pub(super) fn id(self) -> Result<String, Failure> {
        if let Some(id) = self.request_id {
            return Ok(id);
        }
        let bytes = random::bytes(&SystemRandom::new());
        let bytes = bytes.map_err(|error| Failure::Other(error.to_string()))?;
        let id: Uuid = uuid::Builder::from_random_bytes(bytes).into_uuid();
        Ok(id.to_string())
    }
}

/// A failure of a request that can be sent again under this id.
pub(super) fn retried(failure: Failure, id: &str, dry_run: bool) -> Failure {
    if dry_run {
        failure
    } else {
        failure.with_request_id(id)
    }
}

/// Reads `NAME=VALUE`.
fn attribute(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("must be NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

impl Run for Issue {
    fn shows_secret(&self) -> bool {
        true
    }

    async fn run(self, session: &Session) -> Result<Done, Failure> {
        let Self {
            tenant,
            owner,
            profile,
            texts,
            expires,
            retry,
            destination,
            change: Fenced { guarded, fence },
        } = self;
        let dry_run = guarded.dry_run;
        let id = retry.id()?;
        let request = v1::IssueRequest {
            tenant,
            owner,
            profile,
            label: texts.label.unwrap_or_default(),
            description: texts.description.unwrap_or_default(),
            roles: texts.roles,
            attributes: texts.attributes.into_iter().collect::<BTreeMap<_, _>>(),
            language: texts.language.unwrap_or_default(),
            time_zone: texts.time_zone.unwrap_or_default(),
            expiry: expires.map(Into::into),
            request_id: if dry_run { String::new() } else { id.clone() },
            expected_revision: guarded.expected(),
            reason: guarded.why.reason,
            dry_run,
            fence,
        };
        let request = session.caller.request(request)?;
        let mut place = destination.open(session, dry_run)?;
        let answer = session.ask(session.credentials().issue(request)).await;
        let mut answer = answer.map_err(|failure| retried(failure, &id, dry_run))?;
        let lost = |failure: Failure| failure.of_secret(&id);
        place.take(&mut answer.secret).map_err(lost)?;
        let shown = show(session, &answer, dry_run);
        match answer.secret {
            Some(_) => shown.map_err(lost),
            None => shown,
        }
    }
}

/// Shows what was issued, with the secret, where that is still to be shown.
fn show(session: &Session, answer: &v1::IssueResponse, dry_run: bool) -> Result<Done, Failure> {
    if secret::print(session, answer.secret.as_ref())? {
        return Ok(Done::Yes);
    }
    let credential = answer.credential.clone().unwrap_or_default();
    session.out.answer(answer, &credential.id, |page| {
        page.done(dry_run, "issued", "issue", &named(&credential));
        for replaced in &answer.replaced {
            page.done(
                dry_run,
                "revoked",
                "revoke",
                &format!("{}, replaced", replaced.id),
            );
        }
        page.impact(answer.impact.as_ref());
        page.fence(answer.fence.as_ref());
        page.line("");
        credential.page(page);
    })?;
    secret::print_below(session, answer.secret.as_ref(), &hint(&credential))?;
    Ok(Done::Yes)
}

/// Its id; what it would be, if it has none because it was not issued.
fn named(credential: &v1::Credential) -> String {
    if !credential.id.is_empty() {
        return credential.id.clone();
    }
    let v1::Credential {
        label,
        owner,
        tenant,
        profile,
        ..
    } = credential;
    let label = if label.is_empty() {
        "a credential"
    } else {
        label
    };
    format!("{label} to {owner} of {tenant} by the profile {profile}")
}

/// For how long a secret can be seen.
pub(super) fn hint(credential: &v1::Credential) -> String {
    if credential.viewable {
        format!("`credd reveal {}` shows it again", credential.id)
    } else {
        "this secret is shown this once: keep it now".to_owned()
    }
}
