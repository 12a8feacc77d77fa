//! Answers that may be out of date, where that is allowed.

use credd::client::{Client, Config, Served};
use credd::domain::cache::State;
use credd::proto::v1;
use credd::proto::v1::Verdict;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::fake::Fake;
use crate::race::config;
use crate::sidecar::Sidecar;
use crate::support::{until, verify_token_request};
use crate::way::Way;
use crate::world::{LEASE, World, is_in, live, revoke_everywhere, told, with_staleness};

/// A question about a token, to be answered as of a revision or a later one.
fn as_of(revision: v1::Revision, token: &str) -> v1::VerifyRequest {
    v1::VerifyRequest {
        min_revision: Some(revision),
        ..verify_token_request(token)
    }
}

fn reason(status: &Status) -> Option<String> {
    let details = status.get_error_details();
    details.error_info().map(|info| info.reason.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_is_older_than_the_revision_asked_for() {
    let world = World::start().await;
    let strict = world.follower().await;
    let lax = Client::connect(with_staleness(world.config(), LEASE * 600)).unwrap();
    live(&lax).await;
    let (_, token) = world.server.admin.issue_token("acme").await;
    for client in [&strict, &lax] {
        until("an answer to be kept", || async {
            told(client, &token).await == (Verdict::Active, Served::Cached)
        })
        .await;
    }
    let reached = world.server.admin.verify_token(&token).await.unwrap();
    let reached = reached.revision.unwrap();
    let later = v1::Revision {
        number: reached.number + 1000,
        ..reached.clone()
    };
    for client in [&strict, &lax] {
        let behind = client.verify(&as_of(later.clone(), &token)).await;
        let behind = behind.unwrap_err();
        assert_eq!(behind.code(), Code::Unavailable);
        assert_eq!(reason(&behind).as_deref(), Some("BEHIND"));
    }

    world.server.stop().await;
    is_in(&lax, State::Stale).await;
    let refused = lax.verify(&as_of(later, &token)).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    let given = lax.verify(&as_of(reached, &token)).await.unwrap();
    assert_eq!(given.served, Served::Stale);
    assert!(given.is_active());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_that_is_not_there_yet_holds_up_nobody_who_asks_without() {
    let world = World::start().await;
    let client = world.follower().await;
    let (_, token) = world.server.admin.issue_token("acme").await;
    let reached = world.server.admin.verify_token(&token).await.unwrap();
    let later = v1::Revision {
        number: u64::MAX,
        ..reached.revision.unwrap()
    };
    let asked = client.counts().asked.get();
    let waiting = {
        let (client, request) = (client.clone(), as_of(later, &token));
        tokio::spawn(async move { client.verify(&request).await })
    };
    until("it to be asked", || async {
        client.counts().asked.get() > asked
    })
    .await;
    assert_eq!(told(&client, &token).await.0, Verdict::Active);
    let behind = waiting.await.unwrap().unwrap_err();
    assert_eq!(reason(&behind).as_deref(), Some("BEHIND"));
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_marked_as_such_behind_another_sidecar_too() {
    let world = World::start().await;
    let relay = Sidecar::ready(with_staleness(world.config(), LEASE * 600)).await;
    let near = Sidecar::ready(relay.follower()).await;
    let client = Client::connect(relay.follower()).unwrap();
    live(&client).await;
    let (_, token) = world.server.admin.issue_token("acme").await;
    let request = || verify_token_request(&token);
    let answer = near.client().verify(request()).await.unwrap();
    assert_eq!(answer.into_inner().verdict(), Verdict::Active);
    world.server.stop().await;
    until("the relay to say what may be out of date", || async {
        let answer = relay.client().verify(request()).await.unwrap();
        answer.metadata().contains_key("credd-served")
    })
    .await;
    let answer = near.client().verify(request()).await.unwrap();
    let mark = answer.metadata().get("credd-served");
    assert_eq!(mark.unwrap(), "stale");
    assert_eq!(answer.into_inner().verdict(), Verdict::Active);

    let (verdict, served) = told(&client, &token).await;
    assert_eq!((verdict, served), (Verdict::Active, Served::Stale));
    assert_eq!(client.counts().served_stale.get(), 1);
    near.stop().await;
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_no_answer_where_another_address_has_a_better_one() {
    let world = World::start().await;
    let mut way = Way::to(world.server.address).await;
    let through = |mut config: Config| {
        config.addresses = vec![way.url().parse().unwrap()];
        config
    };
    let relay = Sidecar::ready(with_staleness(through(world.config()), LEASE * 600)).await;
    let mut config = world.config();
    config.addresses.splice(..0, relay.follower().addresses);
    let client = Client::connect(config).unwrap();
    live(&client).await;
    let (id, token) = world.server.admin.issue_token("acme").await;
    let ask = || async { relay.client().verify(verify_token_request(&token)).await };
    assert_eq!(ask().await.unwrap().into_inner().verdict(), Verdict::Active);
    way.close().await;
    until("the relay to say what may be out of date", || async {
        let answer = ask().await;
        answer.is_ok_and(|answer| answer.metadata().contains_key("credd-served"))
    })
    .await;
    revoke_everywhere(&world.server.admin, &id).await;
    let answered = ask().await.unwrap().into_inner();
    assert_eq!(
        answered.verdict(),
        Verdict::Active,
        "the relay does not know"
    );
    assert_eq!(told(&client, &token).await.0, Verdict::Revoked);
    drop(client);
    relay.stop().await;
    world.server.stop().await;
}

/// One who may be out of date, of an authority that answers questions and tells nothing of
/// changes.
async fn without_news() -> (Fake, Client) {
    let (fake, address) = Fake::start().await;
    fake.end_leases();
    let client = Client::connect(with_staleness(config(address), LEASE * 600)).unwrap();
    is_in(&client, State::Stale).await;
    (fake, client)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_was_told_itself_it_does_not_take_back() {
    let (fake, client) = without_news().await;
    let needing = |permissions: &[&str]| v1::VerifyRequest {
        permissions: permissions.iter().copied().map(str::to_owned).collect(),
        ..verify_token_request("a token")
    };
    let other = verify_token_request("another one");
    let [plain, reading] = [needing(&[]), needing(&["feeds:read"])];
    for (verdict, of_the_secret) in [
        (Verdict::Locked, true),
        (Verdict::Revoked, true),
        (Verdict::Expired, true),
        (Verdict::TenantDisabled, true),
        (Verdict::OwnerDisabled, true),
        (Verdict::Invalid, true),
        (Verdict::Forbidden, false),
    ] {
        fake.be_gone(false);
        fake.say(Verdict::Active);
        for question in [&plain, &reading, &other] {
            let asked = client.verify(question).await.unwrap();
            assert!(asked.is_active(), "{verdict:?}");
        }
        fake.say(verdict);
        let told = client.verify(&reading).await.unwrap();
        assert_eq!(told.response.verdict(), verdict);
        fake.be_gone(true);
        let denied = client.verify(&reading).await;
        assert!(denied.is_err(), "{verdict:?}: {denied:?}");
        let of_another_question = client.verify(&plain).await;
        assert_eq!(of_another_question.is_err(), of_the_secret, "{verdict:?}");
        let of_another_secret = client.verify(&other).await.unwrap();
        assert_eq!(of_another_secret.served, Served::Stale);
    }
}
