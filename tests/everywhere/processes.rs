//! The real program as an authority and as sidecars.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::support::{Client, channel, read_token, serving};

/// A process of the program. It is killed when this is dropped.
pub(crate) struct Process(Child);

impl Process {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_credd"));
        command
            .args(arguments)
            .env("CREDD_LOG", "error")
            .stdin(Stdio::null());
        Self(command.spawn().unwrap())
    }

    /// Whether it has not ended by itself.
    #[allow(dead_code, reason = "not each suite that starts processes asks")]
    pub(crate) fn is_running(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }

    /// Tells it to stop, and waits until it has ended well.
    #[allow(dead_code, reason = "not each suite that starts processes stops them")]
    pub(crate) fn stop(mut self) {
        self.signal("-TERM");
        assert!(self.0.wait().unwrap().success());
    }

    /// Sends it a signal, by name.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.0.id().to_string();
        let sent = Command::new("kill").args([name, &id]).status();
        assert!(sent.unwrap().success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How the administrator reaches an authority.
pub(crate) struct Reach {
    address: SocketAddr,
    token: String,
}

impl Reach {
    /// Over a connection of its own, as soon as it listens.
    pub(crate) async fn client(&self) -> Client {
        Client::over(channel(self.address).await, &self.token)
    }
}

/// An authority that can be killed and comes back where it was.
pub(crate) struct Authority {
    directory: TempDir,
    address: SocketAddr,
    lease: Duration,
    process: Option<Process>,
}

impl Authority {
    pub(crate) async fn start(lease: Duration) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut authority = Self {
            directory: tempfile::tempdir().unwrap(),
            address: listener.local_addr().unwrap(),
            lease,
            process: None,
        };
        drop(listener);
        authority.start_again().await;
        let admin = authority.reach().client().await;
        let (_, token) = admin.issue_verifier("sidecar").await;
        std::fs::write(authority.token_file(), token).unwrap();
        authority
    }

    async fn start_again(&mut self) {
        let address = self.address.to_string();
        let lease_ms = self.lease.as_millis().to_string();
        self.process = Some(Process::start(&[
            "serve",
            "--listen",
            &address,
            "--data-dir",
            self.directory.path().to_str().unwrap(),
            "--disk-reserve-mib",
            "16",
            "--fence-lease-ms",
            &lease_ms,
        ]));
        serving(self.address).await;
    }

    /// Kills it, and starts it again.
    pub(crate) async fn kill(&mut self) {
        self.process = None;
        self.start_again().await;
    }

    pub(crate) fn process(&self) -> &Process {
        self.process.as_ref().unwrap()
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where the token of the sidecars is.
    pub(crate) fn token_file(&self) -> PathBuf {
        self.directory.path().join("sidecar.token")
    }

    pub(crate) fn reach(&self) -> Reach {
        Reach {
            address: self.address,
            token: read_token(self.directory.path()),
        }
    }
}

/// A sidecar at a socket.
pub(crate) struct Sidecar {
    pub(crate) process: Process,
    socket: PathBuf,
    _directory: TempDir,
}

impl Sidecar {
    /// Starts one that follows `authority`.
    pub(crate) async fn start(authority: &str, token: Option<&Path>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("sidecar.sock");
        let mut arguments = vec![
            "sidecar",
            "--authority",
            authority,
            "--socket",
            socket.to_str().unwrap(),
            "--authority-patience-ms",
            "1000",
        ];
        if let Some(token) = token {
            arguments.extend(["--authority-token-file", token.to_str().unwrap()]);
        }
        let process = Process::start(&arguments);
        crate::support::until("a sidecar's socket", || async { socket.exists() }).await;
        Self {
            process,
            socket,
            _directory: directory,
        }
    }

    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// What another one is told that follows it.
    pub(crate) fn url(&self) -> String {
        format!("unix:{}", self.socket.display())
    }
}
