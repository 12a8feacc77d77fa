//! Sealing anew, with the active key, the secrets that can be viewed again.
//!
//! It goes on in the background, page by page with a pause after each that had
//! something, and looks at the state of things and not at what led to it: whatever
//! is sealed with an older key is sealed anew, also after a restart.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::Authority;
use super::command::{Command, Rekey, Remade, sealing_context};
use super::committer::CommandError;
use super::entry::Entry;
use super::list::{Filter, Order, Place, Whose};
use crate::domain::keyring::{KeyKind, sealed_under};

/// How often it is looked whether there is anything to do.
const PERIOD: Duration = Duration::from_secs(1);
/// How many credentials a page has, and the pause after it.
const PAGE: usize = 256;
const PAUSE: Duration = Duration::from_millis(50);
/// When it is tried again where nothing could be done.
const AGAIN: Duration = Duration::from_mins(1);

/// Seals anew until `stopping`.
///
/// # Errors
///
/// None: a store that fails ends the process by itself.
pub async fn run(authority: Arc<Authority>, stopping: CancellationToken) {
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let work = async {
        loop {
            ticks.tick().await;
            if !authority.leads() || !authority.has_to_reseal() {
                continue;
            }
            match pass(&authority).await {
                // Another key may have become active meanwhile.
                Ok(resealed) if resealed > 0 => {
                    tracing::info!(resealed, "sealed secrets anew");
                    continue;
                }
                Ok(_) => (),
                // The committer ends the process.
                Err(CommandError::StoreFailed | CommandError::Stopping) => return,
                Err(error) => tracing::warn!(%error, "sealing anew waits for the next time"),
            }
            if authority.has_to_reseal() {
                tokio::time::sleep(AGAIN).await;
            }
        }
    };
    stopping.run_until_cancelled(work).await;
}

/// Goes through all credentials once; returns how many were sealed anew.
async fn pass(authority: &Authority) -> Result<usize, CommandError> {
    let mut resealed = 0;
    let mut after = Place::START;
    loop {
        let page = authority.list(&Filter::all(Whose::All), Order::Created, after, PAGE);
        let made: Vec<_> = page
            .entries
            .iter()
            .filter_map(|entry| authority.resealed(entry))
            .collect();
        if !made.is_empty() {
            resealed += made.len();
            for made in made.chunks(PAGE.min(authority.commands.most_writes())) {
                authority.run(Command::Rekey(made.to_vec())).await?;
            }
            tokio::time::sleep(PAUSE).await;
        }
        match page.next {
            Some(next) => after = next,
            None => return Ok(resealed),
        }
    }
}

impl Authority {
    /// Whether anything is sealed with another key than the active one.
    fn has_to_reseal(&self) -> bool {
        let active = self.keys.current().active(KeyKind::Sealing);
        let now = self.now();
        let (_, has_other) = self.index.read(|index| {
            let mut versions = index.versions_used(KeyKind::Sealing).into_iter();
            versions.any(|version| {
                version != active && index.remaining(KeyKind::Sealing, version, now).secrets > 0
            })
        });
        has_other
    }

    /// The sealed secret of a credential under the active key, if it has one under
    /// another.
    fn resealed(&self, entry: &Entry) -> Option<Rekey> {
        let sealed = entry.sealed()?;
        let keyring = self.keys.full();
        if sealed_under(sealed) == Some(keyring.active(KeyKind::Sealing)) {
            return None;
        }
        let context = sealing_context(entry.id(), entry.generation());
        let Ok(secret) = keyring.open(&context, sealed) else {
            tracing::error!(
                credential = %entry.id(),
                "a sealed secret can't be opened, and stays as it is: rotate or revoke the credential"
            );
            return None;
        };
        match keyring.seal(&context, &secret, self.random()) {
            Ok(sealed) => Some(Rekey {
                id: entry.id(),
                generation: entry.generation(),
                made: Remade::Sealed(sealed.into()),
            }),
            Err(error) => {
                tracing::warn!(%error, "a sealed secret stays as it is");
                None
            }
        }
    }
}
