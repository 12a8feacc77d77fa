#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::ffi::OsString;

use super::Settings;
use super::check;
use super::documented;
use super::problem::Problems;
use super::read::{File, Sources};
use super::settings::all;
use super::table::{Default as SettingDefault, Setting};
use super::values::Form;
use crate::domain::rights::Reach;
use crate::server::jwt::{JwksSource, Limits};

mod problems;

fn read(
    text: &str,
    variables: &[(&str, &str)],
    flags: &[(&'static str, &str)],
) -> Result<Settings, Problems> {
    let file = File {
        path: "f".into(),
        text: text.to_owned(),
    };
    let flags: Vec<_> = flags.iter().map(|(k, v)| (*k, (*v).to_owned())).collect();
    let variables = variables.iter();
    let variables = variables
        .map(|(name, value)| ((*name).to_owned(), OsString::from(value)))
        .collect();
    check::settings(Sources {
        file: Some(&file),
        variables: &variables,
        flags: &flags,
    })
}

fn problems(text: &str) -> String {
    read(text, &[], &[]).unwrap_err().to_string()
}

fn every_setting() -> impl Iterator<Item = Setting> {
    all().into_iter().flat_map(|section| section.settings)
}

/// The documented file without the comment signs of what has a default, and
/// those of examples.
fn uncommented(examples: bool) -> String {
    let lines = documented::file();
    let lines = lines.lines().map(|line| match line.strip_prefix("## ") {
        Some(example) if examples => example,
        Some(_) => line,
        None => match line.strip_prefix('#') {
            Some(setting) if !setting.is_empty() && !setting.starts_with(' ') => setting,
            _ => line,
        },
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn nothing_given_is_the_defaults() {
    assert_eq!(read("", &[], &[]), Ok(Settings::default()));
    assert_eq!(read(&documented::file(), &[], &[]), Ok(Settings::default()));
}

#[test]
fn the_documented_file_gives_the_defaults() {
    let text = uncommented(false);
    assert_eq!(read(&text, &[], &[]), Ok(Settings::default()));
    let given = text
        .lines()
        .filter(|line| !line.starts_with('#') && line.contains(" = "));
    let with_default = all().into_iter().filter(|section| !section.repeated);
    let with_default = with_default.flat_map(|section| section.settings);
    let with_default = with_default.filter(|s| matches!(s.default, SettingDefault::Value(_)));
    assert_eq!(given.count(), with_default.count());
}

#[test]
fn every_setting_is_in_the_documented_file() {
    let text = documented::file();
    for section in all() {
        let title = section.title();
        let (_, rows) = text
            .split_once(&format!("\n{title}\n"))
            .unwrap_or_else(|| text.split_once(&format!("\n## {title}\n")).expect(&title));
        let rows = rows
            .split("\n[")
            .next()
            .unwrap()
            .split("\n## [")
            .next()
            .unwrap();
        for setting in &section.settings {
            let name = setting.name();
            let entry = rows.split("\n\n");
            let assignment = format!("{} = ", setting.key);
            let entry = entry.into_iter().find(|entry| {
                let last = entry.lines().last().unwrap_or_default();
                last.trim_start_matches(['#', ' ']).starts_with(&assignment)
            });
            let entry = entry.unwrap_or_else(|| panic!("{name} is not there"));
            assert!(entry.lines().count() >= 3, "{name}: {entry}");
            if let Some(range) = &setting.range {
                assert!(entry.contains(&range.start().to_string()), "{entry}");
                assert!(entry.contains(&range.end().to_string()), "{entry}");
            }
            if let Some(flag) = setting.flag {
                assert!(entry.contains(&format!("--{flag}, ")), "{entry}");
                assert!(entry.contains(&setting.variable().unwrap()), "{entry}");
            }
        }
    }
}

#[test]
fn every_example_is_good() {
    // As it would be where the store is in etcd.
    let text = uncommented(true).replace("engine = \"sled\"", "engine = \"etcd\"");
    let both = "f:1:1: jwt_issuers.jwks_url: there is jwks_file too: give one";
    let told = problems(&text);
    assert_eq!(told.lines().count(), 1, "{told}");
    assert_eq!(
        told.split_once(": ").unwrap().1,
        both.split_once(": ").unwrap().1
    );
    let lines = text.lines().filter(|line| !line.starts_with("jwks_file"));
    let settings = read(&lines.collect::<Vec<_>>().join("\n"), &[], &[]).unwrap();
    assert!(settings.tls.unwrap().client_ca.is_some());
    assert_eq!(settings.etcd.unwrap().endpoints.len(), 2);
    assert_eq!(settings.configured.roles[0].permissions.len(), 2);
    assert!(matches!(
        settings.configured.bindings[0].reach,
        Reach::Tenant(_)
    ));
    assert!(matches!(
        settings.jwt_issuers[0].source,
        JwksSource::Url { .. }
    ));
}

#[test]
fn rows_are_complete() {
    for setting in every_setting() {
        let name = setting.name();
        if matches!(setting.form, Form::Integer | Form::List) {
            assert!(setting.range.is_some(), "{name} has no range");
        }
        for (unit, word) in [
            ("_seconds", "seconds"),
            ("_hours", "hours"),
            ("_days", "days"),
            ("_mib", "MiB"),
            ("_bytes", "bytes"),
        ] {
            if setting.key.ends_with(unit) {
                assert!(setting.meaning.contains(word), "{name}");
            }
        }
        let needs_example = !matches!(setting.default, SettingDefault::Value(_));
        assert_eq!(!setting.example.is_empty(), needs_example, "{name}");
        let longest = setting.meaning_lines().map(str::len).max().unwrap();
        assert!(longest <= 80, "{name}");
    }
}

#[test]
fn keys_can_be_fetched_as_often_as_is_configured() {
    let setting = every_setting().find(|setting| setting.key == "refresh_seconds");
    let limits = Limits::default();
    let range = limits.between_fetches.as_secs()..=limits.max_age.as_secs() / 2;
    assert_eq!(setting.unwrap().range, Some(range));
}

/// What is set where is the interface of whoever deploys credd.
#[test]
fn flags_and_variables_keep_their_names() {
    let names = every_setting().filter_map(|setting| setting.flag);
    let names: BTreeSet<_> = names.collect();
    for old in [
        "listen",
        "metrics-listen",
        "allow-plaintext",
        "shutdown-seconds",
        "log",
        "data-dir",
        "disk-reserve-mib",
        "store-cache-mib",
        "log-retention-hours",
        "log-retention-commits",
        "credential-retention-days",
    ] {
        assert!(names.contains(old), "{old}");
    }
    assert_eq!(names.len(), every_setting().filter_map(|s| s.flag).count());
    let variable = |name: &str| {
        let mut settings = every_setting();
        let setting = settings.find(|setting| setting.name() == name);
        setting.unwrap().variable().unwrap()
    };
    assert_eq!(variable("retention.log_hours"), "CREDD_LOG_RETENTION_HOURS");
    assert_eq!(variable("store.cache_mib"), "CREDD_STORE_CACHE_MIB");
}

/// For a service named `credd...` Kubernetes sets variables such as
/// `CREDD_PORT` and `CREDD_SERVICE_HOST` in every container.
#[test]
fn no_variable_is_one_that_kubernetes_sets() {
    for name in every_setting().filter_map(|setting| setting.variable()) {
        let taken = ["_PORT", "_HOST", "_ADDR", "_PROTO"];
        assert!(!taken.iter().any(|end| name.ends_with(end)), "{name}");
        assert!(!name.contains("_SERVICE_"), "{name}");
    }
    assert!(read("", &[("CREDD_PORT", "tcp://10.0.0.1:7420")], &[]).is_ok());
}

#[test]
fn every_flag_and_every_variable_is_read_and_is_stronger_than_the_file() {
    let bad = "a=b=c\0";
    for setting in every_setting() {
        let (Some(flag), Some(variable)) = (setting.flag, setting.variable()) else {
            continue;
        };
        let by_variable = format!("{variable}: {}: must be", setting.name());
        let by_flag = format!("--{flag}: {}: must be", setting.name());
        let told = |variables: &[_], flags: &[_]| {
            let told = read("", variables, flags).unwrap_err().to_string();
            let told = told.lines().filter(|line| line.contains(": must be"));
            told.map(ToOwned::to_owned).collect::<Vec<_>>()
        };
        let both = told(&[(&variable, bad)], &[(flag, bad)]);
        assert_eq!(both.len(), 2, "what is weaker must be good too: {both:?}");
        assert!(both[0].starts_with(&by_variable), "{both:?}");
        assert!(both[1].starts_with(&by_flag), "{both:?}");
        assert_eq!(told(&[(&variable, bad)], &[]), both[..1]);
        assert_eq!(told(&[], &[(flag, bad)]), both[1..]);
    }
    let file = "[store]\ncache_mib = 1\n[server]\nallow_plaintext = true";
    let cache =
        |variables: &[_], flags: &[_]| read(file, variables, flags).unwrap().store.cache_mib;
    assert_eq!(cache(&[], &[]), 1);
    assert_eq!(cache(&[("CREDD_STORE_CACHE_MIB", "2")], &[]), 2);
    assert_eq!(cache(&[], &[("store-cache-mib", "3")]), 3);
    assert_eq!(
        cache(
            &[("CREDD_STORE_CACHE_MIB", "2")],
            &[("store-cache-mib", "3")]
        ),
        3
    );
    for (word, meant) in [("yes", true), ("1", true), ("off", false), ("FALSE", false)] {
        let settings = read(file, &[("CREDD_ALLOW_PLAINTEXT", word)], &[]).unwrap();
        assert_eq!(settings.server.allow_plaintext, meant, "{word}");
    }
}

#[test]
fn a_store_in_etcd_says_where_and_how() {
    let etcd = "[store]\nengine = \"etcd\"\n[etcd]\n";
    let good = format!("{etcd}endpoints = \"https://a:2379,https://b:2379\"");
    let settings = read(&good, &[], &[]).unwrap().etcd.unwrap();
    assert_eq!(settings.prefix.as_str(), "/credd/");
    assert_eq!(settings.endpoints.len(), 2);
    let address = "endpoints = \"https://a:2379\"\n";
    for (text, problem) in [
        (etcd.to_owned(), "etcd.endpoints: is not given"),
        (
            format!("[etcd]\n{address}"),
            "etcd.endpoints: is given, but store.engine is `sled`",
        ),
        (
            format!("{etcd}endpoints = \"http://a:2379\""),
            "etcd.endpoints: has an address of another machine without TLS",
        ),
        (
            format!("{etcd}{address}user = \"credd\""),
            "etcd.user: needs etcd.password_file too",
        ),
        (
            format!("{etcd}{address}key_file = \"k\""),
            "etcd.key_file: needs etcd.certificate_file too",
        ),
        (
            format!("{etcd}{address}prefix = \"credd\""),
            "etcd.prefix: must be 1 to 128 bytes that end with `/`",
        ),
    ] {
        let told = problems(&text);
        assert!(told.contains(problem), "{told}");
        assert_eq!(told.lines().count(), 1, "{told}");
    }
    let plain = format!("{etcd}endpoints = \"http://a:2379\"\nallow_plaintext = true");
    assert!(read(&plain, &[], &[]).is_ok());
}
