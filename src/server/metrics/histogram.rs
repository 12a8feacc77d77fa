//! From what was counted to a histogram as it is shown.

use std::fmt;

use prometheus_client::encoding::{MetricEncoder, NoLabelSet};

use crate::counts::Counted;

/// In what values are shown.
#[derive(Clone, Copy, Debug)]
pub(super) enum Scale {
    /// As they are.
    One,
    /// Nanoseconds in seconds.
    Seconds,
}

impl Scale {
    #[allow(
        clippy::cast_precision_loss,
        reason = "what is shown has fifteen digits at least"
    )]
    fn show(self, value: u64) -> f64 {
        match self {
            Self::One => value as f64,
            Self::Seconds => value as f64 / 1e9,
        }
    }
}

/// Shows it.
pub(super) fn encode(
    counted: &Counted,
    scale: Scale,
    mut encoder: MetricEncoder<'_>,
) -> Result<(), fmt::Error> {
    let bounds = counted.bounds.iter().map(|bound| scale.show(*bound));
    let bounds = bounds.chain([f64::INFINITY]);
    let buckets: Vec<_> = bounds.zip(counted.buckets.iter().copied()).collect();
    let (sum, count) = (scale.show(counted.sum), counted.count());
    encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
}
