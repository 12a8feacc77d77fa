//! A server of TLS in this process, the volume that its files come from, and
//! clients of it.

#![allow(dead_code, reason = "each suite uses a part of it")]

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use credd::server::config::Settings;
use credd::server::listeners::Listeners;
use credd::server::supervise::Failure;
use credd::server::tls::TlsSettings;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{
    AlertDescription, ClientConfig, RootCertStore, SupportedProtocolVersion, crypto, version,
};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use crate::pki::{Authority, Pair, SERVER_NAME};
use crate::support::{Client, STUCK, config, read_token, serving, soon};

/// What a client of HTTP/2 says first: the preface and empty SETTINGS.
pub(crate) const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// A directory as Kubernetes mounts a Secret: the files are links into
/// `..data`, which is a link to a directory of one generation.
pub(crate) struct Volume {
    directory: TempDir,
    generation: u32,
}

impl Volume {
    /// A volume of these files, by name.
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let mut volume = Self {
            directory: tempfile::tempdir().unwrap(),
            generation: 0,
        };
        volume.swap(files);
        for (name, _) in files {
            symlink(format!("..data/{name}"), volume.path(name)).unwrap();
        }
        volume
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Replaces all files at once.
    pub(crate) fn swap(&mut self, files: &[(&str, &str)]) {
        let old = self.path(&format!("..{}", self.generation));
        self.generation += 1;
        let new = format!("..{}", self.generation);
        fs::create_dir(self.path(&new)).unwrap();
        for (name, text) in files {
            fs::write(self.path(&new).join(name), text).unwrap();
        }
        symlink(new, self.path("..data_tmp")).unwrap();
        fs::rename(self.path("..data_tmp"), self.path("..data")).unwrap();
        if old.exists() {
            fs::remove_dir_all(old).unwrap();
        }
    }

    /// Writes one file in place.
    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }
}

/// The authority of the server and that of its clients, and the volume of what
/// the server uses, under the names that cert-manager gives them.
pub(crate) struct Pki {
    pub(crate) servers: Authority,
    pub(crate) clients: Authority,
    pub(crate) server: Pair,
    pub(crate) volume: Volume,
}

impl Pki {
    pub(crate) fn new() -> Self {
        let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
        let server = servers.server();
        let volume = Volume::new(&files(&server, &clients.pem()));
        Self {
            servers,
            clients,
            server,
            volume,
        }
    }

    /// Settings by which every client needs a certificate, no handshake is ever
    /// too slow, and files are looked at all the time.
    pub(crate) fn settings(&self) -> TlsSettings {
        TlsSettings {
            certificate: self.volume.path("tls.crt"),
            key: self.volume.path("tls.key"),
            client_ca: Some(self.volume.path("ca.crt")),
            require_client_certificate: true,
            handshake: STUCK * 60,
            reload: Duration::from_millis(10),
        }
    }

    /// Gives the server another certificate; returns it.
    pub(crate) fn rotate(&mut self) -> Pair {
        self.server = self.servers.server();
        self.volume.swap(&files(&self.server, &self.clients.pem()));
        self.server.clone()
    }

    /// A client whose certificate is good.
    pub(crate) fn client(&self) -> Knocker {
        self.knocker(Some(self.clients.client("spiffe://credd.test/client")))
    }

    /// A client with this certificate.
    pub(crate) fn knocker(&self, pair: Option<Pair>) -> Knocker {
        Knocker {
            servers: self.servers.pem(),
            servers_der: self.servers.der(),
            pair,
            versions: vec![&version::TLS13, &version::TLS12],
        }
    }
}

/// The files of a volume.
pub(crate) fn files<'a>(server: &'a Pair, client_ca: &'a str) -> [(&'static str, &'a str); 3] {
    [
        ("tls.crt", server.certificate.as_str()),
        ("tls.key", server.key.as_str()),
        ("ca.crt", client_ca),
    ]
}

/// A client, as far as TLS goes.
#[derive(Clone)]
pub(crate) struct Knocker {
    servers: String,
    servers_der: Vec<u8>,
    pub(crate) pair: Option<Pair>,
    pub(crate) versions: Vec<&'static SupportedProtocolVersion>,
}

impl Knocker {
    /// The settings of a client of rustls.
    pub(crate) fn config(&self) -> Arc<ClientConfig> {
        let provider = Arc::new(crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from(self.servers_der.clone());
        roots.add(root).unwrap();
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&self.versions)
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match &self.pair {
            Some(pair) => {
                let chain = vec![CertificateDer::from(pair.certificate_der.clone())];
                let key = PrivateKeyDer::try_from(pair.key_der.clone()).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        Arc::new(config)
    }

    /// Makes a connection, and its part of the handshake.
    pub(crate) async fn shake_hands(&self, address: SocketAddr) -> io::Result<Stream> {
        shake_hands(&self.config(), address).await
    }

    /// The same, until the server speaks HTTP/2: with TLS 1.3 a client learns
    /// only then whether it was let in.
    pub(crate) async fn connect(&self, address: SocketAddr) -> io::Result<Stream> {
        connect(&self.config(), address).await
    }

    /// The alert by which the server refuses the client.
    pub(crate) async fn refusal(&self, address: SocketAddr) -> AlertDescription {
        use tokio_rustls::rustls::Error;

        let error = self.connect(address).await.map(drop).unwrap_err();
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
        match inner {
            Some(Error::AlertReceived(alert)) => *alert,
            _ => panic!("no alert: {error:?}"),
        }
    }

    /// The server's certificate, in DER.
    pub(crate) async fn server_certificate(&self, address: SocketAddr) -> Vec<u8> {
        let stream = self.connect(address).await.unwrap();
        let (_, session) = stream.get_ref();
        session.peer_certificates().unwrap()[0].to_vec()
    }

    /// A connection for calls.
    pub(crate) async fn channel(
        &self,
        address: SocketAddr,
    ) -> Result<Channel, tonic::transport::Error> {
        let mut tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(&self.servers))
            .domain_name(SERVER_NAME);
        if let Some(pair) = &self.pair {
            tls = tls.identity(Identity::from_pem(&pair.certificate, &pair.key));
        }
        let endpoint = Endpoint::from_shared(format!("https://{address}")).unwrap();
        let endpoint = endpoint.tcp_nodelay(true).tls_config(tls).unwrap();
        endpoint.connect().await
    }
}

pub(crate) type Stream = TlsStream<TcpStream>;

/// As [`Knocker::shake_hands`].
pub(crate) async fn shake_hands(
    config: &Arc<ClientConfig>,
    address: SocketAddr,
) -> io::Result<Stream> {
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from(SERVER_NAME).unwrap();
    let connector = TlsConnector::from(Arc::clone(config));
    soon("a handshake", connector.connect(name, stream)).await
}

/// As [`Knocker::connect`].
pub(crate) async fn connect(config: &Arc<ClientConfig>, address: SocketAddr) -> io::Result<Stream> {
    let mut stream = shake_hands(config, address).await?;
    stream.write_all(HELLO).await?;
    soon("the server's first bytes", stream.read_u8()).await?;
    Ok(stream)
}

/// A server in this process.
pub(crate) struct TlsServer {
    pub(crate) address: SocketAddr,
    /// Where health alone is served.
    pub(crate) health: SocketAddr,
    pub(crate) directory: TempDir,
    /// The administrator's token.
    pub(crate) token: String,
    stop: oneshot::Sender<()>,
    running: JoinHandle<Result<(), Failure>>,
}

impl TlsServer {
    pub(crate) async fn start(settings: TlsSettings) -> Self {
        Self::start_with(settings, |config| config).await
    }

    /// The same, with a configuration that was changed.
    pub(crate) async fn start_with(
        settings: TlsSettings,
        change: impl FnOnce(Settings) -> Settings,
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = change(config(directory.path()));
        let services = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = services.local_addr().unwrap();
        let health_listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let health = health_listener.local_addr().unwrap();
        let listeners = Listeners {
            services,
            tls: Some(settings),
            health: Some(health_listener),
        };
        let (stop, stopped) = oneshot::channel();
        let mut running = tokio::spawn(async move {
            let stopped = async {
                let _ = stopped.await;
            };
            credd::server::run(&config, listeners, stopped).await
        });
        tokio::select! {
            () = serving(health) => (),
            ended = &mut running => panic!("the server ended: {ended:?}"),
        }
        let token = read_token(directory.path());
        Self {
            address,
            health,
            directory,
            token,
            stop,
            running,
        }
    }

    /// The administrator, over a connection of this client's.
    pub(crate) async fn admin(&self, knocker: &Knocker) -> Client {
        let channel = knocker.channel(self.address).await.unwrap();
        Client::over(channel, &self.token)
    }

    /// Tells the server to stop, and returns what waits for its end.
    pub(crate) fn begin_stop(self) -> impl Future<Output = ()> {
        let Self {
            directory,
            stop,
            running,
            ..
        } = self;
        let _ = stop.send(());
        async move {
            soon("the server's end", running).await.unwrap().unwrap();
            drop(directory);
        }
    }

    pub(crate) async fn stop(self) {
        self.begin_stop().await;
    }
}

/// Waits until the other side has closed a connection.
pub(crate) async fn closed(mut stream: impl tokio::io::AsyncRead + Unpin) {
    let mut rest = [0; 4096];
    while let Ok(1..) = soon("the end of a connection", stream.read(&mut rest)).await {}
}

/// Whether a socket is open, and nothing has come.
pub(crate) fn is_silent(stream: &TcpStream) -> bool {
    let read = stream.try_read(&mut [0]);
    read.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

/// A file's path as it stands in a log.
pub(crate) fn shown(path: &Path) -> String {
    path.display().to_string()
}
