//! Spans on their way to a collector, over OTLP.
//!
//! They wait in a bounded queue and are sent in batches by a thread of its own, so that no
//! call waits for the collector. What finds no room there, or can't be sent, is lost.

use std::env;
use std::ffi::OsStr;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{SpanExporter, WithTonicConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider, Span, SpanData,
    SpanExporter as SendsSpans, SpanProcessor,
};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::config;
use super::supervise::Failure;
use crate::client::TlsFiles;
use crate::client::connect::lazy;
use crate::spans::Tracer;

/// How long a batch may take to be sent, with all attempts.
const SEND_TIME: Duration = Duration::from_secs(10);
/// How often it is told that spans were lost.
const TELL_EVERY: Duration = Duration::from_mins(1);
/// The longest that the end of the process waits for what is sent last. A collector that
/// answers takes all that may wait in a fraction of it; for one that does not, nobody keeps
/// the next process from the store.
const LAST_SENDING: Duration = Duration::from_secs(2);
/// What says how many spans wait at most, and how many where it says nothing, by
/// OpenTelemetry's specification of the batching processor.
const QUEUE_SIZE: (&str, usize) = ("OTEL_BSP_MAX_QUEUE_SIZE", 2048);

/// What makes spans, and sends them.
#[derive(Debug)]
pub struct Traces {
    provider: SdkTracerProvider,
    unsent: Arc<Unsent>,
    tracer: Tracer,
}

impl Traces {
    /// What the settings say, in the name of a service; `None`: no spans are made. What
    /// OpenTelemetry names `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`,
    /// `OTEL_EXPORTER_OTLP_HEADERS` and `OTEL_BSP_...` counts too.
    ///
    /// # Errors
    ///
    /// That such a variable can't be read.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn start(
        settings: &config::Traces,
        service: &'static str,
    ) -> Result<Option<Self>, Failure> {
        let config::Traces {
            endpoint,
            ca_file,
            ratio,
        } = settings;
        let Some(collector) = endpoint else {
            return Ok(None);
        };
        let tls = TlsFiles {
            ca: ca_file.clone(),
            identity: None,
        };
        let exporter = SpanExporter::builder()
            .with_tonic()
            .with_channel(lazy(collector.address(), &tls))
            .build()?;
        let sampler = Sampler::TraceIdRatioBased(ratio.fraction());
        let unsent = Arc::new(Unsent::at_most(queue_size()));
        let sender = Sender {
            exporter: Arc::new(exporter),
            runtime: Handle::current(),
            unsent: Arc::clone(&unsent),
        };
        let provider = SdkTracerProvider::builder()
            .with_span_processor(Queue::to(sender))
            .with_sampler(Sampler::ParentBased(Box::new(sampler)))
            .with_resource(resource(
                env::var_os("OTEL_SERVICE_NAME").as_deref(),
                service,
            ))
            .build();
        let tracer = Tracer::new(provider.tracer("credd"));
        tracing::info!(collector = %collector.address(), "sending spans");
        Ok(Some(Self {
            provider,
            unsent,
            tracer,
        }))
    }

    /// What makes spans.
    #[must_use]
    pub fn tracer(&self) -> Tracer {
        self.tracer.clone()
    }

    /// Sends what waits, for so long at most, and no longer than is any use; tells of all
    /// that was lost and is not told of yet.
    pub async fn end(self, within: Duration) {
        let Self {
            provider, unsent, ..
        } = self;
        let within = within.min(LAST_SENDING);
        let ended = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(within));
        let why = match ended.await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(error) => Some(error.to_string()),
        };
        let spans = unsent.rest();
        if spans > 0 || why.is_some() {
            let why = why.unwrap_or_else(|| "more came than the collector took".to_owned());
            tracing::warn!(spans, why, "{LOST}");
        }
    }
}

/// What the log says of spans that were lost.
const LOST: &str = "spans were lost";

/// How many spans wait at most.
fn queue_size() -> usize {
    let (name, default) = QUEUE_SIZE;
    let given = env::var(name).ok().and_then(|size| size.parse().ok());
    given.unwrap_or(default)
}

/// Who sends spans: a service of this name, unless the variable gives another.
fn resource(variable: Option<&OsStr>, service: &'static str) -> Resource {
    let resource = Resource::builder();
    // An empty variable counts as one that is not set, by OpenTelemetry's specification.
    let resource = match variable {
        Some(name) if !name.is_empty() => resource,
        _ => resource.with_service_name(service),
    };
    resource
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build()
}

/// The spans that have ended and were not sent: they wait, or are lost.
#[derive(Debug)]
struct Unsent {
    most: usize,
    waiting: AtomicUsize,
    lost: Mutex<Lost>,
}

impl Unsent {
    /// With room for so many that wait.
    fn at_most(most: usize) -> Self {
        Self {
            most,
            waiting: AtomicUsize::new(0),
            lost: Mutex::default(),
        }
    }

    /// Another waits, if there is room, and else is lost.
    fn add(&self) -> bool {
        let has_room = self.waiting.fetch_add(1, Ordering::Relaxed) < self.most;
        if !has_room {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            self.lose(1, &"too many wait to be sent");
        }
        has_room
    }

    /// Some were sent.
    fn sent(&self, spans: usize) {
        self.waiting.fetch_sub(spans, Ordering::Relaxed);
    }

    /// Some can't be sent.
    fn failed(&self, spans: usize, why: &dyn fmt::Display) {
        self.waiting.fetch_sub(spans, Ordering::Relaxed);
        self.lose(spans, why);
    }

    fn lose(&self, spans: usize, why: &dyn fmt::Display) {
        let told = self.lost.lock().add(spans, Instant::now());
        if let Some(spans) = told {
            tracing::warn!(spans, %why, "{LOST}");
        }
    }

    /// All that nobody was told of, once nothing is sent any more.
    fn rest(&self) -> usize {
        let untold = std::mem::take(&mut self.lost.lock().spans);
        untold + self.waiting.load(Ordering::Relaxed)
    }
}

/// What was lost since it was told last.
#[derive(Debug, Default)]
struct Lost {
    spans: usize,
    told_at: Option<Instant>,
}

impl Lost {
    /// Adds spans. Returns how many there are, if it is time to tell.
    fn add(&mut self, spans: usize, now: Instant) -> Option<usize> {
        self.spans += spans;
        let told_at = self.told_at;
        if told_at.is_some_and(|told_at| now.saturating_duration_since(told_at) < TELL_EVERY) {
            return None;
        }
        self.told_at = Some(now);
        Some(std::mem::take(&mut self.spans))
    }
}

/// The queue of the library, which tells nobody what finds no room there: here it is
/// counted before.
#[derive(Debug)]
struct Queue {
    library: BatchSpanProcessor,
    unsent: Arc<Unsent>,
}

impl Queue {
    fn to(sender: Sender) -> Self {
        let unsent = Arc::clone(&sender.unsent);
        let config = BatchConfigBuilder::default().with_max_queue_size(unsent.most);
        let library = BatchSpanProcessor::new(sender, config.build());
        Self { library, unsent }
    }
}

impl SpanProcessor for Queue {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.library.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if self.unsent.add() {
            self.library.on_end(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.library.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.library.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.library.set_resource(resource);
    }
}

/// Sends batches, on the process's runtime, and tells of those that are lost.
#[derive(Debug)]
struct Sender {
    exporter: Arc<SpanExporter>,
    runtime: Handle,
    unsent: Arc<Unsent>,
}

impl SendsSpans for Sender {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let exporter = Arc::clone(&self.exporter);
        let sending = async move { timeout(SEND_TIME, exporter.export(batch)).await };
        let sent = match self.runtime.spawn(sending).await {
            Ok(Ok(sent)) => sent,
            Ok(Err(_)) => Err(OTelSdkError::Timeout(SEND_TIME)),
            Err(error) => Err(OTelSdkError::InternalFailure(error.to_string())),
        };
        match &sent {
            Ok(()) => self.unsent.sent(spans),
            Err(error) => self.unsent.failed(spans, error),
        }
        sent
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        // Nothing is sent yet.
        if let Some(exporter) = Arc::get_mut(&mut self.exporter) {
            exporter.set_resource(resource);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logged::Logged;
    use crate::server::config::traces_values::{Collector, Ratio};
    use crate::server::config::values::Scalar as _;
    use crate::server::telemetry;

    #[test]
    fn lost_spans_are_told_of_once_a_minute_and_all_of_them() {
        let mut lost = Lost::default();
        let begin = Instant::now();
        assert_eq!(lost.add(3, begin), Some(3));
        assert_eq!(lost.add(4, begin + TELL_EVERY / 2), None);
        assert_eq!(lost.add(5, begin + TELL_EVERY), Some(9));
        assert_eq!(lost.add(1, begin + TELL_EVERY), None);
    }

    #[test]
    fn an_empty_name_of_the_service_is_none() {
        let name = |variable: Option<&str>| {
            let resource = resource(variable.map(OsStr::new), "credd");
            let name = resource.get(&opentelemetry::Key::new("service.name"));
            name.unwrap().to_string()
        };
        assert_eq!(name(None), "credd");
        assert_eq!(name(Some("")), "credd");
        assert_ne!(name(Some("another")), "credd");
    }

    /// The numbers of spans that lines of the log tell of.
    fn told_of(lines: &str) -> Vec<u64> {
        let lines = lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap());
        let lost = lines.filter(|line: &serde_json::Value| line["message"] == LOST);
        lost.map(|line| line["spans"].as_u64().unwrap()).collect()
    }

    #[tokio::test]
    async fn each_span_that_a_hung_collector_did_not_take_is_told_of_at_the_end() {
        const SPANS: usize = 3000;

        // It takes the connection, and says nothing.
        let hung = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let collector = format!("http://{}", hung.local_addr().unwrap());
        let settings = config::Traces {
            endpoint: Some(Collector::parse(&collector).unwrap()),
            ratio: Ratio::ALL,
            ..config::Traces::default()
        };
        let written = Logged::default();
        let writer = written.clone();
        let (log, _) = telemetry::log("warn", false, move || writer.clone());
        let _log = tracing::subscriber::set_default(log);
        let traces = Traces::start(&settings, "credd").unwrap().unwrap();
        let maker = traces.tracer();
        for _ in 0..SPANS {
            maker.serve("a.B/C", None).served(tonic::Code::Ok);
        }
        // The first at once.
        assert_eq!(told_of(&written.take()), [1]);
        // It does not wait for the collector as long as it may, nor as long as a batch may
        // take: then its thread would tell of some.
        traces.end(Duration::from_hours(1)).await;
        assert_eq!(told_of(&written.take()), [SPANS as u64 - 1]);
    }
}
