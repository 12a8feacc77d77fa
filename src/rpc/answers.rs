//! Streams of answers that are worked out one after the other.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio_stream::Stream;
use tokio_util::sync::ReusableBoxFuture;
use tonic::Status;

/// The answers of one stream.
pub type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Where answers come from.
pub(crate) trait Source: Send + 'static {
    /// An answer.
    type Item: Send + 'static;

    /// The next answer; `None`: there are no more. After an error it is not asked
    /// again.
    fn next(&mut self) -> impl Future<Output = Option<Result<Self::Item, Status>>> + Send;
}

/// The answers of a source, up to the first error.
pub(crate) fn answers<S: Source>(source: S) -> Answers<S::Item> {
    Box::pin(OneByOne {
        next: Some(ReusableBoxFuture::new(step(Box::new(source)))),
    })
}

struct OneByOne<S: Source> {
    /// Works out the next answer; `None`: the stream has ended.
    next: Option<ReusableBoxFuture<'static, Step<S>>>,
}

type Step<S> = (Option<Result<<S as Source>::Item, Status>>, Box<S>);

async fn step<S: Source>(mut source: Box<S>) -> Step<S> {
    let item = source.next().await;
    (item, source)
}

impl<S: Source> Stream for OneByOne<S> {
    type Item = Result<S::Item, Status>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let Some(next) = &mut this.next else {
            return Poll::Ready(None);
        };
        let (item, source) = std::task::ready!(next.poll(context));
        match item {
            Some(Ok(_)) => next.set(step(source)),
            _ => this.next = None,
        }
        Poll::Ready(item)
    }
}
