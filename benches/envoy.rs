//! Requests through Envoy whose checks credd answers, against Envoy whose checks are
//! answered by a handler that does nothing.
//!
//! Two Envoys by `examples/envoy.yaml` stand before one service, each with a Unix
//! socket to the service that answers its checks. Both of those are the same tonic
//! with the same settings and get the same requests; the handler answers with a copy
//! of what credd answers. Credd's verdict is one that is at hand, as from a sidecar's
//! cache: what is measured is what the check itself costs.
//!
//! Each Envoy has one worker. Clients, the service and those that answer share this process and one runtime with
//! one another, and the cores with Envoy.
//!
//! `CREDD_TEST_ENVOY`: Envoy's program; without it there is nothing to measure.
//! `CREDD_BENCH_CONNECTIONS` (64, of one request at a time each),
//! `CREDD_BENCH_MILLIS` (1,000: how long either side of a pair runs),
//! `CREDD_BENCH_PAIRS` (10).
#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a benchmark may panic"
)]

mod support;

use std::convert::Infallible;
use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use credd::client::Ends;
use credd::domain::header::HeaderRules;
use credd::domain::profile::built_in;
use credd::proto::envoy::auth::authorization_server::{Authorization, AuthorizationServer};
use credd::proto::envoy::auth::{CheckRequest, CheckResponse};
use credd::proto::v1;
use credd::sidecar::ext_authz::ExtAuthz;
use credd::sidecar::{Served, Verified, Verifier};
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1::SendRequest;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use support::serving::runtime;
use support::{Budget, Pairs, Table, period, preamble, setting};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::task::JoinSet;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{Request, Response, Status};

fn main() {
    let Some(program) = std::env::var_os("CREDD_TEST_ENVOY") else {
        println!("skipped: CREDD_TEST_ENVOY names no Envoy");
        return;
    };
    let connections: usize = setting("CREDD_BENCH_CONNECTIONS", 64);
    preamble(&format!(
        "Requests through Envoy, {connections} connections of one request at a time each"
    ));
    let runtime = runtime();
    let _entered = runtime.enter();
    let directory = tempfile::tempdir().unwrap();
    let socket = |name: &str| directory.path().join(name);
    let kept = Kept::new();
    let service = runtime.block_on(serve());
    let credd = ExtAuthz::new(Arc::new(kept), Duration::from_secs(1));
    let answer = runtime.block_on(NoOp::of(&credd));
    answer_checks(&socket("credd"), credd);
    answer_checks(&socket("no-op"), answer);
    let ours = Envoy::start(&program, &socket("credd"), service);
    let bare = Envoy::start(&program, &socket("no-op"), service);

    let rate = |envoy: &Envoy| runtime.block_on(envoy.load(connections));
    let mut table = Table::new("requests in a second");
    let pairs = Pairs::measure(|| rate(&ours), || rate(&bare));
    table.compare("GET with a token", "/s", &pairs, Budget::RatioAtLeast(0.95));
    let pairs = Pairs::measure(|| rate(&bare), || rate(&bare));
    let noise = "noise: the no-op against itself";
    table.compare(noise, "/s", &pairs, Budget::Told);
    table.print();
}

/// The token that is presented: credd's own are as long.
const TOKEN: &str =
    "credd_0123456789012345678901234567890123456789012345678901234567890123456789abcdef";

/// A verifier with one answer.
struct Kept {
    headers: Arc<HeaderRules>,
    response: Arc<v1::VerifyResponse>,
}

impl Kept {
    fn new() -> Self {
        let texts = |texts: &[&str]| texts.iter().map(ToString::to_string).collect();
        let identity = v1::Identity {
            credential_id: "0198b3c4-77b6-7f22-8d4f-6c6b8c5b9d10".to_owned(),
            tenant: "acme".to_owned(),
            owner: "user-17".to_owned(),
            profile: "api-token".to_owned(),
            roles: texts(&["auditor", "importer"]),
            permissions: texts(&["*:read", "feeds:write"]),
            groups: texts(&["analysts"]),
            ..v1::Identity::default()
        };
        let profiles = built_in::all().iter();
        let headers = profiles.flat_map(|known| known.profile.headers.clone());
        Self {
            headers: Arc::new(headers.collect()),
            response: Arc::new(v1::VerifyResponse {
                verdict: v1::Verdict::Active.into(),
                identity: Some(identity),
                ..v1::VerifyResponse::default()
            }),
        }
    }
}

impl Verifier for Kept {
    async fn verify(&self, _: v1::VerifyRequest, _: Duration) -> Result<Verified, Status> {
        Ok(Verified {
            response: Arc::clone(&self.response),
            at: None,
            valid_for: Some(Duration::from_mins(1)),
            ends: Ends::Unsaid,
            served: Served::Cached,
        })
    }

    fn headers(&self, _: Option<&str>) -> Option<Arc<HeaderRules>> {
        Some(Arc::clone(&self.headers))
    }
}

/// Answers every check with a copy of one answer.
struct NoOp(CheckResponse);

impl NoOp {
    /// What credd answers to the request that is sent here.
    async fn of(credd: &impl Authorization) -> Self {
        use credd::proto::envoy::auth::{AttributeContext, attribute_context};

        let texts = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter();
            pairs
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect()
        };
        let token = format!("Bearer {TOKEN}");
        let http = attribute_context::HttpRequest {
            headers: texts(&[("authorization", &token)]),
            ..Default::default()
        };
        let attributes = AttributeContext {
            request: Some(attribute_context::Request { http: Some(http) }),
            context_extensions: texts(&[("credd-tenant", "acme"), ("credd-permissions", "none")]),
            source: None,
        };
        let request = CheckRequest {
            attributes: Some(attributes),
        };
        let answer = credd.check(Request::new(request)).await;
        Self(answer.unwrap().into_inner())
    }
}

#[tonic::async_trait]
impl Authorization for NoOp {
    async fn check(&self, _: Request<CheckRequest>) -> Result<Response<CheckResponse>, Status> {
        Ok(Response::new(self.0.clone()))
    }
}

/// Answers checks on a Unix socket until the process ends.
fn answer_checks(socket: &Path, service: impl Authorization) {
    let listener = UnixListener::bind(socket).unwrap();
    let server = tonic::transport::Server::builder()
        .max_concurrent_streams(Some(1024))
        .add_service(AuthorizationServer::new(service))
        .serve_with_incoming(UnixListenerStream::new(listener));
    tokio::spawn(server);
}

/// A service that answers at once, with nothing.
async fn serve() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).unwrap();
            let nothing = service_fn(|_| {
                let answer = http::Response::new(Empty::<Bytes>::new());
                std::future::ready(Ok::<_, Infallible>(answer))
            });
            let http = hyper::server::conn::http1::Builder::new();
            tokio::spawn(http.serve_connection(TokioIo::new(stream), nothing));
        }
    });
    address
}

/// A running Envoy. It is killed when this is dropped.
struct Envoy {
    address: SocketAddr,
    child: Child,
    _directory: TempDir,
}

impl Envoy {
    fn start(program: &OsStr, socket: &Path, service: SocketAddr) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (address, administration) = (free_address(), free_address());
        let example = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples/envoy.yaml");
        let port = |address: SocketAddr| format!("port_value: {}", address.port());
        let mut text = std::fs::read_to_string(example).unwrap();
        for (theirs, ours) in [
            ("port_value: 10000", port(address).as_str()),
            ("/run/credd/sidecar.sock", socket.to_str().unwrap()),
            ("port_value: 8080", &port(service)),
            ("port_value: 9901", &port(administration)),
        ] {
            assert!(text.contains(theirs), "{theirs}");
            text = text.replace(theirs, ours);
        }
        let config = directory.path().join("envoy.yaml");
        std::fs::write(&config, text).unwrap();
        let child = Command::new(program)
            .args(["--disable-hot-restart", "--concurrency", "1"])
            .args(["--log-level", "error"])
            .arg("--config-path")
            .arg(config)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let mut envoy = Self {
            address,
            child,
            _directory: directory,
        };
        while std::net::TcpStream::connect(address).is_err() {
            assert!(envoy.child.try_wait().unwrap().is_none(), "Envoy ended");
            std::thread::sleep(Duration::from_millis(20));
        }
        envoy
    }

    /// Requests a second that are answered over so many connections.
    async fn load(&self, connections: usize) -> f64 {
        let mut clients = Vec::new();
        for _ in 0..connections {
            clients.push(self.connect().await);
        }
        let begin = Instant::now();
        let mut running = JoinSet::new();
        for mut client in clients {
            running.spawn(async move {
                let mut answers = 0_usize;
                while begin.elapsed() < period() {
                    get(&mut client).await;
                    answers += 1;
                }
                answers
            });
        }
        let answers = running.join_all().await.into_iter().sum::<usize>();
        answers as f64 / begin.elapsed().as_secs_f64()
    }

    async fn connect(&self) -> SendRequest<Empty<Bytes>> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let connected = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (client, connection) = connected.unwrap();
        tokio::spawn(connection);
        client
    }
}

async fn get(client: &mut SendRequest<Empty<Bytes>>) {
    let request = http::Request::get("/whoami")
        .header("host", "service")
        .header("accept", "*/*")
        .header("user-agent", "credd-bench")
        .header("authorization", format!("Bearer {TOKEN}"))
        .body(Empty::new());
    client.ready().await.unwrap();
    let answer = client.send_request(request.unwrap()).await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.into_body().collect().await.unwrap();
}

impl Drop for Envoy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A loopback address that was free a moment ago.
fn free_address() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}
