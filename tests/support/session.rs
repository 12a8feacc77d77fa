//! A session of Watch, as a cache would be one.

#![allow(dead_code, reason = "each suite uses a part of it")]

use credd::proto::v1;
use credd::proto::v1::watch_response::Message;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use crate::support::{Client, soon};

/// A session that a test leads step by step.
pub(crate) struct Session {
    requests: mpsc::Sender<v1::WatchRequest>,
    messages: Streaming<v1::WatchResponse>,
    sequence: u64,
    /// What the stream has reached.
    pub(crate) reached: v1::Revision,
    /// Its name, once it has asked for a lease.
    pub(crate) id: String,
    /// Where to take the stream up.
    pub(crate) resume_token: String,
}

impl Session {
    /// Begins a stream from now on.
    pub(crate) async fn start(client: &Client) -> Self {
        Self::start_with(client, v1::WatchRequest::default()).await
    }

    /// Begins a stream in the name of another.
    pub(crate) async fn start_for(client: &Client, principal: &str) -> Self {
        let (requests, receiver) = mpsc::channel(16);
        let mut request = tonic::Request::new(ReceiverStream::new(receiver));
        let metadata = request.metadata_mut();
        metadata.insert("credd-on-behalf-of", principal.parse().unwrap());
        Self::begin(client, request, requests, v1::WatchRequest::default()).await
    }

    /// Begins a stream, and receives its first message.
    pub(crate) async fn start_with(client: &Client, first: v1::WatchRequest) -> Self {
        let (requests, receiver) = mpsc::channel(16);
        let request = tonic::Request::new(ReceiverStream::new(receiver));
        Self::begin(client, request, requests, first).await
    }

    async fn begin(
        client: &Client,
        request: tonic::Request<ReceiverStream<v1::WatchRequest>>,
        requests: mpsc::Sender<v1::WatchRequest>,
        first: v1::WatchRequest,
    ) -> Self {
        requests.send(first).await.unwrap();
        let mut verification = client.verification.clone();
        let answer = verification.watch(request).await;
        let mut messages = answer.unwrap().into_inner();
        let opening = soon("the first message", messages.message()).await;
        let opening = opening.unwrap().unwrap();
        Self {
            requests,
            messages,
            sequence: 0,
            reached: opening.revision.unwrap(),
            id: String::new(),
            resume_token: opening.resume_token,
        }
    }

    /// Sends something.
    pub(crate) async fn send(&self, request: v1::WatchRequest) {
        self.requests.send(request).await.unwrap();
    }

    /// Receives something.
    pub(crate) async fn next(&mut self) -> Result<v1::WatchResponse, Status> {
        let message = soon("a message", self.messages.message()).await?;
        let message = message.ok_or_else(|| Status::unknown("the stream ended"))?;
        if !matches!(message.message, Some(Message::Grant(_))) {
            self.reached = message.revision.clone().unwrap();
        }
        if !message.resume_token.is_empty() {
            self.resume_token.clone_from(&message.resume_token);
        }
        Ok(message)
    }

    /// Asks for a lease as one that has applied what it has received, and waits for
    /// the answer; what comes before that is applied too.
    pub(crate) async fn renew(&mut self) -> v1::Grant {
        let applied = self.reached.clone();
        self.renew_as_of(applied).await.unwrap()
    }

    /// The same, as one that has applied another revision.
    pub(crate) async fn renew_as_of(&mut self, applied: v1::Revision) -> Result<v1::Grant, Status> {
        let renewal = v1::Renewal {
            applied: Some(applied),
            ..v1::Renewal::default()
        };
        self.renew_with(renewal).await
    }

    /// The same, with whatever else.
    pub(crate) async fn renew_with(&mut self, renewal: v1::Renewal) -> Result<v1::Grant, Status> {
        self.sequence += 1;
        let sequence = self.sequence;
        self.send(v1::WatchRequest {
            renewal: Some(v1::Renewal {
                sequence,
                ..renewal
            }),
            ..v1::WatchRequest::default()
        })
        .await;
        loop {
            if let Some(Message::Grant(grant)) = self.next().await?.message {
                assert_eq!(grant.sequence, sequence);
                self.id.clone_from(&grant.session_id);
                return Ok(grant);
            }
        }
    }

    /// Receives until a message that somebody waits for.
    pub(crate) async fn until_fenced(&mut self) -> v1::WatchResponse {
        loop {
            let message = self.next().await.unwrap();
            if message.fenced {
                return message;
            }
        }
    }

    /// Goes on by itself, as a cache does: acknowledges at once what somebody waits
    /// for.
    pub(crate) fn obey(mut self) -> JoinHandle<()> {
        tokio::spawn(async move {
            loop {
                let message = self.messages.message().await;
                let Ok(Some(message)) = message else {
                    return;
                };
                if message.fenced {
                    self.sequence += 1;
                    let renewal = v1::Renewal {
                        sequence: self.sequence,
                        applied: message.revision,
                        ..v1::Renewal::default()
                    };
                    self.send(v1::WatchRequest {
                        renewal: Some(renewal),
                        ..v1::WatchRequest::default()
                    })
                    .await;
                }
            }
        })
    }
}
