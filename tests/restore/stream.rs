//! The stream of a backup, and what is told of it.

use credd::authority::backup::CHUNK_BYTES;
use credd::proto::v1;
use tonic::Code;

use crate::calls::{reason, refused};
use crate::place::{Place, Running};
use crate::support::{soon, token_request, until};

/// More than is sent to who does not read.
const MANY: usize = 4000;

pub(crate) async fn fill(server: &Running) {
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let admin = server.admin.clone();
        tasks.spawn(async move {
            for _ in 0..MANY / 64 {
                let request = v1::IssueRequest {
                    description: "x".repeat(200),
                    ..token_request("acme")
                };
                admin.issue(request).await.unwrap();
            }
        });
    }
    tasks.join_all().await;
}

async fn events(server: &Running) -> Vec<v1::AuditEvent> {
    let request = v1::ListEventsRequest {
        filter: Some(v1::AuditFilter {
            action: "credd.v1.OperationsService/Backup".to_owned(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let pages = server.admin.audit.clone().list_events(request).await;
    let page = pages.unwrap().into_inner().message().await.unwrap();
    page.unwrap().events
}

#[tokio::test(flavor = "multi_thread")]
async fn one_backup_is_made_at_a_time_and_each_is_told_before_it_is_given() {
    let place = Place::new();
    let server = place.serve().await;
    fill(&server).await;
    assert!(events(&server).await.is_empty());

    let mut first = server.begin().await.unwrap();
    let chunk = first.message().await.unwrap().unwrap().chunk;
    assert_eq!(chunk.len(), CHUNK_BYTES);
    let told = events(&server).await;
    assert_eq!(told.len(), 1);
    let event = &told[0];
    assert_eq!(
        (event.outcome.as_str(), event.reason.as_str()),
        ("OK", "nightly")
    );
    assert_eq!(
        (event.tenant.as_str(), event.principal.as_str()),
        ("*", "credd:admin")
    );

    let second = refused(server.begin().await);
    assert_eq!(second.code(), Code::ResourceExhausted);
    assert_eq!(reason(&second), "BACKUP_RUNNING");
    // Others are answered meanwhile, and write.
    server.admin.issue_token("acme").await;

    // Who hangs up makes room.
    drop(first);
    until("room for another", async || server.begin().await.is_ok()).await;
    until("it to be whole", async || {
        let Ok(mut stream) = server.begin().await else {
            return false;
        };
        let mut chunks = Vec::new();
        while let Some(part) = soon("a chunk", stream.message()).await.unwrap() {
            chunks.push(part.chunk.len());
        }
        let (last, rest) = chunks.split_last().unwrap();
        assert!(*last <= CHUNK_BYTES && rest.iter().all(|chunk| *chunk == CHUNK_BYTES));
        true
    })
    .await;
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stream_of_who_is_no_longer_good_ends_and_so_does_that_of_a_server_that_stops() {
    let place = Place::new();
    let mut server = place.serve().await;
    fill(&server).await;
    let (id, token) = {
        server
            .admin
            .bind("credd:copier", "administrator", "*")
            .await;
        server.admin.issue_caller_of("copier").await
    };
    let admin = std::mem::replace(&mut server.token, token);
    let mut stream = server.begin().await.unwrap();
    stream.message().await.unwrap().unwrap();
    server.admin.revoke(&id).await.unwrap();
    let ended = loop {
        match soon("the end", stream.message()).await {
            Ok(Some(_)) => (),
            Ok(None) => panic!("it was given all of it"),
            Err(status) => break status,
        }
    };
    assert_eq!(ended.code(), Code::Unauthenticated);

    server.token = admin;
    let mut stream = server.begin().await.unwrap();
    stream.message().await.unwrap().unwrap();
    let stopped = tokio::task::spawn_blocking(|| server.stop());
    let ended = loop {
        match soon("the end", stream.message()).await {
            Ok(Some(_)) => tokio::time::sleep(std::time::Duration::from_millis(1)).await,
            Ok(None) => panic!("it was given all of it"),
            Err(status) => break status,
        }
    };
    assert_eq!(ended.code(), Code::Unavailable);
    assert_eq!(reason(&ended), "STOPPING");
    stopped.await.unwrap();
}
