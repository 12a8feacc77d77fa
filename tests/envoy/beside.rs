//! A sidecar that keeps nothing: it asks the authority each time.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use credd::client::Ends;
use credd::domain::header::HeaderRules;
use credd::domain::profile::built_in;
use credd::proto::envoy::auth::authorization_server::AuthorizationServer;
use credd::proto::v1;
use credd::sidecar::ext_authz::ExtAuthz;
use credd::sidecar::{Served, Verified, Verifier};
use tokio::net::UnixListener;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::UnixListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Status};

use crate::support::{Client, Server, Verification, soon};

/// Asks an authority.
pub(crate) struct Asking {
    authority: Verification,
    headers: Arc<HeaderRules>,
}

impl Asking {
    /// The verifier, as a caller with the role `verifier`, which knows the built-in
    /// profiles.
    pub(crate) async fn of(server: &Server) -> Self {
        let (_, token) = server.admin.issue_verifier("gateway").await;
        let profiles = built_in::all().iter();
        let headers = profiles.flat_map(|known| known.profile.headers.clone());
        Self {
            authority: Client::connect(server.address, &token).await.verification,
            headers: Arc::new(headers.collect()),
        }
    }
}

impl Verifier for Asking {
    async fn verify(
        &self,
        request: v1::VerifyRequest,
        patience: Duration,
    ) -> Result<Verified, Status> {
        let mut request = Request::new(request);
        request.set_timeout(patience);
        let response = self.authority.clone().verify(request).await?.into_inner();
        Ok(Verified {
            response: Arc::new(response),
            at: None,
            valid_for: Some(Duration::ZERO),
            ends: Ends::Unsaid,
            served: Served::Asked,
        })
    }

    fn headers(&self, _: Option<&str>) -> Option<Arc<HeaderRules>> {
        Some(Arc::clone(&self.headers))
    }
}

/// What answers Envoy on a Unix socket.
pub(crate) struct Beside {
    closing: CancellationToken,
    running: JoinHandle<()>,
}

impl Beside {
    pub(crate) fn serve(socket: &Path, verifier: Arc<Asking>) -> Self {
        let listener = UnixListener::bind(socket).unwrap();
        let closing = CancellationToken::new();
        let service = ExtAuthz::new(verifier, Duration::from_secs(1));
        let server = tonic::transport::Server::builder()
            .add_service(AuthorizationServer::new(service))
            .serve_with_incoming_shutdown(
                UnixListenerStream::new(listener),
                closing.clone().cancelled_owned(),
            );
        let running = tokio::spawn(async move { server.await.unwrap() });
        Self { closing, running }
    }

    /// Ends it, and takes the socket away.
    pub(crate) async fn stop(self, socket: &Path) {
        self.closing.cancel();
        soon("the end of the sidecar", self.running).await.unwrap();
        std::fs::remove_file(socket).unwrap();
    }
}
