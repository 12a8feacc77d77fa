//! Whether what somebody is known by is trusted still.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether what somebody is known by is trusted still, whatever the time: whoever
/// vouches for it may trust it no more, and again later. Clones are about the same.
#[derive(Clone, Debug, Default)]
pub struct Trust(Arc<AtomicBool>);

impl Trust {
    /// Says whether it is trusted; it is until this is called.
    pub fn set(&self, is_trusted: bool) {
        self.0.store(!is_trusted, Ordering::Release);
    }

    /// Whether it is trusted.
    #[must_use]
    pub fn holds(&self) -> bool {
        !self.0.load(Ordering::Acquire)
    }

    /// Whether anybody else may ask.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }
}
