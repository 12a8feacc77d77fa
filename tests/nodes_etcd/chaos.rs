//! Everything that may go wrong, one thing after the other, under a load of requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use credd::proto::v1;
use parking_lot::Mutex;
use rand::RngExt as _;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::asking::{Asker, Outcome, Recorder};
use crate::commands::Commands;
use crate::node::{Node, Reach};
use crate::processes::Sidecar;
use crate::support::token_request;
use crate::trouble::Trouble;
use crate::world::World;
use crate::{LEASE, PATIENCE, revoke};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_was_acknowledged_is_there_and_no_yes_is_late_whatever_fails() {
    let Some(world) = World::start(3, LEASE).await else {
        return;
    };
    let revokes = std::env::var("CREDD_TEST_REVOKES");
    let revokes: usize = revokes.map_or(60, |number| number.parse().unwrap());
    let (reach, token) = (Arc::clone(&world.reach), world.token_file());
    let members = world.cluster.addresses();
    let fourth = Node::at(&members, world.directory.path(), 3, LEASE).await;
    let nodes = &world.nodes;
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
    let asking = Asking::by(askers, &recorder);
    recorder.until_all_had(Outcome::Yes, 5).await;
    let comes_and_goes = Asker::at("a fourth node", fourth.address, &token);
    let asking_another = Asking::by([comes_and_goes], &recorder);

    let issued = Arc::new(Mutex::new(Vec::new()));
    let issuing = {
        let (over, reach, issued) = (Arc::clone(&over), Arc::clone(&reach), Arc::clone(&issued));
        tokio::spawn(async move { issue_until(&over, &reach, &issued).await })
    };
    let commands = Arc::new(Commands::new());
    let commanding = {
        let (over, reach, all) = (Arc::clone(&over), Arc::clone(&reach), Arc::clone(&commands));
        tokio::spawn(async move { all.make_until(&over, &reach).await })
    };
    let (each_kind, has_come) = oneshot::channel();
    let trouble = Trouble { world, fourth };
    let mut trouble = tokio::spawn(trouble.make_until(Arc::clone(&over), each_kind));
    let revoking = async {
        for at in 0..revokes {
            revoke(&reach, &[0, 1, 2], recorder.id(at)).await;
            recorder.revoked(at);
            // Requests for it, and for those that are good yet, while this and that goes
            // wrong.
            let pause = rand::rng().random_range(Duration::ZERO..LEASE / 2);
            tokio::time::sleep(pause).await;
        }
        has_come.await.unwrap();
    };
    tokio::select! {
        () = revoking => (),
        // With it nodes and members are gone.
        ended = &mut trouble => panic!("{:?}", ended.err()),
    }
    over.store(true, Ordering::SeqCst);
    let askers = asking.stop().await;
    asking_another.stop().await;
    issuing.await.unwrap();
    commanding.await.unwrap();
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
    commands.check(&reach).await;
    // All have come equally far, those who follow nodes, too.
    let recorder = Arc::new(Recorder::issue(&reach.client(0), 1).await);
    let asking = Asking::by(askers, &recorder);
    recorder.until_all_had(Outcome::Yes, 5).await;
    revoke(&reach, &[0, 1, 2], recorder.id(0)).await;
    recorder.revoked(0);
    recorder.until_all_had(Outcome::No, 5).await;
    asking.stop().await;
    assert_eq!(recorder.late(), Vec::<String>::new());
    let chain = v1::VerifyChainRequest::default();
    let checked = reach.client(1).audit.clone().verify_chain(chain).await;
    let checked = checked.unwrap().into_inner();
    assert!(checked.broken.is_none(), "{checked:?}");
    trouble.world.until_there_are(3).await;
    drop((trouble, one, other));
}

/// Those who ask at the same time.
struct Asking {
    over: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<Asker>>,
}

impl Asking {
    fn by(askers: impl IntoIterator<Item = Asker>, recorder: &Arc<Recorder>) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let ask = |asker: Asker| {
            let (over, recorder) = (Arc::clone(&over), Arc::clone(recorder));
            tokio::spawn(async move {
                asker.ask_until(&over, &recorder).await;
                asker
            })
        };
        let tasks = askers.into_iter().map(ask).collect();
        Self { over, tasks }
    }

    async fn stop(self) -> Vec<Asker> {
        self.over.store(true, Ordering::SeqCst);
        let mut askers = Vec::new();
        for task in self.tasks {
            askers.push(task.await.unwrap());
        }
        askers
    }
}

/// Issues credentials at any node until it is over; notes those that were acknowledged.
async fn issue_until(over: &AtomicBool, reach: &Reach, issued: &Mutex<Vec<String>>) {
    while !over.load(Ordering::SeqCst) {
        let issuing = tokio::time::timeout(PATIENCE, async {
            reach.any().issue(token_request("acme")).await
        });
        if let Ok(Ok(answer)) = issuing.await {
            issued.lock().push(answer.credential.unwrap().id);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
