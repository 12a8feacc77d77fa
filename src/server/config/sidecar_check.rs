//! What the sidecar's settings must have to do with each other.

use std::collections::BTreeSet;
use std::time::Duration;

use super::problem::Problem;
use super::read::Given;
use super::settings::{AuthorityRows, CellRow, Sidecar, StaleRow};
use crate::client::{Address, CacheConfig, Config, StalePolicy, TlsFiles};
use crate::domain::names::{CellName, Tenant};
use crate::domain::rights::Reach;

/// The configuration of a sidecar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SidecarSettings {
    /// Where it is reached, and how it ends.
    pub sidecar: Sidecar,
    /// Whom it asks, and what it keeps; of tenants of no other cell.
    pub client: Config,
    /// Further cells; no tenant is in two of them.
    pub cells: Vec<CellSettings>,
}

/// A cell that a sidecar follows beside its authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CellSettings {
    /// What it is called.
    pub name: CellName,
    /// Which tenants it has.
    pub tenants: Vec<Tenant>,
    /// Whom the sidecar asks about them, and what it keeps.
    pub client: Config,
}

/// What is said of a sidecar.
pub(super) struct SidecarRows {
    pub(super) sidecar: Sidecar,
    pub(super) authority: AuthorityRows,
    pub(super) cells: Vec<(Option<CellRow>, Given)>,
    pub(super) stale: Vec<(Option<StaleRow>, Given)>,
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
    rows: SidecarRows,
    given: &SidecarGiven<'_>,
    problems: &mut Vec<Problem>,
) -> Option<SidecarSettings> {
    let SidecarRows {
        sidecar,
        authority,
        cells,
        stale,
    } = rows;
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
    let addresses = address.map_or(Vec::new(), |it| it.list().to_vec());
    let allowing = "authority.allow_plaintext (--authority-allow-plaintext)";
    check_way(
        &addresses,
        allow_plaintext,
        allowing,
        given.authority,
        problems,
    );
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
    let cells = self::cells(cells, &client, problems);
    Some(SidecarSettings {
        sidecar,
        client,
        cells,
    })
}

/// Further cells, which are asked as the authority is.
fn cells(
    rows: Vec<(Option<CellRow>, Given)>,
    authority: &Config,
    problems: &mut Vec<Problem>,
) -> Vec<CellSettings> {
    let mut placed = BTreeSet::new();
    let mut known = authority.addresses.clone();
    let mut cells = Vec::new();
    for (row, given) in rows {
        let Some(row) = row else {
            continue;
        };
        let CellRow {
            name,
            tenants,
            address,
            ca_file,
            certificate_file,
            key_file,
            token_file,
            allow_plaintext,
        } = row;
        let addresses = address.list().to_vec();
        let allowing = "its allow_plaintext";
        check_way(&addresses, allow_plaintext, allowing, &given, problems);
        if addresses.iter().any(|address| known.contains(address)) {
            let text = "has an address of another cell, or of [authority]";
            problems.push(given.problem("address", text));
        }
        known.extend(addresses.iter().cloned());
        if !tenants.iter().all(|tenant| placed.insert(tenant.clone())) {
            let text = "names a tenant that another cell has";
            problems.push(given.problem("tenants", text));
        }
        let client = Config {
            addresses,
            tls: TlsFiles {
                ca: ca_file,
                identity: certificate_file.zip(key_file),
            },
            token_file,
            allow_plaintext,
            ..authority.clone()
        };
        cells.push(CellSettings {
            name,
            tenants,
            client,
        });
    }
    cells
}

/// The way to an authority, as a section says it.
fn check_way(
    addresses: &[Address],
    allow_plaintext: bool,
    allowing: &str,
    given: &Given,
    problems: &mut Vec<Problem>,
) {
    for (one, other) in [
        ("certificate_file", "key_file"),
        ("key_file", "certificate_file"),
    ] {
        if given.has(one) && !given.has(other) {
            problems.push(given.problem(one, format!("needs {} too", given.name(other))));
        }
    }
    let may = allow_plaintext || given.is_bad("allow_plaintext");
    if !may && addresses.iter().any(Address::is_exposed) {
        let text = format!(
            "has an address of another machine without TLS, and plaintext would show secrets to whoever sees the traffic: \
             use https, or allow it with {allowing}",
        );
        problems.push(given.problem("address", text));
    }
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
