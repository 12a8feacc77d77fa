//! A server with a copy of its audit log, its backups, and where they are restored.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use credd::proto::v1;
use credd::proto::v1::operations_service_client::OperationsServiceClient;
use tempfile::TempDir;
use tonic::{Status, Streaming};

use crate::support::program::{Ended, Program, credd, serve_everything};
use crate::support::{Authorized, Bearer, Client, channel, read_token};

/// A directory with the data of a server, what comes of its backups, and its restored
/// stores.
pub(crate) struct Place(TempDir);

/// A running server.
pub(crate) struct Running {
    pub(crate) program: Program,
    pub(crate) address: SocketAddr,
    pub(crate) admin: Client,
    pub(crate) token: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::create_dir(place.data()).unwrap();
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The data of the server that is backed up.
    pub(crate) fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// The copy of its audit log.
    pub(crate) fn lines(&self) -> PathBuf {
        self.path("audit.jsonl")
    }

    /// A directory with nothing but the keyring.
    pub(crate) fn fresh(&self, name: &str) -> PathBuf {
        let directory = self.path(name);
        fs::create_dir(&directory).unwrap();
        let keyring = directory.join("keyring.toml");
        fs::copy(self.data().join("keyring.toml"), keyring).unwrap();
        directory
    }

    /// Serves the data that is backed up.
    pub(crate) async fn serve(&self) -> Running {
        Running::start(&self.data(), &self.lines(), &read_token).await
    }

    /// Serves a store that was restored.
    pub(crate) async fn serve_restored(&self, directory: &Path) -> Running {
        let lines = self.path("audit-of-the-restored.jsonl");
        let token = |_: &Path| read_token(&self.data());
        Running::start(directory, &lines, &token).await
    }
}

impl Running {
    async fn start(directory: &Path, lines: &Path, token: &dyn Fn(&Path) -> String) -> Self {
        let mut command = serve_everything(&[], directory);
        command.arg("--audit-file").arg(lines);
        let (program, address) = Program::serve(command);
        let token = token(directory);
        Self {
            admin: Client::connect(address, &token).await,
            program,
            address,
            token,
        }
    }

    pub(crate) async fn operations(&self) -> OperationsServiceClient<Authorized> {
        let bearer = Bearer::new(&self.token);
        OperationsServiceClient::with_interceptor(channel(self.address).await, bearer)
    }

    /// Starts a backup.
    pub(crate) async fn begin(&self) -> Result<Streaming<v1::BackupResponse>, Status> {
        let request = v1::BackupRequest {
            reason: "nightly".to_owned(),
        };
        let answer = self.operations().await.backup(request).await;
        answer.map(tonic::Response::into_inner)
    }

    /// Makes a backup.
    pub(crate) async fn backup(&self) -> Vec<u8> {
        let mut stream = self.begin().await.unwrap();
        let mut bytes = Vec::new();
        while let Some(part) = stream.message().await.unwrap() {
            bytes.extend(part.chunk);
        }
        bytes
    }

    pub(crate) fn stop(self) {
        let Ended { status, output } = self.program.terminate();
        assert!(status.success(), "{output}");
    }
}

/// `credd restore` into a directory.
pub(crate) fn restore_command(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = credd(&[]);
    command
        .args(["restore", "--disk-reserve-mib", "16", "--data-dir"])
        .arg(directory)
        .args(arguments);
    command
}

/// Runs it.
pub(crate) fn restore(directory: &Path, arguments: &[&str]) -> Ended {
    Program::start(restore_command(directory, arguments)).end()
}

/// The same, which is to be done.
pub(crate) fn restored(directory: &Path, arguments: &[&str]) -> String {
    let Ended { status, output } = restore(directory, arguments);
    assert!(status.success(), "{output}");
    output
}

/// The same, which is to be refused: what it says.
pub(crate) fn refused(directory: &Path, arguments: &[&str]) -> String {
    let Ended { status, output } = restore(directory, arguments);
    assert_eq!(status.code(), Some(1), "{output}");
    output
}
