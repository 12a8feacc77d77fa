//! The end of an answer, which for a stream comes long after it began.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::Frame;
use tonic::body::Body;
use tonic::{Code, Status};

use crate::spans::Span;

/// What is to be told of the end of an answer. Dropped before it comes, it was
/// cancelled.
pub trait Ending: Unpin + Send + 'static {
    /// It ended so.
    fn end(self, status: &Status);

    /// The span that the answer is part of.
    fn span(&self) -> Option<&Span> {
        None
    }
}

/// The body of an answer, whose end is told.
#[derive(Debug)]
pub struct UntilEnd<E: Ending> {
    body: Body,
    /// `None`: it was told.
    ending: Option<E>,
}

impl<E: Ending> UntilEnd<E> {
    /// This body, with whom to tell.
    #[must_use]
    pub const fn new(body: Body, ending: E) -> Self {
        let ending = Some(ending);
        Self { body, ending }
    }

    fn tell(&mut self, status: &Status) {
        if let Some(ending) = self.ending.take() {
            ending.end(status);
        }
    }
}

impl<E: Ending> Drop for UntilEnd<E> {
    fn drop(&mut self) {
        if self.ending.is_some() {
            self.tell(&Status::new(Code::Cancelled, ""));
        }
    }
}

impl<E: Ending> http_body::Body for UntilEnd<E> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let inside = self.ending.as_ref().and_then(Ending::span).map(Span::enter);
        let frame = Pin::new(&mut self.body).poll_frame(context);
        match &frame {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(trailers) = frame.trailers_ref() {
                    let status = Status::from_header_map(trailers);
                    self.tell(&status.unwrap_or_else(|| Status::new(Code::Unknown, "")));
                }
            }
            Poll::Ready(Some(Err(status))) => self.tell(status),
            Poll::Ready(None) => self.tell(&Status::new(Code::Unknown, "")),
            Poll::Pending => (),
        }
        drop(inside);
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http_body_util::{BodyExt as _, StreamBody};
    use parking_lot::Mutex;

    use super::*;

    #[derive(Clone, Debug, Default)]
    struct Told(Arc<Mutex<Vec<Code>>>);

    impl Ending for Told {
        fn end(self, status: &Status) {
            self.0.lock().push(status.code());
        }
    }

    fn body(frames: Vec<Result<Frame<Bytes>, Status>>) -> Body {
        Body::new(StreamBody::new(tokio_stream::iter(frames)))
    }

    fn trailers(code: &'static str) -> Frame<Bytes> {
        let mut trailers = http::HeaderMap::new();
        trailers.insert("grpc-status", code.parse().unwrap());
        Frame::trailers(trailers)
    }

    #[tokio::test]
    async fn the_end_is_what_the_trailers_say_and_is_told_once() {
        let data = || Ok(Frame::data(Bytes::from_static(b"x")));
        for (frames, code) in [
            (vec![data(), Ok(trailers("0"))], Code::Ok),
            (vec![data(), Ok(trailers("14"))], Code::Unavailable),
            (vec![data(), Err(Status::internal("x"))], Code::Internal),
            (vec![data()], Code::Unknown),
        ] {
            let told = Told::default();
            let _ = UntilEnd::new(body(frames), told.clone()).collect().await;
            assert_eq!(*told.0.lock(), [code]);
        }
    }

    #[tokio::test]
    async fn one_that_nobody_reads_to_its_end_was_cancelled() {
        let told = Told::default();
        let data = Ok(Frame::data(Bytes::from_static(b"x")));
        let mut answer = UntilEnd::new(body(vec![data, Ok(trailers("0"))]), told.clone());
        answer.frame().await.unwrap().unwrap();
        assert_eq!(*told.0.lock(), []);
        drop(answer);
        assert_eq!(*told.0.lock(), [Code::Cancelled]);
    }
}
