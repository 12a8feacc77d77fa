//! How a command ends: what is said, and the exit code.

use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use tonic::Code;

use super::hints::Refused;
use super::terminal::{self, Stream, clean};

/// The exit codes, for `--help`.
pub(super) const EXIT_CODES: &str = "\
Exit codes of what asks a server:
  0  done
  1  it failed for another reason
  2  what was asked is not well put: flags, files, INVALID_ARGUMENT
  3  the answer is no: a verdict other than ACTIVE, a broken audit log
  4  NOT_FOUND
  5  UNAUTHENTICATED, PERMISSION_DENIED
  6  nobody answered in time: UNAVAILABLE, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED
  7  things are not so that it can be done: FAILED_PRECONDITION, ABORTED, ALREADY_EXISTS
  130  it was interrupted";

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
    /// It was interrupted.
    Interrupted,
    /// Something else; the text says what.
    Other(String),
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
            other => other,
        }
    }

    /// The same, of one of several.
    pub(super) fn about(self, what: &str) -> Self {
        match self {
            Self::Refused(refused) => Self::Refused(Box::new(refused.about(what))),
            other => other,
        }
    }

    /// The exit code.
    pub(super) fn code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Refused(refused) => code_of(refused.code()),
            // Whoever reads it has read enough, as `head` does.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
            Self::File { .. } | Self::Output(_) | Self::Other(_) => 1,
            Self::Interrupted => 130,
            Self::Told(code) => *code,
        }
    }

    /// Says it on standard error, and returns the exit code.
    pub(super) fn tell(&self) -> ExitCode {
        let text = self.text();
        if !text.is_empty() {
            let red = Stream::stderr().paint(terminal::BAD);
            eprintln!("{red}error:{red:#} {text}");
        }
        ExitCode::from(self.code())
    }

    /// What is said, in one or more lines.
    pub(super) fn text(&self) -> String {
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
            Self::Interrupted | Self::Told(_) => String::new(),
        }
    }
}

/// What is said beside the answer, on standard error.
pub(super) fn note(text: &str) {
    for line in text.lines() {
        eprintln!("{}", clean(line));
    }
}

fn code_of(code: Code) -> u8 {
    match code {
        Code::InvalidArgument | Code::OutOfRange => 2,
        Code::NotFound => 4,
        Code::Unauthenticated | Code::PermissionDenied => 5,
        Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted | Code::Cancelled => 6,
        Code::FailedPrecondition | Code::Aborted | Code::AlreadyExists => 7,
        Code::Ok | Code::Unknown | Code::Unimplemented | Code::Internal | Code::DataLoss => 1,
    }
}
