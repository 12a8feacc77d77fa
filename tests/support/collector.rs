//! A small collector of traces, built on the published messages of OTLP.

#![allow(dead_code, reason = "each suite uses a part of it")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message as _;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

use crate::support::until;

/// A span that was received.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// Who sent it.
    pub(crate) service: String,
    pub(crate) name: String,
    pub(crate) kind: SpanKind,
    pub(crate) trace: String,
    pub(crate) id: String,
    /// Empty: it has none.
    pub(crate) parent: String,
    pub(crate) state: String,
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) is_error: bool,
}

#[derive(Debug, Default)]
struct Received {
    spans: Vec<Seen>,
    /// All that came, as it came.
    raw: Vec<u8>,
}

/// The collector.
#[derive(Clone, Debug)]
pub(crate) struct Collector {
    pub(crate) address: SocketAddr,
    received: Arc<Mutex<Received>>,
}

impl Collector {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let collector = Self {
            address: listener.local_addr().unwrap(),
            received: Arc::default(),
        };
        let service = TraceServiceServer::new(collector.clone());
        let server = tonic::transport::Server::builder().add_service(service);
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        collector
    }

    /// One that is not where it should be.
    pub(crate) fn that_went_away(self, address: SocketAddr) -> Self {
        Self { address, ..self }
    }

    /// The spans of a trace that have come.
    pub(crate) fn of(&self, trace: &str) -> Vec<Seen> {
        let received = self.received.lock().unwrap();
        let spans = received.spans.iter();
        spans.filter(|span| span.trace == trace).cloned().collect()
    }

    /// All spans that have come.
    pub(crate) fn all(&self) -> Vec<Seen> {
        self.received.lock().unwrap().spans.clone()
    }

    /// Waits until so many spans of a trace have come.
    pub(crate) async fn wait_for(&self, trace: &str, count: usize) -> Vec<Seen> {
        until(&format!("{count} spans of {trace}"), || async {
            self.of(trace).len() >= count
        })
        .await;
        self.of(trace)
    }

    /// Whether a text stands anywhere in what came.
    pub(crate) fn holds(&self, text: &str) -> bool {
        let received = self.received.lock().unwrap();
        let mut parts = received.raw.windows(text.len());
        parts.any(|part| part == text.as_bytes())
    }
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let request = request.into_inner();
        let mut received = self.received.lock().unwrap();
        received.raw.extend(request.encode_to_vec());
        for resource in request.resource_spans {
            let of = attributes(resource.resource.map_or(Vec::new(), |it| it.attributes));
            let service = of.get("service.name").cloned().unwrap_or_default();
            for span in resource.scope_spans.into_iter().flat_map(|it| it.spans) {
                received.spans.push(Seen {
                    service: service.clone(),
                    kind: span.kind(),
                    trace: hex(&span.trace_id),
                    id: hex(&span.span_id),
                    parent: hex(&span.parent_span_id),
                    is_error: span.status.is_some_and(|status| status.code == 2),
                    attributes: attributes(span.attributes),
                    name: span.name,
                    state: span.trace_state,
                });
            }
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn attributes(all: Vec<KeyValue>) -> BTreeMap<String, String> {
    let texts = all.into_iter().map(|KeyValue { key, value, .. }| {
        let text = match value.and_then(|value| value.value) {
            Some(Value::StringValue(text)) => text,
            Some(Value::IntValue(number)) => number.to_string(),
            other => format!("{other:?}"),
        };
        (key, text)
    });
    texts.collect()
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
    digits.collect()
}

/// The span of the given kind that a service made beneath another.
#[track_caller]
pub(crate) fn beneath<'a>(
    spans: &'a [Seen],
    parent: &str,
    service: &str,
    kind: SpanKind,
) -> &'a Seen {
    let found: Vec<_> = spans
        .iter()
        .filter(|span| span.parent == parent && span.service == service && span.kind == kind)
        .collect();
    let [found] = found[..] else {
        panic!("{} beneath {parent}: {spans:#?}", found.len());
    };
    found
}

/// What a client says whose call is part of a trace, and is kept or not.
pub(crate) fn traceparent(trace: &str, span: &str, is_kept: bool) -> String {
    format!("00-{trace}-{span}-0{}", u8::from(is_kept))
}
