//! Secrets: those that are shown this once, and those that are read.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::Args;
use zeroize::Zeroizing;

use super::failure::{Failure, note};
use super::interrupt;
use super::output::{self, Format};
use super::session::Session;
use super::terminal;
use crate::proto::v1;
use crate::proto::v1::issued_secret::Secret;

/// The most bytes of what is read.
const MOST_BYTES: u64 = 16 << 20;

/// Where a secret goes that is shown.
#[derive(Clone, Debug, Args)]
pub(super) struct Destination {
    /// Writes the secret alone to a file that must not exist, for its owner alone, and
    /// prints it nowhere.
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
}

/// A place that is there before the secret is made: if there is none, none is made. `None`:
/// it is printed.
#[derive(Debug)]
pub(super) struct Place(Option<NewFile>);

/// A file that is taken away again if no secret comes into it.
#[derive(Debug)]
struct NewFile {
    path: PathBuf,
    file: File,
    is_kept: bool,
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.is_kept {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Destination {
    pub(super) fn open(self, session: &Session, dry_run: bool) -> Result<Place, Failure> {
        if dry_run {
            return Ok(Place(None));
        }
        let Some(path) = self.secret_file else {
            if session.out.format == Format::Name {
                let text = "with --output name the secret would be shown nowhere\nhint: say with \
                            --secret-file where it goes, or print it with another --output";
                return Err(Failure::Usage(text.to_owned()));
            }
            return Ok(Place(None));
        };
        let mut options = OpenOptions::new();
        let opened = options.write(true).create_new(true).mode(0o600).open(&path);
        let file = opened.map_err(Failure::of_file(&path))?;
        Ok(Place(Some(NewFile {
            path,
            file,
            is_kept: false,
        })))
    }
}

impl Place {
    /// Takes the secret out of an answer that goes elsewhere.
    pub(super) fn take(&mut self, secret: &mut Option<v1::IssuedSecret>) -> Result<(), Failure> {
        let Some(place) = &mut self.0 else {
            return Ok(());
        };
        let Some(secret) = secret.take() else {
            return Ok(());
        };
        let text = Zeroizing::new(format!("{}\n", bare(&secret)));
        let written = place.file.write_all(text.as_bytes());
        let written = written.and_then(|()| place.file.sync_all());
        written.map_err(Failure::of_file(&place.path))?;
        place.is_kept = true;
        note(&format!("the secret is in {}", place.path.display()));
        Ok(())
    }
}

/// Prints an answer with a secret; returns whether that was all.
pub(super) fn print(session: &Session, secret: Option<&v1::IssuedSecret>) -> Result<bool, Failure> {
    let format = session.out.format;
    if !format.is_of_secrets() {
        return Ok(false);
    }
    let Some(secret) = secret else {
        // In a file, or of a dry run.
        return Ok(true);
    };
    let text = Zeroizing::new(match format {
        Format::Header => {
            let headers = secret.headers.iter();
            let lines = headers.map(|it| format!("{}: {}\n", it.name, it.value));
            lines.collect::<String>()
        }
        _ => format!("{}\n", bare(secret)),
    });
    output::print(&text)?;
    Ok(true)
}

/// Prints a secret below a page, and says on standard error for how long it can be seen.
pub(super) fn print_below(
    session: &Session,
    secret: Option<&v1::IssuedSecret>,
    hint: &str,
) -> Result<(), Failure> {
    let (Format::Table, Some(secret)) = (session.out.format, secret) else {
        return Ok(());
    };
    let text = Zeroizing::new(format!("\n{}\n", bare(secret)));
    output::print(&text)?;
    note(hint);
    Ok(())
}

/// The token, the password or the secret key.
fn bare(secret: &v1::IssuedSecret) -> &str {
    match &secret.secret {
        Some(Secret::Token(token)) => token,
        Some(Secret::UsernamePassword(pair)) => &pair.password,
        Some(Secret::KeyPair(pair)) => &pair.secret_key,
        None => "",
    }
}

/// Where a secret comes from.
#[derive(Clone, Debug, Args)]
pub(super) struct Source {
    /// Reads what is secret from this file. Unset or `-`: from standard input; on a terminal
    /// it is asked for, unseen.
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
}

impl Source {
    /// One secret, without the end of its line.
    pub(super) fn one(&self, prompt: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
        if self.is_asked_for() {
            let line = terminal::hidden_line(prompt)?;
            return Ok(Zeroizing::new(line.as_bytes().to_vec()));
        }
        let mut bytes = readable(read(self.secret_file.as_deref())?)?;
        while matches!(bytes.last(), Some(b'\n' | b'\r')) {
            bytes.pop();
        }
        Ok(bytes)
    }

    /// Several, one in a line, with the numbers of their lines; empty lines are passed over.
    pub(super) fn lines(&self, prompt: &str) -> Result<Vec<Line>, Failure> {
        let mut lines = Vec::new();
        if self.is_asked_for() {
            loop {
                let line = terminal::hidden_line(prompt)?;
                if line.is_empty() {
                    return Ok(lines);
                }
                lines.push(Line::new(lines.len(), line.as_bytes()));
            }
        }
        let bytes = readable(read(self.secret_file.as_deref())?)?;
        let found = bytes.split(|it| *it == b'\n').enumerate();
        let found = found.map(|(at, line)| Line::new(at, line));
        lines.extend(found.filter(|line| !line.is_empty()));
        Ok(lines)
    }

    fn is_asked_for(&self) -> bool {
        file(self.secret_file.as_deref()).is_none() && terminal::is_typed()
    }
}

/// One of several.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// From 1.
    pub(super) number: usize,
    /// `None`: it is not UTF-8, or has a character NUL.
    pub(super) text: Option<Zeroizing<String>>,
}

impl Line {
    fn new(at: usize, bytes: &[u8]) -> Self {
        let text = std::str::from_utf8(bytes).ok();
        let text = text.filter(|text| !text.contains('\0'));
        Self {
            number: at + 1,
            text: text.map(|text| Zeroizing::new(text.trim().to_owned())),
        }
    }

    fn is_empty(&self) -> bool {
        self.text.as_ref().is_some_and(|text| text.is_empty())
    }
}

/// What was read, without the mark of UTF-8 with which some editors begin a file.
fn readable(mut bytes: Zeroizing<Vec<u8>>) -> Result<Zeroizing<Vec<u8>>, Failure> {
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        let text = "what was read is UTF-16\nhint: make UTF-8 of it, as `iconv -f UTF-16 -t UTF-8` \
                    does";
        return Err(Failure::Usage(text.to_owned()));
    }
    if bytes.starts_with(b"\xef\xbb\xbf") {
        bytes.drain(..3);
    }
    Ok(bytes)
}

/// Reads a file, or standard input.
pub(super) fn read(path: Option<&Path>) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let bytes = read_with(path, |input| {
        let mut bytes = Zeroizing::new(Vec::new());
        input.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    })?;
    if bytes.len() as u64 > MOST_BYTES {
        let name = name(path).display();
        return Err(Failure::Usage(format!("{name} is too long")));
    }
    Ok(bytes)
}

/// The same, of what has secrets in it: nothing of what is typed is shown.
pub(super) fn read_unseen(path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let is_typed = file(Some(path)).is_none() && terminal::is_typed();
    let echo = is_typed.then(terminal::Echo::off).transpose();
    let _echo = echo.map_err(|error| Failure::Other(error.to_string()))?;
    read(Some(path))
}

/// Reads a file, or standard input, in some way.
pub(super) fn read_with<T: Send + 'static>(
    path: Option<&Path>,
    read: impl FnOnce(&mut dyn io::Read) -> io::Result<T> + Send + 'static,
) -> Result<T, Failure> {
    let name = name(path);
    let file = file(path).map(Path::to_owned);
    if file.is_none() && io::stdin().is_terminal() {
        note("reading from the terminal: end with Ctrl-D");
    }
    // Of a pipe it may take as long as it likes.
    let done = interrupt::wait(move || match file {
        Some(path) => read(&mut File::open(path)?),
        None => read(&mut io::stdin()),
    })?;
    done.map_err(Failure::of_file(name))
}

/// The file, unless it is standard input.
fn file(path: Option<&Path>) -> Option<&Path> {
    path.filter(|path| *path != Path::new("-"))
}

/// What is read from, for people.
fn name(path: Option<&Path>) -> &Path {
    file(path).unwrap_or_else(|| Path::new("standard input"))
}

/// What is read, as text.
pub(super) fn text(bytes: &[u8]) -> Result<Zeroizing<String>, Failure> {
    let text = std::str::from_utf8(bytes);
    let text = text.map_err(|_| Failure::Usage("what was read is not UTF-8".to_owned()))?;
    Ok(Zeroizing::new(text.to_owned()))
}
