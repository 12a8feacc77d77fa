//! What the caller may ask about, and be told of, that follows.

use std::time::Duration;

use credd::client::{Client, Served};
use credd::proto::v1::Verdict;
use tokio::time::sleep;
use tonic_health::pb::health_check_response::ServingStatus;

use crate::calls::put_role;
use crate::sidecar::Sidecar;
use crate::support::{until, verify_token_request};
use crate::way::Way;
use crate::world::{World, ask, live, told, unbind_everywhere};

/// Has whoever follows be a caller who is told by one role and asks by another, on
/// these tenants.
async fn part(world: &World, told_of: &str, asks_about: &str) {
    let admin = &world.server.admin;
    for (role, permission, tenant) in [
        ("told", "credd.watch", told_of),
        ("asks", "credd.verify", asks_about),
    ] {
        put_role(admin, "credd", role, &[permission]).await;
        admin.bind("credd:parted", role, tenant).await;
    }
    let token = admin.issue_caller_of("parted").await.1;
    std::fs::write(&world.token_file, token).unwrap();
}

async fn keep(client: &Client, token: &str) {
    until("an answer to be kept", || async {
        matches!(ask(client, token).await, Ok(it) if it.served == Served::Cached)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_ask_no_more_since_it_was_cut_off_says_nothing_more() {
    let world = World::start().await;
    part(&world, "acme", "acme").await;
    let mut way = Way::to(world.server.address).await;
    let mut config = world.config();
    config.addresses = vec![way.url().parse().unwrap()];
    let client = Client::connect(config).unwrap();
    live(&client).await;
    let (_, token) = world.server.admin.issue_token("acme").await;
    keep(&client, &token).await;

    way.close().await;
    unbind_everywhere(&world.server.admin, "credd:parted", "asks", "acme").await;
    way.open().await;
    live(&client).await;
    let kept = client.cached(&verify_token_request(&token));
    assert!(kept.is_none(), "{kept:?}");
    let refused = ask(&client, &token).await;
    assert!(refused.is_err(), "it may ask no more");
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_follows_a_relay_that_may_ask_no_more_says_nothing_more() {
    let world = World::start().await;
    part(&world, "acme", "acme").await;
    let relay = Sidecar::ready(world.config()).await;
    let leaf = Client::connect(relay.follower()).unwrap();
    live(&leaf).await;
    let (_, token) = world.server.admin.issue_token("acme").await;
    keep(&leaf, &token).await;

    unbind_everywhere(&world.server.admin, "credd:parted", "asks", "acme").await;
    // As long as it has no lease, and once it has one again.
    let request = verify_token_request(&token);
    assert!(leaf.cached(&request).is_none());
    live(&leaf).await;
    let kept = leaf.cached(&request);
    assert!(kept.is_none(), "{kept:?}");
    assert!(
        ask(&leaf, &token).await.is_err(),
        "the relay may ask no more"
    );
    relay.stop().await;
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_may_ask_about_since_the_stream_began_is_lost_to_it_like_what_it_could_before() {
    let world = World::start().await;
    let admin = &world.server.admin;
    part(&world, "*", "acme").await;
    let mut way = Way::to(world.server.address).await;
    let mut config = world.config();
    config.addresses = vec![way.url().parse().unwrap()];
    let client = Client::connect(config).unwrap();
    live(&client).await;
    admin.bind("credd:parted", "asks", "globex").await;
    let (_, token) = admin.issue_token("globex").await;
    keep(&client, &token).await;

    way.close().await;
    unbind_everywhere(admin, "credd:parted", "asks", "globex").await;
    way.open().await;
    live(&client).await;
    let kept = client.cached(&verify_token_request(&token));
    assert!(kept.is_none(), "{kept:?}");
    assert_eq!(told(&client, &token).await.0, Verdict::Invalid);
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_invalid_is_kept_for_who_may_ask_about_some_tenants_only() {
    let world = World::start().await;
    std::fs::write(&world.token_file, world.narrow_token().await).unwrap();
    let client = world.follower().await;
    until("an answer to be kept", || async {
        told(&client, "nothing").await == (Verdict::Invalid, Served::Cached)
    })
    .await;
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_ask_about_more_than_it_is_told_of_is_ready_while_it_answers() {
    let world = World::start().await;
    part(&world, "acme", "*").await;
    let (_, token) = world.server.admin.issue_token("acme").await;
    let sidecar = Sidecar::ready(world.config()).await;
    let mut client = sidecar.client();
    // The authority refuses it leases, time and again.
    for _ in 0..100 {
        let answer = client.verify(verify_token_request(&token)).await.unwrap();
        assert_eq!(answer.into_inner().verdict(), Verdict::Active);
        assert_eq!(sidecar.health("").await, Some(ServingStatus::Serving));
        sleep(Duration::from_millis(20)).await;
    }
    let (address, directory) = (world.server.address, world.server.stop().await);
    until("nobody to answer", || async {
        sidecar.health("").await == Some(ServingStatus::NotServing)
    })
    .await;
    let world = World::start_again(directory, address).await;
    until("it to be ready again", || async {
        sidecar.health("").await == Some(ServingStatus::Serving)
    })
    .await;
    sidecar.stop().await;
    world.server.stop().await;
}
