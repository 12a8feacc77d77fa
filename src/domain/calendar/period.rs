//! Periods of the calendar.

use std::fmt;
use std::time::Duration;

use jiff::Span;

use super::{Cycle, TimeZone};
use crate::domain::names::InvalidText;
use crate::domain::time::Timestamp;

/// A period of at most 100 years, as an ISO 8601 duration of whole numbers:
/// `P1Y`, `P30D`, `P1Y6M`, `PT12H`.
///
/// Two periods are equal if they have the same numbers of the same units: `P1Y`
/// is neither `P12M` nor `P365D`. A unit that is left out is zero, and leading
/// zeros say nothing: `P0Y030D` is `P30D`, and that is how it is written.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Period {
    /// Years, months, weeks and days.
    date: [u32; 4],
    /// Hours, minutes and seconds.
    time: [u32; 3],
}

const RULE: &str = "must be an ISO 8601 duration of whole numbers, longer than zero and at most 100 years, such as P1Y, P30D or PT12H";

const DATE_UNITS: [char; 4] = ['Y', 'M', 'W', 'D'];
const TIME_UNITS: [char; 3] = ['H', 'M', 'S'];

const SECONDS_A_DAY: u64 = 86_400;
/// A twelfth of the mean year of the Gregorian calendar, 365.2425 days.
const SECONDS_A_MEAN_MONTH: u64 = 2_629_746;

impl Period {
    /// The period that a text names.
    ///
    /// Units stand in the order of their size; weeks may stand beside others,
    /// as in ISO 8601-2. For the bound of 100 years a year is taken as the mean
    /// year of 365.2425 days and a month as a twelfth of it.
    ///
    /// # Errors
    ///
    /// [`InvalidText`], which says the rule: fractions, signs, lower case and
    /// the alternative notation (`P0001-00-00`) are refused.
    pub fn parse(text: &str) -> Result<Self, InvalidText> {
        Self::read(text)
            .filter(|period| (1..=1200 * SECONDS_A_MEAN_MONTH).contains(&period.mean_seconds()))
            .ok_or(InvalidText(RULE))
    }

    fn read(text: &str) -> Option<Self> {
        let fields = text.strip_prefix('P')?;
        let (date, time) = match fields.split_once('T') {
            Some((_, "")) => return None,
            Some(parts) => parts,
            None => (fields, ""),
        };
        Some(Self {
            date: numbers(date, DATE_UNITS)?,
            time: numbers(time, TIME_UNITS)?,
        })
    }

    /// When the period is over that begins at `now`, by the calendar and the
    /// clocks of a zone; always after `now`. `None` after [`Timestamp::MAX`],
    /// and if `now` is after it or before the calendar of `jiff`, which begins
    /// in the year -9999.
    ///
    /// - First years and months are added to the date on the calendar; a day
    ///   that the month does not have becomes its last: a year after 2028-02-29
    ///   is 2029-02-28.
    /// - Then weeks and days are added to the date. The time of day remains,
    ///   even if the days between were not of 24 hours. A time of day that the
    ///   clocks skip moves on by as much as they skip, and of one that they
    ///   show twice the first is meant (RFC 5545 section 3.3.5).
    /// - Then hours, minutes and seconds pass.
    #[must_use]
    pub fn after(&self, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let cycle = Cycle::of(now);
        let begin = cycle.enter(now)?.to_zoned_datetime(zone.rules());
        let end = begin.checked_add(self.span()?).ok()?;
        cycle.leave(end.timestamp())
    }

    /// Its length, if that does not depend on when it begins: a week is seven
    /// days and a day 24 hours, so that `P30D` is 2,592,000 seconds. `None`
    /// with years or months.
    ///
    /// [`after`](Self::after) goes by the calendar and may differ from this by
    /// what the clocks were changed meanwhile.
    #[must_use]
    pub fn fixed(&self) -> Option<Duration> {
        (self.months() == 0).then(|| Duration::from_secs(self.seconds()))
    }

    /// The least time that it can be, on a calendar whose days all have 24
    /// hours: 365 days for `P1Y`, 28 for `P1M`, and the
    /// [fixed length](Self::fixed) if there is one.
    #[must_use]
    pub fn shortest(&self) -> Duration {
        Duration::from_secs(shortest_days(self.months()) * SECONDS_A_DAY + self.seconds())
    }

    /// Whether this period may end after another that begins with it, on a
    /// calendar whose days all have 24 hours: `P30D` may outlast `P1M`, which in
    /// turn may outlast it. `false` holds for every beginning; `true` may be
    /// overcautious by a day or two.
    #[must_use]
    pub fn may_outlast(&self, other: &Self) -> bool {
        // What both have of months falls on the same date and cancels out.
        let (months, other_months) = (self.months(), other.months());
        let more = longest_days(months.saturating_sub(other_months));
        let less = shortest_days(other_months.saturating_sub(months));
        more * SECONDS_A_DAY + self.seconds() > less * SECONDS_A_DAY + other.seconds()
    }

    fn months(&self) -> u64 {
        let [years, months, _, _] = self.date.map(u64::from);
        years * 12 + months
    }

    /// What comes on top of years and months, with days of 24 hours.
    fn seconds(&self) -> u64 {
        let [_, _, weeks, days] = self.date.map(u64::from);
        let [hours, minutes, seconds] = self.time.map(u64::from);
        (weeks * 7 + days) * SECONDS_A_DAY + hours * 3600 + minutes * 60 + seconds
    }

    fn mean_seconds(&self) -> u64 {
        self.months() * SECONDS_A_MEAN_MONTH + self.seconds()
    }

    fn span(&self) -> Option<Span> {
        let [years, months, weeks, days] = self.date;
        let [hours, minutes, seconds] = self.time;
        Span::new()
            .try_years(years)
            .and_then(|span| span.try_months(months))
            .and_then(|span| span.try_weeks(weeks))
            .and_then(|span| span.try_days(days))
            .and_then(|span| span.try_hours(hours))
            .and_then(|span| span.try_minutes(minutes))
            .and_then(|span| span.try_seconds(seconds))
            .ok()
    }
}

/// The numbers before each unit, zero before a unit that is not there; `None`
/// if the text is anything but these in this order.
fn numbers<const N: usize>(text: &str, units: [char; N]) -> Option<[u32; N]> {
    let mut rest = text;
    let mut numbers = [0; N];
    for (number, unit) in numbers.iter_mut().zip(units) {
        if let Some((digits, after)) = rest.split_once(unit) {
            // `parse` alone would accept a sign.
            if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            *number = digits.parse().ok()?;
            rest = after;
        }
    }
    rest.is_empty().then_some(numbers)
}

/// The least days that so many months, at most 1200, can have.
fn shortest_days(months: u64) -> u64 {
    const REST: [u64; 12] = [0, 28, 59, 89, 120, 150, 181, 212, 242, 273, 303, 334];
    let years = months / 12;
    // Every fourth year is a leap year but one in a century.
    years * 365 + (years / 4).saturating_sub(1) + REST[(months % 12) as usize]
}

/// The most days that so many months, at most 1200, can have.
fn longest_days(months: u64) -> u64 {
    const REST: [u64; 12] = [0, 31, 62, 92, 123, 153, 184, 215, 245, 276, 306, 337];
    let years = months / 12;
    years * 365 + years.div_ceil(4) + REST[(months % 12) as usize]
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("P")?;
        write_numbers(f, self.date, DATE_UNITS)?;
        if self.time != [0; 3] {
            f.write_str("T")?;
            write_numbers(f, self.time, TIME_UNITS)?;
        }
        Ok(())
    }
}

fn write_numbers<const N: usize>(
    f: &mut fmt::Formatter<'_>,
    numbers: [u32; N],
    units: [char; N],
) -> fmt::Result {
    for (number, unit) in numbers.into_iter().zip(units) {
        if number > 0 {
            write!(f, "{number}{unit}")?;
        }
    }
    Ok(())
}

impl fmt::Debug for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests;
