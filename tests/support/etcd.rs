//! The real etcd: three members on loopback.

#![allow(dead_code, reason = "each suite uses a part of it")]

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use credd::domain::random::SystemRandom;
use credd::store::Store as _;
use credd::store::etcd::{EtcdStore, Member, Options};
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
    child: Option<Child>,
}

impl Cluster {
    /// Three members of this program.
    pub(crate) fn start(etcd: &Path) -> Self {
        let listeners = [(); 6].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let addresses: Vec<_> = listeners
            .iter()
            .map(|it| it.local_addr().unwrap())
            .collect();
        let members: Vec<_> = (1..)
            .zip(addresses.chunks(2))
            .map(|(number, addresses)| Process {
                name: format!("etcd-{number}"),
                clients: addresses[0],
                peers: addresses[1],
                child: None,
            })
            .collect();
        let initial = members
            .iter()
            .map(|it| format!("{}=http://{}", it.name, it.peers));
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
        let (clients, peers) = (
            format!("http://{}", member.clients),
            format!("http://{}", member.peers),
        );
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
            .args(["--initial-advertise-peer-urls", &peers])
            .args(["--initial-cluster", &self.initial])
            .args(["--initial-cluster-state", "new"])
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

    /// Has them forget what was before now.
    pub(crate) fn forget(&self) {
        let options = Options {
            members: self.members(),
            credentials: None,
            prefix: "/credd/".to_owned(),
            forget_after: Duration::from_hours(1),
            may_compact: true,
        };
        let store = EtcdStore::open(options, &SystemRandom::new(), None).unwrap();
        let head = store.snapshot().unwrap();
        store.compact(head.revision).unwrap();
    }

    /// Where they serve clients.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.members.iter().map(|member| member.clients).collect()
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
