//! Accepting connections at one listener, never more at once than it may have.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;
use tokio_util::sync::{CancellationToken, DropGuard, WaitForCancellationFutureOwned};

use crate::rpc::peer::LetIn;

/// How long to wait after a connection could not be accepted: the reason (no
/// descriptors, no memory) does not go away at once.
const PAUSE: Duration = Duration::from_millis(100);

/// How many may be open before it is looked which of them have ended.
const FEW: usize = 64;

/// Accepts connections, and gives each a place.
///
/// When all are taken, the oldest connection of a stranger is closed for the next: no
/// number of those over which no call was ever let in, however long they stay, keeps
/// others out. If there is none, the next waits until another ends.
#[derive(Debug)]
pub struct Acceptor {
    listener: TcpListener,
    places: Arc<Semaphore>,
    /// Those that may have to give way, the oldest first, and others.
    open: VecDeque<Open>,
    /// With how many of them it is looked again which have ended.
    most: usize,
    is_failing: bool,
}

/// A connection, and the way to end it.
#[derive(Debug)]
struct Open {
    /// Cancelled: it has ended.
    gives_way: CancellationToken,
    let_in: LetIn,
}

/// What a connection holds for as long as it is open.
#[derive(Debug)]
pub struct Place {
    /// Dropped first: whose place is free has ended.
    gives_way: DropGuard,
    let_in: LetIn,
    _permit: OwnedSemaphorePermit,
}

impl Acceptor {
    /// Of this listener, with so many connections at once.
    #[must_use]
    pub fn new(listener: TcpListener, most: usize) -> Self {
        Self {
            listener,
            places: Arc::new(Semaphore::new(most)),
            open: VecDeque::new(),
            most: FEW,
            is_failing: false,
        }
    }

    /// The next connection, once there is a place for it.
    pub async fn next(&mut self) -> (TcpStream, SocketAddr, Place) {
        let (stream, address) = self.accept().await;
        if self.places.available_permits() == 0
            && let Some(stranger) = self.oldest_stranger()
        {
            stranger.gives_way.cancel();
        }
        let permit = self.permit().await;
        if self.open.len() >= self.most {
            self.open.retain(Open::is_a_stranger_s);
            self.most = (2 * self.open.len()).max(FEW);
        }
        let (gives_way, let_in) = (CancellationToken::new(), LetIn::default());
        self.open.push_back(Open {
            gives_way: gives_way.clone(),
            let_in: let_in.clone(),
        });
        let place = Place {
            gives_way: gives_way.drop_guard(),
            let_in,
            _permit: permit,
        };
        (stream, address, place)
    }

    /// The connection that gives way to the next, if there is one.
    fn oldest_stranger(&mut self) -> Option<Open> {
        while let Some(oldest) = self.open.pop_front() {
            if oldest.is_a_stranger_s() && oldest.let_in.give_way() {
                return Some(oldest);
            }
        }
        None
    }

    async fn permit(&self) -> OwnedSemaphorePermit {
        let Ok(permit) = Arc::clone(&self.places).acquire_owned().await else {
            unreachable!("the semaphore is never closed");
        };
        permit
    }

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok((stream, address)) => {
                    self.is_failing = false;
                    // Answers are small and wanted now: no Nagle's algorithm. That
                    // it can't be switched off for a connection that is gone
                    // already is no loss.
                    let _ = stream.set_nodelay(true);
                    return (stream, address);
                }
                Err(error) => self.pause(&error).await,
            }
        }
    }

    async fn pause(&mut self, error: &io::Error) {
        if !self.is_failing {
            tracing::warn!(%error, "can't accept connections");
        }
        self.is_failing = true;
        sleep(PAUSE).await;
    }
}

impl Open {
    /// Whether it is open, and nobody was let in over it.
    fn is_a_stranger_s(&self) -> bool {
        !self.gives_way.is_cancelled() && !self.let_in.is_set()
    }
}

impl Place {
    /// Done when the connection is to give way to another, before any call was let in
    /// over it.
    pub fn gives_way(&self) -> WaitForCancellationFutureOwned {
        self.gives_way.token().clone().cancelled_owned()
    }

    /// Whether a call was let in over it.
    #[must_use]
    pub const fn let_in(&self) -> &LetIn {
        &self.let_in
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_is_let_in_after_it_was_chosen_gives_way_nevertheless() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut acceptor = Acceptor::new(listener, 2);
        let mut clients = Vec::new();
        for _ in 0..3 {
            clients.push(TcpStream::connect(address).await.unwrap());
        }
        let (_, _, oldest) = acceptor.next().await;
        let (_, _, other) = acceptor.next().await;
        let next = tokio::spawn(async move { acceptor.next().await });
        oldest.gives_way().await;
        oldest.let_in().set();
        assert!(!oldest.let_in().is_set());
        drop(oldest);
        next.await.unwrap();
        other.let_in().set();
        assert!(other.let_in().is_set());
    }
}
