//! For whom a fence waits, and how it ends.

use std::time::Duration;

use credd::proto::v1;
use tonic::{Code, Request};
use tonic_types::StatusExt as _;

use crate::calls::{issue, issue_caller, issue_request, reason, refused, request_id};
use crate::session::Session;
use crate::support::process::Process;
use crate::support::{Client, Server, lock_request, read_token, revoke_request, soon};
use crate::{LONG, SHORT, server};

async fn session_of(server: &Server, owner: &str) -> Session {
    let token = issue_caller(&server.admin, owner, &["verifier"]).await;
    Session::start(&server.client(&token).await).await
}

fn fenced_revoke(id: &str) -> v1::RevokeRequest {
    v1::RevokeRequest {
        fence: true,
        ..revoke_request(id)
    }
}

/// Revokes with a fence, for so long as the client waits.
async fn revoke(
    client: &Client,
    id: &str,
    timeout: Option<Duration>,
) -> Result<v1::RevokeResponse, tonic::Status> {
    let mut request = Request::new(fenced_revoke(id));
    if let Some(timeout) = timeout {
        request.set_timeout(timeout);
    }
    let answer = soon(
        "the end of a fence",
        client.credentials.clone().revoke(request),
    )
    .await;
    Ok(answer?.into_inner())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fence_returns_once_the_session_has_applied_the_change_and_not_before() {
    let server = server(LONG).await;
    let mut session = session_of(&server, "sidecar").await;
    let held = issue(&server.admin, "acme", "jo", "api-token").await;
    assert!(session.renew().await.lease.is_some());
    let (admin, id) = (server.another_admin().await, held.id.clone());
    let revoking = tokio::spawn(async move { revoke(&admin, &id, None).await });
    let fenced = session.until_fenced().await;
    let Some(v1::watch_response::Message::Commit(commit)) = fenced.message else {
        panic!("{fenced:?}");
    };
    assert_eq!(commit.events.len(), 1);
    // It is there, for the server; the session may still say yes.
    let verdict = server
        .admin
        .verify_token(&held.secret())
        .await
        .unwrap()
        .verdict();
    assert_eq!(verdict, v1::Verdict::Revoked);
    assert!(!revoking.is_finished());
    // Who has not applied it gets no lease, and holds nobody up by asking for one.
    let before = v1::Revision {
        number: session.reached.number - 1,
        ..session.reached.clone()
    };
    assert_eq!(session.renew_as_of(before).await.unwrap().lease, None);
    assert!(!revoking.is_finished());
    assert!(session.renew().await.lease.is_some());
    let fence = revoking.await.unwrap().unwrap().fence.unwrap();
    assert_eq!((fence.acknowledged, fence.expired), (1, 0));
    assert_eq!(fence.revision, fenced.revision);
}

#[tokio::test(flavor = "multi_thread")]
async fn to_repeat_it_changes_nothing_and_fences_anew() {
    let server = server(LONG).await;
    let mut session = session_of(&server, "sidecar").await;
    let held = issue(&server.admin, "acme", "jo", "api-token").await;
    let first = server.admin.revoke(&held.id).await.unwrap();
    assert_eq!(first.fence, None);
    session.renew().await;
    let (admin, id) = (server.another_admin().await, held.id.clone());
    let again = tokio::spawn(async move { revoke(&admin, &id, None).await });
    let fenced = session.until_fenced().await;
    // There is nothing to tell of but that somebody waits.
    assert!(matches!(
        fenced.message,
        Some(v1::watch_response::Message::Bookmark(_))
    ));
    assert!(!again.is_finished());
    session.renew().await;
    let again = again.await.unwrap().unwrap();
    assert_eq!(again.revision, first.revision);
    let fence = again.fence.unwrap();
    assert_eq!(fence.acknowledged, 1);
    assert!(fence.revision.unwrap().number > first.revision.unwrap().number);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_cut_off_is_waited_for_until_its_lease_has_run_out() {
    let server = server(SHORT).await;
    let held = issue(&server.admin, "acme", "jo", "api-token").await;
    let mut session = session_of(&server, "sidecar").await;
    while session.renew().await.lease.is_none() {}
    drop(session);
    let fence = revoke(&server.admin, &held.id, None).await.unwrap();
    let fence = fence.fence.unwrap();
    assert_eq!((fence.acknowledged, fence.expired), (0, 1));
    // Nobody is left.
    let fence = revoke(&server.admin, &held.id, None).await.unwrap();
    let fence = fence.fence.unwrap();
    assert_eq!((fence.acknowledged, fence.expired), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_back_under_its_name_is_not_waited_for_twice() {
    let server = server(LONG).await;
    let token = issue_caller(&server.admin, "sidecar", &["verifier"]).await;
    let client = server.client(&token).await;
    let held = issue(&server.admin, "acme", "jo", "api-token").await;
    let mut session = Session::start(&client).await;
    session.renew().await;
    let (id, resume_token) = (session.id.clone(), session.resume_token.clone());
    drop(session);
    let (admin, revoked) = (server.another_admin().await, held.id.clone());
    let revoking = tokio::spawn(async move { revoke(&admin, &revoked, None).await });
    let first = v1::WatchRequest {
        resume_token,
        session_id: id.clone(),
        ..Default::default()
    };
    let mut session = Session::start_with(&client, first).await;
    session.until_fenced().await;
    assert!(!revoking.is_finished());
    session.renew().await;
    assert_eq!(session.id, id);
    let fence = revoking.await.unwrap().unwrap().fence.unwrap();
    assert_eq!((fence.acknowledged, fence.expired), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_deadline_the_change_stands_and_who_is_awaited_is_told() {
    let server = server(LONG).await;
    let mut session = session_of(&server, "slow").await;
    session.renew().await;
    let held = issue(&server.admin, "acme", "jo", "api-token").await;
    let wait = Some(Duration::from_millis(500));
    let open = refused(revoke(&server.admin, &held.id, wait).await);
    assert_eq!(
        (open.code(), reason(&open).as_str()),
        (Code::DeadlineExceeded, "FENCE_OPEN")
    );
    let details = open.get_error_details();
    let metadata = &details.error_info().unwrap().metadata;
    assert_eq!(metadata["awaited"], "1");
    assert_eq!(metadata["awaited_callers"], "credd:slow");
    let revoked = server.admin.get(&held.id).await.unwrap();
    assert_eq!(revoked.state(), v1::CredentialState::Revoked);
    assert_eq!(
        metadata["revision"],
        revoked.revision.unwrap().number.to_string()
    );
    let obeying = session.obey();
    let fence = revoke(&server.admin, &held.id, None).await.unwrap();
    assert_eq!(fence.fence.unwrap().acknowledged, 1);
    obeying.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_whose_fence_was_open_is_answered_again_to_the_same_request() {
    let server = server(LONG).await;
    let mut session = session_of(&server, "slow").await;
    session.renew().await;
    let request = v1::IssueRequest {
        request_id: request_id(),
        fence: true,
        ..issue_request("acme", "jo", "api-token")
    };
    let mut first = Request::new(request.clone());
    first.set_timeout(Duration::from_millis(500));
    let open = refused(server.admin.credentials.clone().issue(first).await);
    assert_eq!(reason(&open), "FENCE_OPEN");
    let unfenced = v1::IssueRequest {
        fence: false,
        ..request.clone()
    };
    let answered = server.admin.issue(unfenced).await.unwrap();
    assert!(answered.secret.is_some());
    let obeying = session.obey();
    let again = server.admin.issue(request).await.unwrap();
    assert_eq!(again.credential, answered.credential);
    assert_eq!(again.fence.unwrap().acknowledged, 1);
    obeying.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_and_a_refusal_wait_for_nobody() {
    let server = server(LONG).await;
    let mut session = session_of(&server, "slow").await;
    session.renew().await;
    let held = issue(&server.admin, "acme", "jo", "api-token").await;
    let mut credentials = server.admin.credentials.clone();
    let dry = v1::RevokeRequest {
        dry_run: true,
        ..fenced_revoke(&held.id)
    };
    let answer = soon("a dry run", credentials.revoke(dry)).await.unwrap();
    assert_eq!(answer.into_inner().fence, None);
    server.admin.revoke(&held.id).await.unwrap();
    let lock = v1::LockRequest {
        fence: true,
        ..lock_request(&held.id)
    };
    let refused = soon("a refusal", credentials.lock(lock)).await.unwrap_err();
    assert_eq!(reason(&refused), "CREDENTIAL_REVOKED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_has_one_fence_for_all_and_one_that_matches_nothing_has_one_too() {
    let server = server(LONG).await;
    let mut session = session_of(&server, "sidecar").await;
    session.renew().await;
    let obeying = session.obey();
    for _ in 0..3 {
        issue(&server.admin, "acme", "jo", "api-token").await;
    }
    for expected in [3, 0] {
        let request = v1::RevokeRequest {
            target: Some(v1::revoke_request::Target::Filter(v1::CredentialFilter {
                tenant: "acme".to_owned(),
                states: vec![v1::CredentialState::Active.into()],
                ..Default::default()
            })),
            fence: true,
            ..Default::default()
        };
        let answer = soon("a fence", server.admin.credentials.clone().revoke(request)).await;
        let answer = answer.unwrap().into_inner();
        assert_eq!(answer.impact.unwrap().changed, expected);
        let fence = answer.fence.unwrap();
        assert_eq!((fence.acknowledged, fence.expired), (1, 0));
        assert!(fence.revision.unwrap().number >= answer.revision.unwrap().number);
    }
    obeying.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_filtered_out_is_told_at_once_where_somebody_waits() {
    let server = server(LONG).await;
    let token = issue_caller(&server.admin, "sidecar", &["verifier"]).await;
    let first = v1::WatchRequest {
        tenants: vec!["globex".to_owned()],
        ..Default::default()
    };
    let mut session = Session::start_with(&server.client(&token).await, first).await;
    session.renew().await;
    let held = issue(&server.admin, "acme", "jo", "api-token").await;
    let (admin, id) = (server.another_admin().await, held.id.clone());
    let revoking = tokio::spawn(async move { revoke(&admin, &id, None).await });
    let fenced = session.until_fenced().await;
    assert!(matches!(
        fenced.message,
        Some(v1::watch_response::Message::Bookmark(_))
    ));
    session.renew().await;
    assert_eq!(
        revoking.await.unwrap().unwrap().fence.unwrap().acknowledged,
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_whose_caller_loses_the_right_is_cut_off_and_its_lease_waited_for() {
    let server = server(SHORT).await;
    let mut session = session_of(&server, "sidecar").await;
    while session.renew().await.lease.is_none() {}
    let request = v1::DeleteBindingRequest {
        principal: "credd:sidecar".to_owned(),
        role: "verifier".to_owned(),
        tenant: "*".to_owned(),
        fence: true,
        ..Default::default()
    };
    let mut directory = server.admin.directory.clone();
    let answer = soon("a fence", directory.delete_binding(request))
        .await
        .unwrap();
    let fence = answer.into_inner().fence.unwrap();
    assert_eq!((fence.acknowledged, fence.expired), (0, 1));
    let ended = loop {
        if let Err(status) = session.next().await {
            break status;
        }
    };
    assert_eq!(ended.code(), Code::Unauthenticated);
}

/// What it was told nothing of, it may have asked about since.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_may_ask_about_another_tenant_acknowledges_nothing_before_it_is_told() {
    let server = server(LONG).await;
    let admin = &server.admin;
    admin.bind("credd:sidecar", "verifier", "acme").await;
    let token = admin.issue_caller_of("sidecar").await.1;
    let client = server.client(&token).await;
    let held = issue(admin, "globex", "jo", "api-token").await;
    let mut session = Session::start(&client).await;
    session.renew().await;
    admin.bind("credd:sidecar", "verifier", "globex").await;
    let verdict = client.verify_token(&held.secret()).await.unwrap().verdict();
    assert_eq!(verdict, v1::Verdict::Active);
    let (other, id) = (server.another_admin().await, held.id.clone());
    let revoking = tokio::spawn(async move { revoke(&other, &id, None).await });
    let ended = loop {
        match session.next().await {
            Ok(message) => assert!(!message.fenced, "{message:?}"),
            Err(status) => break status,
        }
    };
    assert_eq!(
        (ended.code(), reason(&ended).as_str()),
        (Code::Unavailable, "REACH_CHANGED")
    );
    assert!(!revoking.is_finished());
    let first = v1::WatchRequest {
        resume_token: session.resume_token.clone(),
        session_id: session.id.clone(),
        ..Default::default()
    };
    let mut session = Session::start_with(&client, first).await;
    let fenced = session.until_fenced().await;
    assert!(matches!(
        fenced.message,
        Some(v1::watch_response::Message::Commit(_))
    ));
    session.renew().await;
    assert_eq!(
        revoking.await.unwrap().unwrap().fence.unwrap().acknowledged,
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_verify_what_it_may_not_watch_gets_no_lease() {
    let server = server(LONG).await;
    let admin = &server.admin;
    let put = v1::PutRoleRequest {
        tenant: "credd".to_owned(),
        name: "asks".to_owned(),
        permissions: vec!["credd.verify".to_owned()],
        ..Default::default()
    };
    admin.directory.clone().put_role(put).await.unwrap();
    admin.bind("credd:sidecar", "verifier", "acme").await;
    let token = admin.issue_caller_of("sidecar").await.1;
    let mut session = Session::start(&server.client(&token).await).await;
    assert!(session.renew().await.lease.is_some());
    admin.bind("credd:sidecar", "asks", "globex").await;
    let refused = session
        .renew_as_of(session.reached.clone())
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert_eq!(reason(&refused), "PERMISSION_MISSING");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_keeps_no_turn_from_others() {
    let directory = tempfile::tempdir().unwrap();
    let mut settings = crate::config(directory.path());
    settings.fence.lease_ms = LONG;
    settings.limits.max_running_requests = 1;
    let server = Server::start_with(directory, settings).await;
    let mut session = session_of(&server, "slow").await;
    session.renew().await;
    let held = issue(&server.admin, "acme", "jo", "api-token").await;
    let (admin, id) = (server.another_admin().await, held.id.clone());
    let revoking = tokio::spawn(async move { revoke(&admin, &id, None).await });
    session.until_fenced().await;
    issue(&server.admin, "acme", "jo", "api-token").await;
    assert!(!revoking.is_finished());
    session.renew().await;
    revoking.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_the_server_ends_the_wait() {
    let mut server = server(LONG).await;
    let mut session = session_of(&server, "slow").await;
    session.renew().await;
    let held = issue(&server.admin, "acme", "jo", "api-token").await;
    let (admin, id) = (server.another_admin().await, held.id.clone());
    let revoking = tokio::spawn(async move { revoke(&admin, &id, None).await });
    session.until_fenced().await;
    server.begin_stop();
    let stopped = refused(soon("the end", revoking).await.unwrap());
    assert_eq!(
        (stopped.code(), reason(&stopped).as_str()),
        (Code::Unavailable, "STOPPING")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_is_followed_by_one_that_waits_for_the_longest_lease_of_before() {
    let directory = tempfile::tempdir().unwrap();
    let with_lease = |ms: &'static str| {
        let env = ["env".to_owned(), format!("CREDD_FENCE_LEASE_MS={ms}")];
        let directory = directory.path();
        async move {
            let env: Vec<&str> = env.iter().map(String::as_str).collect();
            Process::start_under(directory, &env).await
        }
    };
    let before = with_lease("300000").await;
    let token = read_token(directory.path());
    let admin = Client::connect(before.address, &token).await;
    let held = issue(&admin, "acme", "jo", "api-token").await;
    assert_eq!(
        revoke(&admin, &held.id, None)
            .await
            .unwrap()
            .fence
            .unwrap()
            .expired,
        0
    );
    before.kill();
    // Its own leases are far shorter, and nobody has one.
    let after = with_lease("200").await;
    let admin = Client::connect(after.address, &token).await;
    let wait = Some(Duration::from_secs(2));
    let open = refused(revoke(&admin, &held.id, wait).await);
    assert_eq!(reason(&open), "FENCE_OPEN");
    let details = open.get_error_details();
    assert_eq!(details.error_info().unwrap().metadata["awaited"], "0");
    after.kill();
    // It is on record until it has run out, whoever comes.
    let last = with_lease("200").await;
    let admin = Client::connect(last.address, &token).await;
    assert_eq!(
        reason(&refused(revoke(&admin, &held.id, wait).await)),
        "FENCE_OPEN"
    );
}
