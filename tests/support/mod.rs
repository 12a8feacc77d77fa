//! What the suites share: servers, clients and waiting.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each suite is a crate that uses a part of it, and may panic"
)]

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use credd::authority::directory::{Configured, ConfiguredRole};
use credd::client::TlsFiles;
use credd::domain::names::{Description, PrincipalName, Role};
use credd::domain::permission::CreddGrant;
use credd::domain::rights::{Binding, Reach};
use credd::proto::v1;
use credd::proto::v1::audit_service_client::AuditServiceClient;
use credd::proto::v1::credential_service_client::CredentialServiceClient;
use credd::proto::v1::directory_service_client::DirectoryServiceClient;
use credd::proto::v1::verification_service_client::VerificationServiceClient;
use credd::server::config::etcd_values::{Engine, KeyPrefix};
use credd::server::config::values::Scalar as _;
use credd::server::config::{self, EtcdSettings, Settings};
use hyper_util::rt::TokioIo;
use tempfile::TempDir;
use tokio::net::{TcpListener, UnixStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

pub mod metrics;
pub mod process;
pub mod program;
pub mod raw;
mod tool;

#[allow(unused_imports, reason = "each suite uses a part of it")]
pub use tool::tool;

/// How long anything may take that a test waits for, before it is taken for
/// stuck.
pub const STUCK: Duration = Duration::from_mins(1);

/// Every state of a credential.
pub const ALL_STATES: [v1::CredentialState; 4] = [
    v1::CredentialState::Active,
    v1::CredentialState::Locked,
    v1::CredentialState::Revoked,
    v1::CredentialState::Expired,
];

/// A binding on all tenants.
pub fn bound(principal: &str, role: &str) -> Binding {
    Binding {
        reach: Reach::All,
        principal: PrincipalName::parse(principal).unwrap(),
        role: Role::parse(role).unwrap(),
    }
}

/// A configuration that gives a principal every permission on credd: suites try
/// what no administrator may.
pub fn everything_to(principal: &str) -> Configured {
    Configured {
        roles: vec![ConfiguredRole {
            name: Role::parse("everything").unwrap(),
            description: Description::default(),
            permissions: vec![CreddGrant::parse("credd.*").unwrap()],
        }],
        bindings: vec![bound(principal, "everything")],
    }
}

/// Adds `authorization: Bearer TOKEN`.
#[derive(Clone)]
pub struct Bearer(pub MetadataValue<Ascii>);

impl Bearer {
    pub fn new(token: &str) -> Self {
        Self(format!("Bearer {token}").parse().unwrap())
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request
            .metadata_mut()
            .insert("authorization", self.0.clone());
        Ok(request)
    }
}

pub type Authorized = InterceptedService<Channel, Bearer>;
pub type Audit = AuditServiceClient<Authorized>;
pub type Credentials = CredentialServiceClient<Authorized>;
pub type Verification = VerificationServiceClient<Authorized>;
pub type Directory = DirectoryServiceClient<Authorized>;

/// The services, as one caller uses them over one connection.
#[derive(Clone)]
pub struct Client {
    pub audit: Audit,
    pub credentials: Credentials,
    pub verification: Verification,
    pub directory: Directory,
}

impl Client {
    /// Connects as the caller with this token.
    pub async fn connect(address: SocketAddr, token: &str) -> Self {
        Self::over(channel(address).await, token)
    }

    /// The caller with this token, over a connection.
    pub fn over(channel: Channel, token: &str) -> Self {
        let bearer = Bearer::new(token);
        Self {
            audit: AuditServiceClient::with_interceptor(channel.clone(), bearer.clone()),
            credentials: CredentialServiceClient::with_interceptor(channel.clone(), bearer.clone()),
            directory: DirectoryServiceClient::with_interceptor(channel.clone(), bearer.clone()),
            verification: VerificationServiceClient::with_interceptor(channel, bearer),
        }
    }

    /// Issues a credential.
    pub async fn issue(&self, request: v1::IssueRequest) -> Result<v1::IssueResponse, Status> {
        let response = self.credentials.clone().issue(request).await?;
        Ok(response.into_inner())
    }

    /// Issues an API token of a tenant; returns its id and its text.
    pub async fn issue_token(&self, tenant: &str) -> (String, String) {
        let issued = self.issue(token_request(tenant)).await.unwrap();
        (issued.credential.unwrap().id, token_of(issued.secret))
    }

    /// Gives a principal a role of credd's own tenant, on a tenant or on all.
    pub async fn bind(&self, principal: &str, role: &str, tenant: &str) {
        let request = v1::PutBindingRequest {
            principal: principal.to_owned(),
            role: role.to_owned(),
            tenant: tenant.to_owned(),
            ..Default::default()
        };
        self.directory.clone().put_binding(request).await.unwrap();
    }

    /// Issues a credential of credd's own tenant with the role `verifier`, on all
    /// tenants.
    pub async fn issue_verifier(&self, owner: &str) -> (String, String) {
        self.bind(&format!("credd:{owner}"), "verifier", "*").await;
        let issued = self
            .issue(v1::IssueRequest {
                owner: owner.to_owned(),
                roles: vec!["verifier".to_owned()],
                ..token_request("credd")
            })
            .await
            .unwrap();
        (issued.credential.unwrap().id, token_of(issued.secret))
    }

    /// Issues a credential of an owner of credd's own tenant; returns its id and its
    /// token.
    pub async fn issue_caller_of(&self, owner: &str) -> (String, String) {
        let request = v1::IssueRequest {
            owner: owner.to_owned(),
            ..token_request("credd")
        };
        let issued = self.issue(request).await.unwrap();
        (issued.credential.unwrap().id, token_of(issued.secret))
    }

    pub async fn lock(&self, id: &str) -> Result<v1::LockResponse, Status> {
        let request = lock_request(id);
        Ok(self.credentials.clone().lock(request).await?.into_inner())
    }

    pub async fn unlock(&self, id: &str) -> Result<v1::UnlockResponse, Status> {
        let request = v1::UnlockRequest {
            credential_id: id.to_owned(),
            reason: "test".to_owned(),
        };
        Ok(self.credentials.clone().unlock(request).await?.into_inner())
    }

    pub async fn revoke(&self, id: &str) -> Result<v1::RevokeResponse, Status> {
        let request = revoke_request(id);
        Ok(self.credentials.clone().revoke(request).await?.into_inner())
    }

    pub async fn get(&self, id: &str) -> Result<v1::Credential, Status> {
        let request = v1::GetRequest {
            credential_id: id.to_owned(),
        };
        let response = self.credentials.clone().get(request).await?;
        Ok(response.into_inner().credential.unwrap())
    }

    pub async fn list(&self, request: v1::ListRequest) -> Result<v1::ListResponse, Status> {
        Ok(self.credentials.clone().list(request).await?.into_inner())
    }

    /// Verifies a token, whatever its tenant.
    pub async fn verify_token(&self, token: &str) -> Result<v1::VerifyResponse, Status> {
        let request = verify_token_request(token);
        let response = self.verification.clone().verify(request).await?;
        Ok(response.into_inner())
    }

    /// The verdict on a token, whatever its tenant.
    pub async fn verdict(&self, token: &str) -> v1::Verdict {
        self.verify_token(token).await.unwrap().verdict()
    }

    /// Starts a Watch and closes the sending side.
    pub async fn watch(
        &self,
        request: v1::WatchRequest,
    ) -> Result<tonic::Streaming<v1::WatchResponse>, Status> {
        let requests = tokio_stream::once(request);
        let response = self.verification.clone().watch(requests).await?;
        Ok(response.into_inner())
    }
}

/// A connection to what listens at a Unix socket, made when it is used.
pub fn at_socket(socket: &Path) -> Channel {
    let socket = socket.to_owned();
    let connect = tower::service_fn(move |_: Uri| {
        let socket = socket.clone();
        async move { UnixStream::connect(socket).await.map(TokioIo::new) }
    });
    Endpoint::from_static("http://sidecar").connect_with_connector_lazy(connect)
}

/// Connects, waiting until the server listens.
pub async fn channel(address: SocketAddr) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .unwrap()
        .tcp_nodelay(true);
    let begin = Instant::now();
    loop {
        match endpoint.connect().await {
            Ok(channel) => return channel,
            Err(error) => assert!(begin.elapsed() < STUCK, "can't connect: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A request for an API token of this tenant.
pub fn token_request(tenant: &str) -> v1::IssueRequest {
    v1::IssueRequest {
        tenant: tenant.to_owned(),
        owner: "jo".to_owned(),
        profile: "api-token".to_owned(),
        label: "test".to_owned(),
        ..Default::default()
    }
}

/// A request to verify a token of any tenant.
pub fn verify_token_request(token: &str) -> v1::VerifyRequest {
    v1::VerifyRequest {
        presented: Some(v1::Presented {
            credential: Some(v1::presented::Credential::Token(token.to_owned())),
        }),
        any_tenant: true,
        ..Default::default()
    }
}

/// A request to lock the credential of this id.
pub fn lock_request(id: &str) -> v1::LockRequest {
    v1::LockRequest {
        target: Some(v1::lock_request::Target::CredentialId(id.to_owned())),
        reason: "test".to_owned(),
        ..Default::default()
    }
}

/// A request to revoke the credential of this id.
pub fn revoke_request(id: &str) -> v1::RevokeRequest {
    v1::RevokeRequest {
        target: Some(v1::revoke_request::Target::CredentialId(id.to_owned())),
        reason: "test".to_owned(),
        ..Default::default()
    }
}

/// A request to list the credentials of a tenant; of all tenants, if it is empty.
pub fn list_request(tenant: &str) -> v1::ListRequest {
    v1::ListRequest {
        filter: Some(v1::CredentialFilter {
            tenant: tenant.to_owned(),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// A request to list the credentials of a tenant, of whatever state.
pub fn list_request_of_all_states(tenant: &str) -> v1::ListRequest {
    let mut request = list_request(tenant);
    let filter = request.filter.get_or_insert_default();
    filter.states = ALL_STATES.map(i32::from).to_vec();
    request
}

/// The token in what Issue returned.
pub fn token_of(secret: Option<v1::IssuedSecret>) -> String {
    match secret.and_then(|secret| secret.secret) {
        Some(v1::issued_secret::Secret::Token(token)) => token,
        _ => panic!("no token was issued"),
    }
}

/// Waits until a condition holds.
pub async fn until<F, Fut>(what: &str, mut holds: F)
where
    F: FnMut() -> Fut,
    Fut: Future<Output = bool>,
{
    let begin = Instant::now();
    while !holds().await {
        assert!(begin.elapsed() < STUCK, "stuck: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits for a future, but not for ever.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let ended = tokio::time::timeout(STUCK, future).await;
    ended.unwrap_or_else(|_| panic!("stuck: {what}"))
}

/// A server in this process, on a data directory of its own.
pub struct Server {
    pub address: SocketAddr,
    pub directory: TempDir,
    pub admin: Client,
    stop: Option<oneshot::Sender<()>>,
    running: Option<JoinHandle<Result<(), credd::server::supervise::Failure>>>,
}

impl Server {
    /// Starts a server on a fresh directory.
    pub async fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap()).await
    }

    /// Starts a server on this directory.
    pub async fn start_in(directory: TempDir) -> Self {
        let config = config(directory.path());
        Self::start_with(directory, config).await
    }

    /// Starts a server with this configuration, whose data is in `directory`.
    pub async fn start_with(directory: TempDir, config: Settings) -> Self {
        let listener = TcpListener::bind(config.server.listen).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let mut running = tokio::spawn(async move {
            let stopped = async {
                let _ = stopped.await;
            };
            credd::server::run(&config, listener, stopped).await
        });
        tokio::select! {
            () = serving(address) => (),
            ended = &mut running => panic!("the server ended: {ended:?}"),
        }
        let token = read_token(directory.path());
        let admin = Client::connect(address, &token).await;
        Self {
            address,
            directory,
            admin,
            stop: Some(stop),
            running: Some(running),
        }
    }

    /// Another caller, over a connection of its own.
    pub async fn client(&self, token: &str) -> Client {
        Client::connect(self.address, token).await
    }

    /// The administrator, over another connection.
    pub async fn another_admin(&self) -> Client {
        self.client(&read_token(self.directory.path())).await
    }

    /// Tells the server to stop, without waiting for it.
    pub fn begin_stop(&mut self) {
        self.stop.take().map(|stop| stop.send(()));
    }

    /// Stops the server and returns its directory.
    pub async fn stop(mut self) -> TempDir {
        self.begin_stop();
        let running = self.running.take().unwrap();
        soon("the server's end", running).await.unwrap().unwrap();
        self.directory
    }
}

/// A configuration for tests: loopback, any port, a small disk reserve. With
/// `CREDD_TEST_STORE_IN_ETCD=http://HOST:PORT,...` stores are there, each under a prefix
/// of its directory's name.
pub fn config(directory: &Path) -> Settings {
    let endpoints = std::env::var("CREDD_TEST_STORE_IN_ETCD").ok();
    Settings {
        server: config::Server {
            listen: "127.0.0.1:0".parse().unwrap(),
            ..Default::default()
        },
        store: config::Store {
            data_dir: directory.to_owned(),
            disk_reserve_mib: 16,
            cache_mib: 64,
            engine: match endpoints {
                Some(_) => Engine::Etcd,
                None => Engine::Sled,
            },
            ..Default::default()
        },
        etcd: endpoints.map(|endpoints| EtcdSettings {
            endpoints: endpoints.split(',').map(|it| it.parse().unwrap()).collect(),
            prefix: KeyPrefix::parse(&format!("{}/", directory.display())).unwrap(),
            user: None,
            tls: TlsFiles::default(),
            may_compact: false,
        }),
        configured: everything_to("credd:admin"),
        ..Default::default()
    }
}

/// The first administrator's token.
pub fn read_token(data_dir: &Path) -> String {
    let token = std::fs::read_to_string(data_dir.join("admin.token")).unwrap();
    token.trim_end().to_owned()
}

/// What the server at this address says of the health of a service, if it answers.
pub async fn health(address: SocketAddr, service: &str) -> Option<ServingStatus> {
    let request = HealthCheckRequest {
        service: service.to_owned(),
    };
    let answer = HealthClient::new(channel(address).await)
        .check(request)
        .await;
    Some(answer.ok()?.into_inner().status())
}

/// Waits until the server at this address says that it is serving.
pub async fn serving(address: SocketAddr) {
    until("the server to be serving", || async {
        health(address, "").await == Some(ServingStatus::Serving)
    })
    .await;
}
