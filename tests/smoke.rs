//! The way of one credential, end to end, in this process and in another.

mod support;

use credd::proto::v1::Verdict;
use support::process::Process;
use support::{Client, Server, read_token};

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_good_until_it_is_locked_and_never_after_it_was_revoked() {
    let server = Server::start().await;
    let admin = &server.admin;
    let (id, token) = admin.issue_token("acme").await;
    assert_eq!(admin.verdict(&token).await, Verdict::Active);
    admin.lock(&id).await.unwrap();
    assert_eq!(admin.verdict(&token).await, Verdict::Locked);
    admin.unlock(&id).await.unwrap();
    assert_eq!(admin.verdict(&token).await, Verdict::Active);
    admin.revoke(&id).await.unwrap();
    assert_eq!(admin.verdict(&token).await, Verdict::Revoked);
    let directory = server.stop().await;

    let server = Server::start_in(directory).await;
    assert_eq!(server.admin.verdict(&token).await, Verdict::Revoked);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_serves_and_ends_when_told_to() {
    let directory = tempfile::tempdir().unwrap();
    let process = Process::start(directory.path()).await;
    let token = read_token(directory.path());
    let admin = Client::connect(process.address, &token).await;
    let (_, token) = admin.issue_token("acme").await;
    assert_eq!(admin.verdict(&token).await, Verdict::Active);
    assert!(process.terminate());
}
