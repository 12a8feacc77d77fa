//! Whether what somebody is known by is trusted still.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::domain::time::Timestamp;

/// Until when what somebody is known by is trusted: whoever vouches for it may cease
/// to, or be trusted no more, and again later. Clones are about the same.
#[derive(Clone, Debug)]
pub struct Trust(Arc<AtomicI64>);

impl Default for Trust {
    fn default() -> Self {
        Self(Arc::new(AtomicI64::new(i64::MAX)))
    }
}

impl Trust {
    /// Says until when it is trusted; `None`: it is not. Until this is called it is
    /// for ever.
    pub fn set(&self, until: Option<Timestamp>) {
        let until = until.map_or(i64::MIN, Timestamp::as_millis);
        self.0.store(until, Ordering::Release);
    }

    /// Whether it is trusted at a time.
    #[must_use]
    pub fn holds(&self, now: Timestamp) -> bool {
        now.as_millis() < self.0.load(Ordering::Acquire)
    }

    /// Whether anybody else may ask.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }
}
