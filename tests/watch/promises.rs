//! Each promise of a Watch, held by everybody who followed a server while
//! several writers wrote.

use credd::authority::watch::ResumePoint;
use credd::domain::revision::Position;
use credd::proto::v1;
use credd::rpc::resume_token;
use tokio::sync::watch;

use crate::history::{
    History, Kept, Recorder, Said, Stream, atomic, bookmarked, ordered, reliable, resumable,
    snapshot, unique,
};
use crate::support::{Client, Server, soon};
use crate::writers::{TENANTS, write};

const WRITERS: usize = 12;
const COMMANDS: usize = 25;

/// What was committed, and what each follower received of it.
struct Recording {
    server: Server,
    history: History,
    /// Everything; nothing but commits and bookmarks.
    all: Stream,
    /// One tenant.
    filtered: Stream,
    /// Everything, on connections that it left after every few messages.
    reconnecting: Stream,
    /// Everything, by one that did not read while there was writing.
    late: Stream,
    /// What was denied, asked for in the middle of the writing.
    snapshots: Vec<Stream>,
}

impl Recording {
    fn streams(&self) -> impl Iterator<Item = &Stream> {
        let few = [&self.all, &self.filtered, &self.reconnecting, &self.late];
        few.into_iter().chain(&self.snapshots)
    }

    fn check(&self, promise: fn(&Stream, &History) -> Kept) {
        for stream in self.streams() {
            assert!(stream.commits().next().is_some(), "nothing was received");
            assert_eq!(promise(stream, &self.history), Ok(()));
        }
    }
}

async fn record(seed: u64) -> Recording {
    soon("the recording", Box::pin(record_in_time(seed))).await
}

async fn record_in_time(seed: u64) -> Recording {
    let server = Server::start().await;
    // Something is denied before anybody asks.
    let mut history = write(&server.admin, seed, 2, 10).await;

    let (end, ended) = watch::channel(None);
    let all = follow(server.another_admin().await, everything(), ended.clone()).await;
    let filter = v1::WatchRequest {
        tenants: vec![TENANTS[0].to_owned()],
        ..everything()
    };
    let filtered = follow(server.another_admin().await, filter, ended.clone()).await;
    let mut late = Recorder::start(&server.another_admin().await, everything()).await;
    let reconnecting = Recorder::start(&server.another_admin().await, everything()).await;
    let clients = [server.another_admin().await, server.another_admin().await];
    let reconnecting = tokio::spawn(reconnect(reconnecting, clients, ended.clone()));
    let writer = server.another_admin().await;
    let writing = tokio::spawn(async move { write(&writer, seed + 1, WRITERS, COMMANDS).await });
    let mut snapshots = Vec::new();
    for tenants in [vec![], vec![TENANTS[1].to_owned()], vec![]] {
        let request = v1::WatchRequest {
            snapshot: true,
            tenants,
            ..Default::default()
        };
        snapshots.push(follow(server.another_admin().await, request, ended.clone()).await);
    }
    history.extend(writing.await.unwrap());
    // The last commit concerns everybody.
    for tenant in TENANTS {
        let issued = server
            .admin
            .issue(crate::support::token_request(tenant))
            .await;
        history.note(&issued.unwrap().credential.unwrap());
    }
    end.send_replace(Some(history.last()));
    let mut of_snapshots = Vec::new();
    for task in snapshots {
        of_snapshots.push(task.await.unwrap());
    }
    late.reach(history.last()).await;
    Recording {
        all: all.await.unwrap(),
        filtered: filtered.await.unwrap(),
        reconnecting: reconnecting.await.unwrap(),
        late: late.stream,
        snapshots: of_snapshots,
        history,
        server,
    }
}

fn everything() -> v1::WatchRequest {
    v1::WatchRequest {
        heartbeat: Some(prost_types::Duration {
            seconds: 0,
            nanos: 200_000_000,
        }),
        ..Default::default()
    }
}

/// Follows in a task until the revision that it will be told of. Returns once
/// it has the first message.
async fn follow(
    client: Client,
    request: v1::WatchRequest,
    mut end: watch::Receiver<Option<u64>>,
) -> tokio::task::JoinHandle<Stream> {
    let mut recorder = Recorder::start(&client, request).await;
    recorder.next().await.unwrap();
    tokio::spawn(async move {
        loop {
            let told = *end.borrow_and_update();
            if let Some(end) = told {
                recorder.reach(end).await;
                return recorder.stream;
            }
            tokio::select! {
                message = recorder.next() => { message.unwrap(); }
                _ = end.changed() => (),
            }
        }
    })
}

/// Follows by turns over two connections.
async fn reconnect(
    mut recorder: Recorder,
    clients: [Client; 2],
    end: watch::Receiver<Option<u64>>,
) -> Stream {
    for turn in 0.. {
        let told = *end.borrow();
        if told.is_some_and(|end| recorder.stream.reached() >= end) {
            break;
        }
        for _ in 0..5 {
            recorder.next().await.unwrap();
        }
        recorder = recorder.take_up(&clients[turn % 2]).await;
    }
    recorder.stream
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_ordered() {
    record(10).await.check(ordered);
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_are_atomic() {
    let recording = record(20).await;
    assert!(recording.history.has_groups(), "no commit had two changes");
    recording.check(atomic);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_unique() {
    record(30).await.check(unique);
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_reliable() {
    let recording = record(40).await;
    recording.check(reliable);
    for stream in recording.streams() {
        assert!(stream.reached() >= recording.history.last());
        let of_others = stream
            .commits()
            .flat_map(|(_, changes)| changes)
            .find(|change| !stream.tenants.is_empty() && !stream.tenants.contains(&change.tenant));
        assert_eq!(of_others, None, "an event of another tenant arrived");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_bookmarked() {
    let recording = record(50).await;
    recording.check(bookmarked);
    // A commit that is filtered out becomes a bookmark.
    let mut filtered = recording.filtered;
    assert!(filtered.messages.len() > filtered.commits().count() + 1);
    let client = recording.server.another_admin().await;
    let request = v1::WatchRequest {
        tenants: vec![TENANTS[0].to_owned()],
        resume_token: filtered.last().unwrap().token.clone(),
        ..Default::default()
    };
    let mut recorder = Recorder::start(&client, request).await;
    recorder.next().await.unwrap();
    let issued = client
        .issue(crate::support::token_request(TENANTS[1]))
        .await
        .unwrap();
    let revision = issued.revision.unwrap().number;
    recorder.reach(revision).await;
    let told = &recorder.stream.messages;
    assert!(told.iter().all(|message| message.said == Said::Bookmark));
    filtered.messages.extend(recorder.stream.messages);
    assert_eq!(bookmarked(&filtered, &recording.history), Ok(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_resumable() {
    let recording = record(60).await;
    let Recording {
        server,
        history,
        all,
        ..
    } = recording;
    // Over other connections, and after a restart of the server.
    let directory = server.stop().await;
    let server = Server::start_in(directory).await;
    let clients = [server.another_admin().await, server.another_admin().await];
    for cut in 0..all.messages.len() {
        let cut = all.cut_after(cut);
        let request = v1::WatchRequest {
            resume_token: cut.last().unwrap().token.clone(),
            ..everything()
        };
        let mut taken_up = Recorder::start(&clients[cut.messages.len() % 2], request).await;
        taken_up.reach(history.last()).await;
        assert_eq!(resumable(&cut, &taken_up.stream, &history), Ok(()));
    }
    // From before the first commit.
    let store = server.admin.list(v1::ListRequest::default()).await.unwrap();
    let start = ResumePoint {
        store: parse_store(&store.revision.unwrap().store_id),
        position: Position::START,
    };
    let request = v1::WatchRequest {
        resume_token: resume_token::encode(&start),
        ..everything()
    };
    let mut from_start = Recorder::start(&clients[0], request).await;
    from_start.reach(history.last()).await;
    assert!(!from_start.stream.has_reset());
    let mut of_start = History::of(&from_start.stream);
    of_start.forget_tenant("credd");
    assert_eq!(of_start, history);
    server.stop().await;
}

pub(crate) fn parse_store(id: &str) -> credd::domain::revision::StoreId {
    id.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_and_what_follows_is_the_state_at_the_end() {
    let recording = record(70).await;
    for stream in &recording.snapshots {
        assert_eq!(snapshot(stream, &recording.history), Ok(()));
        assert_eq!(reliable(stream, &recording.history), Ok(()));
        assert_eq!(bookmarked(stream, &recording.history), Ok(()));
    }
    let then = &recording.snapshots[0].messages[0];
    assert!(
        matches!(&then.said, Said::Part { denied, .. } if !denied.is_empty()),
        "nothing was denied when it was asked: {then:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn heartbeats_tell_the_revision_reached_while_nothing_happens() {
    let server = Server::start().await;
    let request = v1::WatchRequest {
        heartbeat: Some(prost_types::Duration {
            seconds: 0,
            nanos: 100_000_000,
        }),
        ..Default::default()
    };
    let mut recorder = Recorder::start(&server.admin, request).await;
    let first = recorder.next().await.unwrap().clone();
    for _ in 0..3 {
        assert_eq!(*recorder.next().await.unwrap(), first);
    }
    assert_eq!(first.said, Said::Bookmark);
    server.stop().await;
}
