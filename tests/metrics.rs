//! What a scraper of `/metrics` sees.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]
#![allow(clippy::float_cmp, reason = "what is counted is a whole number")]

#[path = "support/calls.rs"]
mod calls;
#[path = "support/session.rs"]
mod session;
mod support;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;

use calls::{jo, put_owner, put_role, refused};
use credd::proto::v1;
use credd::proto::v1::issue_request::Expiry;
use credd::server::config::Fence;
use session::Session;
use support::metrics::{Scraped, Told, free_address, scrape};
use support::program::{Program, credd, serve_everything};
use support::{
    Client, Server, config, read_token, revoke_request, soon, token_request, until,
    verify_token_request,
};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

#[tokio::test]
async fn what_ends_in_seven_and_thirty_days_is_counted_and_listed() {
    let directory = tempfile::tempdir().unwrap();
    let address = free_address();
    let mut config = config(directory.path());
    config.server.metrics_listen = Some(address);
    let server = Server::start_with(directory, config).await;
    for period in ["P1D", "P6D", "P8D", "P29D", "P31D", "P1Y"] {
        let request = v1::IssueRequest {
            label: period.to_owned(),
            expiry: Some(Expiry::Period(period.to_owned())),
            ..token_request("acme")
        };
        server.admin.issue(request).await.unwrap();
    }
    let (never, _) = server.admin.issue_token("acme").await;
    server.admin.lock(&never).await.unwrap();

    let text = scrape(address).await;
    for line in [
        "credd_credentials_expiring{within_days=\"7\"} 2",
        "credd_credentials_expiring{within_days=\"30\"} 4",
        "credd_credentials 8",
        "# EOF",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in {text}");
    }

    let in_thirty_days = std::time::SystemTime::now() + std::time::Duration::from_hours(30 * 24);
    let filter = v1::CredentialFilter {
        tenant: "acme".to_owned(),
        expiring_before: Some(in_thirty_days.into()),
        ..Default::default()
    };
    let request = v1::ListRequest {
        filter: Some(filter),
        order: v1::ListOrder::Expiry.into(),
        ..Default::default()
    };
    let listed = server.admin.list(request).await.unwrap().credentials;
    let labels: Vec<_> = listed.iter().map(|c| c.label.as_str()).collect();
    assert_eq!(labels, ["P1D", "P6D", "P8D", "P29D"]);
    server.stop().await;
}

/// Waits until the other side has closed it.
async fn closed(stream: &mut TcpStream) {
    match soon("the end of a connection", stream.read_u8()).await {
        Ok(byte) => panic!("it says {byte}"),
        Err(error) => {
            let ends = [io::ErrorKind::UnexpectedEof, io::ErrorKind::ConnectionReset];
            assert!(ends.contains(&error.kind()), "{error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_nothing_to_metrics_holds_up_neither_a_scraper_nor_a_caller() {
    const DESCRIPTORS: usize = 256;

    let directory = tempfile::tempdir().unwrap();
    let address = free_address();
    let few = format!("--nofile={DESCRIPTORS}:{DESCRIPTORS}");
    let mut command = serve_everything(&["prlimit", &few], directory.path());
    command.args(["--metrics-listen", &address.to_string()]);
    let (_program, services) = Program::serve(command);
    let mut silent = Vec::new();
    for _ in 0..2 * DESCRIPTORS {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    let token = read_token(directory.path());
    let caller = soon("a client", Client::connect(services, &token)).await;
    let issued = soon("an answer", caller.issue(token_request("acme"))).await;
    issued.unwrap();
    soon("a scrape", scrape(address)).await;
    for stream in &mut silent {
        closed(stream).await;
    }
}

/// A server that shows its metrics, with short leases.
async fn shown() -> (Server, SocketAddr) {
    let directory = tempfile::tempdir().unwrap();
    let address = free_address();
    let mut config = config(directory.path());
    config.server.metrics_listen = Some(address);
    config.fence = Fence { lease_ms: 1_000 };
    (Server::start_with(directory, config).await, address)
}

/// Asks with a permission.
async fn ask(client: &Client, token: &str, permission: &str) -> v1::Verdict {
    let request = v1::VerifyRequest {
        permissions: vec![permission.to_owned()],
        ..verify_token_request(token)
    };
    calls::verify(client, request).await.verdict()
}

fn rpc(method: &str, code: &str) -> String {
    format!("credd_rpc_requests_total{{method=\"credd.v1.{method}\",code=\"{code}\"}}")
}

fn verdicts(verdict: &str) -> String {
    format!("credd_verdicts_total{{verdict=\"{verdict}\"}}")
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_counted_by_rpc_and_code_and_timed_but_those_of_streams() {
    let (server, address) = shown().await;
    let (_, token) = server.admin.issue_token("acme").await;
    let before = Scraped::of(address).await;
    for _ in 0..3 {
        server.admin.verify_token(&token).await.unwrap();
    }
    refused(server.admin.get("nothing").await);
    let stranger = server.client("credd_nobody").await;
    for _ in 0..2 {
        refused(stranger.verify_token(&token).await);
    }
    let questions = (0..5).map(move |correlation| v1::VerifyStreamRequest {
        correlation,
        request: Some(verify_token_request(&token)),
    });
    let questions = tokio_stream::iter(questions.collect::<Vec<_>>());
    let answers = server.admin.verification.clone();
    let answers = { answers }.verify_stream(questions).await;
    let mut answers = answers.unwrap().into_inner();
    while answers.message().await.unwrap().is_some() {}
    let watch = server.admin.watch(v1::WatchRequest::default()).await;
    drop(watch.unwrap());

    let ended = rpc("VerificationService/Watch", "CANCELLED");
    until("the end of a stream", || async {
        Scraped::of(address).await.value(&ended) == 1.0
    })
    .await;
    let after = Scraped::of(address).await;
    let since = |series: &str| after.since(&before, series);
    for (method, code, count) in [
        ("VerificationService/Verify", "OK", 3.0),
        ("VerificationService/Verify", "UNAUTHENTICATED", 2.0),
        ("VerificationService/VerifyStream", "OK", 1.0),
        ("CredentialService/Get", "INVALID_ARGUMENT", 1.0),
        ("CredentialService/Issue", "OK", 0.0),
    ] {
        assert_eq!(since(&rpc(method, code)), count, "{method} {code}");
    }
    assert_eq!(since(&verdicts("active")), 8.0);
    let timed = |method: &str, suffix: &str, label: &str| {
        format!("credd_rpc_duration_seconds_{suffix}{{{label}method=\"credd.v1.{method}\"}}")
    };
    let verify = "VerificationService/Verify";
    assert_eq!(since(&timed(verify, "count", "")), 5.0);
    assert!(since(&timed(verify, "sum", "")) > 0.0);
    for bound in ["0.00005", "0.001", "10.0", "+Inf"] {
        let bucket = timed(verify, "bucket", &format!("le=\"{bound}\","));
        assert!(after.has(&bucket), "{bucket}");
    }
    let all = timed(verify, "bucket", "le=\"+Inf\",");
    assert_eq!(since(&all), 5.0);
    for stream in [
        "VerificationService/VerifyStream",
        "VerificationService/Watch",
    ] {
        assert!(!after.has(&timed(stream, "count", "")), "{stream}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_verdict_is_counted_under_its_name() {
    let (server, address) = shown().await;
    let admin = &server.admin;
    put_role(admin, "acme", "reader", &["feeds:read"]).await;
    let roles = vec!["reader".to_owned()];
    put_owner(admin, v1::PutOwnerRequest { roles, ..jo() }).await;
    let (id, token) = admin.issue_token("acme").await;
    let before = Scraped::of(address).await;
    let mut expected = BTreeMap::new();
    let mut asked = async |permission: &str, verdict: v1::Verdict| {
        assert_eq!(ask(admin, &token, permission).await, verdict);
        let name = verdict.as_str_name().strip_prefix("VERDICT_").unwrap();
        *expected.entry(name.to_lowercase()).or_default() += 1.0;
    };
    asked("feeds:read", v1::Verdict::Active).await;
    asked("feeds:write", v1::Verdict::Forbidden).await;
    let (tenant, name) = ("acme".to_owned(), jo().name);
    let disable = v1::DisableOwnerRequest {
        tenant: tenant.clone(),
        name: name.clone(),
        reason: "test".to_owned(),
        ..Default::default()
    };
    let mut directory = admin.directory.clone();
    directory.disable_owner(disable).await.unwrap();
    asked("feeds:read", v1::Verdict::OwnerDisabled).await;
    let disable = v1::DisableTenantRequest {
        name: tenant.clone(),
        reason: "test".to_owned(),
        ..Default::default()
    };
    directory.disable_tenant(disable).await.unwrap();
    asked("feeds:read", v1::Verdict::TenantDisabled).await;
    admin.lock(&id).await.unwrap();
    asked("feeds:read", v1::Verdict::Locked).await;
    admin.revoke(&id).await.unwrap();
    asked("feeds:read", v1::Verdict::Revoked).await;
    for _ in 0..3 {
        assert_eq!(
            ask(admin, "nothing", "feeds:read").await,
            v1::Verdict::Invalid
        );
    }
    expected.insert("invalid".to_owned(), 3.0);

    let after = Scraped::of(address).await;
    for (verdict, count) in expected {
        let series = verdicts(&verdict);
        assert_eq!(after.since(&before, &series), count, "{verdict}");
    }
    assert_eq!(after.value(&verdicts("expired")), 0.0);
    assert!(after.has(&verdicts("expired")));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_and_what_they_take_are_counted() {
    const CHANGES: u32 = 20;

    let (server, address) = shown().await;
    let before = Scraped::of(address).await;
    for _ in 0..CHANGES {
        server.admin.issue_token("acme").await;
    }
    let after = Scraped::of(address).await;
    let since = |series: &str| after.since(&before, series);
    let commits = since("credd_commits_total");
    // Heartbeats and last uses are commits too.
    assert!(commits >= f64::from(CHANGES), "{commits}");
    assert_eq!(since("credd_commit_records_count"), commits);
    assert!(since("credd_commit_records_sum") >= commits);
    assert_eq!(since("credd_commit_duration_seconds_count"), commits);
    assert!(since("credd_commit_duration_seconds_sum") > 0.0);
    assert!(since("credd_store_sync_seconds_count") >= commits);
    assert_eq!(after.value("credd_store_failed_timestamp_seconds"), 0.0);
    assert!(after.has("credd_store_failed_timestamp_seconds"));
    let is_embedded = after.has("credd_disk_free_bytes");
    if is_embedded {
        assert_eq!(after.value("credd_feed_lag_seconds"), 0.0);
        assert!(after.value("credd_disk_free_bytes") > 0.0);
    }
    assert!(after.has("credd_feed_lag_seconds"));
    until("the size of the store", || async {
        Scraped::of(address).await.value("credd_store_size_bytes") > 0.0
    })
    .await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_a_fence_waits_for_are_counted_by_how_that_ends() {
    let (server, address) = shown().await;
    let ends = |outcome: &str| format!("credd_fence_sessions_total{{outcome=\"{outcome}\"}}");
    let before = Scraped::of(address).await;
    assert!(before.has(&ends("acknowledged")) && before.has(&ends("expired")));
    let mut one = Session::start(&server.admin).await;
    one.renew().await;
    let obeying = one.obey();
    let mut silent = Session::start(&server.admin).await;
    silent.renew().await;
    let (id, _) = server.admin.issue_token("acme").await;
    let request = v1::RevokeRequest {
        fence: true,
        ..revoke_request(&id)
    };
    let mut credentials = server.admin.credentials.clone();
    let answer = soon("a fence", credentials.revoke(request)).await;
    let fence = answer.unwrap().into_inner().fence.unwrap();
    assert_eq!((fence.acknowledged, fence.expired), (1, 1));
    let after = Scraped::of(address).await;
    for outcome in ["acknowledged", "expired"] {
        assert_eq!(after.since(&before, &ends(outcome)), 1.0, "{outcome}");
    }
    assert_eq!(after.since(&before, "credd_fence_seconds_count"), 1.0);
    obeying.abort();
    drop(silent);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_series_says_whose_anything_is() {
    let (server, address) = shown().await;
    let (tenant, owner) = ("unheardof", "somebody");
    let request = v1::IssueRequest {
        owner: owner.to_owned(),
        label: "unmistakable".to_owned(),
        ..token_request(tenant)
    };
    let issued = server.admin.issue(request).await.unwrap();
    let id = issued.credential.unwrap().id;
    let token = support::token_of(issued.secret);
    server.admin.verify_token(&token).await.unwrap();
    server.admin.lock(&id).await.unwrap();
    refused(server.client("credd_nobody").await.get(&id).await);
    let scraped = Scraped::of(address).await;
    for series in scraped.series() {
        for whose in [tenant, owner, "unmistakable", &id, &token, "credd:admin"] {
            assert!(!series.contains(whose), "{series}");
        }
    }
    let known = [
        "method",
        "code",
        "verdict",
        "outcome",
        "within_days",
        "pepper_version",
        "key_version",
    ];
    for (name, told) in &scraped.told {
        for label in &told.labels {
            assert!(known.contains(&label.as_str()), "{name}: {label}");
        }
    }
    server.stop().await;
}

/// What is written of metrics.
fn documented() -> BTreeMap<String, Told> {
    let page = include_str!("../docs/observability.md");
    let rows = page.lines().filter_map(|line| {
        let row = line.strip_prefix("| `credd_")?.strip_suffix(" |")?;
        let [name, kind, labels, help] = row.split(" | ").collect::<Vec<_>>()[..] else {
            return None;
        };
        let labels = labels.split(' ').map(|label| label.trim_matches('`'));
        let labels = labels.filter(|label| !label.is_empty());
        let told = Told {
            kind: kind.to_owned(),
            help: help.to_owned(),
            labels: labels.map(str::to_owned).collect(),
        };
        Some((format!("credd_{}", name.trim_end_matches('`')), told))
    });
    let rows: Vec<_> = rows.collect();
    let count = rows.len();
    let rows: BTreeMap<_, _> = rows.into_iter().collect();
    assert_eq!(rows.len(), count, "a metric stands there twice");
    rows
}

/// Adds what somebody shows, by the names that values have.
async fn add_shown(all: &mut BTreeMap<String, Told>, address: SocketAddr) {
    for (name, told) in Scraped::of(address).await.told {
        let name = match told.kind.as_str() {
            "counter" => format!("{name}_total"),
            _ => name,
        };
        all.insert(name, told);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_written_what_each_metric_of_a_server_and_of_a_sidecar_is() {
    let directory = tempfile::tempdir().unwrap();
    let (servers, sidecars) = (free_address(), free_address());
    let mut command = serve_everything(&[], directory.path());
    command.args(["--metrics-listen", &servers.to_string()]);
    let (_server, address) = Program::serve(command);
    let admin = Client::connect(address, &read_token(directory.path())).await;
    let (_, token) = admin.issue_verifier("gate").await;
    let token_file = directory.path().join("gate.token");
    std::fs::write(&token_file, token).unwrap();
    let mut command = credd(&[]);
    command
        .arg("sidecar")
        .args(["--sidecar-metrics-listen", &sidecars.to_string()])
        .args(["--authority", &format!("http://{address}")])
        .arg("--authority-token-file")
        .arg(token_file)
        .arg("--socket")
        .arg(directory.path().join("sidecar.sock"));
    let _sidecar = Program::start(command);
    until("a sidecar with a lease", || async {
        let connected = tokio::net::TcpStream::connect(sidecars).await;
        connected.is_ok()
            && Scraped::of(sidecars)
                .await
                .value("credd_sidecar_state{state=\"live\"}")
                == 1.0
    })
    .await;
    let mut shown = BTreeMap::new();
    add_shown(&mut shown, servers).await;
    add_shown(&mut shown, sidecars).await;

    let mut documented = documented();
    // Where there is TLS.
    let certificate = documented.remove("credd_tls_certificate_not_after_seconds");
    assert!(certificate.is_some());
    let mut rows = String::new();
    for (name, told) in &shown {
        let labels: Vec<_> = told.labels.iter().map(|it| format!("`{it}`")).collect();
        let (kind, labels, help) = (&told.kind, labels.join(" "), &told.help);
        writeln!(rows, "| `{name}` | {kind} | {labels} | {help} |").unwrap();
    }
    assert!(
        documented == shown,
        "docs/observability.md should say:\n{rows}"
    );
}
