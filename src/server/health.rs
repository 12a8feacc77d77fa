//! What `grpc.health.v1.Health` says of a server; and that service alone, in plaintext on
//! a listener of its own: for probes that can't speak TLS, such as those of Kubernetes.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::interval;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::server::HealthReporter;
use tower::util::MapResponseLayer;

use super::incoming::{self, Incoming};
use super::supervise::{Failure, Supervisor};
use crate::authority::Authority;
use crate::rpc::Shared;
use crate::rpc::stopping::EndsWhenStopping;

/// The most connections at once. They are counted apart, so that probes are
/// answered however many clients there are; and the oldest gives way to the next,
/// so that they are answered whoever stays here: here all are strangers.
pub const MAX_CONNECTIONS: usize = 64;
/// How long a connection may take to begin HTTP/2: a probe says at once what it
/// wants, and is not to wait for those that say nothing.
const PREFACE_TIME: Duration = Duration::from_secs(1);
/// The most streams at once on a connection.
const MAX_STREAMS: u32 = 16;
/// The most bytes of a request's message: the name of a service.
pub const MAX_REQUEST: usize = 1 << 10;

/// The health of this is good as long as the process is up.
pub const STARTED: &str = "started";
/// The health of these is whether the server can answer.
const SERVICES: [&str; 6] = [
    "",
    "credd.v1.AuditService",
    "credd.v1.CredentialService",
    "credd.v1.DirectoryService",
    "credd.v1.OperationsService",
    "credd.v1.VerificationService",
];
/// How often it is looked whether it can answer.
const LOOK: Duration = Duration::from_millis(100);

/// Says that the process is up, and can't answer yet.
pub(super) async fn begin(reporter: &HealthReporter) {
    reporter
        .set_service_status(STARTED, ServingStatus::Serving)
        .await;
    report(reporter, ServingStatus::NotServing).await;
}

/// Says whether the server can answer.
async fn report(reporter: &HealthReporter, status: ServingStatus) {
    for service in SERVICES {
        reporter.set_service_status(service, status).await;
    }
}

/// Says of a server that has its store when it can answer, and when it can't: as long as it
/// could not write to its store for a lease it says ACTIVE of nothing. At the end it can't.
pub(super) async fn follow(
    authority: Arc<Authority>,
    reporter: HealthReporter,
    stopping: CancellationToken,
) -> Result<(), Failure> {
    let mut is_ready = false;
    let look = async {
        let mut ticks = interval(LOOK);
        loop {
            ticks.tick().await;
            let may = authority.sessions().may_say_yes();
            if may != is_ready {
                is_ready = may;
                tracing::info!(is_ready, "readiness");
                let status = if may {
                    ServingStatus::Serving
                } else {
                    ServingStatus::NotServing
                };
                report(&reporter, status).await;
            }
        }
    };
    // It never ends by itself.
    let _: Option<Infallible> = stopping.run_until_cancelled(look).await;
    report(&reporter, ServingStatus::NotServing).await;
    Ok(())
}

/// Serves until `closing`, with a service that takes requests of
/// [`MAX_REQUEST`]; answers that go on end when the server does.
pub fn serve(
    listener: TcpListener,
    service: HealthServer<impl Health>,
    shared: &Shared,
    closing: &CancellationToken,
    supervisor: &mut Supervisor,
) {
    let (accepted, connections) = mpsc::channel(1);
    let ending = shared.ending.clone();
    let end = MapResponseLayer::new(move |answer: http::Response<Body>| {
        answer.map(|body| Body::new(EndsWhenStopping::new(body, &ending)))
    });
    let server = super::run::http2(MAX_STREAMS)
        .layer(end)
        .add_routes(Routes::new(service))
        .serve_with_incoming_shutdown(
            ReceiverStream::new(connections),
            closing.clone().cancelled_owned(),
        );
    supervisor.task("health server", async move { Ok(server.await?) });
    let incoming = Incoming {
        listener,
        tls: None,
        preface: PREFACE_TIME,
        most: MAX_CONNECTIONS,
    };
    supervisor.task("accept for health", {
        let accept = incoming::accept(incoming, closing.clone(), accepted);
        async move {
            accept.await;
            Ok(())
        }
    });
}
