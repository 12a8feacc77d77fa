//! Running a server, from its listener to its end.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::server::HealthReporter;

use super::audit::{self, Output};
use super::config::Settings;
use super::health;
use super::incoming::{self, Incoming};
use super::jwt::Issuers;
use super::keyring_source;
use super::listeners::{self, Listeners};
use super::metrics;
use super::open::{IfMissing, Opened, open};
use super::supervise::{Failure, Supervisor};
use super::tls::{Tls, TlsSettings};
use super::traces::Traces;
use super::upkeep;
use crate::authority::reseal;
use crate::authority::{Authority, Workers, background};
use crate::domain::time::SystemClock;
use crate::proto::FILE_DESCRIPTOR_SET;
use crate::proto::v1::audit_service_server::AuditServiceServer;
use crate::proto::v1::credential_service_server::CredentialServiceServer;
use crate::proto::v1::directory_service_server::DirectoryServiceServer;
use crate::proto::v1::operations_service_server::OperationsServiceServer;
use crate::proto::v1::verification_service_server::VerificationServiceServer;
use crate::rpc::Shared;
use crate::rpc::access::AccessLayer;
use crate::rpc::audit::AuditRpc;
use crate::rpc::credentials::Credentials;
use crate::rpc::directory::DirectoryRpc;
use crate::rpc::limits::Limits as CallLimits;
use crate::rpc::observe::ObserveLayer;
use crate::rpc::operations::Operations;
use crate::rpc::verification::{MESSAGE_BYTES, Verification};

/// How long a connection may take to begin HTTP/2.
const PREFACE_TIME: Duration = Duration::from_secs(10);
/// How much of a stream is taken that is not read yet, in bytes. The HTTP/2 library ends a
/// connection with more small messages unread than half of its window has room for: those
/// of one stream, or of two, never are so many.
const STREAM_WINDOW: u32 = 64 << 10;
/// How often a silent connection is asked whether it is alive, and how long it
/// may take to answer.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(20));
/// How many calls that manage credd run at once where the store is in etcd, and nothing
/// else is said: they wait for it most of the time.
const TURNS_IN_ETCD: NonZeroUsize = NonZeroUsize::new(64).unwrap();
/// How much longer health and reflection may go on than everything else.
const GRACE: Duration = Duration::from_secs(1);
/// The most bytes of a message to reflection: the name of a file, type or service.
/// Whoever connects may send one.
const MAX_REFLECTION_REQUEST: usize = 16 << 10;

/// Serves on listeners until `stop` is done, then ends within the time that the
/// configuration allows. Of the configuration, the address to listen on is not
/// looked at.
///
/// # Errors
///
/// Whatever keeps the server from starting or from going on.
pub async fn run(
    settings: &Settings,
    listeners: impl Into<Listeners>,
    stop: impl Future<Output = ()> + Send,
) -> Result<(), Failure> {
    let Listeners {
        services: listener,
        tls,
        health: health_listener,
    } = listeners.into();
    let address = listener.local_addr()?;
    // Before anything is created.
    let metrics_listener = match settings.server.metrics_listen {
        Some(address) => Some(listeners::bind(address).await?),
        None => None,
    };
    let limits = &settings.limits;
    let mut calls = limits.calls();
    if settings.etcd.is_some() {
        calls.turns = calls.turns.or(Some(TURNS_IN_ETCD));
    }
    let shared = Shared::limited_to(CallLimits::new(calls));
    let (health, health_service) = tonic_health::server::health_reporter();
    let health_service = health_service.max_decoding_message_size(health::MAX_REQUEST);
    health::begin(&health).await;

    let mut supervisor = Supervisor::new();
    let closing = CancellationToken::new();
    let traces = Traces::start(&settings.traces, "credd")?;
    let observe = ObserveLayer::new(
        Arc::clone(&shared.calls),
        traces.as_ref().map(Traces::tracer),
    );
    let tls = match tls {
        Some(settings) => Some(follow_certificate(settings, &shared, &mut supervisor).await?),
        None => None,
    };
    trust_issuers(settings, &shared, &mut supervisor)?;
    let mut most = incoming::most_connections();
    if let Some(listener) = health_listener {
        most = most.saturating_sub(health::MAX_CONNECTIONS).max(1);
        tracing::info!(address = %listener.local_addr()?, "answering health in plaintext");
        let service = health_service.clone();
        health::serve(listener, service, &shared, &closing, &mut supervisor);
    }
    if metrics_listener.is_some() {
        most = most.saturating_sub(metrics::MAX_CONNECTIONS).max(1);
    }
    if limits.max_connections > 0 {
        most = most.min(limits.max_connections);
    }
    let (accepted, connections) = mpsc::channel(1);
    let server = {
        let closing = closing.clone().cancelled_owned();
        let routes = routes(health_service, &shared, limits.max_message_bytes)?;
        http2(limits.max_streams_per_connection)
            .http2_max_header_list_size(Some(limits.max_header_bytes))
            .layer(observe)
            .layer(AccessLayer::new(shared.clone()))
            .add_routes(routes)
            .serve_with_incoming_shutdown(ReceiverStream::new(connections), closing)
    };
    supervisor.task("grpc server", async move { Ok(server.await?) });
    let incoming = Incoming {
        listener,
        tls: tls.clone(),
        preface: PREFACE_TIME,
        most,
    };
    let accept = incoming::accept(incoming, closing.clone(), accepted);
    supervisor.task("accept", async move {
        accept.await;
        Ok(())
    });

    let reached = Reached {
        address,
        tls,
        metrics: metrics_listener,
    };
    let outcome = tokio::select! {
        outcome = serve_authority(settings, reached, &shared, &health, &mut supervisor) => outcome,
        () = stop => Ok(()),
    };

    tracing::info!("stopping");
    shared.stopping.cancel();
    closing.cancel();
    let ending = shared.ending.clone();
    // The authority's workers end when the last call has let go of it.
    drop(shared);
    let bound = Duration::from_secs(settings.server.shutdown_seconds);
    let until = Instant::now() + bound;
    let all_end = async {
        if timeout(GRACE, supervisor.all_ends()).await.is_err() {
            ending.cancel();
            supervisor.all_ends().await;
        }
    };
    if timeout(bound, all_end).await.is_err() {
        tracing::warn!("some calls did not end in time");
    }
    if let Some(traces) = traces {
        traces
            .end(until.saturating_duration_since(Instant::now()))
            .await;
    }
    outcome
}

/// Every service, those of credd with messages of so many bytes.
fn routes(
    health: HealthServer<impl Health>,
    shared: &Shared,
    message_bytes: usize,
) -> Result<Routes, Failure> {
    let routes = Routes::new(health)
        .add_service(
            AuditServiceServer::new(AuditRpc::new(shared.clone()))
                .max_decoding_message_size(message_bytes),
        )
        .add_service(
            CredentialServiceServer::new(Credentials::new(shared.clone()))
                .max_decoding_message_size(message_bytes),
        )
        .add_service(
            DirectoryServiceServer::new(DirectoryRpc::new(shared.clone()))
                .max_decoding_message_size(message_bytes),
        )
        .add_service(
            OperationsServiceServer::new(Operations::new(shared.clone()))
                .max_decoding_message_size(message_bytes),
        )
        .add_service(
            VerificationServiceServer::new(Verification::new(shared.clone()))
                .max_decoding_message_size(message_bytes.min(MESSAGE_BYTES)),
        )
        .add_service(
            reflection()
                .build_v1()?
                .max_decoding_message_size(MAX_REFLECTION_REQUEST),
        )
        .add_service(
            reflection()
                .build_v1alpha()?
                .max_decoding_message_size(MAX_REFLECTION_REQUEST),
        );
    Ok(routes)
}

/// Where a server is reached.
struct Reached {
    /// For the services.
    address: SocketAddr,
    tls: Option<Arc<Tls>>,
    metrics: Option<TcpListener>,
}

/// Loads the store, says that the server is ready, and waits until something
/// ends that must not.
async fn serve_authority(
    settings: &Settings,
    Reached {
        address,
        tls,
        metrics: metrics_listener,
    }: Reached,
    shared: &Shared,
    health: &HealthReporter,
    supervisor: &mut Supervisor,
) -> Result<(), Failure> {
    let if_missing = if address.ip().is_loopback() {
        IfMissing::Create
    } else {
        IfMissing::Refuse
    };
    let opened = {
        let settings = settings.clone();
        tokio::task::spawn_blocking(move || open(&settings, if_missing)).await??
    };
    if opened.is_unsettled() {
        tracing::warn!(
            "the store was restored, and nobody is answered: stop the server, and give the revocations since the backup with `credd restore --revocations`, or give them up with `credd restore --accept-lost-revocations`"
        );
        shared.set_restored();
        return Err(supervisor.first_end().await.into());
    }
    let authority = start_authority(&opened, supervisor)?;
    tokio::select! {
        biased;
        ended = supervisor.first_end() => return Err(ended.into()),
        () = authority.sessions().started() => (),
    }
    opened.complete(&authority).await?;
    // Whoever keeps an etcd that others share keeps it short.
    if settings.etcd.as_ref().is_none_or(|etcd| etcd.may_compact) {
        supervisor.task(
            "log retention",
            upkeep::keep_log_short(
                Arc::clone(&authority),
                opened.parts,
                settings.retention.log(),
                shared.stopping.clone(),
            ),
        );
    }
    supervisor.task(
        "sweep",
        upkeep::sweep(
            Arc::clone(&authority),
            settings.retention.keep(),
            shared.stopping.clone(),
        ),
    );
    supervisor.task(
        "limits",
        upkeep::forget_idle_callers(Arc::clone(&shared.limits), shared.stopping.clone()),
    );
    if let Some(file) = settings.audit.file.clone() {
        let log = Arc::clone(authority.audit().log());
        supervisor.task("audit copy", audit::export(log, Output(file)));
    }
    let keep = settings.retention.audit();
    let keep_short = audit::keep_short(Arc::clone(&authority), keep, shared.stopping.clone());
    supervisor.task("audit retention", keep_short);
    let (keys, stopping) = (Arc::clone(&authority), shared.stopping.clone());
    supervisor.task("keyring", keyring_source::follow(keys, stopping));
    let (keys, stopping) = (Arc::clone(&authority), shared.stopping.clone());
    supervisor.task("sealing anew", async move {
        reseal::run(keys, stopping).await;
        Ok(())
    });
    if let Some(listener) = metrics_listener {
        let address = listener.local_addr()?;
        tracing::info!(%address, "answering /metrics");
        let stopping = shared.stopping.clone();
        let shown = metrics::Shown {
            authority: Arc::clone(&authority),
            calls: Arc::clone(&shared.calls),
            tls,
        };
        let serve = metrics::serve(listener, shown, stopping);
        supervisor.task("metrics", serve);
    }
    shared.set_authority(Arc::clone(&authority));
    supervisor.task(
        "health",
        health::follow(authority, health.clone(), shared.stopping.clone()),
    );
    tracing::info!(%address, "serving");
    Err(supervisor.first_end().await.into())
}

/// Lets the tokens of issuers name callers.
fn trust_issuers(
    settings: &Settings,
    shared: &Shared,
    supervisor: &mut Supervisor,
) -> Result<(), Failure> {
    if !settings.jwt_issuers.is_empty() {
        let issuers = Issuers::new(settings.jwt_issuers.clone(), Arc::new(SystemClock))?;
        issuers.start(supervisor, &shared.stopping);
        shared.set_tokens(Arc::new(issuers));
    }
    Ok(())
}

/// TLS, with what keeps it up to date.
pub(crate) async fn follow_certificate(
    settings: TlsSettings,
    shared: &Shared,
    supervisor: &mut Supervisor,
) -> Result<Arc<Tls>, Failure> {
    let (tls, reloader) = tokio::task::spawn_blocking(move || Tls::load(settings)).await??;
    supervisor.task("certificate", reloader.run(shared.stopping.clone()));
    Ok(tls)
}

/// A server of HTTP/2 that lets a connection have so many streams at once.
pub(crate) fn http2(streams: u32) -> Server {
    Server::builder()
        .initial_stream_window_size(Some(STREAM_WINDOW))
        .http2_keepalive_interval(Some(KEEPALIVE.0))
        .http2_keepalive_timeout(Some(KEEPALIVE.1))
        .max_concurrent_streams(Some(streams))
}

/// An authority with its workers.
pub(super) fn start_authority(
    opened: &Opened,
    supervisor: &mut Supervisor,
) -> Result<Arc<Authority>, Failure> {
    let (authority, workers) = Authority::new(opened.parts.clone())?;
    authority.keys().set_source(Arc::clone(&opened.keyring));
    let Workers {
        committer,
        uses,
        audit,
        rekeys,
        heart,
        follower,
    } = workers;
    supervisor.thread("committer", move || {
        background::lower_priority();
        Ok(committer.run()?)
    })?;
    if opened.parts.store.is_shared() {
        supervisor.thread("follower", move || Ok(follower.run()?))?;
    }
    supervisor.task("last use", async move {
        uses.run().await;
        Ok(())
    });
    supervisor.task("heart", async move {
        heart.run().await;
        Ok(())
    });
    supervisor.task("audit", async move {
        audit.run().await;
        Ok(())
    });
    supervisor.task("hashing anew", async move {
        rekeys.run().await;
        Ok(())
    });
    Ok(Arc::new(authority))
}

/// Each version of reflection shows all services, the other version too.
fn reflection() -> tonic_reflection::server::Builder<'static> {
    use tonic_reflection::pb::{v1, v1alpha};

    tonic_reflection::server::Builder::configure()
        .include_reflection_service(false)
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(v1::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(v1alpha::FILE_DESCRIPTOR_SET)
}
