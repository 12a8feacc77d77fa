//! Last use: written behind, shown with the service that asked, and kept.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use credd::proto::v1;
use support::{Client, Server, list_request, until};

/// By whom a credential was last used, as Get and List show it.
async fn shown(client: &Client, id: &str) -> [String; 2] {
    let got = client.get(id).await.unwrap();
    let list = client.list(list_request("acme")).await.unwrap().credentials;
    let listed = list.into_iter().find(|listed| listed.id == id).unwrap();
    for credential in [&got, &listed] {
        let is_used = !credential.last_used_by.is_empty();
        assert_eq!(credential.last_used_at.is_some(), is_used);
    }
    [got.last_used_by, listed.last_used_by]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_use_is_shown_with_the_service_that_asked_and_outlives_a_graceful_restart() {
    let server = Server::start().await;
    let (used, token) = server.admin.issue_token("acme").await;
    let (late, late_token) = server.admin.issue_token("acme").await;
    let (denied, denied_token) = server.admin.issue_token("acme").await;
    let (_, verifier) = server.admin.issue_verifier("checker").await;
    let (_, other) = server.admin.issue_verifier("other").await;
    server.admin.lock(&denied).await.unwrap();
    let verifier = server.client(&verifier).await;
    assert_eq!(verifier.verdict(&token).await, v1::Verdict::Active);
    assert_eq!(verifier.verdict(&denied_token).await, v1::Verdict::Locked);
    let by_checker = ["credd:checker", "credd:checker"];
    until("the use to be written", || async {
        shown(&server.admin, &used).await == by_checker
    })
    .await;
    assert_eq!(
        shown(&server.admin, &denied).await,
        ["", ""],
        "a denial is no use"
    );
    // A change of the credential keeps it.
    server.admin.lock(&used).await.unwrap();
    assert_eq!(shown(&server.admin, &used).await, by_checker);

    // What waits to be written is written at the end.
    let other = server.client(&other).await;
    assert_eq!(other.verdict(&late_token).await, v1::Verdict::Active);
    assert_eq!(
        shown(&server.admin, &late).await,
        ["", ""],
        "Verify waited for the write"
    );
    drop((verifier, other));
    let server = Server::start_in(server.stop().await).await;
    assert_eq!(
        shown(&server.admin, &late).await,
        ["credd:other", "credd:other"]
    );
    assert_eq!(shown(&server.admin, &used).await, by_checker);
    server.stop().await;
}
