//! `VerificationService`, answered from what is known of the cells that are followed.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_stream::Stream;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::{Request, Response, Status, Streaming};

use super::cells::Cells;
use super::relay;
use super::verifier::{Served, Verified};
use crate::client::{SERVED, STALE};
use crate::proto::v1;
use crate::proto::v1::verification_service_server::VerificationService;
use crate::proto::v1::verify_stream_response::Outcome;
use crate::rpc::answers::Answers;
use crate::rpc::deadline::answer_before;
use crate::rpc::status::{self, refined};
use crate::rpc::verification::check_client;
use crate::spans::InContext as _;

/// The service.
#[derive(Clone, Debug)]
pub struct Verification {
    cells: Cells,
    stopping: CancellationToken,
}

/// How long a Watch waits for its first message.
const FIRST_MESSAGE: Duration = Duration::from_secs(10);
/// How many questions of a stream are under way at once.
const IN_FLIGHT: usize = 1024;
/// After how many answers a stream that never waits lets others run.
const LOOK_UP: usize = 64;

impl Verification {
    /// Answers with what is known of these cells, and passes on what is followed there.
    #[must_use]
    pub const fn new(cells: Cells, stopping: CancellationToken) -> Self {
        Self { cells, stopping }
    }
}

#[tonic::async_trait]
impl VerificationService for Verification {
    type VerifyStreamStream = VerifyStream;
    type WatchStream = Answers<v1::WatchResponse>;

    async fn verify(
        &self,
        request: Request<v1::VerifyRequest>,
    ) -> Result<Response<v1::VerifyResponse>, Status> {
        let due = answer_before(request.metadata().as_ref());
        let request = request.get_ref();
        check_client(&request.client_address, &request.request_id)?;
        let patience = due.map_or(Duration::MAX, |due| {
            due.saturating_duration_since(Instant::now())
        });
        Ok(response(self.cells.verify(request, patience).await?))
    }

    async fn verify_stream(
        &self,
        request: Request<Streaming<v1::VerifyStreamRequest>>,
    ) -> Result<Response<VerifyStream>, Status> {
        Ok(Response::new(VerifyStream {
            cells: self.cells.clone(),
            requests: Some(request.into_inner()),
            under_way: JoinSet::new(),
            answered: 0,
            stopping: Box::pin(self.stopping.clone().cancelled_owned()),
        }))
    }

    async fn watch(
        &self,
        request: Request<Streaming<v1::WatchRequest>>,
    ) -> Result<Response<Answers<v1::WatchResponse>>, Status> {
        let mut requests = request.into_inner();
        let first = tokio::select! {
            first = requests.message() => first.map_err(refined)?,
            () = self.stopping.cancelled() => return Err(status::stopping()),
            () = tokio::time::sleep(FIRST_MESSAGE) => None,
        };
        let first =
            first.ok_or_else(|| status::invalid("request", "is required within ten seconds"))?;
        let tenants = first.tenants.iter().map(String::as_str);
        let cell = self.cells.of_all("tenants", tenants)?;
        let (relay, stopping) = (Arc::clone(&cell.relay), self.stopping.clone());
        Ok(Response::new(relay::messages(
            relay, first, requests, stopping,
        )?))
    }
}

fn response(verified: Verified) -> Response<v1::VerifyResponse> {
    let served = verified.served;
    let mut response = Response::new(verified.into_message());
    if served == Served::Stale {
        let stale: MetadataValue<Ascii> = MetadataValue::from_static(STALE);
        response.metadata_mut().insert(SERVED, stale);
    }
    response
}

/// The answers of one `VerifyStream`. Of the cache they come at once; what must be
/// asked for comes when it is there.
pub struct VerifyStream {
    cells: Cells,
    /// `None`: no more come.
    requests: Option<Streaming<v1::VerifyStreamRequest>>,
    under_way: JoinSet<v1::VerifyStreamResponse>,
    answered: usize,
    stopping: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl VerifyStream {
    /// The answer to a question, if it is there already.
    fn begin(&mut self, question: v1::VerifyStreamRequest) -> Option<v1::VerifyStreamResponse> {
        let v1::VerifyStreamRequest {
            correlation,
            request,
        } = question;
        let request = request.ok_or_else(|| status::invalid("request", "is required"));
        let checked = request.and_then(|request| {
            check_client(&request.client_address, &request.request_id)?;
            Ok(request)
        });
        let request = match checked {
            Ok(request) => request,
            Err(status) => return Some(item(correlation, Err(status))),
        };
        if let Some(found) = self.cells.cached(&request) {
            return Some(item(correlation, Ok(found)));
        }
        let cells = self.cells.clone();
        let ask = async move { item(correlation, cells.verify(&request, Duration::MAX).await) };
        self.under_way.spawn(ask.with_current_context());
        None
    }
}

fn item(correlation: u64, outcome: Result<Verified, Status>) -> v1::VerifyStreamResponse {
    v1::VerifyStreamResponse {
        correlation,
        outcome: Some(match outcome {
            Ok(verified) => Outcome::Response(verified.into_message()),
            Err(status) => Outcome::Error(status::wire(&status)),
        }),
    }
}

impl Stream for VerifyStream {
    type Item = Result<v1::VerifyStreamResponse, Status>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        this.answered += 1;
        if this.answered.is_multiple_of(LOOK_UP) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if this.requests.is_some() && this.stopping.as_mut().poll(context).is_ready() {
            this.requests = None;
            this.under_way.abort_all();
            return Poll::Ready(Some(Err(status::stopping())));
        }
        while this.under_way.len() < IN_FLIGHT
            && let Some(requests) = &mut this.requests
        {
            match Pin::new(requests).poll_next(context) {
                Poll::Ready(Some(Ok(question))) => {
                    if let Some(answer) = this.begin(question) {
                        return Poll::Ready(Some(Ok(answer)));
                    }
                }
                Poll::Ready(Some(Err(status))) => {
                    this.requests = None;
                    this.under_way.abort_all();
                    return Poll::Ready(Some(Err(refined(status))));
                }
                Poll::Ready(None) => this.requests = None,
                Poll::Pending => break,
            }
        }
        match this.under_way.poll_join_next(context) {
            Poll::Ready(Some(Ok(answer))) => Poll::Ready(Some(Ok(answer))),
            // One that panicked was a defect; one that was aborted, of a stream that
            // has ended.
            Poll::Ready(Some(Err(error))) if error.is_panic() => {
                Poll::Ready(Some(Err(status::internal(&error))))
            }
            Poll::Ready(Some(Err(_))) => Poll::Ready(None),
            Poll::Ready(None) if this.requests.is_none() => Poll::Ready(None),
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}
