//! Fences that wait for other nodes, and for who follows those.

use std::time::Duration;

use credd::proto::v1;
use tonic::{Code, Status};

use crate::calls::{issue, reason, verdict};
use crate::session::Session;
use crate::support::{Client, revoke_request, soon};
use crate::{LONG, SHORT, nodes, stop};

fn fenced(id: &str) -> v1::RevokeRequest {
    v1::RevokeRequest {
        fence: true,
        ..revoke_request(id)
    }
}

async fn revoke(client: &Client, id: &str) -> Result<v1::RevokeResponse, Status> {
    let answer = client.credentials.clone().revoke(fenced(id)).await;
    Ok(answer?.into_inner())
}

async fn revoke_within(client: &Client, id: &str, limit: Duration) -> Status {
    let mut request = tonic::Request::new(fenced(id));
    request.set_timeout(limit);
    let answer = client.credentials.clone().revoke(request).await;
    answer.unwrap_err()
}

#[tokio::test(flavor = "multi_thread")]
async fn when_one_returns_no_node_says_yes() {
    let nodes = nodes([LONG, LONG, LONG]).await;
    for at in 0..30 {
        let node = &nodes[at % 3];
        let held = issue(&node.admin, "acme", "jo", "api-token").await;
        soon("the fence", revoke(&node.admin, &held.id))
            .await
            .unwrap();
        for node in &nodes {
            let verdict = verdict(&node.admin, &held).await;
            assert_eq!(verdict, v1::Verdict::Revoked);
        }
    }
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_waits_for_who_follows_another_node() {
    let [one, other] = nodes([LONG, LONG]).await;
    let held = issue(&one.admin, "acme", "jo", "api-token").await;
    let mut session = Session::start(&other.admin).await;
    assert!(session.renew().await.lease.is_some());
    let open = revoke_within(&one.admin, &held.id, Duration::from_millis(500)).await;
    assert_eq!(open.code(), Code::DeadlineExceeded);
    assert_eq!(reason(&open), "FENCE_OPEN");
    assert!(open.message().contains("1 other servers"), "{open:?}");

    session.until_fenced().await;
    assert!(session.renew().await.lease.is_some());
    let again = revoke(&one.admin, &held.id);
    let mut again = Box::pin(again);
    // A fenced commit of its own, which the session has not applied.
    tokio::select! {
        _ = &mut again => panic!("it did not wait"),
        _ = session.until_fenced() => (),
    }
    session.renew().await;
    soon("the fence", again).await.unwrap();
    drop(session);
    stop([one, other]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_waits_for_a_node_that_is_gone_no_longer_than_its_lease() {
    let [one, other, third] = nodes([SHORT, SHORT, SHORT]).await;
    let held = issue(&one.admin, "acme", "jo", "api-token").await;
    other.stop().await.unwrap();
    soon("the fence", revoke(&one.admin, &held.id))
        .await
        .unwrap();
    crate::support::until("its record to be removed", || async {
        one.authority.index().read(|index| index.nodes()).1.len() == 2
    })
    .await;
    stop([one, third]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_waits_for_a_node_that_is_gone_while_its_lease_may_run() {
    let [one, other] = nodes([LONG, LONG]).await;
    let held = issue(&one.admin, "acme", "jo", "api-token").await;
    other.stop().await.unwrap();
    let open = revoke_within(&one.admin, &held.id, Duration::from_millis(500)).await;
    assert_eq!(reason(&open), "FENCE_OPEN");
    assert!(open.message().contains("1 other servers"), "{open:?}");
    stop([one]).await;
}
