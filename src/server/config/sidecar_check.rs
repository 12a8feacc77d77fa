//! What the sidecar's settings must have to do with each other.

use std::time::Duration;

use super::problem::Problem;
use super::read::Given;
use super::settings::{AuthorityRows, Sidecar, StaleRow};
use crate::client::{Address, CacheConfig, Config, StalePolicy, TlsFiles};
use crate::domain::rights::Reach;

/// The configuration of a sidecar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SidecarSettings {
    /// Where it is reached, and how it ends.
    pub sidecar: Sidecar,
    /// Whom it asks, and what it keeps.
    pub client: Config,
}

/// Where each of its settings was given.
pub(super) struct SidecarGiven<'a> {
    pub(super) sidecar: &'a Given,
    pub(super) authority: &'a Given,
    pub(super) tls: &'a Given,
}

/// The configuration of a sidecar; `None` if it says neither whom it follows nor where
/// it is reached.
pub(super) fn sidecar(
    sidecar: Sidecar,
    authority: AuthorityRows,
    stale: Vec<(Option<StaleRow>, Given)>,
    given: &SidecarGiven<'_>,
    problems: &mut Vec<Problem>,
) -> Option<SidecarSettings> {
    let is_meant = given.authority.has("address")
        || ["socket", "listen"]
            .iter()
            .any(|key| given.sidecar.has(key));
    if !is_meant {
        return None;
    }
    check_reached(&sidecar, given, problems);
    let AuthorityRows {
        address,
        ca_file,
        certificate_file,
        key_file,
        token_file,
        allow_plaintext,
        connections,
        patience_ms,
        max_questions,
    } = authority;
    if address.is_none() && !given.authority.has("address") {
        let text = "is not given: it is what a sidecar follows";
        problems.push(given.authority.problem("address", text));
    }
    for (one, other) in [
        ("certificate_file", "key_file"),
        ("key_file", "certificate_file"),
    ] {
        if given.authority.has(one) && !given.authority.has(other) {
            let text = format!("needs authority.{other} too");
            problems.push(given.authority.problem(one, text));
        }
    }
    let addresses = address.map_or(Vec::new(), |it| it.list().to_vec());
    let may = allow_plaintext || given.authority.is_bad("allow_plaintext");
    if !may && addresses.iter().any(Address::is_exposed) {
        problems.push(given.authority.problem(
            "address",
            "has an address of another machine without TLS, and plaintext would show secrets to whoever sees the traffic: \
             use https, or allow it with authority.allow_plaintext (--authority-allow-plaintext)",
        ));
    }
    let client = Config {
        addresses,
        tls: TlsFiles {
            ca: ca_file,
            identity: certificate_file.zip(key_file),
        },
        token_file,
        allow_plaintext,
        connections,
        patience: Duration::from_millis(patience_ms),
        most_questions: max_questions,
        cache: Some(CacheConfig {
            limits: sidecar.cache(),
            stale: stale_policy(stale),
        }),
    };
    Some(SidecarSettings { sidecar, client })
}

fn check_reached(sidecar: &Sidecar, given: &SidecarGiven<'_>, problems: &mut Vec<Problem>) {
    if !given.sidecar.has("socket") && !given.sidecar.has("listen") {
        let text = "is not given, nor is sidecar.listen: nobody would reach the sidecar";
        problems.push(given.sidecar.problem("socket", text));
    }
    let is_exposed = sidecar.listen.is_some_and(|it| !it.ip().is_loopback());
    let has_tls = given.tls.has("certificate") && given.tls.has("require_client_certificate");
    if is_exposed && !has_tls {
        problems.push(given.sidecar.problem(
            "listen",
            "is not a loopback address, and whoever reaches a sidecar may ask it: \
             give tls.certificate, tls.key and tls.client_ca, and set tls.require_client_certificate, or listen on loopback",
        ));
    }
}

fn stale_policy(rows: Vec<(Option<StaleRow>, Given)>) -> StalePolicy {
    let mut policy = StalePolicy::default();
    for (row, _) in rows {
        let Some(StaleRow {
            tenant,
            max_seconds,
        }) = row
        else {
            continue;
        };
        let bound = Duration::from_secs(max_seconds);
        match tenant {
            Reach::All => policy.others = Some(bound),
            Reach::Tenant(tenant) => {
                policy.tenants.insert(tenant.to_string(), bound);
            }
        }
    }
    policy
}
