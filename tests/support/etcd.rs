//! The real etcd: three members on loopback.

#![allow(dead_code, reason = "each suite uses a part of it")]

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use credd::store::etcd::Member;
use tempfile::TempDir;
use tonic::transport::Endpoint;

/// A cluster. Its members are killed when this is dropped.
pub(crate) struct Cluster {
    etcd: PathBuf,
    members: Vec<Process>,
    initial: String,
    directory: TempDir,
    _end: Child,
}

struct Process {
    name: String,
    clients: SocketAddr,
    peers: SocketAddr,
    /// Where the other members reach it.
    reached: SocketAddr,
    child: Option<Child>,
}

impl Cluster {
    /// Three members of this program.
    pub(crate) fn start(etcd: &Path) -> Self {
        Self::start_reached(etcd, <[_]>::to_vec)
    }

    /// The same, whose members reach one another where `reached` says of the addresses
    /// at which they listen.
    pub(crate) fn start_reached(
        etcd: &Path,
        reached: impl FnOnce(&[SocketAddr]) -> Vec<SocketAddr>,
    ) -> Self {
        let listeners = [(); 6].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let addresses: Vec<_> = listeners
            .iter()
            .map(|it| it.local_addr().unwrap())
            .collect();
        let (clients, peers) = addresses.split_at(3);
        let members: Vec<_> = (0..)
            .zip(reached(peers))
            .map(|(at, reached)| Process {
                name: format!("etcd-{}", at + 1),
                clients: clients[at],
                peers: peers[at],
                reached,
                child: None,
            })
            .collect();
        let initial = members
            .iter()
            .map(|it| format!("{}=http://{}", it.name, it.reached));
        let directory = tempfile::tempdir().unwrap();
        let mut cluster = Self {
            _end: end_with_this_process(directory.path()),
            etcd: etcd.to_owned(),
            initial: initial.collect::<Vec<_>>().join(","),
            members,
            directory,
        };
        drop(listeners);
        for number in 0..cluster.members.len() {
            cluster.start_member(number);
        }
        cluster
    }

    /// Starts a member where it was.
    pub(crate) fn start_member(&mut self, number: usize) {
        let member = &mut self.members[number];
        let url = |address| format!("http://{address}");
        let (clients, peers) = (url(member.clients), url(member.peers));
        let data = self.directory.path().join(&member.name);
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(data.with_extension("log"))
            .unwrap();
        let child = Command::new(&self.etcd)
            .args(["--name", &member.name, "--data-dir"])
            .arg(&data)
            .args(["--listen-client-urls", &clients])
            .args(["--advertise-client-urls", &clients])
            .args(["--listen-peer-urls", &peers])
            .args(["--initial-advertise-peer-urls", &url(member.reached)])
            .args(["--initial-cluster", &self.initial])
            .args(["--initial-cluster-state", "new"])
            .args(["--quota-backend-bytes", "8589934592"])
            .stdin(Stdio::null())
            .stdout(Stdio::from(log.try_clone().unwrap()))
            .stderr(Stdio::from(log))
            .spawn();
        member.child = Some(child.unwrap());
    }

    /// Kills a member.
    pub(crate) fn kill_member(&mut self, number: usize) {
        self.members[number].kill();
    }

    /// Sends a signal to a member, by name.
    pub(crate) fn signal_member(&self, number: usize, name: &str) {
        let id = self.members[number].child.as_ref().unwrap().id();
        let sent = Command::new("kill").args([name, &id.to_string()]).status();
        assert!(sent.unwrap().success());
    }

    /// Where they serve clients.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.members.iter().map(|member| member.clients).collect()
    }

    /// How large the database of a member is, in bytes.
    pub(crate) fn database_bytes(&self, number: usize) -> u64 {
        let data = self.directory.path().join(&self.members[number].name);
        let database = data.join("member").join("snap").join("db");
        std::fs::metadata(database).unwrap().len()
    }

    /// How they are reached.
    pub(crate) fn members(&self) -> Vec<Member> {
        let members = self.members.iter();
        members.map(|member| reach(member.clients)).collect()
    }
}

impl Process {
    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A process that ends the members once this one has ended, however it does: what is
/// static is not dropped.
fn end_with_this_process(directory: &Path) -> Child {
    let end = "cat; pkill -KILL -f \"^[^ ]*etcd .*--data-dir $0/\"; rm -rf \"$0\"";
    Command::new("sh")
        .args(["-c", end])
        .arg(directory)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap()
}

/// How a member at an address is reached.
pub(crate) fn reach(address: SocketAddr) -> Member {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    Member {
        name: address.to_string(),
        connect: Arc::new(move || endpoint.connect_lazy()),
    }
}
