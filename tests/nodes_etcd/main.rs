//! Several nodes on a real etcd: three members, three nodes, sidecars that may follow any
//! of them, and a load of requests, while members and nodes are killed and stopped and the
//! ways between them are cut.
//!
//! A fenced Revoke that has returned is final everywhere: the recorder of
//! `tests/everywhere` looks on. What was issued meanwhile is there at the end, at every
//! node, and all of them have come equally far.
//!
//! `CREDD_TEST_REVOKES` (60) credentials are revoked; hundreds by hand.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

#[allow(dead_code, reason = "a part of it is used")]
#[path = "../everywhere/asking.rs"]
mod asking;
#[path = "../support/calls.rs"]
mod calls;
#[path = "../support/etcd.rs"]
mod etcd;
mod node;
#[path = "../support/pki.rs"]
mod pki;
#[allow(dead_code, reason = "a part of it is used")]
#[path = "../everywhere/processes.rs"]
mod processes;
mod secured;
#[path = "../support/mod.rs"]
mod support;
mod trouble;
#[path = "../support/way.rs"]
mod way;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use asking::{Asker, Recorder};
use credd::proto::v1;
use etcd::Cluster;
use node::{Node, Reach};
use parking_lot::Mutex;
use processes::Sidecar;
use rand::RngExt as _;
use support::{revoke_request, token_request, tool, until};
use tonic::Code;
use trouble::Trouble;

/// How long a lease of a node's is.
const LEASE: Duration = Duration::from_secs(1);
/// How long a call may take before another node is asked.
const PATIENCE: Duration = Duration::from_secs(4);

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_was_acknowledged_is_there_and_no_yes_is_late_whatever_fails() {
    let Some(etcd) = tool("CREDD_TEST_ETCD") else {
        return;
    };
    let revokes = std::env::var("CREDD_TEST_REVOKES");
    let revokes: usize = revokes.map_or(60, |number| number.parse().unwrap());
    let cluster = Cluster::start(&etcd);
    let directory = tempfile::tempdir().unwrap();
    let mut nodes = Vec::new();
    for number in 0..3 {
        nodes.push(Node::start(&cluster, directory.path(), number, LEASE).await);
    }
    let reach = Arc::new(Reach::to(&nodes));
    let token = directory.path().join("sidecar.token");
    let (_, verifier) = reach.client(0).issue_verifier("sidecar").await;
    std::fs::write(&token, verifier).unwrap();
    let addresses = |order: [usize; 3]| {
        let urls = order.map(|at| format!("http://{}", nodes[at].address));
        urls.join(",")
    };
    let one = Sidecar::start(&addresses([0, 1, 2]), Some(&token)).await;
    let other = Sidecar::start(&addresses([2, 1, 0]), Some(&token)).await;

    let recorder = Arc::new(Recorder::issue(&reach.client(0), revokes).await);
    let askers = [
        Asker::at_socket("one sidecar", one.socket()),
        Asker::at_socket("another sidecar", other.socket()),
        Asker::at("the first node", nodes[0].address, &token),
        Asker::at("the second node", nodes[1].address, &token),
        Asker::at("the third node", nodes[2].address, &token),
    ];
    let over = Arc::new(AtomicBool::new(false));
    let mut asking = Vec::new();
    for asker in askers {
        let (over, recorder) = (Arc::clone(&over), Arc::clone(&recorder));
        asking.push(tokio::spawn(async move {
            asker.ask_until(&over, &recorder).await;
        }));
    }
    recorder.until_all_say_yes(5).await;

    let issued = Arc::new(Mutex::new(Vec::new()));
    let issuing = {
        let (over, reach, issued) = (Arc::clone(&over), Arc::clone(&reach), Arc::clone(&issued));
        tokio::spawn(async move { issue_until(&over, &reach, &issued).await })
    };
    let trouble = Trouble { cluster, nodes };
    let trouble = tokio::spawn(trouble.make_until(Arc::clone(&over)));
    for at in 0..revokes {
        revoke(&reach, recorder.id(at)).await;
        recorder.revoked(at);
        // Some requests for it, and for those that are good yet.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    over.store(true, Ordering::SeqCst);
    for one in asking {
        one.await.unwrap();
    }
    issuing.await.unwrap();
    let trouble = trouble.await.unwrap();
    recorder.print();
    assert_eq!(recorder.late(), Vec::<String>::new());
    recorder.assert_all_said_yes_and_no();

    let issued = issued.lock().clone();
    println!("{} issued meanwhile", issued.len());
    assert!(issued.len() > 20);
    for at in 0..3 {
        let client = reach.client(at);
        for id in &issued {
            client.get(id).await.unwrap();
        }
        for number in 0..revokes {
            let credential = client.get(recorder.id(number)).await.unwrap();
            assert_eq!(credential.state(), v1::CredentialState::Revoked);
        }
    }
    let chain = v1::VerifyChainRequest::default();
    let checked = reach.client(1).audit.clone().verify_chain(chain).await;
    let checked = checked.unwrap().into_inner();
    assert!(checked.broken.is_none(), "{checked:?}");
    until("only those that run to have records", || async {
        let mut operations = reach.operations(2);
        let status = operations.get_status(v1::GetStatusRequest {}).await;
        status.is_ok_and(|status| status.get_ref().servers.len() == 3)
    })
    .await;
    drop((trouble, one, other));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_node_that_lags_behind_what_etcd_has_forgotten_loads_the_store_anew() {
    let Some(etcd) = tool("CREDD_TEST_ETCD") else {
        return;
    };
    let cluster = Cluster::start(&etcd);
    let directory = tempfile::tempdir().unwrap();
    let mut nodes = Vec::new();
    for number in 0..2 {
        nodes.push(Node::start(&cluster, directory.path(), number, LEASE).await);
    }
    let reach = Reach::to(&nodes);
    nodes[1].process().signal("-STOP");
    // More than the connections hold that go on meanwhile.
    nodes[1].cut_off().await;
    let mut issued = Vec::new();
    for _ in 0..20 {
        let answer = reach.client(0).issue(token_request("acme")).await.unwrap();
        issued.push(answer.credential.unwrap().id);
    }
    std::thread::scope(|scope| scope.spawn(|| cluster.forget()).join().unwrap());
    nodes[1].reconnect().await;
    nodes[1].process().signal("-CONT");
    until("the node to know what was issued", || async {
        reach.client(1).get(&issued[19]).await.is_ok()
    })
    .await;
    for id in &issued {
        reach.client(1).get(id).await.unwrap();
    }
    let request = v1::RevokeRequest {
        fence: true,
        ..revoke_request(&issued[0])
    };
    reach
        .client(1)
        .credentials
        .clone()
        .revoke(request)
        .await
        .unwrap();
    let gone = reach.client(0).get(&issued[0]).await.unwrap();
    assert_eq!(gone.state(), v1::CredentialState::Revoked);
}

/// Issues credentials at any node until it is over; notes those that were acknowledged.
async fn issue_until(over: &AtomicBool, reach: &Reach, issued: &Mutex<Vec<String>>) {
    while !over.load(Ordering::SeqCst) {
        let client = reach.client(rand::rng().random_range(0..3));
        let answer = tokio::time::timeout(PATIENCE, client.issue(token_request("acme"))).await;
        if let Ok(Ok(answer)) = answer {
            issued.lock().push(answer.credential.unwrap().id);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Revokes with a fence, at whichever node carries it out.
async fn revoke(reach: &Reach, id: &str) {
    loop {
        let request = v1::RevokeRequest {
            fence: true,
            ..revoke_request(id)
        };
        let client = reach.client(rand::rng().random_range(0..3));
        let mut credentials = client.credentials.clone();
        match tokio::time::timeout(PATIENCE, credentials.revoke(request)).await {
            Ok(Ok(answer)) => {
                assert!(answer.into_inner().fence.is_some());
                return;
            }
            Err(_) => (),
            Ok(Err(status)) => assert!(
                !matches!(
                    status.code(),
                    Code::InvalidArgument | Code::NotFound | Code::PermissionDenied
                ),
                "{status:?}"
            ),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
