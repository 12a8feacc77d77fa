//! The store, and what is committed to it.

use std::fmt;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use super::histogram::{self, Scale};
use crate::authority::Authority;
use crate::store::Vitals;

/// What there is to say of commits.
#[derive(Debug)]
pub(super) struct Commits(pub(super) Arc<Authority>);

impl Collector for Commits {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let commits = self.0.commits();
        let (commands, times) = (commits.commands(), commits.times());

        let help = "Commits of this server.";
        let metric = encoder.encode_descriptor("commits", help, None, MetricType::Counter)?;
        ConstCounter::new(commands.count()).encode(metric)?;

        let help = "How many commands were carried out by one commit.";
        let kind = MetricType::Histogram;
        let metric = encoder.encode_descriptor("commit_records", help, None, kind)?;
        histogram::encode(&commands, Scale::One, metric)?;

        let help = "How long a commit took, until it was durable and applied.";
        let (name, unit) = ("commit_duration", Unit::Seconds);
        let metric = encoder.encode_descriptor(name, help, Some(&unit), kind)?;
        histogram::encode(&times, Scale::Seconds, metric)
    }
}

/// What there is to say of the store.
#[derive(Debug)]
pub(super) struct StoreVitals(pub(super) Arc<Authority>);

impl Collector for StoreVitals {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Vitals {
            failed_at,
            silence,
            size,
            free,
            syncs,
        } = self.0.vitals();
        let (gauge, seconds) = (MetricType::Gauge, Some(&Unit::Seconds));

        let help = "How long it took to make a commit durable: a sync of the disk, or a transaction of etcd.";
        let kind = MetricType::Histogram;
        let metric = encoder.encode_descriptor("store_sync", help, seconds, kind)?;
        histogram::encode(&syncs, Scale::Seconds, metric)?;

        let help = "When the store failed, as Unix time: the process ended, or ends, and the next went through all of it anew; 0: not in this run, nor in the one before.";
        let name = "store_failed_timestamp";
        let failed_at = failed_at.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let failed_at = failed_at.unwrap_or_default().as_secs_f64();
        let metric = encoder.encode_descriptor(name, help, seconds, gauge)?;
        ConstGauge::new(failed_at).encode(metric)?;

        let help = "How long ago etcd said something, be it that nothing has changed; 0 where the store is embedded.";
        let metric = encoder.encode_descriptor("feed_lag", help, seconds, gauge)?;
        ConstGauge::new(silence.as_secs_f64()).encode(metric)?;

        for (name, help, bytes) in [
            (
                "store_size",
                "What the store takes: its files, or etcd's database if etcd says so.",
                size,
            ),
            (
                "disk_free",
                "What is free where an embedded store is.",
                free,
            ),
        ] {
            let Some(bytes) = bytes else { continue };
            let metric = encoder.encode_descriptor(name, help, Some(&Unit::Bytes), gauge)?;
            let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
            ConstGauge::new(bytes).encode(metric)?;
        }
        Ok(())
    }
}
