//! The one writer: decides commands, commits them in groups, and answers when
//! the feed has applied them.
//!
//! While a group is on its way to the disk, commands wait in a bounded queue;
//! all that wait then make the next group, so that one sync serves many. A
//! command sees what those before it in its group do. If the commit fails, the
//! whole group is refused and what it would have done is forgotten. Answers
//! that write nothing are given with the group too: what they saw is durable
//! and applied by then.
//!
//! Writers that wait for their answers come back together, a moment after they
//! were answered. A group that left at once would take the first of them and
//! make the rest wait for it, so that every other commit would serve few. So
//! the next group waits a moment for them, for a small part of the time that a
//! commit takes (the same idea as `commit_delay` and `commit_siblings` in
//! `PostgreSQL`). A writer that is alone waits for nobody.
//!
//! A key is written at most once in a group; a second command on it waits for
//! the next.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::command::{Command, Context, Decision, IdSequence, Known, Refusal, View, decide};
use super::feed::{Feed, FeedError};
use super::index::{Index, Reader};
use super::record::Record;
use crate::domain::credential::{Credential, Stored};
use crate::domain::id::CredentialId;
use crate::domain::keyring::Keyring;
use crate::domain::names::Tenant;
use crate::domain::revision::Revision;
use crate::domain::time::Clock;
use crate::store::{Batch, Expect, Guard, Store, StoreError, Write};

/// The most commands that wait; a further one is refused.
const QUEUE: usize = 4096;
/// The most commands and writes in a group. It bounds what a subscriber gets in
/// one message.
const GROUP: usize = 1024;
/// Which part of the last commit's time a group waits for writers that were
/// answered last, and how long at most.
const GATHER_PART: u32 = 4;
const GATHER_LIMIT: Duration = Duration::from_millis(1);
/// How often it looks for them.
const GATHER_PAUSE: Duration = Duration::from_micros(20);
/// How often a group that another writer was faster than is decided anew.
const ATTEMPTS: usize = 16;

/// What a command came to.
#[derive(Clone, Debug)]
pub struct Done {
    /// The credential that the answer is about, as it is now.
    pub credential: Option<Stored>,
    /// The commit as of which that is so.
    pub revision: Revision,
}

/// Why a command came to nothing.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CommandError {
    /// It can't be done; nothing changed.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Too many commands wait; nothing changed. It may be retried.
    #[error("too many changes are waiting to be written")]
    Overloaded,
    /// Too little room is left on the disk; nothing changed. It may be retried
    /// when there is room.
    #[error("too little room is left on the disk")]
    DiskFull,
    /// The process is stopping; nothing changed.
    #[error("the server is stopping")]
    Stopping,
    /// The store failed: whether the change was made shows after a restart.
    #[error("the store failed, and the server is stopping")]
    StoreFailed,
}

struct Job {
    command: Command,
    answer: oneshot::Sender<Result<Done, CommandError>>,
}

/// Where commands are handed in.
#[derive(Clone, Debug)]
pub struct Commands(mpsc::Sender<Job>);

impl Commands {
    /// Carries out a command: returns once it is durable and every later read
    /// of the index sees it.
    ///
    /// A caller that stops waiting changes nothing: a command that was handed
    /// in is carried out.
    ///
    /// # Errors
    ///
    /// [`CommandError`].
    pub async fn run(&self, command: Command) -> Result<Done, CommandError> {
        let (answer, outcome) = oneshot::channel();
        self.0
            .try_send(Job { command, answer })
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => CommandError::Overloaded,
                mpsc::error::TrySendError::Closed(_) => CommandError::Stopping,
            })?;
        outcome.await.unwrap_or(Err(CommandError::StoreFailed))
    }
}

/// The writer.
#[derive(Debug)]
pub struct Committer {
    jobs: mpsc::Receiver<Job>,
    store: Arc<dyn Store>,
    feed: Arc<Feed>,
    keyring: Arc<Keyring>,
    clock: Arc<dyn Clock>,
    ids: IdSequence,
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.command.fmt(f)
    }
}

impl Committer {
    /// A writer to `store`, and where to hand in commands.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        feed: Arc<Feed>,
        keyring: Arc<Keyring>,
        clock: Arc<dyn Clock>,
    ) -> (Commands, Self) {
        let (commands, jobs) = mpsc::channel(QUEUE);
        let (_, greatest) = feed.index().read(|index| index.greatest_id());
        let committer = Self {
            jobs,
            store,
            feed,
            keyring,
            clock,
            ids: IdSequence::after(greatest),
        };
        (Commands(commands), committer)
    }

    /// Carries out commands until nobody can hand in more. Blocks: run it on a
    /// thread of its own.
    ///
    /// # Errors
    ///
    /// [`FeedError`] when the store failed: the process must end.
    pub fn run(mut self) -> Result<(), FeedError> {
        let mut waiting = VecDeque::new();
        let mut before = Gather::default();
        loop {
            if waiting.is_empty() {
                let Some(job) = self.jobs.blocking_recv() else {
                    return Ok(());
                };
                waiting.push_back(job);
            }
            self.gather(&mut waiting, before);
            let (begin, size) = (Instant::now(), waiting.len());
            self.run_group(&mut waiting)?;
            let answered = size - waiting.len();
            self.take(&mut waiting);
            before = Gather {
                expected: (answered + waiting.len()).min(GROUP),
                until: Instant::now() + (begin.elapsed() / GATHER_PART).min(GATHER_LIMIT),
            };
        }
    }

    /// Takes the commands that are there.
    fn take(&mut self, waiting: &mut VecDeque<Job>) {
        while waiting.len() < GROUP
            && let Ok(job) = self.jobs.try_recv()
        {
            waiting.push_back(job);
        }
    }

    /// Takes the commands that are there, and waits a moment for as many as may
    /// be expected.
    fn gather(&mut self, waiting: &mut VecDeque<Job>, Gather { expected, until }: Gather) {
        self.take(waiting);
        while waiting.len() < expected && Instant::now() < until {
            thread::sleep(GATHER_PAUSE);
            self.take(waiting);
        }
    }

    /// Carries out as many of the waiting commands as fit in one commit.
    fn run_group(&mut self, waiting: &mut VecDeque<Job>) -> Result<(), FeedError> {
        for _ in 0..ATTEMPTS {
            let mut group = self.decide_group(waiting);
            if group.keys.is_empty() {
                let revision = self.feed.index().applied().revision;
                group.answer(waiting, Ok(revision));
                return Ok(());
            }
            match self.store.commit(std::mem::take(&mut group.batch)) {
                Ok(revision) => {
                    self.feed.catch_up(Some(revision))?;
                    group.answer(waiting, Ok(revision));
                    return Ok(());
                }
                Err(StoreError::Conflict { .. }) => self.feed.catch_up(None)?,
                Err(StoreError::Full { free, reserve }) => {
                    tracing::warn!(free, reserve, "refused changes: the disk is nearly full");
                    group.answer(waiting, Err(&CommandError::DiskFull));
                    return Ok(());
                }
                Err(
                    error @ (StoreError::Poisoned(_)
                    | StoreError::Invalid(_)
                    | StoreError::Compacted { .. }
                    | StoreError::Ahead { .. }),
                ) => {
                    group.answer(waiting, Err(&CommandError::StoreFailed));
                    return Err(error.into());
                }
            }
        }
        let group = self.decide_group(waiting);
        group.answer(waiting, Err(&CommandError::Overloaded));
        Ok(())
    }

    fn decide_group(&mut self, waiting: &VecDeque<Job>) -> Group {
        let index = Arc::clone(self.feed.index());
        let mut overlay = Overlay {
            index: &index,
            written: HashMap::new(),
        };
        let mut context = Context {
            now: self.clock.now(),
            keyring: &self.keyring,
            ids: &mut self.ids,
        };
        let mut group = Group::default();
        group.batch.at = context.now;
        let mut deferred = HashSet::new();
        for job in waiting {
            if group.keys.len() >= GROUP {
                break;
            }
            // Whoever asked first is heard first.
            if job
                .command
                .subject()
                .is_some_and(|id| deferred.contains(&id))
            {
                group.decided.push(None);
                continue;
            }
            let decided = match decide(&overlay, &job.command, &mut context) {
                Ok(decision) if group.holds_any_key_of(&decision) => None,
                Ok(decision) => {
                    overlay.add(&decision);
                    Some(Ok(group.add(decision, &index)))
                }
                Err(refusal) => Some(Err(refusal)),
            };
            if decided.is_none() {
                deferred.extend(job.command.subject());
            }
            group.decided.push(decided);
        }
        group
    }
}

/// What the next group waits for.
#[derive(Clone, Copy, Debug)]
struct Gather {
    /// As many commands as were answered and have come since.
    expected: usize,
    /// No longer than until then.
    until: Instant,
}

impl Default for Gather {
    fn default() -> Self {
        Self {
            expected: 0,
            until: Instant::now(),
        }
    }
}

/// Commands that are committed together.
#[derive(Debug, Default)]
struct Group {
    batch: Batch,
    keys: HashSet<Bytes>,
    /// For each waiting command in turn: its answer; `None` if it has to wait
    /// for the next group.
    decided: Vec<Option<Result<Option<Known>, Refusal>>>,
}

impl Group {
    fn holds_any_key_of(&self, decision: &Decision) -> bool {
        let mut keys = decision.writes.iter().map(Record::key);
        keys.any(|key| self.keys.contains(&key))
    }

    fn add(&mut self, decision: Decision, index: &Index) -> Option<Known> {
        for record in decision.writes {
            let key = record.key();
            if let Record::Credential(id, _) = &record {
                let (_, entry) = index.read(|index| index.credential(*id));
                self.batch.guards.push(Guard {
                    key: key.clone(),
                    expect: entry.map_or(Expect::Absent, |e| Expect::Revision(e.revision())),
                });
            }
            self.keys.insert(key.clone());
            self.batch.writes.push(Write {
                key,
                value: record.encode(),
            });
        }
        decision.answer
    }

    /// Answers every command that was decided and leaves the others waiting.
    fn answer(self, waiting: &mut VecDeque<Job>, committed: Result<Revision, &CommandError>) {
        let mut left = VecDeque::new();
        for decided in self.decided {
            let Some(job) = waiting.pop_front() else {
                break;
            };
            let Some(decided) = decided else {
                left.push_back(job);
                continue;
            };
            let answer = match (committed, decided) {
                (Err(error), _) => Err(error.clone()),
                (Ok(_), Err(refusal)) => Err(CommandError::Refused(refusal)),
                (Ok(revision), Ok(known)) => Ok(Done {
                    credential: known.map(|known| known.at(revision)),
                    revision,
                }),
            };
            // Nobody waits for it any more: it was carried out all the same.
            let _ = job.answer.send(answer);
        }
        left.append(waiting);
        *waiting = left;
    }
}

/// The index, with what the commands of a group so far do to it.
struct Overlay<'a> {
    index: &'a Index,
    written: HashMap<CredentialId, Arc<Credential>>,
}

impl Overlay<'_> {
    fn add(&mut self, decision: &Decision) {
        for record in &decision.writes {
            if let Record::Credential(id, Some(credential)) = record {
                self.written.insert(*id, Arc::clone(credential));
            }
        }
    }

    fn read<T>(&self, read: impl FnMut(Reader<'_>) -> T) -> T {
        self.index.read(read).1
    }
}

impl View for Overlay<'_> {
    fn credential(&self, id: CredentialId) -> Option<Known> {
        if let Some(written) = self.written.get(&id) {
            return Some(Known::Pending(Arc::clone(written)));
        }
        let entry = self.read(|index| index.credential(id))?;
        Some(Known::Committed(entry.to_stored(self.index.names())))
    }

    fn exists(&self, id: CredentialId) -> bool {
        self.written.contains_key(&id) || self.read(|index| index.credential(id)).is_some()
    }

    fn callers(&self) -> Vec<Known> {
        let committed = self.read(|index| {
            let credd = index.names().find(Tenant::CREDD)?;
            Some(index.of_tenant(credd, None, CredentialId::MIN, usize::MAX))
        });
        let committed = committed
            .into_iter()
            .flatten()
            .filter(|entry| !self.written.contains_key(&entry.id()))
            .map(|entry| Known::Committed(entry.to_stored(self.index.names())));
        let pending = self
            .written
            .values()
            .filter(|credential| credential.tenant.is_credd())
            .map(|credential| Known::Pending(Arc::clone(credential)));
        committed.chain(pending).collect()
    }
}

#[cfg(test)]
mod tests;
