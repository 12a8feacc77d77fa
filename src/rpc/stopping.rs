//! Answers that end when the server stops, for the services that are not
//! credd's own: they stream for as long as the client likes.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::Frame;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::Status;
use tonic::body::Body;

use super::status;

/// The body of an answer, which ends UNAVAILABLE (`STOPPING`) when the server
/// stops and has nothing more to say at that moment.
pub struct EndsWhenStopping {
    body: Body,
    ending: Pin<Box<WaitForCancellationFutureOwned>>,
    has_ended: bool,
}

impl EndsWhenStopping {
    /// This body, until `ending` is cancelled.
    #[must_use]
    pub fn new(body: Body, ending: &CancellationToken) -> Self {
        Self {
            body,
            ending: Box::pin(ending.clone().cancelled_owned()),
            has_ended: false,
        }
    }
}

impl http_body::Body for EndsWhenStopping {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.has_ended {
            return Poll::Ready(None);
        }
        if let ready @ Poll::Ready(_) = Pin::new(&mut self.body).poll_frame(context) {
            return ready;
        }
        std::task::ready!(self.ending.as_mut().poll(context));
        self.has_ended = true;
        let mut trailers = http::HeaderMap::new();
        let written = status::stopping().add_header(&mut trailers);
        Poll::Ready(Some(written.map(|()| Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.has_ended || self.body.is_end_stream()
    }
}
