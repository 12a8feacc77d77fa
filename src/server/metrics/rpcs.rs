//! Calls and verdicts.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::registry::Unit;

use super::histogram::{self, Scale};
use crate::rpc::calls::Calls;
use crate::rpc::methods::Method;

/// What there is to say of the calls that were answered.
#[derive(Debug)]
pub struct Rpcs(pub Arc<Calls>);

impl Collector for Rpcs {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        // Those that were never called would be most of what is shown.
        let is_called = |method: &Method| {
            let called = self.0.codes(*method).iter().any(|(_, count)| *count > 0);
            called || *method == Method::VERIFY
        };
        let called: Vec<_> = Method::all().filter(is_called).collect();

        let help = "Calls that have ended, by their RPC and how they ended.";
        let counter = MetricType::Counter;
        let mut family = encoder.encode_descriptor("rpc_requests", help, None, counter)?;
        for method in &called {
            for (code, count) in self.0.codes(*method) {
                let labels = [("method", method.name()), ("code", code)];
                ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
            }
        }
        let help = "How long calls took, but those of streams.";
        let (name, unit) = ("rpc_duration", Unit::Seconds);
        let kind = MetricType::Histogram;
        let mut family = encoder.encode_descriptor(name, help, Some(&unit), kind)?;
        for method in called.iter().filter(|method| !method.is_stream()) {
            let label = [("method", method.name())];
            let times = self.0.times(*method);
            histogram::encode(&times, Scale::Seconds, family.encode_family(&label)?)?;
        }
        Ok(())
    }
}

/// What there is to say of verdicts.
#[derive(Debug)]
pub(super) struct Verdicts(pub(super) Arc<Calls>);

impl Collector for Verdicts {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let help = "Verdicts of Verify and VerifyStream.";
        let counter = MetricType::Counter;
        let mut family = encoder.encode_descriptor("verdicts", help, None, counter)?;
        for (verdict, count) in self.0.verdicts() {
            let label = [("verdict", verdict)];
            ConstCounter::new(count).encode(family.encode_family(&label)?)?;
        }
        Ok(())
    }
}
