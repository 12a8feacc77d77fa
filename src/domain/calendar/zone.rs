//! Time zones, by name.

use std::sync::LazyLock;

use jiff::tz::TimeZoneDatabase;

use crate::domain::names::{InvalidText, shared_text};

/// The database that is compiled in, whatever the machine has.
static DATABASE: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

const RULE: &str =
    "must be the name of a zone in the IANA time zone database, such as `Europe/Berlin` or `UTC`";

shared_text! {
    /// The name of a time zone in the IANA time zone database, in the
    /// database's spelling; none is longer than 64 bytes.
    ///
    /// A link (`Asia/Calcutta`) is a name like any other and not equal to the
    /// zone that it leads to (`Asia/Kolkata`).
    TimeZone
}

impl TimeZone {
    /// The time zone of a name, which may be given in any letter case.
    ///
    /// # Errors
    ///
    /// [`InvalidText`], which says the rule: fixed offsets (`+02:00`), POSIX
    /// TZ strings (`CET-1CEST`) and the name for no known zone (`Etc/Unknown`)
    /// are no names in the database.
    pub fn parse(text: &str) -> Result<Self, InvalidText> {
        DATABASE
            .get(text)
            .ok()
            .and_then(|zone| zone.iana_name().map(|name| Self(name.into())))
            .ok_or(InvalidText(RULE))
    }

    /// Coordinated Universal Time.
    #[must_use]
    pub fn utc() -> Self {
        Self("UTC".into())
    }

    /// The zone's rules; those of UTC if the database does not have the name,
    /// which only a [trusted](Self::trusted) text can bring about.
    pub(super) fn rules(&self) -> jiff::tz::TimeZone {
        DATABASE.get(&self.0).unwrap_or(jiff::tz::TimeZone::UTC)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_zone_is_kept_in_the_spelling_of_the_database() {
        for (given, kept) in [
            ("Europe/Berlin", "Europe/Berlin"),
            ("europe/BERLIN", "Europe/Berlin"),
            ("utc", "UTC"),
            ("etc/utc", "Etc/UTC"),
            ("Etc/GMT+5", "Etc/GMT+5"),
            ("asia/calcutta", "Asia/Calcutta"),
            (
                "america/argentina/comodrivadavia",
                "America/Argentina/ComodRivadavia",
            ),
        ] {
            assert_eq!(TimeZone::parse(given).expect(given).as_str(), kept);
        }
        assert_eq!(TimeZone::parse("UTC"), Ok(TimeZone::utc()));
    }

    #[test]
    fn what_is_no_name_in_the_database_is_refused() {
        for bad in [
            "",
            "+02:00",
            "-0300",
            "Z",
            "CET-1CEST",
            "CET-1CEST,M3.5.0,M10.5.0/3",
            "Etc/Unknown",
            "etc/unknown",
            "Europe/Bonn",
            "Europe",
            "Europe/",
            " UTC",
            "UTC\0",
            "../UTC",
            "posix/UTC",
            "localtime",
            "Zürich",
            &"x".repeat(65),
        ] {
            assert!(TimeZone::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn every_zone_of_the_database_is_accepted_and_has_at_most_64_bytes() {
        let mut count = 0;
        for name in DATABASE.available() {
            let zone = TimeZone::parse(name.as_str()).unwrap();
            assert_eq!(zone.as_str(), name.as_str());
            assert!(zone.as_str().len() <= 64, "{zone}");
            count += 1;
        }
        assert!(count > 400, "{count}");
    }

    #[test]
    fn a_stored_name_that_the_database_does_not_have_means_utc() {
        let zone = TimeZone::trusted("Europe/Bonn".into());
        assert_eq!(zone.rules(), jiff::tz::TimeZone::UTC);
    }

    proptest! {
        #[test]
        fn any_text_is_judged(text in "\\PC{0,70}|[A-Z]{3}[-+][0-9]{1,2}([A-Z]{3})?") {
            if let Ok(zone) = TimeZone::parse(&text) {
                prop_assert!(zone.as_str().eq_ignore_ascii_case(&text));
            }
        }
    }
}
