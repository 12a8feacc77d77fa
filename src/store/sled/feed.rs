//! What readers may know: the last durable commit, the latest commits in
//! memory, where the log begins, and whether the store is poisoned.
//!
//! The writer publishes here only after a sync returned, and readers go by
//! nothing else, so no commit is shown before it is durable, whatever sled
//! shows.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::format::Head;
use crate::domain::revision::{Position, Revision};
use crate::store::{Changes, Commit, PageLimit, StoreError};

/// How many bytes of commits are kept in memory at most (but always the last
/// commit).
const TAIL_BYTES: usize = 8 << 20;

#[derive(Debug)]
pub(super) struct Feed {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    head: Head,
    floor: Position,
    tail: Tail,
    poison: Option<Arc<str>>,
}

/// How a reader gets at the commits after a revision.
#[derive(Debug)]
pub(super) enum Ready {
    /// Here they are.
    Page(Changes),
    /// They are in the log on disk, up to here.
    InLog(Revision),
}

impl Feed {
    pub(super) fn new(head: Head, floor: Position, tail: Tail) -> Self {
        Self {
            state: Mutex::new(State {
                head,
                floor,
                tail,
                poison: None,
            }),
            changed: Condvar::new(),
        }
    }

    pub(super) fn head(&self) -> Result<Head, StoreError> {
        self.state.lock().healthy().map(|state| state.head)
    }

    pub(super) fn floor(&self) -> Result<Position, StoreError> {
        self.state.lock().healthy().map(|state| state.floor)
    }

    /// Shows a commit that is durable.
    pub(super) fn publish(&self, commit: Arc<Commit>, head: Head) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        state.healthy()?;
        state.head = head;
        state.tail.push(commit);
        self.changed.notify_all();
        Ok(())
    }

    /// Shows that the log begins after this.
    pub(super) fn raise_floor(&self, floor: Position) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        state.healthy()?;
        state.floor = floor;
        state.tail.forget(floor);
        Ok(())
    }

    /// Ends everything, for good. Returns the reason, which is the first one
    /// given, and whether it was this one.
    pub(super) fn poison(&self, reason: &str) -> (Arc<str>, bool) {
        let mut state = self.state.lock();
        let first = state.poison.is_none();
        let reason = Arc::clone(state.poison.get_or_insert_with(|| reason.into()));
        self.changed.notify_all();
        (reason, first)
    }

    /// Waits until there are commits after a revision, or until the time is up.
    pub(super) fn after(
        &self,
        after: Revision,
        limit: PageLimit,
        wait: Duration,
    ) -> Result<Ready, StoreError> {
        let mut state = self.state.lock();
        let nothing_new =
            |state: &mut State| state.poison.is_none() && state.head.position.revision == after;
        match Instant::now().checked_add(wait) {
            Some(until) => {
                self.changed
                    .wait_while_until(&mut state, nothing_new, until);
            }
            None => self.changed.wait_while(&mut state, nothing_new),
        }
        let State {
            head, floor, tail, ..
        } = state.healthy()?;
        let head = head.position;
        if after > head.revision {
            return Err(StoreError::Ahead { head });
        }
        if after < floor.revision {
            return Err(StoreError::Compacted { floor: *floor });
        }
        let page = tail.page(after, limit);
        Ok(page.map_or(Ready::InLog(head.revision), Ready::Page))
    }
}

impl State {
    fn healthy(&self) -> Result<&Self, StoreError> {
        match &self.poison {
            None => Ok(self),
            Some(reason) => Err(StoreError::Poisoned(Arc::clone(reason))),
        }
    }
}

/// The latest commits, without a gap.
#[derive(Debug)]
pub(super) struct Tail {
    /// The position before the first of them.
    base: Position,
    commits: VecDeque<Arc<Commit>>,
    bytes: usize,
    limit: usize,
}

impl Tail {
    /// None of the commits after this position, so far; later this many.
    pub(super) fn new(base: Position, limit: usize) -> Self {
        Self {
            base,
            limit,
            commits: VecDeque::new(),
            bytes: 0,
        }
    }

    pub(super) fn push(&mut self, commit: Arc<Commit>) {
        self.bytes += commit.payload_bytes();
        self.commits.push_back(commit);
        while self.commits.len() > 1 && (self.commits.len() > self.limit || self.bytes > TAIL_BYTES)
        {
            self.pop();
        }
    }

    /// Drops the commits up to and including this one.
    fn forget(&mut self, floor: Position) {
        while self.base.revision < floor.revision && !self.commits.is_empty() {
            self.pop();
        }
    }

    fn pop(&mut self) {
        if let Some(commit) = self.commits.pop_front() {
            self.bytes -= commit.payload_bytes();
            self.base = commit.position;
        }
    }

    /// The commits after a revision that is not after the last, if they are
    /// all here.
    fn page(&self, after: Revision, limit: PageLimit) -> Option<Changes> {
        if after < self.base.revision {
            return None;
        }
        let start = self
            .commits
            .partition_point(|commit| commit.position.revision <= after);
        let from = match start.checked_sub(1) {
            Some(last) => self.commits.get(last)?.position,
            None => self.base,
        };
        Some(Changes {
            from,
            commits: limit.take(self.commits.range(start..).cloned()),
        })
    }
}
