//! Spans of traces: what was done on whose behalf, by W3C Trace Context.
//!
//! A call that is served has a span beneath that of its caller, if the caller says which
//! that is (`traceparent`, `tracestate`); a question that is asked meanwhile has one
//! beneath it, and says so. Whether they are kept, the caller says; where there is none,
//! the tracer.
//!
//! A span tells the name of an RPC and how it ended: nothing of who called, of what was
//! asked, or of any secret.

use std::collections::HashMap;
use std::fmt;

use http::HeaderMap;
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::{
    SpanContext, SpanKind, Status as Outcome, TraceContextExt as _, Tracer as _,
};
use opentelemetry::{Context, ContextGuard, KeyValue};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracer;
use tonic::Code;
use tonic::metadata::MetadataMap;

pub use opentelemetry::context::FutureExt as InContext;

use crate::domain::audit::holds_secret;

/// The header that names a span (W3C Trace Context, section 3.2).
pub const TRACEPARENT: &str = "traceparent";
/// The header with what tracing systems add (section 3.3).
pub const TRACESTATE: &str = "tracestate";
/// The most bytes of it that are passed on: as many as must be (section 3.3.1.5).
const STATE_BYTES: usize = 512;

/// What makes spans. Copies of it are one.
#[derive(Clone)]
pub struct Tracer(SdkTracer);

impl fmt::Debug for Tracer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tracer(..)")
    }
}

/// A span that has begun. It ends when this is dropped.
#[derive(Debug)]
pub struct Span {
    context: Context,
    is_ours: bool,
}

/// The span on whose behalf something is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parent(SpanContext);

impl Parent {
    /// The one that headers name; `None`: they name none, or several, or can't be read.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut parents = headers.get_all(TRACEPARENT).iter();
        let parent = parents.next()?.to_str().ok()?;
        if parents.next().is_some() {
            return None;
        }
        let states = headers.get_all(TRACESTATE).iter();
        let states: Vec<_> = states.filter_map(|state| state.to_str().ok()).collect();
        Self::read(parent, &states.join(","))
    }

    /// The one that these values of the headers name.
    #[must_use]
    pub fn read(traceparent: &str, tracestate: &str) -> Option<Self> {
        if !is_traceparent(traceparent) {
            return None;
        }
        let mut carrier = HashMap::from([(TRACEPARENT.to_owned(), traceparent.to_owned())]);
        let is_state = !tracestate.is_empty() && tracestate.len() <= STATE_BYTES;
        if is_state && !holds_secret(tracestate) {
            carrier.insert(TRACESTATE.to_owned(), tracestate.to_owned());
        }
        let found = TraceContextPropagator::new().extract_with_context(&Context::new(), &carrier);
        let context = found.span().span_context().clone();
        context.is_valid().then_some(Self(context))
    }
}

/// Whether a text has the form of `traceparent` (section 3.2.2): numbers of certain
/// lengths in lowercase hexadecimal, and nothing more in the version that is known.
fn is_traceparent(text: &str) -> bool {
    const DIGITS: [usize; 4] = [2, 32, 16, 2];
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let mut parts = text.split('-');
    let are_numbers = DIGITS.iter().all(|digits| {
        let part = parts.next();
        part.is_some_and(|part| part.len() == *digits && part.bytes().all(is_digit))
    });
    are_numbers && (parts.next().is_none() || !text.starts_with("00"))
}

impl Tracer {
    /// One that makes spans by this.
    #[must_use]
    pub const fn new(tracer: SdkTracer) -> Self {
        Self(tracer)
    }

    /// Begins the span of a call of an RPC, by its full name, on behalf of whoever calls.
    #[must_use]
    pub fn serve(&self, method: &'static str, parent: Option<Parent>) -> Span {
        let context = match parent {
            Some(Parent(parent)) => Context::new().with_remote_span_context(parent),
            None => Context::new(),
        };
        let context = self.begin(method, SpanKind::Server, &context);
        Span {
            // For what is asked meanwhile.
            context: context.with_value(self.clone()),
            is_ours: true,
        }
    }

    fn begin(&self, method: &'static str, kind: SpanKind, context: &Context) -> Context {
        let (service, name) = method.split_once('/').unwrap_or(("", method));
        let span = self.0.span_builder(method);
        let span = span.with_kind(kind).with_attributes([
            KeyValue::new("rpc.system", "grpc"),
            KeyValue::new("rpc.service", service),
            KeyValue::new("rpc.method", name),
        ]);
        context.with_span(self.0.build_with_context(span, context))
    }
}

/// Begins the span of a question to another process, and says so in its metadata;
/// `None`: what is done is part of no trace.
pub(crate) fn ask(method: &'static str, metadata: &mut MetadataMap) -> Option<Span> {
    let current = Context::current();
    if !current.span().span_context().is_valid() {
        return None;
    }
    let asking = match current.get::<Tracer>() {
        Some(tracer) => Span {
            context: tracer.begin(method, SpanKind::Client, &current),
            is_ours: true,
        },
        // Of somebody who uses this crate, and has a tracer of its own.
        None => Span {
            context: current,
            is_ours: false,
        },
    };
    asking.tell(metadata);
    Some(asking)
}

/// The trace that what is done now is part of.
#[must_use]
pub fn current_trace() -> Option<String> {
    Context::map_current(|context| {
        let span = context.span();
        let span = span.span_context();
        span.is_valid().then(|| span.trace_id().to_string())
    })
}

impl Span {
    /// What is done until the guard is dropped is part of it.
    #[must_use]
    pub fn enter(&self) -> ContextGuard {
        self.context.clone().attach()
    }

    /// To make a future part of it.
    #[must_use]
    pub const fn context(&self) -> &Context {
        &self.context
    }

    /// Says in metadata that what is asked is part of it.
    fn tell(&self, metadata: &mut MetadataMap) {
        let span = self.context.span();
        let span = span.span_context();
        let parent = format!(
            "00-{}-{}-{:02x}",
            span.trace_id(),
            span.span_id(),
            u8::from(span.is_sampled()),
        );
        if let Ok(parent) = parent.parse() {
            metadata.insert(TRACEPARENT, parent);
        }
        let state = span.trace_state().header();
        if let (false, Ok(state)) = (state.is_empty(), state.parse()) {
            metadata.insert(TRACESTATE, state);
        }
    }

    /// Ends a call that was served.
    pub fn served(self, code: Code) {
        // The others are the caller's fault (OpenTelemetry's conventions for gRPC).
        let is_fault = matches!(
            code,
            Code::Unknown
                | Code::DeadlineExceeded
                | Code::Unimplemented
                | Code::Internal
                | Code::Unavailable
                | Code::DataLoss
        );
        self.end(code, is_fault);
    }

    /// Ends a question.
    pub(crate) fn asked(self, code: Code) {
        self.end(code, code != Code::Ok);
    }

    fn end(self, code: Code, is_fault: bool) {
        if self.is_ours {
            let span = self.context.span();
            span.set_attribute(KeyValue::new(
                "rpc.grpc.status_code",
                i64::from(code as i32),
            ));
            if is_fault {
                span.set_status(Outcome::error(""));
            }
            span.end();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn headers(all: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in all {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn the_caller_is_the_one_that_its_headers_name() {
        let Parent(parent) = Parent::of(&headers(&[
            (TRACEPARENT, PARENT),
            (TRACESTATE, "a=1"),
            (TRACESTATE, "b=2"),
        ]))
        .unwrap();
        assert_eq!(
            parent.trace_id().to_string(),
            "4bf92f3577b34da6a3ce929d0e0e4736"
        );
        assert_eq!(parent.span_id().to_string(), "00f067aa0ba902b7");
        assert!(parent.is_sampled() && parent.is_remote());
        assert_eq!(parent.trace_state().header(), "a=1,b=2");
        let long = format!("a={}", "x".repeat(STATE_BYTES));
        let Parent(parent) =
            Parent::of(&headers(&[(TRACEPARENT, PARENT), (TRACESTATE, &long)])).unwrap();
        assert_eq!(parent.trace_state().header(), "");
    }

    #[test]
    fn what_names_no_caller_or_several_is_left_out() {
        assert_eq!(Parent::of(&HeaderMap::new()), None);
        assert_eq!(
            Parent::of(&headers(&[(TRACEPARENT, PARENT), (TRACEPARENT, PARENT)])),
            None
        );
        for text in [
            "",
            "00",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            // Numbers as Rust reads them, which nobody sent so.
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-+0f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-+1",
            "+0-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 ",
        ] {
            assert_eq!(Parent::of(&headers(&[(TRACEPARENT, text)])), None, "{text}");
        }
    }

    #[test]
    fn a_later_version_may_say_more() {
        for more in ["", "-", "-what comes"] {
            let later = format!("cc{}{more}", &PARENT[2..]);
            let Parent(parent) = Parent::of(&headers(&[(TRACEPARENT, &later)])).unwrap();
            assert_eq!(parent.span_id().to_string(), "00f067aa0ba902b7");
        }
    }

    #[test]
    fn what_is_part_of_no_trace_says_nothing() {
        let mut metadata = MetadataMap::new();
        assert!(ask("a.B/C", &mut metadata).is_none());
        assert!(metadata.is_empty());
        assert_eq!(current_trace(), None);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_left_out(
            parent in "(00|[0-9a-f]{2}|\\PC{0,3})-?[0-9a-fA-F+-]{0,60}(-\\PC{0,4})?",
            state in "[ -~]{0,100}",
        ) {
            let mut headers = HeaderMap::new();
            for (name, value) in [(TRACEPARENT, parent), (TRACESTATE, state)] {
                if let Ok(value) = value.parse() {
                    headers.append(name, value);
                }
            }
            if let Some(Parent(parent)) = Parent::of(&headers) {
                proptest::prop_assert!(parent.is_valid());
            }
        }
    }
}
