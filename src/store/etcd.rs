//! The engine on etcd: several processes may have one store open at once.
//!
//! A commit is one transaction. It compares what the guards name, writes the data, and
//! overwrites two keys more:
//!
//! * **the log key**, with what the transaction itself does not tell: when the commit was
//!   made, and which keys it deletes that may not have been there. Since every commit
//!   overwrites it, its revision is that of the last commit, and its event is the end
//!   of a commit's events (`log`);
//! * **the key of the process**, if nobody overwrote it since this process did. So an
//!   answer that did not come is no riddle: the process overwrites its key alone, and
//!   either that succeeds, and the transaction never will, or the key says that the
//!   transaction was made (`writer`).
//!
//! Revisions are etcd's, from the one at which the store was created, which counts as
//! [`Revision::ZERO`]. Consensus, durability and the order of commits are etcd's too. It
//! keeps no hashes of its history: the [`ChainHash`] of every position is made of the
//! identities of the cluster and the store, which a cluster that was restored does not
//! share.
//!
//! What can't be reached is asked again until it answers, at the next member: methods
//! block as long. Whoever must not wait for that looks at its lease.

mod connection;
mod follower;
mod layout;
mod log;
mod stride;
mod writer;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use ring::digest::{Context, SHA256};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

pub use self::connection::{Credentials, Member};

use self::connection::Connection;
use self::layout::Layout;
use self::log::{Found, Log};
use self::stride::Stride;
use self::writer::{Identity, Writer};
use super::vitals::{SYNC_BOUNDS, Vitals};
use super::{Batch, Changes, Entry, KeyRange, Limits, PageLimit, Store, StoreError};
use crate::counts::Histogram;
use crate::domain::random::{Random, RandomUnavailable};
use crate::domain::revision::{ChainHash, Position, Revision, StoreId};
use crate::proto::etcdserverpb::{CompactionRequest, RangeRequest};

/// How a store in etcd is reached, and which it is.
#[derive(Clone, Debug)]
pub struct Options {
    /// The members that are asked, one after the other until one answers.
    pub members: Vec<Member>,
    /// Who this is to etcd, if it asks.
    pub credentials: Option<Credentials>,
    /// What all keys of the store begin with.
    pub prefix: String,
    /// How long the key of another process may be as it is before it is removed: for so
    /// long that process was not there.
    pub forget_after: Duration,
    /// Whether etcd may be told to forget what was before a revision, which concerns all
    /// that is in it: not where others share it.
    pub may_compact: bool,
}

/// The most keys that a commit writes: etcd takes 128 operations in a transaction, of
/// which two are for its own keys (`--max-txn-ops`).
const MAX_WRITES: usize = 126;
/// The most guards: comparisons count alike.
const MAX_GUARDS: usize = 127;
/// The most bytes of keys and values, so that a request with all that is around them is
/// below etcd's limit of 1.5 MiB (`--max-request-bytes`).
const MAX_BYTES: usize = 1 << 20;
/// How many keys one request reads.
const PAGE: usize = 1000;

/// A [`Store`] in etcd.
#[derive(Debug)]
pub struct EtcdStore {
    id: StoreId,
    history: History,
    layout: Arc<Layout>,
    connection: Arc<Connection>,
    log: Arc<Log>,
    writer: Mutex<Writer>,
    may_compact: bool,
    /// How far to read at once.
    stride: Mutex<Stride>,
    syncs: Histogram,
    /// How many bytes etcd's database takes; 0: it did not say.
    size: Arc<AtomicU64>,
    failed_at: Mutex<Option<SystemTime>>,
    closing: CancellationToken,
    runtime: Runtime,
}

/// Why a store in etcd can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// No random bytes for the name of the process.
    #[error(transparent)]
    Random(#[from] RandomUnavailable),
    /// There is no store.
    #[error("there is no store in etcd under {prefix}")]
    Missing {
        /// What all keys would begin with.
        prefix: String,
    },
    /// What is there is none of credd's.
    #[error("what is in etcd under {prefix} is not what it should be: {what}")]
    Unreadable {
        /// What all keys begin with.
        prefix: String,
        /// What is wrong.
        what: &'static str,
    },
    /// The threads that speak to etcd can't be started.
    #[error("can't start a thread: {0}")]
    Thread(#[source] std::io::Error),
    /// etcd refuses to be asked.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What all positions of a store have in common.
#[derive(Clone, Copy, Debug)]
struct History {
    /// The revision of the transaction that created the store.
    created: i64,
    chain: ChainHash,
}

impl History {
    fn new(cluster: u64, id: StoreId, created: i64) -> Self {
        let mut context = Context::new(&SHA256);
        context.update(b"credd.etcd.v1");
        context.update(&cluster.to_be_bytes());
        context.update(id.as_bytes());
        context.update(&created.to_be_bytes());
        let mut chain = [0; 32];
        chain.copy_from_slice(context.finish().as_ref());
        Self {
            created,
            chain: ChainHash(chain),
        }
    }

    /// The position of a revision of etcd's.
    fn position(self, revision: i64) -> Position {
        if revision <= self.created {
            return Position::START;
        }
        Position {
            revision: Revision::new(revision.unsigned_abs()),
            chain: self.chain,
        }
    }

    /// etcd's revision. There is none beyond what fits.
    fn etcd(self, revision: Revision) -> i64 {
        i64::try_from(revision.number()).map_or(i64::MAX, |revision| revision.max(self.created))
    }
}

impl EtcdStore {
    /// Whether there is a store under a prefix. Blocks until etcd answers.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    pub fn exists(options: &Options) -> Result<bool, OpenError> {
        let runtime = Runtime::start().map_err(OpenError::Thread)?;
        let layout = Layout::new(options.prefix.as_bytes());
        let connection = {
            let _inside = runtime.enter();
            Connection::new(&options.members, options.credentials.clone())
        };
        let found = runtime.block_on(writer::identify(&connection, &layout))?;
        Ok(found.is_some())
    }

    /// Opens the store under a prefix. If there is none, it is created under this
    /// identity. Blocks until etcd answers.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    pub fn open(
        options: Options,
        random: &dyn Random,
        new: Option<StoreId>,
    ) -> Result<Self, OpenError> {
        let runtime = Runtime::start().map_err(OpenError::Thread)?;
        let Options {
            members,
            credentials,
            prefix,
            forget_after,
            may_compact,
        } = options;
        let layout = Arc::new(Layout::new(prefix.as_bytes()));
        let connection = {
            // What connects runs there.
            let _inside = runtime.enter();
            Arc::new(Connection::new(&members, credentials))
        };
        if let Some(new) = new {
            runtime.block_on(writer::create(&connection, &layout, new))?;
        }
        let identity = runtime.block_on(writer::identify(&connection, &layout))?;
        let Some(Identity {
            id,
            created,
            cluster,
        }) = identity
        else {
            return Err(OpenError::Missing { prefix });
        };
        let id = id.ok_or(OpenError::Unreadable {
            prefix,
            what: "its identity is not 16 bytes",
        })?;
        let history = History::new(cluster, id, created);
        let writer = runtime.block_on(Writer::register(&connection, &layout, random))??;
        let head = runtime.block_on(head(&connection, &layout))?;
        let log = Arc::new(Log::new(head.max(created)));
        let closing = CancellationToken::new();
        runtime.spawn(follower::follow(
            Arc::clone(&connection),
            Arc::clone(&layout),
            Arc::clone(&log),
            history,
            closing.clone(),
        ));
        let (of, layout_of) = (Arc::clone(&connection), Arc::clone(&layout));
        let own = writer.key();
        let forget = async move {
            writer::forget_others(&of, &layout_of, &own, forget_after).await;
        };
        let ending = closing.clone();
        runtime.spawn(async move { ending.run_until_cancelled(forget).await });
        let size = Arc::new(AtomicU64::new(0));
        let (of, to, ending) = (Arc::clone(&connection), Arc::clone(&size), closing.clone());
        runtime.spawn(async move { ending.run_until_cancelled(measure(&of, &to)).await });
        Ok(Self {
            id,
            history,
            layout,
            connection,
            log,
            writer: Mutex::new(writer),
            may_compact,
            stride: Mutex::new(Stride::new()),
            syncs: Histogram::new(SYNC_BOUNDS),
            size,
            failed_at: Mutex::default(),
            closing,
            runtime,
        })
    }

    /// The revision of the last commit, as the cluster has it now.
    fn head(&self) -> Result<i64, StoreError> {
        self.runtime.block_on(head(&self.connection, &self.layout))
    }

    /// The same, which a revision must not lie beyond.
    fn head_from(&self, revision: Revision) -> Result<i64, StoreError> {
        let head = self.head()?.max(self.history.created);
        let position = self.history.position(head);
        if revision > position.revision {
            return Err(StoreError::Ahead { head: position });
        }
        Ok(head)
    }

    fn page(&self, after: i64, commits: log::Commits, limit: PageLimit) -> Changes {
        Changes {
            from: self.history.position(after),
            commits: limit.take(commits),
        }
    }
}

/// Asks from time to time how many bytes etcd's database takes. Where it does not say so
/// to this user, that is not known.
async fn measure(connection: &Connection, size: &AtomicU64) {
    const EVERY: Duration = Duration::from_secs(30);

    loop {
        let status = connection.status().await;
        let found = status.map_or(0, |status| u64::try_from(status.db_size).unwrap_or(0));
        size.store(found, Ordering::Relaxed);
        tokio::time::sleep(EVERY).await;
    }
}

/// The revision of the last commit; 0: there was none.
async fn head(connection: &Connection, layout: &Layout) -> Result<i64, StoreError> {
    let request = RangeRequest {
        key: layout.log(),
        keys_only: true,
        ..RangeRequest::default()
    };
    let response = connection.range(request).await?;
    Ok(response.kvs.first().map_or(0, |kv| kv.mod_revision))
}

impl Store for EtcdStore {
    fn id(&self) -> StoreId {
        self.id
    }

    fn limits(&self) -> Limits {
        Limits {
            writes: MAX_WRITES,
            guards: MAX_GUARDS,
            bytes: MAX_BYTES,
        }
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn commit(&self, batch: Batch) -> Result<Revision, StoreError> {
        batch.check()?;
        batch.check_limits(&self.limits())?;
        let mut writer = self.writer.lock();
        let commit = writer.commit(&self.connection, &self.layout, &batch);
        let began = Instant::now();
        let committed = self.runtime.block_on(commit);
        if let Err(StoreError::Poisoned(_)) = committed {
            *self.failed_at.lock() = Some(SystemTime::now());
        }
        let revision = committed?;
        self.syncs.count_time(began.elapsed());
        // Whoever asks for changes from now on is told of this one.
        self.log.expect(revision);
        Ok(self.history.position(revision).revision)
    }

    fn changes(
        &self,
        after: Revision,
        limit: PageLimit,
        wait: Duration,
    ) -> Result<Changes, StoreError> {
        let until = Instant::now().checked_add(wait);
        let asked = after;
        let after = self.history.etcd(after);
        // Others commit too, and what they have is to be told by now.
        let mut is_checked = wait.is_zero();
        if is_checked {
            self.log.expect(self.head_from(asked)?);
        }
        loop {
            match self.log.after(after, is_checked.then_some(until)) {
                Found::Commits(commits) => return Ok(self.page(after, commits, limit)),
                Found::Nothing => return Ok(self.page(after, Vec::new(), limit)),
                Found::Older => {
                    let head = self.head()?;
                    let read = follower::read(
                        &self.connection,
                        &self.layout,
                        self.history,
                        (after, head),
                        limit,
                    );
                    let commits = self.runtime.block_on(read)?;
                    return Ok(self.page(after, commits, limit));
                }
                Found::Unknown => {
                    self.log.expect(self.head_from(asked)?);
                    is_checked = true;
                }
            }
        }
    }

    fn scan(&self, range: &KeyRange, limit: usize) -> Result<Vec<Entry>, StoreError> {
        let mut range = self.layout.data_range(range);
        let mut entries = Vec::new();
        // Those who read elsewhere at the same time have another.
        let mut stride = *self.stride.lock();
        while entries.len() < limit && range.start < range.end {
            let most = PAGE.min(limit - entries.len());
            let start = range.start.clone();
            let end = stride.end(self.layout.rest(&start));
            let end = end.map_or(range.end.clone(), |rest| self.layout.with_rest(&rest));
            let end = end.min(range.end.clone());
            let request = RangeRequest {
                key: start.clone(),
                range_end: end.clone(),
                limit: i64::try_from(most).unwrap_or(i64::MAX),
                ..RangeRequest::default()
            };
            let response = self.runtime.block_on(self.connection.range(request))?;
            if let Some(last) = response.kvs.last().filter(|_| response.more) {
                let told = (self.layout.rest(&start), self.layout.rest(&last.key));
                stride.told(told, response.kvs.len(), PAGE);
                range.start = layout::after(&last.key);
            } else {
                if end < range.end {
                    stride.widen();
                }
                range.start = end;
            }
            for kv in response.kvs {
                if let Some(key) = self.layout.data_key(&kv.key) {
                    entries.push(Entry {
                        key,
                        revision: self.history.position(kv.mod_revision).revision,
                        value: kv.value,
                    });
                }
            }
        }
        *self.stride.lock() = stride;
        Ok(entries)
    }

    fn snapshot(&self) -> Result<Position, StoreError> {
        Ok(self.history.position(self.head()?))
    }

    fn compact(&self, through: Revision) -> Result<(), StoreError> {
        self.head_from(through)?;
        let through = self.history.etcd(through);
        if !self.may_compact || through <= self.history.created {
            return Ok(());
        }
        let request = CompactionRequest {
            revision: through,
            physical: false,
        };
        self.runtime.block_on(self.connection.compact(request))?;
        self.log.forget(through);
        Ok(())
    }

    fn vitals(&self) -> Vitals {
        let size = self.size.load(Ordering::Relaxed);
        Vitals {
            failed_at: *self.failed_at.lock(),
            silence: self.log.silence(),
            size: (size > 0).then_some(size),
            free: None,
            syncs: self.syncs.counted(),
        }
    }
}

impl Drop for EtcdStore {
    fn drop(&mut self) {
        self.closing.cancel();
    }
}

/// The threads that speak to etcd. They are not waited for when this is dropped, which
/// may be where waiting is not allowed.
struct Runtime {
    handle: Handle,
    /// `None`: it is being dropped.
    owned: Option<tokio::runtime::Runtime>,
}

impl Runtime {
    fn start() -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("etcd")
            .enable_all()
            .build()?;
        Ok(Self {
            handle: runtime.handle().clone(),
            owned: Some(runtime),
        })
    }
}

impl std::ops::Deref for Runtime {
    type Target = Handle;

    fn deref(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        if let Some(runtime) = self.owned.take() {
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime").finish_non_exhaustive()
    }
}
