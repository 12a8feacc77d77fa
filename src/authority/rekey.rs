//! MACs under the active pepper for secrets that are presented, written behind:
//! Verify never waits for it, and what is lost is made again at the next use.
//!
//! What was made waits in a bounded queue. When that is full, or somebody is about
//! to change it, nothing is added: the secret stays good as it is.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use super::command::{Command, Rekey, Remade};
use super::committer::{Commands, How};
use crate::domain::id::CredentialId;
use crate::domain::keyring::Mac;
use crate::domain::token::Generation;

/// The longest time that a MAC waits to be written.
const FLUSH: Duration = Duration::from_secs(1);
const QUEUE: usize = 16_384;
const BATCH: usize = 512;

/// The secrets whose MACs wait.
type Waiting = Arc<Mutex<HashSet<(CredentialId, Generation)>>>;

#[derive(Debug)]
enum Item {
    Mac(CredentialId, Generation, Mac),
    /// Whoever sent it waits until all before it is written.
    Flush(oneshot::Sender<()>),
}

/// Where MACs are handed in.
#[derive(Clone, Debug)]
pub struct Rekeys {
    queue: mpsc::Sender<Item>,
    waiting: Waiting,
}

/// What writes them.
#[derive(Debug)]
pub struct RekeyWriter {
    queue: mpsc::Receiver<Item>,
    waiting: Waiting,
    commands: Commands,
}

impl Rekeys {
    /// A queue of MACs, and what writes them.
    #[must_use]
    pub fn new(commands: Commands) -> (Self, RekeyWriter) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let waiting = Waiting::default();
        let writer = RekeyWriter {
            queue: receiver,
            waiting: Arc::clone(&waiting),
            commands,
        };
        let rekeys = Self {
            queue: sender,
            waiting,
        };
        (rekeys, writer)
    }

    /// Hands in what `mac` makes for a secret that was found right, unless it waits
    /// already. Never waits.
    pub fn offer(&self, id: CredentialId, generation: Generation, mac: impl FnOnce() -> Mac) {
        let Ok(place) = self.queue.try_reserve() else {
            return;
        };
        let is_new = self
            .waiting
            .try_lock()
            .is_some_and(|mut waiting| waiting.insert((id, generation)));
        if is_new {
            place.send(Item::Mac(id, generation, mac()));
        }
    }

    /// Waits until what was handed in before is written, or lost.
    pub async fn flush(&self) {
        let (sender, written) = oneshot::channel();
        if self.queue.send(Item::Flush(sender)).await.is_ok() {
            let _ = written.await;
        }
    }
}

impl RekeyWriter {
    /// Writes MACs until nobody can hand in more.
    pub async fn run(mut self) {
        while let Some(first) = self.queue.recv().await {
            let mut batch = Vec::new();
            let mut flush = take(first, &mut batch);
            let deadline = Instant::now() + FLUSH;
            let most = BATCH.min(self.commands.most_writes());
            while batch.len() < most
                && flush.is_none()
                && let Ok(Some(item)) = timeout_at(deadline, self.queue.recv()).await
            {
                flush = take(item, &mut batch);
            }
            self.write(batch).await;
            if let Some(flush) = flush {
                let _ = flush.send(());
            }
        }
    }

    async fn write(&self, batch: Vec<Rekey>) {
        if batch.is_empty() {
            return;
        }
        let secrets: Vec<_> = batch.iter().map(|one| (one.id, one.generation)).collect();
        let command = Command::Rekey(batch);
        if let Err(error) = self.commands.run(command, How::BY_CREDD).await {
            tracing::warn!(%error, "secrets stay under their peppers until their next use");
        }
        let mut waiting = self.waiting.lock();
        for secret in &secrets {
            waiting.remove(secret);
        }
    }
}

fn take(item: Item, batch: &mut Vec<Rekey>) -> Option<oneshot::Sender<()>> {
    match item {
        Item::Flush(flush) => Some(flush),
        Item::Mac(id, generation, mac) => {
            batch.push(Rekey {
                id,
                generation,
                made: Remade::Mac(mac),
            });
            None
        }
    }
}
