//! What an entry knows of its uses, and which of them are worth a report.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwapOption;

use super::Entry;
use crate::authority::names::Symbol;
use crate::domain::credential::Uses;
use crate::domain::time::Timestamp;
use crate::domain::token::Generation;

/// What is known of the uses, as the feed has applied them, and what was reported
/// since.
#[derive(Debug, Default)]
pub(super) struct UseCell {
    /// The latest report: when, in seconds since the epoch, and below that who
    /// used which secret. 0: none. For most credentials it is all there is.
    latest: AtomicU64,
    log: ArcSwapOption<UseLog>,
}

#[derive(Clone, Debug, Default)]
struct UseLog {
    uses: Uses,
    /// What was reported before the latest, at most [`Uses::MOST`].
    reported: Vec<Report>,
}

/// That a secret was used by a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Report {
    /// In seconds since the epoch.
    at: u32,
    /// Which secret, and which service, in one number: two that are the same in
    /// it cost each other a report now and then.
    who: u32,
}

impl Entry {
    /// The uses that are stored.
    #[must_use]
    pub fn uses(&self) -> Uses {
        let log = self.uses.log.load();
        log.as_ref().map(|log| log.uses.clone()).unwrap_or_default()
    }

    /// When it was last used, as far as that is stored.
    #[must_use]
    pub fn last_used_at(&self) -> Option<Timestamp> {
        let log = self.uses.log.load();
        let latest = log.as_ref()?.uses.latest()?;
        Some(latest.at)
    }

    /// Whether a use of a secret by a service now is to be reported: at most once
    /// in `period` seconds for each secret and service. Of several callers at once
    /// one is told yes.
    pub fn claim_report(
        &self,
        generation: Generation,
        by: Symbol,
        now: Timestamp,
        period: u32,
    ) -> bool {
        let new = Report {
            at: u32::try_from(now.as_millis() / 1000).unwrap_or(u32::MAX),
            who: by.number().rotate_left(8) ^ generation.number(),
        };
        let held = self.uses.latest.load(Ordering::Relaxed);
        let latest = Report::unpack(held);
        match latest {
            Some(latest) if latest.who != new.who => return self.claim_beside(latest, new, period),
            Some(latest) if latest.covers(new, period) => return false,
            _ => (),
        }
        let latest = &self.uses.latest;
        let swapped =
            latest.compare_exchange(held, new.pack(), Ordering::Relaxed, Ordering::Relaxed);
        swapped.is_ok()
    }

    /// The same, where another use was reported last.
    fn claim_beside(&self, latest: Report, new: Report, period: u32) -> bool {
        let covered = |log: &UseLog| {
            let mut reported = log.reported.iter();
            reported.any(|report| report.who == new.who && report.covers(new, period))
        };
        if self
            .uses
            .log
            .load()
            .as_ref()
            .is_some_and(|log| covered(log))
        {
            return false;
        }
        let mut claimed = false;
        self.uses.log.rcu(|log| {
            let mut log = log.as_deref().cloned().unwrap_or_default();
            claimed = !covered(&log);
            log.note(latest);
            log.note(new);
            Some(Arc::new(log))
        });
        if claimed {
            self.uses.latest.store(new.pack(), Ordering::Relaxed);
        }
        claimed
    }

    /// Sets the uses; only the feed does.
    pub(in crate::authority) fn set_uses(&self, uses: Option<Uses>) {
        let uses = uses.unwrap_or_default();
        self.uses.log.rcu(|log| {
            let log = log.as_deref().cloned().unwrap_or_default();
            Some(Arc::new(UseLog {
                uses: uses.clone(),
                ..log
            }))
        });
    }

    /// Takes over what an earlier entry knows of the uses.
    pub(in crate::authority) fn inherit_uses(&self, earlier: &Self) {
        let latest = earlier.uses.latest.load(Ordering::Relaxed);
        self.uses.latest.store(latest, Ordering::Relaxed);
        self.uses.log.store(earlier.uses.log.load_full());
    }
}

impl UseLog {
    /// Notes a report, in the place of an earlier one of the same use.
    fn note(&mut self, new: Report) {
        if let Some(held) = self.reported.iter_mut().find(|held| held.who == new.who) {
            *held = new;
        } else {
            if self.reported.len() == Uses::MOST {
                let oldest = (0..Uses::MOST).min_by_key(|&at| self.reported[at].at);
                self.reported.swap_remove(oldest.unwrap_or_default());
            }
            self.reported.push(new);
        }
    }
}

impl Report {
    /// Whether it is so close to another that the other says nothing new. A clock
    /// that went back far is no reason never to report again.
    const fn covers(self, other: Self, period: u32) -> bool {
        other.at.abs_diff(self.at) < period
    }

    const fn pack(self) -> u64 {
        (self.at as u64) << 32 | self.who as u64
    }

    fn unpack(number: u64) -> Option<Self> {
        let half = |number: u64| u32::try_from(number & u64::from(u32::MAX)).unwrap_or_default();
        (number != 0).then(|| Self {
            at: half(number >> 32),
            who: half(number),
        })
    }
}
