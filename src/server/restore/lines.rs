//! The lines of the audit log that tell what came after a backup.
//!
//! Each line has the hash of the record before it, so that one that is missing shows,
//! but for the last ones, and so do lines of another history. What a line *says* is
//! taken as it stands: the salt with which its hash was made is not copied.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use super::lost::Line;
use crate::authority::command::Lost;
use crate::domain::audit::{ChainNumber, Entry, Hash, Head};
use crate::domain::revision::StoreId;
use crate::domain::time::Timestamp;

/// What lines say of a time.
#[derive(Debug, Default)]
pub(super) struct Since {
    /// What may have been denied, in order, nothing twice.
    pub(super) lost: Vec<Lost>,
    /// The last event, and when it was.
    pub(super) through: Option<(u64, String)>,
    /// How many erasures there were.
    pub(super) erasures: u64,
    /// How much of what there was is not known.
    pub(super) missing: u64,
    /// Whether the store was exported, and that not given up.
    pub(super) is_moved: bool,
}

/// Why lines are not taken.
#[derive(Debug, thiserror::Error)]
pub enum LinesError {
    /// A file can't be read.
    #[error("{path}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line is none.
    #[error("{path}, line {line}: {what}")]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// What is wrong with it.
        what: String,
    },
    /// Lines are missing.
    #[error(
        "{path}, line {line}: events {from} to {through} are missing: give their lines too, or go without them with `--accept-lost-revocations`"
    )]
    Missing {
        /// The file.
        path: PathBuf,
        /// The line after them, counted from 1.
        line: u64,
        /// The first.
        from: u64,
        /// The last.
        through: u64,
    },
    /// What came last stands elsewhere.
    #[error(
        "the store was exported after the backup: what was revoked since it was imported stands in the lines of that store, and a backup of that one is to be restored"
    )]
    Moved,
    /// The last line is cut off, and the event that it tells of stands nowhere else.
    #[error(
        "{path}, line {line}: it is cut off: give the whole line too, or go without it with `--accept-lost-revocations`"
    )]
    Cut {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
    },
    /// The lines are of a time before the backup.
    #[error(
        "the lines end with event {last}, and the backup has all up to event {backup}: give the lines since, or go without them with `--accept-lost-revocations`"
    )]
    Before {
        /// The last event of which there is a line.
        last: u64,
        /// The last event that the backup has.
        backup: u64,
    },
    /// There is no line of the store.
    #[error("there is no event of store {0} in the lines that were given")]
    OtherStore(StoreId),
}

/// Reads what files say of the time after this event of a store. With `accept`, what is
/// missing or not understood is counted and gone without.
pub(super) fn read(
    files: &[PathBuf],
    store: StoreId,
    after: Head,
    accept: bool,
) -> Result<Since, LinesError> {
    let mut reading = Reading {
        store: store.to_string(),
        accept,
        reached: after,
        is_linked: true,
        last: None,
        cut: None,
        seen: HashSet::new(),
        since: Since::default(),
    };
    for path in files {
        reading.file(path)?;
    }
    match (reading.last, reading.cut.take()) {
        (_, cut) if accept => reading.since.missing += u64::from(cut.is_some()),
        (_, Some((path, line))) => return Err(LinesError::Cut { path, line }),
        (None, None) => return Err(LinesError::OtherStore(store)),
        (Some(last), None) if last < after.sequence => {
            let backup = after.sequence;
            return Err(LinesError::Before { last, backup });
        }
        (Some(_), None) => (),
    }
    if reading.since.is_moved {
        return Err(LinesError::Moved);
    }
    Ok(reading.since)
}

struct Reading {
    store: String,
    accept: bool,
    reached: Head,
    /// Whether `reached` is what comes before the next line.
    is_linked: bool,
    /// The last event of the store that there was a line of.
    last: Option<u64>,
    /// A line that is cut off, and after which none told of a later event.
    cut: Option<(PathBuf, u64)>,
    seen: HashSet<Lost>,
    since: Since,
}

impl Reading {
    fn file(&mut self, path: &Path) -> Result<(), LinesError> {
        let io = |source| LinesError::Io {
            path: path.to_owned(),
            source,
        };
        let mut input = BufReader::new(File::open(path).map_err(io)?);
        let mut text = Vec::new();
        for line in 1.. {
            text.clear();
            if input.read_until(b'\n', &mut text).map_err(io)? == 0 {
                break;
            }
            let is_cut = !text.ends_with(b"\n");
            let text = text.strip_suffix(b"\n").unwrap_or(&text);
            if text.is_empty() {
                continue;
            }
            if is_cut && serde_json::from_slice::<Line>(text).is_err() {
                self.cut = Some((path.to_owned(), line));
                break;
            }
            let wrong = |what: String| LinesError::Line {
                path: path.to_owned(),
                line,
                what,
            };
            let read: Line = serde_json::from_slice(text)
                .map_err(|error| wrong(format!("this is no event of an audit log: {error}")))?;
            if read.store == self.store {
                self.last = self.last.max(Some(read.sequence));
                self.line(&read, (path, line))?;
            }
        }
        Ok(())
    }

    fn line(&mut self, read: &Line, (path, line): (&Path, u64)) -> Result<(), LinesError> {
        let wrong = |what: &str| LinesError::Line {
            path: path.to_owned(),
            line,
            what: what.to_owned(),
        };
        if read.sequence < self.reached.sequence {
            return Ok(());
        }
        if read.sequence == self.reached.sequence {
            let is_known = read.hash == self.reached.hash.to_string();
            return if is_known {
                Ok(())
            } else {
                Err(wrong(
                    "it is another event than the backup has there: the lines are of another history",
                ))
            };
        }
        let entry = header(read).ok_or_else(|| wrong("it has no hashes"))?;
        if !entry.header_holds(ChainNumber::FIRST) {
            return Err(wrong(
                "it was changed: its hash is not that of what it says",
            ));
        }
        let expected = self.reached.sequence + 1;
        if read.sequence > expected {
            if !self.accept {
                return Err(LinesError::Missing {
                    path: path.to_owned(),
                    line,
                    from: expected,
                    through: read.sequence - 1,
                });
            }
            self.since.missing += read.sequence - expected;
            self.is_linked = false;
        }
        if self.is_linked && entry.previous != self.reached.hash {
            return Err(wrong(
                "it does not follow from the event before it: the lines are of another history",
            ));
        }
        self.is_linked = true;
        self.cut = None;
        self.reached = entry.head();
        self.since.through = Some((read.sequence, read.recorded_at.clone()));
        let is_moved = &mut self.since.is_moved;
        *is_moved = read.is_move().unwrap_or(*is_moved);
        self.since.erasures += u64::from(read.is_erasure());
        match read.lost() {
            Ok(lost) => {
                for lost in lost {
                    if self.seen.insert(lost.clone()) {
                        self.since.lost.push(lost);
                    }
                }
                Ok(())
            }
            Err(_) if self.accept => {
                self.since.missing += 1;
                Ok(())
            }
            Err(error) => Err(wrong(&format!(
                "{error}: go without it with `--accept-lost-revocations`"
            ))),
        }
    }
}

/// The record of a line, without what it said.
fn header(line: &Line) -> Option<Entry> {
    let hash = |text: &str| text.parse::<Hash>().ok();
    Some(Entry {
        sequence: line.sequence,
        at: Timestamp::from_millis(line.recorded_at_ms),
        previous: hash(&line.previous_hash)?,
        payload_hash: hash(&line.payload_hash)?,
        hash: hash(&line.hash)?,
        payload: None,
    })
}
