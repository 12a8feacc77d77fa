//! A hundred that follow an authority which is killed and comes back: they come back
//! too, and ask it no more than they are asked and can't know.
//!
//! They are clients of this process, as a sidecar is built on one; the authority is a
//! process. All go through one door, where connections and calls are counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use credd::client::{Client, Config, Served};
use credd::domain::cache::State;
use credd::proto::v1::Verdict;
use tokio::task::JoinSet;

use crate::real::Authority;
use crate::support::until;
use crate::way::Way;
use crate::world::{ask, is_in, live, told};

const FOLLOWERS: usize = 100;
const KEPT: usize = 20;

/// An authority that is reached through a door, and those who follow it, who have all
/// asked about the same tokens.
struct Crowd {
    authority: Authority,
    door: Way,
    followers: Vec<Client>,
    tokens: Arc<[String]>,
}

impl Crowd {
    async fn gather(lease: [&str; 2]) -> Self {
        let authority = Authority::start(&lease).await;
        let door = Way::to(authority.address).await;
        let admin = authority.admin().await;
        let mut tokens = Vec::new();
        for _ in 0..KEPT {
            tokens.push(admin.issue_token("acme").await.1);
        }
        let tokens: Arc<[String]> = tokens.into();
        let mut gathering = JoinSet::new();
        for _ in 0..FOLLOWERS {
            let mut config = Config::new([door.url().parse().unwrap()]);
            config.token_file = Some(authority.token_file());
            let (client, tokens) = (Client::connect(config).unwrap(), Arc::clone(&tokens));
            gathering.spawn(async move {
                live(&client).await;
                for token in &*tokens {
                    until("the answer to be kept", || async {
                        told(&client, token).await == (Verdict::Active, Served::Cached)
                    })
                    .await;
                }
                client
            });
        }
        Self {
            authority,
            door,
            followers: gathering.join_all().await,
            tokens,
        }
    }

    /// How many questions the authority has answered them, all together.
    fn asked(&self) -> u64 {
        let counts = self.followers.iter().map(Client::counts);
        // Read in this order, one that is under way is not missing from the second.
        let answered = counts.map(|counts| {
            let unanswered = counts.unanswered.get();
            counts.asked.get() - unanswered
        });
        answered.sum()
    }

    /// How many questions they could not answer for this reason.
    fn missed(&self, wanted: &str) -> u64 {
        let counts = self.followers.iter().map(Client::counts);
        let reasons = counts.flat_map(|counts| counts.misses.by_reason());
        let those = reasons.filter(|(reason, _)| *reason == wanted);
        those.map(|(_, count)| count).sum()
    }

    /// Has each of them asked about one token after the other, until it is over.
    fn load(&self, over: &Arc<AtomicBool>) -> JoinSet<()> {
        let mut load = JoinSet::new();
        for client in &self.followers {
            let (client, over) = (client.clone(), Arc::clone(over));
            let tokens = Arc::clone(&self.tokens);
            load.spawn(async move {
                for token in tokens.iter().cycle() {
                    if over.load(Ordering::SeqCst) {
                        return;
                    }
                    // Where there is an answer, it is a yes.
                    if let Ok(verified) = ask(&client, token).await {
                        assert_eq!(verified.response.verdict(), Verdict::Active);
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            });
        }
        load
    }

    /// Waits until each follows by another stream, and has a lease.
    async fn back(&self, streams: u64) {
        for client in &self.followers {
            until("a follower to be back", || async {
                client.counts().sessions.get() >= streams
            })
            .await;
            live(client).await;
        }
    }

    /// Sees that what was kept is kept yet: of what is asked now nothing is asked the
    /// authority, but what may be kept no longer, or if a lease runs out again.
    async fn assert_kept(&self) {
        let bound_to = || self.missed("expired") + self.missed("not_live");
        let (asked, before) = (self.asked(), bound_to());
        for client in &self.followers {
            for token in &*self.tokens {
                assert_eq!(told(client, token).await.0, Verdict::Active);
            }
            assert_eq!(client.counts().resets.get(), 1, "the first");
        }
        assert_eq!(self.asked() - asked, bound_to() - before);
    }
}

/// What each does that comes back: it begins a stream, and lists the profiles.
const CALLS: usize = 2;
/// Each of these over a connection of its own.
const CONNECTIONS: usize = 2;
/// And asks over so many more.
const FOR_QUESTIONS: usize = 3;

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_whose_leases_hold_come_back_and_ask_about_nothing() {
    let lease = ["--fence-lease-ms", "60000"];
    let mut crowd = Crowd::gather(lease).await;
    let over = Arc::default();
    let load = crowd.load(&over);

    crowd.door.close().await;
    crowd.authority.kill();
    crowd.authority.start_again(&lease);
    let (calls, connections) = (crowd.door.calls(), crowd.door.connections());
    crowd.door.open().await;
    crowd.back(2).await;
    over.store(true, Ordering::SeqCst);
    load.join_all().await;

    let calls = crowd.door.calls() - calls;
    let connections = crowd.door.connections() - connections;
    println!("{FOLLOWERS} came back with {calls} calls over {connections} connections");
    // What may be kept for a minute is asked anew after that, also here.
    let expired = usize::try_from(crowd.missed("expired")).unwrap();
    assert!(calls <= FOLLOWERS * CALLS + expired, "{calls}");
    if expired == 0 {
        assert!(connections <= FOLLOWERS * CONNECTIONS, "{connections}");
    }
    crowd.assert_kept().await;
    crowd.authority.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_whose_leases_ran_out_come_back_and_ask_what_they_are_asked_and_once() {
    let lease = ["--fence-lease-ms", "3000"];
    let mut crowd = Crowd::gather(lease).await;
    let over = Arc::default();
    let load = crowd.load(&over);

    crowd.door.close().await;
    crowd.authority.kill();
    for client in &crowd.followers {
        is_in(client, State::Stale).await;
    }
    crowd.authority.start_again(&lease);
    let (calls, connections) = (crowd.door.calls(), crowd.door.connections());
    let asked = crowd.asked();
    crowd.door.open().await;
    crowd.back(2).await;
    over.store(true, Ordering::SeqCst);
    load.join_all().await;

    let calls = crowd.door.calls() - calls;
    let connections = crowd.door.connections() - connections;
    let asked = usize::try_from(crowd.asked() - asked).unwrap();
    println!(
        "{FOLLOWERS} came back with {calls} calls, {asked} questions among them, over {connections} connections"
    );
    // Nothing was asked twice; one question of each may have been under way before.
    assert!(calls <= FOLLOWERS * (CALLS + 1) + asked, "{calls}, {asked}");
    let most = FOLLOWERS * (CONNECTIONS + FOR_QUESTIONS);
    assert!(connections <= most, "{connections}");
    crowd.assert_kept().await;
    crowd.authority.stop();
}
