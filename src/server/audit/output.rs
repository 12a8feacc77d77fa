//! Where lines are written to.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::line::Place;
use crate::server::config::AuditFile;

/// How much of the end of a file holds its last line: more than an event can take.
const TAIL: u64 = 256 * 1024;

/// Where lines are written to: to standard output, or to the end of a file, which
/// only its owner can read. It may be renamed at any time; another is begun then. All
/// of it blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output(pub AuditFile);

impl Output {
    /// The place of the last line that stands there, if it can be told. A line that was
    /// not wholly written is cut off.
    pub(super) fn last(&self) -> io::Result<Option<Place>> {
        match &self.0 {
            AuditFile::Path(path) => last_of(path),
            AuditFile::StandardOutput => Ok(None),
        }
    }

    /// Writes lines to the end.
    pub(super) fn write(&self, lines: &[u8]) -> io::Result<()> {
        match &self.0 {
            AuditFile::Path(path) => open(path)?.write_all(lines),
            AuditFile::StandardOutput => {
                let mut output = io::stdout().lock();
                output.write_all(lines)?;
                output.flush()
            }
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .read(true)
        .create(true)
        .mode(0o600)
        .open(path)
}

fn last_of(path: &Path) -> io::Result<Option<Place>> {
    let mut file = open(path)?;
    let length = file.metadata()?.len();
    let from = length.saturating_sub(TAIL);
    file.seek(SeekFrom::Start(from))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    let whole = tail.iter().rposition(|byte| *byte == b'\n');
    let whole = whole.map_or(0, |at| at + 1);
    if whole < tail.len() {
        file.set_len(from + whole as u64)?;
    }
    let lines = tail[..whole].split(|byte| *byte == b'\n');
    let mut lines = lines.filter(|line| !line.is_empty());
    Ok(lines.next_back().and_then(Place::of))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(sequence: u64) -> String {
        format!("{{\"store\":\"s\",\"sequence\":{sequence},\"hash\":\"h\"}}\n")
    }

    #[test]
    fn the_last_whole_line_is_found_and_what_follows_it_is_cut_off() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit.json");
        let output = Output(AuditFile::Path(path.clone()));
        assert_eq!(output.last().unwrap(), None);
        output.write(place(1).as_bytes()).unwrap();
        output
            .write((place(2) + "{\"sequence\":").as_bytes())
            .unwrap();
        assert_eq!(output.last().unwrap().unwrap().sequence, 2);
        output.write(place(3).as_bytes()).unwrap();
        assert_eq!(output.last().unwrap().unwrap().sequence, 3);
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, place(1) + &place(2) + &place(3));
        let padding = format!("{}\n", "x".repeat(usize::try_from(TAIL).unwrap()));
        output.write(padding.as_bytes()).unwrap();
        assert_eq!(output.last().unwrap(), None);
    }

    #[test]
    fn a_file_that_cannot_be_written_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let output = Output(AuditFile::Path(directory.path().to_owned()));
        assert!(output.last().is_err());
        assert!(output.write(b"line\n").is_err());
    }
}
