//! Secrets: those that are shown this once, and those that are read.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::Args;
use zeroize::Zeroizing;

use super::failure::{Failure, note};
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

/// A place that is there before the secret is made: if there is none, none is made.
#[derive(Debug)]
pub(super) enum Place {
    Printed,
    Written { path: PathBuf, file: File },
}

impl Destination {
    pub(super) fn open(self, dry_run: bool) -> Result<Place, Failure> {
        let Some(path) = self.secret_file.filter(|_| !dry_run) else {
            return Ok(Place::Printed);
        };
        let mut options = OpenOptions::new();
        let opened = options.write(true).create_new(true).mode(0o600).open(&path);
        let file = opened.map_err(Failure::of_file(&path))?;
        Ok(Place::Written { path, file })
    }
}

impl Place {
    /// Takes the secret out of an answer that goes elsewhere.
    pub(super) fn take(&mut self, secret: &mut Option<v1::IssuedSecret>) -> Result<(), Failure> {
        let Self::Written { path, file } = self else {
            return Ok(());
        };
        let Some(secret) = secret.take() else {
            return Ok(());
        };
        let text = Zeroizing::new(format!("{}\n", bare(&secret)));
        let written = file
            .write_all(text.as_bytes())
            .and_then(|()| file.sync_all());
        written.map_err(Failure::of_file(&*path))?;
        note(&format!("the secret is in {}", path.display()));
        Ok(())
    }

    /// Nothing was made: what is empty is taken away.
    pub(super) fn give_up(self) {
        if let Self::Written { path, .. } = self {
            let _ = fs::remove_file(path);
        }
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
    /// Reads what is secret from this file, `-`: from standard input. Unset: it is asked for
    /// on a terminal, unseen, or read from standard input.
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
}

impl Source {
    /// One secret, without the end of its line.
    pub(super) async fn one(&self, prompt: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
        if self.is_asked_for() {
            let line = terminal::hidden_line(prompt).await?;
            return Ok(Zeroizing::new(line.as_bytes().to_vec()));
        }
        let mut bytes = read(self.secret_file.as_deref())?;
        while matches!(bytes.last(), Some(b'\n' | b'\r')) {
            bytes.pop();
        }
        Ok(bytes)
    }

    /// Several, one in a line; empty lines are passed over.
    pub(super) async fn lines(&self, prompt: &str) -> Result<Vec<Zeroizing<String>>, Failure> {
        let mut lines = Vec::new();
        if self.is_asked_for() {
            loop {
                let line = terminal::hidden_line(prompt).await?;
                if line.is_empty() {
                    return Ok(lines);
                }
                lines.push(line);
            }
        }
        let text = text(&read(self.secret_file.as_deref())?)?;
        let found = text.lines().map(str::trim).filter(|line| !line.is_empty());
        lines.extend(found.map(|line| Zeroizing::new(line.to_owned())));
        Ok(lines)
    }

    fn is_asked_for(&self) -> bool {
        self.secret_file.is_none() && terminal::can_ask()
    }
}

/// Reads a file, or standard input.
pub(super) fn read(path: Option<&Path>) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let mut bytes = Zeroizing::new(Vec::new());
    let path = path.filter(|path| *path != Path::new("-"));
    let read = match path {
        Some(path) => {
            let file = File::open(path).map_err(Failure::of_file(path))?;
            file.take(MOST_BYTES + 1).read_to_end(&mut bytes)
        }
        None if io::stdin().is_terminal() => {
            note("reading from the terminal: end with Ctrl-D");
            io::stdin().take(MOST_BYTES + 1).read_to_end(&mut bytes)
        }
        None => io::stdin().take(MOST_BYTES + 1).read_to_end(&mut bytes),
    };
    let name = path.unwrap_or_else(|| Path::new("standard input"));
    let count = read.map_err(Failure::of_file(name))?;
    if count as u64 > MOST_BYTES {
        return Err(Failure::Usage(format!("{} is too long", name.display())));
    }
    Ok(bytes)
}

/// What is read, as text.
pub(super) fn text(bytes: &[u8]) -> Result<Zeroizing<String>, Failure> {
    let text = std::str::from_utf8(bytes);
    let text = text.map_err(|_| Failure::Usage("what was read is not UTF-8".to_owned()))?;
    Ok(Zeroizing::new(text.to_owned()))
}
