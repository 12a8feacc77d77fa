//! What there is to say of a sidecar, on `/metrics`.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use super::cells::{Cell, Cells};
use super::ext_authz::outcomes::Outcomes;
use crate::client::{Condition, Counts};
use crate::domain::cache::State;

/// Told when it is asked for. What there is of each cell has the label `cell` with its
/// name; that of the tenants that no other cell has is without.
#[derive(Debug)]
pub(super) struct Sidecar {
    /// Whose caches they are, and what they pass on.
    pub(super) cells: Cells,
    /// What Envoy's checks have come to.
    pub(super) checks: Arc<Outcomes>,
}

/// Questions and changes, counted: a name, what it is, and how many.
type Counter = (&'static str, &'static str, fn(&Counts) -> u64);

const COUNTERS: [Counter; 11] = [
    (
        "sidecar_hits",
        "Questions answered from the cache.",
        |counts| counts.hits.get(),
    ),
    (
        "sidecar_joins",
        "Questions answered with what another asked for at the same time.",
        |counts| counts.joins.get(),
    ),
    (
        "sidecar_refused_joins",
        "Questions that waited for what another asked for and had to be asked anew.",
        |counts| counts.refused_joins.get(),
    ),
    (
        "sidecar_asked",
        "Questions that were sent to an authority.",
        |counts| counts.asked.get(),
    ),
    (
        "sidecar_unanswered",
        "Questions that no authority answered.",
        |counts| counts.unanswered.get(),
    ),
    (
        "sidecar_stale_refused",
        "Questions refused because no authority answered.",
        |counts| counts.refused_stale.get(),
    ),
    (
        "sidecar_stale_served",
        "Questions answered with what may be out of date, because no authority answered.",
        |counts| counts.served_stale.get(),
    ),
    (
        "sidecar_overloaded",
        "Questions refused because too many were under way.",
        |counts| counts.overloaded.get(),
    ),
    (
        "sidecar_watches",
        "Streams of changes that began.",
        |counts| counts.sessions.get(),
    ),
    (
        "sidecar_resets",
        "How often everything was dropped because it is not known what has changed.",
        |counts| counts.resets.get(),
    ),
    ("sidecar_commits", "Commits that were applied.", |counts| {
        counts.commits.get()
    }),
];

/// How a cell is: a name, what it is, and how much.
type Gauge = (&'static str, &'static str, fn(&Cell, &Condition) -> usize);

const GAUGES: [Gauge; 4] = [
    (
        "sidecar_connected",
        "Whether a stream of changes is open.",
        |_, condition| usize::from(condition.is_connected),
    ),
    (
        "sidecar_entries",
        "Answers that are kept.",
        |_, condition| condition.entries,
    ),
    (
        "sidecar_uses_waiting",
        "Uses that wait to be reported.",
        |_, condition| condition.waiting_uses,
    ),
    (
        "sidecar_sessions",
        "Sessions of others that have leases of this process.",
        |cell, _| cell.relay.sessions(),
    ),
];

const STATES: [(&str, State); 4] = [
    ("cold", State::Cold),
    ("syncing", State::Syncing),
    ("live", State::Live),
    ("stale", State::Stale),
];

/// A value, and its labels beside that of its cell.
type Labelled = (Vec<(&'static str, &'static str)>, Value);

enum Value {
    Counter(u64),
    Gauge(i64),
    Seconds(f64),
}

impl Value {
    fn encode(&self, encoder: &mut MetricEncoder<'_>) -> Result<(), fmt::Error> {
        match self {
            Self::Counter(count) => encoder.encode_counter::<NoLabelSet, _, u64>(count, None),
            Self::Gauge(value) => encoder.encode_gauge(value),
            Self::Seconds(value) => encoder.encode_gauge(value),
        }
    }
}

impl Collector for Sidecar {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for (name, help, count) in COUNTERS {
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            self.each(metric, |cell| {
                let count = count(cell.client.counts());
                Some((vec![], Value::Counter(count)))
            })?;
        }
        let help = "Questions that the cache could not answer, by why.";
        let name = "sidecar_misses";
        let metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        self.each(metric, |cell| {
            let by_reason = cell.client.counts().misses.by_reason();
            by_reason.map(|(reason, count)| (vec![("reason", reason)], Value::Counter(count)))
        })?;
        let help = "Verdicts that were given from the cache: those asked for are counted by who was asked.";
        let name = "sidecar_verdicts";
        let metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        self.each(metric, |cell| {
            let by_name = cell.client.counts().verdicts.by_name();
            by_name.map(|(verdict, count)| (vec![("verdict", verdict)], Value::Counter(count)))
        })?;
        let help = "Envoy's checks, by what they came to.";
        let name = "sidecar_checks";
        let mut checks = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (outcome, count) in self.checks.by_name() {
            let label = [("outcome", outcome)];
            Value::Counter(count).encode(&mut checks.encode_family(&label)?)?;
        }
        self.encode_conditions(encoder)
    }
}

impl Sidecar {
    fn encode_conditions(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let help = "The state of the cache: 1 for the one that it is in.";
        let metric = encoder.encode_descriptor("sidecar_state", help, None, MetricType::Gauge)?;
        self.each(metric, |cell| {
            let state = cell.client.condition().state;
            STATES.map(|(name, one)| {
                let is_in = i64::from(state == Some(one));
                (vec![("state", name)], Value::Gauge(is_in))
            })
        })?;
        let help = "Uses that were not reported because too many waited.";
        let name = "sidecar_uses_dropped";
        let metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        self.each(metric, |cell| {
            let dropped = cell.client.condition().dropped_uses;
            Some((vec![], Value::Counter(dropped)))
        })?;

        for (name, help, value) in GAUGES {
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            self.each(metric, |cell| {
                let value = value(cell, &cell.client.condition());
                let value = i64::try_from(value).unwrap_or(i64::MAX);
                Some((vec![], Value::Gauge(value)))
            })?;
        }
        let help = "The revision up to which changes were applied.";
        let name = "sidecar_applied_revision";
        let metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        self.each(metric, |cell| {
            let at = cell.client.condition().applied?;
            let revision = i64::try_from(at.revision.number()).unwrap_or(i64::MAX);
            Some((vec![], Value::Gauge(revision)))
        })?;
        let seconds = Some(&Unit::Seconds);
        let help = "How long ago the authority said something.";
        let metric = encoder.encode_descriptor("sidecar_lag", help, seconds, MetricType::Gauge)?;
        self.each(metric, |cell| {
            let silence = cell.client.condition().silence?;
            Some((vec![], Value::Seconds(silence.as_secs_f64())))
        })?;
        let help = "How long the lease goes on.";
        let metric =
            encoder.encode_descriptor("sidecar_lease", help, seconds, MetricType::Gauge)?;
        self.each(metric, |cell| {
            let now = cell.client.machine().now().boot;
            let end = cell.client.condition().lease_ends_at;
            let left = end.map_or(0.0, |end| end.since(now).as_secs_f64());
            Some((vec![], Value::Seconds(left)))
        })
    }

    /// What there is of each cell.
    fn each<V: IntoIterator<Item = Labelled>>(
        &self,
        mut metric: MetricEncoder<'_>,
        of: impl Fn(&Cell) -> V,
    ) -> Result<(), fmt::Error> {
        for cell in self.cells.all() {
            for (own, value) in of(cell) {
                let name = cell.name.as_ref().map(|name| ("cell", name.as_str()));
                let labels: Vec<_> = own.into_iter().chain(name).collect();
                if labels.is_empty() {
                    value.encode(&mut metric)?;
                } else {
                    value.encode(&mut metric.encode_family(&labels)?)?;
                }
            }
        }
        Ok(())
    }
}
