//! Clients who issue, lock, unlock, revoke and get credentials, each call at any node.
//!
//! What all of them were told of a credential could have happened one after the other
//! (`tests/support/linearizability.rs`), however nodes and members failed meanwhile. A
//! call that came to nothing, as far as its client knows, was carried out at any time
//! after it was made, or never. So what was acknowledged is there, too.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use credd::proto::v1::CredentialState;
use parking_lot::Mutex;
use rand::RngExt as _;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tonic::{Code, Status};

use crate::checker::{Operation, is_linearizable};
use crate::model::{Call, credential};
use crate::node::Reach;
use crate::support::token_request;
use crate::{PATIENCE, assert_may_be_retried};

/// How many credentials are in use at once, each for a while.
const IN_USE: usize = 6;
/// How many clients use one, and how many calls each makes. The search for an order tries
/// many where many calls overlap and few are answered.
const CLIENTS: usize = 3;
const CALLS: usize = 5;
/// How long a client may pause.
const PAUSE: Duration = Duration::from_millis(200);

/// What all clients were told of each credential.
pub(crate) struct Commands {
    epoch: Instant,
    told: Mutex<BTreeMap<String, Vec<Operation<Call>>>>,
}

impl Commands {
    pub(crate) fn new() -> Self {
        Self {
            epoch: Instant::now(),
            told: Mutex::default(),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_nanos()).unwrap()
    }

    fn note(&self, id: &str, invoked: u64, is_answered: bool, what: Call) {
        let returned = is_answered.then(|| self.now());
        let mut told = self.told.lock();
        told.entry(id.to_owned()).or_default().push(Operation {
            invoked,
            returned,
            what,
        });
    }

    /// Uses credentials until it is over.
    pub(crate) async fn make_until(self: &Arc<Self>, over: &Arc<AtomicBool>, reach: &Arc<Reach>) {
        let mut users = JoinSet::new();
        for _ in 0..IN_USE {
            let (all, over, reach) = (Arc::clone(self), Arc::clone(over), Arc::clone(reach));
            users.spawn(async move {
                while !over.load(Ordering::SeqCst) {
                    if let Some(id) = all.issue(&reach).await {
                        all.use_up(&id, &reach).await;
                    }
                }
            });
        }
        users.join_all().await;
    }

    /// Issues a credential. Of one that may have been issued nobody knows the name.
    async fn issue(&self, reach: &Reach) -> Option<String> {
        let (client, invoked) = (reach.any(), self.now());
        match timeout(PATIENCE, client.issue(token_request("acme"))).await {
            Ok(Ok(issued)) => {
                let id = issued.credential.unwrap().id;
                self.note(&id, invoked, true, Call::Issue);
                Some(id)
            }
            Ok(Err(status)) => {
                assert_may_be_retried(&status);
                None
            }
            Err(_) => None,
        }
    }

    async fn use_up(self: &Arc<Self>, id: &str, reach: &Arc<Reach>) {
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            let (all, id, reach) = (Arc::clone(self), id.to_owned(), Arc::clone(reach));
            clients.spawn(async move {
                for _ in 0..CALLS {
                    all.call(&id, &reach).await;
                    let pause = rand::rng().random_range(Duration::ZERO..PAUSE);
                    sleep(pause).await;
                }
            });
        }
        clients.join_all().await;
    }

    async fn call(&self, id: &str, reach: &Reach) {
        use CredentialState::{Active, Locked, Revoked};

        let client = reach.any();
        // Some go away before they have the answer.
        let patience = rand::rng().random_range(PATIENCE / 40..PATIENCE);
        let kind = rand::rng().random_range(0..20);
        let invoked = self.now();
        let (to, answer) = match kind {
            0..8 => {
                if let Ok(Some(state)) = timeout(patience, see(reach, None, id)).await {
                    self.note(id, invoked, true, Call::See(state));
                }
                return;
            }
            8..13 => {
                let answer = async { client.lock(id).await.map(|it| it.credential) };
                (Locked, timeout(patience, answer).await)
            }
            13..19 => {
                let answer = async { client.unlock(id).await.map(|it| it.credential) };
                (Active, timeout(patience, answer).await)
            }
            _ => {
                let answer = async { client.revoke(id).await.map(|it| it.credential) };
                (Revoked, timeout(patience, answer).await)
            }
        };
        let (is_answered, state) = match answer {
            Ok(Ok(credential)) => (true, Some(credential.unwrap().state())),
            Ok(Err(status)) if status.code() == Code::FailedPrecondition => (true, None),
            Ok(Err(status)) => {
                assert_may_be_retried(&status);
                (false, Some(to))
            }
            Err(_) => (false, Some(to)),
        };
        self.note(id, invoked, is_answered, Call::Set(to, state));
    }

    /// Looks at every credential at every node, and checks what was told of each.
    pub(crate) async fn check(&self, reach: &Reach) {
        use CredentialState::{Active, Locked, Revoked};

        let ids: Vec<_> = self.told.lock().keys().cloned().collect();
        for at in 0..3 {
            for id in &ids {
                let invoked = self.now();
                let state = see(reach, Some(at), id).await;
                self.note(id, invoked, true, Call::See(state.unwrap()));
            }
        }
        let told = self.told.lock();
        let all = || told.values().flatten();
        let unanswered = all().filter(|it| it.returned.is_none()).count();
        let refused = all().filter(|it| matches!(it.what, Call::Set(_, None)));
        println!(
            "{} calls about {} credentials, {unanswered} of them not answered, {} refused",
            all().count(),
            told.len(),
            refused.count(),
        );
        for state in [Active, Locked, Revoked] {
            assert!(all().any(|it| it.what == Call::See(state)), "{state:?}");
            let set = Call::Set(state, Some(state));
            assert!(all().any(|it| it.what == set && it.returned.is_some()));
        }
        for (id, told) in &*told {
            let mut told = told.clone();
            told.sort_by_key(|it| it.invoked);
            let is = is_linearizable(&told, None, credential);
            assert!(is, "credential {id} went through {told:#?}");
        }
    }
}

/// The state of a credential, at a node or at any; `None`: it was not told. One that was
/// acknowledged is there.
async fn see(reach: &Reach, at: Option<usize>, id: &str) -> Option<CredentialState> {
    let client = at.map_or_else(|| reach.any(), |at| reach.client(at));
    let answer = client.get(id).await;
    let answer = answer.inspect_err(|status: &Status| assert_may_be_retried(status));
    Some(answer.ok()?.state())
}
