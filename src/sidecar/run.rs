//! Running a sidecar, from its start to its end.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use prometheus_client::registry::Registry;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::service::Routes;
use tonic::transport::server::Connected;
use tonic_health::ServingStatus;
use tower::util::MapRequestLayer;

use super::cells::{Cell, Cells};
use super::ext_authz::ExtAuthz;
use super::listen::{self, Listeners, Socket};
use super::metrics::Sidecar as Metrics;
use super::profiles::Profiles;
use super::readiness::Readiness;
use super::relay::Relay;
use super::service::Verification;
use crate::client::{Client, Config, Machine};
use crate::domain::names::CellName;
use crate::proto::envoy::auth::authorization_server::AuthorizationServer;
use crate::proto::v1::verification_service_server::VerificationServiceServer;
use crate::rpc::Shared;
use crate::rpc::observe::ObserveLayer;
use crate::rpc::peer::Peer;
use crate::rpc::verification::MESSAGE_BYTES;
use crate::server::config::{CellSettings, Settings, Sidecar, SidecarSettings};
use crate::server::health::{self, STARTED};
use crate::server::incoming::{self, Incoming};
use crate::server::metrics;
use crate::server::process::{block_on, stop_signal};
use crate::server::run::{follow_certificate, http2};
use crate::server::supervise::{Failure, Supervisor};
use crate::server::telemetry::{self, Reread};
use crate::server::tls::Tls;
use crate::server::traces::Traces;

/// How long a connection may take to begin HTTP/2.
const PREFACE_TIME: Duration = Duration::from_secs(10);
/// The most bytes of a check: of the headers of a request, and what Envoy says of it.
const CHECK_BYTES: usize = 256 << 10;
/// The most calls at once on a connection.
const STREAMS: u32 = 1024;

/// Runs a sidecar until the process is told to stop by SIGTERM or SIGINT, and logs what
/// `reread` says.
///
/// # Errors
///
/// Whatever keeps it from starting or from going on.
pub fn process(settings: &Settings, reread: &Reread<'_>) -> Result<(), Failure> {
    incoming::raise_descriptor_limit();
    block_on(telemetry::following(reread, async {
        let sidecar = settings.sidecar.as_ref();
        let sidecar = sidecar.ok_or(
            "nothing says whom to follow: give authority.address (--authority), and sidecar.socket (--socket) or sidecar.listen (--sidecar-listen)",
        )?;
        let listeners = Listeners::bind(&sidecar.sidecar).await?;
        let stop = stop_signal()?;
        run(settings, listeners, stop).await
    }))
}

impl Listeners {
    /// Listens where it is configured.
    ///
    /// # Errors
    ///
    /// Something can't be listened on.
    pub async fn bind(sidecar: &Sidecar) -> Result<Self, Failure> {
        let tcp = async |address| match address {
            Some(address) => listen::tcp(address).await.map(Some),
            None => Ok(None),
        };
        let mode = sidecar.socket_mode.bits();
        let socket = sidecar.socket.as_ref();
        Ok(Self {
            socket: socket.map(|path| Socket::bind(path, mode)).transpose()?,
            tcp: tcp(sidecar.listen).await?,
            health: tcp(sidecar.health_listen).await?,
            metrics: tcp(sidecar.metrics_listen).await?,
        })
    }
}

/// Serves on listeners until `stop` is done, then ends within the time that the
/// configuration allows. Of the configuration, the addresses to listen on are not
/// looked at.
///
/// # Errors
///
/// Whatever keeps it from starting or from going on.
pub async fn run(
    settings: &Settings,
    listeners: Listeners,
    stop: impl Future<Output = ()> + Send,
) -> Result<(), Failure> {
    let sidecar = settings.sidecar.as_ref();
    let sidecar = sidecar.ok_or("nothing is said of a sidecar")?;
    let own = &sidecar.sidecar;
    let shared = Shared::default();
    let (closing, mut supervisor) = (CancellationToken::new(), Supervisor::new());
    let sending = Traces::start(&settings.traces, "credd-sidecar")?;
    let tracer = sending.as_ref().map(Traces::tracer);
    let observe = ObserveLayer::new(Arc::clone(&shared.calls), tracer.clone());
    let cells = follow_all(sidecar, &shared.stopping, &mut supervisor)?;

    let (reporter, health_service) = tonic_health::server::health_reporter();
    let health_service = health_service.max_decoding_message_size(health::MAX_REQUEST);
    let stopping = shared.stopping.clone();
    let service = Verification::new(cells.clone(), stopping.clone());
    let service = VerificationServiceServer::new(service).max_decoding_message_size(MESSAGE_BYTES);
    let patience = Duration::from_millis(own.check_ms);
    let checks = ExtAuthz::new(Arc::new(cells.clone()), patience).traced(tracer);
    let outcomes = Arc::clone(checks.outcomes());
    let checks = AuthorizationServer::new(checks).max_decoding_message_size(CHECK_BYTES);
    let routes = Routes::new(health_service.clone())
        .add_service(service)
        .add_service(Profiles::new(cells.clone()))
        .add_service(checks);
    reporter
        .set_service_status(STARTED, ServingStatus::Serving)
        .await;
    let readiness = Readiness::new(&cells, reporter).await;
    supervisor.task("readiness", readiness.follow(stopping.clone()));

    let Listeners {
        socket,
        tcp,
        health: health_listener,
        metrics: metrics_listener,
    } = listeners;
    let tls = match settings.tls.clone().filter(|_| tcp.is_some()) {
        Some(settings) => Some(follow_certificate(settings, &shared, &mut supervisor).await?),
        None => None,
    };
    let mut most = incoming::most_connections();
    if let Some(listener) = health_listener {
        most = most.saturating_sub(health::MAX_CONNECTIONS).max(1);
        tracing::info!(address = %listener.local_addr()?, "answering health in plaintext");
        health::serve(listener, health_service, &shared, &closing, &mut supervisor);
    }
    if let Some(listener) = metrics_listener {
        most = most.saturating_sub(metrics::MAX_CONNECTIONS).max(1);
        tracing::info!(address = %listener.local_addr()?, "answering /metrics");
        let mut registry = Registry::with_prefix("credd");
        registry.register_collector(Box::new(metrics::Rpcs(Arc::clone(&shared.calls))));
        let checks = outcomes;
        registry.register_collector(Box::new(Metrics { cells, checks }));
        if let Some(tls) = tls.clone() {
            registry.register_collector(Box::new(metrics::Certificate(tls)));
        }
        let serve = metrics::serve_registry(listener, registry, stopping.clone());
        supervisor.task("metrics", serve);
    }
    if let Some(socket) = socket {
        let routes = (routes.clone(), observe.clone());
        serve_socket(socket, routes, most, &closing, &mut supervisor);
    }
    if let Some(listener) = tcp {
        tracing::info!(address = %listener.local_addr()?, "serving");
        let routes = (routes, observe);
        serve_tcp(listener, tls, routes, most, &closing, &mut supervisor);
    }

    let outcome = tokio::select! {
        ended = supervisor.first_end() => Err(ended.into()),
        () = stop => Ok(()),
    };
    tracing::info!("stopping");
    stopping.cancel();
    closing.cancel();
    shared.ending.cancel();
    let bound = Duration::from_secs(own.shutdown_seconds);
    let until = Instant::now() + bound;
    if timeout(bound, supervisor.all_ends()).await.is_err() {
        tracing::warn!("some calls did not end in time");
    }
    if let Some(sending) = sending {
        let left = until.saturating_duration_since(Instant::now());
        sending.end(left).await;
    }
    outcome
}

/// Begins to follow all cells.
fn follow_all(
    settings: &SidecarSettings,
    stopping: &CancellationToken,
    supervisor: &mut Supervisor,
) -> Result<Cells, Failure> {
    let SidecarSettings {
        sidecar: _,
        client,
        cells,
    } = settings;
    let rest = follow(None, client, stopping, supervisor)?;
    let others = cells.iter().map(|cell| {
        let CellSettings {
            name,
            tenants,
            client,
        } = cell;
        let cell = follow(Some(name.clone()), client, stopping, supervisor)?;
        Ok((cell, tenants.clone()))
    });
    let others = others.collect::<Result<Vec<_>, Failure>>()?;
    Ok(Cells::new(rest, others))
}

/// Begins to follow a cell, and to pass on what is followed.
fn follow(
    name: Option<CellName>,
    config: &Config,
    stopping: &CancellationToken,
    supervisor: &mut Supervisor,
) -> Result<Cell, Failure> {
    let machine = Machine::default();
    let relay = Arc::new(Relay::new(machine.clone()));
    let observer = Some(Arc::clone(&relay) as _);
    let (client, follower) = Client::new(config.clone(), machine, observer)?;
    relay.set_client(client.clone());
    if let Some(follower) = follower {
        let stopping = stopping.clone();
        supervisor.task("follower", async move {
            follower.run(stopping).await;
            Ok(())
        });
    }
    let (passing_on, stopping) = (Arc::clone(&relay), stopping.clone());
    supervisor.task("relay", async move {
        passing_on.run(stopping).await;
        Ok(())
    });
    Ok(Cell {
        name,
        client,
        relay,
    })
}

fn serve_socket(
    socket: Socket,
    routes: (Routes, ObserveLayer),
    most: usize,
    closing: &CancellationToken,
    supervisor: &mut Supervisor,
) {
    tracing::info!(path = %socket.path().display(), "serving at a socket");
    let (accepted, connections) = mpsc::channel(1);
    let name = "grpc server at the socket";
    serve(name, routes, connections, closing, supervisor);
    let accept = listen::accept(socket, most, closing.clone(), accepted);
    supervisor.task("accept at the socket", async move {
        accept.await;
        Ok(())
    });
}

fn serve_tcp(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    routes: (Routes, ObserveLayer),
    most: usize,
    closing: &CancellationToken,
    supervisor: &mut Supervisor,
) {
    let (accepted, connections) = mpsc::channel(1);
    serve("grpc server", routes, connections, closing, supervisor);
    let incoming = Incoming {
        listener,
        tls,
        preface: PREFACE_TIME,
        most,
    };
    let accept = incoming::accept(incoming, closing.clone(), accepted);
    supervisor.task("accept", async move {
        accept.await;
        Ok(())
    });
}

fn serve<C>(
    name: &'static str,
    (routes, observe): (Routes, ObserveLayer),
    connections: mpsc::Receiver<io::Result<C>>,
    closing: &CancellationToken,
    supervisor: &mut Supervisor,
) where
    C: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
{
    let closing = closing.clone().cancelled_owned();
    let server = http2(STREAMS)
        .layer(observe)
        .layer(MapRequestLayer::new(called))
        .add_routes(routes)
        .serve_with_incoming_shutdown(ReceiverStream::new(connections), closing);
    supervisor.task(name, async move { Ok(server.await?) });
}

/// Whoever reaches it may call: a connection over which somebody did is no stranger's,
/// and gives way to no other.
fn called(request: Request<Body>) -> Request<Body> {
    if let Some(peer) = request.extensions().get::<Peer>() {
        peer.let_in.set(None);
    }
    request
}
