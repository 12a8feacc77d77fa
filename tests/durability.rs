//! What was acknowledged is on the disk, and what is not on the disk is shown to
//! nobody: the real program under strace, which watches its calls, delays them
//! and makes them fail.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod support;

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;

use credd::proto::v1;
use credd::proto::v1::watch_response::Message;
use support::program::{Program, serve, signal, wait_for};
use support::{
    Client, list_request_of_all_states, lock_request, read_token, revoke_request, soon,
    token_request, tool, until,
};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

async fn admin(address: SocketAddr, data_dir: &Path) -> Client {
    Client::connect(address, &read_token(data_dir)).await
}

/// A data directory with some active credentials: their ids and tokens.
async fn directory_with(count: usize) -> (TempDir, Vec<(String, String)>) {
    let directory = tempfile::tempdir().unwrap();
    let (server, address) = Program::serve(serve(&[], directory.path()));
    let admin = admin(address, directory.path()).await;
    let mut credentials = Vec::new();
    for _ in 0..count {
        credentials.push(admin.issue_token("acme").await);
    }
    assert!(server.terminate().status.success());
    (directory, credentials)
}

/// Starts a server under strace, with these options of it.
fn serve_under(strace: &Path, options: &[&str], data_dir: &Path) -> (Program, SocketAddr) {
    let mut wrapper = vec![strace.to_str().unwrap(), "-f", "-qq", "-e", "signal=none"];
    wrapper.extend(options);
    Program::serve(serve(&wrapper, data_dir))
}

/// The server that strace runs.
fn traced(strace: &Program) -> u32 {
    let children = strace.children();
    assert_eq!(children.len(), 1);
    children[0]
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_is_synced_between_the_last_write_and_the_acknowledgement() {
    let Some(strace) = tool("CREDD_TEST_STRACE") else {
        return;
    };
    let (directory, _) = directory_with(0).await;
    let trace = directory.path().join("trace");
    let options = [
        "-y",
        "-s",
        "65536",
        "-e",
        "trace=write,writev,pwrite64,pwritev,sendto,sendmsg,sendmmsg,fsync,fdatasync",
        "-o",
        trace.to_str().unwrap(),
    ];
    let (server, address) = serve_under(&strace, &options, directory.path());
    let admin = admin(address, directory.path()).await;
    // A text that is part of what is written and of what is answered.
    let marker = |number: usize| format!("marker-{number}-of-this-test");
    let issued = admin
        .issue(v1::IssueRequest {
            label: marker(0),
            ..token_request("acme")
        })
        .await;
    let credential_id = issued.unwrap().credential.unwrap().id;
    let mut credentials = admin.credentials.clone();
    let lock = v1::LockRequest {
        reason: marker(1),
        ..lock_request(&credential_id)
    };
    credentials.lock(lock).await.unwrap();
    let unlock = v1::UnlockRequest {
        credential_id: credential_id.clone(),
        reason: marker(2),
    };
    credentials.unlock(unlock).await.unwrap();
    let revoke = v1::RevokeRequest {
        reason: marker(3),
        ..revoke_request(&credential_id)
    };
    credentials.revoke(revoke).await.unwrap();
    signal("TERM", traced(&server));
    assert!(server.end().status.success());

    let calls = calls_of(&fs::read_to_string(&trace).unwrap());
    for number in 0..4 {
        assert_synced_before_acknowledged(&calls, &marker(number));
    }
}

fn assert_synced_before_acknowledged(calls: &[Call], marker: &str) {
    let acknowledgement = calls
        .iter()
        .find(|call| call.is_write() && call.on("<socket:[") && call.text.contains(marker))
        .unwrap_or_else(|| panic!("{marker} is not acknowledged"));
    let writes: Vec<&Call> = calls
        .iter()
        .filter(|call| call.is_write() && call.on("/db>") && call.begin < acknowledgement.begin)
        .collect();
    assert!(
        writes.iter().any(|call| call.text.contains(marker)),
        "{marker} is not written"
    );
    let last = writes.iter().map(|call| call.end).max().unwrap();
    let synced = calls.iter().any(|call| {
        ["fsync", "fdatasync"].contains(&&*call.name)
            && call.on("/db>")
            && call.result == "0"
            && last < call.begin
            && call.end < acknowledgement.begin
    });
    assert!(synced, "{marker} is acknowledged and not synced");
}

/// A system call, as strace prints it.
#[derive(Debug)]
struct Call {
    name: String,
    /// The arguments.
    text: String,
    result: String,
    /// The lines at which it began and ended.
    begin: usize,
    end: usize,
}

impl Call {
    fn is_write(&self) -> bool {
        !self.name.ends_with("sync")
    }

    /// Whether its first argument is a descriptor of this.
    fn on(&self, file: &str) -> bool {
        let (descriptor, _) = self.text.split_once(", ").unwrap_or((&self.text, ""));
        descriptor.contains(file)
    }
}

/// Reads what `strace -f -y` printed. A call that another thread interrupted is
/// on two lines.
fn calls_of(trace: &str) -> Vec<Call> {
    let mut calls: Vec<Call> = Vec::new();
    let mut unfinished: HashMap<&str, usize> = HashMap::new();
    for (at, line) in trace.lines().enumerate() {
        let Some((thread, call)) = line.split_once(' ') else {
            continue;
        };
        let call = call.trim_start();
        let (before, result) = call.rsplit_once(" = ").unwrap_or((call, ""));
        if call.starts_with("<... ") {
            let begun = unfinished.remove(thread).expect("it began");
            calls[begun].end = at;
            result.clone_into(&mut calls[begun].result);
        } else if let Some((name, text)) = before.split_once('(') {
            if call.ends_with("<unfinished ...>") {
                unfinished.insert(thread, calls.len());
            }
            calls.push(Call {
                name: name.to_owned(),
                text: text.trim_end().trim_end_matches(')').to_owned(),
                result: result.to_owned(),
                begin: at,
                end: if call.ends_with("<unfinished ...>") {
                    usize::MAX
                } else {
                    at
                },
            });
        }
    }
    calls
}

#[test]
fn a_trace_is_read_as_strace_means_it() {
    let trace = "\
        7 pwrite64(3</x/db>, \"a = (b, c)\", 10, 0 <unfinished ...>\n\
        8 fdatasync(4</x/db>)    = 0\n\
        7 <... pwrite64 resumed>) = 10\n\
        8 fdatasync(4</x/db>)    = -1 EIO (Input/output error) (INJECTED)\n";
    let calls = calls_of(trace);
    let seen: Vec<_> = calls
        .iter()
        .map(|call| {
            (
                &*call.name,
                call.on("/db>"),
                &*call.result,
                call.begin,
                call.end,
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("pwrite64", true, "10", 0, 2),
            ("fdatasync", true, "0", 1, 1),
            (
                "fdatasync",
                true,
                "-1 EIO (Input/output error) (INJECTED)",
                3,
                3
            ),
        ]
    );
}

/// Of the thread that commits, the third sync and all after it take an hour.
const HANGING: [&str; 5] = [
    "--seccomp-bpf",
    "-e",
    "trace=fdatasync",
    "-e",
    "inject=fdatasync:delay_enter=3600s:when=3+",
];

/// A server whose sync hangs.
struct Hanging {
    strace: Program,
    server: u32,
    admin: Client,
    watch: tonic::Streaming<v1::WatchResponse>,
}

impl Hanging {
    async fn start(strace: &Path, data_dir: &Path) -> Self {
        let trace = data_dir.join("trace");
        let mut options = HANGING.to_vec();
        options.extend(["-o", trace.to_str().unwrap()]);
        let (strace, address) = serve_under(strace, &options, data_dir);
        let server = traced(&strace);
        let admin = admin(address, data_dir).await;
        let request = v1::WatchRequest {
            heartbeat: Some(prost_types::Duration {
                seconds: 0,
                nanos: 100_000_000,
            }),
            ..Default::default()
        };
        let watch = admin.watch(request).await.unwrap();
        Self {
            strace,
            server,
            admin,
            watch,
        }
    }

    /// Waits until a call is answered (`true`) or its sync hangs.
    async fn is_answered<T>(&self, call: &JoinHandle<T>) -> bool {
        // strace stops the thread at every sync, but not for so long.
        const LOOKS: u32 = 50;

        let mut stopped = 0;
        until("an answer or a hanging sync", || {
            stopped = if self.committer_is_stopped() {
                stopped + 1
            } else {
                0
            };
            let settled = call.is_finished() || stopped == LOOKS;
            std::future::ready(settled)
        })
        .await;
        call.is_finished()
    }

    /// Whether strace has stopped the thread that commits: it lets all calls
    /// pass but the sync.
    fn committer_is_stopped(&self) -> bool {
        let threads = fs::read_dir(format!("/proc/{}/task", self.server)).unwrap();
        threads.filter_map(Result::ok).any(|thread| {
            let read = |name| fs::read_to_string(thread.path().join(name)).unwrap_or_default();
            read("comm").trim_end() == "committer"
                && read("status")
                    .lines()
                    .any(|line| line.starts_with("State:\tt"))
        })
    }

    /// The credentials that the Watch has shown a change of, up to now.
    async fn watched(&mut self) -> Vec<String> {
        let now = self.list().await.1;
        let mut ids = Vec::new();
        loop {
            let message = soon("a message", self.watch.message()).await;
            let message = message.unwrap().unwrap();
            match message.message.unwrap() {
                Message::Commit(commit) => {
                    ids.extend(commit.events.into_iter().map(|event| {
                        let Some(v1::event::Subject::Credential(event)) = event.subject else {
                            panic!("an event of nothing");
                        };
                        event.credential_id
                    }));
                }
                // What there was to show was shown before it.
                Message::Bookmark(_) if message.revision.unwrap().number >= now => return ids,
                Message::Bookmark(_) => (),
                Message::Reset(_) | Message::SnapshotPart(_) => panic!("a Watch lost its place"),
                Message::Grant(_) => panic!("a Grant to who asked for none"),
            }
        }
    }

    /// What is listed, and the revision.
    async fn list(&self) -> (HashMap<String, v1::Credential>, u64) {
        let page = list(&self.admin).await;
        let by_id = page.credentials.into_iter().map(|c| (c.id.clone(), c));
        (by_id.collect(), page.revision.unwrap().number)
    }

    /// Kills the server and waits until it is gone.
    fn kill(self) {
        signal("KILL", self.server);
        // It would sit out the delay.
        self.strace.kill();
        wait_for("the server's end", || {
            let status = fs::read_to_string(format!("/proc/{}/status", self.server));
            let status = status.unwrap_or_default();
            (status.is_empty() || status.contains("State:\tZ")).then_some(())
        });
    }
}

async fn list(admin: &Client) -> v1::ListResponse {
    let request = list_request_of_all_states("acme");
    admin.list(request).await.unwrap()
}

fn spawn<T: Send + 'static>(
    call: impl Future<Output = Result<T, Status>> + Send + 'static,
) -> JoinHandle<Result<T, Status>> {
    tokio::spawn(call)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issue_that_is_not_durable_is_shown_to_nobody() {
    let Some(strace) = tool("CREDD_TEST_STRACE") else {
        return;
    };
    let (directory, credentials) = directory_with(1).await;
    let mut hanging = Hanging::start(&strace, directory.path()).await;
    let mut acknowledged = BTreeSet::new();
    let pending = loop {
        let admin = hanging.admin.clone();
        let call = spawn(async move { admin.issue(token_request("acme")).await });
        if !hanging.is_answered(&call).await {
            break call;
        }
        let issued = call.await.unwrap().unwrap();
        assert!(acknowledged.insert(issued.credential.unwrap().id));
        assert!(acknowledged.len() < 10, "the third sync hangs");
    };
    let behind = {
        let (admin, id) = (hanging.admin.clone(), credentials[0].0.clone());
        spawn(async move { admin.revoke(&id).await })
    };
    let watched = hanging.watched().await;
    let (listed, _) = hanging.list().await;
    assert_eq!(watched.into_iter().collect::<BTreeSet<_>>(), acknowledged);
    let old = BTreeSet::from([credentials[0].0.clone()]);
    let expected: BTreeSet<_> = acknowledged.union(&old).cloned().collect();
    assert_eq!(listed.into_keys().collect::<BTreeSet<_>>(), expected);
    assert_eq!(
        hanging.admin.verdict(&credentials[0].1).await,
        v1::Verdict::Active
    );
    assert!(
        !pending.is_finished() && !behind.is_finished(),
        "answered and not durable"
    );
    hanging.kill();

    assert!(pending.await.unwrap().is_err());
    assert!(behind.await.unwrap().is_err());
    let (_server, address) = Program::serve(serve(&[], directory.path()));
    let after = list(&admin(address, directory.path()).await).await;
    let after: BTreeSet<_> = after.credentials.into_iter().map(|c| c.id).collect();
    assert!(after.is_superset(&expected));
    assert!(after.len() <= expected.len() + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_that_is_not_durable_is_shown_to_nobody() {
    let Some(strace) = tool("CREDD_TEST_STRACE") else {
        return;
    };
    let (directory, credentials) = directory_with(8).await;
    let mut hanging = Hanging::start(&strace, directory.path()).await;
    let revoke = |admin: &Client, id: &str| {
        let (admin, id) = (admin.clone(), id.to_owned());
        spawn(async move { admin.revoke(&id).await })
    };
    let mut revoked = Vec::new();
    let mut active = credentials.iter();
    let ((id, token), pending) = loop {
        let (id, token) = active.next().expect("the third sync hangs");
        let call = revoke(&hanging.admin, id);
        if !hanging.is_answered(&call).await {
            break ((id, token), call);
        }
        call.await.unwrap().unwrap();
        revoked.push(id.clone());
        assert_eq!(hanging.admin.verdict(token).await, v1::Verdict::Revoked);
    };
    // Writes nothing, and must not say so before what it saw is durable.
    let again = revoke(&hanging.admin, id);
    assert_eq!(hanging.watched().await, revoked);
    let (listed, _) = hanging.list().await;
    let got = hanging.admin.get(id).await.unwrap();
    for shown in [&got, &listed[id]] {
        assert_eq!(shown.state(), v1::CredentialState::Active);
        assert_eq!(
            shown.last_change.as_ref().unwrap().r#type(),
            v1::ChangeType::Issued
        );
    }
    assert_eq!(hanging.admin.verdict(token).await, v1::Verdict::Active);
    assert!(
        !pending.is_finished() && !again.is_finished(),
        "answered and not durable"
    );
    hanging.kill();

    assert!(pending.await.unwrap().is_err());
    assert!(again.await.unwrap().is_err());
    let (_server, address) = Program::serve(serve(&[], directory.path()));
    let admin = admin(address, directory.path()).await;
    for (id, token) in &credentials {
        if revoked.contains(id) {
            assert_eq!(admin.verdict(token).await, v1::Verdict::Revoked);
        }
    }
    for (_, token) in active {
        assert_eq!(admin.verdict(token).await, v1::Verdict::Active);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_first_sync_ends_the_process_that_serves_nobody_yet() {
    let Some(strace) = tool("CREDD_TEST_STRACE") else {
        return;
    };
    let (directory, credentials) = directory_with(1).await;
    let wrapper = [
        strace.to_str().unwrap(),
        "-f",
        "-qq",
        "--seccomp-bpf",
        "-e",
        "signal=none",
        "-e",
        "trace=fdatasync",
        "-e",
        "inject=fdatasync:error=EIO:when=1+",
        "-o",
        "/dev/null",
    ];
    let ended = Program::start(serve(&wrapper, directory.path())).end();
    assert_eq!(ended.status.code(), Some(1), "{}", ended.output);
    let told = ended.output.contains("the task `committer` ended");
    assert!(told, "{}", ended.output);

    let (server, address) = Program::serve(serve(&[], directory.path()));
    let client = admin(address, directory.path()).await;
    let (_, token) = &credentials[0];
    assert_eq!(client.verdict(token).await, v1::Verdict::Active);
    assert!(server.terminate().status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_sync_ends_the_process_and_loses_nothing_that_was_acknowledged() {
    let Some(strace) = tool("CREDD_TEST_STRACE") else {
        return;
    };
    // The first is that of the start: until then nobody is served.
    for first_to_fail in 2..5 {
        let (directory, credentials) = directory_with(3).await;
        let inject = format!("inject=fdatasync:error=EIO:when={first_to_fail}+");
        let trace = directory.path().join("trace");
        let options = [
            "--seccomp-bpf",
            "-e",
            "trace=fdatasync",
            "-e",
            &inject,
            "-o",
            trace.to_str().unwrap(),
        ];
        let (server, address) = serve_under(&strace, &options, directory.path());
        let client = admin(address, directory.path()).await;
        let mut active = Vec::new();
        let failure = loop {
            match client.issue(token_request("acme")).await {
                Ok(issued) => active.push(issued.credential.unwrap().id),
                Err(status) => break status,
            }
            assert!(active.len() < first_to_fail, "answered without a sync");
        };
        assert_eq!(failure.code(), Code::Unavailable, "{failure}");
        if let Some(info) = failure.get_error_details().error_info() {
            assert_eq!(info.reason, "STORE_FAILED");
        }
        let ended = server.end();
        assert_eq!(ended.status.code(), Some(1), "{}", ended.output);
        // Whichever of those that use the store sees it first.
        let names = ["committer", "log retention"];
        let mut told = names
            .map(|name| format!("the task `{name}` ended"))
            .into_iter();
        assert!(
            told.any(|told| ended.output.contains(&told)),
            "{}",
            ended.output
        );
        let marker = directory.path().join("store/POISONED");
        let why = fs::read_to_string(&marker).expect("the marker is there");
        assert!(why.contains("os error 5"), "{why}");

        let (server, address) = Program::serve(serve(&[], directory.path()));
        assert!(!marker.exists());
        let client = admin(address, directory.path()).await;
        let listed = list(&client).await.credentials;
        let listed: BTreeSet<_> = listed.into_iter().map(|c| c.id).collect();
        active.extend(credentials.iter().map(|(id, _)| id.clone()));
        assert!(
            active.iter().all(|id| listed.contains(id)),
            "an acknowledged change is lost"
        );
        assert!(listed.len() <= active.len() + 1);
        for (_, token) in &credentials {
            assert_eq!(client.verdict(token).await, v1::Verdict::Active);
        }
        client.issue_token("acme").await;
        assert!(server.terminate().status.success());
    }
}
