//! What credd does of its own accord, from time to time: it tells that expiries
//! have come, removes what was revoked or expired long ago, and forgets requests
//! that nobody may send again.

use std::sync::Arc;
use std::time::Duration;

use super::Authority;
use super::command::{Command, REFUSED_FOR, REPLAYED_FOR};
use super::committer::CommandError;
use super::entry::Entry;
use super::listing::{Timed, following};
use crate::domain::credential::State;
use crate::domain::id::CredentialId;
use crate::domain::time::Timestamp;

/// How long what is over is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Revoked and expired credentials, since then.
    pub over: Duration,
    /// The trace of one that was removed: longer than the log of changes, so that
    /// everybody who follows it is told.
    pub trace: Duration,
}

impl Default for Keep {
    /// 30 days; two days.
    fn default() -> Self {
        Self {
            over: Duration::from_hours(30 * 24),
            trace: Duration::from_hours(48),
        }
    }
}

/// How far the sweeps have come.
#[derive(Clone, Copy, Debug)]
pub struct Swept {
    expiries: Timestamp,
    /// When to look again for what is over.
    next_removal: Timestamp,
}

impl Default for Swept {
    fn default() -> Self {
        Self {
            expiries: Timestamp::from_millis(i64::MIN),
            next_removal: Timestamp::from_millis(i64::MIN),
        }
    }
}

/// How many credentials are changed by one command.
const BATCH: usize = 128;
/// How many credentials are looked at without a pause for the writer.
const EXAMINED: usize = 10_000;
/// How often it is looked for what is over: that takes time for each credential
/// that is revoked.
const REMOVAL_PERIOD: Duration = Duration::from_mins(10);
/// How much earlier than the last sweep the next one looks again: a commit may
/// bring an expiry that has come by then.
const OVERLAP: Duration = Duration::from_mins(1);

impl Authority {
    /// Does what is due.
    ///
    /// # Errors
    ///
    /// [`CommandError`]; the rest is done the next time.
    pub async fn sweep(&self, swept: &mut Swept, keep: Keep) -> Result<(), CommandError> {
        let now = self.now();
        let told = self.expired_between(swept.expiries, now);
        self.in_batches(told, Command::TellExpiry).await?;
        swept.expiries = now.saturating_sub(OVERLAP);

        if now < swept.next_removal {
            return Ok(());
        }
        swept.next_removal = now.checked_add(REMOVAL_PERIOD).unwrap_or(Timestamp::MAX);
        let over = self.over_since(now.saturating_sub(keep.over));
        self.in_batches(over, Command::Remove).await?;

        let (_, (traces, requests)) = self.index.read(|index| {
            let traces = index.tombstones_before(now.saturating_sub(keep.trace), EXAMINED);
            let until = now.saturating_sub(REPLAYED_FOR + REFUSED_FOR);
            (traces, index.requests_before(until, EXAMINED))
        });
        self.in_batches(traces, |ids| Command::Forget(ids, Vec::new()))
            .await?;
        self.in_batches(requests, |names| Command::Forget(Vec::new(), names))
            .await
    }

    /// How many credentials that are active now expire within a time from now, at
    /// any tenant.
    #[must_use]
    pub fn expiring_within(&self, time: Duration) -> u64 {
        let now = self.now();
        let until = now.checked_add(time).unwrap_or(Timestamp::MAX);
        let mut count = 0;
        self.each_expiring(now, until, |entry| {
            count += u64::from(entry.standing() == State::Active);
        });
        count
    }

    async fn in_batches<T: Copy>(
        &self,
        all: Vec<T>,
        command: impl Fn(Vec<T>) -> Command,
    ) -> Result<(), CommandError> {
        // Three records each: of a credential, of its uses, and of what was made anew.
        for batch in all.chunks(BATCH.min(self.commands.most_writes() / 3)) {
            self.run(command(batch.to_vec())).await?;
        }
        Ok(())
    }

    fn expired_between(&self, from: Timestamp, to: Timestamp) -> Vec<CredentialId> {
        let mut due = Vec::new();
        self.each_expiring(from, to, |entry| {
            if !entry.expiry_told() && entry.standing() != State::Revoked {
                due.push(entry.id());
            }
        });
        due
    }

    /// Credentials that were revoked, or expired, before this.
    fn over_since(&self, before: Timestamp) -> Vec<CredentialId> {
        let mut over = Vec::new();
        self.each_expiring(Timestamp::from_millis(i64::MIN), before, |entry| {
            over.push(entry.id());
        });
        let mut after = CredentialId::MIN;
        loop {
            let (_, (last, found)) = self.index.read(|index| {
                let ids: Vec<_> = index.listing(|listing| {
                    let revoked = listing.in_states(None, &[State::Revoked]);
                    following(revoked, after).take(EXAMINED).collect()
                });
                let found = ids.iter().filter_map(|id| index.credential(*id));
                let found = found.filter(|entry| entry.last_change_at() < before);
                let found: Vec<_> = found.map(|entry| entry.id()).collect();
                (ids.last().copied(), found)
            });
            over.extend(found);
            match last {
                Some(last) => after = last,
                None => break,
            }
        }
        over.sort_unstable();
        over.dedup();
        over
    }

    /// Every credential whose expiry is at or after `from` and before or at `to`.
    fn each_expiring(&self, from: Timestamp, to: Timestamp, mut each: impl FnMut(&Arc<Entry>)) {
        let mut after: Timed = (from, CredentialId::MIN);
        loop {
            let (_, found) = self.index.read(|index| {
                let due: Vec<Timed> = index.listing(|listing| {
                    let expiring = following(listing.expiring(None), after);
                    let due = expiring.take_while(|(at, _)| *at <= to);
                    due.take(EXAMINED).collect()
                });
                let due = due.into_iter();
                due.filter_map(|place| Some((place, index.credential(place.1)?)))
                    .collect::<Vec<_>>()
            });
            let Some((last, _)) = found.last() else {
                return;
            };
            after = *last;
            for (_, entry) in &found {
                each(entry);
            }
        }
    }
}
