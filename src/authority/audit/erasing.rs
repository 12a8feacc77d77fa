//! Erasing what the log says of a person.

use super::told::Erasure;
use crate::authority::Authority;
use crate::authority::command::Command;
use crate::authority::committer::{CommandError, How};
use crate::authority::hub::LogError;
use crate::authority::record::audit::AuditRecord;
use crate::domain::audit::{Event, Filter, MOST_ERASED, Named};
use crate::domain::names::Reason;
use crate::domain::revision::Revision;

/// How many records are erased by one commit: as many as its event can name.
const BATCH: usize = MOST_ERASED;

/// What was erased.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Erased {
    /// How many records, or how many would be.
    pub records: u64,
    /// The last commit that erased one.
    pub revision: Option<Revision>,
}

/// Why nothing more was erased.
#[derive(Clone, Debug, thiserror::Error)]
pub enum EraseError {
    /// The log can't be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A commit came to nothing.
    #[error(transparent)]
    Command(#[from] CommandError),
}

impl Authority {
    /// Erases the payloads of the events that a filter lets through and that name
    /// somebody.
    ///
    /// # Errors
    ///
    /// [`EraseError`]; some of them are erased by then.
    pub async fn erase_events(
        &self,
        filter: &Filter,
        named: &Named,
        reason: &Reason,
        how: &How,
    ) -> Result<Erased, EraseError> {
        let log = self.audit().log();
        let _undisturbed = log.undisturbed().await;
        let end = log.head().borrow().sequence;
        let mut erased = Erased {
            records: 0,
            revision: None,
        };
        let (mut found, mut written) = (Vec::new(), Vec::new());
        let mut at = log.start().await?.sequence + 1;
        while at <= end {
            let page = log.records(at, end).await?;
            let Some(last) = page.last().map(|record| record.sequence) else {
                break;
            };
            at = last + 1;
            for record in page {
                let is_meant = |event: Event| {
                    !event.is_of_upkeep() && filter.admits(&event) && named.is_in(&event)
                };
                if record.event().is_some_and(is_meant)
                    && let Ok(AuditRecord { entry, .. }) = record.record
                {
                    written.push(record.written);
                    found.push(AuditRecord {
                        entry: entry.erased(),
                        revision: Some(record.revision),
                    });
                }
                if found.len() == BATCH.min(self.commands.most_writes()) {
                    let found = (std::mem::take(&mut found), std::mem::take(&mut written));
                    self.erase(found, named, reason, how, &mut erased).await?;
                }
            }
        }
        if !found.is_empty() {
            let found = (found, written);
            self.erase(found, named, reason, how, &mut erased).await?;
        }
        Ok(erased)
    }

    async fn erase(
        &self,
        (records, written): (Vec<AuditRecord>, Vec<Revision>),
        named: &Named,
        reason: &Reason,
        how: &How,
        erased: &mut Erased,
    ) -> Result<(), CommandError> {
        erased.records += records.len() as u64;
        let command = Command::EraseEvents(Erasure {
            records,
            written,
            tenant: match named {
                Named::Principal(_) => String::new(),
                Named::Owner(tenant, _) => tenant.to_string(),
            },
            reason: reason.clone(),
        });
        let done = self.commands.run(command, how.clone()).await?;
        erased.revision = Some(done.revision).filter(|_| !how.dry);
        Ok(())
    }
}
