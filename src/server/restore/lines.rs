//! The lines of the audit log that tell what came after a backup.
//!
//! Each line has the hash of the record before it, so that one that is missing shows,
//! but for the last ones, and so do lines of another history. What a line *says* is
//! taken as it stands: the salt with which its hash was made is not copied.
//!
//! The lines may be of several stores. Those of a store that was made of the one in
//! question, or of this very backup, tell of what was denied there as well: its log goes
//! on where the other's was left. Those of a store that has nothing to do with it are
//! passed over.

use std::collections::{HashMap, HashSet};
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
    /// The latest event.
    pub(super) through: Option<Through>,
    /// How many erasures there were.
    pub(super) erasures: u64,
    /// How much of what there was is not known.
    pub(super) missing: u64,
}

/// Up to where something is known.
#[derive(Debug)]
pub(super) struct Through {
    /// The event.
    pub(super) sequence: u64,
    /// When it was.
    pub(super) at: String,
    at_ms: i64,
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
    /// Whether lines tell of what came after the backup can't be said.
    #[error(
        "{path}, line {line}: event {sequence} of store {store}: that store may have been made of this backup, which its earlier lines would tell: give them too, or leave out all lines of that store, or go without them with `--accept-lost-revocations`"
    )]
    Doubtful {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// The store that it is of.
        store: String,
        /// The event that it tells of.
        sequence: u64,
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
    /// No line tells of what came after the backup.
    #[error(
        "the lines of store {store} end with event {last}, and the backup has all up to event {backup}: give the lines since, or say that there are none with `--accept-lost-revocations`"
    )]
    Before {
        /// The store.
        store: StoreId,
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
        backup: after,
        chains: HashMap::new(),
        cuts: Vec::new(),
        seen: HashSet::new(),
        since: Since::default(),
    };
    for path in files {
        reading.file(path)?;
    }
    let own = reading.chains.get(&reading.store);
    let last = own.map(|chain| chain.last);
    for cut in reading.cuts {
        let of = cut.store.and_then(|store| reading.chains.get(&store));
        if of.is_some_and(|chain| chain.kin == Kin::Other) {
            continue;
        }
        if !accept {
            let Cut { path, line, .. } = cut;
            return Err(LinesError::Cut { path, line });
        }
        reading.since.missing += 1;
    }
    match last {
        _ if accept => (),
        None => return Err(LinesError::OtherStore(store)),
        Some(last) if last <= after.sequence => {
            return Err(LinesError::Before {
                store,
                last,
                backup: after.sequence,
            });
        }
        Some(_) => (),
    }
    if reading.chains.values().any(|chain| chain.is_moved) {
        return Err(LinesError::Moved);
    }
    Ok(reading.since)
}

struct Reading {
    /// The store that the backup is of.
    store: String,
    accept: bool,
    /// The last event that the backup has.
    backup: Head,
    /// What there were lines of, by its store.
    chains: HashMap<String, Chain>,
    /// Lines that are cut off, and after which none told of a later event.
    cuts: Vec<Cut>,
    seen: HashSet<Lost>,
    since: Since,
}

/// The lines of one store.
struct Chain {
    kin: Kin,
    /// Up to where it is known.
    reached: Head,
    /// Whether `reached` is what comes before the next line.
    is_linked: bool,
    /// The last event that there was a line of.
    last: u64,
    /// Whether the store was exported, and that not given up.
    is_moved: bool,
}

/// Whether what a store tells is about what the backup has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kin {
    /// It is the store, or was made of it.
    Same,
    /// Nothing tells yet.
    Unknown,
    /// It is not.
    Other,
}

/// Where a line is cut off.
struct Cut {
    path: PathBuf,
    line: u64,
    /// The store that it is of; `None`: it is cut off before it says so.
    store: Option<String>,
}

impl Cut {
    fn new(place: Place<'_>, text: &[u8]) -> Self {
        let text = String::from_utf8_lossy(text);
        let named = text.strip_prefix("{\"store\":\"");
        let store = named.and_then(|rest| rest.split_once('"'));
        Self {
            path: place.path.to_owned(),
            line: place.line,
            store: store.map(|(store, _)| store.to_owned()),
        }
    }
}

/// Where a line stands.
#[derive(Clone, Copy)]
struct Place<'a> {
    path: &'a Path,
    line: u64,
}

impl Place<'_> {
    fn wrong(self, what: impl Into<String>) -> LinesError {
        LinesError::Line {
            path: self.path.to_owned(),
            line: self.line,
            what: what.into(),
        }
    }
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
            let place = Place { path, line };
            let is_cut = !text.ends_with(b"\n");
            let text = text.strip_suffix(b"\n").unwrap_or(&text);
            if text.is_empty() {
                continue;
            }
            match serde_json::from_slice(text) {
                Ok(read) => self.line(&read, place)?,
                Err(_) if is_cut => self.cuts.push(Cut::new(place, text)),
                Err(_) if self.accept => self.since.missing += 1,
                Err(error) => {
                    return Err(place.wrong(format!(
                        "this is no event of an audit log: {error}: give the event's line in its place, or go without it with `--accept-lost-revocations`"
                    )));
                }
            }
        }
        Ok(())
    }

    fn line(&mut self, read: &Line, place: Place<'_>) -> Result<(), LinesError> {
        if !self.is_kin(read, place)? {
            return Ok(());
        }
        let Some(chain) = self.chains.get_mut(&read.store) else {
            return Ok(());
        };
        if read.sequence < chain.reached.sequence {
            return Ok(());
        }
        if read.sequence == chain.reached.sequence {
            let is_known = read.hash == chain.reached.hash.to_string();
            return if is_known {
                Ok(())
            } else {
                Err(place.wrong(
                    "it is another event than the backup has there: the lines are of another history",
                ))
            };
        }
        let entry = entry(read, place)?;
        let expected = chain.reached.sequence + 1;
        if read.sequence > expected {
            if !self.accept {
                return Err(LinesError::Missing {
                    path: place.path.to_owned(),
                    line: place.line,
                    from: expected,
                    through: read.sequence - 1,
                });
            }
            self.since.missing += read.sequence - expected;
            chain.is_linked = false;
        }
        if chain.is_linked && entry.previous != chain.reached.hash {
            return Err(place.wrong(
                "it does not follow from the event before it: the lines are of another history",
            ));
        }
        chain.is_linked = true;
        chain.reached = entry.head();
        chain.is_moved = read.is_move().unwrap_or(chain.is_moved);
        self.take(read, place)
    }

    /// Whether a line is of the store that the backup is of, or of one that was made of
    /// that.
    fn is_kin(&mut self, read: &Line, place: Place<'_>) -> Result<bool, LinesError> {
        let backup = self.backup;
        let is_same = |store: &str, chains: &HashMap<String, Chain>| {
            store == self.store || chains.get(store).is_some_and(|it| it.kin == Kin::Same)
        };
        let is_made_of_kin = read
            .made_of()
            .is_some_and(|from| is_same(from, &self.chains));
        let is_own = read.store == self.store;
        let chain = self
            .chains
            .entry(read.store.clone())
            .or_insert_with(|| Chain {
                kin: if is_own { Kin::Same } else { Kin::Unknown },
                reached: backup,
                is_linked: true,
                last: 0,
                is_moved: false,
            });
        chain.last = chain.last.max(read.sequence);
        if chain.kin != Kin::Unknown {
            return Ok(chain.kin == Kin::Same);
        }
        if is_made_of_kin {
            chain.kin = Kin::Same;
            chain.reached = entry(read, place)?.head();
        } else if read.sequence == backup.sequence {
            let is_same = read.hash == backup.hash.to_string();
            chain.kin = if is_same { Kin::Same } else { Kin::Other };
        } else if read.sequence > backup.sequence {
            let follows =
                read.sequence == backup.sequence + 1 && entry(read, place)?.previous == backup.hash;
            chain.kin = match (follows, self.accept) {
                (true, _) => Kin::Same,
                (false, true) => {
                    self.since.missing += 1;
                    Kin::Other
                }
                (false, false) => {
                    return Err(LinesError::Doubtful {
                        path: place.path.to_owned(),
                        line: place.line,
                        store: read.store.clone(),
                        sequence: read.sequence,
                    });
                }
            };
        }
        if chain.kin == Kin::Same {
            let (of, from) = (&read.store, read.sequence);
            tracing::info!(%of, from, "these lines are of a store that was made of the one that the backup is of");
        }
        Ok(chain.kin == Kin::Same)
    }

    /// Takes what a line says that nothing is missing before.
    fn take(&mut self, read: &Line, place: Place<'_>) -> Result<(), LinesError> {
        // Nothing is missing up to here, so that the whole line was given too.
        let kin = self.chains.values().filter(|chain| chain.kin == Kin::Same);
        let is_alone = kin.count() == 1;
        self.cuts.retain(|cut| match &cut.store {
            Some(store) => *store != read.store,
            None => !is_alone,
        });
        let through = &mut self.since.through;
        if through
            .as_ref()
            .is_none_or(|through| through.at_ms <= read.recorded_at_ms)
        {
            *through = Some(Through {
                sequence: read.sequence,
                at: read.recorded_at.clone(),
                at_ms: read.recorded_at_ms,
            });
        }
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
            Err(error) => Err(place.wrong(format!(
                "{error}: go without it with `--accept-lost-revocations`"
            ))),
        }
    }
}

/// The record of a line, if it was not changed.
fn entry(read: &Line, place: Place<'_>) -> Result<Entry, LinesError> {
    let entry = header(read).ok_or_else(|| place.wrong("it has no hashes"))?;
    if entry.header_holds(ChainNumber::FIRST) {
        Ok(entry)
    } else {
        Err(place.wrong("it was changed: its hash is not that of what it says"))
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

#[cfg(test)]
mod tests;
