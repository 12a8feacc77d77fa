//! Those who are there and do not answer: what is asked is answered by others, or of the
//! cache where that is allowed, while they are halted.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use credd::client::{Client, SERVED, STALE, Served};
use credd::domain::cache::State;
use credd::proto::v1;
use credd::proto::v1::Verdict;
use tokio::time::timeout;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::checks::{check, request};
use crate::fake::Fake;
use crate::race::config;
use crate::real::{Authority, Sidecar};
use crate::sidecar::Sidecar as InProcess;
use crate::support::program::signal;
use crate::support::{soon, until, verify_token_request};
use crate::way::Way;
use crate::world::{LEASE, ask, is_in, live, told, with_staleness};

/// Whether Envoy is told to let a token through.
async fn passes(sidecar: &Sidecar, token: &str) -> bool {
    let answer = check(&sidecar.channel, request(Some(token), Some("none"))).await;
    answer.unwrap().is_none()
}

/// Waits until Envoy's checks can be answered.
async fn checks(sidecar: &Sidecar, token: &str) {
    until("the profiles to be known", || passes(sidecar, token)).await;
}

/// What Verify says of a token, which is an answer, and whether that may be out of date.
async fn answered(sidecar: &Sidecar, token: &str) -> Option<(Verdict, bool)> {
    let mut client = sidecar.client.clone();
    let answer = client.verify(verify_token_request(token)).await.ok()?;
    let is_stale = answer.metadata().get(SERVED).is_some_and(|it| it == STALE);
    Some((answer.get_ref().verdict(), is_stale))
}

#[tokio::test(flavor = "multi_thread")]
async fn where_one_of_two_is_halted_the_other_is_asked() {
    const MANY: usize = 8;

    let mut authority = Authority::start(&[]).await;
    let admin = authority.admin().await;
    // Two who answer for the authority.
    let one = Sidecar::following(&authority.url(), &authority).await;
    let other = Sidecar::following(&authority.url(), &authority).await;
    let near = Sidecar::behind(&[&one, &other]).await;
    let far = Sidecar::behind(&[&near]).await;
    let mut tokens = Vec::new();
    for _ in 0..=4 * MANY {
        tokens.push(admin.issue_token("acme").await.1);
    }
    let known = tokens.pop().unwrap();
    for sidecar in [&near, &far] {
        checks(sidecar, &known).await;
    }
    assert!(one.count("sidecar_asked_total").await > 0, "it is asked");

    signal("STOP", one.program.id());
    // Each is a question that nobody has asked before.
    let mut tokens = tokens.iter();
    for sidecar in [&near, &far] {
        let checked = async |token| passes(sidecar, token).await;
        let verified = async |token| {
            let answer = answered(sidecar, token).await;
            answer == Some((Verdict::Active, false))
        };
        for token in tokens.by_ref().take(MANY) {
            assert!(checked(token).await);
        }
        for token in tokens.by_ref().take(MANY) {
            assert!(verified(token).await);
        }
    }
    signal("CONT", one.program.id());
    for sidecar in [far, near, other, one] {
        sidecar.stop(&[&known]);
    }
    authority.stop();
}

/// A configuration that allows staleness in `acme`.
fn lax(authority: &Authority) -> PathBuf {
    let file = authority.directory.path().join("lax.toml");
    let text = "[[stale]]\ntenant = \"acme\"\nmax_seconds = 3600\n";
    std::fs::write(&file, text).unwrap();
    file
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_only_authority_is_halted_what_may_be_out_of_date_is_given_where_that_is_allowed()
{
    let mut authority = Authority::start(&["--fence-lease-ms", "1000"]).await;
    let admin = authority.admin().await;
    let (lax, token_file) = (lax(&authority), authority.token_file());
    let arguments = [
        "--config".as_ref(),
        lax.as_os_str(),
        "--authority-token-file".as_ref(),
        token_file.as_os_str(),
    ];
    let near = Sidecar::start(&authority.url(), &arguments).await;
    near.live().await;
    let far = Sidecar::behind(&[&near]).await;
    let (id, token) = admin.issue_token("acme").await;
    let (revoked_id, revoked) = admin.issue_token("acme").await;
    for sidecar in [&near, &far] {
        for token in [&token, &revoked] {
            checks(sidecar, token).await;
            assert!(answered(sidecar, token).await.is_some());
        }
    }
    admin.revoke(&revoked_id).await.unwrap();
    until("the news", || async {
        near.verdict(&revoked).await == Verdict::Revoked
    })
    .await;

    authority.signal("STOP");
    for sidecar in [&near, &far] {
        until("the lease to run out", || async {
            sidecar.has("sidecar_state{state=\"stale\"} 1").await
        })
        .await;
    }
    for _ in 0..3 {
        for sidecar in [&near, &far] {
            assert!(passes(sidecar, &token).await);
            let stale = Some((Verdict::Active, true));
            assert_eq!(answered(sidecar, &token).await, stale);
            assert!(!passes(sidecar, &revoked).await);
            let nothing = answered(sidecar, &revoked).await;
            assert_eq!(nothing, None, "it was told that it is revoked");
        }
    }

    authority.signal("CONT");
    for sidecar in [&near, &far] {
        until("what is not out of date", || async {
            answered(sidecar, &token).await == Some((Verdict::Active, false))
        })
        .await;
    }
    admin.revoke(&id).await.unwrap();
    for sidecar in [&near, &far] {
        until("the news", || async {
            sidecar.verdict(&token).await == Verdict::Revoked
        })
        .await;
    }
    for sidecar in [far, near] {
        sidecar.stop(&[&token]);
    }
    authority.stop();
}

/// One who follows the first of two, where that does not answer a question, and whoever
/// asked has given up.
async fn in_doubt() -> (Fake, Fake, Client) {
    let (halted, address) = Fake::start().await;
    let (well, other) = Fake::start().await;
    let mut config = config(address);
    let other = format!("http://{other}").parse().unwrap();
    config.addresses.push(other);
    let client = Client::connect(config).unwrap();
    live(&client).await;
    assert_eq!(halted.watches(), 1, "it is the one that is followed");
    halted.hold();
    let short = timeout(Duration::from_millis(400), ask(&client, "one")).await;
    assert!(short.is_err(), "it would have been answered later");
    assert_eq!((halted.asked(), well.asked()), (1, 0));
    (halted, well, client)
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_gives_up_early_does_not_wait_for_the_same_one_again() {
    let (halted, well, client) = in_doubt().await;
    for question in ["one", "another", "a third"] {
        assert_eq!(told(&client, question).await.0, Verdict::Active);
    }
    assert_eq!((halted.asked(), well.asked()), (1, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_in_doubt_is_asked_first_again_once_its_stream_speaks() {
    let (halted, well, client) = in_doubt().await;
    halted.release();
    let revision = halted.revoke();
    until("the news", || async {
        let applied = client.condition().applied;
        applied.is_some_and(|at| at.revision.number() == revision)
    })
    .await;
    assert_eq!(told(&client, "one").await.0, Verdict::Revoked);
    assert_eq!((halted.asked(), well.asked()), (2, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_halted_and_alone_is_asked_when_it_answers_again() {
    let (fake, address) = Fake::start().await;
    let client = Client::connect(config(address)).unwrap();
    live(&client).await;
    fake.hold();
    let unanswered = ask(&client, "one").await.unwrap_err();
    assert_eq!(unanswered.code(), Code::Unavailable);
    fake.release();
    assert_eq!(told(&client, "another").await.0, Verdict::Active);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_nobody_answers_and_staleness_is_allowed_one_question_tries_now_and_then() {
    const MANY: usize = 30;

    let (fake, address) = Fake::start().await;
    fake.end_leases();
    let client = Client::connect(with_staleness(config(address), LEASE * 600)).unwrap();
    is_in(&client, State::Stale).await;
    let active = |served| (Verdict::Active, served);
    assert_eq!(told(&client, "one").await, active(Served::Asked));
    fake.hold();
    for _ in 0..MANY {
        assert_eq!(told(&client, "one").await, active(Served::Stale));
    }
    let asked = fake.asked();
    assert!(asked <= MANY / 2, "{asked} of {MANY}");
    fake.release();
    until("an answer of now", || async {
        told(&client, "one").await == active(Served::Asked)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_with_one_of_less_patience_is_not_answered_for_it() {
    let (fake, address) = Fake::start().await;
    let client = Client::connect(config(address)).unwrap();
    live(&client).await;
    fake.hold();
    let waiting = |patience| {
        let client = client.clone();
        tokio::spawn(async move {
            let request = verify_token_request("one");
            client.verify_within(&request, patience).await
        })
    };
    let hasty = waiting(Duration::from_millis(200));
    until("the question", || async { fake.asked() == 1 }).await;
    let patient = waiting(Duration::from_mins(1));
    let refused = hasty.await.unwrap().unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    until("the other to ask", || async { fake.asked() == 2 }).await;
    fake.release();
    let answer = soon("an answer", patient).await.unwrap().unwrap();
    assert!(answer.is_active());
}

/// What an authority may say of every question, but no verdict.
fn refusals() -> [Status; 4] {
    let with = |code, reason: &str| {
        let mut details = ErrorDetails::new();
        details
            .set_error_info(reason, "credd", HashMap::new())
            .set_retry_info(Some(Duration::from_secs(1)));
        Status::with_error_details(code, "not now", details)
    };
    [
        Status::unauthenticated("no caller"),
        with(Code::ResourceExhausted, "OVERLOADED"),
        with(Code::Unavailable, "STARTING"),
        with(Code::Unavailable, "LEASE_LAPSED"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_asked_once_however_many_relays_there_are() {
    let (fake, address) = Fake::start().await;
    let first = InProcess::ready(config(address)).await;
    let second = InProcess::ready(first.follower()).await;
    let third = Client::connect(second.follower()).unwrap();
    live(&third).await;
    for refusal in refusals() {
        let (asked, code) = (fake.asked(), refusal.code());
        fake.refuse(refusal);
        let answer = ask(&third, "one").await.unwrap_err();
        assert_eq!(fake.asked(), asked + 1, "{code:?}");
        let expected = match code {
            Code::ResourceExhausted => "OVERLOADED",
            Code::Unauthenticated => "REFUSED_BY_AUTHORITY",
            _ => "AUTHORITY_UNREACHABLE",
        };
        let details = answer.get_error_details();
        assert_eq!(details.error_info().unwrap().reason, expected);
    }
    second.stop().await;
    first.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_connection_was_lost_for_is_asked_over_another() {
    let (fake, address) = Fake::start().await;
    let way = Way::to(address).await;
    let client = Client::connect(config(way.address)).unwrap();
    live(&client).await;
    fake.hold();
    let asking = tokio::spawn(async move { told(&client, "one").await });
    until("the question", || async { fake.asked() == 1 }).await;
    way.cut();
    until("the question again", || async { fake.asked() == 2 }).await;
    fake.release();
    let (verdict, _) = soon("an answer", asking).await.unwrap();
    assert_eq!(verdict, v1::Verdict::Active);
}
