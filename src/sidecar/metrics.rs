//! What there is to say of a sidecar, on `/metrics`.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use super::ext_authz::outcomes::Outcomes;
use super::relay::Relay;
use crate::client::{Client, Condition};
use crate::domain::cache::State;

/// Told when it is asked for.
#[derive(Debug)]
pub(super) struct Sidecar {
    /// Whose cache it is.
    pub(super) client: Client,
    /// What it passes on.
    pub(super) relay: Arc<Relay>,
    /// What Envoy's checks have come to.
    pub(super) checks: Arc<Outcomes>,
}

const STATES: [(&str, State); 4] = [
    ("cold", State::Cold),
    ("syncing", State::Syncing),
    ("live", State::Live),
    ("stale", State::Stale),
];

impl Collector for Sidecar {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let counts = self.client.counts();
        let by_reason = counts.misses.by_reason();
        for (name, help, value) in [
            (
                "sidecar_hits",
                "Questions answered from the cache.",
                counts.hits.get(),
            ),
            (
                "sidecar_joins",
                "Questions answered with what another asked for at the same time.",
                counts.joins.get(),
            ),
            (
                "sidecar_refused_joins",
                "Questions that waited for what another asked for and had to be asked anew.",
                counts.refused_joins.get(),
            ),
            (
                "sidecar_asked",
                "Questions that were sent to an authority.",
                counts.asked.get(),
            ),
            (
                "sidecar_unanswered",
                "Questions that no authority answered.",
                counts.unanswered.get(),
            ),
            (
                "sidecar_stale_refused",
                "Questions refused because no authority answered.",
                counts.refused_stale.get(),
            ),
            (
                "sidecar_stale_served",
                "Questions answered with what may be out of date, because no authority answered.",
                counts.served_stale.get(),
            ),
            (
                "sidecar_overloaded",
                "Questions refused because too many were under way.",
                counts.overloaded.get(),
            ),
            (
                "sidecar_watches",
                "Streams of changes that began.",
                counts.sessions.get(),
            ),
            (
                "sidecar_resets",
                "How often everything was dropped because it is not known what has changed.",
                counts.resets.get(),
            ),
            (
                "sidecar_commits",
                "Commits that were applied.",
                counts.commits.get(),
            ),
        ] {
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            ConstCounter::new(value).encode(metric)?;
        }
        for (name, help, label, counted) in [
            (
                "sidecar_misses",
                "Questions that the cache could not answer, by why.",
                "reason",
                by_reason,
            ),
            (
                "sidecar_checks",
                "Envoy's checks, by what they came to.",
                "outcome",
                self.checks.by_name(),
            ),
        ] {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (value, count) in counted {
                let label = [(label, value)];
                ConstCounter::new(count).encode(family.encode_family(&label)?)?;
            }
        }
        self.encode_condition(encoder)
    }
}

impl Sidecar {
    fn encode_condition(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Condition {
            state,
            is_connected,
            silence,
            applied,
            lease_ends_at,
            entries,
            waiting_uses,
            dropped_uses,
        } = self.client.condition();

        let help = "The state of the cache: 1 for the one that it is in.";
        let mut family =
            encoder.encode_descriptor("sidecar_state", help, None, MetricType::Gauge)?;
        for (name, one) in STATES {
            let label = [("state", name)];
            let is_in = i64::from(state == Some(one));
            ConstGauge::new(is_in).encode(family.encode_family(&label)?)?;
        }
        let help = "Uses that were not reported because too many waited.";
        let name = "sidecar_uses_dropped";
        let metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        ConstCounter::new(dropped_uses).encode(metric)?;

        for (name, help, value) in [
            (
                "sidecar_connected",
                "Whether a stream of changes is open.",
                usize::from(is_connected),
            ),
            ("sidecar_entries", "Answers that are kept.", entries),
            (
                "sidecar_uses_waiting",
                "Uses that wait to be reported.",
                waiting_uses,
            ),
            (
                "sidecar_sessions",
                "Sessions of others that have leases of this process.",
                self.relay.sessions(),
            ),
        ] {
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)).encode(metric)?;
        }
        if let Some(at) = applied {
            let help = "The revision up to which changes were applied.";
            let name = "sidecar_applied_revision";
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            let revision = i64::try_from(at.revision.number()).unwrap_or(i64::MAX);
            ConstGauge::new(revision).encode(metric)?;
        }
        let seconds = Some(&Unit::Seconds);
        if let Some(silence) = silence {
            let help = "How long ago the authority said something.";
            let name = "sidecar_lag";
            let metric = encoder.encode_descriptor(name, help, seconds, MetricType::Gauge)?;
            ConstGauge::new(silence.as_secs_f64()).encode(metric)?;
        }
        let now = self.client.machine().now().boot;
        let left = lease_ends_at.map_or(0.0, |end| end.since(now).as_secs_f64());
        let help = "How long the lease goes on.";
        let metric =
            encoder.encode_descriptor("sidecar_lease", help, seconds, MetricType::Gauge)?;
        ConstGauge::new(left).encode(metric)
    }
}
