//! The last commits, as etcd tells of them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use prost::Message as _;

use super::History;
use super::layout::Layout;
use crate::domain::time::Timestamp;
use crate::proto::mvccpb::Event;
use crate::proto::mvccpb::event::EventType;
use crate::proto::store::{EtcdCommitRecord, EtcdDeletion};
use crate::store::{Commit, Write};

/// Commits, the oldest first.
pub(super) type Commits = Vec<Arc<Commit>>;

/// How many commits are kept, and how many bytes of keys and values.
const KEPT: (usize, usize) = (4096, 16 << 20);

/// The last commits.
#[derive(Debug)]
pub(super) struct Log {
    state: Mutex<State>,
    /// Rung when there is more, or less.
    changed: Condvar,
    /// When etcd said something last, be it that there is nothing.
    heard: Mutex<Instant>,
}

#[derive(Debug)]
struct State {
    /// All commits after this are in `commits`, up to the last that has come.
    floor: i64,
    commits: VecDeque<Arc<Commit>>,
    bytes: usize,
    /// Up to where all events have come.
    reached: i64,
    /// A commit that there is, and that is to come.
    expected: i64,
}

/// What there is after a revision.
#[derive(Debug)]
pub(super) enum Found {
    /// These, and what may come after them.
    Commits(Commits),
    /// Nothing, for as long as was to be waited.
    Nothing,
    /// It is before what is kept here.
    Older,
    /// Nothing that is known of.
    Unknown,
}

impl Log {
    /// One that begins at a revision up to which everything is known otherwise.
    pub(super) fn new(at: i64) -> Self {
        Self {
            state: Mutex::new(State {
                floor: at,
                commits: VecDeque::new(),
                bytes: 0,
                reached: at,
                expected: at,
            }),
            changed: Condvar::new(),
            heard: Mutex::new(Instant::now()),
        }
    }

    /// Notes that etcd said something.
    pub(super) fn hear(&self) {
        *self.heard.lock() = Instant::now();
    }

    /// For how long etcd has said nothing.
    pub(super) fn silence(&self) -> Duration {
        self.heard.lock().elapsed()
    }

    /// Notes that there is a commit, of which the events come.
    pub(super) fn expect(&self, revision: i64) {
        let mut state = self.state.lock();
        state.expected = state.expected.max(revision);
    }

    /// What comes after a revision, once what is expected has come. If it is known by
    /// now that there is nothing, waits until there is, or until a moment (`Some(None)`:
    /// for ever).
    pub(super) fn after(&self, after: i64, until: Option<Option<Instant>>) -> Found {
        let mut state = self.state.lock();
        loop {
            if after < state.floor {
                return Found::Older;
            }
            if state.last() >= state.expected {
                let commits = state.after(after);
                if !commits.is_empty() {
                    return Found::Commits(commits);
                }
                match until {
                    None => return Found::Unknown,
                    Some(None) => self.changed.wait(&mut state),
                    Some(Some(until)) => {
                        let is_late = self.changed.wait_until(&mut state, until).timed_out();
                        if is_late && state.after(after).is_empty() {
                            return Found::Nothing;
                        }
                    }
                }
            } else {
                self.changed.wait(&mut state);
            }
        }
    }

    /// Up to where all events have come.
    pub(super) fn reached(&self) -> i64 {
        self.state.lock().reached
    }

    /// Takes commits, and notes up to where all events have come.
    pub(super) fn take(&self, commits: Commits, reached: i64) {
        let mut state = self.state.lock();
        for commit in commits {
            state.bytes += commit.payload_bytes();
            state.commits.push_back(commit);
        }
        while state.commits.len() > KEPT.0 || state.bytes > KEPT.1 {
            state.drop_oldest();
        }
        state.reached = state.reached.max(reached);
        self.changed.notify_all();
    }

    /// Forgets what was up to a revision, as etcd does.
    pub(super) fn forget(&self, through: i64) {
        let mut state = self.state.lock();
        while state
            .commits
            .front()
            .is_some_and(|it| number(it) <= through)
        {
            state.drop_oldest();
        }
        state.floor = state.floor.max(through);
        state.reached = state.reached.max(through);
        self.changed.notify_all();
    }
}

impl State {
    /// The last commit that has come; all before it have, too.
    fn last(&self) -> i64 {
        self.commits.back().map_or(self.floor, |last| number(last))
    }

    fn after(&self, after: i64) -> Commits {
        let from = self.commits.partition_point(|it| number(it) <= after);
        self.commits.range(from..).cloned().collect()
    }

    fn drop_oldest(&mut self) {
        if let Some(oldest) = self.commits.pop_front() {
            self.bytes -= oldest.payload_bytes();
            self.floor = self.floor.max(number(&oldest));
        }
    }
}

fn number(commit: &Commit) -> i64 {
    i64::try_from(commit.position.revision.number()).unwrap_or(i64::MAX)
}

/// What the log key says of a commit.
pub(super) fn record(at: Timestamp, writes: &[Write]) -> Vec<u8> {
    let deletions = writes.iter().zip(0..);
    let deletions = deletions.filter(|(write, _)| write.value.is_none());
    let record = EtcdCommitRecord {
        at_ms: at.as_millis(),
        deletions: deletions
            .map(|(write, place)| EtcdDeletion {
                place,
                key: write.key.clone(),
            })
            .collect(),
    };
    record.encode_to_vec()
}

/// Something under the prefix that credd did not write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what the log key says can't be read")]
pub(super) struct Unreadable;

/// Makes commits of events.
#[derive(Debug)]
pub(super) struct Assembler {
    history: History,
    /// All events up to this revision are known.
    after: i64,
    /// What the transaction of this revision has put, up to here.
    revision: i64,
    puts: Vec<Write>,
}

impl Assembler {
    /// One that knows all events up to a revision.
    pub(super) const fn new(history: History, after: i64) -> Self {
        Self {
            history,
            after,
            revision: after,
            puts: Vec::new(),
        }
    }

    /// Up to where all events have come.
    pub(super) const fn after(&self) -> i64 {
        self.after
    }

    /// Takes the next event. Returns the commit that it ends, if it does.
    pub(super) fn event(
        &mut self,
        layout: &Layout,
        event: Event,
    ) -> Result<Option<Arc<Commit>>, Unreadable> {
        let is_put = event.r#type() == EventType::Put;
        let Some(kv) = event.kv.filter(|kv| kv.mod_revision > self.after) else {
            return Ok(None);
        };
        if kv.mod_revision != self.revision {
            self.revision = kv.mod_revision;
            self.puts.clear();
        }
        if kv.key == layout.log() && is_put {
            self.after = kv.mod_revision;
            let puts = std::mem::take(&mut self.puts);
            return commit(self.history, kv.mod_revision, puts, &kv.value).map(Some);
        }
        // What is deleted stands in the log key.
        if let Some(key) = layout.data_key(&kv.key).filter(|_| is_put) {
            self.puts.push(Write {
                key,
                value: Some(kv.value),
            });
        }
        Ok(None)
    }
}

fn commit(
    history: History,
    revision: i64,
    puts: Vec<Write>,
    record: &Bytes,
) -> Result<Arc<Commit>, Unreadable> {
    let record = EtcdCommitRecord::decode(record.clone()).map_err(|_| Unreadable)?;
    let EtcdCommitRecord { at_ms, deletions } = record;
    let mut writes = puts;
    for EtcdDeletion { place, key } in deletions {
        let place = usize::try_from(place).map_err(|_| Unreadable)?;
        if place > writes.len() {
            return Err(Unreadable);
        }
        writes.insert(place, Write { key, value: None });
    }
    Ok(Arc::new(Commit {
        position: history.position(revision),
        at: Timestamp::from_millis(at_ms),
        writes,
    }))
}
