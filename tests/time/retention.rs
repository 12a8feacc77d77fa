//! How long what is over is kept.

use std::collections::BTreeSet;
use std::time::Duration;

use credd::domain::time::Timestamp;
use credd::proto::v1;
use credd::proto::v1::issue_request::Expiry;

use crate::calls::{
    self, Held, Watched, everything, issue_request, reason, refused, request_id, verdict,
};
use crate::{DAY, MILLISECOND, START, moment, start};

const KEPT: Duration = Duration::from_hours(30 * 24);

#[tokio::test(flavor = "multi_thread")]
async fn what_is_over_is_removed_with_an_event_and_is_invalid_then() {
    let mut server = start().await;
    let revoked = calls::issue(&server.admin, "acme", "jo", "api-token").await;
    server.admin.revoke(&revoked.id).await.unwrap();
    let expired = v1::IssueRequest {
        expiry: Some(Expiry::ExpiresAt(moment(START + 1000))),
        ..issue_request("acme", "jo", "basic")
    };
    let expired = server.admin.issue(expired).await.unwrap();
    let expired = Held::of(expired.credential.as_ref(), expired.secret);
    let good = calls::issue(&server.admin, "acme", "jo", "key-pair").await;
    let locked = calls::issue(&server.admin, "acme", "jo", "api-token").await;
    server.admin.lock(&locked.id).await.unwrap();
    server.clock.advance(Duration::from_secs(1));
    server.sweep().await;

    let mut watched = Watched::start(&server.admin).await;
    // The revoked one is over since the start, the other since a second later.
    server.clock.set(START);
    server.clock.advance(KEPT);
    server.sweep().await;
    assert_eq!(everything(&server.admin, "acme").await.len(), 4);
    assert_eq!(verdict(&server.admin, &revoked).await, v1::Verdict::Revoked);
    server.clock.advance(MILLISECOND);
    server.sweep().await;
    let (_, events) = watched.credentials().await;
    assert_removed(&events, &revoked.id);
    assert_eq!(verdict(&server.admin, &expired).await, v1::Verdict::Expired);
    server.clock.advance(Duration::from_secs(1));
    server.sweep().await;
    let (_, events) = watched.credentials().await;
    assert_removed(&events, &expired.id);

    for restart in [false, true] {
        if restart {
            server = server.restart().await;
        }
        for gone in [&revoked, &expired] {
            assert_eq!(verdict(&server.admin, gone).await, v1::Verdict::Invalid);
            let status = refused(server.admin.get(&gone.id).await);
            assert_eq!(reason(&status), "CREDENTIAL_NOT_FOUND");
            let status = refused(server.admin.unlock(&gone.id).await);
            assert_eq!(reason(&status), "CREDENTIAL_NOT_FOUND");
        }
        let secrets = [revoked.secret(), expired.secret()];
        let outcomes = calls::reported(&server.admin, &secrets).await;
        assert_eq!(outcomes, [v1::LeakOutcome::NotOurs; 2]);
        let left = everything(&server.admin, "acme").await;
        let left: BTreeSet<_> = left.into_iter().map(|one| one.id).collect();
        assert_eq!(left, BTreeSet::from([good.id.clone(), locked.id.clone()]));
        assert_eq!(verdict(&server.admin, &good).await, v1::Verdict::Active);
        assert_eq!(verdict(&server.admin, &locked).await, v1::Verdict::Locked);
    }
    server.stop().await;
}

fn assert_removed(events: &[v1::CredentialEvent], id: &str) {
    let [event] = events else {
        panic!("{} events", events.len());
    };
    assert_eq!(event.r#type(), v1::ChangeType::Removed);
    assert_eq!(event.credential_id, id);
    assert_eq!(event.tenant, "acme");
    assert_eq!(event.owner, "jo");
    assert_eq!(event.state(), v1::CredentialState::Revoked);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_is_never_used_again_though_the_clock_is_set_back() {
    let mut server = start().await;
    let mut ids = BTreeSet::new();
    for _ in 0..5 {
        for _ in 0..20 {
            let held = calls::issue(&server.admin, "acme", "jo", "api-token").await;
            server.admin.revoke(&held.id).await.unwrap();
            assert!(ids.insert(held.id));
        }
        // Gone, and their traces too.
        server.clock.advance(KEPT + MILLISECOND);
        server.sweep().await;
        server.clock.advance(3 * DAY);
        server.sweep().await;
        let (_, traces) = server
            .authority
            .index()
            .read(|index| index.tombstones_before(Timestamp::MAX, 1000));
        assert!(traces.is_empty());
        server = server.restart().await;
        assert_eq!(everything(&server.admin, "acme").await.len(), 0);
        server.clock.set(START);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_may_be_deleted_once_their_last_credential_is_gone() {
    let mut server = start().await;
    calls::put_owner(&server.admin, calls::jo()).await;
    let held = calls::issue(&server.admin, "acme", "jo", "api-token").await;
    server.admin.revoke(&held.id).await.unwrap();
    let request = v1::DeleteOwnerRequest {
        tenant: "acme".to_owned(),
        name: "jo".to_owned(),
        ..Default::default()
    };
    let mut directory = server.admin.directory.clone();
    let status = refused(directory.delete_owner(request.clone()).await);
    assert_eq!(reason(&status), "OWNER_IN_USE");
    server.clock.advance(KEPT + MILLISECOND);
    server.sweep().await;
    directory.delete_owner(request).await.unwrap();
    drop(directory);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_forgotten() {
    let mut server = start().await;
    let request = v1::IssueRequest {
        request_id: request_id(),
        ..issue_request("acme", "jo", "api-token")
    };
    server.admin.issue(request).await.unwrap();
    let kept = |server: &crate::clocked::Clocked| {
        let (_, requests) = server
            .authority
            .index()
            .read(|index| index.requests_before(Timestamp::MAX, 10));
        requests.len()
    };
    server.clock.advance(DAY + Duration::from_mins(10));
    server.sweep().await;
    assert_eq!(kept(&server), 1);
    server.clock.advance(MILLISECOND);
    server.sweep().await;
    assert_eq!(kept(&server), 0);
    server = server.restart().await;
    assert_eq!(kept(&server), 0);
    server.stop().await;
}
