//! Nodes on a cluster, and how to ask them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use credd::proto::v1;
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};

use crate::calls::{Held, issue};
use crate::etcd::Cluster;
use crate::node::{Node, Reach};
use crate::peers::Peers;
use crate::support::{tool, until};

/// A cluster, and nodes on it.
pub(crate) struct World {
    pub(crate) nodes: Vec<Node>,
    pub(crate) reach: Arc<Reach>,
    pub(crate) cluster: Cluster,
    pub(crate) peers: Peers,
    pub(crate) directory: TempDir,
    /// Of one who may verify.
    pub(crate) token: String,
    _turn: MutexGuard<'static, ()>,
}

/// Held by the world that there is: a small machine has enough to do with one.
static TURN: Mutex<()> = Mutex::const_new(());

impl World {
    /// So many nodes that know of all members; `None`: there is no etcd to be had.
    pub(crate) async fn start(nodes: usize, lease: Duration) -> Option<Self> {
        let etcd = tool("CREDD_TEST_ETCD")?;
        let turn = TURN.lock().await;
        let (cluster, peers) = Peers::start(&etcd);
        let directory = tempfile::tempdir().unwrap();
        let mut started = Vec::new();
        for number in 0..nodes {
            started.push(Node::start(&cluster, directory.path(), number, lease).await);
        }
        let reach = Reach::to(&started);
        let (_, token) = reach.client(0).issue_verifier("verifier").await;
        Some(Self {
            nodes: started,
            reach: Arc::new(reach),
            cluster,
            peers,
            directory,
            token,
            _turn: turn,
        })
    }

    /// A file with the token.
    pub(crate) fn token_file(&self) -> PathBuf {
        let path = self.directory.path().join("verifier.token");
        std::fs::write(&path, &self.token).unwrap();
        path
    }

    /// Issues a credential.
    pub(crate) async fn issue(&self) -> Held {
        issue(&self.reach.client(0), "acme", "jo", "api-token").await
    }

    /// Waits until so many nodes have records, and no other.
    pub(crate) async fn until_there_are(&self, nodes: usize) {
        until("only those that run to have records", || async {
            let mut operations = self.reach.operations(0);
            let status = operations.get_status(v1::GetStatusRequest {}).await;
            status.is_ok_and(|status| status.get_ref().servers.len() == nodes)
        })
        .await;
    }
}
