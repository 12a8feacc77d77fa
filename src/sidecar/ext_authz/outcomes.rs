//! What became of checks, counted.

use super::denial::Denial;
use crate::client::Count;
use crate::proto::envoy::r#type::StatusCode;

/// What became of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Allowed,
    Unauthorized,
    Forbidden,
    Unavailable,
    Abandoned,
}

/// How many checks came to what.
#[derive(Debug, Default)]
pub struct Outcomes {
    allowed: Count,
    unauthorized: Count,
    forbidden: Count,
    unavailable: Count,
    abandoned: Count,
}

impl Outcomes {
    /// Each outcome, by a name for it, with how many there were. Abandoned: whoever
    /// asked was gone before there was an answer.
    #[must_use]
    pub fn by_name(&self) -> [(&'static str, u64); 5] {
        [
            ("allowed", Outcome::Allowed),
            ("unauthorized", Outcome::Unauthorized),
            ("forbidden", Outcome::Forbidden),
            ("unavailable", Outcome::Unavailable),
            ("abandoned", Outcome::Abandoned),
        ]
        .map(|(name, outcome)| (name, self.of(outcome).get()))
    }

    const fn of(&self, outcome: Outcome) -> &Count {
        match outcome {
            Outcome::Allowed => &self.allowed,
            Outcome::Unauthorized => &self.unauthorized,
            Outcome::Forbidden => &self.forbidden,
            Outcome::Unavailable => &self.unavailable,
            Outcome::Abandoned => &self.abandoned,
        }
    }

    /// A check has begun.
    pub(super) const fn begin(&self) -> Checking<'_> {
        Checking {
            outcomes: self,
            outcome: Outcome::Abandoned,
        }
    }
}

/// A check that is under way. It is counted when it ends, in whichever way.
#[derive(Debug)]
pub(super) struct Checking<'a> {
    outcomes: &'a Outcomes,
    outcome: Outcome,
}

impl Checking<'_> {
    /// There is an answer.
    pub(super) fn end<T>(mut self, answer: &Result<T, Denial>) {
        self.outcome = match answer {
            Ok(_) => Outcome::Allowed,
            Err(denial) => match denial.status() {
                StatusCode::Unauthorized => Outcome::Unauthorized,
                StatusCode::Forbidden => Outcome::Forbidden,
                StatusCode::ServiceUnavailable | StatusCode::Empty => Outcome::Unavailable,
            },
        };
    }
}

impl Drop for Checking<'_> {
    fn drop(&mut self) {
        self.outcomes.of(self.outcome).add();
    }
}
