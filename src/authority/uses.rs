//! Last use, written behind: Verify never waits for it, and a crash loses at
//! most the last seconds of it.
//!
//! A secret's use by a service is reported at most once in [`PERIOD_SECONDS`];
//! what is reported waits in a bounded queue, from which it is dropped when the
//! queue is full, and is committed every [`FLUSH`] or when there is enough of it.
//!
//! A store that several processes share bears fewer commits. There it waits by shard,
//! and each process makes one commit of each shard in a while ([`Pace`]), so that how
//! much is written does not depend on how much is asked. Where more credentials are used
//! than fit in these, each has its turn, and its last use is so much older.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

mod packing;

use self::packing::Packing;
use super::command::Command;
use super::committer::{Commands, How};
use super::entry::Entry;
use super::index::Index;
use super::names::Symbol;
use crate::domain::credential::Use;
use crate::domain::id::CredentialId;
use crate::domain::names::Principal;
use crate::domain::time::Timestamp;
use crate::domain::token::Generation;

/// The least time between two reports of the use of a secret by a service.
pub const PERIOD_SECONDS: u32 = 10;

/// The longest time that a report waits to be written.
pub const FLUSH: Duration = Duration::from_secs(5);

const QUEUE: usize = 65_536;
const BATCH: usize = 512;

#[derive(Clone, Copy, Debug)]
struct Report {
    id: CredentialId,
    generation: Generation,
    at: Timestamp,
    by: Symbol,
}

/// Where uses are reported.
#[derive(Clone, Debug)]
pub struct Uses(mpsc::Sender<Report>);

/// How often a process writes uses to a store that it shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Into how many shards credentials are divided.
    pub shards: u32,
    /// The least time between two commits of a shard.
    pub every: Duration,
}

impl Pace {
    /// A commit in four seconds, and each shard once in a minute.
    pub const STATED: Self = Self {
        shards: 15,
        every: Duration::from_mins(1),
    };
}

/// What writes them.
#[derive(Debug)]
pub struct UseWriter {
    /// How often, if others write to the store too.
    pub pace: Option<Pace>,
    reports: mpsc::Receiver<Report>,
    commands: Commands,
    index: Arc<Index>,
}

impl Uses {
    /// A queue of reports, and what writes them.
    #[must_use]
    pub fn new(commands: Commands, index: Arc<Index>, pace: Option<Pace>) -> (Self, UseWriter) {
        let (sender, reports) = mpsc::channel(QUEUE);
        let writer = UseWriter {
            pace,
            reports,
            commands,
            index,
        };
        (Self(sender), writer)
    }

    /// Reports that `by` asked for a secret of this credential and was told that
    /// it is good. Never waits.
    pub fn report(&self, entry: &Entry, generation: Generation, now: Timestamp, by: Symbol) {
        if entry.claim_report(generation, by, now, PERIOD_SECONDS) {
            let report = Report {
                id: entry.id(),
                generation,
                at: now,
                by,
            };
            // A full queue drops the report; the next use makes another.
            let _ = self.0.try_send(report);
        }
    }
}

impl UseWriter {
    /// Writes reports until nobody can make more.
    pub async fn run(mut self) {
        match self.pace {
            Some(pace) => self.run_at(pace).await,
            None => self.run_alone().await,
        }
    }

    /// The same where others write to the store too.
    async fn run_at(&mut self, pace: Pace) {
        let shards = pace.shards.max(1);
        let mut turns = interval((pace.every / shards).max(Duration::from_millis(1)));
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let shards = usize::try_from(shards).unwrap_or(usize::MAX);
        let mut packing = Packing::new(shards, QUEUE / shards);
        let most = self.commands.most_writes();
        let mut next = 0;
        let mut reports = Vec::new();
        loop {
            tokio::select! {
                received = self.reports.recv_many(&mut reports, BATCH) => {
                    if received == 0 {
                        break;
                    }
                    for report in reports.drain(..) {
                        packing.add(report);
                    }
                }
                _ = turns.tick() => {
                    self.write(packing.take(next, most)).await;
                    next = (next + 1) % shards;
                }
            }
        }
        // Of each shard once more: the process ends.
        for shard in 0..shards {
            self.write(packing.take(shard, most)).await;
        }
    }

    async fn run_alone(&mut self) {
        while let Some(first) = self.reports.recv().await {
            let mut batch = vec![first];
            let deadline = Instant::now() + FLUSH;
            let most = BATCH.min(self.commands.most_writes());
            while batch.len() < most
                && let Ok(Some(report)) = timeout_at(deadline, self.reports.recv()).await
            {
                batch.push(report);
            }
            self.write(batch).await;
        }
    }

    async fn write(&self, batch: Vec<Report>) {
        if batch.is_empty() {
            return;
        }
        let uses = self.by_credential(batch);
        let written = self
            .commands
            .run(Command::RecordUses(uses), How::BY_CREDD)
            .await;
        if let Err(error) = written {
            tracing::warn!(%error, "dropped records of last use");
        }
    }

    /// The reports, those of a credential together.
    fn by_credential(&self, mut batch: Vec<Report>) -> Vec<(CredentialId, Use)> {
        batch.sort_by_key(|report| report.id);
        let uses = batch.into_iter().map(|report| {
            let by = self.index.names().resolve(report.by);
            let used = Use {
                at: report.at,
                by: Principal::trusted(Arc::clone(by)),
                generation: report.generation,
            };
            (report.id, used)
        });
        uses.collect()
    }
}
