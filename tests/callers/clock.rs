//! Callers whose credential is good for a time, by a clock that the test sets.

use std::time::Duration;

use credd::proto::v1;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use crate::calls::{Held, Watched, issue, issue_request, rotated, verdict};
use crate::clocked::{Clocked, Disk};
use crate::signer::now;
use crate::support::{Client, soon};

const HOUR: Duration = Duration::from_hours(1);
const MOMENT: Duration = Duration::from_millis(1);

/// A stream of questions about one credential.
struct Asking {
    held: Held,
    questions: mpsc::Sender<v1::VerifyStreamRequest>,
    answers: Streaming<v1::VerifyStreamResponse>,
}

impl Asking {
    async fn start(client: &Client, held: &Held) -> Self {
        let (questions, asked) = mpsc::channel(1);
        let mut verification = client.verification.clone();
        let stream = verification.verify_stream(ReceiverStream::new(asked)).await;
        Self {
            held: held.clone(),
            questions,
            answers: stream.unwrap().into_inner(),
        }
    }

    async fn ask(&mut self) -> Result<(), Status> {
        let question = v1::VerifyStreamRequest {
            correlation: 1,
            request: Some(self.held.question()),
        };
        let _ = self.questions.send(question).await;
        let answer = soon("an answer", self.answers.message()).await?;
        assert!(answer.is_some());
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_end_with_the_caller_s_credential_or_its_overlap() {
    let server = Clocked::start(Disk::at(now() * 1000)).await;
    let held = issue(&server.admin, "acme", "jo", "api-token").await;
    server.admin.bind("credd:brief", "verifier", "acme").await;
    let brief = v1::IssueRequest {
        expiry: Some(v1::issue_request::Expiry::Ttl(prost_types::Duration {
            seconds: 3600,
            nanos: 0,
        })),
        ..issue_request("credd", "brief", "api-token")
    };
    let brief = server.admin.issue(brief).await.unwrap();
    let brief = Held::of(brief.credential.as_ref(), brief.secret);
    // One that goes on until its overlap ends.
    let old = issue(&server.admin, "credd", "brief", "api-token").await;
    let seconds = i64::try_from(HOUR.as_secs()).unwrap();
    let new = rotated(&server.admin, &old.id, seconds).await;

    let mut ending = Vec::new();
    for token in [&brief, &old] {
        let client = server.client(&token.secret()).await;
        let mut asking = Asking::start(&client, &held).await;
        asking.ask().await.unwrap();
        let mut watched = Watched::start(&client).await;
        let id = issue(&server.admin, "acme", "jo", "api-token").await.id;
        assert_eq!(watched.credentials().await.1[0].credential_id, id);
        ending.push((client, asking));
    }
    let last = server.client(&new.secret()).await;
    let mut lasting = Asking::start(&last, &held).await;
    server.clock.advance(HOUR.saturating_sub(MOMENT));
    for (_, asking) in &mut ending {
        asking.ask().await.unwrap();
    }
    server.clock.advance(MOMENT);
    for (client, asking) in &mut ending {
        let status = asking.ask().await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated);
        let status = client
            .verification
            .verify(held.question())
            .await
            .unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated);
    }
    lasting.ask().await.unwrap();
    assert_eq!(verdict(&last, &held).await, v1::Verdict::Active);
    drop((ending, lasting, last));
    server.stop().await;
}
