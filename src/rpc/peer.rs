//! Who is at the other end of a connection, as far as the connection itself
//! says.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::authority::caller::Trust;

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

/// Whether a call was let in over a connection: until then it is a stranger's. Clones
/// are about the same.
#[derive(Clone, Debug, Default)]
pub struct LetIn(Arc<AtomicBool>);

impl LetIn {
    /// Says that one was.
    pub fn set(&self) {
        if !self.is_set() {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    /// Whether one was.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What is known of a peer by its certificate.
#[derive(Clone, Debug)]
pub struct PeerCertificate {
    /// The principal that it names: a SPIFFE ID as it is, or `dns:` and a DNS
    /// name in lower case. `None`: it names nobody.
    pub principal: Option<String>,
    /// The last second of its validity, in seconds since the Unix epoch. It may
    /// pass while the connection stands.
    pub not_after: i64,
    /// Whether the authorities that are trusted now vouch for it still: they may
    /// be others than at the handshake.
    pub trust: Trust,
}
