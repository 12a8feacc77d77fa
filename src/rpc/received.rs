//! Requests that have arrived, and answers that were read.
//!
//! A client may send, and read, as slowly as it likes. While it does, its call has a
//! place of those that its caller may have, but no turn to run.

use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tokio::time::timeout;
use tonic::Status;
use tonic::body::Body;

use super::status;

/// How long a request may take to arrive.
const ARRIVAL_TIME: Duration = Duration::from_secs(30);

/// Waits until a request has arrived, to its end, and of at most so many bytes.
///
/// # Errors
///
/// `DEADLINE_EXCEEDED` (`REQUEST_TOO_SLOW`) if that takes too long,
/// `RESOURCE_EXHAUSTED` (`MESSAGE_TOO_LARGE`) if it is too large, and the one by which
/// it breaks off.
pub async fn received(body: Body, most: usize) -> Result<Body, Status> {
    if body.is_end_stream() {
        return Ok(body);
    }
    let receive = Limited::new(body, most).collect();
    let arrived = timeout(ARRIVAL_TIME, receive).await;
    let whole = arrived.map_err(|_| status::too_slow())?;
    let whole = whole.map_err(|error| {
        if error.is::<LengthLimitError>() {
            return status::too_large();
        }
        let broken = error.downcast::<Status>();
        broken.map_or_else(|error| status::internal(&*error), |status| *status)
    })?;
    Ok(Body::new(whole.map_err(|never| match never {})))
}

/// What `answer` comes to, which waits for nothing but its request to arrive, and
/// whether it had to wait.
///
/// # Errors
///
/// `DEADLINE_EXCEEDED` (`REQUEST_TOO_SLOW`) if that takes too long.
pub async fn once_received<T>(answer: impl Future<Output = T>) -> Result<(T, bool), Status> {
    let mut answer = pin!(answer);
    // Nearly always it is there already: a timer costs more than that look.
    let first = std::future::poll_fn(|context| Poll::Ready(answer.as_mut().poll(context)));
    if let Poll::Ready(answer) = first.await {
        return Ok((answer, false));
    }
    let arrived = timeout(ARRIVAL_TIME, answer).await;
    arrived
        .map(|answer| (answer, true))
        .map_err(|_| status::too_slow())
}

/// The body of an answer whose call has its place until the client has read it, or is
/// gone.
pub struct Placed<P> {
    body: Body,
    _place: P,
}

impl<P> Placed<P> {
    /// This body, with the place of its call.
    #[must_use]
    pub const fn new(body: Body, place: P) -> Self {
        Self {
            body,
            _place: place,
        }
    }
}

impl<P: Unpin> http_body::Body for Placed<P> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http_body_util::{Full, StreamBody};
    use tokio_stream as stream;
    use tonic::Code;

    use super::*;

    fn body_of(parts: Vec<Result<&'static str, Status>>) -> Body {
        let frames = parts.into_iter().map(|part| part.map(frame));
        Body::new(StreamBody::new(stream::iter(frames)))
    }

    fn frame(text: &'static str) -> Frame<Bytes> {
        Frame::data(Bytes::from_static(text.as_bytes()))
    }

    async fn text(body: Body) -> Result<Bytes, Status> {
        Ok(body.collect().await?.to_bytes())
    }

    #[tokio::test]
    async fn it_is_the_same_request() {
        for most in [7, 1000] {
            let parts = vec![Ok("one "), Ok(""), Ok("two")];
            let received = received(body_of(parts), most).await.unwrap();
            assert_eq!(text(received).await.unwrap(), "one two", "{most}");
        }
        let whole =
            Body::new(Full::<Bytes>::from("whole").map_err(|never: Infallible| match never {}));
        assert_eq!(
            text(received(whole, 9).await.unwrap()).await.unwrap(),
            "whole"
        );
        let empty = received(Body::empty(), 9).await.unwrap();
        assert!(empty.is_end_stream());
    }

    #[tokio::test]
    async fn what_breaks_off_is_not_passed_on() {
        let parts = vec![Ok("one"), Err(Status::cancelled("gone"))];
        let status = received(body_of(parts), 1000).await.unwrap_err();
        assert_eq!(status.code(), Code::Cancelled);
    }

    #[tokio::test]
    async fn one_that_is_too_large_is_refused_and_not_waited_for() {
        let endless = stream::iter(std::iter::repeat_with(|| {
            Ok::<_, Status>(frame("0123456789"))
        }));
        let body = Body::new(StreamBody::new(endless));
        let status = received(body, 25).await.unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted);
        let exact = body_of(vec![Ok("01234"), Ok("56789")]);
        assert!(received(exact, 10).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_waited_for_so_long_and_no_longer() {
        let silent = || Body::new(StreamBody::new(stream::pending::<Result<_, Status>>()));
        let status = received(silent(), 9).await.unwrap_err();
        assert_eq!(status.code(), Code::DeadlineExceeded);
        let status = once_received(text(silent())).await.unwrap_err();
        assert_eq!(status.code(), Code::DeadlineExceeded);
        let late = async {
            tokio::time::sleep(ARRIVAL_TIME / 2).await;
            7
        };
        assert_eq!(once_received(late).await.unwrap(), (7, true));
        let at_once = std::future::ready(7);
        assert_eq!(once_received(at_once).await.unwrap(), (7, false));
    }
}
