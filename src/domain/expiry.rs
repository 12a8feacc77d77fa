//! When credentials expire: what a profile rules, what an issuer wishes, and
//! the instant that comes of both.

use std::time::Duration;

use super::calendar::{Date, Period, TimeZone, Utc};
use super::time::Timestamp;

/// What somebody who issues a credential says of its expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Nothing: the profile's default.
    Unsaid,
    /// It does not expire.
    Never,
    /// From this instant on it is denied.
    At(Timestamp),
    /// It expires after so much time, whatever the calendar and the clocks do;
    /// less than a whole millisecond is left off.
    After(Duration),
    /// It expires after a period of the calendar.
    Period(Period),
    /// It can be used up to the end of this day.
    On(Date),
}

/// When credentials of a profile expire.
///
/// Only a rule that [`check`](Self::check) accepts keeps what the fields say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The period of a credential for which nothing is said; `None`: it does
    /// not expire.
    pub default: Option<Period>,
    /// The longest that a credential may live; `None`: there is no bound.
    pub maximum: Option<Period>,
    /// If it is not empty: the only periods that may be said.
    pub allowed: Vec<Period>,
    /// Whether a credential may be without an expiry.
    pub never: Never,
    /// Whether the expiry of an issued credential can't be changed.
    pub fixed: bool,
}

/// Whether credentials may be without an expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Never {
    /// They may not.
    Forbidden,
    /// They may.
    Allowed,
    /// They never have one.
    Always,
}

/// Why a [`Rule`] can't be kept: its `field` and why that is wrong, which reads
/// as the end of "`FIELD` ...".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` {rule}")]
pub struct InvalidRule {
    /// The name of the field.
    pub field: &'static str,
    /// What it must be.
    pub rule: &'static str,
}

/// Why a [`Wish`] is not granted; reads as the end of "`FIELD` ...".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Something is said, and credentials never expire.
    #[error("must not be set: credentials of this profile do not expire")]
    Expires,
    /// Nothing is said, and there is no default; not of a rule that was
    /// [checked](Rule::check).
    #[error("must be set: credentials of this profile expire")]
    Unsaid,
    /// It would not expire.
    #[error("must not be never: credentials of this profile expire")]
    Never,
    /// It would be expired at once.
    #[error("must be in the future")]
    Past,
    /// It would expire after the last instant that can be written.
    #[error("must be in the year 9999 at the latest")]
    TooFar,
    /// It would live longer than it may.
    #[error("must be {maximum} after the issue at the latest, that is {}", Utc(*.latest))]
    TooLate {
        /// The longest that it may live.
        maximum: Period,
        /// Until when that is.
        latest: Timestamp,
    },
    /// Only some periods are allowed, and it is none of them.
    #[error("must be {}", one_of(.0))]
    NotAllowed(Vec<Period>),
}

impl Wish {
    /// The field in which it is said, as the contract names it.
    #[must_use]
    pub const fn field(&self) -> &'static str {
        match self {
            Self::Unsaid => "expiry",
            Self::Never => "never",
            Self::At(_) => "expires_at",
            Self::After(_) => "ttl",
            Self::Period(_) => "period",
            Self::On(_) => "expires_on",
        }
    }
}

impl Rule {
    /// Whether the rule contradicts itself.
    ///
    /// Periods are compared on a calendar whose days all have 24 hours, over
    /// all instants at which they may begin: `P1M` is not within `P30D`, since
    /// there are months of 31 days. `P30D` is not within `P1M` either.
    ///
    /// # Errors
    ///
    /// [`InvalidRule`] of the first field of these that is wrong: `allowed`, if
    /// it has a period twice or one that may outlast the maximum; `never`, if
    /// they never expire though there are periods; `maximum`, if
    /// it bounds nothing, since credentials need not expire; `default`, if
    /// there is none though credentials expire, or if it may outlast the
    /// maximum or is not allowed.
    pub fn check(&self) -> Result<(), InvalidRule> {
        let Self {
            default,
            maximum,
            allowed,
            never,
            fixed: _,
        } = self;
        let too_long = |period: &Period| maximum.is_some_and(|most| period.may_outlast(&most));
        let require = |holds, field, rule| {
            if holds {
                Ok(())
            } else {
                Err(InvalidRule { field, rule })
            }
        };
        require(
            *never != Never::Always || (default.is_none() && allowed.is_empty()),
            "never",
            "must not be always where there are periods",
        )?;
        let repeats = (1..allowed.len()).any(|i| allowed[..i].contains(&allowed[i]));
        require(!repeats, "allowed", "must not have a period twice")?;
        require(
            !allowed.iter().any(too_long),
            "allowed",
            "must not have a period that may be longer than the maximum",
        )?;
        require(
            maximum.is_none() || *never == Never::Forbidden,
            "maximum",
            "must not be set where credentials may be without an expiry: it would bound nothing",
        )?;
        let Some(default) = default else {
            return require(
                *never != Never::Forbidden,
                "default",
                "must be set where credentials may not be without an expiry",
            );
        };
        require(
            !too_long(default),
            "default",
            "must not be a period that may be longer than the maximum",
        )?;
        require(
            allowed.is_empty() || allowed.contains(default),
            "default",
            "must be one of the periods that are allowed",
        )
    }

    /// When a credential expires that is issued `now` with this wish; `None`:
    /// never. An expiry is after `now`, and not after `now` plus the maximum by
    /// the calendar of the zone.
    ///
    /// Some wishes are within the maximum as people count, and past it by the
    /// clock. They are granted, and cut at the maximum:
    ///
    /// - the date on which the maximum falls, whose day ends later: on
    ///   2026-11-23 a date picker for `P1Y` offers 2027-11-23;
    /// - a length that is within the maximum when days have 24 hours, while the
    ///   clocks are set forward meanwhile: 2,592,000 s for `P30D`, 31,536,000 s
    ///   for `P1Y`. All defaults and allowed periods of a rule that was
    ///   [checked](Self::check) are.
    ///
    /// Where only some periods are allowed, a duration that is the fixed length
    /// of one says that period.
    ///
    /// # Errors
    ///
    /// [`Refused`], which says what the rule asks for.
    pub fn resolve(
        &self,
        wish: &Wish,
        zone: &TimeZone,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, Refused> {
        let Some(said) = self.admit(wish)? else {
            return Ok(None);
        };
        let end = said.end(zone, now);
        if end.is_some_and(|end| end <= now) {
            return Err(Refused::Past);
        }
        let bound = self
            .maximum
            .and_then(|maximum| Some((maximum, maximum.after(now, zone)?)));
        match bound {
            Some((maximum, latest)) if end.is_none_or(|end| end > latest) => {
                if said.is_within(&maximum, latest, zone) {
                    Ok(Some(latest))
                } else {
                    Err(Refused::TooLate { maximum, latest })
                }
            }
            _ => end.map(Some).ok_or(Refused::TooFar),
        }
    }

    /// What is said of the end, in terms of the rule; `None`: there is none.
    fn admit(&self, wish: &Wish) -> Result<Option<Said>, Refused> {
        let any = self.allowed.is_empty();
        let may_be_never = self.never != Never::Forbidden;
        match *wish {
            Wish::Unsaid => match self.default {
                Some(default) => Ok(Some(Said::Period(default))),
                None if may_be_never => Ok(None),
                None => Err(Refused::Unsaid),
            },
            Wish::Never if may_be_never => Ok(None),
            Wish::Never => Err(Refused::Never),
            _ if self.never == Never::Always => Err(Refused::Expires),
            Wish::At(instant) if any => Ok(Some(Said::At(instant))),
            Wish::After(duration) if any => Ok(Some(Said::After(duration))),
            Wish::Period(period) if any => Ok(Some(Said::Period(period))),
            Wish::On(date) if any => Ok(Some(Said::On(date))),
            Wish::Period(period) => self.allow(|allowed| allowed == period),
            Wish::After(duration) => self.allow(|allowed| allowed.fixed() == Some(duration)),
            Wish::At(_) | Wish::On(_) => self.allow(|_| false),
        }
    }

    fn allow(&self, is_meant: impl Fn(Period) -> bool) -> Result<Option<Said>, Refused> {
        match self.allowed.iter().find(|allowed| is_meant(**allowed)) {
            Some(allowed) => Ok(Some(Said::Period(*allowed))),
            None => Err(Refused::NotAllowed(self.allowed.clone())),
        }
    }
}

/// A [`Wish`] for an end.
enum Said {
    At(Timestamp),
    After(Duration),
    Period(Period),
    On(Date),
}

impl Said {
    /// When that is; `None` after [`Timestamp::MAX`].
    fn end(&self, zone: &TimeZone, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::At(instant) => Some(*instant).filter(|instant| *instant <= Timestamp::MAX),
            Self::After(duration) => now.checked_add(*duration),
            Self::Period(period) => period.after(now, zone),
            Self::On(date) => date.end_in(zone),
        }
    }

    /// Whether it is within a maximum as people count, though it ends after
    /// `latest`, where the maximum is reached.
    fn is_within(&self, maximum: &Period, latest: Timestamp, zone: &TimeZone) -> bool {
        match self {
            Self::At(_) => false,
            Self::After(duration) => *duration <= maximum.shortest(),
            Self::Period(period) => !period.may_outlast(maximum),
            Self::On(date) => Date::at(latest, zone).is_some_and(|last| *date <= last),
        }
    }
}

fn one_of(periods: &[Period]) -> String {
    if let [only] = periods {
        return only.to_string();
    }
    let texts: Vec<_> = periods.iter().map(Period::to_string).collect();
    format!("one of {}", texts.join(", "))
}

#[cfg(test)]
mod tests;
