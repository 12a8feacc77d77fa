//! What a client has done, counted.

pub use crate::counts::Count;
use crate::domain::cache::Miss;
use crate::proto::v1::Verdict;

/// What a client has done since it was made.
#[derive(Debug, Default)]
pub struct Counts {
    /// Answers from the cache.
    pub hits: Count,
    /// Questions that could not be answered from it, by why.
    pub misses: Misses,
    /// Verdicts that were given from it, to whomever, without a question that somebody
    /// else would count.
    pub verdicts: Verdicts,
    /// Answers that one who asked the same waited for and got.
    pub joins: Count,
    /// Such that could not be given to one who had waited, for something had changed
    /// since, or they are not kept.
    pub refused_joins: Count,
    /// Questions that were sent.
    pub asked: Count,
    /// Questions that nobody answered.
    pub unanswered: Count,
    /// Such that were refused for it.
    pub refused_stale: Count,
    /// Such that were answered with what may be out of date, of here or, as it says, of
    /// one who was asked.
    pub served_stale: Count,
    /// Questions that were refused because too many were under way.
    pub overloaded: Count,
    /// Streams of changes that began.
    pub sessions: Count,
    /// How often continuity was lost.
    pub resets: Count,
    /// Changes that were applied, whole commits.
    pub commits: Count,
}

/// Questions that could not be answered from the cache.
#[derive(Debug, Default)]
pub struct Misses {
    not_live: Count,
    unknown: Count,
    expired: Count,
    changed: Count,
    behind: Count,
}

impl Misses {
    pub(super) fn add(&self, miss: Miss) {
        self.of(miss).add();
    }

    fn of(&self, miss: Miss) -> &Count {
        match miss {
            Miss::NotLive => &self.not_live,
            Miss::Unknown => &self.unknown,
            Miss::Expired => &self.expired,
            Miss::Changed => &self.changed,
            Miss::Behind => &self.behind,
        }
    }

    /// Each reason, by a name for it, with how many there were.
    #[must_use]
    pub fn by_reason(&self) -> [(&'static str, u64); 5] {
        [
            ("not_live", Miss::NotLive),
            ("unknown", Miss::Unknown),
            ("expired", Miss::Expired),
            ("changed", Miss::Changed),
            ("behind", Miss::Behind),
        ]
        .map(|(name, miss)| (name, self.of(miss).get()))
    }
}

/// Verdicts, by which.
#[derive(Debug, Default)]
pub struct Verdicts([Count; NAMED.len()]);

/// Those that there are, each by a name for it.
const NAMED: [(&str, Verdict); 8] = [
    ("active", Verdict::Active),
    ("invalid", Verdict::Invalid),
    ("locked", Verdict::Locked),
    ("revoked", Verdict::Revoked),
    ("expired", Verdict::Expired),
    ("tenant_disabled", Verdict::TenantDisabled),
    ("owner_disabled", Verdict::OwnerDisabled),
    ("forbidden", Verdict::Forbidden),
];

impl Verdicts {
    pub(super) fn add(&self, verdict: Verdict) {
        let mut counts = NAMED.iter().zip(&self.0);
        if let Some((_, count)) = counts.find(|((_, named), _)| *named == verdict) {
            count.add();
        }
    }

    /// Each by its name, with how many there were.
    #[must_use]
    pub fn by_name(&self) -> [(&'static str, u64); NAMED.len()] {
        std::array::from_fn(|at| (NAMED[at].0, self.0[at].get()))
    }
}
