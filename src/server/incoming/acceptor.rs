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

/// How long to wait after a connection could not be accepted: the reason (no
/// descriptors, no memory) does not go away at once.
const PAUSE: Duration = Duration::from_millis(100);

/// What happens when there are as many connections as there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// The next one waits to be accepted until another ends: each is somebody who
    /// is to be served for as long as they like.
    NextWaits,
    /// The oldest one is closed for the next: whoever comes wants one answer, and
    /// no number of others who stay may keep it from them.
    OldestGivesWay,
}

/// Accepts connections, and gives each a place.
#[derive(Debug)]
pub struct Acceptor {
    listener: TcpListener,
    places: Arc<Semaphore>,
    when_full: WhenFull,
    /// The way to end each that may have to give way, the oldest first; those that
    /// have ended are cancelled.
    open: VecDeque<CancellationToken>,
    is_failing: bool,
}

/// What a connection holds for as long as it is open.
#[derive(Debug)]
pub struct Place {
    /// Dropped first: whose place is free has ended.
    gives_way: Option<DropGuard>,
    _permit: OwnedSemaphorePermit,
}

impl Acceptor {
    /// Of this listener, with so many connections at once.
    #[must_use]
    pub fn new(listener: TcpListener, most: usize, when_full: WhenFull) -> Self {
        Self {
            listener,
            places: Arc::new(Semaphore::new(most)),
            when_full,
            open: VecDeque::new(),
            is_failing: false,
        }
    }

    /// The next connection, once there is a place for it.
    pub async fn next(&mut self) -> (TcpStream, SocketAddr, Place) {
        match self.when_full {
            WhenFull::NextWaits => {
                let permit = self.permit().await;
                let (stream, address) = self.accept().await;
                let place = Place {
                    gives_way: None,
                    _permit: permit,
                };
                (stream, address, place)
            }
            WhenFull::OldestGivesWay => {
                let (stream, address) = self.accept().await;
                self.open.retain(|one| !one.is_cancelled());
                if self.places.available_permits() == 0
                    && let Some(oldest) = self.open.pop_front()
                {
                    oldest.cancel();
                }
                let permit = self.permit().await;
                let token = CancellationToken::new();
                self.open.push_back(token.clone());
                let place = Place {
                    gives_way: Some(token.drop_guard()),
                    _permit: permit,
                };
                (stream, address, place)
            }
        }
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

impl Place {
    /// Done when the connection is to give way to another; `None`: it never is.
    #[must_use]
    pub fn gives_way(&self) -> Option<WaitForCancellationFutureOwned> {
        let guard = self.gives_way.as_ref()?;
        Some(guard.token().clone().cancelled_owned())
    }
}
