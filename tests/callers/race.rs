//! Callers who lose their rights while they call.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use credd::proto::v1;
use credd::proto::v1::watch_response::Message as Wire;
use tonic::Code;

use crate::caller::Caller;
use crate::calls::number;
use crate::support::soon;
use crate::world::World;

const TOGETHER: usize = 24;

/// Changes a credential again and again until it is refused; returns the revisions
/// of the changes.
async fn change(caller: Caller, id: String, goes_on: Arc<AtomicBool>) -> Vec<u64> {
    let mut changes = Vec::new();
    loop {
        let before = goes_on.load(Ordering::SeqCst);
        let request = v1::UpdateRequest {
            credential_id: id.clone(),
            update_mask: Some(prost_types::FieldMask {
                paths: vec!["label".to_owned()],
            }),
            label: format!("change {}", changes.len()),
            ..Default::default()
        };
        match caller.credentials().update(request).await {
            Ok(answer) => {
                assert!(before, "a call that began after the loss was let in");
                changes.push(number(answer.into_inner().revision));
            }
            Err(status) => {
                assert_eq!(status.code(), Code::PermissionDenied, "{status}");
                return changes;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_changed_by_who_was_unbound_before() {
    let world = World::start().await;
    for _ in 0..5 {
        world
            .admin
            .bind("credd:racer", "administrator", "acme")
            .await;
        let caller = world.bearer("racer", "racer").await;
        let goes_on = Arc::new(AtomicBool::new(true));
        let mut tasks = Vec::new();
        for _ in 0..TOGETHER {
            let id = world.issue("acme", "jo").await.id;
            let changing = change(caller.clone(), id, Arc::clone(&goes_on));
            tasks.push(tokio::spawn(changing));
        }
        // Until they are at it.
        for _ in 0..10 {
            world.issue("acme", "jo").await;
        }
        let request = v1::DeleteBindingRequest {
            principal: "credd:racer".to_owned(),
            role: "administrator".to_owned(),
            tenant: "acme".to_owned(),
            ..Default::default()
        };
        let mut directory = world.admin.directory.clone();
        let unbound = directory.delete_binding(request).await.unwrap();
        goes_on.store(false, Ordering::SeqCst);
        let unbound = number(unbound.into_inner().revision);
        let mut changes = Vec::new();
        for task in tasks {
            changes.extend(soon("the end of a caller", task).await.unwrap());
        }
        assert!(!changes.is_empty());
        let late = changes.iter().filter(|change| **change > unbound).count();
        assert_eq!(late, 0, "of {} changes were made after it", changes.len());
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_told_of_what_comes_after_the_loss() {
    let world = World::start().await;
    for _ in 0..20 {
        world.admin.bind("credd:racer", "verifier", "acme").await;
        let caller = world.bearer("racer", "racer").await;
        let requests = tokio_stream::once(v1::WatchRequest::default());
        let watch = caller.verification().watch(requests).await.unwrap();
        let mut watch = watch.into_inner();
        let told = tokio::spawn(async move {
            let mut told = Vec::new();
            loop {
                match watch.message().await {
                    Ok(message) => {
                        let message = message.unwrap();
                        if matches!(message.message, Some(Wire::Commit(_))) {
                            told.push(number(message.revision));
                        }
                    }
                    Err(status) => {
                        assert_eq!(status.code(), Code::Unauthenticated);
                        return told;
                    }
                }
            }
        });
        let writing = async {
            for _ in 0..10 {
                world.issue("acme", "jo").await;
            }
        };
        let request = v1::DeleteBindingRequest {
            principal: "credd:racer".to_owned(),
            role: "verifier".to_owned(),
            tenant: "acme".to_owned(),
            ..Default::default()
        };
        let mut directory = world.admin.directory.clone();
        let unbinding = async {
            world.issue("acme", "jo").await;
            world.issue("acme", "jo").await;
            directory
                .delete_binding(request)
                .await
                .unwrap()
                .into_inner()
        };
        let ((), unbound) = tokio::join!(writing, unbinding);
        let unbound = number(unbound.revision);
        let told = soon("the end of the Watch", told).await.unwrap();
        assert!(told.iter().all(|revision| *revision < unbound), "{told:?}");
    }
    world.stop().await;
}
