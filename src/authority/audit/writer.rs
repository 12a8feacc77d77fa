//! What counts notes and writes them down, and compares what was presented with
//! retired secrets.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::tallies::Tallies;
use super::{Counts, Suspect};
use crate::authority::command::Command;
use crate::authority::committer::{CommandError, Commands, How};
use crate::authority::keys::Keys;
use crate::domain::audit::{Event, RETIRED_SECRET};
use crate::domain::keyring::{Macs as _, SecretOf};
use crate::domain::time::Clock;

/// How often what was counted is written.
pub const FLUSH: Duration = Duration::from_secs(10);
/// How long after that nobody can have it written again.
const REST: Duration = Duration::from_secs(1);
/// How many events are written by one command.
const BATCH: usize = 256;

/// Where it all comes from.
#[derive(Debug)]
pub(super) struct Queues {
    pub(super) notes: mpsc::Receiver<Box<Event>>,
    pub(super) suspects: mpsc::Receiver<Suspect>,
    pub(super) flushes: mpsc::Receiver<oneshot::Sender<()>>,
}

/// The writer of what is counted.
#[derive(Debug)]
pub struct AuditWriter {
    queues: Queues,
    commands: Commands,
    keys: Arc<Keys>,
    clock: Arc<dyn Clock>,
    counts: Arc<Counts>,
    tallies: Tallies,
    /// How many dropped notes were told of.
    told_dropped: u64,
    flushed: Option<Instant>,
}

impl AuditWriter {
    pub(super) fn new(
        queues: Queues,
        commands: Commands,
        keys: Arc<Keys>,
        clock: Arc<dyn Clock>,
        counts: Arc<Counts>,
    ) -> Self {
        Self {
            queues,
            commands,
            keys,
            clock,
            counts,
            tallies: Tallies::default(),
            told_dropped: 0,
            flushed: None,
        }
    }

    /// Counts until nobody can make more notes, then writes the last of them.
    pub async fn run(mut self) {
        let mut ticks = interval(FLUSH);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                note = self.queues.notes.recv() => match note {
                    Some(event) => self.tallies.add(*event),
                    None => break,
                },
                Some(suspect) = self.queues.suspects.recv() => self.compare(suspect),
                Some(done) = self.queues.flushes.recv() => {
                    let rested = self.flushed.is_none_or(|at| at.elapsed() >= REST);
                    if rested {
                        self.take_all();
                        self.flush().await;
                    }
                    // Whoever asked may have gone.
                    let _ = done.send(());
                }
                _ = ticks.tick() => self.flush().await,
            }
        }
        self.take_all();
        self.flush().await;
    }

    /// Takes what waits.
    fn take_all(&mut self) {
        while let Ok(event) = self.queues.notes.try_recv() {
            self.tallies.add(*event);
        }
        while let Ok(suspect) = self.queues.suspects.try_recv() {
            self.compare(suspect);
        }
    }

    /// A secret has one number: there is one retired MAC to compare it with.
    fn compare(&mut self, suspect: Suspect) {
        let Suspect {
            entry,
            claim,
            mut event,
        } = suspect;
        // One that was overlapping then is good: the claim was of another secret.
        let secret = SecretOf {
            kind: claim.kind,
            id: claim.id,
            generation: claim.generation,
            secret: &claim.secret,
        };
        let named = entry.earlier_secret(claim.generation);
        if entry.kind() == claim.kind
            && named.is_some_and(|held| self.keys.current().matches(&secret, Some(&held.mac)))
        {
            self.counts.add_retired();
            RETIRED_SECRET.clone_into(&mut event.outcome);
            event.details = format!("secret {}", claim.generation.number());
            self.tallies.add(*event);
        }
    }

    /// Writes what was counted. What can't be written now is counted on.
    async fn flush(&mut self) {
        self.flushed = Some(Instant::now());
        let dropped = self.counts.dropped();
        let untold = dropped - self.told_dropped;
        if untold > 0 {
            let now = self.clock.now();
            self.tallies.add_others(untold, now, now);
            self.told_dropped = dropped;
        }
        if self.tallies.is_empty() {
            return;
        }
        let mut events = self.tallies.take().into_iter();
        let mut failed = None;
        while events.len() > 0 {
            let most = BATCH.min(self.commands.most_writes());
            let batch: Vec<_> = events.by_ref().take(most).collect();
            let command = Command::RecordEvents(batch.clone());
            if let Err(error) = self.commands.run(command, How::BY_CREDD).await {
                failed = Some(error);
                for event in batch.into_iter().chain(events) {
                    self.tallies.add(event);
                }
                break;
            }
        }
        match failed {
            // The committer ends the process.
            None | Some(CommandError::StoreFailed | CommandError::Stopping) => (),
            Some(error) => tracing::warn!(%error, "what was counted for the audit log waits"),
        }
    }
}
