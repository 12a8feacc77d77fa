use super::*;
use proptest::prelude::*;

fn period(text: &str) -> Period {
    Period::parse(text).expect(text)
}

fn on(text: &str) -> Wish {
    Wish::On(Date::parse(text).expect(text))
}

fn at(text: &str) -> Timestamp {
    let parsed: jiff::Timestamp = text.parse().expect(text);
    Timestamp::from_millis(parsed.as_millisecond())
}

fn seconds(seconds: u64) -> Wish {
    Wish::After(Duration::from_secs(seconds))
}

fn berlin() -> TimeZone {
    TimeZone::parse("Europe/Berlin").unwrap()
}

/// 11:30 in Berlin.
const NOW: &str = "2026-11-23T10:30:00Z";

/// A rule of a default and a maximum that never lets a credential be without
/// an expiry.
fn bounded(default: &str, maximum: &str) -> Rule {
    Rule {
        default: Some(period(default)),
        maximum: Some(period(maximum)),
        allowed: vec![],
        never: Never::Forbidden,
        fixed: false,
    }
}

/// The rule that refuses nothing.
fn free() -> Rule {
    Rule {
        default: None,
        maximum: None,
        allowed: vec![],
        never: Never::Allowed,
        fixed: false,
    }
}

fn only(allowed: &[&str]) -> Rule {
    Rule {
        default: Some(period(allowed[0])),
        maximum: None,
        allowed: allowed.iter().map(|text| period(text)).collect(),
        never: Never::Forbidden,
        fixed: false,
    }
}

/// The expiry, or the reason why there is none, in Berlin.
fn resolve(rule: &Rule, wish: &Wish, now: &str) -> String {
    match rule.resolve(wish, &berlin(), at(now)) {
        Ok(Some(expiry)) => Utc(expiry).to_string(),
        Ok(None) => "never".into(),
        Err(refused) => refused.to_string(),
    }
}

#[test]
fn a_rule_that_contradicts_itself_is_refused_with_its_field() {
    let field = |rule: &Rule| rule.check().map_err(|invalid| invalid.field);
    assert_eq!(field(&free()), Ok(()));
    assert_eq!(field(&bounded("P90D", "P1Y")), Ok(()));
    assert_eq!(field(&bounded("P1Y", "P1Y")), Ok(()));
    assert_eq!(field(&bounded("P365D", "P1Y")), Ok(()));
    assert_eq!(field(&only(&["P30D", "P90D", "P1Y"])), Ok(()));

    for (default, maximum) in [
        ("P2Y", "P1Y"),
        ("P366D", "P1Y"),
        ("P1M", "P30D"),
        ("P30D", "P1M"),
        ("PT1H1S", "PT1H"),
    ] {
        assert_eq!(
            field(&bounded(default, maximum)),
            Err("default"),
            "{default}"
        );
    }
    let never = Rule {
        never: Never::Allowed,
        ..bounded("P90D", "P1Y")
    };
    assert_eq!(field(&never), Err("maximum"));
    let nothing = Rule {
        never: Never::Forbidden,
        ..free()
    };
    assert_eq!(field(&nothing), Err("default"));
    let not_among = Rule {
        default: Some(period("P60D")),
        ..only(&["P30D", "P90D"])
    };
    assert_eq!(field(&not_among), Err("default"));
    let said_otherwise = Rule {
        default: Some(period("P12M")),
        ..only(&["P1Y"])
    };
    assert_eq!(field(&said_otherwise), Err("default"));
    let no_default = Rule {
        default: None,
        ..only(&["P30D"])
    };
    assert_eq!(field(&no_default), Err("default"));
    let or_never = Rule {
        default: None,
        never: Never::Allowed,
        ..only(&["P30D"])
    };
    assert_eq!(field(&or_never), Ok(()));
    let too_long = Rule {
        maximum: Some(period("P60D")),
        ..only(&["P30D", "P90D"])
    };
    assert_eq!(field(&too_long), Err("allowed"));
    assert_eq!(field(&only(&["P30D", "P90D", "P30D"])), Err("allowed"));
    assert_eq!(
        too_long.check().unwrap_err().to_string(),
        "`allowed` must not have a period that may be longer than the maximum"
    );
}

#[test]
fn a_rule_without_bounds_takes_every_time_to_come() {
    for (wish, expected) in [
        (Wish::Unsaid, "never"),
        (Wish::Never, "never"),
        (
            Wish::At(at("2026-11-23T10:30:00.001Z")),
            "2026-11-23T10:30:00.001Z",
        ),
        (Wish::At(Timestamp::MAX), "9999-12-31T23:59:59.999Z"),
        (
            Wish::After(Duration::from_millis(1)),
            "2026-11-23T10:30:00.001Z",
        ),
        (seconds(60), "2026-11-23T10:31:00Z"),
        (Wish::Period(period("P1Y")), "2027-11-23T10:30:00Z"),
        // Summer time: the time of day remains.
        (Wish::Period(period("P8M")), "2027-07-23T09:30:00Z"),
        (on("2026-11-23"), "2026-11-23T23:00:00Z"),
        (on("9999-12-30"), "9999-12-30T23:00:00Z"),
        (on("9999-12-31"), "9999-12-31T23:00:00Z"),
    ] {
        assert_eq!(resolve(&free(), &wish, NOW), expected, "{wish:?}");
    }
}

#[test]
fn a_time_that_is_not_to_come_is_refused() {
    for wish in [
        Wish::At(at(NOW)),
        Wish::At(at("2026-11-23T10:29:59.999Z")),
        Wish::At(Timestamp::from_millis(i64::MIN)),
        Wish::After(Duration::ZERO),
        Wish::After(Duration::from_nanos(999_999)),
        on("2026-11-22"),
        on("0001-01-01"),
    ] {
        for rule in [free(), bounded("P1D", "P1Y")] {
            assert_eq!(
                resolve(&rule, &wish, NOW),
                "must be in the future",
                "{wish:?}"
            );
        }
    }
    // At 23:30 UTC it is the next day in Berlin.
    assert_eq!(
        resolve(&free(), &on("2026-11-23"), "2026-11-23T23:30:00Z"),
        "must be in the future"
    );
}

#[test]
fn a_time_after_the_year_9999_is_refused() {
    let past_all = Wish::At(Timestamp::from_millis(Timestamp::MAX.as_millis() + 1));
    let too_far = "must be in the year 9999 at the latest";
    assert_eq!(resolve(&free(), &past_all, NOW), too_far);
    assert_eq!(resolve(&free(), &Wish::After(Duration::MAX), NOW), too_far);
    let late =
        |wish: &Wish, rule: &Rule| rule.resolve(wish, &TimeZone::utc(), at("9950-01-01T00:00:00Z"));
    let century = Wish::Period(period("P100Y"));
    assert_eq!(late(&century, &free()), Err(Refused::TooFar));
    // A maximum that lies after the last instant bounds nothing.
    let rule = bounded("P100Y", "P100Y");
    assert_eq!(late(&Wish::Unsaid, &rule), Err(Refused::TooFar));
    assert_eq!(
        late(&Wish::At(Timestamp::MAX), &rule),
        Ok(Some(Timestamp::MAX))
    );
    assert_eq!(late(&on("9999-12-31"), &rule), Err(Refused::TooFar));
}

#[test]
fn what_lives_longer_than_the_maximum_is_refused_with_the_last_instant() {
    let too_late = "must be P1Y after the issue at the latest, that is 2027-11-23T10:30:00Z";
    let rule = bounded("P90D", "P1Y");
    for wish in [
        Wish::At(at("2027-11-23T10:30:00.001Z")),
        Wish::At(Timestamp::from_millis(i64::MAX)),
        seconds(365 * 86_400 + 1),
        Wish::After(Duration::MAX),
        Wish::Period(period("P366D")),
        Wish::Period(period("P1YT1S")),
        Wish::Period(period("P2Y")),
        on("2027-11-24"),
        on("9999-12-31"),
    ] {
        assert_eq!(resolve(&rule, &wish, NOW), too_late, "{wish:?}");
    }
    for (wish, expected) in [
        (Wish::Unsaid, "2027-02-21T10:30:00Z"),
        (Wish::At(at("2027-11-23T10:30:00Z")), "2027-11-23T10:30:00Z"),
        (seconds(365 * 86_400), "2027-11-23T10:30:00Z"),
        (Wish::Period(period("P1Y")), "2027-11-23T10:30:00Z"),
        (Wish::Period(period("P12M")), "2027-11-23T10:30:00Z"),
        (on("2027-11-22"), "2027-11-22T23:00:00Z"),
        (
            Wish::Never,
            "must not be never: credentials of this profile expire",
        ),
    ] {
        assert_eq!(resolve(&rule, &wish, NOW), expected, "{wish:?}");
    }
}

#[test]
fn the_date_of_the_maximum_can_be_chosen_and_is_cut_there() {
    let rule = bounded("P90D", "P1Y");
    assert_eq!(
        resolve(&rule, &on("2027-11-23"), NOW),
        "2027-11-23T10:30:00Z"
    );
    // What is the date of the maximum is said by the zone: here it is the 24th.
    let late = "2026-11-23T23:30:00Z";
    assert_eq!(
        resolve(&rule, &on("2027-11-24"), late),
        "2027-11-23T23:30:00Z"
    );
    assert_ne!(
        resolve(&rule, &on("2027-11-25"), late),
        "2027-11-23T23:30:00Z"
    );
    // From midnight to midnight, and from a leap day.
    let midnight = "2026-11-22T23:00:00Z";
    assert_eq!(
        resolve(&rule, &on("2027-11-23"), midnight),
        "2027-11-22T23:00:00Z"
    );
    let leap_day = "2028-02-29T10:30:00Z";
    assert_eq!(
        resolve(&rule, &on("2029-02-28"), leap_day),
        "2029-02-28T10:30:00Z"
    );
    assert!(resolve(&rule, &on("2029-03-01"), leap_day).starts_with("must be P1Y"));
}

#[test]
fn the_last_date_can_be_chosen_and_is_cut_at_the_maximum() {
    let rule = bounded("P1D", "P49Y");
    let zone = TimeZone::utc();
    let now = at("9950-12-31T23:59:59Z");
    let last = Timestamp::from_millis(Timestamp::MAX.as_millis() - 999);
    assert_eq!(rule.resolve(&on("9999-12-31"), &zone, now), Ok(Some(last)));
}

#[test]
fn a_length_within_the_maximum_is_granted_while_the_clocks_are_set_forward() {
    // 30 days with one of 23 hours in Berlin.
    let march = "2027-03-10T10:30:00Z";
    let rule = bounded("PT720H", "P30D");
    assert_eq!(rule.check(), Ok(()));
    for wish in [
        Wish::Unsaid,
        seconds(2_592_000),
        Wish::Period(period("PT720H")),
        Wish::Period(period("P30D")),
    ] {
        assert_eq!(
            resolve(&rule, &wish, march),
            "2027-04-09T09:30:00Z",
            "{wish:?}"
        );
    }
    for wish in [seconds(2_592_001), Wish::Period(period("PT720H1S"))] {
        assert!(
            resolve(&rule, &wish, march).starts_with("must be P30D after"),
            "{wish:?}"
        );
    }
    // The clocks change on different dates: 365 days with one hour less.
    let rule = bounded("P1D", "P1Y");
    let between = "2026-03-28T10:30:00Z";
    assert_eq!(
        resolve(&rule, &seconds(31_536_000), between),
        "2027-03-28T09:30:00Z"
    );
}

#[test]
fn where_periods_are_listed_nothing_else_can_be_said() {
    let rule = only(&["P30D", "P90D", "P1Y"]);
    for (wish, expected) in [
        (Wish::Unsaid, "2026-12-23T10:30:00Z"),
        (Wish::Period(period("P30D")), "2026-12-23T10:30:00Z"),
        (Wish::Period(period("P1Y")), "2027-11-23T10:30:00Z"),
        (seconds(90 * 86_400), "2027-02-21T10:30:00Z"),
    ] {
        assert_eq!(resolve(&rule, &wish, NOW), expected, "{wish:?}");
    }
    for wish in [
        Wish::Period(period("P60D")),
        Wish::Period(period("P12M")),
        Wish::Period(period("PT720H")),
        seconds(365 * 86_400),
        seconds(90 * 86_400 - 1),
        Wish::After(Duration::from_millis(90 * 86_400_000 + 1)),
        Wish::At(at("2026-12-23T10:30:00Z")),
        on("2026-12-23"),
    ] {
        assert_eq!(
            resolve(&rule, &wish, NOW),
            "must be one of P30D, P90D, P1Y",
            "{wish:?}"
        );
    }
    assert_eq!(
        resolve(&rule, &Wish::Never, NOW),
        "must not be never: credentials of this profile expire"
    );
    let or_never = Rule {
        never: Never::Allowed,
        ..rule
    };
    assert_eq!(resolve(&or_never, &Wish::Never, NOW), "never");
    assert_eq!(
        resolve(&or_never, &Wish::Unsaid, NOW),
        "2026-12-23T10:30:00Z"
    );
    assert_eq!(
        resolve(&only(&["P1Y"]), &on("2027-11-23"), NOW),
        "must be P1Y"
    );
}

#[test]
fn a_duration_that_says_a_listed_period_means_it() {
    // As a period: with a day of 23 hours.
    let march = "2027-03-10T10:30:00Z";
    let rule = only(&["P30D"]);
    assert_eq!(
        resolve(&rule, &seconds(2_592_000), march),
        "2027-04-09T09:30:00Z"
    );
}

#[test]
fn what_was_not_checked_is_still_no_credential_without_expiry() {
    let unchecked = Rule {
        never: Never::Forbidden,
        ..free()
    };
    assert_eq!(
        resolve(&unchecked, &Wish::Unsaid, NOW),
        "must be set: credentials of this profile expire"
    );
}

fn any_period() -> impl Strategy<Value = Period> {
    "P[1-3]Y|P[1-9]M|P[1-9][0-9]?[0-9]?D|P[1-9]W|PT[1-9][0-9]?[0-9]?H|P1M[1-9]DT[1-9]H"
        .prop_map(|text| period(&text))
}

fn any_wish() -> impl Strategy<Value = Wish> {
    prop_oneof![
        Just(Wish::Unsaid),
        Just(Wish::Never),
        any::<i64>().prop_map(|millis| Wish::At(Timestamp::from_millis(millis))),
        (1_600_000_000_000..2_400_000_000_000_i64)
            .prop_map(|millis| Wish::At(Timestamp::from_millis(millis))),
        (0..100_000_000_000_u64).prop_map(|millis| Wish::After(Duration::from_millis(millis))),
        any_period().prop_map(Wish::Period),
        "20[2-3][0-9]-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])".prop_map(|text| on(&text)),
    ]
}

fn any_rule() -> impl Strategy<Value = Rule> {
    (
        prop::option::of(any_period()),
        prop::option::of(any_period()),
        prop::collection::vec(any_period(), 0..3),
        prop::sample::select(vec![Never::Forbidden, Never::Allowed, Never::Always]),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(default, maximum, allowed, never, among, fixed)| Rule {
            // A default of those that are listed, often enough.
            default: if among {
                allowed.first().copied().or(default)
            } else {
                default
            },
            maximum,
            allowed,
            never,
            fixed,
        })
}

fn any_zone() -> impl Strategy<Value = TimeZone> {
    prop::sample::select(vec![
        "UTC",
        "Europe/Berlin",
        "America/Havana",
        "Asia/Kathmandu",
    ])
    .prop_map(|name| TimeZone::parse(name).unwrap())
}

#[test]
fn what_never_expires_is_given_no_expiry() {
    let rule = Rule {
        never: Never::Always,
        ..free()
    };
    assert_eq!(rule.check(), Ok(()));
    for nothing in [Wish::Unsaid, Wish::Never] {
        assert_eq!(rule.resolve(&nothing, &TimeZone::utc(), at(NOW)), Ok(None));
    }
    let month = period("P1M");
    for wish in [
        Wish::At(Timestamp::MAX),
        Wish::After(Duration::from_hours(1)),
        Wish::Period(month),
        on("2999-01-01"),
    ] {
        let refused = rule.resolve(&wish, &TimeZone::utc(), at(NOW));
        assert_eq!(refused, Err(Refused::Expires), "{wish:?}");
    }
    let default = Some(month);
    let allowed = vec![month];
    for with_periods in [
        Rule {
            default,
            ..rule.clone()
        },
        Rule { allowed, ..rule },
    ] {
        assert_eq!(with_periods.check().unwrap_err().field, "never");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn an_expiry_is_to_come_and_within_the_maximum(
        rule in any_rule(),
        wish in any_wish(),
        zone in any_zone(),
        now in 1_600_000_000_000..2_200_000_000_000_i64,
    ) {
        let now = Timestamp::from_millis(now);
        match rule.resolve(&wish, &zone, now) {
            Ok(Some(expiry)) => {
                prop_assert!(expiry > now);
                if let Some(latest) = rule.maximum.and_then(|maximum| maximum.after(now, &zone)) {
                    prop_assert!(expiry <= latest);
                }
                if let Wish::At(instant) = wish {
                    prop_assert_eq!(expiry, instant);
                }
            }
            Ok(None) => prop_assert!(rule.never != Never::Forbidden),
            Err(refused) => prop_assert!(refused.to_string().starts_with("must ")),
        }
    }

    #[test]
    fn what_a_checked_rule_offers_it_grants(
        rule in any_rule(),
        zone in any_zone(),
        now in 1_600_000_000_000..2_200_000_000_000_i64,
    ) {
        let now = Timestamp::from_millis(now);
        if rule.check().is_ok() {
            prop_assert!(rule.resolve(&Wish::Unsaid, &zone, now).is_ok());
            let never = rule.resolve(&Wish::Never, &zone, now);
            prop_assert_eq!(never.is_ok(), rule.never != Never::Forbidden);
            for period in rule.allowed.iter().chain(&rule.maximum) {
                let listed = rule.allowed.is_empty() || rule.allowed.contains(period);
                let granted = rule.resolve(&Wish::Period(*period), &zone, now);
                prop_assert_eq!(granted.is_ok(), listed);
                if let Some(length) = period.fixed().filter(|_| listed) {
                    prop_assert!(rule.resolve(&Wish::After(length), &zone, now).is_ok());
                }
            }
        }
    }

    #[test]
    fn the_date_of_the_maximum_is_the_last_that_can_be_chosen(
        maximum in any_period(),
        zone in any_zone(),
        now in 1_600_000_000_000..2_200_000_000_000_i64,
    ) {
        let now = Timestamp::from_millis(now);
        let rule = Rule { default: Some(maximum), maximum: Some(maximum), never: Never::Forbidden, ..free() };
        let latest = maximum.after(now, &zone).unwrap();
        let last = Date::at(latest, &zone).unwrap();
        prop_assert_eq!(rule.resolve(&Wish::On(last), &zone, now), Ok(Some(latest)));
        let next = Date::at(last.end_in(&zone).unwrap(), &zone).unwrap();
        prop_assert_eq!(
            rule.resolve(&Wish::On(next), &zone, now),
            Err(Refused::TooLate { maximum, latest })
        );
    }
}
