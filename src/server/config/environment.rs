//! Variables of the environment that are named as credd's are, and are none.
//!
//! One that nobody reads is a mistake, as an unknown key of the file is: what it was
//! to change is not changed. But Kubernetes sets variables in every container for
//! each Service of the namespace, whose names begin with the Service's: a Service
//! `credd` makes `CREDD_PORT`, a Service `credd-metrics` makes
//! `CREDD_METRICS_SERVICE_HOST`. Nobody wrote these, and no server may fail to start
//! for them; nor is it said at each start that they are there. They are known by
//! their form, and no setting has a variable of that form. Of what has it, what
//! somebody wrote is told by its value: `CREDD_PORT=7420` is no URL.

use std::collections::BTreeMap;
use std::ffi::OsString;

use super::read::{did_you_mean, nearness};
use super::settings;

/// What all of credd's variables begin with.
pub(super) const PREFIX: &str = "CREDD_";
/// The one that is no setting's: it names the file.
pub(super) const FILE: &str = "CREDD_CONFIG";
/// What the command line reads where it asks a server.
pub(crate) const OF_THE_COMMAND_LINE: [&str; 7] = [
    "CREDD_SERVER",
    "CREDD_CA_FILE",
    "CREDD_CERTIFICATE_FILE",
    "CREDD_KEY_FILE",
    "CREDD_TOKEN_FILE",
    "CREDD_TOKEN",
    "CREDD_OUTPUT",
];
/// What the suites and the benches read.
const NOT_OF_THE_SERVER: [&str; 2] = ["CREDD_TEST_", "CREDD_BENCH_"];

/// Those that no setting reads, and what is to be said of each.
pub(super) fn unknown(variables: &BTreeMap<String, OsString>) -> Vec<(String, String)> {
    let sections = settings::all().into_iter();
    let settings = sections.flat_map(|section| section.settings);
    let known = settings.filter_map(|setting| setting.variable());
    let known: Vec<_> = known.chain([FILE.to_owned()]).collect();
    let is_unknown = |(name, value): &(&String, &OsString)| {
        name.starts_with(PREFIX)
            && !known.contains(name)
            && !OF_THE_COMMAND_LINE.contains(&name.as_str())
            && !NOT_OF_THE_SERVER
                .iter()
                .any(|begin| name.starts_with(begin))
            && !is_of_a_service(name, &value.to_string_lossy())
    };
    let unknown = variables.iter().filter(is_unknown);
    let told = unknown.map(|(name, _)| {
        let near = known.iter().map(|known| {
            let ends = [known, name].map(|name| name.trim_start_matches(PREFIX));
            (nearness(ends[0], ends[1]), known.clone())
        });
        (name.clone(), format!("unknown{}", did_you_mean(near)))
    });
    told.collect()
}

/// Whether Kubernetes makes this for a Service:
/// <https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables>.
fn is_of_a_service(name: &str, value: &str) -> bool {
    let is_number = |text: &str| text.parse::<u16>().is_ok();
    let is_url = |text: &str| text.contains("://");
    if name.ends_with("_SERVICE_HOST") {
        return true;
    }
    // Of a port that has a name: `..._SERVICE_PORT_GRPC`.
    if name.ends_with("_SERVICE_PORT") || name.contains("_SERVICE_PORT_") {
        return is_number(value);
    }
    if name.ends_with("_PORT") && is_url(value) {
        return true;
    }
    // `..._PORT_7420_TCP`, and that with what it is made of.
    let Some((_, port)) = name.rsplit_once("_PORT_").or_else(|| {
        let name = name.strip_suffix("_PORT")?;
        name.rsplit_once("_PORT_")
    }) else {
        return false;
    };
    let mut parts = port.split('_');
    parts.next().is_some_and(is_number)
        && parts
            .next()
            .is_some_and(|part| ["TCP", "UDP", "SCTP"].contains(&part))
        && parts.all(|part| ["PROTO", "PORT", "ADDR"].contains(&part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(variables: &[(&str, &str)]) -> Vec<(String, String)> {
        let variables = variables.iter();
        unknown(
            &variables
                .map(|(name, value)| ((*name).to_owned(), OsString::from(value)))
                .collect(),
        )
    }

    #[test]
    fn what_kubernetes_makes_for_services_is_not_told() {
        for service in ["CREDD", "CREDD_METRICS", "CREDD_PORT"] {
            for (end, value) in [
                ("SERVICE_HOST", "10.0.0.1"),
                ("SERVICE_PORT", "7420"),
                ("SERVICE_PORT_GRPC", "7420"),
                ("SERVICE_PORT_HTTP_METRICS", "7421"),
                ("PORT", "tcp://10.0.0.1:7420"),
                ("PORT_7420_TCP", "tcp://10.0.0.1:7420"),
                ("PORT_7420_TCP_PROTO", "tcp"),
                ("PORT_7420_TCP_PORT", "7420"),
                ("PORT_7420_TCP_ADDR", "10.0.0.1"),
                ("PORT_53_UDP_ADDR", "fd00::1"),
            ] {
                let name = format!("{service}_{end}");
                assert_eq!(told(&[(&name, value)]), [], "{name}");
            }
        }
    }

    #[test]
    fn what_somebody_wrote_is_told() {
        for (name, value) in [
            ("CREDD_PORT", "7420"),
            ("CREDD_METRICS_PORT", "7421"),
            ("CREDD_SERVICE_PORT", "none"),
            ("CREDD_PORT_X_TCP", "7420"),
            ("CREDD_HOST", "10.0.0.1"),
            ("CREDD_", ""),
        ] {
            assert_eq!(told(&[(name, value)]).len(), 1, "{name}");
        }
    }

    #[test]
    fn what_is_read_elsewhere_is_not_told() {
        let read = [
            "CREDD_CONFIG",
            "CREDD_SERVER",
            "CREDD_TOKEN",
            "CREDD_TEST_X",
            "CREDD_BENCH_X",
            "CREDDX",
            "PATH",
        ];
        for name in read {
            assert_eq!(told(&[(name, "x")]), [], "{name}");
        }
    }

    #[test]
    fn the_nearest_is_named() {
        for (written, meant) in [
            ("CREDD_LISEN", "CREDD_LISTEN"),
            ("CREDD_DATADIR", "CREDD_DATA_DIR"),
            ("CREDD_CONFG", "CREDD_CONFIG"),
            ("CREDD_METRIC_LISTEN", "CREDD_METRICS_LISTEN"),
        ] {
            let text = format!("unknown; did you mean `{meant}`?");
            assert_eq!(told(&[(written, "x")]), [(written.to_owned(), text)]);
        }
    }
}
