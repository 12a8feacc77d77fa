//! When keys are fetched, and for how long they are trusted. Time stands still
//! unless everybody waits.

use std::pin::pin;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::{Instant, advance, sleep, sleep_until, timeout};

use super::*;
use crate::logged::Logged;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn the_first_caller_waits_for_the_first_keys() {
    let key = signer("k1");
    let x = InFile::start(&[&key]);
    let token = key.token(&claims("x"));
    let now = x.running.issuers.caller_now(&token);
    assert_eq!(now, Err(JwtProblem::NoKeys), "they are not there yet");
    assert_eq!(x.outcome(&key).await, Ok(()));
    assert!(x.running.issuers.caller_now(&token).is_ok());
    assert_eq!(x.counts(), (1, 0));
    let status = x.running.issuers.status().next().unwrap();
    assert_eq!((&*status.issuer, status.keys), ("x", 1));
}

#[tokio::test(start_paused = true)]
async fn an_unknown_key_is_fetched_once_for_all_who_need_it() {
    let (old, new) = (signer("old"), signer("new"));
    let x = Arc::new(InFile::start(&[&old]));
    assert_eq!(x.outcome(&old).await, Ok(()));
    advance(Limits::default().between_fetches).await;
    x.replace(&[&old, &new]);
    let begin = Instant::now();
    let token = new.token(&claims("x"));
    let callers: Vec<_> = (0..100)
        .map(|_| {
            let (x, token) = (Arc::clone(&x), token.clone());
            tokio::spawn(async move { x.running.caller(&token).await })
        })
        .collect();
    for caller in callers {
        assert!(caller.await.unwrap().is_ok());
    }
    assert_eq!(x.counts(), (2, 0));
    assert!(begin.elapsed() < SECOND, "nobody waited for the period");
    assert_eq!(x.outcome(&old).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn strangers_do_not_make_credd_fetch_more_than_once_in_a_while() {
    let (known, unknown) = (signer("known"), signer("unknown"));
    let x = InFile::start(&[&known]);
    assert_eq!(x.outcome(&known).await, Ok(()));
    let begin = Instant::now();
    for _ in 0..100 {
        assert_eq!(x.outcome(&unknown).await, Err(JwtProblem::UnknownKey));
    }
    assert!(begin.elapsed() < SECOND, "they are refused at once");
    assert_eq!(x.counts(), (1, 0));
    for fetched in 2..5 {
        advance(Limits::default().between_fetches).await;
        for _ in 0..100 {
            assert_eq!(x.outcome(&unknown).await, Err(JwtProblem::UnknownKey));
        }
        assert_eq!(x.counts(), (fetched, 0));
    }
    for problem in [
        known.token(&claims("y")),
        known.token(&json!({ "iss": "x" })),
        "garbage".to_owned(),
    ] {
        advance(Limits::default().between_fetches).await;
        assert!(x.running.caller(&problem).await.is_err());
        assert_eq!(x.counts(), (4, 0), "other problems make nobody fetch");
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_issuer_drops_is_good_no_more_after_the_next_fetch() {
    let (old, new) = (signer("old"), signer("new"));
    let x = InFile::start(&[&old]);
    assert_eq!(x.outcome(&old).await, Ok(()));
    x.replace(&[&new]);
    assert_eq!(x.outcome(&old).await, Ok(()), "not fetched yet");
    sleep(REFRESH + SECOND).await;
    let token = old.token(&claims("x"));
    let now = x.running.issuers.caller_now(&token);
    assert_eq!(now, Err(JwtProblem::UnknownKey));
    assert_eq!(x.outcome(&new).await, Ok(()));
    x.replace(&[]);
    sleep(REFRESH + SECOND).await;
    assert_eq!(x.outcome(&new).await, Err(JwtProblem::UnknownKey));
}

#[tokio::test(start_paused = true)]
async fn keys_stay_while_they_can_t_be_fetched_but_not_for_ever() {
    let (key, new) = (signer("k1"), signer("new"));
    let x = InFile::start(&[&key]);
    assert_eq!(x.outcome(&key).await, Ok(()));
    let begin = Instant::now();
    std::fs::remove_file(x.file()).unwrap();
    let too_old = begin + Limits::default().max_age;
    sleep_until(too_old.checked_sub(SECOND).unwrap()).await;
    assert_eq!(x.outcome(&key).await, Ok(()));
    assert_eq!(x.outcome(&new).await, Err(JwtProblem::UnknownKey));
    let (fetched, failed) = x.counts();
    assert_eq!(fetched, 1);
    assert!((22..60).contains(&failed), "{failed}");
    sleep_until(too_old).await;
    assert_eq!(x.outcome(&key).await, Err(JwtProblem::NoKeys));
    for unreadable in ["", "{}", "<html>"] {
        write(&x.file(), unreadable);
        advance(Limits::default().between_fetches).await;
        assert_eq!(x.outcome(&key).await, Err(JwtProblem::NoKeys));
    }
    advance(Limits::default().between_fetches).await;
    x.replace(&[&key]);
    assert_eq!(x.outcome(&key).await, Ok(()), "they are there again");
}

#[tokio::test(start_paused = true)]
async fn keys_that_could_not_be_fetched_are_soon_fetched_again() {
    let key = signer("k1");
    let x = InFile::start(&[&key]);
    std::fs::remove_file(x.file()).unwrap();
    while x.counts().1 == 0 {
        sleep(SECOND).await;
    }
    x.replace(&[&key]);
    let begin = Instant::now();
    while x.counts().0 == 0 {
        sleep(SECOND).await;
    }
    assert!(begin.elapsed() < Duration::from_secs(25), "{begin:?}");
}

#[tokio::test(start_paused = true)]
async fn keys_are_fetched_once_in_a_period_and_not_all_at_once() {
    let key = signer("k1");
    let x = InFile::start(&[&key]);
    let mut moments = Vec::new();
    for fetched in 1..20 {
        while x.counts().0 < fetched {
            sleep(SECOND).await;
        }
        moments.push(Instant::now());
    }
    let pauses: Vec<u64> = moments
        .windows(2)
        .map(|pair| (pair[1] - pair[0]).as_secs())
        .collect();
    let least = REFRESH.as_secs() * 4 / 5 - 2;
    assert!(
        pauses
            .iter()
            .all(|it| (least..=REFRESH.as_secs() + 2).contains(it))
    );
    assert!(
        pauses.iter().any(|it| it.abs_diff(pauses[0]) > 2),
        "{pauses:?}"
    );
}

fn url_of(listener: &TcpListener) -> JwksSource {
    let url = format!("http://{}/jwks", listener.local_addr().unwrap());
    JwksSource::Url {
        url: url.parse().unwrap(),
        ca_file: None,
        token_file: None,
    }
}

#[tokio::test]
async fn who_comes_while_keys_are_fetched_waits_for_them() {
    let key = signer("k1");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let running = Running::start(vec![settings("x", url_of(&listener))]);
    let (mut fetching, _) = listener.accept().await.unwrap();
    let token = key.token(&claims("x"));
    let mut caller = pin!(running.caller(&token));
    let waits = timeout(Duration::ZERO, &mut caller).await.is_err();
    assert!(waits, "the fetch that goes on may have the key");
    assert_ne!(fetching.read(&mut [0; 1024]).await.unwrap(), 0);
    let keys = key_set(&[&key]);
    let answer = format!("HTTP/1.0 200 OK\r\n\r\n{keys}");
    fetching.write_all(answer.as_bytes()).await.unwrap();
    drop(fetching);
    assert!(caller.await.is_ok());
    assert_eq!(running.issuers.status().next().unwrap().fetched, 1);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_long_for_a_server_that_is_silent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let running = Running::start(vec![settings("x", url_of(&listener))]);
    let begin = Instant::now();
    let token = signer("k1").token(&claims("x"));
    assert_eq!(running.caller(&token).await, Err(JwtProblem::NoKeys));
    let limit = Limits::default().fetch_time;
    assert!((limit..=limit + SECOND).contains(&begin.elapsed()));
    sleep(SECOND).await;
    assert_eq!(running.issuers.status().next().unwrap().failed, 1);
    drop(listener);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_ever_where_nothing_fetches() {
    let key = signer("k1");
    let x = InFile::start(&[&key]);
    assert_eq!(x.outcome(&key).await, Ok(()));
    x.running.stopping.cancel();
    advance(Limits::default().between_fetches).await;
    let begin = Instant::now();
    let unknown = signer("unknown");
    assert_eq!(x.outcome(&unknown).await, Err(JwtProblem::UnknownKey));
    assert!(begin.elapsed() <= Limits::default().fetch_time + SECOND);
    assert_eq!(x.outcome(&key).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_token_is_held_against_the_keys_of_the_issuer_that_it_names_only() {
    let directory = tempfile::tempdir().unwrap();
    let (of_a, of_b) = (signer("same"), signer("same"));
    let settings = [("a", &of_a), ("b", &of_b)].map(|(name, signer)| {
        let file = directory.path().join(name);
        write(&file, &key_set(&[signer]));
        settings(name, JwksSource::File(file))
    });
    let running = Running::start(settings.into());
    for (signer, name, expected) in [
        (&of_a, "a", Ok("jwt:a#jo")),
        (&of_b, "b", Ok("jwt:b#jo")),
        (&of_a, "b", Err(JwtProblem::Signature)),
        (&of_b, "a", Err(JwtProblem::Signature)),
        (&of_a, "c", Err(JwtProblem::Issuer)),
    ] {
        let caller = running.caller(&signer.token(&claims(name))).await;
        let caller = caller.as_ref().map(|it| it.principal().as_str());
        assert_eq!(caller, expected.as_ref().copied());
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_is_logged_once() {
    let (logged, _guard) = Logged::here();
    let times = |text: &str| logged.times(text);
    let key = signer("k1");
    let x = InFile::start(&[&key]);
    for round in 1..3 {
        sleep(5 * REFRESH).await;
        assert_eq!(times("has new keys"), 1);
        std::fs::remove_file(x.file()).unwrap();
        sleep(5 * REFRESH).await;
        assert_eq!(times("can't be fetched"), round);
        x.replace(&[&key]);
        sleep(5 * REFRESH).await;
        assert_eq!(times("can be fetched again"), round);
    }
    x.replace(&[]);
    sleep(5 * REFRESH).await;
    assert_eq!(times("has no key that can be used"), 1);
}
