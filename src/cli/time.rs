//! Times and durations, as people write and read them.

use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, Timestamp};

/// Reads a duration: `30s`, `1h 30m`, `PT90S`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let rule = || "must be a duration such as `30s`, `10m` or `2h`".to_owned();
    let read: SignedDuration = text.parse().map_err(|_| rule())?;
    Duration::try_from(read).map_err(|_| rule())
}

/// The same, for how long an answer is waited for: a year at most.
pub(super) fn patience(text: &str) -> Result<Duration, String> {
    const MOST: Duration = Duration::from_hours(366 * 24);
    let read = duration(text)?;
    if read > MOST {
        return Err("must be a year at most".to_owned());
    }
    Ok(read)
}

/// The same, for a message.
pub(super) fn duration_message(text: &str) -> Result<prost_types::Duration, String> {
    let read = duration(text)?;
    read.try_into().map_err(|_| "is too long".to_owned())
}

/// Which way from now on a period is reckoned.
#[derive(Clone, Copy, Debug)]
enum Way {
    Ahead,
    Back,
}

/// Reads a moment that is to come: RFC 3339, a date (its beginning in UTC), or after how
/// long: `30d`.
pub(super) fn ahead(text: &str) -> Result<prost_types::Timestamp, String> {
    moment(text, Way::Ahead)
}

/// The same, back from now: `90d` is ninety days ago, and so is `90 days ago`.
pub(super) fn back(text: &str) -> Result<prost_types::Timestamp, String> {
    moment(text, Way::Back)
}

/// The same, of one that is over.
pub(super) fn past(text: &str) -> Result<prost_types::Timestamp, String> {
    let then = back(text)?;
    if read(Some(&then)).is_none_or(|then| then > Timestamp::now()) {
        return Err("must be a time that is over".to_owned());
    }
    Ok(then)
}

/// Reads a date; `None`: it is something else. A date with a time of day is an error: in
/// which zone is not said.
pub(super) fn date(text: &str) -> Result<Option<Date>, String> {
    let Ok(date) = text.parse::<Date>() else {
        return Ok(None);
    };
    let is_day = |letter: char| letter.is_ascii_digit() || matches!(letter, '-' | '+');
    if text.chars().all(is_day) {
        return Ok(Some(date));
    }
    Err("a time of day needs its zone: `Z`, or an offset such as `+02:00`".to_owned())
}

/// Reads a period; one that is negative is none.
pub(super) fn period(text: &str) -> Option<Span> {
    let span: Span = text.parse().ok()?;
    (!span.is_negative()).then_some(span)
}

fn moment(text: &str, way: Way) -> Result<prost_types::Timestamp, String> {
    let rule = || {
        "must be a time such as `2026-12-31T12:00:00Z`, a date, or a period such as `30d`"
            .to_owned()
    };
    if let Ok(read) = text.parse::<Timestamp>() {
        return Ok(message(read));
    }
    if let Some(date) = date(text)? {
        let zoned = date.to_zoned_datetime(TimeZone::UTC).map_err(|_| rule())?;
        return Ok(message(zoned.timestamp()));
    }
    let text = match way {
        Way::Ahead => text,
        Way::Back => text.strip_suffix("ago").unwrap_or(text),
    };
    let span = period(text.trim_end()).ok_or_else(rule)?;
    let now = Timestamp::now().to_zoned_datetime(TimeZone::UTC);
    let then = match way {
        Way::Ahead => now.checked_add(span),
        Way::Back => now.checked_sub(span),
    };
    Ok(message(then.map_err(|_| rule())?.timestamp()))
}

fn message(time: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: time.as_second(),
        nanos: time.subsec_nanosecond(),
    }
}

/// A time, if it is one.
pub(super) fn read(time: Option<&prost_types::Timestamp>) -> Option<Timestamp> {
    let time = time?;
    Timestamp::new(time.seconds, time.nanos).ok()
}

/// A time as RFC 3339 to the second, and how far it is; empty, if there is none.
pub(super) fn exact(time: Option<&prost_types::Timestamp>) -> String {
    let Some(time) = read(time) else {
        return String::new();
    };
    format!("{} ({})", seconds(time), relative(time, Timestamp::now()))
}

/// A time as RFC 3339 to the second.
pub(super) fn seconds(time: Timestamp) -> String {
    let whole = Timestamp::from_second(time.as_second()).unwrap_or(time);
    whole.to_string()
}

/// How far a time is from now; `none` if there is none.
pub(super) fn short(time: Option<&prost_types::Timestamp>, none: &str) -> String {
    read(time).map_or_else(|| none.to_owned(), |time| relative(time, Timestamp::now()))
}

/// A duration: `10 s`.
pub(super) fn span(duration: Option<&prost_types::Duration>) -> String {
    let Some(duration) = duration.and_then(|it| Duration::try_from(*it).ok()) else {
        return String::new();
    };
    format!("{duration:?}")
}

/// How far a time is from another, in one unit.
fn relative(time: Timestamp, now: Timestamp) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    // The mean ones of the calendar.
    const MONTH: u64 = 2_629_746;
    const YEAR: u64 = 31_556_952;

    let seconds = time.as_second().saturating_sub(now.as_second());
    let far = seconds.unsigned_abs();
    let (unit, name) = match far {
        0 => return "now".to_owned(),
        _ if far < 100 => (1, "second"),
        _ if far < 100 * MINUTE => (MINUTE, "minute"),
        _ if far < 48 * HOUR => (HOUR, "hour"),
        _ if far < 100 * DAY => (DAY, "day"),
        _ if far < 24 * MONTH => (MONTH, "month"),
        _ => (YEAR, "year"),
    };
    let count = (far + unit / 2) / unit;
    let plural = if count == 1 { "" } else { "s" };
    if seconds > 0 {
        format!("in {count} {name}{plural}")
    } else {
        format!("{count} {name}{plural} ago")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_as_people_say_them() {
        let now = Timestamp::from_second(1_000_000_000).unwrap();
        for (seconds, said) in [
            (0, "now"),
            (1, "in 1 second"),
            (-2, "2 seconds ago"),
            (-5 * 60, "5 minutes ago"),
            (30 * 86_400 - 1, "in 30 days"),
            (-47 * 3_600, "47 hours ago"),
            (365 * 86_400, "in 12 months"),
            (3 * 365 * 86_400, "in 3 years"),
        ] {
            let time = Timestamp::from_second(1_000_000_000 + seconds).unwrap();
            assert_eq!(relative(time, now), said);
        }
    }

    #[test]
    fn moments_are_read_in_three_forms() {
        let at = |text| ahead(text).unwrap().seconds;
        assert_eq!(at("1970-01-02T00:00:01Z"), 86_401);
        assert_eq!(at("1970-01-02"), 86_400);
        let now = Timestamp::now().as_second();
        assert!(at("2d") >= now + 2 * 86_400);
        assert!(back("2d").unwrap().seconds <= Timestamp::now().as_second() - 2 * 86_400);
        for wrong in ["", "soon", "30", "2026-13-01", "-1d", "1d ago"] {
            assert!(ahead(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_back_from_now_is_never_ahead() {
        let now = Timestamp::now().as_second();
        for text in ["90d", "90 days ago", "90d ago", "P90D"] {
            let far = now - back(text).unwrap().seconds - 90 * 86_400;
            assert!((-60..=0).contains(&far), "{text}: {far}");
        }
        for wrong in ["-1d", "-1d ago", "-P1D", "ago"] {
            assert!(back(wrong).is_err(), "{wrong}");
        }
        assert!(past("1d").is_ok() && past("2020-01-01").is_ok());
        assert!(past("2999-01-01").is_err() && past("2999-01-01T00:00:00Z").is_err());
    }

    #[test]
    fn a_time_of_day_needs_its_zone() {
        for wrong in ["2026-11-30T23:00:00", "2026-11-30 23:00", "2026-11-30T23"] {
            let told = ahead(wrong).unwrap_err();
            assert!(told.contains("its zone"), "{wrong}: {told}");
        }
        assert!(ahead("2026-11-30T23:00:00+02:00").is_ok());
        assert!(date("20261130").unwrap().is_some());
    }

    #[test]
    fn durations_are_read_as_people_write_them() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("1h 30m"), Ok(Duration::from_mins(90)));
        for wrong in ["", "30", "-5s", "1d"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
        assert!(patience("8784h").is_ok() && patience("8785h").is_err());
    }
}
