use super::*;
use crate::domain::calendar::Utc;
use proptest::prelude::*;

fn period(text: &str) -> Period {
    Period::parse(text).expect(text)
}

fn instant(text: &str) -> Timestamp {
    let parsed: jiff::Timestamp = text.parse().expect(text);
    Timestamp::from_millis(parsed.as_millisecond())
}

fn after(now: &str, length: &str, zone: &str) -> Option<String> {
    period(length)
        .after(instant(now), &TimeZone::parse(zone).expect(zone))
        .map(|end| Utc(end).to_string())
}

#[test]
fn a_period_has_one_text() {
    for (given, written) in [
        ("P1Y", "P1Y"),
        ("P30D", "P30D"),
        ("PT12H", "PT12H"),
        ("P1Y2M3W4DT5H6M7S", "P1Y2M3W4DT5H6M7S"),
        ("P0Y030D", "P30D"),
        ("P1YT0S", "P1Y"),
        ("PT0H60M", "PT60M"),
        ("P1M", "P1M"),
        ("PT1M", "PT1M"),
        ("P12M", "P12M"),
        ("P365D", "P365D"),
        ("PT1S", "PT1S"),
        ("P100Y", "P100Y"),
        ("P1200M", "P1200M"),
        ("P36524D", "P36524D"),
        ("PT3155695200S", "PT3155695200S"),
    ] {
        assert_eq!(period(given).to_string(), written);
    }
}

#[test]
fn what_is_no_period_of_whole_numbers_up_to_a_century_is_refused() {
    for bad in [
        "",
        "P",
        "PT",
        "P1DT",
        "PD",
        "P0D",
        "PT0S",
        "P0Y0M0W0DT0H0M0S",
        "1Y",
        "p1y",
        "P1y",
        "-P1Y",
        "+P1Y",
        "P-1Y",
        "P+1Y",
        "P1.5Y",
        "PT0,5H",
        "PT1.5S",
        "P1D1Y",
        "P1Y1Y",
        "P1H",
        "PT1D",
        "PT1S1H",
        "P1DT1HT1S",
        " P1Y",
        "P1Y ",
        "P 1Y",
        "P1",
        "P1Y1",
        "P0001-00-00",
        "P１Y",
        "P101Y",
        "P100YT1S",
        "P1201M",
        "P36525D",
        "PT3155695201S",
        "P4294967295Y",
        "P4294967296Y",
        "P99999999999999999999999Y",
    ] {
        assert!(Period::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn periods_of_different_units_are_different() {
    assert_eq!(period("P1Y"), period("P01Y0M"));
    for other in ["P12M", "P365D", "P52W", "P1Y1D", "PT8760H"] {
        assert_ne!(period("P1Y"), period(other));
    }
    assert_ne!(period("P1M"), period("PT1M"));
}

#[test]
fn years_and_months_go_by_the_calendar() {
    for (now, length, zone, end) in [
        ("2028-02-29T10:00:00Z", "P1Y", "UTC", "2029-02-28T10:00:00Z"),
        ("2028-02-29T10:00:00Z", "P4Y", "UTC", "2032-02-29T10:00:00Z"),
        (
            "2028-02-29T10:00:00Z",
            "P100Y",
            "UTC",
            "2128-02-29T10:00:00Z",
        ),
        ("2096-02-29T10:00:00Z", "P4Y", "UTC", "2100-02-28T10:00:00Z"),
        ("2027-02-28T10:00:00Z", "P1Y", "UTC", "2028-02-28T10:00:00Z"),
        ("2027-01-31T10:00:00Z", "P1M", "UTC", "2027-02-28T10:00:00Z"),
        ("2028-01-31T10:00:00Z", "P1M", "UTC", "2028-02-29T10:00:00Z"),
        // The months first, all at once, then the days.
        ("2027-01-31T10:00:00Z", "P2M", "UTC", "2027-03-31T10:00:00Z"),
        (
            "2027-01-31T10:00:00Z",
            "P1M1D",
            "UTC",
            "2027-03-01T10:00:00Z",
        ),
        (
            "2028-02-29T10:00:00Z",
            "P1Y1M",
            "UTC",
            "2029-03-29T10:00:00Z",
        ),
        (
            "2027-11-23T10:00:00.123Z",
            "P1W1DT1H1M1S",
            "UTC",
            "2027-12-01T11:01:01.123Z",
        ),
        // 23:30 UTC is on the next day in Berlin, which is 29 February.
        (
            "2028-02-28T23:30:00Z",
            "P1Y",
            "Europe/Berlin",
            "2029-02-27T23:30:00Z",
        ),
    ] {
        assert_eq!(
            after(now, length, zone).as_deref(),
            Some(end),
            "{now} {length}"
        );
    }
}

#[test]
fn days_keep_the_time_of_day_and_hours_do_not() {
    for (now, length, zone, end) in [
        // In Berlin the clocks are set forward on 2027-03-28 at 01:00 UTC.
        (
            "2027-03-27T10:00:00Z",
            "P1D",
            "Europe/Berlin",
            "2027-03-28T09:00:00Z",
        ),
        (
            "2027-03-27T10:00:00Z",
            "PT24H",
            "Europe/Berlin",
            "2027-03-28T10:00:00Z",
        ),
        // 02:30, which is skipped, becomes 03:30.
        (
            "2027-03-27T01:30:00Z",
            "P1D",
            "Europe/Berlin",
            "2027-03-28T01:30:00Z",
        ),
        // They are set back on 2027-10-31 at 01:00 UTC: the first 02:30.
        (
            "2027-10-30T00:30:00Z",
            "P1D",
            "Europe/Berlin",
            "2027-10-31T00:30:00Z",
        ),
        // Midnight, which is skipped, becomes 01:00.
        (
            "2018-11-03T03:00:00Z",
            "P1D",
            "America/Sao_Paulo",
            "2018-11-04T03:00:00Z",
        ),
        // The day that is skipped becomes the day after it.
        (
            "2011-12-29T20:00:00Z",
            "P1D",
            "Pacific/Apia",
            "2011-12-30T20:00:00Z",
        ),
        (
            "2011-12-29T20:00:00Z",
            "P2D",
            "Pacific/Apia",
            "2011-12-30T20:00:00Z",
        ),
    ] {
        assert_eq!(
            after(now, length, zone).as_deref(),
            Some(end),
            "{now} {length}"
        );
    }
}

#[test]
fn a_period_ends_as_late_as_a_timestamp_reaches() {
    let utc = TimeZone::utc();
    let last = Timestamp::MAX.as_millis();
    let end = |now, text| period(text).after(Timestamp::from_millis(now), &utc);
    assert_eq!(end(last - 1000, "PT1S"), Some(Timestamp::MAX));
    assert_eq!(end(last - 999, "PT1S"), None);
    assert_eq!(end(last - 86_400_000, "P1D"), Some(Timestamp::MAX));
    assert_eq!(end(last, "P100Y"), None);
    assert_eq!(end(last + 1, "PT1S"), None);
    assert_eq!(end(i64::MAX, "P100Y"), None);
    assert_eq!(end(i64::MIN, "P100Y"), None);
    for (now, length, expected) in [
        ("9599-12-31T23:59:59Z", "PT1S", "9600-01-01T00:00:00Z"),
        ("9599-02-28T00:00:00Z", "P1Y1D", "9600-02-29T00:00:00Z"),
        ("9600-02-29T00:00:00Z", "P1Y", "9601-02-28T00:00:00Z"),
        ("9899-12-31T23:59:59Z", "P100Y", "9999-12-31T23:59:59Z"),
    ] {
        assert_eq!(after(now, length, "UTC").as_deref(), Some(expected));
    }
}

#[test]
fn a_period_without_years_and_months_has_a_fixed_length() {
    for (text, seconds) in [
        ("P30D", Some(2_592_000)),
        ("P1W", Some(604_800)),
        ("P1DT1H1M1S", Some(90_061)),
        ("PT12H", Some(43_200)),
        ("PT1S", Some(1)),
        ("P1Y", None),
        ("P1M", None),
        ("P1M30D", None),
    ] {
        let fixed = seconds.map(Duration::from_secs);
        assert_eq!(period(text).fixed(), fixed, "{text}");
        assert!(fixed.is_none_or(|fixed| period(text).shortest() == fixed));
    }
    for (text, days) in [("P1M", 28), ("P1Y", 365), ("P4Y", 1460), ("P1M30D", 58)] {
        let shortest = Duration::from_secs(days * SECONDS_A_DAY);
        assert_eq!(period(text).shortest(), shortest, "{text}");
    }
}

#[test]
fn a_period_outlasts_another_if_there_is_a_beginning_for_which_it_does() {
    for (shorter, longer) in [
        ("P30D", "P90D"),
        ("P1M", "P31D"),
        ("P28D", "P1M"),
        ("P365D", "P1Y"),
        ("P1Y", "P366D"),
        ("P1460D", "P4Y"),
        ("P4Y", "P1461D"),
        ("P36524D", "P100Y"),
        ("P11M", "P337D"),
        ("P334D", "P11M"),
        ("P1Y1M", "P1Y31D"),
        ("P1Y28D", "P13M"),
        ("PT59M", "PT1H"),
    ] {
        assert!(!period(shorter).may_outlast(&period(longer)), "{shorter}");
        assert!(period(longer).may_outlast(&period(shorter)), "{longer}");
    }
    for (one, other) in [("P1Y", "P12M"), ("P30D", "PT720H"), ("P1W", "P7D")] {
        assert!(!period(one).may_outlast(&period(other)), "{one}");
        assert!(!period(other).may_outlast(&period(one)), "{other}");
    }
    for (one, other) in [("P30D", "P1M"), ("P1461D", "P4Y"), ("P335D", "P11M")] {
        assert!(period(one).may_outlast(&period(other)), "{one}");
        let hour_less = format!("{one}T1H");
        assert!(period(&hour_less).may_outlast(&period(other)), "{one}");
    }
}

#[test]
fn runs_of_months_have_the_days_that_the_calendar_gives_them() {
    // Every run of up to a century in one cycle of the calendar.
    let first =
        |month: i16| jiff::civil::date(1600 + month / 12, i8::try_from(month % 12 + 1).unwrap(), 1);
    for length in (0..=24_i16).chain([48, 49, 60, 95, 96, 97, 108, 600, 1199, 1200]) {
        let days = (0..4800_i16).map(|month| {
            let run = first(month + length).duration_since(first(month));
            u64::try_from(run.as_hours() / 24).unwrap()
        });
        let (least, most) = days.fold((u64::MAX, 0), |(least, most), days| {
            (least.min(days), most.max(days))
        });
        let length = u64::try_from(length).unwrap();
        assert!(shortest_days(length) <= least, "{length}: {least}");
        assert!(longest_days(length) >= most, "{length}: {most}");
        if length <= 12 || length % 48 == 0 {
            assert_eq!(shortest_days(length), least, "{length}");
            assert_eq!(longest_days(length), most, "{length}");
        }
    }
}

fn any_period() -> impl Strategy<Value = Period> {
    let date = (0..4_u32, 0..30_u32, 0..60_u32, 0..800_u32);
    let time = (0..100_u32, 0..2000_u32, 0..100_000_u32);
    // Small numbers of few units, as people choose them, meet each other
    // closely enough to tell wrong bounds.
    (date, time, 1..128_u8)
        .prop_map(|((y, mo, w, d), (h, mi, s), units)| {
            let keep = |unit: u8, number| if units >> unit & 1 == 1 { number } else { 0 };
            Period {
                date: [keep(0, y), keep(1, mo), keep(2, w), keep(3, d)],
                time: [keep(4, h), keep(5, mi), keep(6, s)],
            }
        })
        .prop_filter("zero", |period| period.mean_seconds() > 0)
}

fn any_zone() -> impl Strategy<Value = TimeZone> {
    prop::sample::select(vec![
        "UTC",
        "Europe/Berlin",
        "America/Sao_Paulo",
        "Pacific/Apia",
        "America/Juneau",
        "Asia/Manila",
        "America/St_Johns",
        "Africa/Casablanca",
    ])
    .prop_map(|name| TimeZone::parse(name).unwrap())
}

fn any_instant() -> impl Strategy<Value = Timestamp> {
    prop_oneof![
        -4_000_000_000_000..4_000_000_000_000_i64,
        0..Timestamp::MAX.as_millis(),
    ]
    .prop_map(Timestamp::from_millis)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn any_text_is_judged(text in "\\PC{0,20}|P([0-9]{0,12}[YMWD]){0,4}(T([0-9]{0,12}[HMS]){0,3})?") {
        if let Ok(period) = Period::parse(&text) {
            prop_assert_eq!(Period::parse(&period.to_string()), Ok(period));
        }
    }

    #[test]
    fn what_is_written_is_read_back(period in any_period()) {
        prop_assert_eq!(Period::parse(&period.to_string()), Ok(period));
    }

    #[test]
    fn a_period_ends_after_it_begins(
        period in any_period(),
        now in any_instant(),
        zone in any_zone(),
    ) {
        prop_assert!(period.after(now, &zone).is_none_or(|end| end > now));
    }

    #[test]
    fn more_of_a_date_unit_never_ends_earlier(
        period in any_period(),
        now in any_instant(),
        zone in any_zone(),
        unit in 0..4_usize,
        more in 1..12_u32,
    ) {
        let mut longer = period;
        longer.date[unit] += more;
        let ends = [period, longer].map(|period| period.after(now, &zone));
        prop_assert!(ends[1].is_none_or(|end| Some(end) >= ends[0] && ends[0].is_some()));
    }

    #[test]
    fn in_utc_the_same_time_of_a_later_day_never_ends_earlier(
        period in any_period(),
        now in any_instant(),
        days in 0..90_i64,
    ) {
        let utc = TimeZone::utc();
        let end = period.after(now, &utc);
        let later_end = period.after(Timestamp::from_millis(now.as_millis() + days * 86_400_000), &utc);
        prop_assert!(later_end.is_none_or(|later_end| Some(later_end) >= end && end.is_some()));
    }

    #[test]
    fn a_fixed_length_is_what_passes_in_utc(period in any_period(), now in any_instant()) {
        if let Some(length) = period.fixed() {
            prop_assert_eq!(period.after(now, &TimeZone::utc()), now.checked_add(length));
        }
    }

    #[test]
    fn what_may_not_outlast_never_ends_later_in_utc(
        one in any_period(),
        months in 0..40_u32,
        days in -40..40_i32,
        now in any_instant(),
    ) {
        // A period of months and days near the length of the first.
        let total = i64::try_from(one.mean_seconds() / SECONDS_A_DAY).unwrap();
        let rest = total - i64::from(months) * 30 + i64::from(days);
        let other = Period {
            date: [0, months, 0, u32::try_from(rest).unwrap_or(0)],
            time: [0, 0, 1],
        };
        let ends = [one, other].map(|p| p.after(now, &TimeZone::utc()));
        if let [Some(end), Some(other_end)] = ends {
            prop_assert!(one.may_outlast(&other) || end <= other_end);
            prop_assert!(other.may_outlast(&one) || other_end <= end);
        }
    }
}
