//! Who is at the other end of a connection, as far as the connection itself
//! says.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::authority::caller::Trust;
use crate::authority::names::{Interner, Symbol};
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

/// Whether the last call over a connection was let in, as far as it was known whose it
/// was: until one is, it is a stranger's. It may have to give way to another. Clones are
/// about the same.
#[derive(Clone, Debug, Default)]
pub struct LetIn(Arc<AtomicU64>);

const STRANGER: u64 = 0;
const GIVES_WAY: u64 = 1;
/// With the number of the caller's symbol beside it.
const LET_IN: u64 = 1 << 32;

/// The state of a connection over which a call of this caller was let in.
fn let_in(caller: Option<Symbol>) -> u64 {
    let caller = caller.unwrap_or(Interner::EMPTY);
    LET_IN | u64::from(caller.number())
}

impl LetIn {
    /// Says that one was, and whose, if callers are told apart. The first is heard
    /// since a call was refused, and nobody once the connection gives way.
    pub fn set(&self, caller: Option<Symbol>) {
        if self.0.load(Ordering::Relaxed) == STRANGER {
            self.change(STRANGER, let_in(caller));
        }
    }

    /// Says that a call came of which nobody knows whose it is: the connection is a
    /// stranger's until another is let in.
    pub fn refuse(&self) {
        let state = self.0.load(Ordering::Relaxed);
        if state & LET_IN != 0 {
            self.change(state, STRANGER);
        }
    }

    /// Whether one was, and the connection need not give way.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed) & LET_IN != 0
    }

    /// Whose call was, if that is known and the connection need not give way.
    #[must_use]
    pub fn caller(&self) -> Option<Symbol> {
        let state = self.0.load(Ordering::Relaxed);
        let number = u32::try_from(state & !LET_IN).ok()?;
        let caller = Symbol::from_number(number);
        (state & LET_IN != 0 && caller != Interner::EMPTY).then_some(caller)
    }

    /// Says that the connection gives way if no call was let in over it, or, if one
    /// was, if it was this caller's: whatever comes over it from now on. Returns
    /// whether it does.
    #[must_use]
    pub fn give_way(&self, caller: Option<Symbol>) -> bool {
        let now = caller.map_or(STRANGER, |caller| let_in(Some(caller)));
        self.change(now, GIVES_WAY)
    }

    fn change(&self, now: u64, next: u64) -> bool {
        let relaxed = Ordering::Relaxed;
        let changed = self.0.compare_exchange(now, next, relaxed, relaxed);
        changed.is_ok()
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
