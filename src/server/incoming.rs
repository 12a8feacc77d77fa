//! Accepting connections: never more than the process has descriptors for, and
//! none for long that says nothing.
//!
//! A TLS handshake has a task and a time limit of its own, so that nobody waits
//! for somebody else's. A connection that has not sent the whole HTTP/2 preface
//! (RFC 9113 section 3.4) in time is closed; from then on HTTP/2's own pings find
//! out whether somebody is there.

use std::io;
use std::net::SocketAddr;
use std::panic;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::tls::Tls;
use crate::rpc::peer::Peer;

mod acceptor;
mod connection;

pub use acceptor::{Acceptor, Place};
pub use connection::Connection;
use connection::Stream;

/// Descriptors that are left for everything but connections.
const OTHER_DESCRIPTORS: usize = 128;

/// Lets the process have as many descriptors as it may have without asking: the
/// usual 1,024 are soon taken by those who say nothing.
pub fn raise_descriptor_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    if current != maximum
        && let Err(error) = setrlimit(Resource::Nofile, raised)
    {
        tracing::warn!(%error, "can't raise the limit of descriptors");
    }
}

/// How many connections there may be at once: as many as the process may have
/// descriptors for, less some for its files.
#[must_use]
pub fn most_connections() -> usize {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    limit
        .saturating_sub(OTHER_DESCRIPTORS)
        .max(limit / 4)
        .clamp(1, Semaphore::MAX_PERMITS)
}

/// Where connections come from.
#[derive(Debug)]
pub struct Incoming {
    /// Where they are accepted.
    pub listener: TcpListener,
    /// `None`: they are in plaintext.
    pub tls: Option<Arc<Tls>>,
    /// How long one may take to send the preface, once it may.
    pub preface: Duration,
    /// How many there may be at once, those among them whose handshake is under
    /// way. For more, strangers give way: see [`Acceptor`].
    pub most: usize,
}

/// Accepts connections and hands on those that are ready for HTTP/2, until
/// `closing` is cancelled or nobody takes them any more.
pub async fn accept(
    incoming: Incoming,
    closing: CancellationToken,
    accepted: mpsc::Sender<io::Result<Connection>>,
) {
    let Incoming {
        listener,
        tls,
        preface,
        most,
    } = incoming;
    let mut acceptor = Acceptor::new(listener, most);
    let mut handshakes = JoinSet::new();
    while let Some(next) = closing.run_until_cancelled(acceptor.next()).await {
        let (stream, address, place) = next;
        if let Some(tls) = &tls {
            let (tls, closing) = (Arc::clone(tls), closing.clone());
            let accepted = accepted.clone();
            handshakes.spawn(async move {
                let shaken = tokio::select! {
                    shaken = shake_hands(&tls, stream, address, &place) => shaken,
                    () = place.gives_way() => Err(io::ErrorKind::ConnectionAborted.into()),
                };
                match shaken {
                    // Whoever takes them is gone: so is the server.
                    Ok((stream, peer)) => {
                        let connection = Connection::new(stream, peer, preface, place, &closing);
                        drop(accepted.send(Ok(connection)).await);
                    }
                    Err(error) => tracing::debug!(%address, %error, "no TLS handshake"),
                }
            });
            reap(&mut handshakes);
        } else {
            let peer = Peer {
                address,
                certificate: None,
                let_in: place.let_in().clone(),
            };
            let stream = Stream::Plain(stream);
            let connection = Connection::new(stream, peer, preface, place, &closing);
            if accepted.send(Ok(connection)).await.is_err() {
                return;
            }
        }
    }
}

async fn shake_hands(
    tls: &Tls,
    stream: TcpStream,
    address: SocketAddr,
    place: &Place,
) -> io::Result<(Stream, Peer)> {
    let (stream, certificate) = tls.accept(stream).await?;
    let peer = Peer {
        address,
        certificate: certificate.map(Arc::new),
        let_in: place.let_in().clone(),
    };
    Ok((Stream::Tls(Box::new(stream)), peer))
}

/// Forgets those that have ended. One that panicked was a defect, which goes on
/// here, in a task that is supervised.
pub(super) fn reap(handshakes: &mut JoinSet<()>) {
    while let Some(ended) = handshakes.try_join_next() {
        if let Err(error) = ended
            && let Ok(payload) = error.try_into_panic()
        {
            panic::resume_unwind(payload);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tonic::transport::server::Connected as _;

    use super::connection::PREFACE_BYTES;
    use super::*;

    const PREFACE: &[u8; PREFACE_BYTES] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

    const PREFACE_TIME: Duration = Duration::from_secs(10);

    /// Where to connect to, and what is accepted, `most` at once.
    async fn listen(most: usize) -> (SocketAddr, mpsc::Receiver<io::Result<Connection>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (accepted, connections) = mpsc::channel(1);
        let incoming = Incoming {
            listener,
            tls: None,
            preface: PREFACE_TIME,
            most,
        };
        tokio::spawn(accept(incoming, CancellationToken::new(), accepted));
        (address, connections)
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_says_nothing_or_too_little_is_closed() {
        let (address, mut connections) = listen(9).await;
        for said in [&b""[..], b"PRI", &PREFACE[1..]] {
            let mut client = TcpStream::connect(address).await.unwrap();
            client.write_all(said).await.unwrap();
            let mut connection = connections.recv().await.unwrap().unwrap();
            let mut all = Vec::new();
            let read = tokio::time::timeout(PREFACE_TIME * 100, connection.read_to_end(&mut all));
            let read = read.await.unwrap();
            assert_eq!(
                read.unwrap_err().kind(),
                io::ErrorKind::TimedOut,
                "{said:?}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_has_begun_may_be_silent() {
        let (address, mut connections) = listen(9).await;
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(PREFACE).await.unwrap();
        let mut connection = connections.recv().await.unwrap().unwrap();
        let mut read = [0; PREFACE_BYTES];
        connection.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, PREFACE);
        let more = tokio::time::timeout(PREFACE_TIME * 100, connection.read_u8()).await;
        assert!(more.is_err(), "{more:?}");
    }

    #[tokio::test]
    async fn no_more_are_accepted_than_there_may_be_and_nobody_gives_way_who_was_let_in() {
        let (address, mut connections) = listen(2).await;
        let mut clients = vec![TcpStream::connect(address).await.unwrap()];
        let first = connections.recv().await.unwrap().unwrap();
        // Before the third comes, for whom it would give way.
        first.connect_info().let_in.set(None);
        clients.push(TcpStream::connect(address).await.unwrap());
        let second = connections.recv().await.unwrap().unwrap();
        second.connect_info().let_in.set(None);
        clients.push(TcpStream::connect(address).await.unwrap());
        for _ in 0..100 {
            tokio::task::yield_now().await;
            assert!(connections.try_recv().is_err());
        }
        drop(first);
        assert!(connections.recv().await.unwrap().is_ok());
    }

    #[tokio::test]
    async fn the_oldest_that_is_open_gives_way_and_no_other() {
        let (address, mut connections) = listen(2).await;
        let mut clients = Vec::new();
        let mut accepted = async || {
            clients.push(TcpStream::connect(address).await.unwrap());
            connections.recv().await.unwrap().unwrap()
        };
        let ended = accepted().await;
        let mut oldest = accepted().await;
        drop(ended);
        let mut second = accepted().await;
        // Whether it is read from or written to.
        let gives_way = tokio::spawn(async move {
            let read = oldest.read_u8().await.map(drop);
            [read, oldest.write_all(b"x").await, oldest.flush().await]
        });
        let mut third = accepted().await;
        for outcome in gives_way.await.unwrap() {
            let error = outcome.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
        }
        for open in [&mut second, &mut third] {
            open.write_all(b"x").await.unwrap();
        }
    }
}
