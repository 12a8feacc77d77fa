//! Spans on their way to a collector, over OTLP.
//!
//! They wait in a bounded queue and are sent in batches by a thread of its own, so that no
//! call waits for the collector. What finds no room there, or can't be sent, is lost.

use std::env;
use std::sync::Arc;
use std::time::{Duration, Instant};

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{SpanExporter, WithTonicConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider, SpanData, SpanExporter as SendsSpans};
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

/// What makes spans, and sends them.
#[derive(Debug)]
pub struct Traces {
    provider: SdkTracerProvider,
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
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(Sender {
                exporter: Arc::new(exporter),
                runtime: Handle::current(),
                lost: Mutex::default(),
            })
            .with_sampler(Sampler::ParentBased(Box::new(sampler)))
            .with_resource(resource(service))
            .build();
        let tracer = Tracer::new(provider.tracer("credd"));
        tracing::info!(collector = %collector.address(), "sending spans");
        Ok(Some(Self { provider, tracer }))
    }

    /// What makes spans.
    #[must_use]
    pub fn tracer(&self) -> Tracer {
        self.tracer.clone()
    }

    /// Sends what waits, for so long at most.
    pub async fn end(self, within: Duration) {
        let provider = self.provider;
        let ended = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(within));
        if let Ok(Err(error)) = ended.await {
            tracing::warn!(%error, "some spans were not sent");
        }
    }
}

/// Who sends spans.
fn resource(service: &'static str) -> Resource {
    let resource = Resource::builder();
    let resource = match env::var_os("OTEL_SERVICE_NAME") {
        Some(_) => resource,
        None => resource.with_service_name(service),
    };
    resource
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build()
}

/// Sends batches, on the process's runtime, and tells of those that are lost.
#[derive(Debug)]
struct Sender {
    exporter: Arc<SpanExporter>,
    runtime: Handle,
    lost: Mutex<Lost>,
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
        if let Err(error) = &sent
            && let Some(spans) = self.lost.lock().add(spans, Instant::now())
        {
            tracing::warn!(spans, %error, "spans were lost, since the collector did not take them");
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

    #[test]
    fn lost_spans_are_told_of_once_a_minute_and_all_of_them() {
        let mut lost = Lost::default();
        let begin = Instant::now();
        assert_eq!(lost.add(3, begin), Some(3));
        assert_eq!(lost.add(4, begin + TELL_EVERY / 2), None);
        assert_eq!(lost.add(5, begin + TELL_EVERY), Some(9));
        assert_eq!(lost.add(1, begin + TELL_EVERY), None);
    }
}
