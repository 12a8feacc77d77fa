//! What does not reach the service, and what its clients read instead.

use data_encoding::BASE64;

use crate::calls::Held;
use crate::support::until;
use crate::{World, header, v1};

const CHALLENGE: &str = "Bearer realm=\"credd\", Basic realm=\"credd\", charset=\"UTF-8\"";
const WRONG_BEARER: &str =
    "Bearer realm=\"credd\", error=\"invalid_token\", Basic realm=\"credd\", charset=\"UTF-8\"";

/// Sends requests that are all denied with a 401 for this reason.
async fn unauthorized(world: &World, reason: &str, challenge: &str, headers: &[(&str, &[u8])]) {
    let before = world.service.served();
    let answer = world.get("/whoami", headers).await;
    assert_eq!(answer.status, 401, "{headers:?}: {answer:?}");
    assert_eq!(answer.reason(), reason, "{headers:?}");
    assert_eq!(answer.header("www-authenticate"), Some(challenge));
    assert_eq!(answer.header("content-type"), Some("text/plain"));
    assert_eq!(world.service.served(), before);
}

fn bearer(held: &Held) -> Vec<u8> {
    format!("Bearer {}", held.secret()).into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_credential_is_invalid_however_envoy_tells_of_it() {
    for raw in ["true", "false"] {
        let raw = format!("encode_raw_headers: {raw}");
        let Some(world) = World::start_with(&[("encode_raw_headers: true", &raw)]).await else {
            return;
        };
        let (held, other) = (world.issue("api-token").await, world.issue("misp").await);
        let of_globex = world.issue_as("globex", "jo", "api-token").await;
        let (good, foreign) = (bearer(&held), bearer(&of_globex));
        let alone = world.get("/whoami", &[("authorization", &good)]).await;
        assert_eq!(alone.status, 200, "{alone:?}");

        unauthorized(&world, "MISSING", CHALLENGE, &[]).await;
        unauthorized(&world, "MISSING", CHALLENGE, &[("x-unknown", &good)]).await;

        let garbage = [&good[..], b"\xff\xfe\x80"].concat();
        let joined = [&good[..], b", ", &good[..]].concat();
        let mut turned = good.clone();
        *turned.last_mut().unwrap() ^= 1;
        let long = [b"Bearer ", &vec![b'x'; 20_000][..]].concat();
        for value in [&garbage, &joined, &turned, &foreign] {
            unauthorized(&world, "INVALID", WRONG_BEARER, &[("authorization", value)]).await;
        }
        let basic = format!("Basic {}", BASE64.encode(b"jo:secret")).into_bytes();
        let in_another = [&b"Bearer "[..], other.secret().as_bytes()].concat();
        for (name, value, challenge) in [
            ("authorization", &basic[..], CHALLENGE),
            ("authorization", &long, CHALLENGE),
            ("authorization", held.secret().as_bytes(), CHALLENGE),
            ("authorization", &in_another, WRONG_BEARER),
            ("x-api-key", &good, CHALLENGE),
            ("api-secret-key", b"\xff\xff", CHALLENGE),
        ] {
            unauthorized(&world, "INVALID", challenge, &[(name, value)]).await;
        }
        let secret = other.secret();
        unauthorized(
            &world,
            "INVALID",
            CHALLENGE,
            &[("authorization", &good), ("x-api-key", secret.as_bytes())],
        )
        .await;
        let twice = [("authorization", &good[..]), ("authorization", &good)];
        unauthorized(&world, "INVALID", WRONG_BEARER, &twice).await;
        let tip = world.issue("kaspersky-tip").await;
        let (name, value) = header(&tip);
        let once = world.get("/whoami", &[(name, value)]).await;
        assert_eq!(once.status, 200, "{once:?}");
        let twice = [(name, value), (name, value)];
        unauthorized(&world, "INVALID", CHALLENGE, &twice).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_the_right_secret_reads_why_it_is_denied() {
    let Some(world) = World::start().await else {
        return;
    };
    let admin = &world.server.admin;
    let (locked, revoked) = (
        world.issue("api-token").await,
        world.issue("api-token").await,
    );
    let of_owner = world.issue_as("acme", "bob", "basic").await;
    for held in [&locked, &revoked, &of_owner] {
        assert_eq!(world.get("/whoami", &[header(held)]).await.status, 200);
    }
    admin.lock(&locked.id).await.unwrap();
    admin.revoke(&revoked.id).await.unwrap();
    let disable = v1::DisableOwnerRequest {
        tenant: "acme".to_owned(),
        name: "bob".to_owned(),
        ..Default::default()
    };
    let mut directory = admin.directory.clone();
    directory.disable_owner(disable).await.unwrap();

    unauthorized(&world, "LOCKED", WRONG_BEARER, &[header(&locked)]).await;
    unauthorized(&world, "REVOKED", WRONG_BEARER, &[header(&revoked)]).await;
    unauthorized(&world, "OWNER_DISABLED", CHALLENGE, &[header(&of_owner)]).await;

    let event = || async {
        let mut audit = admin.audit.clone();
        let request = v1::ListEventsRequest::default();
        let events = audit.list_events(request).await.unwrap();
        let mut events = events.into_inner();
        let mut addresses = Vec::new();
        while let Some(listed) = events.message().await.unwrap() {
            addresses.extend(listed.events.into_iter().map(|event| event.client_address));
        }
        addresses.iter().any(|address| address == "127.0.0.1")
    };
    until("the audit log to name the client", event).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_http_forbids_never_get_as_far() {
    let Some(world) = World::start().await else {
        return;
    };
    let held = world.issue("api-token").await;
    let good = bearer(&held);
    for byte in [b'\0', b'\r', 0x7f, 0x01] {
        let value = [&good[..], &[byte], b"x-credd-owner: root"].concat();
        let answer = world.get("/whoami", &[("authorization", &value)]).await;
        assert!([400, 401].contains(&answer.status), "{byte}: {answer:?}");
    }
    let long = vec![b'x'; 100_000];
    let answer = world.get("/whoami", &[("authorization", &long)]).await;
    assert_eq!(answer.status, 431);
    assert_eq!(world.service.served(), 0);
}
