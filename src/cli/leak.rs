//! `credd report-leak`.

use clap::Args;

use super::change::{Why, count};
use super::failure::{Done, Failure};
use super::secret::Source;
use super::session::{Run, Session};
use super::show::word;
use super::table::{Cell, Column};
use super::terminal::{BAD, GOOD};
use crate::proto::v1;
use crate::server::progress::Progress;

/// The most texts of a request.
const MOST: usize = 1000;

const COLUMNS: &[Column] = &[
    Column::new("LINE", 4, 0),
    Column::new("OUTCOME", 8, 0),
    Column::whole("CREDENTIAL"),
];

/// What was found.
#[derive(Debug, Args)]
pub struct ReportLeak {
    #[command(flatten)]
    found: Source,
    #[command(flatten)]
    why: Why,
    /// Says what would be locked, and locks nothing.
    #[arg(long)]
    dry_run: bool,
    /// Returns only when no cache says yes any more where the change says no.
    #[arg(long)]
    fence: bool,
}

impl Run for ReportLeak {
    async fn run(self, session: &Session) -> Result<Done, Failure> {
        let Self {
            found,
            why,
            dry_run,
            fence,
        } = self;
        let secrets = found
            .lines("Token, password or secret key (none: that is all): ")
            .await?;
        let mut answer = v1::ReportLeakResponse::default();
        let mut progress = Progress::new("reporting", secrets.len() as u64);
        for some in secrets.chunks(MOST) {
            let request = v1::ReportLeakRequest {
                secrets: some.iter().map(|secret| secret.to_string()).collect(),
                reason: why.reason.clone(),
                dry_run,
                fence,
            };
            let request = session.caller.long_request(request)?;
            let part = session
                .ask(session.credentials().report_leak(request))
                .await?;
            add(&mut answer, part);
            progress.at(answer.results.len() as u64);
        }
        drop(progress);
        let locked = |it: &&v1::LeakResult| it.outcome() == v1::LeakOutcome::Locked;
        let ids = answer.results.iter().filter(locked);
        let ids: Vec<_> = ids.map(|it| it.credential_id.as_str()).collect();
        session.out.answer(&answer, &ids.join("\n"), |page| {
            page.table(COLUMNS, rows(&answer.results));
            let changed = answer.impact.as_ref().map_or(0, |impact| impact.changed);
            let what = count(changed, "credential", "credentials");
            page.done(dry_run, "locked", "lock", &what);
            page.impact(answer.impact.as_ref());
            page.fence(answer.fence.as_ref());
        })?;
        Ok(Done::Yes)
    }
}

/// Several answers as one.
fn add(all: &mut v1::ReportLeakResponse, part: v1::ReportLeakResponse) {
    let v1::ReportLeakResponse {
        results,
        revision,
        impact,
        fence,
    } = part;
    all.results.extend(results);
    all.revision = revision;
    all.fence = fence;
    let v1::Impact {
        matched,
        changed,
        services,
    } = impact.unwrap_or_default();
    let sum = all.impact.get_or_insert_default();
    sum.matched += matched;
    sum.changed += changed;
    sum.services.extend(services);
}

fn rows(results: &[v1::LeakResult]) -> Vec<Vec<Cell>> {
    let mut rows = Vec::new();
    for (at, result) in results.iter().enumerate() {
        for result in std::iter::once(result).chain(&result.others) {
            let outcome = result.outcome();
            let style = match outcome {
                v1::LeakOutcome::NotOurs => GOOD,
                _ => BAD,
            };
            rows.push(vec![
                Cell::from((at + 1).to_string()),
                Cell::new(word(outcome.as_str_name(), "LEAK_OUTCOME_"), style),
                Cell::from(&result.credential_id),
            ]);
        }
    }
    rows
}
