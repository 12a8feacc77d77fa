//! How a command ends: what is said, and the exit code.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use tonic::Code;

use super::hints::{self, Refused};
use super::terminal::{self, Stream, clean};

/// The exit codes, for `--help`.
pub(super) const EXIT_CODES: &str = "\
Exit codes of what asks a server:
  0  done
  1  it failed for another reason
  2  what was asked is not well put: flags, files, lines of a file, INVALID_ARGUMENT
  3  the answer is no: a verdict other than ACTIVE, a broken audit log
  4  NOT_FOUND
  5  UNAUTHENTICATED, PERMISSION_DENIED
  6  nobody answered in time: UNAVAILABLE, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED
  7  things are not so that it can be done: FAILED_PRECONDITION, ABORTED, ALREADY_EXISTS
  129, 130, 131, 143  it was ended by SIGHUP, SIGINT (Ctrl-C), SIGQUIT or SIGTERM";

/// How a command ended that was not refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Done {
    /// It was done, or the answer is yes.
    Yes,
    /// The answer is no.
    No,
}

impl Done {
    pub(super) fn code(self) -> ExitCode {
        match self {
            Self::Yes => ExitCode::SUCCESS,
            Self::No => ExitCode::from(3),
        }
    }
}

/// Why a command was not carried out.
#[derive(Debug)]
pub(super) enum Failure {
    /// It is not well put.
    Usage(String),
    /// The server refused it, or there is none.
    Refused(Box<Refused>),
    /// A file can't be read or written.
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What it was to print can't be printed.
    Output(io::Error),
    /// The same, of the answer to what may have changed something.
    Untold(io::Error),
    /// It was ended by a signal: the exit code.
    Interrupted(u8),
    /// Something else; the text says what.
    Other(String),
    /// What it asked for may have been done, and what came of it can be asked for again.
    Again {
        /// What went wrong.
        failure: Box<Self>,
        /// How to ask.
        hint: String,
    },
    /// Some of several were not carried out, and it was said which: the exit code.
    Told(u8),
}

impl Failure {
    /// Of a file.
    pub(super) fn of_file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        |source| Self::File { path, source }
    }

    /// The same, of a request that can be sent again under this id.
    pub(super) fn with_request_id(self, id: &str) -> Self {
        match self {
            Self::Refused(refused) => Self::Refused(Box::new(refused.with_request_id(id))),
            Self::Interrupted(code) => Self::Again {
                failure: Box::new(Self::Interrupted(code)),
                hint: hints::not_known(id),
            },
            other => other,
        }
    }

    /// The same, of a secret that was made and not shown: by the request of this id.
    pub(super) fn of_secret(self, id: &str) -> Self {
        Self::Again {
            failure: Box::new(self.of_answer()),
            hint: format!(
                "the secret was made, and nobody has seen it: the same command with \
                 `--request-id {id}` shows it, within ten minutes"
            ),
        }
    }

    /// The same, of the answer to what may have changed something: it is a failure even
    /// if whoever reads has read enough.
    pub(super) fn of_answer(self) -> Self {
        match self {
            Self::Output(error) => Self::Untold(error),
            other => other,
        }
    }

    /// Whether it is about one of several, so that the others can be gone on with.
    pub(super) const fn is_of_one(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::Untold(_))
    }

    /// The exit code.
    pub(super) fn code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Refused(refused) => code_of(refused),
            Self::File { source, .. } if is_unfit(source.kind()) => 2,
            // Whoever reads it has read enough, as `head` does.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
            Self::File { .. } | Self::Output(_) | Self::Untold(_) | Self::Other(_) => 1,
            Self::Again { failure, .. } => failure.code(),
            Self::Interrupted(code) | Self::Told(code) => *code,
        }
    }

    /// Says it on standard error, and returns the exit code.
    pub(super) fn tell(&self) -> ExitCode {
        say(&self.text());
        ExitCode::from(self.code())
    }

    /// The same, of one of several.
    pub(super) fn tell_of(&self, what: &str) {
        say(&format!("{}: {}", clean(what), self.text()));
    }

    /// What is said, in one or more lines, with nothing in them that a terminal obeys.
    fn text(&self) -> String {
        let text = self.raw_text();
        text.lines().map(clean).collect::<Vec<_>>().join("\n")
    }

    fn raw_text(&self) -> String {
        match self {
            Self::Usage(text) | Self::Other(text) => text.clone(),
            Self::Refused(refused) => refused.text(),
            Self::File { path, source } => {
                let mut text = format!("{}: {source}", path.display());
                if source.kind() == io::ErrorKind::AlreadyExists {
                    // Writing to a String does not fail.
                    let _ = write!(text, "\nhint: nothing is written over; name another file");
                }
                text
            }
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => String::new(),
            Self::Output(error) => format!("can't write to the standard output: {error}"),
            Self::Untold(error) => {
                format!("it was answered, but can't be written to the standard output: {error}")
            }
            Self::Again { failure, hint } => match failure.raw_text() {
                text if text.is_empty() => format!("it was interrupted\nhint: {hint}"),
                text => format!("{text}\nhint: {hint}"),
            },
            Self::Interrupted(_) | Self::Told(_) => String::new(),
        }
    }
}

/// Says what went wrong, if there is something to say.
fn say(text: &str) {
    if !text.is_empty() {
        let red = Stream::stderr().paint(terminal::BAD);
        // That nobody sees it is no other failure.
        let _ = writeln!(io::stderr(), "{red}error:{red:#} {text}");
    }
}

/// What is said beside the answer, on standard error.
pub(super) fn note(text: &str) {
    for line in text.lines() {
        // The answer is what counts.
        let _ = writeln!(io::stderr(), "{}", clean(line));
    }
}

/// Whether a file fails so because it is not the one that it should be.
const fn is_unfit(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::NotFound
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::AlreadyExists
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::IsADirectory
            | io::ErrorKind::InvalidFilename
            | io::ErrorKind::InvalidInput
    )
}

fn code_of(refused: &Refused) -> u8 {
    match refused.code() {
        Code::Unknown | Code::Internal if refused.is_of_the_connection() => 6,
        Code::InvalidArgument | Code::OutOfRange => 2,
        Code::NotFound => 4,
        Code::Unauthenticated | Code::PermissionDenied => 5,
        Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted | Code::Cancelled => 6,
        Code::FailedPrecondition | Code::Aborted | Code::AlreadyExists => 7,
        Code::Ok | Code::Unknown | Code::Unimplemented | Code::Internal | Code::DataLoss => 1,
    }
}
