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
pub(super) const PAUSE: (Duration, Duration) =
    (Duration::from_millis(200), Duration::from_secs(10));

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
    /// Ends after so many changes; as JSON or YAML with the commit that has the last of them.
    /// Unset: when it is interrupted.
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

/// Whether a stream that ended so can be taken up again.
pub(super) fn is_passing(status: &Status) -> bool {
    match status.code() {
        Code::Unavailable | Code::ResourceExhausted => true,
        // Of the connection: a server says why.
        Code::Unknown | Code::Internal | Code::Cancelled => status.details().is_empty(),
        _ => false,
    }
}

/// Waits until a stream that ended so is taken up again, and longer the next time.
pub(super) async fn wait(status: &Status, pause: &mut Duration) -> Result<(), Failure> {
    note(&format!(
        "the stream was lost, and is taken up again: {}",
        status.message()
    ));
    interrupt::or(sleep(jittered(*pause))).await?;
    *pause = PAUSE.1.min(*pause * 2);
    Ok(())
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
            if !self.has_begun || !is_passing(&status) {
                return Err(self.session.refused(status));
            }
            wait(&status, &mut pause).await?;
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
            self.shown.push(&message, self.left)?;
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

    /// Prints a message, with so many changes of it at most.
    fn push(&mut self, message: &v1::WatchResponse, most: u64) -> Result<(), Failure> {
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
        // What is denied at the beginning is no change.
        let most = match &message.message {
            Some(Message::Commit(_)) => usize::try_from(most).unwrap_or(usize::MAX),
            _ => usize::MAX,
        };
        if out.format == Format::Name {
            let names = names(message).into_iter().take(most);
            return output::print(&names.map(|name| name + "\n").collect::<String>());
        }
        let mut rows = rows(message);
        rows.truncate(most);
        if rows.is_empty() {
            return Ok(());
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

/// The ids or names of what was changed, or is denied.
fn names(message: &v1::WatchResponse) -> Vec<String> {
    match &message.message {
        Some(Message::Commit(commit)) => {
            let subjects = commit.events.iter();
            let subjects = subjects.filter_map(|event| event.subject.as_ref());
            subjects.map(name).collect()
        }
        Some(Message::SnapshotPart(part)) => {
            let credentials = part.denied.iter().map(|it| it.credential_id.clone());
            let owners = part.disabled_owners.iter().map(|it| it.owner.clone());
            let tenants = part.disabled_tenants.iter().cloned();
            credentials.chain(owners).chain(tenants).collect()
        }
        _ => Vec::new(),
    }
}

fn name(subject: &Subject) -> String {
    match subject {
        Subject::Credential(event) => event.credential_id.clone(),
        Subject::Owner(event) => event.owner.clone(),
        Subject::Role(event) => event.role.clone(),
        Subject::Tenant(event) => event.tenant.clone(),
        Subject::Profile(event) => {
            let profile = event.profile.as_ref();
            profile.map_or_else(String::new, Listed::name)
        }
    }
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
