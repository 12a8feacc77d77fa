//! `credd get`, `list`, `update`, `rotate` and `reveal`.

use clap::{Args, ValueEnum};

use super::change::{Fenced, Why};
use super::expiry::Expiry;
use super::failure::{Done, Failure, note};
use super::filter::Filter;
use super::issue::{Retry, Texts, hint, retried};
use super::pages::Extent;
use super::secret::{self, Destination};
use super::session::{Run, Session};
use super::show::Shown as _;
use super::stop::{each, ended};
use super::time;
use crate::proto::v1;

/// Which credentials to show.
#[derive(Debug, Args)]
pub struct Get {
    /// Its id; several are shown one after the other.
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
}

impl Run for Get {
    async fn run(self, session: &Session) -> Result<Done, Failure> {
        let is_one = self.ids.len() == 1;
        let mut rows = session.out.list();
        let done = each(&self.ids, async |credential_id| {
            let request = session.caller.request(v1::GetRequest { credential_id })?;
            let answer = session.ask(session.credentials().get(request)).await?;
            let credential = answer.credential.unwrap_or_default();
            if is_one {
                session.out.one(&credential)
            } else {
                rows.push(&[credential])
            }
        })
        .await;
        if is_one {
            return done;
        }
        ended(done, rows.end())
    }
}

/// Which credentials to list.
#[derive(Debug, Args)]
pub struct List {
    #[command(flatten)]
    filter: Filter,
    /// In which order.
    #[arg(long, value_enum, default_value = "created")]
    sort: Sort,
    /// Also those of profiles that are kept off lists.
    #[arg(long)]
    include_unlisted: bool,
    /// Says how many there are, on standard error.
    #[arg(long)]
    total: bool,
    #[command(flatten)]
    extent: Extent,
}

/// An order.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Sort {
    /// As they were issued.
    Created,
    /// The soonest to expire first.
    Expiry,
    /// Those never used first, then the longest unused.
    LastUsed,
}

impl Run for List {
    async fn run(self, session: &Session) -> Result<Done, Failure> {
        let Self {
            filter,
            sort,
            include_unlisted,
            total,
            extent,
        } = self;
        let order = match sort {
            Sort::Created => v1::ListOrder::Created,
            Sort::Expiry => v1::ListOrder::Expiry,
            Sort::LastUsed => v1::ListOrder::LastUsed,
        };
        let filter = v1::CredentialFilter::from(filter);
        let mut include_total = total;
        extent
            .print(session, async |page_size, page_token| {
                let request = v1::ListRequest {
                    filter: Some(filter.clone()),
                    order: order.into(),
                    page_size,
                    page_token,
                    include_unlisted,
                    include_total: std::mem::take(&mut include_total),
                };
                let request = session.caller.request(request)?;
                let page = session.ask(session.credentials().list(request)).await?;
                if let Some(total) = page.total_size {
                    note(&format!("{total} in all"));
                }
                Ok((page.credentials, page.next_page_token))
            })
            .await
    }
}

/// What to change of a credential.
#[derive(Debug, Args)]
pub struct Update {
    /// Its id.
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    texts: Texts,
    /// When it expires: `never`, after a period from now on such as `90d` or `P1Y`, with the
    /// end of a date, or at a time; `default`: as the profile says.
    #[arg(long, value_name = "WHEN", value_parser = new_expiry)]
    expires: Option<NewExpiry>,
    /// Takes away what it names: all roles, or all attributes; may be repeated.
    #[arg(long, value_enum)]
    clear: Vec<Clear>,
    #[command(flatten)]
    change: Fenced,
}

/// When a credential is to expire; `None`: as the profile says.
#[derive(Clone, Debug)]
struct NewExpiry(Option<Expiry>);

fn new_expiry(text: &str) -> Result<NewExpiry, String> {
    match text {
        "default" => Ok(NewExpiry(None)),
        text => text.parse().map(|expiry| NewExpiry(Some(expiry))),
    }
}

/// What can be taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Clear {
    /// Its roles: it has all that its owner has.
    Roles,
    /// Its attributes.
    Attributes,
}

impl Run for Update {
    async fn run(self, session: &Session) -> Result<Done, Failure> {
        let Self {
            id,
            texts,
            expires,
            clear,
            change: Fenced { guarded, fence },
        } = self;
        let dry_run = guarded.dry_run;
        let Texts {
            label,
            description,
            roles,
            attributes,
            language,
            time_zone,
        } = texts;
        let changed = [
            ("label", label.is_some()),
            ("description", description.is_some()),
            ("roles", !roles.is_empty() || clear.contains(&Clear::Roles)),
            (
                "attributes",
                !attributes.is_empty() || clear.contains(&Clear::Attributes),
            ),
            ("language", language.is_some()),
            ("time_zone", time_zone.is_some()),
            ("expiry", expires.is_some()),
        ];
        let changed = changed.into_iter().filter(|(_, is_changed)| *is_changed);
        let paths: Vec<_> = changed.map(|(path, _)| path.to_owned()).collect();
        if paths.is_empty() {
            let text = "it is not said what to change\nhint: `credd update --help`";
            return Err(Failure::Usage(text.to_owned()));
        }
        let request = v1::UpdateRequest {
            credential_id: id.clone(),
            update_mask: Some(prost_types::FieldMask { paths }),
            label: label.unwrap_or_default(),
            description: description.unwrap_or_default(),
            attributes: attributes.into_iter().collect(),
            roles,
            language: language.unwrap_or_default(),
            time_zone: time_zone.unwrap_or_default(),
            expiry: expires.and_then(|it| it.0).map(Into::into),
            expected_revision: guarded.expected(),
            reason: guarded.why.reason,
            dry_run,
            fence,
        };
        let request = session.caller.request(request)?;
        let answer = session.ask(session.credentials().update(request)).await?;
        session.out.answer(&answer, &id, |page| {
            page.done(dry_run, "updated", "update", &id);
            page.impact(answer.impact.as_ref());
            page.fence(answer.fence.as_ref());
            page.line("");
            answer.credential.clone().unwrap_or_default().page(page);
        })?;
        Ok(Done::Yes)
    }
}

/// Which credential to rotate.
#[derive(Debug, Args)]
pub struct Rotate {
    /// Its id.
    #[arg(value_name = "ID")]
    id: String,
    /// For how long the old secret works beside the new one, such as `24h`. Unset: it ends
    /// at once.
    #[arg(long, value_name = "DURATION", value_parser = time::duration_message)]
    overlap: Option<prost_types::Duration>,
    /// Ends an overlap that is still running.
    #[arg(long)]
    end_overlap: bool,
    #[command(flatten)]
    retry: Retry,
    #[command(flatten)]
    destination: Destination,
    #[command(flatten)]
    change: Fenced,
}

impl Run for Rotate {
    fn shows_secret(&self) -> bool {
        true
    }

    async fn run(self, session: &Session) -> Result<Done, Failure> {
        let Self {
            id,
            overlap,
            end_overlap,
            retry,
            destination,
            change: Fenced { guarded, fence },
        } = self;
        let dry_run = guarded.dry_run;
        let request_id = retry.id()?;
        let request = v1::RotateRequest {
            credential_id: id.clone(),
            overlap,
            end_overlap,
            request_id: if dry_run {
                String::new()
            } else {
                request_id.clone()
            },
            expected_revision: guarded.expected(),
            reason: guarded.why.reason,
            dry_run,
            fence,
        };
        let request = session.caller.request(request)?;
        let mut place = destination.open(session, dry_run)?;
        let answer = session.ask(session.credentials().rotate(request)).await;
        let mut answer = answer.map_err(|failure| retried(failure, &request_id, dry_run))?;
        let lost = |failure: Failure| failure.of_secret(&request_id);
        place.take(&mut answer.secret).map_err(lost)?;
        let shown = show(session, &id, &answer, dry_run);
        match answer.secret {
            Some(_) => shown.map_err(lost),
            None => shown,
        }
    }
}

/// Shows what came of a rotation, with the secret, where that is still to be shown.
fn show(
    session: &Session,
    id: &str,
    answer: &v1::RotateResponse,
    dry_run: bool,
) -> Result<Done, Failure> {
    if secret::print(session, answer.secret.as_ref())? {
        return Ok(Done::Yes);
    }
    let credential = answer.credential.clone().unwrap_or_default();
    session.out.answer(answer, id, |page| {
        page.done(dry_run, "rotated", "rotate", id);
        page.impact(answer.impact.as_ref());
        page.fence(answer.fence.as_ref());
        page.line("");
        credential.page(page);
    })?;
    secret::print_below(session, answer.secret.as_ref(), &hint(&credential))?;
    Ok(Done::Yes)
}

/// Which secret to show again.
#[derive(Debug, Args)]
pub struct Reveal {
    /// The credential's id.
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    destination: Destination,
    #[command(flatten)]
    why: Why,
}

impl Run for Reveal {
    fn shows_secret(&self) -> bool {
        true
    }

    async fn run(self, session: &Session) -> Result<Done, Failure> {
        let Self {
            id,
            destination,
            why,
        } = self;
        let request = session.caller.request(v1::RevealRequest {
            credential_id: id.clone(),
            reason: why.reason,
        })?;
        let mut place = destination.open(session, false)?;
        let answer = session.ask(session.credentials().reveal(request)).await;
        let mut answer = answer?;
        place.take(&mut answer.secret)?;
        if secret::print(session, answer.secret.as_ref())? {
            return Ok(Done::Yes);
        }
        let credential = answer.credential.clone().unwrap_or_default();
        session
            .out
            .view(&answer, &id, |page| credential.page(page))?;
        secret::print_below(session, answer.secret.as_ref(), &hint(&credential))?;
        Ok(Done::Yes)
    }
}
