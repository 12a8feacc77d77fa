//! From rows to a configuration: what settings must have to do with each other.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::etcd_check::{self, EtcdSettings};
use super::problem::{Place, Problem, Problems};
use super::read::{Given, Reader, Sources};
use super::settings::{
    Audit, BindingRow, EtcdRows, Fence, JwtIssuerRow, Keyring, Limits, Retention, RoleRow, Server,
    Store, TlsRows, Traces,
};
use super::sidecar_check::{self, SidecarGiven, SidecarRows, SidecarSettings};
use super::traces_values::Ratio;
use crate::authority::directory::{Configured, ConfiguredRole};
use crate::domain::jwt::IssuerRules;
use crate::domain::names::Role;
use crate::domain::rights::Binding;
use crate::server::jwt::{IssuerSettings, JwksSource};
use crate::server::tls::TlsSettings;

/// A configuration that is good.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Where the server listens, what it logs, and how it ends.
    pub server: Server,
    /// Where spans are sent.
    pub traces: Traces,
    /// TLS; `None`: plaintext.
    pub tls: Option<TlsSettings>,
    /// Where the store is.
    pub store: Store,
    /// The cluster of etcd that it is kept in; `None`: it is not.
    pub etcd: Option<EtcdSettings>,
    /// The server's keys.
    pub keyring: Keyring,
    /// How long what is over is kept.
    pub retention: Retention,
    /// How long those who follow may answer from what they keep.
    pub fence: Fence,
    /// Roles of the tenant `credd`, none of them built in, and who has which role
    /// on what; none twice.
    pub configured: Configured,
    /// Issuers of JSON Web Tokens, none twice.
    pub jwt_issuers: Vec<IssuerSettings>,
    /// Where audit events go, beside the store.
    pub audit: Audit,
    /// What callers and tenants may use.
    pub limits: Limits,
    /// The sidecar; `None`: nothing is said of one.
    pub sidecar: Option<SidecarSettings>,
}

/// Reads a configuration.
///
/// # Errors
///
/// All that is wrong with it.
pub fn settings(sources: Sources<'_>) -> Result<Settings, Problems> {
    let mut reader = Reader::new(sources);
    let (server, server_given) = reader.section::<Server>();
    let (traces, traces_given) = reader.section::<Traces>();
    let (tls_rows, tls_given) = reader.section::<TlsRows>();
    let (store, _) = reader.section();
    let (etcd_rows, etcd_given) = reader.section::<EtcdRows>();
    let (keyring, _) = reader.section();
    let (retention, _) = reader.section();
    let (fence, _) = reader.section();
    let roles = reader.tables::<RoleRow>();
    let bindings = reader.tables::<BindingRow>();
    let issuers = reader.tables::<JwtIssuerRow>();
    let (audit, _) = reader.section();
    let (limits, limits_given) = reader.section();
    let (sidecar_rows, sidecar_given) = reader.section();
    let (authority_rows, authority_given) = reader.section();
    let cells = reader.tables();
    let stale = reader.tables();

    let mut problems = Vec::new();
    check_listen(&server, &server_given, &tls_given, &mut problems);
    check_traces(&traces, &traces_given, &mut problems);
    let tls = tls(tls_rows, &tls_given, &mut problems);
    let etcd = etcd_check::etcd(etcd_rows, &store, &etcd_given, &mut problems);
    check_roles(&roles, &mut problems);
    check_bindings(&bindings, &issuers, &mut problems);
    let jwt_issuers = issuers
        .into_iter()
        .filter_map(|(row, given)| jwt_issuer(row, &given, &mut problems))
        .collect();
    check_limits(&limits, &limits_given, &mut problems);
    let given = SidecarGiven {
        sidecar: &sidecar_given,
        authority: &authority_given,
        tls: &tls_given,
    };
    let rows = SidecarRows {
        sidecar: sidecar_rows,
        authority: authority_rows,
        cells,
        stale,
    };
    let sidecar = sidecar_check::sidecar(rows, &given, &mut problems);
    for problem in problems {
        reader.problem(problem);
    }
    reader.finish(Settings {
        server,
        traces,
        tls,
        store,
        etcd,
        keyring,
        retention,
        fence,
        configured: Configured {
            roles: roles.into_iter().filter_map(configured_role).collect(),
            bindings: bindings
                .into_iter()
                .filter_map(configured_binding)
                .collect(),
        },
        jwt_issuers,
        audit,
        limits,
        sidecar,
    })
}

fn check_listen(server: &Server, given: &Given, tls: &Given, problems: &mut Vec<Problem>) {
    let has_tls = tls.has("certificate") || tls.has("key");
    let may = server.allow_plaintext || given.is_bad("allow_plaintext");
    if !server.listen.ip().is_loopback() && !has_tls && !may {
        problems.push(given.problem(
            "listen",
            "is not a loopback address, and plaintext would show secrets to whoever sees the traffic: \
             give tls.certificate and tls.key, or listen on loopback, or allow it with server.allow_plaintext (--allow-plaintext)",
        ));
    }
    let is_same = |one: Option<SocketAddr>, other| one == Some(other) && other.port() != 0;
    if is_same(server.metrics_listen, server.listen) {
        problems.push(given.problem("metrics_listen", "must be another address than listen"));
    }
    if is_same(server.health_listen, server.listen) {
        problems.push(given.problem("health_listen", "must be another address than listen"));
    }
    let metrics = server.metrics_listen;
    if metrics.is_some_and(|metrics| is_same(server.health_listen, metrics)) {
        problems.push(given.problem(
            "health_listen",
            "must be another address than metrics_listen",
        ));
    }
}

fn check_traces(traces: &Traces, given: &Given, problems: &mut Vec<Problem>) {
    let has_ratio = traces.ratio != Ratio::NONE;
    for (key, is_meant) in [("ca_file", given.has("ca_file")), ("ratio", has_ratio)] {
        if is_meant && !given.has("endpoint") {
            let text = "is for traces.endpoint, which is not given";
            problems.push(given.problem(key, text));
        }
    }
}

fn tls(rows: TlsRows, given: &Given, problems: &mut Vec<Problem>) -> Option<TlsSettings> {
    let TlsRows {
        certificate,
        key,
        client_ca,
        require_client_certificate,
        handshake_seconds,
        reload_seconds,
    } = rows;
    let needs = |one, other| {
        (given.has(one) && !given.has(other))
            .then(|| given.problem(one, format!("needs tls.{other} too")))
    };
    problems.extend(needs("certificate", "key"));
    problems.extend(needs("key", "certificate"));
    if !given.has("key") {
        problems.extend(needs("client_ca", "certificate"));
    }
    if require_client_certificate {
        problems.extend(needs("require_client_certificate", "client_ca"));
    }
    Some(TlsSettings {
        certificate: certificate?,
        key: key?,
        client_ca,
        require_client_certificate,
        handshake: Duration::from_secs(handshake_seconds),
        reload: Duration::from_secs(reload_seconds),
    })
}

fn check_roles(roles: &[(Option<RoleRow>, Given)], problems: &mut Vec<Problem>) {
    for (_, given) in roles {
        let mut built_in = Role::BUILT_IN_CREDD.iter().map(|(name, _)| *name);
        if built_in.any(|name| given.text("name") == Some(name)) {
            problems.push(given.problem("name", "is that of a built-in role"));
        }
    }
}

fn configured_role((row, _): (Option<RoleRow>, Given)) -> Option<ConfiguredRole> {
    let RoleRow {
        name,
        description,
        permissions,
    } = row?;
    Some(ConfiguredRole {
        name,
        description,
        permissions,
    })
}

fn configured_binding((row, _): (Option<BindingRow>, Given)) -> Option<Binding> {
    let BindingRow {
        principal,
        role,
        tenant,
    } = row?;
    Some(Binding {
        reach: tenant,
        principal,
        role,
    })
}

/// Bindings that are there twice, and those of callers who can't come.
fn check_bindings(
    bindings: &[(Option<BindingRow>, Given)],
    issuers: &[(Option<JwtIssuerRow>, Given)],
    problems: &mut Vec<Problem>,
) {
    // `None`: one is bad, and may be any.
    let issuers = issuers.iter().map(|(_, given)| given.text("issuer"));
    let issuers: Option<Vec<_>> = issuers.collect();
    let mut seen = BTreeMap::new();
    for (_, given) in bindings {
        let Some(principal) = given.text("principal") else {
            continue;
        };
        if let (Some(role), Some(tenant)) = (given.text("role"), given.text("tenant"))
            && let Some(Place::File { line, .. }) =
                seen.insert((principal, role, tenant), given.place("principal"))
        {
            let text = format!("has this role on this tenant by line {line} already");
            problems.push(given.problem("principal", text));
        }
        let issuer = principal.strip_prefix("jwt:");
        let issuer = issuer.and_then(|rest| rest.split('#').next());
        if let (Some(issuer), Some(issuers)) = (issuer, &issuers)
            && !issuers.contains(&issuer)
        {
            let text = "names an issuer that is in no [[jwt_issuers]]";
            problems.push(given.problem("principal", text));
        }
    }
}

fn jwt_issuer(
    row: Option<JwtIssuerRow>,
    given: &Given,
    problems: &mut Vec<Problem>,
) -> Option<IssuerSettings> {
    let text = match (given.has("jwks_file"), given.has("jwks_url")) {
        (true, true) => Some("there is jwks_file too: give one"),
        (false, false) => Some("must be given, or jwks_file"),
        _ => None,
    };
    problems.extend(text.map(|text| given.problem("jwks_url", text)));
    for key in ["jwks_ca_file", "jwks_token_file"] {
        if given.has(key) && !given.has("jwks_url") {
            problems.push(given.problem(key, "is for jwks_url, which is not given"));
        }
    }
    let JwtIssuerRow {
        issuer,
        audiences,
        algorithms,
        jwks_file,
        jwks_url,
        jwks_ca_file,
        jwks_token_file,
        refresh_seconds,
        leeway_seconds,
    } = row?;
    let source = match (jwks_file, jwks_url) {
        (Some(file), _) => JwksSource::File(file),
        (None, Some(url)) => JwksSource::Url {
            url: url.into(),
            ca_file: jwks_ca_file,
            token_file: jwks_token_file,
        },
        (None, None) => return None,
    };
    let audiences = audiences.into_iter().map(String::from).collect();
    let leeway = Duration::from_secs(leeway_seconds);
    let rules = IssuerRules::new(issuer.as_str(), audiences, algorithms, leeway);
    let rules = rules.map_err(|error| problems.push(given.problem("issuer", error.to_string())));
    Some(IssuerSettings {
        rules: rules.ok()?,
        source,
        refresh: Duration::from_secs(refresh_seconds),
    })
}

fn check_limits(limits: &Limits, given: &Given, problems: &mut Vec<Problem>) {
    let has_rate =
        limits.requests_per_second_per_caller > 0 || given.is_bad("requests_per_second_per_caller");
    if limits.burst_per_caller > 0 && !has_rate {
        problems.push(given.problem(
            "burst_per_caller",
            "is for requests_per_second_per_caller, which is 0: no limit",
        ));
    }
}
