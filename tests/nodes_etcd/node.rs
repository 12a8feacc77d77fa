//! A node, and how it is reached.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use credd::proto::v1::operations_service_client::OperationsServiceClient;
use rand::RngExt as _;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};

use crate::etcd::Cluster;
use crate::processes::Process;
use crate::support::{Bearer, Client, read_token, serving};
use crate::way::Way;

/// A node that can be killed and comes back where it was.
pub(crate) struct Node {
    pub(crate) address: SocketAddr,
    /// To each member of etcd.
    ways: Vec<Way>,
    directory: PathBuf,
    keyring: PathBuf,
    lease: Duration,
    process: Option<Process>,
}

impl Node {
    /// The first to be started creates the store, and the keyring that all share.
    pub(crate) async fn start(
        cluster: &Cluster,
        directory: &Path,
        number: usize,
        lease: Duration,
    ) -> Self {
        let mut node = Self::at(&cluster.addresses(), directory, number, lease).await;
        node.start_again();
        serving(node.address).await;
        node
    }

    /// One that is not started yet, and will know of these members alone.
    pub(crate) async fn at(
        members: &[SocketAddr],
        directory: &Path,
        number: usize,
        lease: Duration,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut ways = Vec::new();
        for &member in members {
            ways.push(Way::to(member).await);
        }
        Self {
            address: listener.local_addr().unwrap(),
            ways,
            directory: directory.join(format!("node-{number}")),
            keyring: directory.join("keyring.toml"),
            lease,
            process: None,
        }
    }

    pub(crate) fn start_again(&mut self) {
        let endpoints: Vec<_> = self.ways.iter().map(Way::url).collect();
        self.process = Some(Process::start(&[
            "serve",
            "--listen",
            &self.address.to_string(),
            "--data-dir",
            self.directory.to_str().unwrap(),
            "--keyring-file",
            self.keyring.to_str().unwrap(),
            "--store-engine",
            "etcd",
            "--etcd-endpoints",
            &endpoints.join(","),
            "--fence-lease-ms",
            &self.lease.as_millis().to_string(),
        ]));
    }

    pub(crate) fn kill(&mut self) {
        self.process = None;
    }

    /// Tells it to stop, and waits until it has ended well.
    pub(crate) fn stop(&mut self) {
        self.process.take().unwrap().stop();
    }

    pub(crate) const fn process(&self) -> &Process {
        self.process.as_ref().unwrap()
    }

    /// Sees that it has not ended by itself.
    pub(crate) fn assert_running(&mut self) {
        let is_running = self.process.as_mut().is_some_and(Process::is_running);
        assert!(is_running, "the node at {} has ended", self.address);
    }

    /// Cuts it off from etcd.
    pub(crate) async fn cut_off(&mut self) {
        for way in &mut self.ways {
            way.close().await;
        }
    }

    /// Lets it reach etcd again.
    pub(crate) async fn reconnect(&mut self) {
        for way in &mut self.ways {
            way.open().await;
        }
    }
}

/// How the administrator reaches the nodes.
pub(crate) struct Reach {
    channels: Vec<Channel>,
    token: String,
}

impl Reach {
    pub(crate) fn to(nodes: &[Node]) -> Self {
        let channels = nodes.iter().map(|node| {
            let endpoint = Endpoint::from_shared(format!("http://{}", node.address)).unwrap();
            endpoint.connect_lazy()
        });
        Self {
            channels: channels.collect(),
            token: read_token(&nodes[0].directory),
        }
    }

    pub(crate) fn client(&self, at: usize) -> Client {
        Client::over(self.channels[at].clone(), &self.token)
    }

    /// At any of them.
    pub(crate) fn any(&self) -> Client {
        self.client(rand::rng().random_range(0..self.channels.len()))
    }

    pub(crate) fn operations(
        &self,
        at: usize,
    ) -> OperationsServiceClient<InterceptedService<Channel, Bearer>> {
        let bearer = Bearer::new(&self.token);
        OperationsServiceClient::with_interceptor(self.channels[at].clone(), bearer)
    }
}
