//! `grpc.health.v1.Health` alone, in plaintext on a listener of its own: for
//! probes that can't speak TLS, such as those of Kubernetes.

use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::service::Routes;
use tonic_health::pb::health_server::{Health, HealthServer};
use tower::util::MapResponseLayer;

use super::incoming::{self, Incoming};
use super::supervise::Supervisor;
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
