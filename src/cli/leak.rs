//! `credd report-leak`.

use clap::Args;

use super::change::{Why, count};
use super::failure::{Done, Failure, note};
use super::secret::{Line, Source};
use super::session::{Run, Session};
use super::show::word;
use super::table::{Cell, Column};
use super::terminal::{BAD, GOOD, WARN};
use crate::proto::v1;
use crate::server::progress::Progress;

/// The most texts of a request.
const MOST: usize = 1000;
/// The most bytes of a text: no secret is longer.
const MOST_BYTES: usize = 1024;
/// The most bytes of the texts of a request: less than servers take by default.
const MOST_BYTES_IN_ALL: usize = 256 << 10;

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
        let lines = found.lines("Token, password or secret key (none: that is all): ")?;
        if lines.is_empty() {
            return Err(Failure::Usage("there is nothing to report".to_owned()));
        }
        let has_unread = tell_of_unfit(&lines);
        let mut answer = v1::ReportLeakResponse::default();
        let mut progress = Progress::new("reporting", lines.len() as u64);
        let mut ended = Ok(Done::Yes);
        for part in parts(&lines) {
            let request = v1::ReportLeakRequest {
                secrets: part.iter().filter_map(secret).map(str::to_owned).collect(),
                reason: why.reason.clone(),
                dry_run,
                fence,
            };
            match ask(session, request).await {
                Ok(answered) => add(&mut answer, part, answered),
                Err(failure) => {
                    ended = Err(failure);
                    break;
                }
            }
            progress.at(answer.results.len() as u64);
        }
        drop(progress);
        let (done, all) = (answer.results.len(), lines.len());
        if ended.is_err() {
            note(&format!("{done} of {all} lines were reported"));
            if done == 0 {
                return ended;
            }
        }
        let locked = |it: &&v1::LeakResult| it.outcome() == v1::LeakOutcome::Locked;
        let ids = answer.results.iter().filter(locked);
        let ids: Vec<_> = ids.map(|it| it.credential_id.as_str()).collect();
        session.out.answer(&answer, &ids.join("\n"), |page| {
            page.table(COLUMNS, rows(&lines, &answer.results));
            let changed = answer.impact.as_ref().map_or(0, |impact| impact.changed);
            let what = count(changed, "credential", "credentials");
            page.done(dry_run, "locked", "lock", &what);
            page.impact(answer.impact.as_ref());
            page.fence(answer.fence.as_ref());
        })?;
        match ended {
            Ok(_) if has_unread => Err(Failure::Told(2)),
            ended => ended,
        }
    }
}

/// The text of a line, if it may be a secret.
fn secret(line: &Line) -> Option<&str> {
    let text = line.text.as_ref().map(|text| text.as_str());
    text.filter(|text| text.len() <= MOST_BYTES)
}

/// Says which lines are not reported; returns whether some of them can't be read.
fn tell_of_unfit(lines: &[Line]) -> bool {
    let too_long = lines.iter().filter(|line| {
        let text = line.text.as_ref();
        text.is_some_and(|text| text.len() > MOST_BYTES)
    });
    let why = format!("not ours, as no secret is longer than {MOST_BYTES} bytes");
    tell_of(&why, too_long);
    let unread = lines.iter().filter(|line| line.text.is_none());
    tell_of("not looked at, as they are not text in UTF-8", unread)
}

/// Says of which lines that is so; returns whether there are some.
fn tell_of<'a>(why: &str, lines: impl Iterator<Item = &'a Line>) -> bool {
    /// The most that are named.
    const NAMED: usize = 10;
    let numbers: Vec<_> = lines.map(|line| line.number.to_string()).collect();
    if numbers.is_empty() {
        return false;
    }
    let more = if numbers.len() > NAMED { "..." } else { "" };
    let named = numbers.iter().take(NAMED).map(String::as_str);
    note(&format!(
        "{why}: {} ({}{more})",
        count(numbers.len() as u64, "line", "lines"),
        named.collect::<Vec<_>>().join(", "),
    ));
    true
}

/// The lines in parts, each of which a request can hold.
fn parts(lines: &[Line]) -> Vec<&[Line]> {
    let mut parts = Vec::new();
    let (mut begin, mut bytes) = (0, 0);
    for (at, line) in lines.iter().enumerate() {
        let more = secret(line).map_or(0, str::len);
        if at > begin && (at - begin == MOST || bytes + more > MOST_BYTES_IN_ALL) {
            parts.extend(lines.get(begin..at));
            (begin, bytes) = (at, 0);
        }
        bytes += more;
    }
    parts.extend(lines.get(begin..).filter(|part| !part.is_empty()));
    parts
}

/// Reports a part, if there is something to report.
async fn ask(
    session: &Session,
    request: v1::ReportLeakRequest,
) -> Result<v1::ReportLeakResponse, Failure> {
    if request.secrets.is_empty() {
        return Ok(v1::ReportLeakResponse::default());
    }
    let request = session.caller.long_request(request)?;
    session
        .ask(session.credentials().report_leak(request))
        .await
}

/// The answer to a part of the lines, with those before it: a result for each line.
fn add(all: &mut v1::ReportLeakResponse, lines: &[Line], part: v1::ReportLeakResponse) {
    let v1::ReportLeakResponse {
        results,
        revision,
        impact,
        fence,
    } = part;
    let mut results = results.into_iter();
    for line in lines {
        let answered = secret(line).and_then(|_| results.next());
        let outcome = match line.text {
            Some(_) => v1::LeakOutcome::NotOurs,
            None => v1::LeakOutcome::Unspecified,
        };
        all.results
            .push(answered.unwrap_or_else(|| unasked(outcome)));
    }
    if revision.is_none() {
        return;
    }
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

/// Of a line that was not sent.
fn unasked(outcome: v1::LeakOutcome) -> v1::LeakResult {
    v1::LeakResult {
        outcome: outcome.into(),
        ..v1::LeakResult::default()
    }
}

fn rows(lines: &[Line], results: &[v1::LeakResult]) -> Vec<Vec<Cell>> {
    let mut rows = Vec::new();
    for (line, result) in lines.iter().zip(results) {
        for result in std::iter::once(result).chain(&result.others) {
            let outcome = result.outcome();
            let shown = word(outcome.as_str_name(), "LEAK_OUTCOME_");
            let (shown, style) = match outcome {
                v1::LeakOutcome::Unspecified => ("not looked at".to_owned(), WARN),
                v1::LeakOutcome::NotOurs => (shown, GOOD),
                _ => (shown, BAD),
            };
            rows.push(vec![
                Cell::from(line.number.to_string()),
                Cell::new(shown, style),
                Cell::from(&result.credential_id),
            ]);
        }
    }
    rows
}
