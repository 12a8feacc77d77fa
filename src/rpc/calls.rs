//! Calls and verdicts, counted.
//!
//! Each thread has counts of its own: a verdict costs one addition to a line of memory
//! that no other thread writes.

use std::fmt;
use std::time::Duration;

use tonic::Code;

use super::methods::Method;
use crate::counts::{Count, Counted, Histogram, Sharded, VERDICTS};
use crate::domain::judge::Verdict;

/// The bounds of the times of calls, in nanoseconds: from 50 microseconds to ten
/// seconds.
const TIMES: &[u64] = &[
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
];

/// Every code that a call may end with, by its number.
const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// The name of a code.
#[must_use]
pub fn code_name(code: Code) -> &'static str {
    CODES.get(code as usize).copied().unwrap_or("UNKNOWN")
}

/// The place of a verdict among [`VERDICTS`].
const fn number(verdict: Verdict) -> usize {
    match verdict {
        Verdict::Active => 0,
        Verdict::Invalid(_) => 1,
        Verdict::Locked => 2,
        Verdict::Revoked => 3,
        Verdict::Expired => 4,
        Verdict::TenantDisabled => 5,
        Verdict::OwnerDisabled => 6,
        Verdict::Forbidden => 7,
    }
}

/// The calls that were answered, and the verdicts that were given, since the process
/// began.
pub struct Calls(Sharded<Shard>);

struct Shard {
    methods: Box<[OfMethod]>,
    verdicts: [Count; VERDICTS.len()],
}

struct OfMethod {
    codes: [Count; CODES.len()],
    times: Histogram,
}

impl Default for Calls {
    fn default() -> Self {
        Self(Sharded::new(|| Shard {
            methods: Method::all().map(|_| OfMethod::default()).collect(),
            verdicts: Default::default(),
        }))
    }
}

impl Default for OfMethod {
    fn default() -> Self {
        Self {
            codes: Default::default(),
            times: Histogram::new(TIMES),
        }
    }
}

impl Calls {
    /// Counts a call that has ended; `time`: if it is no stream.
    pub(super) fn ended(&self, method: Method, code: Code, time: Option<Duration>) {
        if let Some(of) = self.0.here().methods.get(method.number()) {
            if let Some(count) = of.codes.get(code as usize) {
                count.add();
            }
            if let Some(time) = time {
                of.times.count_time(time);
            }
        }
    }

    /// Counts a verdict.
    pub(super) fn judged(&self, verdict: Verdict) {
        self.0.here().verdicts[number(verdict)].add();
    }

    /// How many calls of a method ended with which code, by its name: those that any
    /// ended with, and `OK`.
    #[must_use]
    pub fn codes(&self, method: Method) -> Vec<(&'static str, u64)> {
        let count = |code: usize| {
            let shards = self
                .0
                .all()
                .filter_map(|it| it.methods.get(method.number()));
            shards.map(|of| of.codes[code].get()).sum::<u64>()
        };
        let codes = CODES.iter().enumerate();
        let codes = codes.map(|(code, name)| (*name, count(code)));
        codes
            .filter(|(name, count)| *count > 0 || *name == "OK")
            .collect()
    }

    /// How long calls of a method took, in nanoseconds.
    #[must_use]
    pub fn times(&self, method: Method) -> Counted {
        let shards = self
            .0
            .all()
            .filter_map(|it| it.methods.get(method.number()));
        shards.fold(Counted::default(), |all, of| all.and(&of.times.counted()))
    }

    /// How many verdicts there were, each by its name.
    #[must_use]
    pub fn verdicts(&self) -> [(&'static str, u64); VERDICTS.len()] {
        std::array::from_fn(|verdict| {
            let shards = self.0.all().map(|it| it.verdicts[verdict].get());
            (VERDICTS[verdict], shards.sum())
        })
    }
}

impl fmt::Debug for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Calls(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::judge::Cause;

    #[test]
    fn codes_have_the_names_of_the_protocol() {
        for (number, name) in CODES.iter().enumerate() {
            let code = Code::from(i32::try_from(number).unwrap());
            assert_eq!(code_name(code), *name);
            let camel = name.split('_').map(|word| {
                let (first, rest) = word.split_at(1);
                first.to_owned() + &rest.to_lowercase()
            });
            assert_eq!(format!("{code:?}"), camel.collect::<String>());
        }
    }

    #[test]
    fn each_call_is_counted_under_its_method_and_its_code() {
        let calls = Calls::default();
        let issue = Method::of("/credd.v1.CredentialService/Issue");
        calls.ended(Method::VERIFY, Code::Ok, Some(Duration::from_micros(60)));
        calls.ended(Method::VERIFY, Code::Ok, Some(Duration::from_secs(20)));
        calls.ended(issue, Code::NotFound, None);
        assert_eq!(calls.codes(Method::VERIFY), [("OK", 2)]);
        assert_eq!(calls.codes(issue), [("OK", 0), ("NOT_FOUND", 1)]);
        let times = calls.times(Method::VERIFY);
        assert_eq!(times.buckets[..2], [0, 1]);
        assert_eq!((times.buckets[TIMES.len()], times.count()), (1, 2));
        assert_eq!(calls.times(issue).count(), 0);
    }

    #[test]
    fn each_verdict_is_counted_under_its_name() {
        let calls = Calls::default();
        for verdict in [
            Verdict::Active,
            Verdict::Invalid(Cause::Unknown),
            Verdict::Invalid(Cause::OutsideAudience),
            Verdict::Forbidden,
        ] {
            calls.judged(verdict);
        }
        let [active, invalid, locked, .., forbidden] = calls.verdicts();
        assert_eq!(active, ("active", 1));
        assert_eq!(invalid, ("invalid", 2));
        assert_eq!(locked, ("locked", 0));
        assert_eq!(forbidden, ("forbidden", 1));
    }
}
