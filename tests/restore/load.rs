//! A backup that is made while others write.

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use credd::authority::backup::Reader;
use credd::proto::v1;
use credd::proto::v1::watch_response::Message;
use tonic::Code;

use crate::place::{Place, restored};
use crate::support::{Client, token_of, token_request, until};

/// What became of a credential, commit by commit: its token, if that is new, and its
/// verdict.
type History = BTreeMap<u64, (Option<String>, v1::Verdict)>;

/// Issues and changes credentials until it is told to end.
async fn write(
    client: Client,
    number: usize,
    end: Arc<AtomicBool>,
    done: Arc<Mutex<usize>>,
) -> BTreeMap<String, History> {
    let mut all: BTreeMap<String, History> = BTreeMap::new();
    let at = |credential: &Option<v1::Credential>| {
        let credential = credential.clone().unwrap();
        (credential.id, credential.revision.unwrap().number)
    };
    for step in number.. {
        if end.load(Ordering::Relaxed) {
            break;
        }
        let issued = client.issue(token_request("acme")).await.unwrap();
        let (id, revision) = at(&issued.credential);
        let token = token_of(issued.secret);
        let history = all.entry(id.clone()).or_default();
        history.insert(revision, (Some(token), v1::Verdict::Active));
        let (credential, token, verdict) = match step % 4 {
            0 => {
                let done = client.lock(&id).await.unwrap();
                (done.credential, None, v1::Verdict::Locked)
            }
            1 => {
                let done = client.revoke(&id).await.unwrap();
                (done.credential, None, v1::Verdict::Revoked)
            }
            2 => {
                let request = v1::RotateRequest {
                    credential_id: id.clone(),
                    ..Default::default()
                };
                let done = client.credentials.clone().rotate(request).await.unwrap();
                let done = done.into_inner();
                (
                    done.credential,
                    Some(token_of(done.secret)),
                    v1::Verdict::Active,
                )
            }
            _ => continue,
        };
        history.insert(at(&credential).1, (token, verdict));
        *done.lock().unwrap() += 1;
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_credential_answers_as_of_the_revision_of_the_backup() {
    let place = Place::new();
    let server = place.serve().await;
    let (end, done) = (Arc::<AtomicBool>::default(), Arc::new(Mutex::new(0)));
    let writers: Vec<_> = (0..8)
        .map(|number| {
            let (end, done) = (Arc::clone(&end), Arc::clone(&done));
            tokio::spawn(write(server.admin.clone(), number, end, done))
        })
        .collect();
    let so_many = async |many: usize| until("changes", async || *done.lock().unwrap() > many).await;
    so_many(200).await;
    let bytes = server.backup().await;
    let after = *done.lock().unwrap();
    so_many(after + 100).await;
    end.store(true, Ordering::Relaxed);
    let mut histories = BTreeMap::new();
    for writer in writers {
        histories.extend(writer.await.unwrap());
    }

    let mut reader = Reader::open(&*bytes).unwrap();
    while reader.next_part().unwrap().is_some() {}
    let (header, end) = (reader.header().clone(), reader.end().unwrap().clone());
    let revision = end.position.revision.number();
    let backup = place.path("backup");
    fs::write(&backup, &bytes).unwrap();
    let mut watch = server
        .admin
        .watch(v1::WatchRequest::default())
        .await
        .unwrap();
    let resume_token = watch.message().await.unwrap().unwrap().resume_token;
    drop(watch);
    server.stop();

    let directory = place.fresh("restored");
    let from = backup.to_str().unwrap();
    restored(&directory, &["--from", from, "--accept-lost-revocations"]);
    let server = place.serve_restored(&directory).await;
    let (mut before, mut later, mut changed) = (0, 0, 0);
    for (id, history) in &histories {
        let Some((_, (_, verdict))) = history.range(..=revision).next_back() else {
            later += 1;
            let missing = server.admin.get(id).await.unwrap_err();
            assert_eq!(missing.code(), Code::NotFound, "{id}");
            for (token, _) in history.values() {
                if let Some(token) = token {
                    assert_eq!(server.admin.verdict(token).await, v1::Verdict::Invalid);
                }
            }
            continue;
        };
        before += 1;
        let written = history.range(..=revision).next_back().unwrap().0;
        let found = server.admin.get(id).await.unwrap().revision.unwrap();
        assert_eq!(found.number, *written, "revisions survive");
        assert_ne!(found.store_id, header.store.to_string(), "under a new id");
        let tokens = |range| {
            let entries = history.range::<u64, std::ops::RangeInclusive<u64>>(range);
            entries
                .filter_map(|(_, (token, _))| token.clone())
                .collect::<Vec<_>>()
        };
        let current = tokens(0..=revision).pop().unwrap();
        assert_eq!(server.admin.verdict(&current).await, *verdict, "{id}");
        for lost in tokens(revision + 1..=u64::MAX) {
            changed += 1;
            assert_eq!(server.admin.verdict(&lost).await, v1::Verdict::Invalid);
        }
    }
    assert!(before > 200, "{before} were there");
    assert!(later > 0, "{later} came later");
    println!("{before} credentials before, {later} after, {changed} rotated after");

    // Who watched the other store begins anew.
    let request = v1::WatchRequest {
        resume_token,
        ..Default::default()
    };
    let mut watch = server.admin.watch(request).await.unwrap();
    let first = watch.message().await.unwrap().unwrap();
    let Some(Message::Reset(reset)) = first.message else {
        panic!("it is no Reset");
    };
    assert_eq!(reset.reason(), v1::ResetReason::OtherStore);
    drop(watch);

    // The log goes on where it was.
    let request = v1::VerifyChainRequest::default();
    let verified = server.admin.audit.clone().verify_chain(request).await;
    let verified = verified.unwrap().into_inner();
    assert_eq!(verified.broken, None);
    assert_eq!(verified.start.unwrap().sequence, 0);
    server.stop();
}
