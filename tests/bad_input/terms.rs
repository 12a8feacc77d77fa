//! What is said of a credential: by Issue, Update and `ImportCredentials` alike.

use std::collections::BTreeMap;

use credd::proto::v1;

use crate::unchanged::{Case, at, case, different, now, seconds, texts};

/// The fields that the three have in common.
#[derive(Clone, Default)]
pub(crate) struct Terms {
    pub(crate) label: String,
    pub(crate) description: String,
    pub(crate) roles: Vec<String>,
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) language: String,
    pub(crate) time_zone: String,
    pub(crate) expiry: Option<Expiry>,
}

/// The oneof that the three have in common.
#[derive(Clone)]
pub(crate) enum Expiry {
    At(prost_types::Timestamp),
    Ttl(prost_types::Duration),
    Period(&'static str),
    On(&'static str),
    Never(bool),
}

macro_rules! expiry {
    ($expiry:expr, $message:ident) => {
        $expiry.map(|expiry| match expiry {
            Expiry::At(at) => v1::$message::Expiry::ExpiresAt(at),
            Expiry::Ttl(ttl) => v1::$message::Expiry::Ttl(ttl),
            Expiry::Period(period) => v1::$message::Expiry::Period(period.to_owned()),
            Expiry::On(date) => v1::$message::Expiry::ExpiresOn(date.to_owned()),
            Expiry::Never(never) => v1::$message::Expiry::Never(never),
        })
    };
}

macro_rules! request {
    ($terms:expr, $message:ident, $module:ident, $base:expr) => {{
        let Terms {
            label,
            description,
            roles,
            attributes,
            language,
            time_zone,
            expiry,
        } = $terms;
        v1::$message {
            label,
            description,
            roles,
            attributes,
            language,
            time_zone,
            expiry: expiry!(expiry, $module),
            ..$base
        }
    }};
}

impl Terms {
    /// With a label, and good.
    pub(crate) fn good() -> Self {
        Self {
            label: "test".to_owned(),
            ..Self::default()
        }
    }

    pub(crate) fn of(expiry: Expiry) -> Self {
        Self {
            expiry: Some(expiry),
            ..Self::good()
        }
    }

    /// What issues such a credential to `jo` of `acme`.
    pub(crate) fn issue(self, profile: &str) -> v1::IssueRequest {
        let base = v1::IssueRequest {
            tenant: "acme".to_owned(),
            owner: "jo".to_owned(),
            profile: profile.to_owned(),
            ..Default::default()
        };
        request!(self, IssueRequest, issue_request, base)
    }

    /// What changes a credential to such a one, in every field.
    pub(crate) fn update(self, id: &str) -> v1::UpdateRequest {
        let base = v1::UpdateRequest {
            credential_id: id.to_owned(),
            update_mask: Some(prost_types::FieldMask {
                paths: texts(&["*"]),
            }),
            ..Default::default()
        };
        request!(self, UpdateRequest, update_request, base)
    }

    /// What brings such a credential of `jo` from elsewhere.
    pub(crate) fn import(self, profile: &str) -> v1::ImportedCredential {
        let base = v1::ImportedCredential {
            owner: "jo".to_owned(),
            profile: profile.to_owned(),
            secret: Some(v1::imported_credential::Secret::Plain("s".repeat(16))),
            entropy_bits: 128,
            ..Default::default()
        };
        request!(self, ImportedCredential, imported_credential, base)
    }
}

/// What is wrong by any profile.
pub(crate) fn wrong_by_any_profile() -> Vec<Case<Terms>> {
    let mut cases = wrong_texts();
    cases.extend(wrong_attributes());
    cases.extend(wrong_expiries());
    cases.push(case(
        "everything wrong at once",
        Terms {
            label: "\0".to_owned(),
            description: "\0".to_owned(),
            roles: texts(&["No Role"]),
            attributes: attributes(&[("A", "b")]),
            language: "english".to_owned(),
            time_zone: "Europe/Atlantis".to_owned(),
            expiry: Some(Expiry::Never(false)),
        },
        &[
            "label",
            "description",
            "roles[0]",
            "attributes",
            "language",
            "time_zone",
            "never",
        ],
    ));
    cases
}

fn wrong_texts() -> Vec<Case<Terms>> {
    let good = Terms::good;
    let mut cases = Vec::new();
    let labels = [
        ("no label", String::new()),
        ("a label of 10 kB", "x".repeat(10_240)),
        ("a label of 129 characters", "é".repeat(129)),
        ("a label with space around it", " x".to_owned()),
        ("a label of two lines", "a\nb".to_owned()),
    ];
    for (what, label) in labels {
        cases.push(case(what, Terms { label, ..good() }, &["label"]));
    }
    let descriptions = [
        ("a description of 1,025 bytes", "x".repeat(1025)),
        ("a tab in the description", "a\tb".to_owned()),
    ];
    for (what, description) in descriptions {
        let terms = Terms {
            description,
            ..good()
        };
        cases.push(case(what, terms, &["description"]));
    }
    // An answer names ten fields at most.
    let ten: Vec<_> = (0..10).map(|n| format!("roles[{n}]")).collect();
    let ten: Vec<&str> = ten.iter().map(String::as_str).collect();
    let roles: [(&str, Vec<String>, &[&str]); 6] = [
        ("17 roles", different(17), &["roles"]),
        ("16 roles that the owner lacks", different(16), &ten),
        ("a role that is no name", texts(&["No Role"]), &["roles[0]"]),
        ("a role twice", texts(&["reader", "reader"]), &["roles[1]"]),
        (
            "a role that the owner lacks",
            texts(&["auditor"]),
            &["roles[0]"],
        ),
        (
            "a second role that the owner lacks",
            texts(&["reader", "auditor"]),
            &["roles[1]"],
        ),
    ];
    for (what, roles, fields) in roles {
        cases.push(case(what, Terms { roles, ..good() }, fields));
    }
    for language in ["english", "de_CH", "zz", "de-", "-", "\u{e9}"] {
        let what = format!("the language {language:?}");
        let language = language.to_owned();
        cases.push(case(what, Terms { language, ..good() }, &["language"]));
    }
    for time_zone in ["Europe/Atlantis", "+02:00", "CET-1CEST", "Berlin", " "] {
        let what = format!("the time zone {time_zone:?}");
        let time_zone = time_zone.to_owned();
        cases.push(case(
            what,
            Terms {
                time_zone,
                ..good()
            },
            &["time_zone"],
        ));
    }
    cases
}

fn wrong_attributes() -> Vec<Case<Terms>> {
    let of = |attributes| Terms {
        attributes,
        ..Terms::good()
    };
    let many = different(17).into_iter().map(|key| (key, String::new()));
    let long = "k".repeat(65);
    let value = "v".repeat(257);
    vec![
        case("17 attributes", of(many.collect()), &["attributes"]),
        case(
            "an empty key",
            of(attributes(&[("", "x")])),
            &["attributes"],
        ),
        case(
            "a key in capitals",
            of(attributes(&[("Team", "x")])),
            &["attributes"],
        ),
        case(
            "a key of 65 characters",
            of(attributes(&[(&long, "x")])),
            &["attributes"],
        ),
        case(
            "a value of 257 bytes",
            of(attributes(&[("site", "x"), ("team", &value)])),
            &["attributes[team]"],
        ),
        case(
            "a value of two lines",
            of(attributes(&[("team", "a\nb")])),
            &["attributes[team]"],
        ),
        case(
            "texts of 2,049 bytes together",
            of_bytes(2049),
            &["description"],
        ),
    ]
}

fn wrong_expiries() -> Vec<Case<Terms>> {
    let soon = now() + 60;
    let times = [
        ("an expiry in the past", at(now() - 1, 0)),
        ("an expiry at the epoch", at(0, 0)),
        ("an expiry long ago", at(i64::MIN, 0)),
        ("an expiry after the year 9999", at(253_402_300_800, 0)),
        ("an expiry beyond all time", at(i64::MAX, 0)),
        ("negative nanoseconds", at(soon, -1)),
        ("a second of nanoseconds", at(soon, 1_000_000_000)),
    ];
    let lengths = [
        ("a ttl of 0", seconds(0)),
        ("a negative ttl", seconds(-1)),
        ("the least ttl", seconds(i64::MIN)),
        ("a ttl of ages", seconds(i64::MAX)),
        ("a ttl that ends after 9999", seconds(253_402_300_800)),
        (
            "a ttl of less than 1 ms",
            prost_types::Duration {
                seconds: 0,
                nanos: 999_999,
            },
        ),
        (
            "a ttl of two signs",
            prost_types::Duration {
                seconds: 1,
                nanos: -1,
            },
        ),
    ];
    let periods = [
        "", "P", "1Y", "P1.5Y", "-P1D", "p1y", "P101Y", "P0D", "PT", "P1H", "P1D1Y",
    ];
    let dates = [
        "",
        "2027-02-29",
        "2027-13-01",
        "20270101",
        "2027-1-1",
        "1999-12-31",
        "10000-01-01",
        "2027-01-01T00:00:00Z",
    ];
    let mut cases = vec![case(
        "never is not so",
        Terms::of(Expiry::Never(false)),
        &["never"],
    )];
    for (what, at) in times {
        cases.push(case(what, Terms::of(Expiry::At(at)), &["expires_at"]));
    }
    for (what, ttl) in lengths {
        cases.push(case(what, Terms::of(Expiry::Ttl(ttl)), &["ttl"]));
    }
    for period in periods {
        let what = format!("the period {period:?}");
        cases.push(case(what, Terms::of(Expiry::Period(period)), &["period"]));
    }
    for date in dates {
        let what = format!("the date {date:?}");
        cases.push(case(what, Terms::of(Expiry::On(date)), &["expires_on"]));
    }
    cases
}

/// What is wrong by one profile: each with its name.
#[allow(clippy::too_many_lines, reason = "a table")]
pub(crate) fn wrong_by_a_profile() -> Vec<(&'static str, Case<Terms>)> {
    const DAY: i64 = 86_400;

    let robot = |expiry: Expiry| Terms {
        time_zone: "Europe/Berlin".to_owned(),
        ..Terms::of(expiry)
    };
    let key = |expiry: Expiry| Terms {
        description: "for the build".to_owned(),
        language: "de-CH".to_owned(),
        ..Terms::of(expiry)
    };
    let late = at(now() + 91 * DAY, 0);
    let readers = |terms| Terms {
        roles: texts(&["reader"]),
        ..terms
    };
    vec![
        (
            "nothing",
            case("there is none", Terms::good(), &["profile"]),
        ),
        ("No Profile", case("no name", Terms::good(), &["profile"])),
        ("", case("no profile", Terms::good(), &["profile"])),
        (
            "robots",
            case("nothing said", Terms::default(), &["label", "time_zone"]),
        ),
        (
            "robots",
            case("never", robot(Expiry::Never(true)), &["never"]),
        ),
        (
            "robots",
            case("91 days", robot(Expiry::Period("P91D")), &["period"]),
        ),
        (
            "robots",
            case(
                "more than 90 days",
                robot(Expiry::Ttl(seconds(90 * DAY + 1))),
                &["ttl"],
            ),
        ),
        (
            "robots",
            case("a late moment", robot(Expiry::At(late)), &["expires_at"]),
        ),
        (
            "robots",
            case(
                "a late day",
                robot(Expiry::On("9999-12-31")),
                &["expires_on"],
            ),
        ),
        (
            "keys",
            case("another period", key(Expiry::Period("P365D")), &["period"]),
        ),
        (
            "keys",
            case(
                "another length",
                key(Expiry::Ttl(seconds(31 * DAY))),
                &["ttl"],
            ),
        ),
        (
            "keys",
            case("a moment", key(Expiry::At(late)), &["expires_at"]),
        ),
        (
            "keys",
            case("a day", key(Expiry::On("2099-01-01")), &["expires_on"]),
        ),
        (
            "keys",
            case("neither text", Terms::good(), &["description", "language"]),
        ),
        (
            "keys",
            case(
                "neither text, and never",
                Terms::of(Expiry::Never(true)),
                &["description", "language", "never"],
            ),
        ),
        (
            "tenable-io",
            case("a role", readers(Terms::good()), &["roles"]),
        ),
        (
            "tenable-io",
            case("an end", Terms::of(Expiry::Period("P1Y")), &["period"]),
        ),
        (
            "trend-micro",
            case(
                "nothing said",
                Terms::default(),
                &["label", "language", "time_zone", "roles"],
            ),
        ),
        (
            "kaspersky-tip",
            case("never", Terms::of(Expiry::Never(true)), &["never"]),
        ),
    ]
}

/// What is just good, by `api-token`.
pub(crate) fn just_good() -> Vec<(&'static str, Terms)> {
    let good = Terms::good;
    let sixteen: Vec<_> = (0..16)
        .map(|n| format!("{:k<64}", format!("a{n}")))
        .collect();
    let sixteen: Vec<_> = sixteen.iter().map(|key| (key.as_str(), "")).collect();
    let label = "é".repeat(128);
    vec![
        ("a label of 128 characters", Terms { label, ..good() }),
        (
            "a description of 1,024 bytes in lines",
            Terms {
                description: "line\n".repeat(204) + "line",
                ..good()
            },
        ),
        (
            "16 attributes",
            Terms {
                attributes: attributes(&sixteen),
                ..good()
            },
        ),
        ("texts of 2,048 bytes together", of_bytes(2048)),
        (
            "a role of the owner's",
            Terms {
                roles: texts(&["reader"]),
                ..good()
            },
        ),
        (
            "a language and a time zone",
            Terms {
                language: "zh-Hant-TW".to_owned(),
                time_zone: "Asia/Kolkata".to_owned(),
                ..good()
            },
        ),
        ("never", Terms::of(Expiry::Never(true))),
        (
            "a ttl of 1 ms",
            Terms::of(Expiry::Ttl(prost_types::Duration {
                seconds: 0,
                nanos: 1_000_000,
            })),
        ),
        (
            "the end of 9999",
            Terms::of(Expiry::At(at(253_402_300_799, 999_999_999))),
        ),
        ("a century", Terms::of(Expiry::Period("P100Y"))),
        ("the last day", Terms::of(Expiry::On("9999-12-30"))),
    ]
}

/// Texts of so many bytes together, each within its own bounds.
fn of_bytes(count: usize) -> Terms {
    let terms = Terms {
        label: "t".repeat(128),
        description: "d".repeat(1024),
        roles: texts(&["reader"]),
        ..Terms::good()
    };
    let (long, last) = (
        "v".repeat(256),
        "v".repeat(count - 128 - 1024 - 6 - 3 * 257 - 1),
    );
    let values = [("a", &*long), ("b", &*long), ("c", &*long), ("d", &*last)];
    Terms {
        attributes: attributes(&values),
        ..terms
    }
}

fn attributes(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    pairs.iter().map(owned).collect()
}
