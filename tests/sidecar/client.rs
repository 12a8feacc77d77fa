//! The client.

use credd::client::{Client, Served};
use credd::domain::cache::State;
use credd::proto::v1::{self, Verdict};
use tonic::Code;

use crate::calls::imported;
use crate::calls::put_role;
use crate::sidecar::Sidecar;
use crate::support::{soon, until, verify_token_request};
use crate::world::{
    LEASE, World, ask, is_in, live, revoke_everywhere, told, unbind_everywhere, with_staleness,
};

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_given_again_without_asking() {
    let world = World::start().await;
    let client = world.follower().await;
    let (_, token) = world.server.admin.issue_token("acme").await;
    let asked = client.counts().asked.get();
    assert_eq!(
        told(&client, &token).await,
        (Verdict::Active, Served::Asked)
    );
    for _ in 0..10 {
        let (verdict, served) = told(&client, &token).await;
        assert_eq!((verdict, served), (Verdict::Active, Served::Cached));
    }
    assert_eq!(client.counts().asked.get(), asked + 1);
    let cached = client.cached(&verify_token_request(&token)).unwrap();
    let message = cached.into_message();
    let identity = message.identity.unwrap();
    assert_eq!(identity.tenant, "acme");
    assert!(message.valid_for.unwrap().seconds <= 60);
    assert!(client.cached(&verify_token_request("other")).is_none());
    // The verdict that was asked for the authority has counted.
    let [active, invalid, ..] = client.counts().verdicts.by_name();
    assert_eq!((active, invalid), (("active", 11), ("invalid", 0)));
    for served in [Served::Asked, Served::Cached, Served::Cached] {
        let told = told(&client, "nothing").await;
        assert_eq!(told, (Verdict::Invalid, served));
    }
    let [active, invalid, ..] = client.counts().verdicts.by_name();
    assert_eq!((active, invalid), (("active", 11), ("invalid", 2)));
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn once_a_fenced_revoke_returned_nobody_who_follows_says_yes() {
    let world = World::start().await;
    let clients = [world.follower().await, world.follower().await];
    for _ in 0..20 {
        let (id, token) = world.server.admin.issue_token("acme").await;
        for client in &clients {
            until("the answer to be kept", || async {
                told(client, &token).await == (Verdict::Active, Served::Cached)
            })
            .await;
        }
        let fence = revoke_everywhere(&world.server.admin, &id).await;
        for client in &clients {
            let (verdict, _) = told(client, &token).await;
            assert_eq!(verdict, Verdict::Revoked);
        }
        assert_eq!((fence.acknowledged, fence.expired), (2, 0));
    }
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_that_is_issued_is_good_at_once_where_it_was_tried_before() {
    let world = World::start().await;
    let client = world.follower().await;
    let (_, token) = world.server.admin.issue_token("acme").await;
    // One digit is another: it has the form of a token no longer.
    let (verdict, served) = told(&client, "nothing").await;
    assert_eq!((verdict, served), (Verdict::Invalid, Served::Asked));
    let (verdict, served) = told(&client, "nothing").await;
    assert_eq!((verdict, served), (Verdict::Invalid, Served::Cached));
    assert_eq!(told(&client, &token).await.0, Verdict::Active);
    let before = client.condition().applied;
    world.server.admin.issue_token("acme").await;
    until("the news", || async {
        client.condition().applied != before
    })
    .await;
    assert!(client.cached(&verify_token_request("nothing")).is_none());
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_authority_answers_are_given_until_the_lease_ends_and_again_when_it_is_back() {
    let world = World::start().await;
    let strict = world.follower().await;
    let lax = Client::connect(with_staleness(world.config(), LEASE * 600)).unwrap();
    live(&lax).await;
    let (id, token) = world.server.admin.issue_token("acme").await;
    for client in [&strict, &lax] {
        assert_eq!(told(client, &token).await.0, Verdict::Active);
    }
    let address = world.server.address;
    let directory = world.server.stop().await;

    // The lease holds on.
    for client in [&strict, &lax] {
        if client.condition().state == Some(State::Live) {
            let cached = client.cached(&verify_token_request(&token));
            let still_live = client.condition().state == Some(State::Live);
            assert!(cached.is_some() || !still_live);
        }
        is_in(client, State::Stale).await;
        assert!(client.cached(&verify_token_request(&token)).is_none());
    }
    let refused = ask(&strict, &token).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert!(!strict.can_answer());
    let (verdict, served) = told(&lax, &token).await;
    assert_eq!((verdict, served), (Verdict::Active, Served::Stale));
    assert!(lax.can_answer());
    assert_eq!(lax.counts().served_stale.get(), 1);
    assert!(lax.counts().verdicts.by_name().contains(&("active", 1)));
    assert_eq!(strict.counts().served_stale.get(), 0);
    let unknown = ask(&lax, "nothing").await.unwrap_err();
    assert_eq!(unknown.code(), Code::Unavailable);

    // It comes back, and nobody has to do anything: what was kept is good again.
    let world = World::start_again(directory, address).await;
    for client in [&strict, &lax] {
        live(client).await;
        until("what was kept", || async {
            told(client, &token).await.1 == Served::Cached
        })
        .await;
        assert_eq!(client.counts().resets.get(), 1, "the first");
    }
    revoke_everywhere(&world.server.admin, &id).await;
    for client in [&strict, &lax] {
        assert_eq!(told(client, &token).await.0, Verdict::Revoked);
    }
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_refused_gives_nothing_and_follows_again_with_another_token() {
    let world = World::start().await;
    let client = world.follower().await;
    let admin = &world.server.admin;
    let (_, token) = admin.issue_token("acme").await;
    assert_eq!(told(&client, &token).await.0, Verdict::Active);
    let (other_id, other) = admin.issue_caller_of("gate").await;
    let request = crate::support::list_request("credd");
    let all = admin.list(request).await.unwrap().credentials;
    let old = all
        .iter()
        .find(|it| it.owner == "gate" && it.id != other_id);
    admin.revoke(&old.unwrap().id).await.unwrap();
    is_in(&client, State::Cold).await;
    assert!(client.cached(&verify_token_request(&token)).is_none());
    let refused = ask(&client, &token).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);

    std::fs::write(&world.token_file, other).unwrap();
    live(&client).await;
    assert_eq!(told(&client, &token).await.0, Verdict::Active);
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_address_is_asked_and_followed_where_one_does_not_answer() {
    let world = World::start().await;
    let nobody = crate::support::metrics::free_address();
    let mut config = world.config();
    config.addresses = vec![format!("http://{nobody}").parse().unwrap(), world.address()];
    let client = Client::connect(config).unwrap();
    let (_, token) = world.server.admin.issue_token("acme").await;
    assert_eq!(told(&client, &token).await.0, Verdict::Active);
    live(&client).await;
    let asked = soon("an answer", ask(&client, "nothing")).await.unwrap();
    assert_eq!(asked.response.verdict(), Verdict::Invalid);
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn uses_are_reported_by_those_who_do_not_ask() {
    let world = World::start().await;
    let client = world.follower().await;
    let (id, token) = world.server.admin.issue_token("acme").await;
    assert_eq!(told(&client, &token).await.0, Verdict::Active);
    let used = credd::domain::cache::Use {
        credential: id.parse().unwrap(),
        generation: credd::domain::token::Generation::FIRST,
        used_at: client.machine().now().wall,
    };
    client.note_uses([used]);
    until("the use to be reported", || async {
        client.condition().waiting_uses == 0
    })
    .await;
    until("the use to be known", || async {
        let credential = world.server.admin.get(&id).await.unwrap();
        credential.last_used_at.is_some()
    })
    .await;
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_are_those_of_the_profiles_now() {
    let world = World::start().await;
    let client = world.follower().await;
    until("the headers", || async { client.headers(None).is_some() }).await;
    let has = |name: &str| {
        let rules = client.headers(None).unwrap();
        !rules.candidates(name).is_empty()
    };
    assert!(has("authorization"));
    assert!(!has("x-ours"));
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_is_kept_about_a_tenant_of_which_the_stream_tells_nothing() {
    let world = World::start().await;
    let wide = std::fs::read_to_string(&world.token_file).unwrap();
    let narrow = world.narrow_token().await;
    std::fs::write(&world.token_file, narrow).unwrap();
    let client = world.follower().await;
    let admin = &world.server.admin;
    let (_, near) = admin.issue_token("acme").await;
    let (id, far) = admin.issue_token("globex").await;
    assert_eq!(told(&client, &far).await.0, Verdict::Invalid);

    // The questions are another's from now on, the stream is not.
    std::fs::write(&world.token_file, wide).unwrap();
    until("the token to be read", || async {
        told(&client, &far).await.0 == Verdict::Active
    })
    .await;
    until("an answer about a tenant that it is told of", || async {
        told(&client, &near).await == (Verdict::Active, Served::Cached)
    })
    .await;
    told(&client, &far).await;
    revoke_everywhere(admin, &id).await;
    assert_eq!(told(&client, &far).await.0, Verdict::Revoked);
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_to_another_is_kept_than_who_is_told_of_changes() {
    let world = World::start().await;
    let client = world.follower().await;
    let admin = &world.server.admin;
    let (_, token) = admin.issue_token("acme").await;
    // One who may ask the same, but is another.
    admin.bind("credd:other", "verifier", "acme").await;
    let other = admin.issue_caller_of("other").await.1;
    std::fs::write(&world.token_file, other).unwrap();
    until("the stream to be the other's, too", || async {
        told(&client, &token).await;
        client.counts().sessions.get() == 2
    })
    .await;
    live(&client).await;
    until("an answer to be kept", || async {
        told(&client, &token).await == (Verdict::Active, Served::Cached)
    })
    .await;
    unbind_everywhere(admin, "credd:other", "verifier", "acme").await;
    let refused = ask(&client, &token).await;
    assert!(refused.is_err(), "it may ask no more");
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_ask_no_more_but_be_told_says_nothing_more() {
    let world = World::start().await;
    let admin = &world.server.admin;
    for (role, permission) in [("told", "credd.watch"), ("asks", "credd.verify")] {
        put_role(admin, "credd", role, &[permission]).await;
        admin.bind("credd:parted", role, "acme").await;
    }
    let token = admin.issue_caller_of("parted").await.1;
    std::fs::write(&world.token_file, token).unwrap();
    let client = world.follower().await;
    let (_, token) = admin.issue_token("acme").await;
    until("an answer to be kept", || async {
        matches!(ask(&client, &token).await, Ok(it) if it.served == Served::Cached)
    })
    .await;
    unbind_everywhere(admin, "credd:parted", "asks", "acme").await;
    let refused = ask(&client, &token).await;
    assert!(refused.is_err(), "it may ask no more");
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_comes_back_and_is_told_less_keeps_nothing() {
    let world = World::start().await;
    let client = world.follower().await;
    let narrow = world.narrow_token().await;
    let (id, far) = world.server.admin.issue_token("globex").await;
    assert_eq!(told(&client, &far).await.0, Verdict::Active);
    assert_eq!(told(&client, &far).await.1, Served::Cached);
    std::fs::write(&world.token_file, narrow).unwrap();
    until("the token to be read", || async {
        let (_, other) = world.server.admin.issue_token("globex").await;
        told(&client, &other).await.0 == Verdict::Invalid
    })
    .await;
    let address = world.server.address;
    let directory = world.server.stop().await;
    let world = World::start_again(directory, address).await;
    until("the stream to be taken up", || async {
        client.counts().sessions.get() == 2
    })
    .await;
    live(&client).await;
    revoke_everywhere(&world.server.admin, &id).await;
    assert_ne!(told(&client, &far).await.0, Verdict::Active);
    world.server.stop().await;
}

/// Imports a secret that was made elsewhere; returns the revision.
async fn import(world: &World, tenant: &str, secret: &str) -> Option<v1::Revision> {
    let request = v1::ImportCredentialsRequest {
        tenant: tenant.to_owned(),
        credentials: vec![imported("api-token", "", secret)],
        ..Default::default()
    };
    let mut credentials = world.server.admin.credentials.clone();
    let answer = credentials.import_credentials(request).await.unwrap();
    answer.into_inner().revision
}

#[tokio::test(flavor = "multi_thread")]
async fn whose_a_secret_is_that_another_tenant_may_import_is_asked_each_time() {
    const SECRET: &str = "elsewhere-0123456789abcdef0123456789abcdef";
    const OTHER: &str = "elsewhere-fedcba9876543210fedcba9876543210";

    let world = World::start().await;
    let relay = Sidecar::ready(world.config()).await;
    let lax = |config| Client::connect(with_staleness(config, LEASE * 600)).unwrap();
    let clients = [lax(world.config()), lax(relay.follower())];
    import(&world, "acme", SECRET).await;
    let of_acme = v1::VerifyRequest {
        tenant: "acme".to_owned(),
        any_tenant: false,
        ..verify_token_request(SECRET)
    };
    for client in &clients {
        live(client).await;
        for _ in 0..3 {
            let asked = ask(client, SECRET).await.unwrap();
            assert!(asked.is_active());
            assert_eq!(asked.served, Served::Asked);
            let message = asked.into_message();
            assert_eq!(message.valid_for, Some(prost_types::Duration::default()));
        }
        // Of whom it is asked about by name, nothing is imported elsewhere.
        until("a yes to be kept", || async {
            let verified = client.verify(&of_acme).await.unwrap();
            assert!(verified.is_active());
            verified.served == Served::Cached
        })
        .await;
    }
    import(&world, "globex", SECRET).await;
    for client in &clients {
        assert_eq!(told(client, SECRET).await.0, Verdict::Invalid);
        assert_eq!(told(client, SECRET).await.0, Verdict::Invalid);
    }
    import(&world, "acme", OTHER).await;
    for client in &clients {
        assert_eq!(told(client, OTHER).await.0, Verdict::Active);
    }
    world.server.stop().await;
    for client in &clients {
        is_in(client, State::Stale).await;
        // The relay has a lease for a moment longer.
        until("nobody to answer", || async {
            client.verify(&of_acme).await.unwrap().served == Served::Stale
        })
        .await;
        assert!(ask(client, OTHER).await.is_err());
    }
    relay.stop().await;
}
