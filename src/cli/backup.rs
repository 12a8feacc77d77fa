//! `credd backup`.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use tonic::Streaming;

use super::change::Why;
use super::failure::{Done, Failure, note};
use super::output;
use super::session::{Run, Session};
use crate::proto::v1;
use crate::server::export;
use crate::server::progress::Progress;

/// Where a backup goes.
#[derive(Debug, Args)]
pub struct Backup {
    /// The file, which must not exist: it is there once it is whole. `-`: standard output,
    /// where it is good only if the command succeeds.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    why: Why,
}

impl Run for Backup {
    async fn run(self, session: &Session) -> Result<Done, Failure> {
        let Self { file: path, why } = self;
        let is_output = path == Path::new("-");
        if is_output && session.out.stream.width.is_some() {
            let text = "a backup is nothing to read: send it to a file";
            return Err(Failure::Usage(text.to_owned()));
        }
        // Before the server begins.
        let mut partial = if is_output {
            None
        } else {
            Some(Partial::create(&path)?)
        };
        let request = v1::BackupRequest { reason: why.reason };
        let request = session.caller.long_request(request)?;
        let stream = session.ask(session.operations().backup(request)).await?;
        let count = if let Some(partial) = &mut partial {
            let file = &mut partial.file;
            let write = |chunk: Vec<u8>| file.write_all(&chunk).map_err(Failure::of_file(&path));
            copy(session, stream, write).await?
        } else {
            copy(session, stream, output::write)
                .await
                .map_err(Failure::of_answer)?
        };
        if let Some(partial) = partial {
            partial.publish(&path)?;
            note(&format!(
                "{} has {count} bytes; `credd restore` restores it, with the keyring, which is not \
                 in it",
                path.display()
            ));
        }
        Ok(Done::Yes)
    }
}

/// Writes the chunks as they come; returns how many bytes there were.
async fn copy(
    session: &Session,
    mut stream: Streaming<v1::BackupResponse>,
    mut write: impl FnMut(Vec<u8>) -> Result<(), Failure>,
) -> Result<u64, Failure> {
    let mut progress = Progress::of_bytes("writing the backup");
    let mut count = 0;
    loop {
        let next = session.next(&mut stream).await?;
        let Some(v1::BackupResponse { chunk }) = next else {
            return Ok(count);
        };
        count += chunk.len() as u64;
        write(chunk)?;
        progress.at(count);
    }
}

/// A file under another name, until it is whole. It is taken away if it never is.
struct Partial {
    path: PathBuf,
    file: File,
    has_name: bool,
}

impl Partial {
    fn create(path: &Path) -> Result<Self, Failure> {
        let partial = path.with_added_extension("partial");
        let file = export::create(path, &partial).map_err(Failure::of_file(path))?;
        Ok(Self {
            path: partial,
            file,
            has_name: false,
        })
    }

    /// Gives it its name, durably.
    fn publish(mut self, path: &Path) -> Result<(), Failure> {
        let synced = self.file.sync_all();
        let given = synced.and_then(|()| export::publish(&self.path, path));
        self.has_name = given.is_ok();
        given.map_err(Failure::of_file(path))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // Under the other name there may be somebody else's by now.
        if !self.has_name {
            let _ = fs::remove_file(&self.path);
        }
    }
}
