//! What is told of every call from outside: a layer around all others that counts it,
//! measures it, and makes it a span of its caller's trace.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use http::{HeaderMap, Request, Response};
use pin_project_lite::pin_project;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};

use super::calls::Calls;
use super::ending::{Ending, UntilEnd};
use super::methods::Method;
use crate::spans::{Parent, Span, Tracer};

/// The layer.
#[derive(Clone, Debug)]
pub struct ObserveLayer(Arc<Observer>);

/// Who is told.
#[derive(Debug)]
struct Observer {
    calls: Arc<Calls>,
    tracer: Option<Tracer>,
}

impl ObserveLayer {
    /// A layer that counts here, and, if there is a tracer, makes spans of the RPCs of
    /// credd's contract.
    #[must_use]
    pub fn new(calls: Arc<Calls>, tracer: Option<Tracer>) -> Self {
        Self(Arc::new(Observer { calls, tracer }))
    }
}

impl<S> Layer<S> for ObserveLayer {
    type Service = ObserveService<S>;

    fn layer(&self, inner: S) -> ObserveService<S> {
        ObserveService {
            observer: Arc::clone(&self.0),
            inner,
        }
    }
}

/// A service whose calls are observed.
#[derive(Clone, Debug)]
pub struct ObserveService<S> {
    observer: Arc<Observer>,
    inner: S,
}

impl<S> Service<Request<Body>> for ObserveService<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Observed<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let call = Observing::begin(&self.observer, &request);
        let inside = call.span.as_ref().map(Span::enter);
        let answer = self.inner.call(request);
        drop(inside);
        Observed {
            answer,
            call: Some(call),
        }
    }
}

/// A call that has not ended. Dropped before it does, it was cancelled.
#[derive(Debug)]
struct Observing {
    observer: Arc<Observer>,
    method: Method,
    began: Instant,
    span: Option<Span>,
    is_over: bool,
}

impl Observing {
    fn begin(observer: &Arc<Observer>, request: &Request<Body>) -> Self {
        let method = Method::of(request.uri().path());
        let tracer = observer.tracer.as_ref().filter(|_| method.is_credds());
        let serve = |tracer: &Tracer| tracer.serve(method.name(), Parent::of(request.headers()));
        Self {
            method,
            span: tracer.map(serve),
            observer: Arc::clone(observer),
            began: Instant::now(),
            is_over: false,
        }
    }

    fn ended(&mut self, code: Code) {
        self.is_over = true;
        let (method, time) = (self.method, self.began.elapsed());
        let of_unary = (!method.is_stream()).then_some(time);
        self.observer.calls.ended(method, code, of_unary);
        if let Some(span) = self.span.take() {
            span.served(code);
        }
    }
}

impl Ending for Observing {
    fn end(mut self, status: &Status) {
        self.ended(status.code());
    }

    fn span(&self) -> Option<&Span> {
        self.span.as_ref()
    }
}

impl Drop for Observing {
    fn drop(&mut self) {
        if !self.is_over {
            self.ended(Code::Cancelled);
        }
    }
}

pin_project! {
    /// The answer of a call that is observed.
    #[derive(Debug)]
    pub struct Observed<F> {
        #[pin]
        answer: F,
        // `None`: there is an answer.
        call: Option<Observing>,
    }
}

impl<F, E> Future for Observed<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = Result<Response<Body>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let span = this.call.as_ref().and_then(|call| call.span.as_ref());
        let inside = span.map(Span::enter);
        let answer = this.answer.poll(context);
        drop(inside);
        let answer = ready!(answer);
        let Some(mut call) = this.call.take() else {
            return Poll::Ready(answer);
        };
        Poll::Ready(match answer {
            Ok(answer) => Ok(match code_of(answer.headers()) {
                None if call.method.is_stream() => {
                    answer.map(|body| Body::new(UntilEnd::new(body, call)))
                }
                // Of a unary call the message is there.
                code => {
                    call.ended(code.unwrap_or(Code::Ok));
                    answer
                }
            }),
            Err(error) => {
                call.ended(Code::Unknown);
                Err(error)
            }
        })
    }
}

/// How a call ended that ended with its headers.
fn code_of(headers: &HeaderMap) -> Option<Code> {
    let code = headers.get("grpc-status")?;
    Some(Code::from_bytes(code.as_bytes()))
}
