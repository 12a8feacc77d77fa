//! What the audit log notes of a call while it is carried out.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::domain::audit::Subject;

/// Which RPC was called and from where, and what became known on the way.
#[derive(Debug)]
pub struct Trace {
    rpc: &'static str,
    began: Instant,
    address: Option<IpAddr>,
    request_id: Box<str>,
    /// Whether a commit tells of it.
    told: AtomicBool,
    dry: AtomicBool,
    subject: Mutex<Option<Box<Subject>>>,
}

impl Trace {
    /// A call of the RPC of this full name that began at a moment, from an address, with
    /// the id that the caller gave it.
    #[must_use]
    pub fn new(
        rpc: &'static str,
        began: Instant,
        address: Option<IpAddr>,
        request_id: &str,
    ) -> Self {
        Self {
            rpc,
            began,
            address,
            request_id: request_id.into(),
            told: AtomicBool::new(false),
            dry: AtomicBool::new(false),
            subject: Mutex::default(),
        }
    }

    /// For how long it has gone on.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// The full name of the RPC.
    #[must_use]
    pub const fn rpc(&self) -> &'static str {
        self.rpc
    }

    /// The address that it came from; may be empty.
    #[must_use]
    pub fn address(&self) -> String {
        self.address
            .map_or_else(String::new, |ip| ip.to_canonical().to_string())
    }

    /// The id that the caller gave it; may be empty.
    #[must_use]
    pub fn request_id(&self) -> &str {
        &self.request_id
    }

    /// Notes what it is about; a later note counts.
    pub fn set_subject(&self, subject: Subject) {
        *self.subject.lock() = Some(Box::new(subject));
    }

    /// What it is about, as far as that became known.
    #[must_use]
    pub fn subject(&self) -> Subject {
        let subject = self.subject.lock();
        subject.as_deref().cloned().unwrap_or_default()
    }

    /// Notes that it only asks what would change.
    pub fn set_dry(&self) {
        self.dry.store(true, Ordering::Relaxed);
    }

    /// Whether it only asks what would change.
    #[must_use]
    pub fn is_dry(&self) -> bool {
        self.dry.load(Ordering::Relaxed)
    }

    /// Notes that a commit tells of it.
    pub(in crate::authority) fn set_told(&self) {
        self.told.store(true, Ordering::Release);
    }

    /// Whether a commit tells of it, so that it need not be counted.
    #[must_use]
    pub fn is_told(&self) -> bool {
        self.told.load(Ordering::Acquire)
    }
}
