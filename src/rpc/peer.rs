//! Who is at the other end of a connection, as far as the connection itself
//! says.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::authority::caller::Trust;
use crate::domain::time::Timestamp;

/// The other end of a connection. It is among the extensions of each request
/// that came over it.
#[derive(Clone, Debug)]
pub struct Peer {
    /// From where it was made.
    pub address: SocketAddr,
    /// What the TLS handshake showed: a certificate that one of the trusted
    /// authorities issued and that was valid then, whose key the peer has.
    /// `None` if there was none, or none that can be read.
    pub certificate: Option<Arc<PeerCertificate>>,
    /// Whether a call was let in over it.
    pub let_in: LetIn,
}

/// Whether a call was let in over a connection: until then it is a stranger's, which
/// may have to give way to another. Clones are about the same.
#[derive(Clone, Debug, Default)]
pub struct LetIn(Arc<AtomicU8>);

const STRANGER: u8 = 0;
const LET_IN: u8 = 1;
const GIVES_WAY: u8 = 2;

impl LetIn {
    /// Says that one was. It is nothing to a connection that has given way before.
    pub fn set(&self) {
        if self.0.load(Ordering::Relaxed) == STRANGER {
            self.leave_strangers(LET_IN);
        }
    }

    /// Whether one was.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed) == LET_IN
    }

    /// Says that the connection gives way, whatever is let in over it from now on.
    /// Returns whether it does: a call may have been let in before.
    #[must_use]
    pub fn give_way(&self) -> bool {
        self.leave_strangers(GIVES_WAY)
    }

    fn leave_strangers(&self, next: u8) -> bool {
        let left = self
            .0
            .compare_exchange(STRANGER, next, Ordering::Relaxed, Ordering::Relaxed);
        left.is_ok()
    }
}

/// What is known of a peer by its certificate.
#[derive(Clone, Debug)]
pub struct PeerCertificate {
    /// The principal that it names: a SPIFFE ID as it is, or `dns:` and a DNS
    /// name in lower case. `None`: it names nobody.
    pub principal: Option<String>,
    /// When it ceases to be valid. That may come while the connection stands.
    pub until: Timestamp,
    /// Whether the authorities that are trusted now vouch for it still: they may
    /// be others than at the handshake, and so may those between it and them have
    /// expired.
    pub trust: Trust,
}
