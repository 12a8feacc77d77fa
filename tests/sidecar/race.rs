//! What must not happen between an answer and the news of a change, and when many come
//! back at once.

use std::sync::Arc;
use std::time::Duration;

use credd::client::{Client, Config, Machine, Served};
use credd::proto::v1::Verdict;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::fake::Fake;
use crate::support::{soon, until, verify_token_request};
use crate::world::{ask, live, told};

/// Of who follows this address.
pub(crate) fn config(address: std::net::SocketAddr) -> Config {
    let mut config = Config::new([format!("http://{address}").parse().unwrap()]);
    config.connections = 1;
    config
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoke_that_passes_while_an_answer_is_in_flight_does_not_spoil_the_cache_of_who_joins() {
    let (fake, address) = Fake::start().await;
    let client = Client::connect(config(address)).unwrap();
    live(&client).await;
    fake.hold();
    let first = tokio::spawn({
        let client = client.clone();
        async move { ask(&client, "token").await }
    });
    until("the question", || async { fake.asked() == 1 }).await;

    // It was judged. The revoke passes it, and returns once it is acknowledged.
    let revision = fake.revoke();
    until("the acknowledgement", || async {
        fake.acknowledged() == revision
    })
    .await;

    // Somebody comes after that and asks the same.
    let misses = client.counts().misses.by_reason();
    let second = tokio::spawn({
        let client = client.clone();
        async move { ask(&client, "token").await }
    });
    until("the second to wait", || async {
        client.counts().misses.by_reason() != misses
    })
    .await;
    assert_eq!(fake.asked(), 1, "it joined");
    fake.release();
    let first = soon("the first", first).await.unwrap().unwrap();
    assert_eq!(first.response.verdict(), Verdict::Active, "it came before");
    let second = soon("the second", second).await.unwrap().unwrap();
    assert_eq!(second.response.verdict(), Verdict::Revoked);
    assert_eq!(fake.asked(), 2);
    assert!(client.cached(&verify_token_request("token")).is_none());
    assert_eq!(told(&client, "token").await.0, Verdict::Revoked);
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_questions_are_asked_once() {
    let (fake, address) = Fake::start().await;
    let client = Client::connect(config(address)).unwrap();
    live(&client).await;
    fake.hold();
    let mut asking = JoinSet::new();
    for _ in 0..100 {
        let client = client.clone();
        asking.spawn(async move { told(&client, "token").await });
    }
    until("all to wait", || async {
        let misses = client.counts().misses.by_reason();
        misses.iter().map(|(_, count)| count).sum::<u64>() == 100
    })
    .await;
    fake.release();
    let answers = soon("the answers", asking.join_all()).await;
    assert!(
        answers
            .iter()
            .all(|(verdict, _)| *verdict == Verdict::Active)
    );
    let asked = answers
        .iter()
        .filter(|(_, served)| *served == Served::Asked);
    assert_eq!((asked.count(), fake.asked()), (1, 1));
    assert_eq!(client.counts().joins.get(), 99);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_who_come_back_take_up_where_they_were_and_ask_nothing_again() {
    const MANY: usize = 100;

    let (fake, address) = Fake::start().await;
    let mut clients = Vec::new();
    for _ in 0..MANY {
        clients.push(Client::connect(config(address)).unwrap());
    }
    for client in &clients {
        live(client).await;
        assert_eq!(told(client, "token").await.0, Verdict::Active);
    }
    assert_eq!((fake.asked(), fake.watches()), (MANY, MANY));
    fake.cut();
    for client in &clients {
        until("one to come back", || async {
            client.counts().sessions.get() == 2
        })
        .await;
        let (verdict, served) = told(client, "token").await;
        assert_eq!((verdict, served), (Verdict::Active, Served::Cached));
    }
    assert_eq!((fake.asked(), fake.watches()), (MANY, 2 * MANY));
}

/// One who follows over pipes of this process: time goes as fast as nothing happens.
fn follower_in_process(fake: &Fake) -> Client {
    let machine = Machine {
        network: Arc::new(fake.serve_in_process()),
        ..Machine::default()
    };
    let config = config("127.0.0.1:1".parse().unwrap());
    let (client, follower) = Client::new(config, machine, None).unwrap();
    tokio::spawn(follower.unwrap().run(CancellationToken::new()));
    client
}

#[tokio::test(start_paused = true)]
async fn one_whose_renewals_are_not_heard_connects_anew_although_it_is_told_of_changes() {
    let fake = Fake::default();
    fake.deafen();
    let _client = follower_in_process(&fake);
    for _ in 0..60 {
        sleep(Duration::from_secs(1)).await;
        fake.revoke();
        if fake.watches() > 1 {
            return;
        }
    }
    panic!("it holds on to a stream that does not hear it");
}

#[tokio::test(start_paused = true)]
async fn no_lease_is_asked_for_anew_before_a_part_of_the_first_one_is_over() {
    let fake = Fake::default();
    let client = follower_in_process(&fake);
    live(&client).await;
    // It is good for a minute. After a longer silence there would be another stream.
    sleep(Duration::from_secs(8)).await;
    assert_eq!((fake.renewals(), fake.watches()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_whose_place_is_not_understood_begins_anew_with_nothing() {
    let (fake, address) = Fake::start().await;
    let client = Client::connect(config(address)).unwrap();
    live(&client).await;
    told(&client, "token").await;
    assert_eq!(told(&client, "token").await.1, Served::Cached);

    // What happens now it is not told: there is no way back to where it was.
    fake.read_no_token(true);
    fake.cut();
    until("the stream to be refused", || async {
        fake.watches() > 1 && !client.condition().is_connected
    })
    .await;
    fake.revoke();
    fake.read_no_token(false);
    until("another stream", || async {
        client.counts().sessions.get() == 2
    })
    .await;
    live(&client).await;
    assert!(client.cached(&verify_token_request("token")).is_none());
    assert_eq!(told(&client, "token").await.0, Verdict::Revoked);
}

#[tokio::test(start_paused = true)]
async fn who_is_granted_no_more_asks_no_more_often() {
    let fake = Fake::default();
    fake.end_leases();
    let _client = follower_in_process(&fake);
    for _ in 0..20 {
        sleep(Duration::from_secs(1)).await;
        // Or it would be taken for dead.
        fake.revoke();
    }
    // One for each that it is told of, and one a second.
    let heard = fake.renewals();
    assert!((20..60).contains(&heard), "{heard}");
}
