//! Issue and Rotate with a `request_id`: sent again, they make nothing anew.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/calls.rs"]
mod calls;
#[path = "retries/changed.rs"]
mod changed;
#[path = "support/clocked.rs"]
mod clocked;
#[path = "retries/later.rs"]
mod later;
#[path = "support/secrets.rs"]
mod secrets;
mod support;

use calls::{
    Held, everything, issue_caller, issue_request, refused, request_id, rotate, rotate_request,
    rotated, verdict,
};
use credd::proto::v1;
use support::program::{Program, serve};
use support::{Client, Server, read_token};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

const PROFILES: [&str; 3] = ["api-token", "basic", "key-pair"];

fn with_id(profile: &str) -> v1::IssueRequest {
    v1::IssueRequest {
        request_id: request_id(),
        ..issue_request("acme", "jo", profile)
    }
}

/// That the request was carried out, and made a secret of this credential.
fn assert_done(status: &Status, id: &str) {
    assert_eq!(status.code(), Code::AlreadyExists);
    let details = status.get_error_details();
    let info = details.error_info().unwrap();
    assert_eq!(info.reason, "REQUEST_DONE");
    assert_eq!(info.metadata["credential_id"], id);
}

fn live(all: &[v1::Credential]) -> usize {
    let active = v1::CredentialState::Active;
    all.iter().filter(|one| one.state() == active).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issue_sent_again_is_answered_as_it_was() {
    let server = Server::start().await;
    let admin = &server.admin;
    for (count, profile) in (1..).zip(PROFILES) {
        let request = with_id(profile);
        let first = admin.issue(request.clone()).await.unwrap();
        for _ in 0..3 {
            // Meanwhile something else happens.
            calls::issue(admin, "other", "jo", profile).await;
            let again = admin.issue(request.clone()).await.unwrap();
            assert!(again == first);
        }
        let held = Held::of(first.credential.as_ref(), first.secret);
        assert_eq!(verdict(admin, &held).await, v1::Verdict::Active);
        assert_eq!(everything(admin, "acme").await.len(), count);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issue_that_replaced_one_replaces_nothing_when_sent_again() {
    let server = Server::start().await;
    let admin = &server.admin;
    calls::issue(admin, "acme", "jo", "tenable-io").await;
    let request = with_id("tenable-io");
    let first = admin.issue(request.clone()).await.unwrap();
    assert_eq!(first.replaced.len(), 1);
    let again = admin.issue(request).await.unwrap();
    assert!(again.secret == first.secret && again.revision == first.revision);
    let ids = |replaced: &[v1::Credential]| -> Vec<_> {
        replaced.iter().map(|one| one.id.clone()).collect()
    };
    assert_eq!(ids(&again.replaced), ids(&first.replaced));
    assert_eq!(again.impact, first.impact);
    assert_eq!(live(&everything(admin, "acme").await), 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_sent_again_is_answered_as_it_was() {
    let server = Server::start().await;
    let admin = &server.admin;
    for profile in PROFILES {
        let held = calls::issue(admin, "acme", "jo", profile).await;
        for overlap in [0, 60] {
            let request = v1::RotateRequest {
                request_id: request_id(),
                ..rotate_request(&held.id, overlap)
            };
            let first = rotate(admin, request.clone()).await.unwrap();
            let again = rotate(admin, request).await.unwrap();
            assert!(again.credential == first.credential);
            assert!(again.secret == first.secret);
            assert_eq!(again.revision, first.revision);
            let next = Held::of(again.credential.as_ref(), again.secret);
            assert_eq!(verdict(admin, &next).await, v1::Verdict::Active);
        }
        let generation = admin.get(&held.id).await.unwrap().secrets[0].generation;
        assert_eq!(generation, 3);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_make_one_credential() {
    let server = Server::start().await;
    let admin = &server.admin;
    let mut clients = vec![admin.clone()];
    for _ in 0..3 {
        clients.push(server.another_admin().await);
    }
    for round in 1..=10 {
        let request = with_id(PROFILES[round % 3]);
        let tries = (0..32).map(|n| {
            let client = clients[n % clients.len()].clone();
            let request = request.clone();
            tokio::spawn(async move { client.issue(request).await })
        });
        let tries: Vec<_> = tries.collect();
        let mut answers = Vec::new();
        for one in tries {
            answers.push(one.await.unwrap().unwrap());
        }
        assert!(answers.iter().all(|answer| {
            (&answer.secret, &answer.revision) == (&answers[0].secret, &answers[0].revision)
        }));
        assert_eq!(live(&everything(admin, "acme").await), round);
    }
    let held = calls::issue(admin, "other", "jo", "api-token").await;
    let request = v1::RotateRequest {
        request_id: request_id(),
        ..rotate_request(&held.id, 0)
    };
    let tries = (0..32).map(|n| {
        let client = clients[n % clients.len()].clone();
        let request = request.clone();
        tokio::spawn(async move { rotate(&client, request).await })
    });
    let tries: Vec<_> = tries.collect();
    let mut secrets = Vec::new();
    for one in tries {
        let answer = one.await.unwrap().unwrap();
        secrets.push(Held::of(answer.credential.as_ref(), answer.secret).secret());
    }
    secrets.dedup();
    assert_eq!(secrets.len(), 1);
    let generation = admin.get(&held.id).await.unwrap().secrets[0].generation;
    assert_eq!(generation, 2);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_principal_learns_nothing_by_the_same_request() {
    let server = Server::start().await;
    let admin = &server.admin;
    let second = issue_caller(admin, "second", &["administrator"]).await;
    let second = server.client(&second).await;
    let request = with_id("api-token");
    let first = admin.issue(request.clone()).await.unwrap();
    let other = second.issue(request.clone()).await.unwrap();
    assert_ne!(
        first.credential.as_ref().unwrap().id,
        other.credential.as_ref().unwrap().id
    );
    assert!(first.secret != other.secret);
    assert!(admin.issue(request.clone()).await.unwrap() == first);
    assert!(second.issue(request).await.unwrap() == other);

    let id = first.credential.unwrap().id;
    let request = v1::RotateRequest {
        request_id: request_id(),
        ..rotate_request(&id, 0)
    };
    let first = rotate(admin, request.clone()).await.unwrap();
    // To the other it is a rotation like any, which ends the first.
    let other = rotate(&second, request.clone()).await.unwrap();
    assert!(first.secret != other.secret);
    assert_done(&refused(rotate(admin, request).await), &id);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_leaves_the_request_to_be_done() {
    let server = Server::start().await;
    let admin = &server.admin;
    let request = with_id("api-token");
    let dry = v1::IssueRequest {
        dry_run: true,
        ..request.clone()
    };
    assert!(admin.issue(dry.clone()).await.unwrap().secret.is_none());
    let first = admin.issue(request.clone()).await.unwrap();
    assert!(admin.issue(dry).await.unwrap().secret.is_none());
    assert!(admin.issue(request).await.unwrap() == first);
    assert_eq!(everything(admin, "acme").await.len(), 1);
    server.stop().await;
}

/// What is done to a credential after which nobody is told its secret again.
async fn undo(admin: &Client, id: &str, what: usize) {
    match what {
        0 => drop(admin.lock(id).await.unwrap()),
        1 => drop(rotated(admin, id, 0).await),
        2 => drop(rotated(admin, id, 60).await),
        3 => drop(admin.revoke(id).await.unwrap()),
        _ => {
            admin.lock(id).await.unwrap();
            admin.unlock(id).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_shown_again_of_what_was_locked_rotated_or_revoked() {
    let server = Server::start().await;
    let admin = &server.admin;
    for what in 0..=4 {
        let request = with_id(PROFILES[what % 3]);
        let issued = admin.issue(request.clone()).await.unwrap();
        let id = issued.credential.unwrap().id;
        undo(admin, &id, what).await;
        assert_done(&refused(admin.issue(request).await), &id);

        let held = calls::issue(admin, "other", "jo", PROFILES[what % 3]).await;
        let request = v1::RotateRequest {
            request_id: request_id(),
            end_overlap: true,
            ..rotate_request(&held.id, 0)
        };
        rotate(admin, request.clone()).await.unwrap();
        undo(admin, &held.id, what).await;
        assert_done(&refused(rotate(admin, request).await), &held.id);
    }
    assert_eq!(everything(admin, "acme").await.len(), 5);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_forgets_no_request() {
    let directory = tempfile::tempdir().unwrap();
    let (server, address) = Program::serve(serve(&[], directory.path()));
    let token = read_token(directory.path());
    let admin = Client::connect(address, &token).await;
    let good = with_id("api-token");
    let first = admin.issue(good.clone()).await.unwrap();
    let locked = with_id("basic");
    let id = admin
        .issue(locked.clone())
        .await
        .unwrap()
        .credential
        .unwrap()
        .id;
    admin.lock(&id).await.unwrap();
    let held = calls::issue(&admin, "acme", "jo", "key-pair").await;
    let rotation = v1::RotateRequest {
        request_id: request_id(),
        ..rotate_request(&held.id, 0)
    };
    let rotated = rotate(&admin, rotation.clone()).await.unwrap();
    server.kill();

    let (server, address) = Program::serve(serve(&[], directory.path()));
    let admin = Client::connect(address, &token).await;
    assert!(admin.issue(good).await.unwrap() == first);
    assert_done(&refused(admin.issue(locked).await), &id);
    let again = rotate(&admin, rotation).await.unwrap();
    assert!(again.secret == rotated.secret && again.revision == rotated.revision);
    assert_eq!(everything(&admin, "acme").await.len(), 3);
    assert!(server.terminate().status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_of_an_answer_is_useless_without_the_request_id() {
    let directory = tempfile::tempdir().unwrap();
    let (server, address) = Program::serve(serve(&[], directory.path()));
    let admin = Client::connect(address, &read_token(directory.path())).await;
    let mut needles = secrets::Needles::default();
    for _ in 0..20 {
        let request = with_id("api-token");
        let issued = admin.issue(request.clone()).await.unwrap();
        let held = Held::of(issued.credential.as_ref(), issued.secret);
        needles.add_secret(&held.secret());
        needles.add("request_id", request.request_id.as_bytes());
        let raw = uuid::Uuid::try_parse(&request.request_id).unwrap();
        needles.add("request_id, raw", raw.as_bytes());
        needles.add("request_id, simple", raw.simple().to_string().as_bytes());
        admin.issue(request).await.unwrap();
    }
    assert_eq!(
        needles.found_in_directory(directory.path()),
        Vec::<String>::new()
    );
    server.kill();
    assert_eq!(
        needles.found_in_directory(directory.path()),
        Vec::<String>::new()
    );
}
