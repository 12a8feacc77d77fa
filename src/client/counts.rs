//! What a client has done, counted.

pub use crate::counts::Count;
use crate::counts::VERDICTS;
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
pub struct Verdicts([Count; VERDICTS.len()]);

impl Verdicts {
    pub(super) fn add(&self, verdict: Verdict) {
        let number = usize::try_from(i32::from(verdict)).ok();
        let place = number.and_then(|number| number.checked_sub(1));
        if let Some(count) = place.and_then(|place| self.0.get(place)) {
            count.add();
        }
    }

    /// Each by its name, with how many there were.
    #[must_use]
    pub fn by_name(&self) -> [(&'static str, u64); VERDICTS.len()] {
        std::array::from_fn(|at| (VERDICTS[at], self.0[at].get()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_verdict_of_the_contract_is_counted_under_its_name() {
        let verdicts = Verdicts::default();
        for (place, name) in VERDICTS.into_iter().enumerate() {
            let number = i32::try_from(place).unwrap() + 1;
            let verdict = Verdict::try_from(number).unwrap();
            verdicts.add(verdict);
            assert_eq!(verdicts.by_name()[place], (name, 1));
            assert_eq!(
                verdict.as_str_name(),
                format!("VERDICT_{}", name.to_uppercase())
            );
        }
        verdicts.add(Verdict::Unspecified);
        assert!(verdicts.by_name().iter().all(|(_, count)| *count == 1));
        assert!(Verdict::try_from(i32::try_from(VERDICTS.len()).unwrap() + 1).is_err());
    }
}
