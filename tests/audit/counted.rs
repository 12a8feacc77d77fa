//! Refusals are told of, and nobody fills the disk with them.

use bytes::Bytes;
use credd::proto::v1::{self, AuditEvent, AuditFilter};
use tonic::transport::Endpoint;
use tonic::{Code, Request};

use crate::calls::{issue_caller, put_role};
use crate::support::raw::{self, rpcs};
use crate::support::{Client, Server, channel, lock_request, soon, token_request};
use crate::{events, events_once, of_rpc, sound, verify};

fn refused() -> AuditFilter {
    AuditFilter {
        outcome: v1::AuditOutcome::Refused.into(),
        ..Default::default()
    }
}

fn total(events: &[AuditEvent]) -> u64 {
    events.iter().map(|event| event.count).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_of_every_kind_are_told_of() {
    let server = Server::start().await;
    let admin = &server.admin;
    put_role(admin, "credd", "locker", &["credd.credentials.lock"]).await;
    let token = issue_caller(admin, "guard", &["locker"]).await;
    let guard = server.client(&token).await;
    let (id, _) = admin.issue_token("acme").await;
    admin.revoke(&id).await.unwrap();

    // Without the permission, of a bad request, and because it can't be.
    assert_eq!(
        guard
            .issue(token_request("acme"))
            .await
            .err()
            .unwrap()
            .code(),
        Code::PermissionDenied
    );
    assert_eq!(
        guard.lock("no id").await.err().unwrap().code(),
        Code::InvalidArgument
    );
    let mut request = Request::new(lock_request(&id));
    let request_id = "x".repeat(300).parse().unwrap();
    request.metadata_mut().insert("x-request-id", request_id);
    let status = guard.credentials.clone().lock(request).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    // For another, without the permission to.
    let mut request = Request::new(lock_request(&id));
    let user = "credd:mia".parse().unwrap();
    request.metadata_mut().insert("credd-on-behalf-of", user);
    let status = guard.credentials.clone().lock(request).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);

    let by_guard = AuditFilter {
        principal: "credd:guard".to_owned(),
        ..refused()
    };
    let found = events_once(admin, by_guard, |events| total(events) == 4).await;
    let mut shown: Vec<_> = found
        .iter()
        .map(|event| {
            let action = event.action.rsplit('/').next().unwrap();
            (action, event.outcome.as_str(), event.tenant.as_str())
        })
        .collect();
    shown.sort_unstable();
    assert_eq!(
        shown,
        [
            ("Issue", "PERMISSION_MISSING", ""),
            ("Lock", "CREDENTIAL_REVOKED", "acme"),
            ("Lock", "INVALID_FIELDS", ""),
            ("Lock", "PERMISSION_MISSING", ""),
        ]
    );
    let revoked = found.iter().find(|e| e.outcome == "CREDENTIAL_REVOKED");
    let revoked = revoked.unwrap();
    assert_eq!(revoked.credential_ids, [id]);
    assert_eq!(revoked.request_id, "x".repeat(128));
    assert_eq!(revoked.address, "127.0.0.1");
    assert_eq!(revoked.owner, "jo");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_refusals_by_strangers_are_a_few_records() {
    const CALLS: usize = 10_000;

    let server = Server::start().await;
    let admin = &server.admin;
    let before = sound(admin, &[]).await.sequence;
    let rpcs = rpcs();
    let channel = channel(server.address).await;
    let mut calls = tokio::task::JoinSet::new();
    for worker in 0..16 {
        let (channel, rpcs) = (channel.clone(), rpcs.clone());
        calls.spawn(async move {
            for n in (worker..CALLS).step_by(16) {
                let mut request = Request::new(Bytes::new());
                let bearer = format!("Bearer stranger-{n}").parse().unwrap();
                request.metadata_mut().insert("authorization", bearer);
                let rpc = &rpcs[n % rpcs.len()];
                let call = raw::call(channel.clone(), rpc, request);
                let status = soon(rpc, call).await.unwrap_err();
                assert_eq!(status.code(), Code::Unauthenticated);
            }
        });
    }
    calls.join_all().await;
    let strangers = AuditFilter {
        outcome: v1::AuditOutcome::Refused.into(),
        ..Default::default()
    };
    let all = u64::try_from(CALLS).unwrap();
    let found = events_once(admin, strangers, |events| total(events) == all).await;
    assert!(found.iter().all(|event| event.principal.is_empty()));
    assert!(found.iter().any(|event| event.outcome == "CALLER_UNKNOWN"));
    // Each RPC once in ten seconds.
    let after = sound(admin, &[]).await.sequence;
    assert!(after - before < 600, "{} records", after - before);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_counted_is_written_when_the_server_stops() {
    let server = Server::start().await;
    let stranger = server.client("nobody").await;
    // So that nobody asks for it at once.
    for _ in 0..3 {
        assert!(stranger.get("id").await.is_err());
    }
    let head = verify(&server.admin, &[]).await.head.unwrap();
    let directory = server.stop().await;
    let server = Server::start_in(directory).await;
    let found = events(&server.admin, of_rpc("CredentialService/Get")).await;
    assert_eq!(total(&found), 3);
    sound(&server.admin, &[head]).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_is_no_rpc_is_not_written_down() {
    let server = Server::start().await;
    let channel = channel(server.address).await;
    for rpc in ["CredentialService/Secret-Text", "Nothing/At-All"] {
        let call = raw::call(channel.clone(), rpc, Request::new(Bytes::new()));
        let status = soon(rpc, call).await.unwrap_err();
        assert_eq!(status.code(), Code::Unimplemented);
    }
    let unknown = AuditFilter {
        action: "credd.unknown-rpc".to_owned(),
        ..Default::default()
    };
    let found = events_once(&server.admin, unknown, |events| total(events) == 2).await;
    assert_eq!(found[0].outcome, "RPC_UNKNOWN");
    let all = format!("{:?}", events(&server.admin, AuditFilter::default()).await);
    assert!(!all.contains("Secret-Text"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_denied_token_of_a_caller_is_told_of() {
    let server = Server::start().await;
    let admin = &server.admin;
    let (id, token) = admin.issue_verifier("gateway").await;
    let gateway: Client = server.client(&token).await;
    admin.revoke(&id).await.unwrap();
    assert!(gateway.verify_token("x").await.is_err());
    let filter = AuditFilter {
        credential_id: id.clone(),
        outcome: v1::AuditOutcome::Refused.into(),
        ..Default::default()
    };
    let found = events_once(admin, filter, |events| !events.is_empty()).await;
    let event = &found[0];
    assert_eq!(event.outcome, "REVOKED");
    assert_eq!(event.principal, "credd:gateway");
    assert_eq!(event.action, "credd.v1.VerificationService/Verify");
    assert_eq!(
        (event.tenant.as_str(), &event.credential_ids),
        ("credd", &vec![id])
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_with_many_refusals_hides_none_of_others() {
    const CALLS: u64 = 1280;

    let server = Server::start().await;
    let admin = &server.admin;
    let (_, token) = admin.issue_verifier("noisy").await;
    let noisy = server.client(&token).await;
    admin.bind("credd:quiet", "verifier", "acme").await;
    let (_, token) = admin.issue_caller_of("quiet").await;
    let quiet = server.client(&token).await;
    // Each about another tenant.
    let mut calls = tokio::task::JoinSet::new();
    for worker in 0..8 {
        let noisy = noisy.clone();
        calls.spawn(async move {
            for n in (worker..CALLS).step_by(8) {
                let request = v1::GetProfileRequest {
                    tenant: format!("made-up-{n}"),
                    name: "api-token".to_owned(),
                };
                let answer = noisy.directory.clone().get_profile(request).await;
                assert!(answer.is_err());
            }
        });
    }
    calls.join_all().await;
    assert!(quiet.issue(token_request("acme")).await.is_err());

    let by = |principal: &str| AuditFilter {
        principal: principal.to_owned(),
        ..refused()
    };
    let found = events_once(admin, by("credd:quiet"), |events| total(events) == 1).await;
    assert_eq!(found[0].action, "credd.v1.CredentialService/Issue");
    let found = events_once(admin, by("credd:noisy"), |events| total(events) == CALLS).await;
    assert!(found.iter().any(|event| event.action == "credd.others"));
    assert!(found.len() < 1000, "{} records", found.len());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_address_that_a_token_is_used_from_is_told() {
    let server = Server::start().await;
    let admin = &server.admin;
    admin.bind("credd:service", "verifier", "acme").await;
    let (_, token) = admin.issue_caller_of("service").await;
    for (host, calls) in [(1, 1), (66, 50)] {
        let endpoint = Endpoint::from_shared(format!("http://{}", server.address)).unwrap();
        let endpoint = endpoint.local_address(Some([127, 0, 0, host].into()));
        let service = Client::over(endpoint.connect().await.unwrap(), &token);
        for _ in 0..calls {
            assert!(service.issue(token_request("acme")).await.is_err());
        }
    }
    let by_service = AuditFilter {
        principal: "credd:service".to_owned(),
        ..refused()
    };
    let found = events_once(admin, by_service, |events| total(events) == 51).await;
    // A second of them may have begun between.
    let of = |address: &str| {
        let from = found.iter().filter(|event| event.address == address);
        from.map(|event| event.count).sum::<u64>()
    };
    assert_eq!((of("127.0.0.1"), of("127.0.0.66")), (1, 50));
    server.stop().await;
}
