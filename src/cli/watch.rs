//! `credd watch`.

use std::time::Duration;

use clap::Args;
use tokio::time::sleep;
use tonic::{Code, Status, Streaming};

use super::change::revision;
use super::failure::{Done, Failure, note};
use super::interrupt;
use super::output::{self, Format, Rows};
use super::session::{Run, Session};
use super::show::{Listed, state, word};
use super::table::{Cell, Column, Table};
use super::time;
use crate::client::jittered;
use crate::proto::v1;
use crate::proto::v1::event::Subject;
use crate::proto::v1::watch_response::Message;

/// How long after a stream was lost the next is begun, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// What to watch.
#[derive(Debug, Args)]
pub struct Watch {
    /// Only changes in this tenant; may be repeated.
    #[arg(long = "tenant", value_name = "NAME")]
    tenants: Vec<String>,
    /// Goes on after the message that had this token.
    #[arg(
        long,
        value_name = "TOKEN",
        default_value = "",
        hide_default_value = true
    )]
    resume_token: String,
    /// Begins with all that is denied now.
    #[arg(long)]
    snapshot: bool,
    /// Ends after so many changes. Unset: when it is interrupted.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
}

impl Run for Watch {
    async fn run(self, session: &Session) -> Result<Done, Failure> {
        let Self {
            tenants,
            resume_token,
            snapshot,
            limit,
        } = self;
        let mut following = Following {
            session,
            shown: Shown::new(session),
            left: limit.unwrap_or(u64::MAX),
            request: v1::WatchRequest {
                resume_token,
                snapshot,
                tenants,
                ..v1::WatchRequest::default()
            },
            has_begun: false,
        };
        let ended = following.follow().await;
        let token = &following.request.resume_token;
        if matches!(ended, Err(Failure::Interrupted(_))) && !token.is_empty() {
            note(&format!("it goes on from here with --resume-token {token}"));
        }
        ended
    }
}

/// A watch, over as many streams as it takes.
struct Following<'a> {
    session: &'a Session,
    shown: Shown<'a>,
    /// How many changes are still to be printed.
    left: u64,
    request: v1::WatchRequest,
    /// Whether a stream has said something.
    has_begun: bool,
}

impl Following<'_> {
    async fn follow(&mut self) -> Result<Done, Failure> {
        let mut pause = PAUSE.0;
        loop {
            let begun = self.begin().await?;
            let ended = match begun {
                Ok(stream) => self.read(stream, &mut pause).await?,
                Err(status) => Some(status),
            };
            let Some(status) = ended else {
                return Ok(Done::Yes);
            };
            let is_passing = match status.code() {
                Code::Unavailable | Code::ResourceExhausted => true,
                // Of the connection: a server says why.
                Code::Unknown | Code::Internal | Code::Cancelled => status.details().is_empty(),
                _ => false,
            };
            if !self.has_begun || !is_passing {
                return Err(self.session.refused(status));
            }
            note(&format!(
                "the stream was lost, and is taken up again: {}",
                status.message()
            ));
            interrupt::or(sleep(jittered(pause))).await?;
            pause = PAUSE.1.min(pause * 2);
        }
    }

    async fn begin(&self) -> Result<Result<Streaming<v1::WatchResponse>, Status>, Failure> {
        let requests = tokio_stream::once(self.request.clone());
        let request = self.session.caller.long_request(requests)?;
        let mut client = self.session.verification();
        let begun = interrupt::or(client.watch(request)).await?;
        Ok(begun.map(tonic::Response::into_inner))
    }

    /// Reads a stream to its end; `None`: there is no more to be printed.
    async fn read(
        &mut self,
        mut stream: Streaming<v1::WatchResponse>,
        pause: &mut Duration,
    ) -> Result<Option<Status>, Failure> {
        loop {
            let message = match interrupt::or(stream.message()).await? {
                Ok(Some(message)) => message,
                Ok(None) => return Ok(Some(Status::unavailable("it ended"))),
                Err(status) => return Ok(Some(status)),
            };
            self.has_begun = true;
            *pause = PAUSE.0;
            let changes = match &message.message {
                Some(Message::Commit(commit)) => commit.events.len() as u64,
                _ => 0,
            };
            self.shown.push(&message)?;
            if !message.resume_token.is_empty() {
                self.request.resume_token = message.resume_token;
            }
            self.left = self.left.saturating_sub(changes);
            if self.left == 0 {
                return Ok(None);
            }
        }
    }
}

const COLUMNS: &[Column] = &[
    Column::new("TIME", 20, 4),
    Column::new("REVISION", 8, 5),
    Column::new("KIND", 10, 2),
    Column::new("TENANT", 8, 1),
    Column::whole("NAME"),
    Column::new("OWNER", 8, 3),
    Column::new("CHANGE", 8, 0),
    Column::new("STATE", 8, 1),
];

/// What is printed of a watch: a row for each change, or each message.
struct Shown<'a> {
    session: &'a Session,
    table: Table,
    messages: Rows<'a, v1::WatchResponse>,
}

impl<'a> Shown<'a> {
    fn new(session: &'a Session) -> Self {
        Self {
            session,
            table: Table::new(COLUMNS, session.out.stream),
            messages: session.out.stream(),
        }
    }

    fn push(&mut self, message: &v1::WatchResponse) -> Result<(), Failure> {
        let out = &self.session.out;
        if matches!(out.format, Format::Json | Format::Yaml) {
            return self.messages.push(std::slice::from_ref(message));
        }
        if let Some(Message::Reset(reset)) = &message.message {
            let why = word(reset.reason().as_str_name(), "RESET_REASON_");
            note(&format!(
                "changes may be missing here ({why}): what was kept is out of date"
            ));
        }
        let rows = rows(message);
        if rows.is_empty() {
            return Ok(());
        }
        if out.format == Format::Name {
            return output::print(&names(message));
        }
        let text = self.table.rows(&rows);
        output::print(&text)
    }
}

fn rows(message: &v1::WatchResponse) -> Vec<Vec<Cell>> {
    let number = message
        .revision
        .as_ref()
        .map_or(0, |it| it.number)
        .to_string();
    match &message.message {
        Some(Message::Commit(commit)) => {
            let subjects = commit
                .events
                .iter()
                .filter_map(|event| event.subject.as_ref());
            subjects.map(|subject| row(&number, subject)).collect()
        }
        Some(Message::SnapshotPart(part)) => denied(&number, part),
        Some(Message::Bookmark(_) | Message::Reset(_) | Message::Grant(_)) | None => Vec::new(),
    }
}

/// The ids or names of what was changed.
fn names(message: &v1::WatchResponse) -> String {
    let Some(Message::Commit(commit)) = &message.message else {
        return String::new();
    };
    let subjects = commit
        .events
        .iter()
        .filter_map(|event| event.subject.as_ref());
    let names = subjects.map(|subject| {
        let name = match subject {
            Subject::Credential(event) => &event.credential_id,
            Subject::Owner(event) => &event.owner,
            Subject::Role(event) => &event.role,
            Subject::Tenant(event) => &event.tenant,
            Subject::Profile(event) => {
                return event
                    .profile
                    .as_ref()
                    .map_or_else(String::new, Listed::name)
                    + "\n";
            }
        };
        format!("{name}\n")
    });
    names.collect()
}

fn row(number: &str, subject: &Subject) -> Vec<Cell> {
    let at = |at: &Option<prost_types::Timestamp>| {
        Cell::from(
            time::read(at.as_ref())
                .map(time::seconds)
                .unwrap_or_default(),
        )
    };
    let directory = |change: v1::DirectoryChangeType| {
        Cell::from(word(change.as_str_name(), "DIRECTORY_CHANGE_TYPE_"))
    };
    let standing = |is_disabled: bool| Cell::from(if is_disabled { "disabled" } else { "" });
    let none = || Cell::from("");
    match subject {
        Subject::Credential(event) => {
            let (word_of_state, style) = state(event.state());
            vec![
                at(&event.at),
                number.into(),
                "credential".into(),
                Cell::from(&event.tenant),
                Cell::from(&event.credential_id),
                Cell::from(&event.owner),
                Cell::from(word(event.r#type().as_str_name(), "CHANGE_TYPE_")),
                Cell::new(word_of_state, style),
            ]
        }
        Subject::Owner(event) => vec![
            at(&event.at),
            number.into(),
            "owner".into(),
            Cell::from(&event.tenant),
            Cell::from(&event.owner),
            none(),
            directory(event.r#type()),
            standing(event.disabled),
        ],
        Subject::Role(event) => vec![
            at(&event.at),
            number.into(),
            "role".into(),
            Cell::from(&event.tenant),
            Cell::from(&event.role),
            none(),
            directory(event.r#type()),
            none(),
        ],
        Subject::Tenant(event) => vec![
            at(&event.at),
            number.into(),
            "tenant".into(),
            Cell::from(&event.tenant),
            Cell::from(&event.tenant),
            none(),
            directory(event.r#type()),
            standing(event.disabled),
        ],
        Subject::Profile(event) => {
            let profile = event.profile.clone().unwrap_or_default();
            vec![
                at(&event.at),
                number.into(),
                "profile".into(),
                Cell::from(&profile.tenant),
                Cell::from(&profile.name),
                none(),
                directory(event.r#type()),
                none(),
            ]
        }
    }
}

/// What is denied at the beginning.
fn denied(number: &str, part: &v1::SnapshotPart) -> Vec<Vec<Cell>> {
    let row = |kind: &str, tenant: &str, name: &str, owner: &str, state: Cell| {
        let before = ["", number, kind, tenant, name, owner, ""].map(Cell::from);
        before.into_iter().chain([state]).collect::<Vec<_>>()
    };
    let credentials = part.denied.iter().map(|it| {
        let (word_of_state, style) = state(it.state());
        let state = Cell::new(word_of_state, style);
        row(
            "credential",
            &it.tenant,
            &it.credential_id,
            &it.owner,
            state,
        )
    });
    let owners = part.disabled_owners.iter();
    let owners = owners.map(|it| row("owner", &it.tenant, &it.owner, "", "disabled".into()));
    let tenants = part.disabled_tenants.iter();
    let tenants = tenants.map(|tenant| row("tenant", tenant, tenant, "", "disabled".into()));
    credentials.chain(owners).chain(tenants).collect()
}

impl Listed for v1::WatchResponse {
    const COLUMNS: &'static [Column] = COLUMNS;

    fn name(&self) -> String {
        revision(self.revision.as_ref())
    }

    fn row(&self) -> Vec<Cell> {
        Vec::new()
    }
}
