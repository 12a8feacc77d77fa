//! Sidecars that others follow.

use std::time::Duration;

use credd::client::{CacheConfig, Client, Config, Ends, Served};
use credd::domain::cache::State;
use credd::proto::v1;
use credd::proto::v1::Verdict;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::calls;
use crate::fake::Fake;
use crate::race::config;
use crate::sidecar::Sidecar;
use crate::support::{soon, until, verify_token_request};
use crate::world::{
    LEASE, World, ask, is_in, live, revoke_everywhere, told, unbind_everywhere, with_staleness,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_that_follows_a_sidecar_is_waited_for_by_a_fence() {
    let world = World::start().await;
    let relay = Sidecar::ready(world.config()).await;
    let leaf = Client::connect(relay.follower()).unwrap();
    live(&leaf).await;
    for _ in 0..20 {
        let (id, token) = world.server.admin.issue_token("acme").await;
        until("the answer to be kept", || async {
            told(&leaf, &token).await == (Verdict::Active, Served::Cached)
        })
        .await;
        let fence = revoke_everywhere(&world.server.admin, &id).await;
        assert_eq!(told(&leaf, &token).await.0, Verdict::Revoked);
        // The relay alone is the authority's session, and it had heard from the leaf.
        assert_eq!((fence.acknowledged, fence.expired), (1, 0));
    }
    relay.stop().await;
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_lets_nobody_keep_what_its_own_stream_tells_nothing_of() {
    let world = World::start().await;
    let wide = std::fs::read_to_string(&world.token_file).unwrap();
    std::fs::write(&world.token_file, world.narrow_token().await).unwrap();
    let relay = Sidecar::ready(world.config()).await;
    let leaf = Client::connect(relay.follower()).unwrap();
    live(&leaf).await;
    let (_, far) = world.server.admin.issue_token("globex").await;
    assert_eq!(told(&leaf, &far).await.0, Verdict::Invalid);

    // The relay asks as another from now on, and is told as the one before.
    std::fs::write(&world.token_file, wide).unwrap();
    // What was INVALID a moment ago may be so for another.
    let (id, far) = loop {
        let (id, far) = world.server.admin.issue_token("globex").await;
        if told(&leaf, &far).await.0 == Verdict::Active {
            break (id, far);
        }
    };
    assert_eq!(told(&leaf, &far).await, (Verdict::Active, Served::Asked));
    revoke_everywhere(&world.server.admin, &id).await;
    assert_eq!(told(&leaf, &far).await.0, Verdict::Revoked);
    relay.stop().await;
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_follows_and_is_gone_delays_a_fence_by_its_lease_and_no_more() {
    let world = World::start().await;
    let relay = Sidecar::ready(world.config()).await;
    let leaf = Client::connect(relay.follower()).unwrap();
    live(&leaf).await;
    drop(leaf);
    let (id, _) = world.server.admin.issue_token("acme").await;
    let fence = soon("the fence", revoke_everywhere(&world.server.admin, &id)).await;
    assert_eq!((fence.acknowledged, fence.expired), (1, 0));
    relay.stop().await;
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_authority_a_relay_grants_no_lease_beyond_its_own() {
    let world = World::start().await;
    let relay = Sidecar::ready(world.config()).await;
    let leaf = Client::connect(relay.follower()).unwrap();
    live(&leaf).await;
    let (_, token) = world.server.admin.issue_token("acme").await;
    assert_eq!(told(&leaf, &token).await.0, Verdict::Active);
    let address = world.server.address;
    let directory = world.server.stop().await;
    is_in(&leaf, State::Stale).await;
    // The relay's own lease is a little longer, and it may answer as long as it holds.
    until("nobody to answer", || async {
        match crate::world::ask(&leaf, &token).await {
            Ok(verified) => {
                assert_eq!(verified.served, Served::Asked);
                false
            }
            Err(status) => status.code() == Code::Unavailable,
        }
    })
    .await;
    let world = World::start_again(directory, address).await;
    live(&leaf).await;
    assert_eq!(told(&leaf, &token).await.0, Verdict::Active);
    relay.stop().await;
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_passed_on_is_ordered_complete_and_can_be_taken_up() {
    let world = World::start().await;
    let relay = Sidecar::ready(world.config()).await;
    let admin = &world.server.admin;
    let first = v1::WatchRequest {
        tenants: vec!["acme".to_owned()],
        ..Default::default()
    };
    let watch = async |request: v1::WatchRequest| {
        let requests = tokio_stream::once(request);
        let stream = relay.client().watch(requests).await.unwrap();
        stream.into_inner()
    };
    let mut stream = watch(first.clone()).await;
    let begin = soon("a message", stream.message()).await.unwrap().unwrap();
    let mut token = begin.resume_token;
    let (mut ids, mut told, mut revision) = (Vec::new(), Vec::new(), 0);
    for round in 0..10 {
        for _ in 0..5 {
            ids.push(admin.issue_token("acme").await.0);
            admin.issue_token("other").await;
        }
        if round % 2 == 1 {
            let taken_up = v1::WatchRequest {
                resume_token: token.clone(),
                ..first.clone()
            };
            stream = watch(taken_up).await;
        }
        while told.len() < ids.len() {
            let message = soon("a message", stream.message()).await.unwrap().unwrap();
            let number = message.revision.unwrap().number;
            assert!(number >= revision, "{number} after {revision}");
            revision = number;
            token = message.resume_token;
            if let Some(v1::watch_response::Message::Commit(commit)) = message.message {
                for event in commit.events {
                    match event.subject.unwrap() {
                        v1::event::Subject::Credential(event) => told.push(event.credential_id),
                        other => {
                            assert!(matches!(other, v1::event::Subject::Owner(_)), "{other:?}");
                        }
                    }
                }
            }
        }
        assert_eq!(told, ids);
    }
    // A snapshot is the authority's to give.
    let (locked, _) = admin.issue_token("acme").await;
    admin.lock(&locked).await.unwrap();
    let mut stream = watch(v1::WatchRequest {
        snapshot: true,
        ..first
    })
    .await;
    let part = soon("a part", stream.message()).await.unwrap().unwrap();
    match part.message.unwrap() {
        v1::watch_response::Message::SnapshotPart(part) => {
            assert_eq!(part.denied[0].credential_id, locked);
        }
        other => panic!("{other:?}"),
    }
    let (after, _) = admin.issue_token("acme").await;
    loop {
        let message = soon("what comes after", stream.message()).await;
        let message = message.unwrap().unwrap();
        if format!("{message:?}").contains(&after) {
            break;
        }
    }
    relay.stop().await;
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_to_be_begun_at_the_authority_is_begun_once() {
    let (fake, address) = Fake::start().await;
    let relay = Sidecar::ready(config(address)).await;
    let begun = fake.watches();
    fake.hold_streams();
    let (requests, outgoing) = mpsc::channel(4);
    let first = v1::WatchRequest {
        // The authority's to say.
        snapshot: true,
        ..v1::WatchRequest::default()
    };
    requests.send(first).await.unwrap();
    let stream = relay.client().watch(ReceiverStream::new(outgoing)).await;
    let mut messages = stream.unwrap().into_inner();
    until("a stream", || async { fake.watches() == begun + 1 }).await;
    let renewal = v1::Renewal {
        applied: Some(fake.revision()),
        ..v1::Renewal::default()
    };
    let renewal = v1::WatchRequest {
        renewal: Some(renewal),
        ..v1::WatchRequest::default()
    };
    requests.send(renewal).await.unwrap();
    // Long enough for it to arrive.
    sleep(Duration::from_millis(100)).await;
    fake.release();
    let opening = soon("the first message", messages.message()).await;
    assert!(opening.unwrap().unwrap().revision.is_some());
    assert_eq!(fake.watches(), begun + 1);
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_says_how_far_the_stream_is_also_while_its_relay_finds_its_way_back() {
    let (fake, address) = Fake::start().await;
    let relay = Sidecar::ready(config(address)).await;
    let (requests, outgoing) = mpsc::channel(4);
    requests.send(v1::WatchRequest::default()).await.unwrap();
    let stream = relay.client().watch(ReceiverStream::new(outgoing)).await;
    let mut messages = stream.unwrap().into_inner();
    let first = soon("a message", messages.message()).await;
    let reached = first.unwrap().unwrap().revision;

    // The relay begins anew, and the stream waits for what the authority says of its
    // place.
    let begun = fake.watches();
    fake.read_no_token(true);
    fake.cut();
    until("a token to be refused", || async { fake.watches() > begun }).await;
    let begun = fake.watches();
    fake.hold_resumed();
    fake.read_no_token(false);
    until("both streams to be begun", || async {
        fake.watches() >= begun + 2
    })
    .await;
    let renewal = v1::Renewal {
        sequence: 1,
        applied: reached.clone(),
        ..Default::default()
    };
    let renewal = v1::WatchRequest {
        renewal: Some(renewal),
        ..Default::default()
    };
    requests.send(renewal).await.unwrap();
    let grant = loop {
        let message = soon("a grant", messages.message()).await;
        let message = message.unwrap().unwrap();
        if let Some(v1::watch_response::Message::Grant(_)) = message.message {
            break message;
        }
    };
    assert_eq!(grant.revision, reached);
    fake.release();
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_do_not_read_keep_no_news_from_the_relay() {
    let (fake, address) = Fake::start().await;
    let relay = Sidecar::ready(config(address)).await;
    let begun = fake.watches();
    let mut unread = Vec::new();
    for _ in 0..8 {
        let (requests, outgoing) = mpsc::channel(1);
        // The authority's to say, and more than fits on the way.
        let first = v1::WatchRequest {
            snapshot: true,
            ..v1::WatchRequest::default()
        };
        requests.send(first).await.unwrap();
        let stream = relay.client().watch(ReceiverStream::new(outgoing)).await;
        unread.push((requests, stream.unwrap()));
    }
    until("the streams", || async { fake.watches() == begun + 8 }).await;
    // Long enough for what fits.
    sleep(Duration::from_secs(1)).await;
    let revision = fake.revoke();
    until("the relay to acknowledge", || async {
        fake.acknowledged() == revision
    })
    .await;
    drop(unread);
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn so_many_streams_are_asked_of_the_authority_at_once_and_no_more() {
    let (fake, address) = Fake::start().await;
    let relay = Sidecar::ready(config(address)).await;
    let begun = fake.watches();
    fake.hold_streams();
    let first = || v1::WatchRequest {
        snapshot: true,
        ..v1::WatchRequest::default()
    };
    let watch = async || {
        let stream = relay.client().watch(tokio_stream::once(first())).await;
        stream.unwrap().into_inner()
    };
    let mut streams = Vec::new();
    for _ in 0..64 {
        streams.push(watch().await);
    }
    until("the streams", || async { fake.watches() == begun + 64 }).await;
    let refused = soon("an answer", watch().await.message()).await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert!(refused.get_error_details().retry_info().is_some());
    assert_eq!(fake.watches(), begun + 64);

    // Where one has gone there is room.
    streams.pop();
    fake.release();
    until("another stream", || async {
        soon("an answer", watch().await.message()).await.is_ok()
    })
    .await;
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn those_below_one_that_is_refused_are_refused_and_go_on_with_nothing() {
    let world = World::start().await;
    let admin = &world.server.admin;
    std::fs::write(&world.token_file, world.narrow_token().await).unwrap();
    let relay = Sidecar::ready(world.config()).await;
    let second = Sidecar::ready(relay.follower()).await;
    let lax = |config| Client::connect(with_staleness(config, LEASE * 600)).unwrap();
    let below = [
        lax(world.config()),
        lax(relay.follower()),
        lax(second.follower()),
    ];
    let (id, token) = admin.issue_token("acme").await;
    for client in &below {
        live(client).await;
        assert_eq!(told(client, &token).await.0, Verdict::Active);
    }
    unbind_everywhere(admin, "credd:narrow", "verifier", "acme").await;
    revoke_everywhere(admin, &id).await;
    for client in &below {
        let refused = ask(client, &token).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unavailable);
        let details = refused.get_error_details();
        assert_eq!(details.error_info().unwrap().reason, "REFUSED_BY_AUTHORITY");
        is_in(client, State::Cold).await;
    }
    // Nor when those are gone who said so.
    second.stop().await;
    relay.stop().await;
    for client in &below {
        let denied = ask(client, &token).await.unwrap_err();
        assert_eq!(denied.code(), Code::Unavailable);
        assert_eq!(client.counts().served_stale.get(), 0);
    }
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_passed_on_says_when_the_secret_ends_by_itself() {
    let world = World::start().await;
    let relay = Sidecar::ready(world.config()).await;
    let near = Sidecar::ready(relay.follower()).await;
    let client = Client::connect(near.follower()).unwrap();
    live(&client).await;
    let admin = &world.server.admin;
    let old = calls::issue(admin, "acme", "jo", "api-token").await;
    let overlap = Duration::from_hours(1);
    let new = calls::rotated(admin, &old.id, 3600).await;
    for (held, does_end) in [(old, true), (new, false)] {
        let ask = async || client.verify(&verify_token_request(&held.secret())).await;
        until("the answer to be kept all the way", || async {
            ask().await.is_ok_and(|it| it.served == Served::Cached)
        })
        .await;
        let verified = ask().await.unwrap();
        // It is kept for no longer than the first who kept it could keep it.
        assert!(verified.valid_for.unwrap() < Duration::from_mins(1));
        match verified.ends {
            Ends::In(left) => {
                assert!(does_end && left <= overlap, "{left:?}");
                assert!(left > Duration::from_mins(1), "{left:?}");
            }
            ends => assert_eq!((ends, does_end), (Ends::Never, false)),
        }
    }
    near.stop().await;
    relay.stop().await;
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_invalid_is_passed_on_for_as_long_as_it_is_kept_and_no_longer() {
    const INVALID: Duration = Duration::from_hours(1);

    let world = World::start().await;
    let patient = |mut config: Config| {
        let mut cache = CacheConfig::default();
        cache.limits.invalid = INVALID;
        config.cache = Some(cache);
        config
    };
    let relay = Sidecar::ready(patient(world.config())).await;
    let near = Sidecar::ready(patient(relay.follower())).await;
    let client = Client::connect(near.follower()).unwrap();
    live(&client).await;
    let request = verify_token_request("nobody's");
    let theirs = world.server.admin.verify_token("nobody's").await.unwrap();
    assert_eq!(theirs.valid_for, None);
    let ask = async |sidecar: &Sidecar| {
        let answer = sidecar.client().verify(request.clone()).await.unwrap();
        let answer = answer.into_inner();
        assert_eq!(answer.verdict(), Verdict::Invalid);
        answer.valid_for.map(|it| Duration::try_from(it).unwrap())
    };
    // Each takes off a hundredth for its clock, of what the one before it says.
    for (sidecar, most) in [
        (&relay, INVALID * 990 / 1000),
        (&near, INVALID * 981 / 1000),
    ] {
        until("what is kept", || async { ask(sidecar).await.is_some() }).await;
        let left = ask(sidecar).await.unwrap();
        assert!(left <= most, "{left:?} of {most:?}");
    }
    near.stop().await;
    relay.stop().await;
    world.server.stop().await;
}
