//! Accepting connections at one listener, never more at once than it may have.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard, WaitForCancellationFutureOwned};

use crate::authority::names::Symbol;
use crate::rpc::peer::LetIn;

/// How long to wait after a connection could not be accepted: the reason (no
/// descriptors, no memory) does not go away at once.
const PAUSE: Duration = Duration::from_millis(100);

/// How long it takes at least from one connection that gives way although a call was
/// let in over it to the next.
const LEAST_TIME: Duration = Duration::from_secs(1);

/// How many may be open before it is looked which of them have ended.
const FEW: usize = 64;

/// Accepts connections, and gives each a place.
///
/// When all are taken, the oldest connection of a stranger is closed for the next: no
/// number of those over which no call was ever let in, however long they stay, keeps
/// others out. If there is none, it is the oldest of a caller who has more than half
/// of the places, but one in a second: where all are one caller's, most are to
/// stay. If there is none either, the next waits until another ends.
#[derive(Debug)]
pub struct Acceptor {
    listener: TcpListener,
    places: Arc<Semaphore>,
    /// How many places there are.
    all: usize,
    /// Those over which no call was let in when that was looked at, the oldest first.
    strangers: VecDeque<Open>,
    /// The others, likewise.
    known: VecDeque<Open>,
    /// When one of them had to give way last.
    known_last: Option<Instant>,
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
            all: most,
            strangers: VecDeque::new(),
            known: VecDeque::new(),
            known_last: None,
            most: FEW,
            is_failing: false,
        }
    }

    /// The next connection, once there is a place for it.
    pub async fn next(&mut self) -> (TcpStream, SocketAddr, Place) {
        let (stream, address) = self.accept().await;
        let permit = loop {
            if self.places.available_permits() == 0
                && let Some(open) = self.next_that_gives_way()
            {
                open.gives_way.cancel();
            }
            let permit = self.permit();
            if let Ok(permit) = timeout(LEAST_TIME, permit).await {
                break permit;
            }
        };
        if self.strangers.len() + self.known.len() >= self.most {
            self.look();
            self.most = (2 * (self.strangers.len() + self.known.len())).max(FEW);
        }
        let (gives_way, let_in) = (CancellationToken::new(), LetIn::default());
        self.strangers.push_back(Open {
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

    /// The connection that gives way to the next, if there is one now.
    fn next_that_gives_way(&mut self) -> Option<Open> {
        let stranger = self.oldest_stranger();
        if stranger.is_some()
            || self
                .known_last
                .is_some_and(|last| last.elapsed() < LEAST_TIME)
        {
            return stranger;
        }
        let known = self.oldest_of_most()?;
        self.known_last = Some(Instant::now());
        Some(known)
    }

    /// The stranger's connection that gives way to the next, if there is one.
    fn oldest_stranger(&mut self) -> Option<Open> {
        while let Some(oldest) = self.strangers.pop_front() {
            if !oldest.has_ended() && oldest.let_in.give_way(None) {
                return Some(oldest);
            }
            if !oldest.has_ended() {
                self.known.push_back(oldest);
            }
        }
        None
    }

    /// The connection that gives way of a caller who has more than half of the places,
    /// if there is one.
    fn oldest_of_most(&mut self) -> Option<Open> {
        self.look();
        let mut counts: HashMap<Symbol, usize> = HashMap::new();
        for caller in self.known.iter().filter_map(|open| open.let_in.caller()) {
            *counts.entry(caller).or_default() += 1;
        }
        let mut counts = counts.into_iter();
        let (most, _) = counts.find(|(_, count)| *count > self.all.div_ceil(2))?;
        let mut open = self.known.iter();
        let at = open.position(|open| open.let_in.give_way(Some(most)))?;
        self.known.remove(at)
    }

    /// Forgets those that have ended, and looks who was let in.
    fn look(&mut self) {
        self.known.retain(|open| !open.has_ended());
        let (strangers, known) = std::mem::take(&mut self.strangers)
            .into_iter()
            .filter(|open| !open.has_ended())
            .partition(|open| !open.let_in.is_set());
        self.strangers = strangers;
        self.known.append(&mut { known });
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
    fn has_ended(&self) -> bool {
        self.gives_way.is_cancelled()
    }
}

impl Place {
    /// Done when the connection is to give way to another.
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
    use tokio::task::yield_now;

    use super::*;

    /// An acceptor with so many places, and clients that want one.
    async fn wanted(places: usize, clients: usize) -> (Acceptor, Vec<TcpStream>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut streams = Vec::new();
        for _ in 0..clients {
            streams.push(TcpStream::connect(address).await.unwrap());
        }
        (Acceptor::new(listener, places), streams)
    }

    /// Waits, but not for ever.
    async fn soon<T>(future: impl Future<Output = T>) -> T {
        timeout(Duration::from_mins(1), future).await.unwrap()
    }

    #[tokio::test]
    async fn who_is_let_in_after_it_was_chosen_gives_way_nevertheless() {
        let (mut acceptor, _clients) = wanted(2, 3).await;
        let (_, _, oldest) = acceptor.next().await;
        let (_, _, other) = acceptor.next().await;
        let next = tokio::spawn(async move { acceptor.next().await });
        soon(oldest.gives_way()).await;
        let caller = Symbol::from_number(1);
        oldest.let_in().set(Some(caller));
        assert!(!oldest.let_in().is_set());
        drop(oldest);
        soon(next).await.unwrap();
        other.let_in().set(Some(caller));
        assert!(other.let_in().is_set());
    }

    #[tokio::test]
    async fn of_who_has_more_than_half_of_the_places_the_oldest_gives_way_and_of_no_other() {
        let [greedy, modest] = [1, 2].map(Symbol::from_number);
        let (mut acceptor, _clients) = wanted(4, 6).await;
        let mut places = VecDeque::new();
        for caller in [modest, greedy, greedy, greedy] {
            let (_, _, place) = acceptor.next().await;
            place.let_in().set(Some(caller));
            places.push_back(place);
        }
        let next = tokio::spawn(async move {
            let (_, _, place) = acceptor.next().await;
            (acceptor, place)
        });
        soon(places[1].gives_way()).await;
        drop(places.remove(1));
        let (mut acceptor, place) = soon(next).await.unwrap();
        place.let_in().set(Some(modest));
        places.push_back(place);
        // Both have half of them.
        let next = tokio::spawn(async move { acceptor.next().await });
        for _ in 0..100 {
            yield_now().await;
            assert!(!next.is_finished());
        }
        assert!(places.iter().all(|place| place.let_in().is_set()));
        places.pop_back();
        soon(next).await.unwrap();
    }
    #[tokio::test(start_paused = true)]
    async fn of_who_has_all_places_one_gives_way_after_the_other() {
        let greedy = Symbol::from_number(1);
        let (mut acceptor, _clients) = wanted(4, 6).await;
        let mut places = VecDeque::new();
        for _ in 0..4 {
            let (_, _, place) = acceptor.next().await;
            place.let_in().set(Some(greedy));
            places.push_back(place);
        }
        let next = tokio::spawn(async move {
            let (_, _, place) = acceptor.next().await;
            place.let_in().set(Some(greedy));
            (acceptor.next().await, place)
        });
        soon(places[0].gives_way()).await;
        let first = Instant::now();
        drop(places.pop_front());
        soon(places[0].gives_way()).await;
        assert!(first.elapsed() >= LEAST_TIME);
        drop(places.pop_front());
        soon(next).await.unwrap();
        assert!(places.iter().all(|place| place.let_in().is_set()));
    }
}
