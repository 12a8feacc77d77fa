//! The real program: an authority that can be killed and comes back where it was, and
//! sidecars.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use credd::proto::v1;
use credd::proto::v1::Verdict;
use credd::proto::v1::verification_service_client::VerificationServiceClient;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::support::metrics::{free_address, scrape};
use crate::support::program::{EVERYTHING, Program, credd, signal};
use crate::support::{Client, at_socket, read_token, until, verify_token_request};

/// An authority, whose administrator may do everything.
pub(crate) struct Authority {
    pub(crate) directory: TempDir,
    pub(crate) address: SocketAddr,
    /// Where its data is; it may be moved while it is stopped.
    pub(crate) data: PathBuf,
    /// `None`: it is stopped.
    program: Option<Program>,
}

impl Authority {
    /// Starts one, with more arguments, that has issued a token for sidecars.
    pub(crate) async fn start(more: &[&str]) -> Self {
        let authority = Self::start_without_token(more);
        let (_, token) = authority.admin().await.issue_verifier("gate").await;
        std::fs::write(authority.token_file(), token).unwrap();
        authority
    }

    /// Starts one that has issued nothing.
    pub(crate) fn start_without_token(more: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        std::fs::create_dir(&data).unwrap();
        std::fs::write(directory.path().join("credd.toml"), EVERYTHING).unwrap();
        let (program, address) = serve(directory.path(), &data, "127.0.0.1:0", more);
        Self {
            directory,
            address,
            data,
            program: Some(program),
        }
    }

    /// Kills it with SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.program.take().unwrap().kill();
    }

    /// Starts it again where it was, with these arguments.
    pub(crate) fn start_again(&mut self, more: &[&str]) {
        let listen = self.address.to_string();
        let (program, _) = serve(self.directory.path(), &self.data, &listen, more);
        self.program = Some(program);
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, name: &str) {
        signal(name, self.program.as_ref().unwrap().id());
    }

    pub(crate) fn stop(&mut self) {
        let ended = self.program.take().unwrap().terminate();
        assert!(ended.status.success(), "{}", ended.output);
    }

    /// The administrator, over a connection of its own.
    pub(crate) async fn admin(&self) -> Client {
        Client::connect(self.address, &self.admin_token()).await
    }

    pub(crate) fn admin_token(&self) -> String {
        read_token(&self.directory.path().join("data"))
    }

    /// Where the token of the sidecars is.
    pub(crate) fn token_file(&self) -> PathBuf {
        self.directory.path().join("gate.token")
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

fn serve(directory: &Path, data: &Path, listen: &str, more: &[&str]) -> (Program, SocketAddr) {
    let mut command = credd(&[]);
    command
        .arg("serve")
        .args(["--listen", listen, "--disk-reserve-mib", "16"])
        .arg("--config")
        .arg(directory.join("credd.toml"))
        .arg("--data-dir")
        .arg(data)
        .args(more);
    Program::serve(command)
}

/// The name of a sidecar's socket.
const SOCKET: &str = "sidecar.sock";

/// A sidecar at a Unix socket.
pub(crate) struct Sidecar {
    pub(crate) program: Program,
    pub(crate) metrics: SocketAddr,
    pub(crate) client: VerificationServiceClient<Channel>,
    pub(crate) channel: Channel,
    directory: TempDir,
}

impl Sidecar {
    /// Starts one that follows the first that answers of `authorities`, with more
    /// arguments, and waits until it can be asked.
    pub(crate) async fn start<A: AsRef<OsStr>>(authorities: &str, more: &[A]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join(SOCKET);
        let metrics = free_address();
        let mut command = credd(&[]);
        command
            .args(["sidecar", "--authority", authorities, "--socket"])
            .arg(&socket)
            .args(["--sidecar-metrics-listen", &metrics.to_string()])
            .args(more);
        let mut program = Program::start(command);
        until("a sidecar to listen", || {
            assert!(program.is_running(), "{}", program.output());
            // It listens there last.
            async { TcpStream::connect(metrics).await.is_ok() }
        })
        .await;
        let channel = at_socket(&socket);
        Self {
            program,
            metrics,
            client: VerificationServiceClient::new(channel.clone()),
            channel,
            directory,
        }
    }

    /// The same, known by the token that an authority has issued, and with a lease.
    pub(crate) async fn following(authorities: &str, authority: &Authority) -> Self {
        let file = authority.token_file();
        let token = [OsStr::new("--authority-token-file"), file.as_os_str()];
        let sidecar = Self::start(authorities, &token).await;
        sidecar.live().await;
        sidecar
    }

    /// One that follows these sidecars, or the first of them that answers, and has a
    /// lease.
    pub(crate) async fn behind(relays: &[&Self]) -> Self {
        let urls: Vec<_> = relays.iter().map(|relay| relay.url()).collect();
        let sidecar = Self::start::<&str>(&urls.join(","), &[]).await;
        sidecar.live().await;
        sidecar
    }

    /// What one that follows it is told.
    pub(crate) fn url(&self) -> String {
        format!("unix:{}", self.directory.path().join(SOCKET).display())
    }

    /// Waits until it has a lease.
    pub(crate) async fn live(&self) {
        until("a sidecar to have a lease", || async {
            self.has("sidecar_state{state=\"live\"} 1").await
        })
        .await;
    }

    /// Whether `/metrics` has this line.
    pub(crate) async fn has(&self, line: &str) -> bool {
        let text = scrape(self.metrics).await;
        text.contains(&format!("\ncredd_{line}\n"))
    }

    /// What `/metrics` says of this one.
    pub(crate) async fn count(&self, name: &str) -> u64 {
        let text = scrape(self.metrics).await;
        let start = format!("credd_{name} ");
        let line = text.lines().find_map(|line| line.strip_prefix(&start));
        line.unwrap_or_else(|| panic!("no {name}")).parse().unwrap()
    }

    pub(crate) async fn ask(&self, token: &str) -> Result<v1::VerifyResponse, Status> {
        let request = verify_token_request(token);
        let answer = self.client.clone().verify(request).await?;
        Ok(answer.into_inner())
    }

    /// The verdict on a token, which somebody can give.
    pub(crate) async fn verdict(&self, token: &str) -> Verdict {
        self.ask(token).await.unwrap().verdict()
    }

    /// Asks about a good token until the answer comes from the cache.
    pub(crate) async fn keep(&self, token: &str) {
        until("a yes from the cache", || async {
            let before = self.count("sidecar_hits_total").await;
            assert_eq!(self.verdict(token).await, Verdict::Active);
            self.count("sidecar_hits_total").await > before
        })
        .await;
    }

    /// Whether a question is refused because nobody can be asked.
    pub(crate) async fn is_unavailable(&self, token: &str) -> bool {
        let answer = self.ask(token).await;
        answer.is_err_and(|status| status.code() == Code::Unavailable)
    }

    /// Tells it to stop, and sees that it does, having printed no secret of these.
    pub(crate) fn stop(self, secrets: &[&str]) {
        let ended = self.program.terminate();
        assert!(ended.status.success(), "{}", ended.output);
        for secret in secrets {
            assert!(!ended.output.contains(secret));
        }
    }
}
