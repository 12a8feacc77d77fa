//! What is done to a store that was restored or imported, before anybody is answered,
//! to one that is exported, and to one that a later version of credd is to work on alone.

use super::Authority;
use super::command::{Command, Lost, Restore};
use super::committer::{CommandError, How};
use crate::domain::restored::Restored;

impl Authority {
    /// Marks the store as restored, and tells the audit log.
    ///
    /// # Errors
    ///
    /// [`CommandError`].
    pub async fn mark_restored(&self, restored: Restored) -> Result<(), CommandError> {
        self.restore(Restore::Mark(restored)).await
    }

    /// Denies again what was denied after the backup, each with an event. Returns how
    /// much of it was not denied already. It may be repeated.
    ///
    /// # Errors
    ///
    /// [`CommandError`]; some of it is denied then.
    pub async fn deny_lost(&self, lost: Vec<Lost>) -> Result<u64, CommandError> {
        let commands = lost.into_iter();
        let commands = commands.map(|lost| Command::Restore(Box::new(Restore::Deny(lost))));
        let outcomes = self.commands.run_all(commands.collect(), &How::BY_CREDD);
        let mut denied = 0;
        for outcome in outcomes.await {
            denied += u64::from(outcome?.changes);
        }
        Ok(denied)
    }

    /// Says that the revocations since the backup were given, or given up, and tells
    /// the audit log so.
    ///
    /// # Errors
    ///
    /// [`CommandError`].
    pub async fn settle_restored(&self, details: String) -> Result<(), CommandError> {
        self.restore(Restore::Settle(details)).await
    }

    /// Marks the store as imported, and tells the audit log.
    ///
    /// # Errors
    ///
    /// [`CommandError`].
    pub async fn mark_imported(&self, from: Restored) -> Result<(), CommandError> {
        self.restore(Restore::Import(from)).await
    }

    /// Closes the store, and tells the audit log: nobody is to be answered from it any
    /// more.
    ///
    /// # Errors
    ///
    /// [`CommandError`].
    pub async fn close(&self) -> Result<(), CommandError> {
        self.restore(Restore::Export).await
    }

    /// Opens the store again that was closed, and tells the audit log.
    ///
    /// # Errors
    ///
    /// [`CommandError`].
    pub async fn open_again(&self) -> Result<(), CommandError> {
        self.restore(Restore::TakeBack).await
    }

    /// Has records written in a format from now on, if every server that works on the
    /// store reads it. Whether they were not before.
    ///
    /// # Errors
    ///
    /// [`CommandError`].
    pub async fn upgrade(&self, to: u8) -> Result<bool, CommandError> {
        let command = Command::Upgrade(to);
        let done = self.commands.run(command, How::BY_CREDD).await?;
        Ok(done.changes)
    }

    async fn restore(&self, step: Restore) -> Result<(), CommandError> {
        let command = Command::Restore(Box::new(step));
        self.commands.run(command, How::BY_CREDD).await.map(drop)
    }
}
