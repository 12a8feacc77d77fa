//! Profiles.

use credd::proto::v1;
use tonic::Code;
use v1::header_rule::Format::{Bare, Basic, Scheme};

use crate::directory::{bad_names, wrong_changes};
use crate::unchanged::{
    Case, Unchanged, bad_reasons, case, different, foreign_revision, header, pair, reason_of,
    robots, seconds, texts, with,
};

const RPC: &str = "DirectoryService/PutProfile";

/// A profile that nobody has put yet.
fn new() -> v1::Profile {
    with!(robots(), name = "others")
}

fn put(profile: v1::Profile) -> v1::PutProfileRequest {
    v1::PutProfileRequest {
        profile: Some(profile),
        ..Default::default()
    }
}

fn dry(profile: v1::Profile) -> v1::PutProfileRequest {
    with!(put(profile), dry_run = true)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_that_cannot_be_is_refused() {
    let unchanged = Unchanged::start().await;
    let mut profiles = wrong_texts();
    profiles.extend(wrong_numbers());
    profiles.extend(wrong_headers());
    profiles.extend(wrong_expiries());
    profiles.extend(wrong_roles());
    let mut cases: Vec<Case<_>> = profiles
        .into_iter()
        .map(|(what, profile, fields)| {
            let fields = fields.into_iter();
            let fields = fields.map(|field| format!("profile.{field}"));
            (what, put(profile), fields.collect())
        })
        .collect();
    cases.extend(wrong_changes!(put(new())));
    cases.extend([
        case("no profile", v1::PutProfileRequest::default(), &["profile"]),
        case(
            "more than 3,072 bytes",
            put(with!(new(), tenant = "x".repeat(3072))),
            &["profile"],
        ),
        case(
            "everything wrong around it",
            v1::PutProfileRequest {
                profile: None,
                reason: "\0".to_owned(),
                dry_run: false,
                expected_revision: Some(foreign_revision()),
            },
            &["profile", "reason", "expected_revision.store_id"],
        ),
    ]);
    unchanged.refuses_all(RPC, cases).await;
    unchanged.end().await;
}

fn wrong_texts() -> Vec<Case<v1::Profile>> {
    let mut cases = Vec::new();
    for bad in bad_names() {
        if !bad.is_empty() {
            let profile = with!(new(), tenant = bad.as_str());
            cases.push(case(format!("the tenant {bad:?}"), profile, &["tenant"]));
        }
        let what = format!("the name {bad:?}");
        cases.push(case(what, with!(new(), name = bad), &["name"]));
    }
    for name in ["", " x", "a\nb", &"x".repeat(129)] {
        let what = format!("the name for people {name:?}");
        let profile = with!(new(), display_name = name);
        cases.push(case(what, profile, &["display_name"]));
    }
    let unlabelled = with!(new(), required_fields = vec![4]);
    for label in [" x", "a\nb", &"x".repeat(129)] {
        let what = format!("the label {label:?}");
        let profile = with!(unlabelled.clone(), default_label = label);
        cases.push(case(what, profile, &["default_label"]));
    }
    let label = with!(new(), default_label = "Robot");
    let what = "a label that is required and has a default";
    cases.push(case(what, label, &["default_label"]));
    // An answer names ten fields at most.
    let first = v1::Profile {
        tenant: "-".to_owned(),
        name: "-".to_owned(),
        display_name: " ".to_owned(),
        kind: 99,
        headers: vec![header("Host", Bare(false))],
        visibility: 99,
        multiplicity: 99,
        default_label: " ".to_owned(),
        ..new()
    };
    cases.push(case(
        "half of it wrong at once",
        first,
        &[
            "tenant",
            "name",
            "display_name",
            "kind",
            "headers[0].name",
            "headers[0].bare",
            "visibility",
            "multiplicity",
            "default_label",
        ],
    ));
    let second = v1::Profile {
        expiry: Some(v1::ExpiryRule {
            default_period: "30".to_owned(),
            max_period: "90".to_owned(),
            allowed_periods: texts(&["P30D", "1Y"]),
            never: 99,
            fixed: false,
        }),
        required_fields: vec![99],
        roles: Some(v1::RoleRule {
            allowed: texts(&["No Role"]),
            ..Default::default()
        }),
        max_overlap: Some(seconds(-1)),
        ..new()
    };
    cases.push(case(
        "the other half",
        second,
        &[
            "expiry.default_period",
            "expiry.max_period",
            "expiry.allowed_periods[1]",
            "expiry.never",
            "required_fields[0]",
            "roles.allowed[0]",
            "max_overlap",
        ],
    ));
    cases.push(case(
        "nothing at all",
        v1::Profile::default(),
        &["name", "display_name", "kind", "visibility", "multiplicity"],
    ));
    cases
}

/// What is a number of an enum, or a length of time.
fn wrong_numbers() -> Vec<Case<v1::Profile>> {
    let mut cases = Vec::new();
    for number in [0, 99, -1] {
        let what = |field: &str| format!("the {field} {number}");
        let profile = with!(new(), kind = number);
        cases.push(case(what("kind"), profile, &["kind"]));
        let profile = with!(new(), visibility = number);
        cases.push(case(what("visibility"), profile, &["visibility"]));
        let profile = with!(new(), multiplicity = number);
        cases.push(case(what("multiplicity"), profile, &["multiplicity"]));
        let profile = with!(new(), required_fields = vec![1, number]);
        let fields = &["required_fields[1]"];
        cases.push(case(what("required field"), profile, fields));
    }
    for overlap in [-1, i64::MIN, 90 * 86_400 + 1, i64::MAX] {
        let profile = with!(new(), max_overlap = seconds(overlap));
        cases.push(case(format!("{overlap} s"), profile, &["max_overlap"]));
    }
    cases
}

#[allow(clippy::too_many_lines, reason = "a table")]
fn wrong_headers() -> Vec<Case<v1::Profile>> {
    let of = |headers: Vec<v1::HeaderRule>| with!(new(), headers = headers);
    let one = |name: &str| of(vec![header(name, Bare(true))]);
    let format = |format| of(vec![header("X-Robot", format)]);
    let many = |count| (0..count).map(|n| header(&format!("X-{n}"), Bare(true)));
    let mut cases = vec![
        case("no header", of(Vec::new()), &["headers"]),
        case("9 headers", of(many(9).collect()), &["headers"]),
        case(
            "a header without a format",
            of(vec![v1::HeaderRule {
                name: "X-Robot".to_owned(),
                format: None,
            }]),
            &["headers[0].format"],
        ),
        case("not bare", format(Bare(false)), &["headers[0].bare"]),
        case("not basic", format(Basic(false)), &["headers[0].basic"]),
        case(
            "a token as username and password",
            format(Basic(true)),
            &["headers[0].format"],
        ),
        case(
            "a token in two parameters",
            format(pair("a", "b")),
            &["headers[0].format"],
        ),
        case(
            "a header twice",
            of(vec![header("X-A", Bare(true)), header("x-a", Bare(true))]),
            &["headers[1]"],
        ),
        case(
            "two parameters of one name",
            format(pair("key", "KEY")),
            &["headers[0].pair.secret_parameter"],
        ),
        case(
            "parameters without names",
            format(pair("", "")),
            &[
                "headers[0].pair.public_parameter",
                "headers[0].pair.secret_parameter",
            ],
        ),
    ];
    for (kind, format, what) in [
        (2, Bare(true), "a password alone"),
        (2, Scheme("Robot".to_owned()), "a password after a scheme"),
        (2, pair("a", "b"), "a password in two parameters"),
        (3, Bare(true), "an access key alone"),
        (
            3,
            Scheme("Robot".to_owned()),
            "an access key after a scheme",
        ),
        (3, Basic(true), "an access key as username and password"),
    ] {
        let rule = header("X-Robot", format);
        let profile = with!(of(vec![rule]), kind = kind);
        cases.push(case(what, profile, &["headers[0].format"]));
    }
    let long = "x".repeat(65);
    for name in ["", "X Robot", "X-R\u{f6}bot", "X:Robot", "X(Robot)", &long] {
        let what = format!("the header {name:?}");
        cases.push(case(what, one(name), &["headers[0].name"]));
    }
    for name in [
        "Connection",
        "Keep-Alive",
        "Proxy-Connection",
        "Proxy-Authenticate",
        "proxy-authorization",
        "TE",
        "Trailer",
        "Transfer-Encoding",
        "UPGRADE",
        "HTTP2-Settings",
        "Host",
        "Content-Length",
        "Content-Type",
        "Cookie",
        "Set-Cookie",
        "Via",
        "Forwarded",
        "Expect",
        "Max-Forwards",
    ] {
        let what = format!("the header {name}");
        cases.push(case(what, one(name), &["headers[0].name"]));
    }
    let long = "x".repeat(33);
    for scheme in ["", "Basic", "bAsIc", "Two Words", "a/b", "\u{e4}", &long] {
        let what = format!("the scheme {scheme:?}");
        let profile = format(Scheme(scheme.to_owned()));
        cases.push(case(what, profile, &["headers[0].scheme"]));
    }
    for parameter in ["a b", "a=b", "a;b", "\u{e4}", &long] {
        let what = format!("the parameter {parameter:?}");
        let public = format(pair(parameter, "b"));
        let fields = &["headers[0].pair.public_parameter"];
        cases.push(case(what.clone(), public, fields));
        let secret = format(pair("a", parameter));
        let fields = &["headers[0].pair.secret_parameter"];
        cases.push(case(what, secret, fields));
    }
    cases
}

fn wrong_expiries() -> Vec<Case<v1::Profile>> {
    let none = v1::ExpiryRule::default;
    let of = |rule: v1::ExpiryRule| with!(new(), expiry = rule);
    let default = |period: &str| with!(none(), default_period = period);
    let allowed = |list: &[&str]| with!(default("P30D"), allowed_periods = texts(list));
    let (may, always) = (2, 3);
    let mut cases = vec![
        case("none", of(none()), &["expiry.default_period"]),
        case(
            "no rule at all",
            with!(new(), expiry = None),
            &["expiry.default_period"],
        ),
        case(
            "a default that may outlast the maximum",
            of(with!(default("P1M"), max_period = "P30D")),
            &["expiry.default_period"],
        ),
        case(
            "a maximum of nothing",
            of(with!(default("P30D"), max_period = "P1Y", never = may)),
            &["expiry.max_period"],
        ),
        case(
            "a maximum of what never ends",
            of(with!(none(), max_period = "P1Y", never = always)),
            &["expiry.max_period"],
        ),
        case(
            "always never, with a default",
            of(with!(default("P30D"), never = always)),
            &["expiry.never"],
        ),
        case(
            "always never, with periods to choose from",
            of(with!(
                none(),
                allowed_periods = texts(&["P30D"]),
                never = always
            )),
            &["expiry.never"],
        ),
        case(
            "a period twice",
            of(allowed(&["P30D", "P90D", "P30D"])),
            &["expiry.allowed_periods"],
        ),
        case(
            "a period that may outlast the maximum",
            of(with!(allowed(&["P30D", "P91D"]), max_period = "P90D")),
            &["expiry.allowed_periods"],
        ),
        case(
            "a default that is not allowed",
            of(allowed(&["P90D"])),
            &["expiry.default_period"],
        ),
        case(
            "17 periods",
            of(with!(default("P1D"), allowed_periods = periods(17))),
            &["expiry.allowed_periods"],
        ),
        case(
            "two periods that are none",
            of(allowed(&["P30D", "", "30"])),
            &["expiry.allowed_periods[1]", "expiry.allowed_periods[2]"],
        ),
    ];
    for number in [4, 99, -1] {
        let rule = with!(default("P30D"), never = number);
        cases.push(case(format!("{number}"), of(rule), &["expiry.never"]));
    }
    for period in ["P", "30D", "p30d", "P1.5Y", "-P1D", "P101Y", "P0D", "PT"] {
        let what = format!("the period {period:?}");
        let fields = &["expiry.default_period"];
        cases.push(case(what.clone(), of(default(period)), fields));
        let rule = with!(default("P30D"), max_period = period);
        cases.push(case(what, of(rule), &["expiry.max_period"]));
    }
    cases
}

fn periods(count: usize) -> Vec<String> {
    (1..=count).map(|n| format!("P{n}D")).collect()
}

fn wrong_roles() -> Vec<Case<v1::Profile>> {
    let of = |allowed: Vec<String>, least: u32, most: Option<u32>| {
        let rule = v1::RoleRule {
            allowed,
            least,
            most,
        };
        with!(new(), roles = rule)
    };
    let none = Vec::new;
    vec![
        case("17 roles", of(different(17), 0, None), &["roles.allowed"]),
        case(
            "a role that is no name",
            of(texts(&["reader", ""]), 0, None),
            &["roles.allowed[1]"],
        ),
        case("at most 17", of(none(), 0, Some(17)), &["roles.most"]),
        case(
            "at most all",
            of(none(), 0, Some(u32::MAX)),
            &["roles.most"],
        ),
        case("at least 17", of(none(), 17, None), &["roles.least"]),
        case("2 to 1", of(none(), 2, Some(1)), &["roles.least"]),
        case("2 of 1", of(texts(&["reader"]), 2, None), &["roles.least"]),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_just_within_the_rules_of_profiles_is_accepted() {
    let unchanged = Unchanged::start().await;
    let headers = |headers: Vec<v1::HeaderRule>| with!(new(), headers = headers);
    let many = (0..8).map(|n| header(&format!("X-{n}"), Bare(true)));
    let all = different(16);
    let cases = vec![
        ("as it is", dry(new())),
        ("for all tenants", dry(with!(new(), tenant = ""))),
        ("a name of 63", dry(with!(new(), name = "x".repeat(63)))),
        (
            "a name for people of 128",
            dry(with!(new(), display_name = "\u{e9}".repeat(128))),
        ),
        ("8 headers", dry(headers(many.collect()))),
        (
            "a header of 64 characters",
            dry(headers(vec![header(&"x".repeat(64), Bare(true))])),
        ),
        (
            "a scheme of 32 characters",
            dry(headers(vec![header("X-Robot", Scheme("s".repeat(32)))])),
        ),
        (
            "a header in two forms",
            dry(headers(vec![
                header("X-Robot", Bare(true)),
                header("X-Robot", Scheme("Robot".to_owned())),
            ])),
        ),
        (
            "an overlap of 90 days",
            dry(with!(new(), max_overlap = seconds(90 * 86_400))),
        ),
        (
            "16 periods",
            dry(with!(
                new(),
                expiry = with!(
                    v1::ExpiryRule::default(),
                    default_period = "P1D",
                    max_period = "P16D",
                    allowed_periods = periods(16),
                ),
            )),
        ),
        (
            "16 roles, all of them",
            dry(with!(
                new(),
                roles = v1::RoleRule {
                    allowed: all,
                    least: 16,
                    most: Some(16),
                },
            )),
        ),
    ];
    unchanged.accepts_all(RPC, cases).await;
    unchanged.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_kinds_of_profiles_stay_what_they_are() {
    let unchanged = Unchanged::start().await;
    let other_kind = v1::Profile {
        kind: 2,
        headers: vec![header("X-Robot", Basic(true))],
        ..robots()
    };
    let cases = vec![case("another kind", put(other_kind), &["profile.kind"])];
    unchanged.refuses_all(RPC, cases).await;
    for (name, tenant, reason) in [
        ("misp", "", "PROFILE_BUILT_IN"),
        ("misp", "acme", "PROFILE_BUILT_IN"),
        ("robots", "", "PROFILE_EXISTS"),
    ] {
        let request = put(with!(new(), name = name, tenant = tenant));
        let status = unchanged.call(RPC, &request).await.unwrap_err();
        assert_eq!(status.code(), Code::FailedPrecondition, "{status}");
        assert_eq!(reason_of(&status), reason);
        unchanged.assert_unchanged(name).await;
    }
    unchanged.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_about_a_profile_that_cannot_be_is_refused() {
    let unchanged = Unchanged::start().await;
    let get = || v1::GetProfileRequest {
        tenant: "acme".to_owned(),
        name: "robots".to_owned(),
    };
    let delete = || v1::DeleteProfileRequest {
        tenant: "acme".to_owned(),
        name: "keys".to_owned(),
        ..Default::default()
    };
    let mut gets = Vec::new();
    let mut deletes: Vec<Case<_>> = wrong_changes!(delete());
    for bad in bad_names() {
        if !bad.is_empty() {
            let what = || format!("the tenant {bad:?}");
            gets.push(case(
                what(),
                with!(get(), tenant = bad.as_str()),
                &["tenant"],
            ));
            let request = with!(delete(), tenant = bad.as_str());
            deletes.push(case(what(), request, &["tenant"]));
        }
        let what = || format!("the name {bad:?}");
        gets.push(case(what(), with!(get(), name = bad.as_str()), &["name"]));
        let request = with!(delete(), name = bad.as_str());
        deletes.push(case(what(), request, &["name"]));
    }
    let both = with!(get(), tenant = "-", name = "-");
    gets.push(case("both", both, &["tenant", "name"]));
    unchanged
        .refuses_all("DirectoryService/GetProfile", gets)
        .await;
    unchanged
        .refuses_all("DirectoryService/DeleteProfile", deletes)
        .await;
    let dry = vec![("a dry run", with!(delete(), dry_run = true))];
    unchanged
        .accepts_all("DirectoryService/DeleteProfile", dry)
        .await;
    unchanged.end().await;
}
