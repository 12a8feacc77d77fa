//! `/metrics`, in the text format of `OpenMetrics`, on a listener of its own.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::incoming::{self, Acceptor, Place};
use super::supervise::Failure;
use super::telemetry;
use super::tls::Tls;
use crate::authority::keys::KeyStatus;
use crate::authority::{Authority, background};
use crate::rpc::calls::Calls;

/// The most connections at once. They are counted apart, and the oldest gives way
/// to the next: a scraper is answered, and no caller is kept out, whoever stays here.
pub const MAX_CONNECTIONS: usize = 16;
/// How long a connection may take to send a request, the first or the next.
const HEADER_TIME: Duration = Duration::from_secs(10);
/// Within how many days expiring credentials are counted.
const SOON_DAYS: [u32; 2] = [7, 30];

mod histogram;
mod rpcs;
mod store;

pub use rpcs::Rpcs;

use rpcs::Verdicts;
use store::{Commits, StoreVitals};

const CONTENT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What a server shows.
#[derive(Debug)]
pub struct Shown {
    /// What it serves.
    pub authority: Arc<Authority>,
    /// What calls came to.
    pub calls: Arc<Calls>,
    /// Its certificate, if it has one.
    pub tls: Option<Arc<Tls>>,
}

/// Answers until `stopping`.
///
/// # Errors
///
/// None: who can't be answered is not.
pub async fn serve(
    listener: TcpListener,
    shown: Shown,
    stopping: CancellationToken,
) -> Result<(), Failure> {
    let Shown {
        authority,
        calls,
        tls,
    } = shown;
    let mut registry = Registry::with_prefix("credd");
    registry.register_collector(Box::new(Rpcs(Arc::clone(&calls))));
    registry.register_collector(Box::new(Verdicts(calls)));
    registry.register_collector(Box::new(Commits(Arc::clone(&authority))));
    registry.register_collector(Box::new(StoreVitals(Arc::clone(&authority))));
    registry.register_collector(Box::new(Audit(Arc::clone(&authority))));
    registry.register_collector(Box::new(Fences(Arc::clone(&authority))));
    registry.register_collector(Box::new(Credentials(authority)));
    if let Some(tls) = tls {
        registry.register_collector(Box::new(Certificate(tls)));
    }
    serve_registry(listener, registry, stopping).await
}

/// Answers with what a registry holds, and what there is to say of every process, until
/// `stopping`.
///
/// # Errors
///
/// None: who can't be answered is not.
pub async fn serve_registry(
    listener: TcpListener,
    mut registry: Registry,
    stopping: CancellationToken,
) -> Result<(), Failure> {
    registry.register_collector(Box::new(Log));
    let routes = Router::new()
        .route("/metrics", get(metrics))
        .with_state(Arc::new(registry));
    let mut acceptor = Acceptor::new(listener, MAX_CONNECTIONS);
    let mut connections = JoinSet::new();
    while let Some(next) = stopping.run_until_cancelled(acceptor.next()).await {
        let (stream, _, place) = next;
        connections.spawn(answer(stream, routes.clone(), place, stopping.clone()));
        incoming::reap(&mut connections);
    }
    drop(acceptor);
    connections.join_all().await;
    Ok(())
}

/// Answers on one connection, until `stopping` or until it gives way.
async fn answer(stream: TcpStream, routes: Router, place: Place, stopping: CancellationToken) {
    let service = TowerToHyperService::new(routes);
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIME)
            .serve_connection(TokioIo::new(stream), service)
    );
    let mut gives_way = pin!(place.gives_way());
    let mut is_stopping = false;
    loop {
        tokio::select! {
            // However it ends: it is the other side that knows why.
            _ = &mut connection => return,
            () = &mut gives_way => return,
            () = stopping.cancelled(), if !is_stopping => {
                is_stopping = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

async fn metrics(State(registry): State<Arc<Registry>>) -> impl IntoResponse {
    // What is counted when it is asked for takes a while with a million of them.
    let encoded = background::work(move || {
        let mut text = String::new();
        encode(&mut text, &registry).map(|()| text)
    });
    match encoded.await {
        Ok(Ok(text)) => Ok(([(CONTENT_TYPE, CONTENT)], text)),
        _ => Err(axum::http::StatusCode::INTERNAL_SERVER_ERROR),
    }
}

/// What there is to say of the credentials, counted when it is asked for.
struct Credentials(Arc<Authority>);

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(..)")
    }
}

impl Collector for Credentials {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let (revision, credentials) = self.0.index().read(|index| index.len());
        let number = |number: u64| ConstGauge::new(i64::try_from(number).unwrap_or(i64::MAX));
        let gauge = MetricType::Gauge;

        let help = "Credentials that have a record, whatever their state.";
        let metric = encoder.encode_descriptor("credentials", help, None, gauge)?;
        number(credentials as u64).encode(metric)?;

        let help = "The revision of the last commit that was applied.";
        let metric = encoder.encode_descriptor("applied_revision", help, None, gauge)?;
        number(revision.number()).encode(metric)?;

        let help = "Active credentials that expire within so many days.";
        let mut family = encoder.encode_descriptor("credentials_expiring", help, None, gauge)?;
        for days in SOON_DAYS {
            let soon = self.0.expiring_within(DAY * days);
            let label = [("within_days", days.to_string())];
            number(soon).encode(family.encode_family(&label)?)?;
        }

        let keyring = self.0.keyring_status();
        let help =
            "Secrets of credentials that are not revoked, by the pepper they are hashed under.";
        let mut family = encoder.encode_descriptor("secrets", help, None, gauge)?;
        for pepper in keyring.peppers.iter().filter(|key| is_shown(key)) {
            let label = [("pepper_version", pepper.version.to_string())];
            number(pepper.remaining.secrets).encode(family.encode_family(&label)?)?;
        }
        let help = "Secrets that can be viewed again, by the key they are sealed with.";
        let mut family = encoder.encode_descriptor("sealed_secrets", help, None, gauge)?;
        for key in keyring.sealing.iter().filter(|key| is_shown(key)) {
            let label = [("key_version", key.version.to_string())];
            number(key.remaining.secrets).encode(family.encode_family(&label)?)?;
        }
        Ok(())
    }
}

/// What there is to say of the audit log.
#[derive(Debug)]
struct Audit(Arc<Authority>);

impl Collector for Audit {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let (head, counts) = (self.0.audit().log().head(), self.0.audit().counts());

        let help = "The number of the last record of the audit log.";
        let name = "audit_head_sequence";
        let metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        let sequence = head.borrow().sequence;
        ConstGauge::new(i64::try_from(sequence).unwrap_or(i64::MAX)).encode(metric)?;

        let help = "Refusals, reads and uses that were not counted for the audit log, because too many waited.";
        let metric = encoder.encode_descriptor("audit_dropped", help, None, MetricType::Counter)?;
        ConstCounter::new(counts.dropped()).encode(metric)?;

        let help = "Uses of secrets that were retired.";
        let name = "retired_secret_uses";
        let metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        ConstCounter::new(counts.retired_uses()).encode(metric)
    }
}

/// What there is to say of those who follow, and of the waits for them.
#[derive(Debug)]
struct Fences(Arc<Authority>);

impl Collector for Fences {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let sessions = self.0.sessions();
        let standing = sessions.standing();
        let number = |number: usize| ConstGauge::new(i64::try_from(number).unwrap_or(i64::MAX));

        let help = "Sessions of Watch that have a lease.";
        let metric = encoder.encode_descriptor("sessions", help, None, MetricType::Gauge)?;
        number(standing.leases).encode(metric)?;

        let help = "Sessions with a lease that have not applied the latest fenced change: a fence waits for them.";
        let metric = encoder.encode_descriptor("sessions_behind", help, None, MetricType::Gauge)?;
        number(standing.behind).encode(metric)?;

        let help = "How long fenced changes waited, once they were durable.";
        let unit = Unit::Seconds;
        let metric =
            encoder.encode_descriptor("fence", help, Some(&unit), MetricType::Histogram)?;
        sessions.fence_times().encode(metric)?;

        let ends = sessions.fence_ends();
        let help = "Sessions that fenced changes waited for, by how that ended.";
        let name = "fence_sessions";
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (outcome, count) in [
            ("acknowledged", &ends.acknowledged),
            ("expired", &ends.expired),
        ] {
            let label = [("outcome", outcome)];
            ConstCounter::new(count.get()).encode(family.encode_family(&label)?)?;
        }
        Ok(())
    }
}

/// What there is to say of the log.
#[derive(Debug)]
struct Log;

impl Collector for Log {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let help = "Lines of the log that were dropped, because too many waited to be written.";
        let name = "log_lines_dropped";
        let metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        ConstCounter::new(telemetry::dropped_lines()).encode(metric)
    }
}

/// What there is to say of the server's certificate.
#[derive(Debug)]
pub struct Certificate(pub Arc<Tls>);

impl Collector for Certificate {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let help = "When the server's certificate ceases to be valid, as Unix time.";
        let name = "tls_certificate_not_after";
        let unit = Unit::Seconds;
        let metric = encoder.encode_descriptor(name, help, Some(&unit), MetricType::Gauge)?;
        ConstGauge::new(self.0.not_after()).encode(metric)
    }
}

/// Whether a version of a key is of interest to anybody still.
const fn is_shown(key: &KeyStatus) -> bool {
    key.loaded || key.state.is_needed() || !key.remaining.is_nothing()
}

const DAY: Duration = Duration::from_hours(24);
