//! Every credential, in memory: what verdicts and lists are read from.
//!
//! The feed alone writes it, commit by commit. Whoever reads gets an answer
//! that is true at one revision: a reader notes a sequence number, reads, and
//! reads again if a commit was applied meanwhile (a sequence lock; H.-J. Boehm,
//! "Can seqlocks get along with programming language memory models?", MSPC
//! 2012). The data itself lies behind ordinary locks, so that nothing torn is
//! ever read. A reader that was unlucky a few times waits for the writer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering, fence};

use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashTable};
use parking_lot::{Mutex, RwLock, RwLockWriteGuard};

use super::directory::Directory;
use super::entry::Entry;
use super::key_use::{KeyUse, Needs, Remaining};
use super::listing::Listing;
use super::names::Interner;
use super::record::{FORMAT, Incarnation, Node, RequestName, RequestRecord};
use crate::domain::closed::Closed;
use crate::domain::credential::{Action, Credential, State, Uses};
use crate::domain::id::CredentialId;
use crate::domain::keyring::{KeyKind, KeyVersion, KeyringState, Mac};
use crate::domain::rekeyed::Rekeyed;
use crate::domain::restored::Restored;
use crate::domain::revision::{Position, Revision};
use crate::domain::time::Timestamp;

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
    directory: Directory,
    shards: [RwLock<HashTable<Arc<Entry>>>; SHARDS],
    listing: RwLock<Listing>,
    denied: RwLock<Denied>,
    /// Secrets that were made elsewhere, by their MACs.
    imported: RwLock<BTreeSet<([u8; 32], CredentialId)>>,
    /// Whether there are any, where asking takes no lock.
    any_imported: AtomicBool,
    requests: RwLock<Requests>,
    /// The requests that made secrets of a credential.
    requests_of: RwLock<HashMap<CredentialId, Vec<RequestName>, RandomState>>,
    /// The greatest id of all credentials that there are or were.
    greatest_id: Mutex<Option<CredentialId>>,
    /// Records of credentials that were removed, and when.
    tombstones: RwLock<Tombstones>,
    /// The keys that the store was used with, and the commit that wrote that.
    keyring: RwLock<Option<(Arc<KeyringState>, Revision)>>,
    /// What it was restored from, if it was, and the commit that wrote that.
    restored: RwLock<Option<(Arc<Restored>, Revision)>>,
    closed: RwLock<(Option<Closed>, Revision)>,
    format: AtomicU8,
    key_use: Mutex<KeyUse>,
    /// What the processes that work on the store say of themselves, and the commits
    /// that wrote it.
    nodes: RwLock<Nodes>,
    /// Odd while a commit is being applied.
    sequence: AtomicU64,
    applied: RwLock<Position>,
    /// That of `applied`, where reading it takes no lock.
    revision: AtomicU64,
    /// Held by the writer while it applies a commit.
    writer: RwLock<()>,
    /// The uses of credentials whose record was not there yet when they were
    /// loaded: a scan shows records in the order of their keys.
    orphans: Mutex<HashMap<CredentialId, Uses, RandomState>>,
}

/// The index while it is read at one revision.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a>(&'a Index);

/// The index while the feed applies a commit.
///
/// It has from the start what others read for long: who reads at one revision and
/// has to wait for the commit, does not wait for them too.
#[derive(Debug)]
pub(super) struct Writer<'a> {
    index: &'a Index,
    listing: RwLockWriteGuard<'a, Listing>,
    requests: RwLockWriteGuard<'a, Requests>,
    tombstones: RwLockWriteGuard<'a, Tombstones>,
}

/// Processes by their names.
pub type Nodes = BTreeMap<Incarnation, (Arc<Node>, Revision)>;

type Requests = HashMap<RequestName, (Arc<RequestRecord>, Revision), RandomState>;
type Tombstones = HashMap<CredentialId, Timestamp, RandomState>;

impl Index {
    /// An index of nothing, at the start of history.
    #[must_use]
    pub fn new() -> Self {
        let names = Interner::new();
        Self {
            directory: Directory::new(&names),
            names,
            shards: std::array::from_fn(|_| RwLock::default()),
            listing: RwLock::default(),
            denied: RwLock::default(),
            imported: RwLock::default(),
            any_imported: AtomicBool::new(false),
            requests: RwLock::default(),
            requests_of: RwLock::default(),
            greatest_id: Mutex::default(),
            tombstones: RwLock::default(),
            keyring: RwLock::default(),
            restored: RwLock::default(),
            closed: RwLock::default(),
            format: AtomicU8::new(FORMAT),
            key_use: Mutex::default(),
            nodes: RwLock::default(),
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

    /// Tenants, owners, roles and profiles.
    #[must_use]
    pub const fn directory(&self) -> &Directory {
        &self.directory
    }

    /// The last commit applied.
    #[must_use]
    pub fn applied(&self) -> Position {
        *self.applied.read()
    }

    /// In which format records are written.
    #[must_use]
    pub fn format(&self) -> u8 {
        self.format.load(Ordering::Acquire)
    }

    /// Why nobody is to be answered from the store, if nobody is.
    #[must_use]
    pub fn closed(&self) -> Option<Closed> {
        self.closed.read().0
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
    pub(super) fn apply<T>(
        &self,
        position: Position,
        apply: impl FnOnce(&mut Writer<'_>) -> T,
    ) -> T {
        let _one_commit_at_a_time = self.writer.write();
        let mut writer = Writer {
            index: self,
            listing: self.listing.write(),
            requests: self.requests.write(),
            tombstones: self.tombstones.write(),
        };
        self.sequence.fetch_add(1, Ordering::AcqRel);
        let value = apply(&mut writer);
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

    /// Tenants, owners, roles and profiles.
    #[must_use]
    pub const fn directory(&self) -> &'a Directory {
        &self.0.directory
    }

    /// Reads the orders in which credentials are listed.
    pub fn listing<T>(&self, read: impl FnOnce(&Listing) -> T) -> T {
        read(&self.0.listing.read())
    }

    /// The credentials with a secret that was made elsewhere and has this MAC: one
    /// of a tenant at most.
    #[must_use]
    pub fn imported(&self, mac: &Mac) -> Vec<Arc<Entry>> {
        let imported = self.0.imported.read();
        let same = imported.range((mac.tag, CredentialId::MIN)..=(mac.tag, CredentialId::MAX));
        same.filter_map(|(_, id)| self.credential(*id)).collect()
    }

    /// A request that was carried out, and the commit that did.
    #[must_use]
    pub fn request(&self, name: &RequestName) -> Option<(Arc<RequestRecord>, Revision)> {
        self.0.requests.read().get(name).cloned()
    }

    /// The requests that made secrets of a credential.
    #[must_use]
    pub fn requests_of(&self, id: CredentialId) -> Vec<(RequestName, Arc<RequestRecord>)> {
        let names = self.0.requests_of.read().get(&id).cloned();
        let names = names.unwrap_or_default().into_iter();
        names
            .filter_map(|name| Some((name, self.request(&name)?.0)))
            .collect()
    }

    /// Requests that were carried out before this, up to `limit`. Takes time for
    /// each that there is.
    #[must_use]
    pub fn requests_before(&self, before: Timestamp, limit: usize) -> Vec<RequestName> {
        let requests = self.0.requests.read();
        let old = requests
            .iter()
            .filter(|(_, (record, _))| record.at < before);
        old.take(limit).map(|(name, _)| *name).collect()
    }

    /// Credentials that were removed before this, up to `limit`, whose records are
    /// still there. Takes time for each that there is.
    #[must_use]
    pub fn tombstones_before(&self, before: Timestamp, limit: usize) -> Vec<CredentialId> {
        let tombstones = self.0.tombstones.read();
        let old = tombstones.iter().filter(|(_, at)| **at < before);
        old.take(limit).map(|(id, _)| *id).collect()
    }

    /// The keys that the store was used with, and the commit that wrote that.
    #[must_use]
    pub fn keyring(&self) -> Option<(Arc<KeyringState>, Revision)> {
        self.0.keyring.read().clone()
    }

    /// What the processes that work on the store, or did a moment ago, say of
    /// themselves, and the commits that wrote it.
    #[must_use]
    pub fn nodes(&self) -> Nodes {
        self.0.nodes.read().clone()
    }

    /// The commit that wrote the record of a process.
    #[must_use]
    pub fn node_revision(&self, name: Incarnation) -> Option<Revision> {
        self.0.nodes.read().get(&name).map(|(_, at)| *at)
    }

    /// What the store was restored from, if it was.
    #[must_use]
    pub fn restored(&self) -> Option<Arc<Restored>> {
        let restored = self.0.restored.read();
        restored.as_ref().map(|(restored, _)| Arc::clone(restored))
    }

    /// What remains on a version of a key at a time.
    #[must_use]
    pub fn remaining(&self, kind: KeyKind, version: KeyVersion, now: Timestamp) -> Remaining {
        self.0.key_use.lock().remaining(kind, version, now)
    }

    /// The versions of a key on which anything remained since the start.
    #[must_use]
    pub fn versions_used(&self, kind: KeyKind) -> Vec<KeyVersion> {
        self.0.key_use.lock().versions(kind)
    }

    /// Requests that are remembered under a version of the sealing key. Takes time
    /// for each that there is.
    #[must_use]
    pub fn requests_under(&self, version: KeyVersion) -> Vec<RequestName> {
        let requests = self.0.requests.read();
        let under = requests
            .iter()
            .filter(|(_, (record, _))| record.keys().any(|key| key == version));
        under.map(|(name, _)| *name).collect()
    }

    /// All that is locked or revoked.
    #[must_use]
    pub fn denied(&self) -> Denied {
        self.0.denied.read().clone()
    }

    /// The greatest id of all that there are, or were since the index was loaded.
    #[must_use]
    pub fn greatest_id(&self) -> Option<CredentialId> {
        *self.0.greatest_id.lock()
    }

    /// How many credentials there are. Takes time for each tenant.
    #[must_use]
    pub fn len(&self) -> usize {
        self.listing(Listing::len)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Index {
    /// Whether any credential has a secret that was made elsewhere.
    #[must_use]
    pub fn any_imported(&self) -> bool {
        self.any_imported.load(Ordering::Acquire)
    }
}

impl Writer<'_> {
    /// Tenants, owners, roles and profiles.
    pub(super) const fn directory(&self) -> &Directory {
        &self.index.directory
    }

    /// The names that the entries use.
    pub(super) const fn names(&self) -> &Interner {
        &self.index.names
    }

    /// Puts a credential as this commit left it; one that is older than what is
    /// there is ignored.
    pub(super) fn put(&mut self, credential: &Credential, revision: Revision) {
        let index = self.index;
        {
            let mut greatest = index.greatest_id.lock();
            *greatest = greatest.max(Some(credential.id));
        }
        if credential.last_change.action == Action::Remove {
            self.remove(credential.id);
            let at = credential.last_change.at;
            self.tombstones.insert(credential.id, at);
            return;
        }
        let entry = Arc::new(Entry::new(
            credential,
            revision,
            &index.names,
            &index.directory,
        ));
        let (hash, shard) = index.shard(entry.id());
        let earlier = {
            let mut shard = shard.write();
            match shard.find_mut(hash, |held| held.id() == entry.id()) {
                Some(held) if held.revision() >= revision => return,
                Some(held) => {
                    entry.inherit_uses(held);
                    Some(std::mem::replace(held, Arc::clone(&entry)))
                }
                None => {
                    shard.insert_unique(hash, Arc::clone(&entry), |held| self::hash(held.id()));
                    None
                }
            }
        };
        if earlier.is_none()
            && let Some(uses) = index.orphans.lock().remove(&entry.id())
        {
            entry.set_uses(Some(uses));
        }
        match &earlier {
            Some(earlier) => self.listing.replace(earlier, &entry, &index.directory),
            None => self.listing.insert(&entry, &index.directory),
        }
        let earlier = earlier.as_deref();
        self.set_imported(
            entry.id(),
            &imported_macs(earlier),
            &imported_macs(Some(&entry)),
        );
        let before = earlier.map(Entry::needs).unwrap_or_default();
        self.set_needs(entry.id(), before, entry.needs());
        let is_denied = |entry: &Entry| entry.standing() != State::Active;
        if is_denied(&entry) {
            index.denied.write().insert(entry.id(), entry);
        } else if earlier.is_some_and(is_denied) {
            index.denied.write().remove(&entry.id());
        }
    }

    /// Takes a credential out.
    pub(super) fn remove(&mut self, id: CredentialId) {
        let index = self.index;
        let (hash, shard) = index.shard(id);
        let removed = {
            let mut shard = shard.write();
            let found = shard.find_entry(hash, |held| held.id() == id);
            found.ok().map(|found| found.remove().0)
        };
        if let Some(entry) = removed {
            self.listing.remove(&entry, &index.directory);
            index.denied.write().remove(&id);
            self.set_imported(id, &imported_macs(Some(&entry)), &[]);
            self.set_needs(id, entry.needs(), Needs::default());
        }
    }

    /// Takes out a credential whose record is gone, or the trace of one that was
    /// removed before.
    pub(super) fn forget(&mut self, id: CredentialId) {
        self.remove(id);
        self.tombstones.remove(&id);
    }

    fn set_imported(&self, id: CredentialId, before: &[Mac], after: &[Mac]) {
        let index = self.index;
        if before == after {
            return;
        }
        let mut imported = index.imported.write();
        for mac in before {
            imported.remove(&(mac.tag, id));
        }
        imported.extend(after.iter().map(|mac| (mac.tag, id)));
        index
            .any_imported
            .store(!imported.is_empty(), Ordering::Release);
    }

    fn set_needs(&self, id: CredentialId, before: Needs, now: Needs) {
        self.index.key_use.lock().replace(id, before, now);
    }

    /// Notes what a process that works on the store says of itself.
    pub(super) fn set_node(&self, name: Incarnation, node: Option<Arc<Node>>, at: Revision) {
        let mut nodes = self.index.nodes.write();
        match node {
            Some(node) => nodes.insert(name, (node, at)),
            None => nodes.remove(&name),
        };
    }

    /// Sets the keys that the store was used with.
    pub(super) fn set_keyring(&self, state: Option<Arc<KeyringState>>, revision: Revision) {
        let mut keyring = self.index.keyring.write();
        if keyring.as_ref().is_none_or(|(_, held)| *held < revision) {
            *keyring = state.map(|state| (state, revision));
        }
    }

    /// Sets what the store was restored from.
    pub(super) fn set_restored(&self, restored: Option<Arc<Restored>>, revision: Revision) {
        let mut held = self.index.restored.write();
        if held.as_ref().is_none_or(|(_, held)| *held < revision) {
            *held = restored.map(|restored| (restored, revision));
        }
    }

    /// Sets in which format records are written: it never goes back.
    pub(super) fn set_format(&self, format: u8) {
        self.index.format.fetch_max(format, Ordering::AcqRel);
    }

    /// Sets why nobody is to be answered from the store.
    pub(super) fn set_closed(&self, closed: Option<Closed>, revision: Revision) {
        let mut held = self.index.closed.write();
        if held.1 < revision {
            *held = (closed, revision);
        }
    }

    /// Sets what was made anew of a credential's secrets. It holds for the record
    /// that it was written after: one that was written since has it in itself. (What
    /// fills a store writes both at once.) A scan shows it after that record.
    pub(super) fn set_rekeyed(&self, id: CredentialId, rekeyed: &Rekeyed, revision: Revision) {
        let index = self.index;
        let (hash, shard) = index.shard(id);
        let mut shard = shard.write();
        let Some(held) = shard.find_mut(hash, |held| held.id() == id) else {
            return;
        };
        if held.revision() > revision || held.generation() != rekeyed.current.generation {
            return;
        }
        let (macs, needs) = (imported_macs(Some(held)), held.needs());
        if let Some(alone) = Arc::get_mut(held) {
            alone.rekey(rekeyed);
        } else {
            let mut copy = held.copy();
            copy.rekey(rekeyed);
            *held = Arc::new(copy);
        }
        let entry = Arc::clone(held);
        drop(shard);
        self.set_imported(id, &macs, &imported_macs(Some(&entry)));
        self.set_needs(id, needs, entry.needs());
        if entry.standing() != State::Active {
            index.denied.write().insert(id, entry);
        }
    }

    /// Sets the uses of a credential.
    pub(super) fn set_uses(&mut self, id: CredentialId, uses: Option<Uses>) {
        let index = self.index;
        match (Reader(index).credential(id), uses) {
            (Some(entry), uses) => {
                let before = entry.last_used_at();
                entry.set_uses(uses);
                self.listing.set_used(&entry, before);
            }
            (None, Some(uses)) => {
                index.orphans.lock().insert(id, uses);
            }
            (None, None) => {
                index.orphans.lock().remove(&id);
            }
        }
    }

    /// Sets what is known of a request.
    pub(super) fn set_request(
        &mut self,
        name: RequestName,
        record: Option<Arc<RequestRecord>>,
        revision: Revision,
    ) {
        let requests = &mut self.requests;
        let mut of = self.index.requests_of.write();
        let mut key_use = self.index.key_use.lock();
        if let Some(record) = &record {
            key_use.count_request(record, true);
        }
        let (earlier, is_gone) = match record {
            Some(record) => {
                let names = of.entry(record.credential).or_default();
                if !names.contains(&name) {
                    names.push(name);
                }
                (requests.insert(name, (record, revision)), false)
            }
            None => (requests.remove(&name), true),
        };
        let Some((earlier, _)) = earlier else {
            return;
        };
        key_use.count_request(&earlier, false);
        if is_gone && let Some(names) = of.get_mut(&earlier.credential) {
            names.retain(|held| *held != name);
            if names.is_empty() {
                of.remove(&earlier.credential);
            }
        }
    }
}

/// The MACs by which a credential with secrets from elsewhere is found.
fn imported_macs(entry: Option<&Entry>) -> Vec<Mac> {
    entry.into_iter().flat_map(Entry::imported_macs).collect()
}

#[cfg(test)]
mod tests;
