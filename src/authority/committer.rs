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

use super::audit::told::told;
use super::caller::{May, Origin};
use super::command::{
    Answer, Command, Context, Decision, IdSequence, Quotas, Refusal, View as _, decide, giving,
};
use super::feed::{Feed, FeedError};
use super::index::Index;
use super::keys::Keys;
use super::overlay::Overlay;
use super::sessions::{FenceAt, Sessions};
use crate::domain::random::Random;
use crate::domain::revision::Revision;
use crate::domain::time::Clock;
use crate::store::{Store, StoreError};

mod counts;
mod group;

pub use counts::CommitCounts;

use group::{Decided, Group};

/// The most commands that wait; a further one is refused.
const QUEUE: usize = 4096;
/// The most commands and writes in a group. It bounds what a subscriber gets in
/// one message.
const GROUP: usize = 1024;
/// How many writes of a commit are kept for what is told of a command that writes many
/// records, and for what marks a fence.
const TOLD: usize = 8;
/// The most commands that are looked at for a group: those that have to wait for
/// the next take no room from others.
const WAITING: usize = 2 * GROUP;
/// The most commands that wait for one record.
const CROWD: usize = 256;
/// The most commands that one caller hands in at once.
const AT_ONCE: usize = 256;
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
    /// The answer. What it shows as pending was written by the commit of this
    /// revision, or would be.
    pub answer: Answer,
    /// The commit as of which that is so.
    pub revision: Revision,
    /// Whether it wrote, or would write, anything.
    pub changes: bool,
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

/// How a command is asked for.
#[derive(Clone, Debug)]
pub struct How {
    /// By whom.
    pub origin: Origin,
    /// Whether only to be told what the command would do.
    pub dry: bool,
    /// Whether the commit is fenced, and where its revision is noted. What is there
    /// already is answered with an empty fenced commit. Of no account in a dry run, and
    /// if the command is refused.
    pub fence: Option<FenceAt>,
}

impl How {
    /// By credd itself, and for good.
    pub const BY_CREDD: Self = Self {
        origin: Origin::Credd,
        dry: false,
        fence: None,
    };
}

struct Job {
    command: Command,
    how: How,
    answer: oneshot::Sender<Result<Done, CommandError>>,
}

type Outcome = oneshot::Receiver<Result<Done, CommandError>>;

/// Where commands are handed in.
#[derive(Clone, Debug)]
pub struct Commands {
    jobs: mpsc::Sender<Job>,
    most_writes: usize,
    counts: Arc<CommitCounts>,
}

impl Commands {
    /// Carries out a command, or tells what it would do: returns once it is durable
    /// and every later read of the index sees it.
    ///
    /// A caller that stops waiting changes nothing: a command that was handed
    /// in is carried out.
    ///
    /// # Errors
    ///
    /// [`CommandError`].
    pub async fn run(&self, command: Command, how: How) -> Result<Done, CommandError> {
        self.hand_in(command, how)?
            .await
            .unwrap_or(Err(CommandError::StoreFailed))
    }

    /// Carries out commands, many at once, and gives their outcomes in order.
    ///
    /// # Errors
    ///
    /// [`CommandError`], of each.
    pub async fn run_all(
        &self,
        commands: Vec<Command>,
        how: &How,
    ) -> Vec<Result<Done, CommandError>> {
        let mut outcomes = Vec::with_capacity(commands.len());
        let mut commands = commands.into_iter().peekable();
        while commands.peek().is_some() {
            // A part of the queue, so that others are heard between.
            let handed: Vec<_> = commands
                .by_ref()
                .take(AT_ONCE)
                .map(|command| self.hand_in(command, how.clone()))
                .collect();
            for handed in handed {
                outcomes.push(match handed {
                    Ok(outcome) => outcome.await.unwrap_or(Err(CommandError::StoreFailed)),
                    Err(error) => Err(error),
                });
            }
        }
        outcomes
    }

    /// How many records a command may write: so many are sure to fit in a commit.
    #[must_use]
    pub const fn most_writes(&self) -> usize {
        self.most_writes
    }

    /// What was committed.
    #[must_use]
    pub fn counts(&self) -> &CommitCounts {
        &self.counts
    }

    fn hand_in(&self, command: Command, how: How) -> Result<Outcome, CommandError> {
        let (answer, outcome) = oneshot::channel();
        self.jobs
            .try_send(Job {
                command,
                how,
                answer,
            })
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => CommandError::Overloaded,
                mpsc::error::TrySendError::Closed(_) => CommandError::Stopping,
            })?;
        Ok(outcome)
    }
}

/// The writer.
#[derive(Debug)]
pub struct Committer {
    jobs: mpsc::Receiver<Job>,
    store: Arc<dyn Store>,
    feed: Arc<Feed>,
    keys: Arc<Keys>,
    sessions: Arc<Sessions>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    quotas: Quotas,
    ids: IdSequence,
    counts: Arc<CommitCounts>,
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
        keys: Arc<Keys>,
        sessions: Arc<Sessions>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        quotas: Quotas,
    ) -> (Commands, Self) {
        let (sender, jobs) = mpsc::channel(QUEUE);
        let counts = Arc::new(CommitCounts::default());
        let commands = Commands {
            jobs: sender,
            most_writes: store.limits().writes.saturating_sub(TOLD),
            counts: Arc::clone(&counts),
        };
        let (_, greatest) = feed.index().read(|index| index.greatest_id());
        let committer = Self {
            jobs,
            store,
            feed,
            keys,
            sessions,
            clock,
            random,
            quotas,
            ids: IdSequence::after(greatest),
            counts,
        };
        (commands, committer)
    }

    /// Carries out commands until nobody can hand in more. Blocks: run it on a
    /// thread of its own.
    ///
    /// # Errors
    ///
    /// [`FeedError`] when the store failed: the process must end.
    pub fn run(mut self) -> Result<(), FeedError> {
        let mut before = Gather::default();
        while let Some(job) = self.jobs.blocking_recv() {
            self.work_off(job, &mut before)?;
        }
        Ok(())
    }

    /// The same as a task, for a store that does not block for long: one in memory.
    ///
    /// # Errors
    ///
    /// [`FeedError`] when the store failed: the process must end.
    pub async fn run_as_task(mut self) -> Result<(), FeedError> {
        let mut before = Gather::default();
        while let Some(job) = self.jobs.recv().await {
            self.work_off(job, &mut before)?;
        }
        Ok(())
    }

    /// Carries out a command, and all that come meanwhile.
    fn work_off(&mut self, first: Job, before: &mut Gather) -> Result<(), FeedError> {
        let mut waiting = VecDeque::from([first]);
        while !waiting.is_empty() {
            self.gather(&mut waiting, *before);
            let (begin, size) = (Instant::now(), waiting.len());
            self.run_group(&mut waiting)?;
            let answered = size - waiting.len();
            self.take(&mut waiting);
            *before = Gather {
                expected: (answered + waiting.len()).min(GROUP),
                until: Instant::now() + (begin.elapsed() / GATHER_PART).min(GATHER_LIMIT),
            };
        }
        Ok(())
    }

    /// Takes the commands that are there.
    fn take(&mut self, waiting: &mut VecDeque<Job>) {
        while waiting.len() < WAITING
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
            if group.batch.writes.is_empty() {
                let revision = group.as_of;
                group.answer(waiting, Ok(revision));
                return Ok(());
            }
            // The process's own lease comes from its heartbeats alone: others count by
            // what they see of them.
            let begun = group.batch.vital.then(|| self.sessions.begin());
            let since = Instant::now();
            match self.store.commit(std::mem::take(&mut group.batch)) {
                Ok(revision) => {
                    self.feed.catch_up(Some(revision))?;
                    self.counts.add(group.commands(), since.elapsed());
                    if let Some(begun) = begun {
                        self.sessions.committed(begun);
                    }
                    group.answer(waiting, Ok(revision));
                    return Ok(());
                }
                // Up to where it is now: others may go on for ever.
                Err(StoreError::Conflict { .. }) => {
                    let head = self.store.snapshot()?;
                    self.feed.catch_up(Some(head.revision))?;
                }
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
        let feed = Arc::clone(&self.feed);
        // All is decided as of one revision.
        let _held = feed.hold();
        let index = Arc::clone(feed.index());
        let (limits, is_shared) = (self.store.limits(), self.store.is_shared());
        if let Some(greatest) = index.read(|index| index.greatest_id()).1 {
            self.ids.skip_to(greatest);
        }
        let mut overlay = Overlay::new(&index);
        let keyring = self.keys.full();
        let mut context = Context {
            now: self.clock.now(),
            keyring: &keyring,
            random: &*self.random,
            quotas: self.quotas,
            ids: &mut self.ids,
        };
        let mut group = Group::default();
        group.is_shared = is_shared;
        group.as_of = index.applied().revision;
        group.batch.at = context.now;
        let mut deferred = HashSet::new();
        let mut crowds: HashMap<Bytes, usize> = HashMap::new();
        for job in waiting {
            if group.keys.len() >= GROUP || group.batch.vital {
                break;
            }
            let subjects = job.command.subjects();
            // Whoever asked first is heard first.
            let waits = subjects
                .iter()
                .any(|key| deferred.contains(key) || group.keys.contains(key))
                || (job.command.is_first() && !group.keys.is_empty());
            let decided = if waits {
                None
            } else {
                match decide_for(&index, &overlay, job, &mut context) {
                    Ok(decision) if job.how.dry => Some(Ok(Decided {
                        changes: !decision.writes.is_empty(),
                        answer: decision.answer,
                        told: false,
                    })),
                    Ok(decision) if group.holds_any_key_of(&decision) => None,
                    Ok(decision) => {
                        let events = told(&job.how, &job.command, &decision, context.now);
                        let guards = job.command.guards();
                        if group.has_room(&decision, (&events, &guards), limits) {
                            group.batch.guards.extend(guards);
                            group.fenced |= job.how.fence.is_some();
                            group.batch.vital = job.command.is_alone();
                            overlay.add(&decision);
                            Some(Ok(group.add(decision, &index, &job.how, events)))
                        } else if group.keys.is_empty() {
                            Some(Err(Refusal::TooLarge))
                        } else {
                            None
                        }
                    }
                    Err(refusal) => Some(Err(refusal)),
                }
            };
            group.looks |= job.command.looks();
            if decided.is_some() {
                group.decided.push(decided);
                continue;
            }
            // One record is written once in a commit. Those who would change one
            // that many wait for are turned away, or they would fill the queue and
            // keep everybody else from it.
            let crowd = crowds.entry(job.command.crowd()).or_default();
            *crowd += 1;
            let is_crowded = *crowd > CROWD;
            deferred.extend(subjects);
            group
                .decided
                .push(is_crowded.then_some(Err(Refusal::Crowded)));
        }
        group.fence();
        let head = *self.feed.audit_head().borrow();
        if let Err(error) = group.tell(head, &*self.random) {
            group.refuse(&Refusal::Random(error));
        }
        if is_shared {
            group.guard(head);
        }
        group
    }
}

/// Decides a command, unless its caller may ask for it no more, or it gives what the
/// caller does not have.
fn decide_for(
    index: &Index,
    overlay: &Overlay<'_>,
    job: &Job,
    context: &mut Context<'_>,
) -> Result<Decision, Refusal> {
    if let (Command::Reveal(ask), Origin::Call(call)) = (&job.command, &job.how.origin)
        && let Some(known) = overlay.credential(ask.id)
    {
        giving::check_secret(overlay, &call.caller, known.credential())?;
    }
    let decision = decide(overlay, &job.command, context)?;
    if let Origin::Call(call) = &job.how.origin {
        May(index).check(call, &job.command, &decision, context.now)?;
        giving::check(overlay, &call.caller, &decision.writes)?;
        // The answer to a request that was carried out before.
        if let (Answer::Secret(with), []) = (&decision.answer, decision.writes.as_slice()) {
            giving::check_secret(overlay, &call.caller, with.credential.credential())?;
        }
    }
    Ok(decision)
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

#[cfg(test)]
mod tests;
