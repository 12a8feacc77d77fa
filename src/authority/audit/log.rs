//! Reading the audit log from the store.
//!
//! A page is read on a thread that may block, a few pages at a time whoever asks,
//! and never beyond the last commit that was applied: what a scan shows early is
//! not told.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{Mutex, MutexGuard, Semaphore, watch};

use crate::authority::background;
use crate::authority::hub::LogError;
use crate::authority::names::Interner;
use crate::authority::record::audit::{AuditKey, AuditRecord, read_anchor, read_entry, read_event};
use crate::authority::record::{Record, UnreadableRecord, restored_key};
use crate::domain::audit::{Broken, ChainNumber, Entry, Event, Filter, Head, Verified, Verifier};
use crate::domain::revision::{Revision, StoreId};
use crate::domain::time::Timestamp;
use crate::store::{Entry as StoreEntry, KeyRange, Store};

/// How many records are read at once.
const PAGE: u64 = 512;
/// How many records are looked at for one page of a list.
const EXAMINED: u64 = 50_000;
/// How many may read at the same time.
const READERS: usize = 4;

/// The log.
#[derive(Debug)]
pub struct AuditLog {
    store: Arc<dyn Store>,
    head: watch::Receiver<Head>,
    turns: Arc<Semaphore>,
    /// Held by whoever removes or erases records, or must find none removed.
    upkeep: Mutex<()>,
}

/// In which order events are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// As they were written.
    OldestFirst,
    /// The other way round.
    NewestFirst,
}

/// A record at its key.
#[derive(Clone, Debug)]
pub(super) struct AtKey {
    pub(super) sequence: u64,
    pub(super) revision: Revision,
    /// The commit that wrote it last.
    pub(super) written: Revision,
    pub(super) record: Result<AuditRecord, String>,
}

/// A record as it is listed.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Its number, from its key.
    pub sequence: u64,
    /// The commit that wrote it first.
    pub revision: Revision,
    /// Its header, if it can be read.
    pub header: Option<Entry>,
    /// What it says.
    pub payload: ListedPayload,
}

/// What a record that is listed says.
#[derive(Clone, Debug)]
pub enum ListedPayload {
    /// This.
    Event(Box<Event>),
    /// Nothing any more.
    Erased,
    /// Not what was written.
    Damaged,
}

/// A page of a list.
#[derive(Clone, Debug)]
pub struct AuditPage {
    /// The records.
    pub listed: Vec<Listed>,
    /// The number from which on to go on; `None`: there are no more now.
    pub next: Option<u64>,
    /// The end of the log when the page was read.
    pub head: Head,
}

impl AuditLog {
    pub(super) fn new(store: Arc<dyn Store>, head: watch::Receiver<Head>) -> Self {
        Self {
            store,
            head,
            turns: Arc::new(Semaphore::new(READERS)),
            upkeep: Mutex::new(()),
        }
    }

    /// The store that it is the log of.
    #[must_use]
    pub fn store(&self) -> StoreId {
        self.store.id()
    }

    /// Where it ends, to read and to wait for.
    #[must_use]
    pub fn head(&self) -> watch::Receiver<Head> {
        self.head.clone()
    }

    /// Keeps others from removing and erasing records meanwhile.
    pub(super) async fn undisturbed(&self) -> MutexGuard<'_, ()> {
        self.upkeep.lock().await
    }

    /// Where it begins: the last record that was removed.
    ///
    /// # Errors
    ///
    /// [`LogError`].
    pub async fn start(&self) -> Result<Head, LogError> {
        self.reading(move |store| {
            let key = AuditKey::Anchor(ChainNumber::FIRST).to_bytes();
            match only(store, &key)? {
                None => genesis(store),
                Some(entry) => read_anchor(&entry.value).map_err(|what| {
                    LogError::Unreadable(UnreadableRecord {
                        key: data_encoding::HEXLOWER.encode(&entry.key),
                        what,
                    })
                }),
            }
        })
        .await
    }

    /// A page of what a filter lets through, from a number on, which is the first to
    /// be looked at. `None`: from the beginning of the list.
    ///
    /// # Errors
    ///
    /// [`LogError`].
    pub async fn list(
        &self,
        filter: &Filter,
        order: Order,
        from: Option<u64>,
        limit: usize,
    ) -> Result<AuditPage, LogError> {
        let head = *self.head.borrow();
        let mut at = match order {
            Order::OldestFirst => from.unwrap_or(1),
            Order::NewestFirst => from.unwrap_or(head.sequence).min(head.sequence),
        };
        let mut listed = Vec::new();
        let mut examined = 0;
        while listed.len() < limit && examined < EXAMINED {
            let records = match order {
                Order::OldestFirst if at > head.sequence => break,
                Order::OldestFirst => self.records(at, head.sequence.min(at + PAGE - 1)).await?,
                Order::NewestFirst if at == 0 => break,
                Order::NewestFirst => {
                    let mut records = self.records(at.saturating_sub(PAGE - 1).max(1), at).await?;
                    records.reverse();
                    records
                }
            };
            let Some(last) = records.last().map(|record| record.sequence) else {
                // What is not there was removed: before the beginning, or while this
                // reads.
                at = match order {
                    Order::OldestFirst => self.start().await?.sequence.max(at + PAGE - 1) + 1,
                    Order::NewestFirst => 0,
                };
                continue;
            };
            examined += records.len() as u64;
            at = match order {
                Order::OldestFirst => last + 1,
                Order::NewestFirst => last - 1,
            };
            for record in records {
                if listed.len() == limit {
                    at = record.sequence;
                    break;
                }
                listed.extend(record.listed(filter));
            }
        }
        let is_over = match order {
            Order::OldestFirst => at > head.sequence,
            Order::NewestFirst => at == 0,
        };
        Ok(AuditPage {
            listed,
            next: (!is_over).then_some(at),
            head,
        })
    }

    /// Checks every record, up to the end that is known, and against heads that were
    /// kept elsewhere.
    ///
    /// # Errors
    ///
    /// [`LogError`] if the log can't be read; it is no error that it is broken.
    pub async fn verify(
        &self,
        expected: Vec<Head>,
    ) -> Result<(Result<Verified, Broken>, Head, u64), LogError> {
        let _undisturbed = self.undisturbed().await;
        let head = *self.head.borrow();
        let start = self.start().await?;
        // What is known of the ends is as good as what was kept elsewhere.
        let known = (head.sequence >= start.sequence).then_some(head);
        let genesis = match start.sequence {
            0 => Some(self.reading(genesis).await?),
            _ => None,
        };
        let expected = expected.into_iter().chain(known).chain(genesis).collect();
        let mut records = 0;
        let mut verifier = match Verifier::new(ChainNumber::FIRST, start, expected) {
            Ok(verifier) => verifier,
            Err(broken) => return Ok((Err(broken), start, records)),
        };
        let mut at = start.sequence + 1;
        while at <= head.sequence {
            let page = self.records(at, head.sequence).await?;
            let Some(last) = page.last().map(|record| record.sequence) else {
                break;
            };
            for record in page {
                let entry = record.record.as_ref().ok().map(|record| &record.entry);
                if let Err(broken) = verifier.read(record.sequence, entry) {
                    return Ok((Err(broken), start, records));
                }
                if let Some(event) = record.event() {
                    verifier.told_erased(&event.erased);
                    if let Some(begins) = &event.begins {
                        verifier.told_removed(begins);
                    }
                }
                records += 1;
            }
            at = last + 1;
        }
        Ok((verifier.finish(), start, records))
    }

    /// Up to [`PAGE`] of the records from one number to another.
    pub(super) async fn records(&self, from: u64, through: u64) -> Result<Vec<AtKey>, LogError> {
        let key = |sequence| AuditKey::Entry(ChainNumber::FIRST, sequence).to_bytes();
        let range = KeyRange {
            start: key(from),
            end: Some(KeyRange::all().after(&key(through)).start),
        };
        self.reading(move |store| {
            let entries = store.scan(&range, usize::try_from(PAGE).unwrap_or(usize::MAX))?;
            let records = entries.into_iter().filter_map(|entry| {
                let AuditKey::Entry(_, sequence) = AuditKey::of(&entry.key)? else {
                    return None;
                };
                let record = read_entry(&entry.value);
                let first = record.as_ref().ok().and_then(|record| record.revision);
                Some(AtKey {
                    sequence,
                    revision: first.unwrap_or(entry.revision),
                    written: entry.revision,
                    record,
                })
            });
            Ok(records.collect())
        })
        .await
    }

    async fn reading<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn Store) -> Result<T, LogError> + Send + 'static,
    ) -> Result<T, LogError> {
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        let turn = turn.map_err(|_| LogError::Stopping)?;
        let store = Arc::clone(&self.store);
        let read = background::work(move || {
            let _turn = turn;
            read(&*store)
        });
        read.await.map_err(|_| LogError::Stopping)?
    }
}

/// What stands at a key.
fn only(store: &dyn Store, key: &Bytes) -> Result<Option<StoreEntry>, LogError> {
    let only = KeyRange {
        start: key.clone(),
        end: Some(KeyRange::all().after(key).start),
    };
    Ok(store.scan(&only, 1)?.pop())
}

/// Where the chain of a store begins: of one that was restored, as that of the store
/// that was first backed up.
fn genesis(store: &dyn Store) -> Result<Head, LogError> {
    let entry = only(store, &restored_key())?;
    let record =
        entry.map(|entry| Record::decode(&entry.key, Some(&entry.value), &Interner::new()));
    let origin = match record.transpose()? {
        Some(Record::Restored(Some(restored))) => restored.origin,
        _ => store.id(),
    };
    Ok(Head::genesis(origin, ChainNumber::FIRST))
}

impl AtKey {
    /// The event, if the record says what was written.
    pub(super) fn event(&self) -> Option<Event> {
        let entry = &self.record.as_ref().ok()?.entry;
        let is_sound = entry.sequence == self.sequence
            && entry.header_holds(ChainNumber::FIRST)
            && entry.payload_holds();
        let payload: &Bytes = &entry.payload.as_ref().filter(|_| is_sound)?.bytes;
        read_event(payload).ok()
    }

    /// The record as it is listed, if a filter lets it through.
    fn listed(self, filter: &Filter) -> Option<Listed> {
        let event = self.event();
        let header = self.record.ok().map(|record| record.entry);
        let is_erased = header.as_ref().is_some_and(|entry| entry.payload.is_none());
        let payload = match event {
            Some(event) => {
                let event = filter.admits(&event).then_some(event)?;
                ListedPayload::Event(Box::new(event))
            }
            // They say nothing by which they could be let through.
            None if !filter.is_open() => return None,
            None if is_erased => ListedPayload::Erased,
            None => ListedPayload::Damaged,
        };
        Some(Listed {
            sequence: self.sequence,
            revision: self.revision,
            header: header.map(Entry::erased),
            payload,
        })
    }

    /// When it was written, if it can be read.
    pub(super) fn at(&self) -> Option<Timestamp> {
        self.record.as_ref().ok().map(|record| record.entry.at)
    }
}
