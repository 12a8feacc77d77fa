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

/// How long it takes at least from one look for a connection that gives way although a
/// call was let in over it to the next.
const LEAST_TIME: Duration = Duration::from_secs(1);

/// How many may be open before it is looked which of them have ended.
const FEW: usize = 64;

/// Accepts connections, and gives each a place.
///
/// When all are taken, one is closed for the next. Once in a second, while
/// strangers have less than a quarter of the places, it is the newest of a caller who has
/// more than a fair share of them, were there one caller more; else the oldest of a
/// stranger: one over which no call was let in, or none since one was refused. So no number of connections keeps
/// others out, and who has many loses few of them. If there is none, the next waits until
/// another ends.
#[derive(Debug)]
pub struct Acceptor {
    listener: TcpListener,
    places: Arc<Semaphore>,
    /// How many places there are.
    all: usize,
    /// Those over which no call was let in when that was looked at, or the last was
    /// refused, the oldest first.
    strangers: VecDeque<Open>,
    /// The others, likewise.
    known: VecDeque<Open>,
    /// When it was looked last whether one of them is to give way.
    looked: Option<Instant>,
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
            looked: None,
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
        if self.looked.is_none_or(|last| last.elapsed() >= LEAST_TIME) {
            self.looked = Some(Instant::now());
            self.look();
            // Whoever is new needs room for the time until its first call.
            if self.strangers.len() < self.all.div_ceil(4)
                && let Some(known) = self.newest_of_most()
            {
                return Some(known);
            }
        }
        self.oldest_stranger()
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

    /// The connection that gives way of a caller who has more than a fair share of the
    /// places, were there one caller more. It is the newest: the others are to stay.
    fn newest_of_most(&mut self) -> Option<Open> {
        let mut counts: HashMap<Symbol, usize> = HashMap::new();
        for caller in self.known.iter().filter_map(|open| open.let_in.caller()) {
            *counts.entry(caller).or_default() += 1;
        }
        let share = self.all.div_ceil(counts.len() + 1);
        let (most, count) = counts.into_iter().max_by_key(|(_, count)| *count)?;
        if count <= share {
            return None;
        }
        let mut open = self.known.iter();
        let at = open.rposition(|open| open.let_in.give_way(Some(most)))?;
        self.known.remove(at)
    }

    /// Forgets those that have ended, and looks who was let in. Who was refused since is
    /// the first to give way.
    fn look(&mut self) {
        let known = std::mem::take(&mut self.known).into_iter();
        let strangers = std::mem::take(&mut self.strangers);
        (self.known, self.strangers) = known
            .chain(strangers)
            .filter(|open| !open.has_ended())
            .partition(|open| open.let_in.is_set());
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

    /// An acceptor whose places are taken over which calls of these were let in, or of
    /// nobody; and clients that want one more.
    async fn taken(by: &[u32]) -> (Acceptor, Vec<Place>, Vec<TcpStream>) {
        let (mut acceptor, clients) = wanted(by.len(), by.len() + 2).await;
        let mut places = Vec::new();
        for caller in by {
            let (_, _, place) = acceptor.next().await;
            if *caller > 0 {
                place.let_in().set(Some(Symbol::from_number(*caller)));
            }
            places.push(place);
        }
        (acceptor, places, clients)
    }

    /// Sees that of these places the one of this number gives way to the next.
    async fn gives_way(by: &[u32], number: usize) {
        let (mut acceptor, mut places, _clients) = taken(by).await;
        let next = tokio::spawn(async move { acceptor.next().await });
        soon(places[number].gives_way()).await;
        drop(places.remove(number));
        soon(next).await.unwrap();
        let chosen =
            |place: &Place| !place.let_in().is_set() && place.gives_way.token().is_cancelled();
        assert!(!places.iter().any(chosen));
    }

    #[tokio::test]
    async fn the_newest_gives_way_of_who_has_more_than_a_fair_share() {
        gives_way(&[2, 1, 1, 1], 3).await;
        gives_way(&[1, 1, 1, 1], 3).await;
        // Nor do several have all of them among themselves.
        gives_way(&[1, 2, 1, 2, 1, 2, 1], 6).await;
    }

    #[tokio::test]
    async fn strangers_have_a_quarter_of_the_places_before_they_give_way_to_each_other() {
        gives_way(&[0, 1, 1, 1, 1, 1, 1, 1], 7).await;
        gives_way(&[0, 0, 1, 1, 1, 1, 1, 1], 0).await;
    }

    #[tokio::test]
    async fn who_is_refused_is_a_stranger_again() {
        let (mut acceptor, mut places, _clients) = taken(&[1, 2, 3, 4]).await;
        places[2].let_in().refuse();
        let next = tokio::spawn(async move { acceptor.next().await });
        soon(places[2].gives_way()).await;
        drop(places.remove(2));
        soon(next).await.unwrap();
        // Until it is let in again; and whoever gives way stays so.
        places[0].let_in().refuse();
        places[0].let_in().set(Some(Symbol::from_number(1)));
        assert!(places[0].let_in().is_set());
        assert!(places[1].let_in().give_way(Some(Symbol::from_number(2))));
        places[1].let_in().refuse();
        places[1].let_in().set(Some(Symbol::from_number(2)));
        assert!(!places[1].let_in().is_set());
    }

    #[tokio::test]
    async fn where_all_have_their_share_the_next_waits() {
        let (mut acceptor, mut places, _clients) = taken(&[1, 1, 2, 2]).await;
        let next = tokio::spawn(async move { acceptor.next().await });
        for _ in 0..100 {
            yield_now().await;
            assert!(!next.is_finished());
        }
        assert!(places.iter().all(|place| place.let_in().is_set()));
        places.pop();
        soon(next).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn one_after_the_other_gives_way_in_a_while() {
        let (mut acceptor, mut places, _clients) = taken(&[1, 1, 1, 1, 1, 1]).await;
        let next = tokio::spawn(async move {
            let (_, _, place) = acceptor.next().await;
            place.let_in().set(Some(Symbol::from_number(2)));
            (acceptor.next().await, place)
        });
        soon(places[5].gives_way()).await;
        let first = Instant::now();
        places.pop();
        soon(places[4].gives_way()).await;
        assert!(first.elapsed() >= LEAST_TIME);
        places.pop();
        soon(next).await.unwrap();
        assert!(places.iter().all(|place| place.let_in().is_set()));
    }
}
