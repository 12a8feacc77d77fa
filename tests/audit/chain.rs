//! The chain goes on: over restarts, after a kill, and from where retention leaves
//! it.

use std::time::Duration;

use credd::proto::v1::AuditFilter;

use crate::clocked::{Clocked, Disk};
use crate::support::program::{Program, serve_everything, signal};
use crate::support::{Client, Server, read_token};
use crate::{events, of_rpc, sound, verify};

#[tokio::test(flavor = "multi_thread")]
async fn it_goes_on_over_restarts() {
    let mut server = Server::start().await;
    let mut heads = Vec::new();
    for _ in 0..3 {
        server.admin.issue_token("acme").await;
        heads.push(sound(&server.admin, &heads).await);
        server = Server::start_in(server.stop().await).await;
    }
    sound(&server.admin, &heads).await;
    assert!(heads.is_sorted_by_key(|head| head.sequence));
    assert_eq!(
        events(&server.admin, of_rpc("CredentialService/Issue"))
            .await
            .len(),
        3
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_goes_on_after_a_kill_with_every_change_that_was_answered() {
    let directory = tempfile::tempdir().unwrap();
    let mut heads = Vec::new();
    let mut issued = Vec::new();
    for _ in 0..3 {
        let (program, address) = Program::serve(serve_everything(&[], directory.path()));
        let admin = Client::connect(address, &read_token(directory.path())).await;
        heads.push(sound(&admin, &heads).await);
        // Some of them may not be answered, and be there all the same.
        let writer = tokio::spawn({
            let admin = admin.clone();
            async move {
                let mut issued = Vec::new();
                while let Ok(one) = admin.issue(crate::support::token_request("acme")).await {
                    issued.push(one.credential.unwrap().id);
                }
                issued
            }
        });
        tokio::time::sleep(Duration::from_millis(200)).await;
        signal("KILL", program.id());
        program.end();
        issued.extend(writer.await.unwrap());
    }
    let (program, address) = Program::serve(serve_everything(&[], directory.path()));
    let admin = Client::connect(address, &read_token(directory.path())).await;
    sound(&admin, &heads).await;
    let told = events(&admin, of_rpc("CredentialService/Issue")).await;
    let told: Vec<_> = told
        .into_iter()
        .flat_map(|event| event.credential_ids)
        .collect();
    assert!(!issued.is_empty());
    for id in &issued {
        assert_eq!(told.iter().filter(|told| *told == id).count(), 1, "{id}");
    }
    // And there is none of a credential that is not there.
    for id in &told {
        assert!(admin.get(id).await.is_ok(), "{id}");
    }
    assert!(program.terminate().status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_when_the_oldest_part_is_removed_is_checked_from_there() {
    const DAY: Duration = Duration::from_hours(24);

    let disk = Disk::at(1_800_000_000_000);
    let server = Clocked::start(disk.clone()).await;
    let admin = &server.admin;
    for _ in 0..5 {
        admin.issue_token("acme").await;
    }
    let old = sound(admin, &[]).await;
    server.clock.advance(DAY * 10);
    let (young, _) = admin.issue_token("acme").await;
    let head = sound(admin, &[]).await;
    // What is read is counted, and written as young.
    let removed = server.authority.trim_audit(DAY).await.unwrap();
    assert!(
        (old.sequence..head.sequence).contains(&removed),
        "{removed}"
    );
    assert_eq!(server.authority.trim_audit(DAY).await.unwrap(), 0);

    let verified = verify(admin, &[old.clone(), head.clone()]).await;
    assert_eq!(verified.broken, None);
    let start = verified.start.clone().unwrap();
    assert_eq!(start.sequence, removed);
    assert_eq!(verified.records, verified.head.unwrap().sequence - removed);
    assert_eq!(verified.unchecked, u64::from(old.sequence < removed));
    let left = events(admin, AuditFilter::default()).await;
    assert_eq!(left[0].sequence, removed + 1);
    let issued: Vec<_> = left
        .iter()
        .filter(|event| event.action.ends_with("/Issue"))
        .flat_map(|event| &event.credential_ids)
        .collect();
    assert_eq!(issued, [&young]);
    let told = left
        .iter()
        .find(|event| event.action == "credd.audit-retention");
    let told = told.expect("it is told of");
    assert_eq!(told.count, removed);
    assert_eq!(told.details, format!("records 1-{removed}"));
    server.stop().await;

    // The same after a restart.
    let server = Clocked::start(disk).await;
    server.admin.issue_token("acme").await;
    let verified = verify(&server.admin, &[start, head]).await;
    assert_eq!(verified.broken, None);
    assert_eq!(verified.start.unwrap().sequence, removed);
    // All of it may go: the next record follows from the beginning.
    server.clock.advance(DAY * 10);
    server.authority.trim_audit(DAY).await.unwrap();
    sound(&server.admin, &[]).await;
    server.stop().await;
}
