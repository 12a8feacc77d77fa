//! Every credential, in memory: what verdicts and lists are read from.
//!
//! The feed alone writes it, commit by commit. Whoever reads gets an answer
//! that is true at one revision: a reader notes a sequence number, reads, and
//! reads again if a commit was applied meanwhile (a sequence lock; H.-J. Boehm,
//! "Can seqlocks get along with programming language memory models?", MSPC
//! 2012). The data itself lies behind ordinary locks, so that nothing torn is
//! ever read. A reader that was unlucky a few times waits for the writer.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashTable};
use parking_lot::{Mutex, RwLock};

use super::entry::Entry;
use super::names::{Interner, Symbol};
use crate::domain::credential::{Credential, LastUse, State};
use crate::domain::id::CredentialId;
use crate::domain::revision::{Position, Revision};

/// Credentials that are locked or revoked, in order. Cloning it takes constant
/// time: a snapshot that others can be sent at leisure.
pub type Denied = imbl::OrdMap<CredentialId, Arc<Entry>>;

const SHARDS: usize = 64;
/// How often a reader tries before it waits for the writer.
const ATTEMPTS: usize = 4;

/// Every credential.
#[derive(Debug)]
pub struct Index {
    names: Interner,
    shards: [RwLock<HashTable<Arc<Entry>>>; SHARDS],
    listing: RwLock<Listing>,
    denied: RwLock<Denied>,
    /// Odd while a commit is being applied.
    sequence: AtomicU64,
    applied: RwLock<Position>,
    /// That of `applied`, where reading it takes no lock.
    revision: AtomicU64,
    /// Held by the writer while it applies a commit.
    writer: RwLock<()>,
    /// The uses of credentials whose record was not there yet when they were
    /// loaded: a scan shows records in the order of their keys.
    orphans: Mutex<HashMap<CredentialId, LastUse, RandomState>>,
}

/// The ids in the orders in which they are listed.
#[derive(Debug, Default)]
struct Listing {
    by_tenant: HashMap<Symbol, BTreeSet<CredentialId>, RandomState>,
    by_owner: HashMap<(Symbol, Symbol), BTreeSet<CredentialId>, RandomState>,
}

/// The index while it is read at one revision.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a>(&'a Index);

/// The index while the feed applies a commit.
#[derive(Debug)]
pub(super) struct Writer<'a>(&'a Index);

impl Index {
    /// An index of nothing, at the start of history.
    #[must_use]
    pub fn new() -> Self {
        Self {
            names: Interner::new(),
            shards: std::array::from_fn(|_| RwLock::default()),
            listing: RwLock::default(),
            denied: RwLock::default(),
            sequence: AtomicU64::new(0),
            applied: RwLock::new(Position::START),
            revision: AtomicU64::new(Position::START.revision.number()),
            writer: RwLock::new(()),
            orphans: Mutex::default(),
        }
    }

    /// The names that its entries use.
    #[must_use]
    pub const fn names(&self) -> &Interner {
        &self.names
    }

    /// The last commit applied.
    #[must_use]
    pub fn applied(&self) -> Position {
        *self.applied.read()
    }

    /// Reads at one revision, which is returned with what was read. `read` may
    /// be called several times.
    pub fn read<T>(&self, mut read: impl FnMut(Reader<'_>) -> T) -> (Revision, T) {
        for _ in 0..ATTEMPTS {
            let before = self.sequence.load(Ordering::Acquire);
            if before.is_multiple_of(2) {
                let revision = self.revision();
                let value = read(Reader(self));
                fence(Ordering::Acquire);
                if self.sequence.load(Ordering::Relaxed) == before {
                    return (revision, value);
                }
            }
        }
        let _no_commit_meanwhile = self.writer.read();
        (self.revision(), read(Reader(self)))
    }

    /// The revision of the last commit applied.
    #[must_use]
    pub fn revision(&self) -> Revision {
        Revision::new(self.revision.load(Ordering::Acquire))
    }

    /// Applies a commit: `apply` writes, then the index stands at `position`.
    pub(super) fn apply<T>(&self, position: Position, apply: impl FnOnce(Writer<'_>) -> T) -> T {
        let _one_commit_at_a_time = self.writer.write();
        self.sequence.fetch_add(1, Ordering::AcqRel);
        let value = apply(Writer(self));
        *self.applied.write() = position;
        // Who reads this number, and then the sequence after a fence, finds the
        // sequence odd or greater.
        self.revision
            .store(position.revision.number(), Ordering::Release);
        self.sequence.fetch_add(1, Ordering::Release);
        value
    }

    fn shard(&self, id: CredentialId) -> (u64, &RwLock<HashTable<Arc<Entry>>>) {
        let hash = hash(id);
        (hash, &self.shards[(hash >> 32) as usize % SHARDS])
    }
}

impl Default for Index {
    fn default() -> Self {
        Self::new()
    }
}

/// The last eight bytes of an id are random already. Multiplying spreads their
/// low bits to the high ones, and folding those back makes either half fit to
/// pick a shard and a slot, even where the bytes are not so random.
fn hash(id: CredentialId) -> u64 {
    let [_, _, _, _, _, _, _, _, tail @ ..] = *id.as_bytes();
    let spread = u64::from_le_bytes(tail).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    spread ^ spread >> 32
}

impl<'a> Reader<'a> {
    /// The names that the entries use.
    #[must_use]
    pub const fn names(&self) -> &'a Interner {
        &self.0.names
    }

    /// The commit as of which this is read.
    #[must_use]
    pub fn position(&self) -> Position {
        *self.0.applied.read()
    }

    /// The credential of an id.
    #[must_use]
    pub fn credential(&self, id: CredentialId) -> Option<Arc<Entry>> {
        let (hash, shard) = self.0.shard(id);
        shard.read().find(hash, |entry| entry.id() == id).cloned()
    }

    /// Up to `limit` credentials of a tenant, or of an owner in it, whose ids
    /// are greater than `after`, in order.
    #[must_use]
    pub fn of_tenant(
        &self,
        tenant: Symbol,
        owner: Option<Symbol>,
        after: CredentialId,
        limit: usize,
    ) -> Vec<Arc<Entry>> {
        let listing = self.0.listing.read();
        let ids = match owner {
            Some(owner) => listing.by_owner.get(&(tenant, owner)),
            None => listing.by_tenant.get(&tenant),
        };
        ids.into_iter()
            .flat_map(|ids| following(ids, after))
            .take(limit)
            .filter_map(|&id| self.credential(id))
            .collect()
    }

    /// Up to `limit` credentials of all tenants whose ids are greater than
    /// `after`, in order. Takes time for each tenant.
    #[must_use]
    pub fn of_all_tenants(&self, after: CredentialId, limit: usize) -> Vec<Arc<Entry>> {
        use std::cmp::Reverse;
        use std::collections::BinaryHeap;

        let listing = self.0.listing.read();
        let mut tenants: Vec<_> = listing
            .by_tenant
            .values()
            .map(|ids| following(ids, after))
            .collect();
        let mut next: BinaryHeap<_> = tenants
            .iter_mut()
            .enumerate()
            .filter_map(|(tenant, ids)| Some(Reverse((*ids.next()?, tenant))))
            .collect();
        let mut entries = Vec::new();
        while entries.len() < limit
            && let Some(Reverse((id, tenant))) = next.pop()
        {
            entries.extend(self.credential(id));
            if let Some(&id) = tenants[tenant].next() {
                next.push(Reverse((id, tenant)));
            }
        }
        entries
    }

    /// All that is locked or revoked.
    #[must_use]
    pub fn denied(&self) -> Denied {
        self.0.denied.read().clone()
    }

    /// The greatest id of all.
    #[must_use]
    pub fn greatest_id(&self) -> Option<CredentialId> {
        let listing = self.0.listing.read();
        let last = listing.by_tenant.values().filter_map(BTreeSet::last).max();
        last.copied()
    }

    /// How many credentials there are. Takes time for each tenant.
    #[must_use]
    pub fn len(&self) -> usize {
        let listing = self.0.listing.read();
        listing.by_tenant.values().map(BTreeSet::len).sum()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn following(
    ids: &BTreeSet<CredentialId>,
    after: CredentialId,
) -> std::collections::btree_set::Range<'_, CredentialId> {
    use std::ops::Bound::{Excluded, Unbounded};
    ids.range((Excluded(after), Unbounded))
}

impl Writer<'_> {
    /// Puts a credential as this commit left it; one that is older than what is
    /// there is ignored.
    pub(super) fn put(&self, credential: &Credential, revision: Revision) {
        let index = self.0;
        let entry = Arc::new(Entry::new(credential, revision, &index.names));
        let (hash, shard) = index.shard(entry.id());
        let earlier = {
            let mut shard = shard.write();
            match shard.find_mut(hash, |held| held.id() == entry.id()) {
                Some(held) if held.revision() >= revision => return,
                Some(held) => {
                    entry.inherit_last_use(held);
                    Some(std::mem::replace(held, Arc::clone(&entry)))
                }
                None => {
                    shard.insert_unique(hash, Arc::clone(&entry), |held| self::hash(held.id()));
                    None
                }
            }
        };
        if earlier.is_none() {
            index.listing.write().insert(&entry);
            if let Some(last_use) = index.orphans.lock().remove(&entry.id()) {
                entry.set_last_use(Some(last_use), &index.names);
            }
        }
        let is_denied = |entry: &Entry| entry.state() != State::Active;
        if is_denied(&entry) {
            index.denied.write().insert(entry.id(), entry);
        } else if earlier.as_deref().is_some_and(is_denied) {
            index.denied.write().remove(&entry.id());
        }
    }

    /// Takes a credential out.
    pub(super) fn remove(&self, id: CredentialId) {
        let index = self.0;
        let (hash, shard) = index.shard(id);
        let removed = {
            let mut shard = shard.write();
            let found = shard.find_entry(hash, |held| held.id() == id);
            found.ok().map(|found| found.remove().0)
        };
        if let Some(entry) = removed {
            index.listing.write().remove(&entry);
            index.denied.write().remove(&id);
        }
    }

    /// Sets the last use of a credential.
    pub(super) fn set_last_use(&self, id: CredentialId, last_use: Option<LastUse>) {
        let index = self.0;
        match (Reader(index).credential(id), last_use) {
            (Some(entry), last_use) => entry.set_last_use(last_use, &index.names),
            (None, Some(last_use)) => {
                index.orphans.lock().insert(id, last_use);
            }
            (None, None) => {
                index.orphans.lock().remove(&id);
            }
        }
    }
}

impl Listing {
    fn insert(&mut self, entry: &Entry) {
        let (tenant, owner) = (entry.tenant(), entry.owner());
        self.by_tenant.entry(tenant).or_default().insert(entry.id());
        let of_owner = self.by_owner.entry((tenant, owner)).or_default();
        of_owner.insert(entry.id());
    }

    fn remove(&mut self, entry: &Entry) {
        let (tenant, owner) = (entry.tenant(), entry.owner());
        if let Some(ids) = self.by_tenant.get_mut(&tenant) {
            ids.remove(&entry.id());
            if ids.is_empty() {
                self.by_tenant.remove(&tenant);
            }
        }
        if let Some(ids) = self.by_owner.get_mut(&(tenant, owner)) {
            ids.remove(&entry.id());
            if ids.is_empty() {
                self.by_owner.remove(&(tenant, owner));
            }
        }
    }
}

#[cfg(test)]
mod tests;
