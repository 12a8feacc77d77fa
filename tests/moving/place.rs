//! Where stores are, and what is done to them.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::etcd::Cluster;
use crate::support::program::{EVERYTHING, Ended, Program, credd, wait_for};
use crate::support::{Client, read_token};

/// A directory with those of servers, and the keyring that they share.
pub(crate) struct Place(TempDir);

/// A store: a data directory, and what else is to be said of where it is.
#[derive(Clone)]
pub(crate) struct Store {
    pub(crate) directory: PathBuf,
    flags: Vec<String>,
}

/// A running server.
pub(crate) struct Running {
    pub(crate) program: Program,
    pub(crate) address: SocketAddr,
}

impl Place {
    pub(crate) fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::write(place.path("credd.toml"), EVERYTHING).unwrap();
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn store(&self, name: &str, flags: &[&str]) -> Store {
        let directory = self.path(name);
        fs::create_dir(&directory).unwrap();
        let keyring = self.path("keyring.toml");
        let flags = flags.iter().copied();
        let config = self.path("credd.toml");
        let flags = flags.chain([
            "--keyring-file",
            keyring.to_str().unwrap(),
            "--config",
            config.to_str().unwrap(),
        ]);
        Store {
            directory,
            flags: flags.map(ToOwned::to_owned).collect(),
        }
    }

    /// Adds a version of the pepper to the keyring.
    pub(crate) fn add_pepper(&self) {
        let mut command = credd(&[]);
        command.args(["keyring", "add", "pepper", "--file"]);
        command.arg(self.path("keyring.toml"));
        assert!(Program::start(command).end().status.success());
    }

    /// An embedded store.
    pub(crate) fn embedded(&self, name: &str) -> Store {
        self.store(name, &["--disk-reserve-mib", "16"])
    }

    /// A server's view of the store in etcd under a prefix.
    pub(crate) fn in_etcd(&self, name: &str, cluster: &Cluster, prefix: &str) -> Store {
        let endpoints = cluster.addresses();
        let endpoints = endpoints.iter().map(|address| format!("http://{address}"));
        let endpoints = endpoints.collect::<Vec<_>>().join(",");
        let flags = [
            "--store-engine",
            "etcd",
            "--etcd-endpoints",
            &endpoints,
            "--etcd-prefix",
            prefix,
        ];
        self.store(name, &flags)
    }
}

/// An address where nothing listens.
pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

impl Store {
    fn command(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = credd(&[]);
        command
            .args(name.split(' '))
            .arg("--data-dir")
            .arg(&self.directory)
            .args(&self.flags)
            .args(arguments);
        command
    }

    /// Begins to do something to it: `credd export`, `import` or `restore`.
    pub(crate) fn start(&self, name: &str, arguments: &[&str]) -> Program {
        Program::start(self.command(name, arguments))
    }

    fn run(&self, name: &str, arguments: &[&str]) -> Ended {
        self.start(name, arguments).end()
    }

    /// The same, which is to be done.
    pub(crate) fn done(&self, name: &str, arguments: &[&str]) -> String {
        let Ended { status, output } = self.run(name, arguments);
        assert!(status.success(), "{output}");
        output
    }

    /// The same, which is to be refused: what it says.
    pub(crate) fn refused(&self, name: &str, arguments: &[&str]) -> String {
        let Ended { status, output } = self.run(name, arguments);
        assert_eq!(status.code(), Some(1), "{output}");
        output
    }

    /// Exports it.
    pub(crate) fn export(&self, to: &Path) -> String {
        self.done("export", &["--to", to.to_str().unwrap()])
    }

    /// Makes it of an export.
    pub(crate) fn import(&self, from: &Path) -> String {
        self.done("import", &["--from", from.to_str().unwrap()])
    }

    /// What a server says that is not to serve it.
    pub(crate) fn not_served(&self) -> String {
        self.refused("serve", &["--listen", "127.0.0.1:0"])
    }

    /// Serves it at an address.
    pub(crate) fn serve_at(&self, address: SocketAddr) -> Running {
        let listen = address.to_string();
        let arguments = ["--listen", &listen, "--fence-lease-ms", "1000"];
        let command = self.command("serve", &arguments);
        let (program, address) = Program::serve(command);
        Running { program, address }
    }

    /// Serves it, with a copy of its audit log.
    pub(crate) fn serve_copying(&self, lines: &Path) -> Running {
        let address = free_address();
        let (listen, lines) = (address.to_string(), lines.to_str().unwrap());
        let arguments = ["--listen", &listen, "--audit-file", lines];
        let (program, address) = Program::serve(self.command("serve", &arguments));
        Running { program, address }
    }

    /// Serves it, where nobody is answered yet.
    pub(crate) fn serve_unsettled(&self) -> Running {
        let address = free_address();
        let program = self.start("serve", &["--listen", &address.to_string()]);
        wait_for("the server to say so", || {
            let output = program.output();
            output.contains("nobody is answered").then_some(())
        });
        Running { program, address }
    }

    /// Serves it.
    pub(crate) fn serve(&self) -> Running {
        self.serve_at(free_address())
    }

    /// The first administrator's token, if it was made here.
    pub(crate) fn token(&self) -> String {
        read_token(&self.directory)
    }

    /// What stands in the data directory.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.directory).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

impl Running {
    pub(crate) async fn client(&self, token: &str) -> Client {
        Client::connect(self.address, token).await
    }

    pub(crate) fn stop(self) {
        let Ended { status, output } = self.program.terminate();
        assert!(status.success(), "{output}");
    }
}
