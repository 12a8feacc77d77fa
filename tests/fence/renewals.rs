//! What a session may say, and what it is answered; and revisions that answers must
//! have.

use std::time::Duration;

use credd::proto::v1;
use credd::proto::v1::watch_response::Message;
use tonic::Code;

use crate::calls::{fields, issue, issue_caller, reason, verify};
use crate::session::Session;
use crate::support::{Client, Server, lock_request, revoke_request, soon, until};
use crate::{LONG, SHORT, server};

async fn follower(server: &Server) -> Client {
    let token = issue_caller(&server.admin, "sidecar", &["verifier"]).await;
    server.client(&token).await
}

fn renewal(applied: Option<v1::Revision>) -> v1::Renewal {
    v1::Renewal {
        sequence: 1,
        applied,
        ..v1::Renewal::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_acknowledged_is_answered_while_another_is_awaited() {
    let server = server(LONG).await;
    let client = follower(&server).await;
    let (mut one, mut other) = (Session::start(&client).await, Session::start(&client).await);
    let held = issue(&server.admin, "acme", "jo", "api-token").await;
    for session in [&mut one, &mut other] {
        assert!(session.renew().await.lease.is_some());
    }
    let admin = server.another_admin().await;
    let revoking = tokio::spawn(async move {
        let request = v1::RevokeRequest {
            fence: true,
            ..revoke_request(&held.id)
        };
        admin.credentials.clone().revoke(request).await
    });
    one.until_fenced().await;
    // The answer comes by itself, and not only with the next thing that there is to
    // say. There may be something meanwhile, but not each time.
    let mut at_once = 0;
    for sequence in 100..105 {
        let renewal = v1::Renewal {
            sequence,
            ..renewal(Some(one.reached.clone()))
        };
        one.send(v1::WatchRequest {
            renewal: Some(renewal),
            ..v1::WatchRequest::default()
        })
        .await;
        let mut others = 0;
        let grant = loop {
            match one.next().await.unwrap().message.unwrap() {
                Message::Grant(grant) => break grant,
                _ => others += 1,
            }
        };
        assert_eq!(grant.sequence, sequence);
        assert!(grant.lease.is_some());
        at_once += usize::from(others == 0);
    }
    assert!(at_once > 0);
    assert!(!revoking.is_finished());
    other.until_fenced().await;
    assert!(other.renew().await.lease.is_some());
    let revoked = soon("the fence", revoking).await.unwrap().unwrap();
    let fence = revoked.into_inner().fence.unwrap();
    assert_eq!((fence.acknowledged, fence.expired), (2, 0));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_message_ends_the_stream_and_names_the_fields() {
    let server = server(LONG).await;
    let client = follower(&server).await;
    let applied = Session::start(&client).await.reached;
    let later = v1::Revision {
        number: applied.number + 1_000,
        ..applied.clone()
    };
    let used = v1::Use {
        credential_id: "nothing".to_owned(),
        ..v1::Use::default()
    };
    let with = |renewal: v1::Renewal| v1::WatchRequest {
        renewal: Some(renewal),
        ..v1::WatchRequest::default()
    };
    let good = renewal(Some(applied.clone()));
    let bad: Vec<(v1::WatchRequest, &[&str])> = vec![
        (v1::WatchRequest::default(), &["renewal"]),
        (
            v1::WatchRequest {
                resume_token: "x".to_owned(),
                snapshot: true,
                tenants: vec!["acme".to_owned()],
                heartbeat: Some(prost_types::Duration::default()),
                session_id: "x".to_owned(),
                ..with(good.clone())
            },
            &[
                "resume_token",
                "snapshot",
                "tenants",
                "heartbeat",
                "session_id",
            ],
        ),
        (with(renewal(None)), &["renewal.applied"]),
        (with(renewal(Some(later.clone()))), &["renewal.applied"]),
        (
            with(v1::Renewal {
                acknowledged: Some(later),
                ..good.clone()
            }),
            &["renewal.acknowledged"],
        ),
        (
            with(v1::Renewal {
                uses: vec![used.clone(); 257],
                ..good.clone()
            }),
            &["renewal.uses"],
        ),
        (
            with(v1::Renewal {
                uses: vec![used],
                ..good.clone()
            }),
            &["renewal.uses[0].credential_id"],
        ),
    ];
    for (message, named) in bad {
        let mut session = Session::start(&client).await;
        session.send(message).await;
        let ended = loop {
            if let Err(status) = session.next().await {
                break status;
            }
        };
        assert_eq!(ended.code(), Code::InvalidArgument);
        assert_eq!(fields(&ended), named);
    }
    let first = v1::WatchRequest {
        session_id: "0123".to_owned(),
        ..v1::WatchRequest::default()
    };
    let refused = client.watch(first).await.unwrap_err();
    assert_eq!(fields(&refused), ["session_id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_may_be_asked_for_with_the_first_message_and_is_answered_after_the_opening() {
    let server = server(LONG).await;
    let client = follower(&server).await;
    let applied = Session::start(&client).await.reached;
    let first = v1::WatchRequest {
        renewal: Some(renewal(Some(applied))),
        ..v1::WatchRequest::default()
    };
    let mut session = Session::start_with(&client, first).await;
    let Some(v1::watch_response::Message::Grant(grant)) = session.next().await.unwrap().message
    else {
        panic!("no Grant after the opening");
    };
    assert_eq!(grant.sequence, 1);
    assert_eq!(grant.session_id.len(), 32);
    let lease = grant.lease.unwrap();
    assert!((1..=300).contains(&lease.seconds), "{lease:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_another_store_gets_no_lease_and_no_error() {
    let server = server(LONG).await;
    let mut session = Session::start(&follower(&server).await).await;
    let other = v1::Revision {
        store_id: "00000000-0000-4000-8000-000000000000".to_owned(),
        number: 1,
    };
    assert_eq!(session.renew_as_of(other).await.unwrap().lease, None);
    assert!(session.renew().await.lease.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_who_only_watches_has_no_lease_and_holds_up_nobody() {
    let server = server(LONG).await;
    let watching = Session::start(&follower(&server).await).await;
    let held = issue(&server.admin, "acme", "jo", "api-token").await;
    let request = v1::LockRequest {
        fence: true,
        ..lock_request(&held.id)
    };
    let mut credentials = server.admin.credentials.clone();
    let answer = soon("a fence", credentials.lock(request)).await;
    let fence = answer.unwrap().into_inner().fence.unwrap();
    assert_eq!((fence.acknowledged, fence.expired), (0, 0));
    drop(watching);
}

#[tokio::test(flavor = "multi_thread")]
async fn uses_that_a_session_reports_are_shown_as_last_use_within_its_tenants() {
    let server = server(LONG).await;
    server.admin.bind("credd:of-acme", "verifier", "acme").await;
    let token = server.admin.issue_caller_of("of-acme").await.1;
    let client = server.client(&token).await;
    let held = issue(&server.admin, "acme", "jo", "api-token").await;
    let other = issue(&server.admin, "globex", "jo", "api-token").await;
    let mut session = Session::start(&client).await;
    let used = |id: &str, generation| v1::Use {
        credential_id: id.to_owned(),
        generation,
        used_at: None,
    };
    let renewal = v1::Renewal {
        applied: Some(session.reached.clone()),
        uses: vec![
            used(&held.id, 1),
            used(&other.id, 1),
            used("01890000-0000-7000-8000-000000000000", 1),
        ],
        ..v1::Renewal::default()
    };
    session.renew_with(renewal).await.unwrap();
    until("the use is shown", || async {
        let shown = server.admin.get(&held.id).await.unwrap();
        shown.last_used_by == "credd:of-acme"
    })
    .await;
    let other = server.admin.get(&other.id).await.unwrap();
    assert_eq!(other.last_used_by, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_waits_for_the_revision_that_it_must_have_or_is_refused() {
    let server = server(LONG).await;
    let held = issue(&server.admin, "acme", "jo", "api-token").await;
    let question = |min_revision: v1::Revision| v1::VerifyRequest {
        min_revision: Some(min_revision),
        ..held.question()
    };
    let now = verify(&server.admin, held.question())
        .await
        .revision
        .unwrap();
    let answer = verify(&server.admin, question(now.clone())).await;
    assert_eq!(answer.verdict(), v1::Verdict::Active);
    let mut verification = server.admin.verification.clone();
    let next = v1::Revision {
        number: now.number + 1,
        ..now.clone()
    };
    let (admin, id) = (server.another_admin().await, held.id.clone());
    let asking = {
        let mut verification = verification.clone();
        let question = question(next);
        tokio::spawn(async move { verification.verify(question).await })
    };
    admin.revoke(&id).await.unwrap();
    let answer = asking.await.unwrap().unwrap().into_inner();
    assert_eq!(answer.verdict(), v1::Verdict::Revoked);
    let far = v1::Revision {
        number: now.number + 1_000_000,
        ..now
    };
    let behind = verification
        .verify(question(far.clone()))
        .await
        .unwrap_err();
    assert_eq!(
        (behind.code(), reason(&behind).as_str()),
        (Code::Unavailable, "BEHIND")
    );
    let other = v1::Revision {
        store_id: "00000000-0000-4000-8000-000000000000".to_owned(),
        number: 1,
    };
    let other = verification.verify(question(other)).await.unwrap_err();
    let told = (other.code(), reason(&other));
    assert_eq!(told, (Code::FailedPrecondition, "OTHER_STORE".to_owned()));
    // In a stream it is the item that is refused.
    let item = v1::VerifyStreamRequest {
        correlation: 7,
        request: Some(question(far)),
    };
    let stream = verification.verify_stream(tokio_stream::once(item)).await;
    let mut stream = stream.unwrap().into_inner();
    let item = stream.message().await.unwrap().unwrap();
    let Some(v1::verify_stream_response::Outcome::Error(status)) = item.outcome else {
        panic!("an answer as of an earlier revision");
    };
    assert_eq!(
        (item.correlation, status.code),
        (7, Code::Unavailable as i32)
    );
    assert!(stream.message().await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_server_keeps_its_own_lease() {
    let server = server(SHORT).await;
    let held = issue(&server.admin, "acme", "jo", "api-token").await;
    // Many times as long as a lease.
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(SHORT / 4)).await;
        let answer = server
            .admin
            .verification
            .clone()
            .verify(held.question())
            .await;
        let answer = answer.map_err(|status| reason(&status));
        assert_eq!(answer.unwrap().into_inner().verdict(), v1::Verdict::Active);
    }
}
