//! Where a stream can't be taken up, it says so and goes on from now.

use credd::authority::watch::ResumePoint;
use credd::domain::revision::{ChainHash, Revision};
use credd::proto::v1;
use credd::proto::v1::ResetReason;
use credd::rpc::resume_token;
use tempfile::TempDir;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::history::{History, Recorder, Said, reliable, snapshot};
use crate::support::{Server, config, token_request, until};
use crate::writers::write;

/// A Watch with a snapshot that begins where this token says.
fn resume(token: &str) -> v1::WatchRequest {
    v1::WatchRequest {
        resume_token: token.to_owned(),
        snapshot: true,
        ..Default::default()
    }
}

/// The token of now.
async fn token_of_now(server: &Server) -> String {
    let request = v1::WatchRequest::default();
    let mut recorder = Recorder::start(&server.admin, request).await;
    recorder.next().await.unwrap();
    recorder.token()
}

fn point(token: &str) -> ResumePoint {
    resume_token::decode(token).unwrap()
}

/// Resumes with a token and sees a Reset, then a snapshot, then what happens
/// next.
async fn assert_is_reset(server: &Server, token: &str, reason: ResetReason, history: &mut History) {
    let mut recorder = Recorder::start(&server.admin, resume(token)).await;
    assert_eq!(recorder.next().await.unwrap().said, Said::Reset(reason));
    history.extend(write(&server.admin, 99, 2, 10).await);
    let issued = server.admin.issue(token_request("acme")).await.unwrap();
    history.note(&issued.credential.unwrap());
    recorder.reach(history.last()).await;
    assert_eq!(snapshot(&recorder.stream, history), Ok(()));
    assert_eq!(reliable(&recorder.stream, history), Ok(()));

    // Without a snapshot the Reset is where the stream is taken up.
    let request = v1::WatchRequest {
        snapshot: false,
        ..resume(token)
    };
    let mut recorder = Recorder::start(&server.admin, request).await;
    let reset = recorder.next().await.unwrap().clone();
    assert_eq!(reset.said, Said::Reset(reason));
    let now = point(&token_of_now(server).await);
    assert_eq!(point(&reset.token), now);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_another_store_is_reset() {
    let (server, other) = tokio::join!(Server::start(), Server::start());
    let mut history = write(&server.admin, 1, 4, 20).await;
    let token = token_of_now(&other).await;
    assert_is_reset(&server, &token, ResetReason::OtherStore, &mut history).await;
    server.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_another_history_is_reset() {
    let server = Server::start().await;
    let mut history = write(&server.admin, 2, 4, 20).await;
    let now = point(&token_of_now(&server).await);
    let mut other_hash = now;
    other_hash.position.chain = ChainHash([0x5a; 32]);
    let mut ahead = now;
    ahead.position.revision = Revision::new(now.position.revision.number() + 1000);
    let mut past = now;
    past.position.revision = Revision::new(now.position.revision.number() - 1);
    for point in [other_hash, ahead, past] {
        let token = resume_token::encode(&point);
        assert_is_reset(&server, &token, ResetReason::OtherHistory, &mut history).await;
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_from_before_the_log_is_reset_and_one_from_within_it_is_not() {
    let server = Server::start().await;
    let early = token_of_now(&server).await;
    let mut history = write(&server.admin, 3, 2, 20).await;
    let kept = token_of_now(&server).await;
    let issued = server.admin.issue(token_request("acme")).await.unwrap();
    history.note(&issued.credential.unwrap());
    let server = restart_with_short_log(server.stop().await).await;
    // The log is compacted soon after the start.
    until("the log to be compacted", || async {
        let mut recorder = Recorder::start(&server.admin, resume(&early)).await;
        let first = recorder.next().await.unwrap();
        first.said == Said::Reset(ResetReason::Compacted)
    })
    .await;
    let mut recorder = Recorder::start(&server.admin, resume(&kept)).await;
    recorder.reach(history.last()).await;
    assert!(!recorder.stream.has_reset());
    assert_eq!(reliable(&recorder.stream, &history), Ok(()));
    assert_is_reset(&server, &early, ResetReason::Compacted, &mut history).await;
    server.stop().await;
}

async fn restart_with_short_log(directory: TempDir) -> Server {
    let mut config = config(directory.path());
    config.retention.log_commits = 5;
    Server::start_with(directory, config).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_is_no_token_is_refused() {
    let server = Server::start().await;
    let token = token_of_now(&server).await;
    for bad in ["x", &token[1..], &format!("{token}A")] {
        let status = server.admin.watch(resume(bad)).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        let details = status.get_error_details();
        let violations = &details.bad_request().unwrap().field_violations;
        assert_eq!(violations[0].field, "resume_token");
    }
    server.stop().await;
}
