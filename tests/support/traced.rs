//! An authority and a sidecar that send spans.

#![allow(dead_code, reason = "each suite uses a part of it")]

use std::path::PathBuf;

use credd::client::Config;
use credd::server::config::traces_values::{Collector as At, Ratio};
use credd::server::config::values::Scalar as _;
use credd::server::config::{Settings, Sidecar as Reached, SidecarSettings, Traces};
use credd::server::supervise::Failure;
use credd::sidecar::{self, Listeners};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::transport::Channel;

use crate::collector::Collector;
use crate::support::{Server, at_socket, bound, config, soon, until};

/// To a collector; of the calls whose callers don't say, this part.
pub(crate) fn traces(collector: &Collector, ratio: Ratio) -> Traces {
    Traces {
        endpoint: Some(At::parse(&format!("http://{}", collector.address)).unwrap()),
        ca_file: None,
        ratio,
    }
}

/// An authority that has issued a token for a sidecar, which is in a file.
pub(crate) async fn authority(traces: Traces) -> (Server, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let mut settings = config(directory.path());
    settings.traces = traces;
    let binding = bound("credd:gate", "verifier");
    settings.configured.bindings.push(binding);
    let server = Server::start_with(directory, settings).await;
    let (_, token) = server.admin.issue_caller_of("gate").await;
    let token_file = server.directory.path().join("gate.token");
    std::fs::write(&token_file, token).unwrap();
    (server, token_file)
}

/// A sidecar at a Unix socket.
pub(crate) struct Sidecar {
    pub(crate) socket: PathBuf,
    _directory: TempDir,
    stop: oneshot::Sender<()>,
    running: JoinHandle<Result<(), Failure>>,
}

impl Sidecar {
    /// One that follows an authority and has a lease.
    pub(crate) async fn start(server: &Server, token_file: PathBuf, traces: Traces) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("sidecar.sock");
        let reached = Reached {
            socket: Some(socket.clone()),
            ..Reached::default()
        };
        let address = format!("http://{}", server.address);
        let mut client = Config::new([address.parse().unwrap()]);
        client.token_file = Some(token_file);
        let settings = Settings {
            traces,
            sidecar: Some(SidecarSettings {
                sidecar: reached.clone(),
                client,
                cells: vec![],
            }),
            ..Settings::default()
        };
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(async move {
            let listeners = Listeners::bind(&reached).await?;
            let stopped = async {
                let _ = stopped.await;
            };
            sidecar::run(&settings, listeners, stopped).await
        });
        let sessions = || async { sessions(server).await > 0 };
        until("the sidecar to have a lease", sessions).await;
        Self {
            socket,
            _directory: directory,
            stop,
            running,
        }
    }

    pub(crate) fn channel(&self) -> Channel {
        at_socket(&self.socket)
    }

    /// Stops it: what it has not sent it sends then.
    pub(crate) async fn stop(self) {
        self.stop.send(()).unwrap();
        let ended = soon("the sidecar's end", self.running).await;
        ended.unwrap().unwrap();
    }
}

/// How many sessions of a server have leases.
async fn sessions(server: &Server) -> u32 {
    use credd::proto::v1::GetStatusRequest;
    use credd::proto::v1::operations_service_client::OperationsServiceClient;

    let channel = crate::support::channel(server.address).await;
    let token = crate::support::read_token(server.directory.path());
    let bearer = crate::support::Bearer::new(&token);
    let mut operations = OperationsServiceClient::with_interceptor(channel, bearer);
    let status = operations.get_status(GetStatusRequest::default()).await;
    status.unwrap().into_inner().sessions.unwrap().leases
}
