//! Answers that are kept, and when one of them may be given.
//!
//! A [`Cache`] follows an authority: it is told of every change, in order, and has a
//! lease for as long as it may rely on having been told. An entry is looked at when it
//! is *used*, not when changes come. It is given only if
//!
//! - the lease holds ([`Holder`]),
//! - nothing that the answer depends on has changed since the revision as of which it
//!   is true ([`Recent`]),
//! - it is not older than its authority lets it become, counted from when the
//!   question was *sent*.
//!
//! So it does not matter whether the news of a change or an answer from before it
//! comes first, nor who waited for the answer: whoever joins a question that is under
//! way looks for the entry when the answer is there, as everybody does.
//!
//! An entry that was found good is good as of everything applied until then, and is
//! noted as such: what is used often outlives what the cache remembers of changes.
//!
//! | answer | is kept | until a change to |
//! | --- | --- | --- |
//! | `ACTIVE` | as long as the authority says | its credential, owner, roles, tenant or profile; and, where any tenant will do, to what is imported: the secret may be another tenant's too |
//! | `FORBIDDEN` | the same | these, or any role of the tenant |
//! | `INVALID` | briefly | anything that may make it good: see [`About::Loosened`] |
//! | others | not at all; and what was asked before about the same secret is given no more | |
//!
//! What an answer says is the latest word on its question: one that is not kept takes
//! out what was kept of it. A denial of the credential itself, such as `REVOKED`, is one
//! on every question about it ([`Cache::deny`]).
//!
//! Everything is dropped when continuity is lost: by a Reset, with another store, when
//! the caller is refused, and when the clocks part ([`Clocks`]). Questions that were
//! asked before that leave nothing behind.

use std::cell::Cell;
use std::hash::{BuildHasherDefault, Hasher};
use std::time::Duration;

use quick_cache::unsync::DefaultLifecycle;
use quick_cache::{OptionsBuilder, Weighter};

use super::id::CredentialId;
use super::lease::{BootTime, Drift, Holder, Sequence};
use super::recent::Recent;
use super::revision::{Revision, StoreId};
use super::time::Timestamp;
use super::token::Generation;

mod clocks;
mod denials;
mod subject;
#[cfg(test)]
mod tests;
mod uses;

use denials::Denials;

pub use clocks::{Clocks, Moment};
pub use subject::{About, Hashes, Presentation, Question, QuestionKey, Subject};
pub use uses::{Use, Uses};

/// How large a cache is, and how long it keeps what has no time of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most that entries weigh together, in bytes, by what they are said to weigh.
    pub weight: u64,
    /// How many changes are remembered. Of what changed before, answers are refused
    /// that were not used since.
    pub changes: usize,
    /// How long `INVALID` is kept at most. A credential that was just issued is denied no
    /// longer than that where it was presented before, even if the news of it is late.
    pub invalid: Duration,
    /// How many uses wait to be reported.
    pub uses: usize,
}

/// A revision of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct At {
    /// The store.
    pub store: StoreId,
    /// The revision.
    pub revision: Revision,
}

impl At {
    /// Whether what is true as of here is as of that revision or a later one.
    #[must_use]
    pub fn is_as_of(self, least: Self) -> bool {
        self.store == least.store && self.revision >= least.revision
    }
}

/// What a cache may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// It follows nobody yet, or was refused.
    Cold,
    /// It follows, and has no lease yet.
    Syncing,
    /// Its lease holds: it may answer.
    Live,
    /// Its lease has run out: what it keeps may be out of date.
    Stale,
}

/// What is kept of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact<A> {
    /// The answer.
    pub answer: A,
    /// What it says.
    pub says: Says,
    /// As of which revision it is true.
    pub at: At,
    /// When the secret is good no longer by itself.
    pub ends: Ends,
    /// When its credential expires, if it is known.
    pub expires_at: Option<Timestamp>,
    /// What was presented: [`About::Presented`].
    pub presented: Subject,
    /// What it depends on.
    pub depends_on: Box<[Subject]>,
    /// What it weighs, in bytes.
    pub weight: u32,
}

/// What an answer says, as far as a cache must know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Says {
    /// The credential is good and was used.
    Yes {
        /// The credential.
        credential: CredentialId,
        /// Which of its secrets.
        generation: Generation,
        /// How long the answer may be kept.
        valid_for: Duration,
    },
    /// It is known, and not good for what was asked.
    Forbidden {
        /// How long the answer may be kept.
        valid_for: Duration,
    },
    /// There is no such credential.
    Invalid {
        /// How long the answer may be kept at most; `None`: that is not said.
        valid_for: Option<Duration>,
    },
}

/// When a secret is good no longer by itself, whatever is changed or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// Nobody said. Where the answer may be kept for less than [`LONGEST`], it is taken to
    /// be then.
    Unsaid,
    /// Never.
    Never,
    /// After so long.
    In(Duration),
}

/// The longest that an authority lets an answer be kept for no other reason than that
/// it might have changed.
pub const LONGEST: Duration = Duration::from_mins(1);

/// A question that is about to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asking {
    epoch: u64,
    /// After how many denials.
    denials: u64,
    sent_at: BootTime,
    /// The answer must be as of this revision or a later one.
    pub least: Option<At>,
}

/// An entry that is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit<A> {
    /// The answer.
    pub answer: A,
    /// As of which revision it is known to be true: at least that of the answer.
    pub at: At,
    /// How long it may be kept from now on.
    pub valid_for: Duration,
    /// When the secret is good no longer by itself, from now on.
    pub ends: Ends,
}

/// Why there is no entry to be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Miss {
    /// The lease does not hold.
    NotLive,
    /// Nothing is kept.
    Unknown,
    /// It is too old.
    Expired,
    /// Something that it depends on has changed, or may have.
    Changed,
    /// It is not known to be true at the revision that is asked for.
    Behind,
}

/// What to ask for a lease with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renewal {
    /// The number of the message.
    pub sequence: Sequence,
    /// Up to where everything was applied.
    pub applied: At,
    /// Uses to report.
    pub uses: Vec<Use>,
}

/// The answers of one follower of an authority.
#[derive(Debug)]
pub struct Cache<A> {
    limits: Limits,
    entries: Entries<A>,
    followed: Option<Followed>,
    holder: Holder,
    clocks: Clocks,
    uses: Uses,
    denials: Denials,
    /// Counts how often everything was dropped.
    epoch: u64,
}

type Entries<A> = quick_cache::unsync::Cache<
    QuestionKey,
    Entry<A>,
    ByWeight,
    BuildHasherDefault<KeyHasher>,
    DefaultLifecycle<QuestionKey, Entry<A>>,
>;

#[derive(Debug)]
struct Followed {
    store: StoreId,
    recent: Recent<Subject>,
}

#[derive(Clone, Debug)]
struct Entry<A> {
    fact: Fact<A>,
    good_until: BootTime,
    /// Until when it may be given where staleness is allowed.
    /// `None`: as long as that allows.
    ends_at: Option<BootTime>,
    /// As of which revision it is known to be true.
    revision: Cell<Revision>,
    /// After how many denials it is known to be good.
    denials: Cell<u64>,
    /// When its use was noted last.
    noted_at: Cell<Option<BootTime>>,
}

/// How often a use of one answer is noted.
const NOTE_EVERY: Duration = Duration::from_secs(10);
/// How many uses are reported at once.
pub const USES_AT_ONCE: usize = 256;
/// What an entry is guessed to weigh, for the first size of the table.
const USUAL_WEIGHT: u64 = 1024;
/// By how much clocks may be wrong.
const DRIFT: Drift = Drift::STATED;

impl<A: Clone> Cache<A> {
    /// A cache that follows nobody yet.
    ///
    /// # Panics
    ///
    /// Never: all that the table needs is given.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let items = usize::try_from(limits.weight / USUAL_WEIGHT).unwrap_or(usize::MAX);
        let options = OptionsBuilder::new()
            .estimated_items_capacity(items.clamp(16, 1 << 20))
            .weight_capacity(limits.weight)
            .build();
        let Ok(options) = options else {
            unreachable!("items and weight are given");
        };
        Self {
            limits,
            entries: Entries::with_options(
                options,
                ByWeight,
                BuildHasherDefault::default(),
                DefaultLifecycle::default(),
            ),
            followed: None,
            holder: Holder::new(DRIFT),
            clocks: Clocks::default(),
            uses: Uses::new(limits.uses),
            denials: Denials::new(limits.changes),
            epoch: 0,
        }
    }

    /// What it may do now.
    #[must_use]
    pub fn state(&self, now: Moment) -> State {
        match (&self.followed, self.holder.ends_at()) {
            (None, _) => State::Cold,
            (Some(_), None) => State::Syncing,
            (Some(_), Some(ends_at)) if now.boot < ends_at => State::Live,
            (Some(_), Some(_)) => State::Stale,
        }
    }

    /// The entry of a question, if it may be given. `now` must have been read after
    /// the question came. `least` is as of when the answer must be.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub fn find(
        &mut self,
        key: QuestionKey,
        least: Option<At>,
        now: Moment,
    ) -> Result<Hit<A>, Miss> {
        self.look(now);
        let Some(followed) = &self.followed else {
            return Err(Miss::NotLive);
        };
        if !self.holder.holds(now.boot) {
            return Err(Miss::NotLive);
        }
        let entry = self.entries.get(&key).ok_or(Miss::Unknown)?;
        let valid_for = entry.good_until.since(now.boot);
        if valid_for.is_zero() {
            return Err(Miss::Expired);
        }
        let at = followed.check(entry, &self.denials)?;
        if least.is_some_and(|least| !at.is_as_of(least)) {
            return Err(Miss::Behind);
        }
        entry.note(now, &mut self.uses);
        Ok(Hit {
            answer: entry.fact.answer.clone(),
            at,
            valid_for,
            ends: entry.ends(now),
        })
    }

    /// The entry of a question that nobody can be asked, although the lease has run
    /// out: for as much longer as `bound` says of the answer. It may be out of date, but
    /// by no change that is known, and no expiry is passed that is known; and it is as of
    /// `least` or a later revision.
    #[must_use]
    pub fn find_stale(
        &mut self,
        key: QuestionKey,
        least: Option<At>,
        bound: impl FnOnce(&A) -> Option<Duration>,
        now: Moment,
    ) -> Option<Hit<A>> {
        self.look(now);
        let followed = self.followed.as_ref()?;
        let entry = self.entries.get(&key)?;
        let until = self.holder.ends_at()? + bound(&entry.fact.answer)?;
        let at = followed.check_stale(entry, &self.denials, least, until, now)?;
        entry.note(now, &mut self.uses);
        Some(Hit {
            answer: entry.fact.answer.clone(),
            at,
            valid_for: Duration::ZERO,
            ends: entry.ends(now),
        })
    }

    /// Whether [`Self::find_stale`] has something to give now.
    #[must_use]
    pub fn has_stale(
        &mut self,
        key: QuestionKey,
        least: Option<At>,
        bound: impl FnOnce(&A) -> Option<Duration>,
        now: Moment,
    ) -> bool {
        self.look(now);
        let found = || {
            let followed = self.followed.as_ref()?;
            let entry = self.entries.get(&key)?;
            let until = self.holder.ends_at()? + bound(&entry.fact.answer)?;
            followed.check_stale(entry, &self.denials, least, until, now)
        };
        found().is_some()
    }

    /// What to ask a question with, just before it is sent: the answer is to be as of
    /// `least`, and as of all that was applied here.
    pub fn ask(&mut self, least: Option<At>, now: Moment) -> Asking {
        self.look(now);
        let applied = self.applied();
        Asking {
            epoch: self.epoch,
            denials: self.denials.count(),
            sent_at: now.boot,
            least: match (least, applied) {
                (Some(least), Some(applied)) if applied.store == least.store => Some(At {
                    revision: least.revision.max(applied.revision),
                    ..applied
                }),
                (Some(least), _) => Some(least),
                (None, applied) => applied,
            },
        }
    }

    /// Keeps what came of a question, if it may be of use; what was kept of it before is
    /// given no more. `now` must have been read after the answer came.
    pub fn keep(&mut self, key: QuestionKey, asking: &Asking, fact: Fact<A>, now: Moment) {
        self.look(now);
        let Some(followed) = &self.followed else {
            return;
        };
        // What was asked before everything was dropped.
        if asking.epoch != self.epoch {
            return;
        }
        // Another store answered: the one that is followed may be there no more.
        if fact.at.store != followed.store {
            self.forget(key);
            return;
        }
        let valid_for = match fact.says {
            Says::Yes { valid_for, .. } | Says::Forbidden { valid_for } => valid_for,
            Says::Invalid { valid_for } => {
                valid_for.map_or(self.limits.invalid, |it| it.min(self.limits.invalid))
            }
        };
        let good_until = asking.sent_at + DRIFT.at_most(valid_for);
        let is_newer = |entry: &Entry<A>| {
            entry.revision.get() > fact.at.revision && entry.good_until > good_until
        };
        let before = self.entries.peek(&key);
        if before.is_some_and(is_newer) {
            return;
        }
        let was_good = |entry: &Entry<A>| matches!(entry.fact.says, Says::Yes { .. });
        let denials = if matches!(fact.says, Says::Invalid { .. }) {
            // Where the secret was good it is none any more, whatever else is asked of it.
            if before.is_some_and(was_good) {
                self.denials.note(fact.presented);
            }
            self.denials.count()
        } else {
            asking.denials
        };
        if valid_for.is_zero() {
            self.forget(key);
            return;
        }
        let ends_at = match fact.ends {
            Ends::In(ends_in) => Some(asking.sent_at + DRIFT.at_most(ends_in)),
            Ends::Never => None,
            Ends::Unsaid => (valid_for < LONGEST).then_some(good_until),
        };
        let revision = Cell::new(fact.at.revision);
        let entry = Entry {
            ends_at,
            good_until,
            revision,
            denials: Cell::new(denials),
            // The authority has noted this use.
            noted_at: Cell::new(Some(now.boot)),
            fact,
        };
        self.entries.insert(key, entry);
    }

    /// An answer came that is not kept: nothing is known of its question.
    pub fn forget(&mut self, key: QuestionKey) {
        self.entries.remove(&key);
    }

    /// It was denied that these are good: what was presented, or a credential. What was
    /// asked before about any of them is given no more, however it was asked.
    pub fn deny(&mut self, denied: impl IntoIterator<Item = Subject>) {
        for subject in denied {
            self.denials.note(subject);
        }
    }

    /// Begins to follow, or lost continuity: at this revision, of which nothing
    /// before is known. Everything is dropped, the lease too.
    pub fn begin(&mut self, at: At) {
        self.drop_all();
        let mut recent = Recent::new(self.limits.changes);
        recent.reset(at.revision);
        self.followed = Some(Followed {
            store: at.store,
            recent,
        });
    }

    /// Applies a commit, or what is left of it: these have changed. With nothing:
    /// everything up to the revision was applied. Commits come in order.
    pub fn apply(&mut self, revision: Revision, changed: impl IntoIterator<Item = Subject>) {
        if let Some(followed) = &mut self.followed {
            followed.recent.apply(revision, changed);
        }
    }

    /// Up to where everything was applied; `None`: nobody is followed.
    #[must_use]
    pub fn applied(&self) -> Option<At> {
        self.followed.as_ref().map(Followed::applied)
    }

    /// What to ask for a lease with, just before it is sent, *after* everything was
    /// applied; `None` while nobody is followed.
    pub fn renew(&mut self, now: Moment) -> Option<Renewal> {
        self.look(now);
        let applied = self.applied()?;
        Some(Renewal {
            sequence: self.holder.send(now.boot),
            applied,
            uses: self.uses.take(USES_AT_ONCE),
        })
    }

    /// Notes an answer to a renewal. Returns whether it was awaited.
    pub fn granted(&mut self, sequence: Sequence, lease: Option<Duration>) -> bool {
        self.holder.answered(sequence, lease)
    }

    /// The connection is gone. The lease goes on, and so does the cache if it can be
    /// taken up where it stands.
    pub fn disconnected(&mut self) {
        self.holder.disconnected();
    }

    /// The caller is good no longer, or may ask about less than before: nothing that
    /// is kept may be given.
    pub fn refused(&mut self) {
        self.drop_all();
        self.followed = None;
    }

    /// The lease.
    #[must_use]
    pub const fn lease(&self) -> &Holder {
        &self.holder
    }

    /// When the lease ends, or did.
    #[must_use]
    pub const fn lease_ends_at(&self) -> Option<BootTime> {
        self.holder.ends_at()
    }

    /// Uses that wait to be reported.
    pub const fn uses(&mut self) -> &mut Uses {
        &mut self.uses
    }

    /// How many entries there are, good or not.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How often everything was dropped.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Drops everything if the clocks have parted: neither the lease nor the age of
    /// an entry can be relied on.
    pub fn look(&mut self, now: Moment) {
        if self.clocks.have_parted(now) {
            self.drop_all();
        }
    }

    fn drop_all(&mut self) {
        self.entries.clear();
        self.denials.clear();
        self.holder.give_up();
        self.epoch += 1;
    }
}

impl Followed {
    fn applied(&self) -> At {
        At {
            store: self.store,
            revision: self.recent.applied(),
        }
    }

    /// As of when an entry is known to be true, if nothing has changed.
    fn check<A>(&self, entry: &Entry<A>, denials: &Denials) -> Result<At, Miss> {
        let Fact {
            presented,
            depends_on,
            ..
        } = &entry.fact;
        let about = depends_on.iter().chain([presented]);
        if !denials.allow(entry.denials.get(), about) {
            return Err(Miss::Changed);
        }
        entry.denials.set(denials.count());
        let applied = self.recent.applied();
        let revision = entry.revision.get();
        // Nothing was applied since it was true, or was looked at last.
        if revision < applied {
            if !self.recent.is_current(revision, depends_on) {
                return Err(Miss::Changed);
            }
            entry.revision.set(applied);
        }
        Ok(At {
            store: self.store,
            revision: revision.max(applied),
        })
    }

    /// As of when an entry is known to be true that may be given until `until` although
    /// it may be out of date; `None`: it may not be given.
    fn check_stale<A>(
        &self,
        entry: &Entry<A>,
        denials: &Denials,
        least: Option<At>,
        until: BootTime,
        now: Moment,
    ) -> Option<At> {
        let Says::Yes { .. } = entry.fact.says else {
            return None;
        };
        let is_over = entry.ends_at.is_some_and(|ends_at| now.boot >= ends_at)
            || entry.fact.expires_at.is_some_and(|end| now.wall >= end);
        if now.boot >= until || is_over {
            return None;
        }
        let at = self.check(entry, denials).ok()?;
        least.is_none_or(|least| at.is_as_of(least)).then_some(at)
    }
}

impl<A> Entry<A> {
    /// When the secret is good no longer by itself, from now on.
    fn ends(&self, now: Moment) -> Ends {
        match (self.fact.ends, self.ends_at) {
            (Ends::In(_), Some(ends_at)) => Ends::In(ends_at.since(now.boot)),
            (ends, _) => ends,
        }
    }

    /// Notes its use, now and then.
    fn note(&self, now: Moment, uses: &mut Uses) {
        let Says::Yes {
            credential,
            generation,
            ..
        } = self.fact.says
        else {
            return;
        };
        let is_due = |noted: BootTime| now.boot.since(noted) >= NOTE_EVERY;
        if self.noted_at.get().is_none_or(is_due) {
            self.noted_at.set(Some(now.boot));
            uses.note(Use {
                credential,
                generation,
                used_at: now.wall,
            });
        }
    }
}

#[derive(Clone, Debug)]
struct ByWeight;

impl<A> Weighter<QuestionKey, Entry<A>> for ByWeight {
    fn weight(&self, _: &QuestionKey, entry: &Entry<A>) -> u64 {
        let dependencies = entry.fact.depends_on.len() * size_of::<Subject>();
        let fixed = size_of::<Entry<A>>() + size_of::<QuestionKey>() + dependencies;
        u64::from(entry.fact.weight) + fixed as u64
    }
}

/// Keys are hashes already.
#[derive(Debug, Default)]
struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}
