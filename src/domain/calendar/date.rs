//! Calendar dates.

use std::fmt;

use jiff::tz::AmbiguousOffset;
use jiff::{Span, civil};

use super::{Cycle, TimeZone};
use crate::domain::names::InvalidText;
use crate::domain::time::Timestamp;

/// A date of the Gregorian calendar, which is extended to before its
/// introduction, in the years 1 to 9999; written `YYYY-MM-DD` (ISO 8601).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date(civil::Date);

const RULE: &str = "must be a date of the years 0001 to 9999, written YYYY-MM-DD";

impl Date {
    /// The date that a text names.
    ///
    /// # Errors
    ///
    /// [`InvalidText`], which says the rule: no other notation of ISO 8601 is
    /// accepted.
    pub fn parse(text: &str) -> Result<Self, InvalidText> {
        fields(text)
            .filter(|(year, _, _)| *year > 0)
            .and_then(|(year, month, day)| civil::Date::new(year, month, day).ok())
            .map(Self)
            .ok_or(InvalidText(RULE))
    }

    /// What the calendar on the wall shows in a zone at an instant; `None`
    /// outside the years 1 to 9999.
    #[must_use]
    pub fn at(instant: Timestamp, zone: &TimeZone) -> Option<Self> {
        let cycle = Cycle::of(instant);
        let shown = zone.rules().to_datetime(cycle.enter(instant)?).date();
        let year = shown.year().checked_add(cycle.years())?;
        civil::Date::new(year, shown.month(), shown.day())
            .ok()
            .filter(|date| date.year() > 0)
            .map(Self)
    }

    /// The end of this day in a zone: the instant from which on the calendar
    /// there shows a later date for good. `None` after [`Timestamp::MAX`].
    ///
    /// That is midnight, and where there is none or more than one:
    ///
    /// - if the clocks skip midnight, the instant at which they do;
    /// - if they show midnight twice, the second time, since part of the day
    ///   comes after the first; but the first time if they are set back no
    ///   further than to midnight (as in `America/Havana`);
    /// - if the zone skips this date altogether (2011-12-30 in `Pacific/Apia`),
    ///   the instant at which it does, which is also the end of the day before.
    #[must_use]
    pub fn end_in(&self, zone: &TimeZone) -> Option<Timestamp> {
        let cycle = Cycle::of_year(self.0.year());
        let date = civil::Date::new(self.0.year() - cycle.years(), self.0.month(), self.0.day());
        let midnight = date
            .ok()?
            .tomorrow()
            .ok()?
            .to_datetime(civil::Time::midnight());
        let rules = zone.rules();
        let meant = rules.to_ambiguous_timestamp(midnight);
        let end = match meant.offset() {
            AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(midnight).ok()?,
            AmbiguousOffset::Fold { .. } => {
                let second = meant.later().ok()?;
                let before = second.checked_sub(Span::new().milliseconds(1)).ok()?;
                if rules.to_datetime(before) < midnight {
                    second
                } else {
                    meant.earlier().ok()?
                }
            }
            // Read by the later offset, a skipped time lies before the instant
            // at which the clocks skip it.
            AmbiguousOffset::Gap { .. } => {
                rules.following(meant.earlier().ok()?).next()?.timestamp()
            }
        };
        cycle.leave(end)
    }
}

/// The numbers of a text `YYYY-MM-DD`.
fn fields(text: &str) -> Option<(i16, i8, i8)> {
    let form = text.len() == 10
        && text.bytes().enumerate().all(|(i, byte)| match i {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    if !form {
        return None;
    }
    let year = text.get(..4)?.parse().ok()?;
    let month = text.get(5..7)?.parse().ok()?;
    let day = text.get(8..)?.parse().ok()?;
    Some((year, month, day))
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(date) = self;
        write!(
            f,
            "{:04}-{:02}-{:02}",
            date.year(),
            date.month(),
            date.day()
        )
    }
}

impl fmt::Debug for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::calendar::Utc;
    use proptest::prelude::*;

    fn zone(name: &str) -> TimeZone {
        TimeZone::parse(name).expect(name)
    }

    fn date(text: &str) -> Date {
        Date::parse(text).expect(text)
    }

    fn end(text: &str, name: &str) -> Option<String> {
        date(text)
            .end_in(&zone(name))
            .map(|instant| Utc(instant).to_string())
    }

    #[test]
    fn a_date_of_the_gregorian_calendar_is_read_and_written() {
        for good in [
            "0001-01-01",
            "1900-02-28",
            "2000-02-29",
            "2024-02-29",
            "2027-11-23",
            "9996-02-29",
            "9999-12-31",
        ] {
            assert_eq!(date(good).to_string(), good);
        }
        for bad in [
            "",
            "0000-01-01",
            "-001-01-01",
            "+2027-01-01",
            "10000-01-01",
            "1900-02-29",
            "2023-02-29",
            "2027-00-01",
            "2027-13-01",
            "2027-04-31",
            "2027-01-00",
            "2027-1-1",
            "20270101",
            "2027-01",
            "2027-W01-1",
            "2027-001",
            "2027/01/01",
            "2027-01-01Z",
            "2027-01-01T00:00:00",
            " 2027-01-01",
            "2027-+1-01",
            "2027-01-é",
            "２027-01-1",
        ] {
            assert!(Date::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_day_ends_at_midnight_in_its_zone() {
        for (day, name, expected) in [
            ("2027-11-23", "UTC", "2027-11-24T00:00:00Z"),
            ("2027-11-23", "Europe/Berlin", "2027-11-23T23:00:00Z"),
            ("2027-07-01", "Europe/Berlin", "2027-07-01T22:00:00Z"),
            ("2027-11-23", "America/New_York", "2027-11-24T05:00:00Z"),
            ("2027-11-23", "Asia/Kathmandu", "2027-11-23T18:15:00Z"),
            ("2028-02-28", "UTC", "2028-02-29T00:00:00Z"),
            ("2028-02-29", "UTC", "2028-03-01T00:00:00Z"),
            ("0001-01-01", "UTC", "0001-01-02T00:00:00Z"),
            // The days on which the clocks change, at another time of the day.
            ("2027-03-28", "Europe/Berlin", "2027-03-28T22:00:00Z"),
            ("2027-10-31", "Europe/Berlin", "2027-10-31T23:00:00Z"),
        ] {
            assert_eq!(end(day, name).as_deref(), Some(expected), "{day} {name}");
        }
    }

    #[test]
    fn a_day_whose_midnight_is_skipped_ends_when_it_is_skipped() {
        for (day, name, expected) in [
            // 24:00 became 01:00.
            ("2018-11-03", "America/Sao_Paulo", "2018-11-04T03:00:00Z"),
            // 23:30 became 00:30.
            ("1919-03-30", "America/Toronto", "1919-03-31T04:30:00Z"),
            // 2011-12-30 was skipped: it ends where it would have begun.
            ("2011-12-29", "Pacific/Apia", "2011-12-30T10:00:00Z"),
            ("2011-12-30", "Pacific/Apia", "2011-12-30T10:00:00Z"),
            ("2011-12-31", "Pacific/Apia", "2011-12-31T10:00:00Z"),
        ] {
            assert_eq!(end(day, name).as_deref(), Some(expected), "{day} {name}");
        }
    }

    #[test]
    fn a_day_whose_midnight_comes_twice_ends_the_second_time() {
        for (day, name, expected) in [
            // 24:00 became 23:00.
            ("2018-02-17", "America/Sao_Paulo", "2018-02-18T03:00:00Z"),
            // 00:01 became 23:01 of the day before.
            ("2006-10-28", "America/St_Johns", "2006-10-29T03:30:00Z"),
        ] {
            assert_eq!(end(day, name).as_deref(), Some(expected), "{day} {name}");
        }
    }

    #[test]
    fn a_day_ends_the_first_time_if_the_clocks_are_set_back_to_midnight_itself() {
        for (day, name, expected) in [
            // 01:00 became 00:00.
            ("2027-11-06", "America/Havana", "2027-11-07T04:00:00Z"),
            // 00:05:28 became 00:00:00.
            ("1911-12-31", "Atlantic/Azores", "1912-01-01T01:54:32Z"),
        ] {
            assert_eq!(end(day, name).as_deref(), Some(expected), "{day} {name}");
        }
    }

    #[test]
    fn the_last_days_end_where_a_timestamp_still_reaches() {
        for (day, name, expected) in [
            ("9599-12-31", "UTC", Some("9600-01-01T00:00:00Z")),
            ("9600-02-29", "UTC", Some("9600-03-01T00:00:00Z")),
            ("9999-07-01", "Europe/Berlin", Some("9999-07-01T22:00:00Z")),
            ("9999-12-30", "UTC", Some("9999-12-31T00:00:00Z")),
            (
                "9999-12-30",
                "America/New_York",
                Some("9999-12-31T05:00:00Z"),
            ),
            ("9999-12-31", "UTC", None),
            ("9999-12-31", "America/New_York", None),
            (
                "9999-12-31",
                "Pacific/Kiritimati",
                Some("9999-12-31T10:00:00Z"),
            ),
        ] {
            assert_eq!(end(day, name).as_deref(), expected, "{day} {name}");
        }
    }

    #[test]
    fn the_date_at_an_instant_is_that_of_the_zone() {
        let at = |millis, name| Date::at(Timestamp::from_millis(millis), &zone(name));
        assert_eq!(at(0, "UTC"), Some(date("1970-01-01")));
        assert_eq!(at(0, "America/New_York"), Some(date("1969-12-31")));
        let last = Timestamp::MAX.as_millis();
        assert_eq!(at(last, "UTC"), Some(date("9999-12-31")));
        assert_eq!(at(last, "America/New_York"), Some(date("9999-12-31")));
        assert_eq!(at(last, "Europe/Berlin"), None);
        assert_eq!(at(last + 1, "UTC"), None);
        assert_eq!(at(i64::MAX, "UTC"), None);
        assert_eq!(at(i64::MIN, "UTC"), None);
        assert_eq!(at(-62_135_596_800_001, "UTC"), None);
    }

    fn any_zone() -> impl Strategy<Value = TimeZone> {
        let names: Vec<_> = jiff::tz::TimeZoneDatabase::bundled()
            .available()
            .map(|name| name.as_str().to_owned())
            .collect();
        prop::sample::select(names).prop_map(|name| zone(&name))
    }

    /// An instant of the years from 1800 to 9999, mostly near a change of the
    /// clocks.
    fn instant(zone: &TimeZone, start: i64, offset: i64) -> Timestamp {
        let begin = Timestamp::from_millis(start);
        let near = Cycle::of(begin)
            .enter(begin)
            .and_then(|entered| {
                zone.rules()
                    .following(entered)
                    .next()
                    .map(|t| t.timestamp())
            })
            .and_then(|change| Cycle::of(begin).leave(change))
            .unwrap_or(begin);
        Timestamp::from_millis(near.as_millis() + offset).min(Timestamp::MAX)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn any_text_is_judged(text in "\\PC{0,12}|[0-9]{4}-[0-9]{2}-[0-9]{2}") {
            if let Ok(date) = Date::parse(&text) {
                prop_assert_eq!(date.to_string(), text);
            }
        }

        #[test]
        fn the_calendar_shows_a_later_date_exactly_from_the_end_of_the_day_on(
            zone in any_zone(),
            start in prop_oneof![
                -5_364_662_400_000..4_000_000_000_000_i64,
                0..Timestamp::MAX.as_millis(),
            ],
            offset in -60 * 3_600_000..60 * 3_600_000_i64,
        ) {
            let instant = instant(&zone, start, offset);
            if let Some(day) = Date::at(instant, &zone) {
                let end = day.end_in(&zone).unwrap_or(Timestamp::from_millis(i64::MAX));
                prop_assert!(instant < end, "{instant:?} of {day} is after its end {end:?}");
                // No instant within 36 hours after the end belongs to the day
                // or to one before it; the last instant before the end does.
                for after in (0..36 * 4).map(|n| end.as_millis().saturating_add(n * 900_000)) {
                    let shown = Date::at(Timestamp::from_millis(after), &zone);
                    prop_assert!(shown.is_none_or(|shown| shown > day), "{shown:?} after {day}");
                }
                let last = Date::at(Timestamp::from_millis(end.as_millis() - 1), &zone);
                prop_assert!(last.is_none_or(|last| last <= day), "{last:?} before the end of {day}");
            }
        }

        #[test]
        fn a_later_day_never_ends_earlier(zone in any_zone(), days in -60_000..2_900_000_i64) {
            let instant = Timestamp::from_millis(days * 86_400_000);
            let next = Timestamp::from_millis((days + 1) * 86_400_000);
            let ends = [instant, next]
                .map(|t| Date::at(t, &TimeZone::utc()).and_then(|day| day.end_in(&zone)));
            prop_assert!(ends[0].is_some());
            prop_assert!(ends[1].is_none_or(|end| Some(end) >= ends[0]));
        }
    }
}
