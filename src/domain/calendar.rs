//! Days and calendar periods, and the instants that they stand for in a time
//! zone.
//!
//! The rules of the time zones are those of the IANA time zone database that
//! is compiled in: the machine's own database is not read.

mod date;
mod period;
mod zone;

pub use date::Date;
pub use period::Period;
pub use zone::TimeZone;

use std::fmt;

use super::time::Timestamp;

/// An instant that displays as in RFC 3339, in UTC: `2027-11-23T10:00:00Z`,
/// with milliseconds where they are not zero.
///
/// An instant outside the years 0 to 9999, for which RFC 3339 has no text,
/// displays as its distance from 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Utc(pub Timestamp);

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(instant) = *self;
        let cycle = Cycle::of(instant);
        let shown = cycle
            .enter(instant)
            .map(|entered| jiff::tz::TimeZone::UTC.to_datetime(entered))
            .filter(|shown| shown.year() >= 0 && instant <= Timestamp::MAX)
            .and_then(|shown| shown.with().year(shown.year() + cycle.years()).build().ok());
        match shown {
            Some(shown) => write!(f, "{shown}Z"),
            None => write!(f, "1970-01-01T00:00:00Z{:+} ms", instant.as_millis()),
        }
    }
}

/// In which of two Gregorian cycles of 400 years a calculation takes place.
///
/// `jiff` knows no instant in the last 26 hours before [`Timestamp::MAX`]. The
/// last centuries are therefore calculated one cycle earlier: the calendar is
/// the same there, on the same days of the week, and so are the rules of all
/// time zones, which have no exceptions by then.
#[derive(Clone, Copy)]
enum Cycle {
    Same,
    Earlier,
}

impl Cycle {
    const FIRST_FAR_YEAR: i16 = 9600;
    /// 9600-01-01T00:00:00Z.
    const FAR: Timestamp = Timestamp::from_millis(240_779_520_000_000);

    /// Where to calculate from an instant, and to one up to 101 years later.
    fn of(instant: Timestamp) -> Self {
        if instant >= Self::FAR {
            Self::Earlier
        } else {
            Self::Same
        }
    }

    /// Where to calculate in a year.
    const fn of_year(year: i16) -> Self {
        if year >= Self::FIRST_FAR_YEAR {
            Self::Earlier
        } else {
            Self::Same
        }
    }

    /// How many years earlier that is.
    const fn years(self) -> i16 {
        match self {
            Self::Same => 0,
            Self::Earlier => 400,
        }
    }

    const fn millis(self) -> i64 {
        match self {
            Self::Same => 0,
            Self::Earlier => 146_097 * 86_400_000,
        }
    }

    /// The instant to calculate with; `None` outside what `jiff` knows.
    fn enter(self, instant: Timestamp) -> Option<jiff::Timestamp> {
        let millis = instant.as_millis().checked_sub(self.millis())?;
        jiff::Timestamp::from_millisecond(millis).ok()
    }

    /// The instant that a calculated one stands for; `None` after
    /// [`Timestamp::MAX`].
    fn leave(self, calculated: jiff::Timestamp) -> Option<Timestamp> {
        let instant = Timestamp::from_millis(calculated.as_millisecond() + self.millis());
        (instant <= Timestamp::MAX).then_some(instant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_displays_as_in_rfc_3339() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (1_795_435_387_120, "2026-11-23T12:03:07.12Z"),
            (Cycle::FAR.as_millis() - 1, "9599-12-31T23:59:59.999Z"),
            (Cycle::FAR.as_millis(), "9600-01-01T00:00:00Z"),
            (Timestamp::MAX.as_millis(), "9999-12-31T23:59:59.999Z"),
            (
                Timestamp::MAX.as_millis() + 1,
                "1970-01-01T00:00:00Z+253402300800000 ms",
            ),
            (i64::MAX, "1970-01-01T00:00:00Z+9223372036854775807 ms"),
            (i64::MIN, "1970-01-01T00:00:00Z-9223372036854775808 ms"),
        ] {
            assert_eq!(Utc(Timestamp::from_millis(millis)).to_string(), text);
        }
    }
}
