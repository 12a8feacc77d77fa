//! Strangers who do what they can to stay, where others want to come.

use std::any::Any;
use std::net::SocketAddr;
use std::time::Duration;

use credd::proto::v1::Verdict;
use credd::server::tls::TlsSettings;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;

use crate::support::{Client, Server, config, soon};
use crate::tls::{HELLO, Knocker, Pki, TlsServer};

/// What a stranger holds on to.
type Held = Box<dyn Any + Send>;

/// Connections of one who knows nobody.
trait Stranger {
    async fn stream(&self) -> impl AsyncRead + AsyncWrite + Send + Unpin + 'static;
    async fn channel(&self) -> Channel;
    /// Somebody who is let in.
    async fn caller(&self) -> Client;
}

/// The ways to stay.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// Follows what health says.
    Health,
    /// Leaves a call of reflection open.
    Reflection,
    /// Begins a call, as nobody, and ends it not.
    HalfOpen,
    /// Begins a call's headers, and ends them not.
    HalfOfHeaders,
    /// Asks for answers, and reads none.
    Deaf,
}

const WAYS: [Way; 5] = [
    Way::Health,
    Way::Reflection,
    Way::HalfOpen,
    Way::HalfOfHeaders,
    Way::Deaf,
];

const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GO_AWAY: u8 = 7;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The headers of a Verify, without Huffman coding (RFC 7541, section 6).
fn headers() -> Vec<u8> {
    let mut block = vec![0x83, 0x87];
    let mut add = |name: u8, value: &str| {
        block.extend([name, u8::try_from(value.len()).unwrap()]);
        block.extend(value.as_bytes());
    };
    add(0x04, "/credd.v1.VerificationService/Verify");
    add(0x01, "credd.test");
    block.extend([0x0f, 0x10, 16]);
    block.extend(b"application/grpc");
    block
}

impl Way {
    async fn stay(self, stranger: &impl Stranger) -> Held {
        match self {
            Self::Health => {
                let mut client = HealthClient::new(stranger.channel().await);
                let request = HealthCheckRequest::default();
                let mut answers = client.watch(request).await.unwrap().into_inner();
                soon("a status", answers.message()).await.unwrap().unwrap();
                Box::new((client, answers))
            }
            Self::Reflection => {
                let mut client = ServerReflectionClient::new(stranger.channel().await);
                let requests = tokio_stream::pending::<ServerReflectionRequest>();
                let answers = soon("reflection", client.server_reflection_info(requests)).await;
                Box::new((client, answers.unwrap()))
            }
            Self::HalfOpen => {
                let mut stream = greeted(stranger).await;
                let call = frame(HEADERS, END_HEADERS, 1, &headers());
                stream.write_all(&call).await.unwrap();
                soon("the refusal", answered(&mut stream)).await;
                Box::new(stream)
            }
            Self::HalfOfHeaders => {
                let mut stream = greeted(stranger).await;
                let call = frame(HEADERS, 0, 1, &headers());
                stream.write_all(&call).await.unwrap();
                stream.flush().await.unwrap();
                Box::new(stream)
            }
            Self::Deaf => {
                let mut stream = greeted(stranger).await;
                let pings = frame(PING, 0, 0, &[7; 8]).repeat(1000);
                // Until nothing goes any more: the server can't write either.
                while let Ok(written) = timeout(FULL, stream.write_all(&pings)).await {
                    written.unwrap();
                }
                Box::new(stream)
            }
        }
    }
}

/// For how long nothing can be written where all that is between the two is full.
const FULL: Duration = Duration::from_millis(500);

/// A connection on which the server's settings have come.
async fn greeted(stranger: &impl Stranger) -> impl AsyncRead + AsyncWrite + Send + Unpin + 'static {
    let mut stream = stranger.stream().await;
    stream.write_all(HELLO).await.unwrap();
    let settings = soon("the server's settings", next_frame(&mut stream)).await;
    assert_eq!(settings, SETTINGS);
    stream
}

/// Reads a frame; returns its kind.
async fn next_frame(stream: &mut (impl AsyncRead + Unpin)) -> u8 {
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.unwrap();
    let [a, b, c, kind, ..] = head;
    let length = u32::from_be_bytes([0, a, b, c]);
    let mut payload = vec![0; usize::try_from(length).unwrap()];
    stream.read_exact(&mut payload).await.unwrap();
    kind
}

/// Reads until a call is answered.
async fn answered(stream: &mut (impl AsyncRead + Unpin)) {
    loop {
        match next_frame(stream).await {
            HEADERS => return,
            GO_AWAY => panic!("the server says that this is no HTTP/2"),
            _ => (),
        }
    }
}

/// A place is somebody's who was let in, the other is the stranger's.
const MOST: usize = 2;

async fn give_way(stranger: &impl Stranger) {
    let standing = stranger.caller().await;
    let (_, token) = standing.issue_token("acme").await;
    for way in WAYS {
        let held = way.stay(stranger).await;
        let caller = soon(&format!("a connection: {way:?}"), stranger.caller()).await;
        for client in [&standing, &caller] {
            let verdict = soon(&format!("a verdict: {way:?}"), client.verdict(&token)).await;
            assert_eq!(verdict, Verdict::Active, "{way:?}");
        }
        drop(held);
    }
}

struct OfTls<'a>(&'a TlsServer, &'a Knocker);

impl Stranger for OfTls<'_> {
    async fn stream(&self) -> impl AsyncRead + AsyncWrite + Send + Unpin + 'static {
        self.1.shake_hands(self.0.address).await.unwrap()
    }

    async fn channel(&self) -> Channel {
        let channel = self.1.channel(self.0.address);
        soon("a connection", channel).await.unwrap()
    }

    async fn caller(&self) -> Client {
        self.0.admin(self.1).await
    }
}

struct Plain(SocketAddr, String);

impl Stranger for Plain {
    async fn stream(&self) -> impl AsyncRead + AsyncWrite + Send + Unpin + 'static {
        TcpStream::connect(self.0).await.unwrap()
    }

    async fn channel(&self) -> Channel {
        let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{}", self.0));
        soon("a connection", endpoint.unwrap().connect())
            .await
            .unwrap()
    }

    async fn caller(&self) -> Client {
        Client::connect(self.0, &self.1).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_give_way_however_they_stay_over_tls() {
    let pki = Pki::new();
    let settings = TlsSettings {
        require_client_certificate: false,
        ..pki.settings()
    };
    let server = TlsServer::start_with(settings, |mut config| {
        config.limits.max_connections = MOST;
        config
    })
    .await;
    let knocker = pki.knocker(None);
    give_way(&OfTls(&server, &knocker)).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_give_way_however_they_stay_in_plaintext() {
    let directory = tempfile::tempdir().unwrap();
    let mut settings = config(directory.path());
    settings.limits.max_connections = MOST;
    let server = Server::start_with(directory, settings).await;
    let token = crate::support::read_token(server.directory.path());
    give_way(&Plain(server.address, token)).await;
}
