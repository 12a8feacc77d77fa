//! Requests that have arrived.
//!
//! A client may send as slowly as it likes. While it does, its call holds up nobody:
//! it has a place, but no turn, and the place only for so long.

use std::collections::VecDeque;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as _, Frame};
use http_body_util::BodyExt as _;
use tokio::time::timeout;
use tonic::Status;
use tonic::body::Body;

use super::status;

/// How long a request may take to arrive.
const ARRIVAL_TIME: Duration = Duration::from_secs(30);

/// Waits until a request has arrived, or more than `most` bytes of it: the services
/// refuse it then without reading on.
///
/// # Errors
///
/// `DEADLINE_EXCEEDED` (`REQUEST_TOO_SLOW`) if that takes too long.
pub async fn received(mut rest: Body, most: usize) -> Result<Body, Status> {
    if rest.is_end_stream() {
        return Ok(rest);
    }
    let mut frames = VecDeque::new();
    let mut bytes = 0_usize;
    let receive = async {
        while bytes <= most
            && let Some(frame) = rest.frame().await
        {
            if let Ok(frame) = &frame {
                bytes = bytes.saturating_add(frame.data_ref().map_or(0, Bytes::len));
            }
            let is_broken = frame.is_err();
            frames.push_back(frame);
            if is_broken {
                break;
            }
        }
    };
    let arrived = timeout(ARRIVAL_TIME, receive).await;
    arrived.map_err(|_| status::too_slow())?;
    Ok(Body::new(Received { frames, rest }))
}

/// What `answer` comes to, which waits for nothing but its request to arrive.
///
/// # Errors
///
/// `DEADLINE_EXCEEDED` (`REQUEST_TOO_SLOW`) if that takes too long.
pub async fn once_received<T>(answer: impl Future<Output = T>) -> Result<T, Status> {
    let mut answer = pin!(answer);
    // Nearly always it is there already: a timer costs more than that look.
    let first = std::future::poll_fn(|context| Poll::Ready(answer.as_mut().poll(context)));
    if let Poll::Ready(answer) = first.await {
        return Ok(answer);
    }
    let arrived = timeout(ARRIVAL_TIME, answer).await;
    arrived.map_err(|_| status::too_slow())
}

/// The body of a request of which this much is there.
struct Received {
    frames: VecDeque<Result<Frame<Bytes>, Status>>,
    rest: Body,
}

impl http_body::Body for Received {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        match self.frames.pop_front() {
            Some(frame) => Poll::Ready(Some(frame)),
            None => Pin::new(&mut self.rest).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.frames.is_empty() && self.rest.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http_body_util::{Full, StreamBody};
    use tokio_stream::wrappers::ReceiverStream;
    use tokio_stream::{self as stream, StreamExt as _};
    use tonic::Code;

    use super::*;

    fn body(parts: Vec<Result<&'static str, Status>>) -> Body {
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
        for most in [0, 3, 1000] {
            let parts = vec![Ok("one "), Ok(""), Ok("two")];
            let received = received(body(parts), most).await.unwrap();
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
    async fn what_breaks_off_is_broken_for_the_service_too() {
        let parts = vec![Ok("one"), Err(Status::cancelled("gone"))];
        let received = received(body(parts), 1000).await.unwrap();
        assert_eq!(text(received).await.unwrap_err().code(), Code::Cancelled);
    }

    #[tokio::test]
    async fn no_more_is_kept_than_needed_to_refuse_it() {
        let (source, parts) = tokio::sync::mpsc::channel(1);
        let body = StreamBody::new(ReceiverStream::new(parts).map(Ok::<_, Status>));
        let sending = tokio::spawn(async move {
            let mut sent = 0;
            while source.send(frame("0123456789")).await.is_ok() {
                sent += 1;
            }
            sent
        });
        drop(received(Body::new(body), 25).await.unwrap());
        // Three, one that waited, and one in the hand.
        assert!(sending.await.unwrap() <= 5);
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
        assert_eq!(once_received(late).await.unwrap(), 7);
    }
}
