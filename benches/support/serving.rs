//! A server of credd's, one that answers at once, and clients for both, all in
//! this process and on one runtime.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use credd::client::TlsFiles;
use credd::proto::v1::verification_service_client::VerificationServiceClient;
use credd::proto::v1::verification_service_server::{
    VerificationService, VerificationServiceServer,
};
use credd::proto::v1::{
    self, VerifyRequest, VerifyResponse, VerifyStreamRequest, VerifyStreamResponse, WatchRequest,
    WatchResponse,
};
use credd::server::config::etcd_values::{Engine, KeyPrefix};
use credd::server::config::values::Scalar as _;
use credd::server::config::{self, EtcdSettings, Settings};
use credd::server::data_dir::DataDir;
use credd::server::supervise::Failure;
use tempfile::TempDir;
use tokio::net::{TcpListener, UnixStream};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_stream::{Stream, StreamExt as _};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint, Server, Uri};
use tonic::{Request, Response, Status, Streaming};

/// The runtime that `credd serve` has.
pub fn runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.enable_all().build().unwrap()
}

/// `credd serve` on a directory.
pub struct Credd {
    pub address: SocketAddr,
    pub directory: TempDir,
    pub token: String,
    stop: oneshot::Sender<()>,
    running: JoinHandle<Result<(), Failure>>,
}

impl Credd {
    pub async fn start(directory: TempDir) -> Self {
        let config = settings(directory.path());
        Self::start_with(directory, config).await
    }

    /// The same, configured otherwise.
    pub async fn start_with(directory: TempDir, config: Settings) -> Self {
        let listener = TcpListener::bind(config.server.listen).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(async move {
            let stopped = async {
                let _ = stopped.await;
            };
            credd::server::run(&config, listener, stopped).await
        });
        let admin = directory.path().join("admin.token");
        let token = loop {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let Ok(token) = std::fs::read_to_string(&admin) else {
                continue;
            };
            let token = token.trim_end().to_owned();
            let mut client = connect(address, &token).await;
            match client.verify(verify_request("nothing")).await {
                Ok(_) => break token,
                Err(_) => assert!(!running.is_finished(), "the server ended"),
            }
        };
        Self {
            address,
            directory,
            token,
            stop,
            running,
        }
    }

    /// Stops it, and leaves its directory.
    pub async fn stop(self) -> TempDir {
        let _ = self.stop.send(());
        self.running.await.unwrap().unwrap();
        self.directory
    }
}

/// The same, with the store in an etcd at these addresses, and the keyring in a file.
pub fn in_etcd(addresses: &[SocketAddr], keyring: &Path, directory: &Path) -> Settings {
    let mut settings = settings(directory);
    settings.store.engine = Engine::Etcd;
    settings.keyring.file = Some(keyring.to_owned());
    let endpoints = addresses.iter();
    settings.etcd = Some(EtcdSettings {
        endpoints: endpoints
            .map(|it| format!("http://{it}").parse().unwrap())
            .collect(),
        prefix: KeyPrefix::parse("/credd/").unwrap(),
        user: None,
        tls: TlsFiles::default(),
        may_compact: false,
    });
    settings
}

/// Loopback, any port, a small disk reserve, and many streams of one caller.
pub fn settings(directory: &Path) -> Settings {
    Settings {
        server: config::Server {
            listen: "127.0.0.1:0".parse().unwrap(),
            ..Default::default()
        },
        store: config::Store {
            data_dir: directory.to_owned(),
            disk_reserve_mib: 16,
            cache_mib: 256,
            ..Default::default()
        },
        limits: config::Limits {
            max_streams: 65_536,
            ..Default::default()
        },
        ..Default::default()
    }
}

/// A server with the settings of credd's that answers at once: Verify and
/// `VerifyStream` with a copy of one answer, Watch with one message and then
/// nothing. It has no access layer, and reads nothing but the request.
#[derive(Clone, Default)]
pub struct NoOp {
    pub answer: Arc<OnceLock<VerifyResponse>>,
}

impl NoOp {
    /// Serves until the process ends.
    pub async fn start(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service =
            VerificationServiceServer::new(self.clone()).max_decoding_message_size(1 << 20);
        let server = Server::builder()
            .http2_keepalive_interval(Some(Duration::from_secs(30)))
            .http2_keepalive_timeout(Some(Duration::from_secs(20)))
            .max_concurrent_streams(Some(1024))
            .add_service(service)
            .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)));
        tokio::spawn(server);
        address
    }

    fn answer(&self) -> VerifyResponse {
        self.answer.get().cloned().unwrap_or_default()
    }
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl VerificationService for NoOp {
    type VerifyStreamStream = Answers<VerifyStreamResponse>;
    type WatchStream = Answers<WatchResponse>;

    async fn verify(&self, _: Request<VerifyRequest>) -> Result<Response<VerifyResponse>, Status> {
        Ok(Response::new(self.answer()))
    }

    async fn verify_stream(
        &self,
        request: Request<Streaming<VerifyStreamRequest>>,
    ) -> Result<Response<Self::VerifyStreamStream>, Status> {
        let this = self.clone();
        let answers = request.into_inner().map(move |question| {
            Ok(VerifyStreamResponse {
                correlation: question?.correlation,
                outcome: Some(v1::verify_stream_response::Outcome::Response(this.answer())),
            })
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn watch(
        &self,
        request: Request<Streaming<WatchRequest>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let mut requests = request.into_inner();
        requests.message().await?;
        let one = tokio_stream::once(Ok(WatchResponse::default()));
        // Until the client goes.
        let rest = requests.filter_map(|request| request.err().map(Err));
        Ok(Response::new(Box::pin(one.chain(rest))))
    }
}

/// Adds `authorization: Bearer TOKEN`.
#[derive(Clone)]
pub struct Bearer(MetadataValue<Ascii>);

impl Bearer {
    pub fn new(token: &str) -> Self {
        Self(format!("Bearer {token}").parse().unwrap())
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let metadata = request.metadata_mut();
        metadata.insert("authorization", self.0.clone());
        Ok(request)
    }
}

pub type Client = VerificationServiceClient<InterceptedService<Channel, Bearer>>;

/// A client with a connection of its own.
pub async fn connect(address: SocketAddr, token: &str) -> Client {
    VerificationServiceClient::with_interceptor(channel(address).await, Bearer::new(token))
}

pub async fn channel(address: SocketAddr) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    endpoint.tcp_nodelay(true).connect().await.unwrap()
}

/// A connection to what listens at a Unix socket, made when it is used.
pub fn at_socket(socket: &Path) -> Channel {
    let socket = socket.to_owned();
    let connect = tower::service_fn(move |_: Uri| {
        let socket = socket.clone();
        async move {
            let stream = UnixStream::connect(socket).await?;
            Ok::<_, std::io::Error>(hyper_util::rt::TokioIo::new(stream))
        }
    });
    Endpoint::from_static("http://sidecar").connect_with_connector_lazy(connect)
}

/// A request to verify a token of any tenant.
pub fn verify_request(token: &str) -> VerifyRequest {
    verify_presented(v1::presented::Credential::Token(token.to_owned()))
}

/// A request to verify what was presented, of any tenant.
pub fn verify_presented(credential: v1::presented::Credential) -> VerifyRequest {
    VerifyRequest {
        presented: Some(v1::Presented {
            credential: Some(credential),
        }),
        any_tenant: true,
        ..VerifyRequest::default()
    }
}

/// Where sled's files are in a data directory.
pub fn database(directory: &Path) -> PathBuf {
    let store = DataDir::new(directory.to_owned()).store();
    let mut entries = std::fs::read_dir(store)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries.find(|path| path.join("db").exists()).unwrap()
}
